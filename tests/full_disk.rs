//! `check` on a full disk: it names each place that can't grow, and writes nothing there that stays.

use std::fs;

use crate::support::program::{Ended, Program};
use crate::support::simulator::{Config, Simulator};
use crate::support::temp::TempDir;
use crate::torture::disk::Disk;

/// The line of a check that is about this, and whether it is a good one.
fn line<'a>(checked: &'a Ended, subject: &str) -> (bool, &'a str) {
    let line = checked.stdout.lines().find_map(|line| {
        let (mark, rest) = line.split_once(' ')?;
        rest.trim_start()
            .starts_with(subject)
            .then_some((mark == "ok", line))
    });
    line.unwrap_or_else(|| panic!("no line about {subject}: {checked:?}"))
}

const PLACES: [(&str, &str, &str); 4] = [
    ("--state-dir", "state", "state directory"),
    ("--log-dir", "log", "log directory"),
    ("--status-file", "status.json", "status file"),
    ("--url", "dialfire.db", "write access"),
];

#[test]
fn check_names_what_a_full_disk_does_not_let_grow() {
    let sim = Simulator::start(Config {
        contacts: 20,
        long_texts: false,
        ..Config::default()
    });
    let program_with = |flag: &str, value: &str| {
        let program = Program::new(&sim, "sqlite:");
        let url = format!("sqlite://{}/dialfire.db", program.directory().display());
        program.arg("--url", &url).arg(flag, value)
    };
    for (flag, name, subject) in PLACES {
        let place = TempDir::new();
        let disk = Disk::mount(place.path(), 4);
        let scheme = if flag == "--url" { "sqlite://" } else { "" };
        let path = format!("{scheme}{}/{name}", place.path().display());
        let mut program = program_with(flag, &path);
        program.succeed("check");
        program.succeed("db_init");
        assert!(line(&program.succeed("check"), subject).0);
        if !disk.fill() {
            // Who can't mount a disk limits what the program may write to a file; then it is the same everywhere.
            program = program.after("trap '' XFSZ; ulimit -S -f 100");
        }
        let before = names(&place);
        let checked = program.run("check");
        assert_eq!(checked.code, Some(1), "{flag}: {checked:?}");
        let wrong = |line: &str| {
            let about = line.strip_prefix("WRONG").unwrap_or_default().trim_start();
            // A database that can't even be opened is named by its address.
            let is_it =
                about.starts_with(subject) || flag == "--url" && about.starts_with("sqlite:");
            is_it && about.contains("(make room on the disk")
        };
        assert!(checked.stdout.lines().any(wrong), "{flag}: {checked:?}");
        assert_eq!(names(&place), before, "{flag}");
        if disk.mounted {
            for (other, _, subject) in PLACES.iter().filter(|(other, ..)| *other != flag) {
                assert!(line(&checked, subject).0, "{flag}, {other}: {checked:?}");
            }
            disk.free();
            assert!(line(&program.succeed("check"), subject).0);
        }
    }
}

/// The files that stay: of the log, each start makes one more, and SQLite can't do away with its own on a full disk.
fn names(place: &TempDir) -> Vec<String> {
    let mut pending = vec![place.path().to_owned()];
    let mut names = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if !path.extension().is_some_and(|end| {
                ["log", "db-wal", "db-shm"]
                    .iter()
                    .any(|known| end == *known)
            }) {
                names.push(path.display().to_string());
            }
        }
    }
    names.sort();
    names
}
