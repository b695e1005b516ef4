//! Files that the admin names to be read: secrets, addresses, certificates.
//!
//! They may be links, and they need not be files: `--token-file <(command)` is a pipe, and systemd's credentials have
//! another owner. So they are read whatever they are, but neither for ever (a pipe into which nobody writes) nor without end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the other end of a pipe may take.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Between two looks at a pipe.
const PAUSE: Duration = Duration::from_millis(10);

/// What every user of this computer may do with a file, where that is more than nothing: `read` or `change`.
pub fn open_to_all(path: &Path) -> Option<&'static str> {
    #[cfg(unix)]
    {
        let data = std::fs::metadata(path).ok().filter(|data| data.is_file())?;
        match std::os::unix::fs::MetadataExt::mode(&data) & 0o006 {
            0 => None,
            0o004 => Some("read"),
            _ => Some("change"),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Reads the beginning of a file, at least its first line if that has no more than so many bytes.
///
/// # Errors
/// Those of the system; [`TimedOut`](io::ErrorKind::TimedOut) where nobody writes into a pipe.
pub fn read_line(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    read_waiting(path, MAX_WAIT, |bytes| {
        // In UTF-16 the byte of a newline may be half of another character.
        let is_utf16 = matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        bytes.len() >= most || (!is_utf16 && bytes.contains(&b'\n'))
    })
}

/// Reads a whole file.
///
/// # Errors
/// As [`read_line`]; [`FileTooLarge`](io::ErrorKind::FileTooLarge) beyond so many bytes.
pub fn read_all(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let bytes = read_waiting(path, MAX_WAIT, |bytes| bytes.len() > most)?;
    if bytes.len() > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {most} bytes"),
        ));
    }
    Ok(bytes)
}

fn read_waiting(
    path: &Path,
    patience: Duration,
    is_enough: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let data = file.metadata()?;
    let begin = Instant::now();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match file.read(&mut buffer) {
            // Nobody has opened the other end yet.
            Ok(0) if bytes.is_empty() && is_pipe(&data) => {}
            Ok(read) => {
                bytes.extend(buffer.iter().take(read));
                if read > 0 && !is_enough(&bytes) {
                    continue;
                }
                return Ok(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if begin.elapsed() >= patience {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("nothing more was written to it within {patience:?}"),
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .read(true)
        // A FIFO opens at once; a terminal does not become ours.
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
        .open(path)
}

#[cfg(unix)]
fn is_pipe(data: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&data.file_type())
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(not(unix))]
fn is_pipe(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests;
