#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;

use super::*;
use crate::scratch::Scratch;

fn mark(n: u32) -> Mark {
    Mark {
        event: n,
        content: n * 7,
    }
}

fn key(n: u32) -> u64 {
    crate::destination::webhook::digest::key("contact", &n.to_string())
}

fn filled(path: &Path, count: u32) -> Ledger {
    let mut ledger = Ledger::open(path, 0).unwrap();
    for n in 0..count {
        ledger.record(key(n), mark(n), 100 + n / 1000);
    }
    ledger
}

#[test]
fn it_survives_the_end_of_the_process() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("c.ledger");
    let mut ledger = filled(&path, 1000);
    ledger.record(key(5), mark(2000), 100);
    // Not dropped, not synced: as by SIGKILL.
    std::mem::forget(ledger);
    let ledger = Ledger::open(&path, 0).unwrap();
    assert_eq!(ledger.len(), 1000);
    assert_eq!(ledger.get(key(5)), Some(mark(2000)));
    assert_eq!(ledger.get(key(6)), Some(mark(6)));
    assert_eq!(ledger.get(key(1000)), None);
}

#[test]
fn a_sync_is_asked_for_only_after_changes() {
    let scratch = Scratch::new().unwrap();
    let mut ledger = Ledger::open(&scratch.path().join("c.ledger"), 0).unwrap();
    assert!(ledger.begin_sync().unwrap().is_none());
    ledger.record(1, mark(1), 1);
    assert!(ledger.begin_sync().unwrap().is_some());
    assert!(ledger.begin_sync().unwrap().is_none());
    ledger.record(1, mark(1), 2);
    assert!(ledger.begin_sync().unwrap().is_none());
    ledger.sync_failed();
    assert!(ledger.begin_sync().unwrap().is_some());
    ledger.record(2, mark(2), 2);
    ledger.prune(0).unwrap();
    assert!(ledger.begin_sync().unwrap().is_some());
}

/// Damages a file of 1000 records and returns which ones are known afterwards, also after another start.
fn known_after(damage: impl FnOnce(&mut Vec<u8>)) -> Vec<u32> {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("c.ledger");
    drop(filled(&path, 1000));
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 1000 * RECORD);
    damage(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let known = |ledger: &Ledger| -> Vec<u32> {
        (0..1000)
            .filter(|n| ledger.get(key(*n)) == Some(mark(*n)))
            .collect()
    };
    let mut ledger = Ledger::open(&path, 0).unwrap();
    let first = known(&ledger);
    ledger.record(key(5000), mark(5000), 100);
    drop(ledger);
    let again = Ledger::open(&path, 0).unwrap();
    assert_eq!(known(&again), first);
    assert_eq!(again.get(key(5000)), Some(mark(5000)));
    let whole = u64::try_from(again.len() * RECORD).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), whole);
    first
}

fn all_but(lost: std::ops::Range<u32>) -> Vec<u32> {
    (0..1000).filter(|n| !lost.contains(n)).collect()
}

#[test]
fn a_torn_end_costs_the_torn_record() {
    for cut in [1, 10, RECORD - 1] {
        assert_eq!(
            known_after(|bytes| bytes.truncate(bytes.len() - cut)),
            all_but(999..1000)
        );
    }
    // After a power cut the end may be there and be empty.
    let zeros = known_after(|bytes| bytes.extend([0; 1000]));
    assert_eq!(zeros, all_but(0..0));
}

#[test]
fn damage_in_the_middle_costs_what_it_hits() {
    assert_eq!(
        known_after(|bytes| bytes[500 * RECORD + 3] ^= 1),
        all_but(500..501)
    );
    let removed = known_after(|bytes| drop(bytes.drain(500 * RECORD + 3..502 * RECORD + 5)));
    assert_eq!(removed, all_but(500..503));
    let inserted = known_after(|bytes| bytes.insert(0, 7));
    assert_eq!(inserted, all_but(0..0));
    assert_eq!(known_after(|bytes| bytes.fill(0xff)), all_but(0..1000));
}

#[test]
fn what_is_too_old_is_forgotten() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("c.ledger");
    let mut ledger = filled(&path, 30_000);
    ledger.prune(120).unwrap();
    assert_eq!(ledger.len(), 10_000);
    assert_eq!(ledger.get(key(19_999)), None);
    assert_eq!(ledger.get(key(20_000)), Some(mark(20_000)));
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        u64::try_from(10_000 * RECORD).unwrap()
    );
    ledger.record(key(1), mark(1), 130);
    let ledger = Ledger::open(&path, 0).unwrap();
    assert_eq!(ledger.len(), 10_001);
}

#[test]
fn what_lies_in_the_spool_is_never_too_old() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("c.ledger");
    let mut ledger = filled(&path, 25_000);
    for n in [3, 4] {
        ledger.record_spooled(key(n), mark(n), 90);
    }
    ledger.record(key(4), mark(40), 100);
    // The first time what has left the spool is still there, in its last version; then the file is written again.
    for (length, left) in [(1002, Some(mark(40))), (1001, None)] {
        ledger.prune(124).unwrap();
        assert_eq!(ledger.len(), length);
        assert_eq!(ledger.get(key(4)), left);
        assert_eq!(*ledger.spooled(), BTreeMap::from([(key(3), 90)]));
        assert_eq!(ledger.get(key(3)), Some(mark(3)));
        assert_eq!(ledger.newest_day(), Some(124));
    }
}

#[test]
fn superseded_records_do_not_pile_up() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("c.ledger");
    let mut ledger = filled(&path, 10);
    for n in 0..20_000 {
        ledger.record(key(n % 10), mark(n), 100);
    }
    drop(ledger);
    let ledger = Ledger::open(&path, 0).unwrap();
    assert_eq!(ledger.len(), 10);
    assert_eq!(ledger.get(key(9)), Some(mark(19_999)));
    assert!(fs::metadata(&path).unwrap().len() < 100 * 24);
}

#[test]
fn a_million_transactions_are_read_and_stay_small() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("c.ledger");
    let mut bytes = Vec::with_capacity(1_000_000 * RECORD);
    for n in 0..1_000_000 {
        let record = Record {
            key: key(n),
            mark: mark(n),
            day: 1,
            spooled: false,
        };
        bytes.extend(record.bytes());
    }
    fs::write(&path, bytes).unwrap();
    let begin = std::time::Instant::now();
    let ledger = Ledger::open(&path, 0).unwrap();
    let time = begin.elapsed();
    assert_eq!(ledger.len(), 1_000_000);
    assert!(ledger.table.bytes() <= 19_000_000);
    println!("a million transactions were read in {time:?}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("c.ledger");
    drop(filled(&path, 1));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
