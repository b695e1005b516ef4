//! Checkpoints that survive, locks that hold.
#![allow(clippy::unwrap_used)]

use std::fs::{self, OpenOptions};

use super::*;

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("dbsync2-state-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

fn files(directory: &Path, target: &str) -> StateFiles {
    StateFiles::locate(Some(directory), &[], "CAMPAIGN", target).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        poll: Some(time::macros::datetime!(2024-03-05 09:15:42 UTC)),
        shape: "abc".to_owned(),
        trusted_after: Some("2024-03-05T00:00:00Z".to_owned()),
        retry: vec!["A".to_owned()],
        ..Checkpoint::default()
    }
}

#[test]
fn a_saved_checkpoint_is_loaded_again_and_belongs_to_its_target() {
    let directory = directory("save");
    let one = files(&directory, "postgres://a:5432/x dfire_");
    assert_eq!(one.load().unwrap(), None);
    one.save(&checkpoint()).unwrap();
    assert_eq!(one.load().unwrap(), Some(checkpoint()));
    assert_eq!(
        files(&directory, "postgres://a:5432/y dfire_")
            .load()
            .unwrap(),
        None
    );
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_checkpoint_of_a_later_version_is_read_as_far_as_it_is_known() {
    let directory = directory("later");
    let files = files(&directory, "t");
    fs::write(
        files.path("json"),
        r#"{"poll":"2024-03-05T09:15:42Z","news":[1]}"#,
    )
    .unwrap();
    assert_eq!(files.load().unwrap().unwrap().poll, checkpoint().poll);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_set_aside_wherever_it_was_cut() {
    let directory = directory("damaged");
    let files = files(&directory, "t");
    files.save(&checkpoint()).unwrap();
    let whole = fs::read(files.path("json")).unwrap();
    for cut in 0..whole.len() - 1 {
        fs::write(files.path("json"), whole.get(..cut).unwrap()).unwrap();
        assert_eq!(files.load().unwrap(), Some(compare_all()), "cut at {cut}");
        // Also for a process that is killed right then.
        assert_eq!(files.load().unwrap(), Some(compare_all()), "cut at {cut}");
        assert_eq!(fs::read(files.path("damaged.json")).unwrap().len(), cut);
    }
    fs::write(files.path("json"), [0xff, 0xfe]).unwrap();
    assert_eq!(files.load().unwrap(), Some(compare_all()));
    fs::remove_dir_all(directory).unwrap();
}

/// A checkpoint of version 0.1 that knew of a loss, or lay beside a note of one.
#[test]
fn what_an_earlier_version_owed_is_owed() {
    let directory = directory("earlier");
    let files = files(&directory, "t");
    let text = |refill: bool| {
        format!(
            r#"{{"poll":"2024-03-05T09:15:42Z","since":"2024-01-01T00:00:00Z","shape":"abc","trusted_after":"2024-03-05T00:00:00Z",
            "refill":{refill},"witnesses":[{{"id":"A","changed":"2024-03-05T09:00:00Z"}}]}}"#
        )
    };
    for (refill, note) in [(true, false), (false, true)] {
        fs::write(files.path("json"), text(refill)).unwrap();
        if note {
            fs::write(files.path("lost"), "").unwrap();
        }
        let checkpoint = files.load().unwrap().unwrap();
        assert_eq!(
            checkpoint.owed,
            Some(Owed {
                since: Some(time::macros::datetime!(2024-01-01 0:00 UTC)),
                reason: Reason::Lost,
            })
        );
        assert_eq!(checkpoint.trusted_after, None);
        let witness = Witness {
            id: "A".to_owned(),
            changed: Some("2024-03-05T09:00:00Z".to_owned()),
            ..Witness::default()
        };
        assert_eq!(checkpoint.witnesses, [witness]);
        files.save(&checkpoint).unwrap();
        assert!(!files.path("lost").exists());
        assert_eq!(files.load().unwrap(), Some(checkpoint));
    }
    fs::write(files.path("json"), text(false)).unwrap();
    let checkpoint = files.load().unwrap().unwrap();
    assert_eq!(checkpoint.owed, None);
    assert!(checkpoint.trusted_after.is_some());
    fs::remove_dir_all(directory).unwrap();
}

/// What is left of a damaged checkpoint.
fn compare_all() -> Checkpoint {
    Checkpoint {
        owed: Some(Owed {
            since: None,
            reason: Reason::Checkpoint,
        }),
        ..Checkpoint::default()
    }
}

