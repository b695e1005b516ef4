//! The files in the state directory: checkpoint, ledger and spool, whatever is left of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dbsync2::destination::webhook::ledger::{Ledger, Mark};
use dbsync2::destination::webhook::spool::{Entry, Spool};
use dbsync2::state::StateFiles;

use super::memory::bounded;

/// Reads the input as each of the three.
pub fn state_file(data: &[u8]) {
    checkpoint(data);
    ledger(data);
    spool(data);
}

/// A directory in memory where there is one; it stays, as a fuzz target has no end.
fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let place = match memory.is_dir() {
            true => memory.to_owned(),
            false => std::env::temp_dir(),
        };
        let directory = place.join(format!("dbsync2-fuzz-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    })
}

/// Removes what the checks have left behind.
pub fn clean_up() {
    fs::remove_dir_all(directory()).unwrap();
}

/// A checkpoint is read, or set aside; what was read is read again when it was saved.
fn checkpoint(data: &[u8]) {
    let state = StateFiles::locate(Some(directory()), &[], "C", "t").unwrap();
    fs::write(state.path("json"), data).unwrap();
    match bounded(data.len(), || state.load()).unwrap() {
        Some(checkpoint) => {
            state.save(&checkpoint).unwrap();
            assert_eq!(state.load().unwrap(), Some(checkpoint));
        }
        None => {
            assert_eq!(fs::read(state.path("damaged.json")).unwrap(), data);
            assert!(state.load().unwrap().is_none());
        }
    }
}

/// What is known from the ledger is known after it was opened again, with what was recorded since.
fn ledger(data: &[u8]) {
    let path = directory().join("ledger");
    fs::write(&path, data).unwrap();
    let mut ledger = bounded(data.len(), || Ledger::open(&path, 0)).unwrap();
    let known = ledger.len();
    assert!(known <= data.len() / 24);
    let (key, mark) = (
        0x0123_4567_89ab_cdef,
        Mark {
            event: 1,
            content: 2,
        },
    );
    ledger.record(key, mark, 20_000);
    let known = ledger.len();
    drop(ledger);
    let ledger = Ledger::open(&path, 0).unwrap();
    assert_eq!(ledger.get(key), Some(mark));
    assert_eq!(ledger.len(), known);
    assert_eq!(fs::metadata(&path).unwrap().len() % 24, 0);
}

/// What waits in the spool can be read, and still waits after another request was added and the file was written again.
fn spool(data: &[u8]) {
    let ledger_path = directory().join("empty-ledger");
    fs::write(&ledger_path, b"").unwrap();
    let mut ledger = Ledger::open(&ledger_path, 0).unwrap();
    let path = directory().join("spool.jsonl");
    fs::write(&path, data).unwrap();
    let mut spool = bounded(data.len(), || Spool::open(&path, &mut ledger)).unwrap();
    let mut entries = all(&spool);
    let new = Entry {
        time: "2024-03-05T09:15:42Z".to_owned(),
        reason: "HTTP 400".to_owned(),
        id: "msg_1".to_owned(),
        contact: "C".to_owned(),
        transaction: "T".to_owned(),
        key: 0x0123_4567_89ab_cdef,
        event: 1,
        content: 2,
        body: "{}".to_owned(),
    };
    spool.put(&new).unwrap();
    entries.retain(|entry| entry.key != new.key);
    entries.push(new);
    spool.compact().unwrap();
    assert_eq!(all(&spool), entries);
    assert_eq!(all(&Spool::open(&path, &mut ledger).unwrap()), entries);
}

fn all(spool: &Spool) -> Vec<Entry> {
    spool
        .keys()
        .into_iter()
        .map(|key| spool.read(key).unwrap().unwrap())
        .collect()
}
