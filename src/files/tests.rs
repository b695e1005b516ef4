//! Whatever others have prepared: refused, with owner or mode and the remedy, and nothing of theirs is touched.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;
use crate::scratch::Scratch;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn refused<T: fmt::Debug>(outcome: io::Result<T>) -> String {
    let error = outcome.unwrap_err();
    assert!(is_refusal(&error), "{error:?}");
    error.to_string()
}

/// Another user than the one who runs the test.
fn other() -> User {
    User(User::effective().0 + 4711)
}

#[test]
fn what_is_no_regular_file_is_neither_opened_nor_waited_for() {
    let scratch = Scratch::new().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::write(at("target"), "theirs").unwrap();
    symlink(at("target"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(at("fifo"))
            .status()
            .unwrap()
            .success()
    );
    for (path, kind) in [
        (at("link"), "symbolic link"),
        (at("dangling"), "symbolic link"),
        (at("directory"), "directory"),
        (at("socket"), "socket"),
        (at("fifo"), "FIFO"),
        (PathBuf::from("/dev/null"), "device"),
    ] {
        let wanted = format!("it is a {kind}, not a regular file: remove it");
        for opened in [open(&path), append(&path), update(&path)] {
            assert_eq!(refused(opened), wanted);
        }
        assert_eq!(refused(copy(&path, &at("copy"))), wanted);
        assert_eq!(refused(rename(&path, &at("renamed"))), wanted);
        if path.starts_with(scratch.path()) {
            assert_eq!(refused(publish(&path, b"ours")), wanted);
        }
        assert_eq!(
            create(&path).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }
    assert_eq!(
        refused(prepare_publishing(Path::new("/dev/null")))
            .split(':')
            .next(),
        Some("it is a device, not a regular file")
    );
    assert_eq!(fs::read_to_string(at("target")).unwrap(), "theirs");
    for missing in ["nowhere", "copy", "renamed"] {
        assert!(!exists(&at(missing)), "{missing}");
    }
}

/// Were the look at the name left out, or came too early, what was opened would be refused as well.
#[test]
fn the_flags_alone_keep_links_and_fifos_from_being_followed() {
    let scratch = Scratch::new().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::write(at("target"), "theirs").unwrap();
    symlink(at("target"), at("link")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(at("fifo"))
            .status()
            .unwrap()
            .success()
    );
    let open_flagged =
        |path: &Path| rules::follow_nothing(OpenOptions::new().read(true)).open(path);
    assert!(open_flagged(&at("link")).is_err());
    // Nobody writes to it, and yet this returns.
    let fifo = open_flagged(&at("fifo")).unwrap();
    assert!(rules::file(&at("fifo"), &fifo.metadata().unwrap(), User::effective()).is_err());
}

#[test]
fn a_file_of_another_user_or_with_another_name_is_refused() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("file");
    fs::write(&path, "").unwrap();
    let data = fs::symlink_metadata(&path).unwrap();
    let text = refused(rules::file(&path, &data, other()));
    assert_eq!(
        text,
        format!(
            "it belongs to user {}, and this program runs as user {}: remove it, or, if it is right, chown {} {}",
            data.uid(),
            other().0,
            other().0,
            path.display()
        )
    );
    // Root's are no exception: what it has not written as this user is not ours.
    let roots = fs::symlink_metadata("/etc/passwd").unwrap();
    refused(rules::file(Path::new("/etc/passwd"), &roots, User(4711)));

    fs::hard_link(&path, scratch.path().join("second")).unwrap();
    for opened in [open(&path), append(&path), update(&path)] {
        let text = refused(opened);
        assert!(text.starts_with("it has 2 names (hard links)"), "{text}");
    }
}

#[test]
fn a_file_that_others_may_read_or_write_is_narrowed_and_a_new_one_is_private() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("file");
    for wide in [0o666, 0o644, 0o620, 0o602] {
        for opening in [open, append, update] {
            fs::write(&path, "kept").unwrap();
            set_mode(&path, wide);
            opening(&path).unwrap();
            assert_eq!(mode(&path), 0o600);
            assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        }
    }
    for made in [append, update, create] {
        fs::remove_file(&path).unwrap();
        made(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }
    // A replaced one gets the mode of a new one, whatever it had.
    set_mode(&path, 0o666);
    replace(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!(mode(&path), 0o600);
    copy(&path, &scratch.path().join("copy")).unwrap();
    assert_eq!(mode(&scratch.path().join("copy")), 0o600);
}

#[test]
fn what_is_replaced_lies_under_a_random_name_until_it_is_complete() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("file");
    let names = || -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(scratch.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let mut seen = Vec::new();
    for text in ["one", "two"] {
        replace(&path, |file| {
            seen.extend(names().into_iter().filter(|name| name != "file"));
            file.write_all(text.as_bytes())
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert_eq!(names(), ["file"]);
    let [one, two] = seen.as_slice() else {
        unreachable!("{seen:?}")
    };
    assert_ne!(one, two);
    assert!(one.starts_with("file.") && one.ends_with(".new"), "{one}");
    assert_eq!(one.len(), "file.0123456789abcdef.new".len());
    // One that fails leaves the old one, and nothing else.
    replace(&path, |_| Err(io::Error::other("full"))).unwrap_err();
    assert_eq!(names(), ["file"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "two");
}

#[test]
fn settling_refuses_what_was_prepared_and_removes_what_was_left() {
    let scratch = Scratch::new().unwrap();
    let at = |name: &str| scratch.path().join(name);
    for name in [
        "A-1.json",
        "A-1.json.0123456789abcdef.new",
        "B-1.json.x.new",
    ] {
        fs::write(at(name), "").unwrap();
    }
    symlink("/etc/passwd", at("B-1.json")).unwrap();
    settle(scratch.path(), "A-1.").unwrap();
    assert!(exists(&at("A-1.json")) && exists(&at("B-1.json.x.new")));
    assert!(!exists(&at("A-1.json.0123456789abcdef.new")));
    let text = refused(settle(scratch.path(), "B-1."));
    let wanted = format!("{}: it is a symbolic link", at("B-1.json").display());
    assert!(text.starts_with(&wanted), "{text}");
}

#[test]
fn directories_are_made_for_their_owner_and_found_by_links_of_ours() {
    let scratch = Scratch::new().unwrap();
    let real = scratch.path().canonicalize().unwrap();
    let at = |name: &str| real.join(name);
    assert!(!try_directory(&at("a/b")).unwrap());
    assert!(!exists(&at("a")));
    assert_eq!(directory(&at("a/b")).unwrap(), at("a/b"));
    assert_eq!((mode(&at("a")), mode(&at("a/b"))), (0o700, 0o700));
    assert!(try_directory(&at("a/b")).unwrap());
    assert_eq!(fs::read_dir(at("a/b")).unwrap().count(), 0);
    symlink("a", at("link")).unwrap();
    symlink(at("link/../a/c"), at("absolute")).unwrap();
    assert_eq!(directory(&at("link/b")).unwrap(), at("a/b"));
    assert_eq!(directory(&at("absolute")).unwrap(), at("a/c"));
    symlink("loop", at("loop")).unwrap();
    assert!(directory(&at("loop")).is_err());
    fs::write(at("file"), "").unwrap();
    assert!(refused(directory(&at("file"))).starts_with("it is a regular file, not a directory"));
    assert!(directory(&at("file/below")).is_err());
}

#[test]
fn a_directory_that_others_may_write_to_is_narrowed_or_refused() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("state");
    fs::create_dir(&path).unwrap();
    for wide in [0o777, 0o770, 0o707, 0o722] {
        set_mode(&path, wide);
        if User::effective() == User(0) {
            let text = refused(directory(&path));
            let wanted = format!("chmod go-w {}", path.display());
            assert!(
                text.contains(&wanted) && text.contains(&format!("{wide:o}")),
                "{text}"
            );
            refused(try_directory(&path));
            assert_eq!(mode(&path), wide);
        } else {
            directory(&path).unwrap();
            assert_eq!(mode(&path), wide & 0o755);
        }
    }
    // Whoever runs the test: of another user than root it is narrowed, of root and with the sticky bit refused.
    set_mode(&path, 0o777);
    let wide = fs::symlink_metadata(&path).unwrap();
    let owner = User(wide.uid());
    let outcome = rules::own_directory(&path, &wide, owner);
    match owner {
        User(0) => drop(refused(outcome)),
        User(_) => assert_eq!(outcome.unwrap(), rules::Directory::Narrow(0o755)),
    }
    set_mode(&path, 0o1777);
    let sticky = fs::symlink_metadata(&path).unwrap();
    refused(rules::own_directory(&path, &sticky, owner));
    refused(directory(&path));
    let roots = fs::symlink_metadata("/tmp").unwrap();
    refused(rules::own_directory(Path::new("/tmp"), &roots, User(4711)));
}

#[test]
fn a_directory_of_another_user_is_refused_wherever_it_is_on_the_way() {
    let scratch = Scratch::new().unwrap();
    let data = fs::symlink_metadata(scratch.path()).unwrap();
    for outcome in [
        rules::own_directory(scratch.path(), &data, other()).map(drop),
        rules::way(scratch.path(), &data, other()),
        rules::link(scratch.path(), &data, other()),
    ] {
        if data.uid() == 0 {
            outcome.unwrap();
        } else {
            let text = refused(outcome);
            assert!(text.contains(&format!("user {}", data.uid())), "{text}");
        }
    }
    // Root's is good for all, and that of anybody else for none but him.
    let roots = fs::symlink_metadata("/").unwrap();
    rules::way(Path::new("/"), &roots, User(4711)).unwrap();
    if User::effective() == User(0) {
        let theirs = scratch.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        symlink("/", scratch.path().join("link")).unwrap();
        std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
        std::os::unix::fs::lchown(scratch.path().join("link"), Some(65534), None).unwrap();
        assert!(refused(directory(&theirs)).starts_with("it belongs to user 65534"));
        for below in ["theirs/state", "link/tmp/dbsync2-never"] {
            let below = scratch.path().join(below);
            assert!(refused(directory(&below)).contains("user 65534"));
            refused(try_directory(&below));
            assert!(!exists(&below));
        }
        refused(publish(&theirs.join("status.json"), b"ours"));
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
    }
}

#[test]
fn nobody_can_exchange_a_directory_on_the_way() {
    let scratch = Scratch::new().unwrap();
    let above = scratch.path().join("above");
    fs::create_dir(&above).unwrap();
    for (wide, good) in [
        (0o777, false),
        (0o707, false),
        (0o1777, true),
        (0o755, true),
    ] {
        set_mode(&above, wide);
        assert_eq!(directory(&above.join("state")).is_ok(), good, "{wide:o}");
        assert_eq!(
            publish(&above.join("status.json"), b"").is_ok(),
            good,
            "{wide:o}"
        );
    }
    // A group of the system may, where root has allowed it; one of users may not.
    set_mode(&above, 0o775);
    let data = fs::symlink_metadata(&above).unwrap();
    if User::effective() == User(0) {
        directory(&above.join("state")).unwrap();
        std::os::unix::fs::chown(&above, None, Some(65534)).unwrap();
        refused(directory(&above.join("state")));
    } else {
        rules::way(&above, &data, User::effective()).unwrap();
    }
}

#[test]
fn what_others_read_has_the_mode_of_the_umask_and_replaces_only_a_regular_file() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("status.json");
    fs::write(scratch.path().join("model"), "").unwrap();
    publish(&path, b"one").unwrap();
    assert_eq!(mode(&path), mode(&scratch.path().join("model")));
    let mut reader = File::open(&path).unwrap();
    publish(&path, b"two").unwrap();
    try_publishing(&path).unwrap();
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    assert_eq!(
        (old.as_str(), fs::read_to_string(&path).unwrap().as_str()),
        ("one", "two")
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    assert!(publish(&scratch.path().join("missing/status.json"), b"").is_err());
}

#[test]
fn there_is_room_where_a_file_can_be_filled() {
    let scratch = Scratch::new().unwrap();
    try_room(scratch.path()).unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    let missing = try_room(&scratch.path().join("missing")).unwrap_err();
    assert!(!is_full(&missing), "{missing}");
    // What the system says of a full disk, a user's share and the largest file.
    use rustix::io::Errno;
    for full in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
        assert!(is_full(&full.into()), "{full}");
    }
    for other in [Errno::ACCESS, Errno::ROFS, Errno::IO] {
        assert!(!is_full(&other.into()), "{other}");
    }
}

#[test]
fn settling_takes_from_others_what_they_may_do_with_any_file() {
    let scratch = Scratch::new().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let ours = [
        "A-1.json",
        "A-1.rejected.jsonl",
        "A-1.rejected.jsonl.old",
        "A-1.damaged.json",
    ];
    for name in ours.iter().chain(&["B-1.json"]) {
        fs::write(at(name), "kept").unwrap();
        set_mode(&at(name), 0o666);
    }
    // Looking alone changes nothing.
    inspect(scratch.path(), "A-1.").unwrap();
    assert_eq!(mode(&at("A-1.json")), 0o666);
    settle(scratch.path(), "A-1.").unwrap();
    for name in ours {
        assert_eq!(mode(&at(name)), 0o600, "{name}");
        assert_eq!(fs::read_to_string(at(name)).unwrap(), "kept");
    }
    assert_eq!(mode(&at("B-1.json")), 0o666);
}

const BESIDE: [&str; 2] = ["-wal", "-journal"];

#[test]
fn a_database_may_be_where_only_its_owner_and_root_can_exchange_it() {
    let scratch = Scratch::new().unwrap();
    let real = scratch.path().canonicalize().unwrap();
    let at = |name: &str| real.join(name);
    let good = |path: &Path| {
        let (found, doubts) = database(path, &BESIDE).unwrap();
        assert_eq!(doubts, [""; 0], "{}", path.display());
        found
    };
    assert_eq!(good(&at("new.db")), at("new.db"));
    assert_eq!(good(&at("no/such/new.db")), at("no/such/new.db"));
    fs::write(at("old.db"), "").unwrap();
    assert_eq!(good(&at("old.db")), at("old.db"));
    // Links of ours, to a file that is there and to one that is not.
    symlink("old.db", at("link.db")).unwrap();
    assert_eq!(good(&at("link.db")), at("old.db"));
    symlink("never.db", at("dangling.db")).unwrap();
    assert_eq!(good(&at("dangling.db")), at("never.db"));
    // What is beside the file itself counts, not what is beside the link.
    symlink("/etc/passwd", at("link.db-wal")).unwrap();
    good(&at("link.db"));
    symlink("/etc/passwd", at("old.db-journal")).unwrap();
    let wanted = format!("{}: it is a symbolic link", at("old.db-journal").display());
    let text = refused(database(&at("link.db"), &BESIDE));
    assert!(text.starts_with(&wanted), "{text}");
    fs::remove_file(at("old.db-journal")).unwrap();
    fs::hard_link(at("old.db"), at("old.db-wal")).unwrap();
    let text = refused(database(&at("old.db"), &BESIDE));
    assert!(text.starts_with("it has 2 names"), "{text}");
    fs::remove_file(at("old.db-wal")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(at("fifo.db"))
            .status()
            .unwrap()
            .success()
    );
    let text = refused(database(&at("fifo.db"), &BESIDE));
    assert!(text.starts_with("it is a FIFO"), "{text}");

    set_mode(&at("old.db"), 0o666);
    let (_, doubts) = database(&at("old.db"), &BESIDE).unwrap();
    assert!(
        matches!(doubts.as_slice(), [doubt] if doubt.starts_with("everybody may write to it (mode 666)")),
        "{doubts:?}"
    );
    set_mode(&at("old.db"), 0o644);
    // As /tmp, and without the sticky bit.
    fs::create_dir(at("open")).unwrap();
    set_mode(&at("open"), 0o1777);
    good(&at("open/new.db"));
    set_mode(&at("open"), 0o777);
    let outcome = database(&at("open/new.db"), &BESIDE);
    let text = match User::effective() {
        User(0) => refused(outcome),
        User(_) => outcome.unwrap().1.concat(),
    };
    assert!(text.starts_with("others can exchange what is in"), "{text}");
}

#[test]
fn a_database_of_another_user_is_doubtful_and_one_that_anybody_could_have_made_is_refused() {
    let scratch = Scratch::new().unwrap();
    let directory = scratch.path().join("directory");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("x.db");
    fs::write(&path, "").unwrap();
    set_mode(&directory, 0o755);
    let data = |path: &Path| fs::symlink_metadata(path).unwrap();
    let owner = User(data(&path).uid());
    let outcome = |user| rules::shared_file(&path, &data(&path), &data(&directory), user);
    assert_eq!(outcome(owner).unwrap(), None);
    if owner != User(0) {
        for user in [other(), User(0)] {
            let doubt = outcome(user).unwrap().unwrap();
            assert!(
                doubt.starts_with(&format!("it belongs to user {}", owner.0)),
                "{doubt}"
            );
        }
    }
    // Root's file is good for all.
    let roots = fs::symlink_metadata("/etc/passwd").unwrap();
    let passwd = Path::new("/etc/passwd");
    assert_eq!(
        rules::shared_file(passwd, &roots, &data(&directory), User(4711)).unwrap(),
        None
    );

    set_mode(&directory, 0o1777);
    assert_eq!(outcome(owner).unwrap(), None);
    let way = |user| rules::shared_way(&directory, &data(&directory), user);
    if owner == User(0) {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        let text = refused(outcome(owner));
        assert!(
            text.starts_with("it belongs to user 65534, and this program runs as user 0"),
            "{text}"
        );
        assert_eq!(way(User(4711)).unwrap(), None);
    } else {
        refused(outcome(User(4711)));
        assert!(
            way(User(4711))
                .unwrap()
                .unwrap()
                .contains("who can exchange what is in it")
        );
    }
    set_mode(&directory, 0o777);
    assert!(way(User(4711)).unwrap().is_some());
    if owner == User(0) {
        refused(way(owner));
    }
}
