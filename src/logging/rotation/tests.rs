#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::scratch::Scratch;
use std::cell::Cell;
use std::time::Duration;
use time::macros::datetime;

const START: OffsetDateTime = datetime!(2024-03-05 9:15:42.9 UTC);

/// A clock that goes on by one second each time it is asked.
fn ticking() -> Clock {
    let next = Cell::new(START);
    Box::new(move || next.replace(next.get() + Duration::from_secs(1)))
}

fn stopped() -> Clock {
    Box::new(|| START)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn limits(file_bytes: u64, files: usize) -> Limits {
    Limits {
        file_bytes,
        files,
        goes_on: false,
    }
}

/// Sets the time of the last change, as the tests are faster than the clock of the file system.
fn touch(path: &Path, seconds_ago: u64) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago))
        .unwrap();
}

#[test]
fn begins_a_new_file_when_one_is_full() {
    let scratch = Scratch::new().unwrap();
    let mut log =
        RotatingLog::create(scratch.path(), "C_db_sync", limits(10, 10), ticking()).unwrap();
    // As simplelog does it: a line comes in parts.
    for part in ["12", "34", "\n", "56789", "\nabc", "\n", "d\n"] {
        assert_eq!(log.write(part.as_bytes()).unwrap(), part.len());
    }
    assert_eq!(
        names(scratch.path()),
        [
            "C_db_sync_20240305091542.log",
            "C_db_sync_20240305091543.log"
        ]
    );
    let text = |name: &str| fs::read_to_string(scratch.path().join(name)).unwrap();
    assert_eq!(text("C_db_sync_20240305091542.log"), "1234\n56789\n");
    assert_eq!(text("C_db_sync_20240305091543.log"), "abc\nd\n");
    assert!(log.path().ends_with("C_db_sync_20240305091543.log"));
}

#[test]
fn a_line_is_written_when_it_ends() {
    let scratch = Scratch::new().unwrap();
    let mut log = RotatingLog::create(scratch.path(), "C", limits(10, 10), stopped()).unwrap();
    log.write_all(b"begin").unwrap();
    assert_eq!(fs::read_to_string(log.path()).unwrap(), "");
    log.write_all(b" end\n").unwrap();
    assert_eq!(fs::read_to_string(log.path()).unwrap(), "begin end\n");
}

#[test]
fn names_within_one_second_are_unique() {
    let scratch = Scratch::new().unwrap();
    let mut log = RotatingLog::create(scratch.path(), "C", limits(1, 10), stopped()).unwrap();
    log.write_all(b"1\n2\n3\n").unwrap();
    let other = RotatingLog::create(scratch.path(), "C", limits(1, 10), stopped()).unwrap();
    assert!(other.path().ends_with("C_20240305091542-4.log"));
    assert_eq!(
        names(scratch.path()),
        [
            "C_20240305091542-2.log",
            "C_20240305091542-3.log",
            "C_20240305091542-4.log",
            "C_20240305091542.log"
        ]
    );
}

#[test]
fn only_the_newest_files_are_kept() {
    let scratch = Scratch::new().unwrap();
    let mut log = RotatingLog::create(scratch.path(), "C", limits(1, 3), ticking()).unwrap();
    for number in 0..8 {
        touch(log.path(), 100 - number);
        log.write_all(format!("{number}\n").as_bytes()).unwrap();
        touch(log.path(), 100 - number);
    }
    assert_eq!(
        names(scratch.path()),
        [
            "C_20240305091547.log",
            "C_20240305091548.log",
            "C_20240305091549.log"
        ]
    );
    assert_eq!(fs::read_to_string(log.path()).unwrap(), "7\n");
}

#[test]
fn surplus_files_go_at_the_start_and_other_files_stay() {
    let scratch = Scratch::new().unwrap();
    let strangers = [
        "C_db_init_20200101000000.log",
        "C_db_sync_20200101000000.log.gz",
        "C_db_sync_2020010100000.log",
        "C_db_sync_notes.log",
        "C_db_sync_x_20200101000000.log",
        "D_db_sync_20200101000000.log",
    ];
    for name in strangers {
        fs::write(scratch.path().join(name), "").unwrap();
    }
    for day in 1..=5 {
        let path = scratch
            .path()
            .join(format!("C_db_sync_2020010{day}000000.log"));
        fs::write(&path, "").unwrap();
        // The oldest name was written to last, as by another process that has been running for long.
        touch(&path, if day == 1 { 10 } else { 1000 - day });
    }
    let log = RotatingLog::create(scratch.path(), "C_db_sync", limits(10, 3), stopped()).unwrap();
    let mut expected: Vec<&str> = strangers.to_vec();
    expected.extend([
        "C_db_sync_20200101000000.log",
        "C_db_sync_20200105000000.log",
        "C_db_sync_20240305091542.log",
    ]);
    expected.sort_unstable();
    assert_eq!(names(scratch.path()), expected);
    assert!(log.path().ends_with("C_db_sync_20240305091542.log"));
}

