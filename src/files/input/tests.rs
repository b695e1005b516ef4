//! Pipes, links and large files are read; nothing is waited for without end.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::scratch::Scratch;

fn fifo(scratch: &Scratch) -> std::path::PathBuf {
    let path = scratch.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

#[test]
fn a_pipe_is_read_as_soon_as_its_first_line_is_there() {
    let scratch = Scratch::new().unwrap();
    let path = fifo(&scratch);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut pipe = File::options().write(true).open(path).unwrap();
            pipe.write_all(b"TOK").unwrap();
            pipe.write_all(b"EN\nmore").unwrap();
            // It stays open.
            let _ = ended.recv();
        })
    };
    assert!(read_line(&path, 100).unwrap().starts_with(b"TOKEN\n"));
    drop(end);
    writer.join().unwrap();
}

#[test]
fn a_pipe_into_which_nobody_writes_is_given_up() {
    let scratch = Scratch::new().unwrap();
    let path = fifo(&scratch);
    let error = read_waiting(&path, Duration::from_millis(50), |_| false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // Nor is one that was opened and then left alone.
    let open = File::options().read(true).write(true).open(&path).unwrap();
    let error = read_waiting(&path, Duration::from_millis(50), |_| false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(open);
}

#[test]
fn no_more_is_read_than_was_asked_for() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("file");
    fs::write(&path, vec![b'x'; 20_000]).unwrap();
    assert_eq!(read_all(&path, 20_000).unwrap().len(), 20_000);
    let error = read_all(&path, 19_999).unwrap_err();
    assert_eq!(error.to_string(), "it is larger than 19999 bytes");
    assert!(read_line(&path, 5_000).unwrap().len() < 10_000);
    assert!(read_line(Path::new("/dev/zero"), 5_000).unwrap().len() < 10_000);
    assert!(read_all(Path::new("/dev/zero"), 5_000).is_err());
    // A byte of a newline within a character of UTF-16 ends nothing.
    let mut text = vec![0xff, 0xfe, 0x0a, 0x01];
    text.extend([b'x', 0].repeat(5_000));
    fs::write(&path, &text).unwrap();
    assert_eq!(read_line(&path, 100_000).unwrap(), text);
    assert!(read_line(scratch.path(), 10).is_err());
    assert!(read_line(&scratch.path().join("missing"), 10).is_err());
}

#[test]
fn what_everybody_may_do_is_known() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("file");
    fs::write(&path, "").unwrap();
    for (mode, found) in [
        (0o600, None),
        (0o640, None),
        (0o644, Some("read")),
        (0o666, Some("change")),
        (0o602, Some("change")),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(open_to_all(&path), found, "{mode:o}");
    }
    assert_eq!(open_to_all(Path::new("/dev/null")), None);
}
