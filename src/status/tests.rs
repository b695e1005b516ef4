#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::error::ErrorKind;
use crate::scratch::Scratch;
use serde_json::json;
use time::macros::datetime;

pub(crate) fn status() -> Status {
    Status {
        version: "1.2.3",
        campaign: "CAMP".to_owned(),
        mode: "db_sync",
        target: "postgres://db.example:5432/reports".to_owned(),
        pid: 42,
        started: datetime!(2024-03-05 9:15:42 UTC),
        last_success: None,
        checkpoint: Some(datetime!(2024-03-05 11:16:42.468123 +1)),
        lag_seconds: Some(61),
        rounds: 3,
        failed_rounds: 1,
        written: Totals::default(),
        rejected: 4,
        unanswered: 5,
        webhook: None,
        last_error: Some(LastError {
            time: datetime!(2024-03-05 9:16:00 UTC),
            message: "cannot reach \"it\"".to_owned(),
        }),
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn writes_json_and_replaces_it() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("status.json");
    fs::write(&path, "old").unwrap();
    let mut status = status();
    status.written.add([1, 2, 3, 4, 5]);
    status.written.add([10, 20, 30, 40, 50]);
    write(&path, &status).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with("}\n"));
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        found,
        json!({
            "version": "1.2.3",
            "campaign": "CAMP",
            "mode": "db_sync",
            "target": "postgres://db.example:5432/reports",
            "pid": 42,
            "started": "2024-03-05T09:15:42.000Z",
            "last_success": null,
            "checkpoint": "2024-03-05T10:16:42.468Z",
            "lag_seconds": 61,
            "rounds": 3,
            "failed_rounds": 1,
            "written": {
                "contacts": 11,
                "transactions": 22,
                "connections": 33,
                "recordings": 44,
                "inbound_calls": 55
            },
            "rejected": 4,
            "unanswered": 5,
            "last_error": {
                "time": "2024-03-05T09:16:00.000Z",
                "message": "cannot reach \"it\""
            }
        })
    );
    assert_eq!(names(scratch.path()), ["status.json"]);
}

#[test]
fn what_killed_processes_left_goes_and_what_is_being_written_stays() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("status.json");
    for (name, age) in [
        (".status.json.0123456789abcdef.new", 3600),
        (".status.json.1123456789abcdef.new", 0),
        (".other.json.0123456789abcdef.new", 3600),
    ] {
        let file = fs::File::create(scratch.path().join(name)).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(then).unwrap();
    }
    prepare(&path).unwrap();
    write(&path, &status()).unwrap();
    assert_eq!(
        names(scratch.path()),
        [
            ".other.json.0123456789abcdef.new",
            ".status.json.1123456789abcdef.new",
            "status.json"
        ]
    );
}

#[test]
fn failures_name_the_file_and_leave_nothing_behind() {
    let scratch = Scratch::new().unwrap();
    // A directory can't be replaced by a file.
    let path = scratch.path().join("status.json");
    fs::create_dir(&path).unwrap();
    let error = write(&path, &status()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let expected = format!("cannot write the status file {}: ", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(error.to_string().ends_with(" (check --status-file)"));
    assert_eq!(names(scratch.path()), ["status.json"]);

    assert!(write(&scratch.path().join("missing/status.json"), &status()).is_err());
    assert!(write(Path::new("/"), &status()).is_err());
}

#[cfg(unix)]
#[test]
fn a_reader_sees_the_old_file_to_its_end() {
    use std::io::Read;
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("status.json");
    fs::write(&path, "old").unwrap();
    let mut reader = fs::File::open(&path).unwrap();
    write(&path, &status()).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old");
}

#[cfg(unix)]
#[test]
fn who_may_read_the_file_still_may_after_a_start() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("status.json");
    let mut earlier = status();
    earlier.last_success = Some(earlier.started);
    write(&path, &earlier).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    prepare(&path).unwrap();
    assert_eq!(last_success(&path, "CAMP"), earlier.last_success);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}