#[test]
fn never_removes_the_file_it_writes() {
    let scratch = Scratch::new().unwrap();
    let newer = scratch.path().join("C_20990101000000.log");
    fs::write(&newer, "").unwrap();
    let log = RotatingLog::create(scratch.path(), "C", limits(10, 1), stopped()).unwrap();
    touch(log.path(), 1_000_000);
    log.prune();
    assert_eq!(names(scratch.path()), ["C_20240305091542.log"]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new().unwrap();
    let directory = scratch.path().join("a/b");
    let log = RotatingLog::create(&directory, "C", limits(10, 1), stopped()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(log.path()), 0o600);
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&scratch.path().join("a")), 0o700);
}

#[test]
fn lines_are_lost_and_counted_while_no_file_can_be_begun() {
    let scratch = Scratch::new().unwrap();
    let directory = scratch.path().join("log");
    let mut log = RotatingLog::create(&directory, "C", limits(1, 10), ticking()).unwrap();
    log.write_all(b"1\n").unwrap();
    fs::remove_dir_all(&directory).unwrap();
    log.write_all(b"2\n3\n").unwrap();
    fs::create_dir(&directory).unwrap();
    log.write_all(b"4\n").unwrap();
    assert_eq!(
        fs::read_to_string(log.path()).unwrap(),
        "\n2 log lines could not be written\n4\n"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_waited_out() {
    let scratch = Scratch::new().unwrap();
    let mut log = RotatingLog::create(scratch.path(), "C", limits(1000, 10), stopped()).unwrap();
    let full = File::options().append(true).open("/dev/full").unwrap();
    let disk = std::mem::replace(&mut log.file, full);
    log.write_all(b"1\n").unwrap();
    log.file = disk;
    log.write_all(b"2\n").unwrap();
    assert_eq!(
        fs::read_to_string(log.path()).unwrap(),
        "\n1 log lines could not be written\n2\n"
    );
    assert_eq!(log.written, 36);
}

#[test]
fn runs_of_one_round_share_a_file_until_it_is_full() {
    let scratch = Scratch::new().unwrap();
    let shared = Limits {
        goes_on: true,
        ..limits(10, 10)
    };
    for (number, line) in (0..).zip(["12345\n", "67890\n", "abc\n"]) {
        let mut log = RotatingLog::create(scratch.path(), "C", shared, stopped()).unwrap();
        log.write_all(line.as_bytes()).unwrap();
        touch(log.path(), 100 - number);
    }
    let text = |name: &str| fs::read_to_string(scratch.path().join(name)).unwrap();
    assert_eq!(
        names(scratch.path()),
        ["C_20240305091542-2.log", "C_20240305091542.log"]
    );
    assert_eq!(text("C_20240305091542.log"), "12345\n67890\n");
    assert_eq!(text("C_20240305091542-2.log"), "abc\n");
    // A run of another kind begins a file of its own.
    RotatingLog::create(scratch.path(), "C", limits(10, 10), stopped()).unwrap();
    assert_eq!(names(scratch.path()).len(), 3);
}

/// As an earlier version or a copy may have left them.
#[cfg(unix)]
#[test]
fn older_files_are_closed_to_others_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new().unwrap();
    let mode = |name: &str| {
        let data = std::fs::metadata(scratch.path().join(name)).unwrap();
        data.permissions().mode() & 0o777
    };
    let wide = |name: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, "kept").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    let old = [
        "C_db_sync_20240101000000.log",
        "C_db_sync_20240102000000.log",
    ];
    old.into_iter().for_each(wide);
    wide("somebody_else.log");
    RotatingLog::create(scratch.path(), "C_db_sync", limits(10, 10), ticking()).unwrap();
    assert_eq!(old.map(mode), [0o600, 0o600]);
    assert_eq!(mode("somebody_else.log"), 0o644);
}