#[test]
fn in_place_of_a_damaged_checkpoint_the_one_before_counts() {
    let directory = directory("before");
    let files = files(&directory, "t");
    let first = checkpoint();
    files.save(&first).unwrap();
    let later = Checkpoint {
        poll: first.poll.map(|poll| poll + time::Duration::HOUR),
        ..first.clone()
    };
    files.save(&later).unwrap();
    assert_eq!(files.load().unwrap(), Some(later));
    // Cut in its place, as another program would do it.
    let file = OpenOptions::new()
        .write(true)
        .open(files.path("json"))
        .unwrap();
    file.set_len(20).unwrap();
    let wanted = Checkpoint {
        owed: Some(Owed {
            since: None,
            reason: Reason::Checkpoint,
        }),
        ..first
    };
    assert_eq!(files.load().unwrap(), Some(wanted));
    // Whoever removes the checkpoint wants none.
    fs::remove_file(files.path("json")).unwrap();
    assert_eq!(files.load().unwrap(), None);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_lock_is_held_once_and_names_its_holder() {
    let directory = directory("lock");
    let files = files(&directory, "t");
    let lock = files.lock().unwrap();
    let error = files.lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    if cfg!(unix) {
        assert!(
            error
                .to_string()
                .starts_with(&format!("process {} is copying", std::process::id())),
            "{error}"
        );
    }
    drop(lock);
    files.lock().unwrap();
    fs::remove_dir_all(directory).unwrap();
}

#[cfg(unix)]
#[test]
fn state_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory("private");
    let files = files(&directory, "t");
    files.save(&checkpoint()).unwrap();
    let _lock = files.lock().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&files.path("json")), 0o600);
    assert_eq!(mode(&files.path("lock")), 0o600);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_next_place_is_taken_where_the_first_cannot_be_written() {
    let good = directory("fallback");
    let files = StateFiles::locate(
        None,
        &[PathBuf::from("/dev/null/x"), good.clone()],
        "C",
        "t",
    )
    .unwrap();
    assert_eq!(files.directory(), good);
    let error = StateFiles::locate(None, &[PathBuf::from("/dev/null/x")], "C", "t").unwrap_err();
    assert!(
        error.to_string().contains("/dev/null/x") && error.to_string().contains("--state-dir"),
        "{error}"
    );
    let error = StateFiles::locate(None, &[], "C", "t").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot keep state: no directory is known (check --state-dir)"
    );
    fs::remove_dir_all(good).unwrap();
}

#[test]
fn the_old_clients_time_is_found() {
    let directory = directory("old");
    fs::create_dir_all(&directory).unwrap();
    let places = [PathBuf::from("/nonexistent"), directory.clone()];
    assert_eq!(old_client_timestamp(&places, "C"), None);
    fs::write(
        directory.join("C.json"),
        r#"{"timestamp": "2024-03-05T09:15:42"}"#,
    )
    .unwrap();
    assert_eq!(
        old_client_timestamp(&places, "C").unwrap().1,
        checkpoint().poll.unwrap()
    );
    fs::write(
        directory.join("C.json"),
        r#"{"timestamp": "2024-03-05T09:15:42.000Z"}"#,
    )
    .unwrap();
    assert_eq!(
        old_client_timestamp(&places, "C").unwrap().1,
        checkpoint().poll.unwrap()
    );
    fs::write(directory.join("C.json"), "{").unwrap();
    assert_eq!(old_client_timestamp(&places, "C"), None);
    fs::remove_dir_all(directory).unwrap();
}

/// What the version before left of a first copy that was killed.
#[test]
fn an_unfinished_first_copy_of_an_earlier_version_is_owed() {
    let directory = directory("unfinished");
    let files = files(&directory, "t");
    let text = r#"{
  "target": "sqlite:///var/lib/x.db",
  "poll": null,
  "since": null,
  "look_back": null,
  "reconcile": null,
  "shape": "8a1c1cb0c43d3f0c4c1a5d3b3d1f8e11",
  "trusted_after": "2024-03-05T09:15:42Z",
  "retry": [],
  "refill": false
}"#;
    fs::write(files.path("json"), text).unwrap();
    let owed = |files: &StateFiles| files.load().unwrap().unwrap().owed;
    let reason = Reason::Copy;
    assert_eq!(
        owed(&files),
        Some(Owed {
            since: None,
            reason
        })
    );
    // One of webhook, and one of a copy that was complete.
    for other in [
        text.replace("\"2024-03-05T09:15:42Z\"", "null"),
        text.replace("\"poll\": null", "\"poll\": \"2024-03-05T10:00:00Z\""),
    ] {
        fs::write(files.path("json"), other).unwrap();
        assert_eq!(owed(&files), None);
    }
}
