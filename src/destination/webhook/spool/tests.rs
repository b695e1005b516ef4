#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;

use super::*;
use crate::scratch::Scratch;

fn entry(key: u64, event: u32) -> Entry {
    Entry {
        time: "2024-03-05T09:15:42Z".to_owned(),
        reason: "HTTP 400".to_owned(),
        id: format!("msg_{key}_{event}"),
        contact: "C".to_owned(),
        transaction: "T".to_owned(),
        key,
        event,
        content: event + 1,
        body: format!("{{\"a\": \"ä\\n\",  \"n\":{event}.50}}"),
    }
}

struct Place {
    _scratch: Scratch,
    path: PathBuf,
    ledger: Ledger,
}

fn place() -> Place {
    let scratch = Scratch::new().unwrap();
    Place {
        path: scratch.path().join("c.undelivered.jsonl"),
        ledger: Ledger::open(&scratch.path().join("c.ledger"), 0).unwrap(),
        _scratch: scratch,
    }
}

fn open(place: &mut Place) -> Spool {
    Spool::open(&place.path, &mut place.ledger).unwrap()
}

fn read(spool: &Spool) -> Vec<Entry> {
    spool
        .keys()
        .into_iter()
        .map(|key| spool.read(key).unwrap().unwrap())
        .collect()
}

#[test]
fn requests_are_kept_word_for_word_and_in_order() {
    let mut place = place();
    let mut spool = open(&mut place);
    assert!(spool.is_empty() && !place.path.exists());
    for key in [9, 3, 5] {
        assert_eq!(spool.put(&entry(key, 1)).unwrap(), Put::Kept);
    }
    let wanted = [entry(9, 1), entry(3, 1), entry(5, 1)];
    assert_eq!(read(&spool), wanted);
    assert_eq!(read(&open(&mut place)), wanted);
    assert!(spool.holds(3, 1) && !spool.holds(3, 2) && !spool.holds(4, 1));
}

#[test]
fn a_newer_version_takes_the_place_of_the_older_one() {
    let mut place = place();
    let mut spool = open(&mut place);
    spool.put(&entry(1, 1)).unwrap();
    spool.put(&entry(2, 1)).unwrap();
    spool.put(&entry(1, 2)).unwrap();
    let wanted = [entry(2, 1), entry(1, 2)];
    assert_eq!(read(&spool), wanted);
    assert_eq!(read(&open(&mut place)), wanted);
    spool.compact().unwrap();
    assert_eq!(fs::read_to_string(&place.path).unwrap().lines().count(), 2);
    assert_eq!(read(&spool), wanted);
    spool.put(&entry(3, 1)).unwrap();
    assert_eq!(read(&open(&mut place)).len(), 3);
}

#[test]
fn a_version_out_of_date_takes_no_newer_one_with_it() {
    let mut place = place();
    let mut spool = open(&mut place);
    spool.put(&entry(1, 1)).unwrap();
    spool.put(&entry(1, 2)).unwrap();
    spool.forget_version(1, 1);
    assert_eq!(read(&spool), [entry(1, 2)]);
    spool.forget_version(1, 2);
    assert!(spool.is_empty());
}

#[test]
fn what_the_ledger_knows_of_does_not_count() {
    let mut place = place();
    let mut spool = open(&mut place);
    for key in 1..=4 {
        spool.put(&entry(key, 1)).unwrap();
    }
    let mark = |event, content| Mark { event, content };
    // Spooled; delivered since; a newer version was delivered.
    place.ledger.record(1, mark(1, 0), 1);
    place.ledger.record(2, mark(1, 2), 1);
    place.ledger.record_spooled(3, mark(1, 0), 1);
    place.ledger.record(3, mark(7, 8), 1);
    let mut spool = open(&mut place);
    assert_eq!(spool.keys(), [1, 4]);
    spool.compact().unwrap();
    assert_eq!(spool.keys(), open(&mut place).keys());
}

#[test]
fn a_ledger_that_is_older_than_the_spool_makes_nothing_out_of_date() {
    let scratch = Scratch::new().unwrap();
    let (path, ledger) = (
        scratch.path().join("c.jsonl"),
        scratch.path().join("c.ledger"),
    );
    let mark = |event, content| Mark { event, content };
    let fill = |ledger: &mut Ledger, spool: &mut Spool| {
        // Delivered, an update of it spooled, a newer one spooled in its place.
        ledger.record(1, mark(7, 70), 1);
        spool.put(&entry(1, 1)).unwrap();
        ledger.record_spooled(1, mark(1, 70), 1);
        spool.put(&entry(1, 2)).unwrap();
        ledger.record_spooled(1, mark(2, 70), 1);
    };
    let mut whole = Ledger::open(&ledger, 0).unwrap();
    let mut spool = Spool::open(&path, &mut whole).unwrap();
    fill(&mut whole, &mut spool);
    let records = fs::read(&ledger).unwrap();
    for cut in (0..=records.len()).step_by(4) {
        fs::write(&ledger, &records[..cut]).unwrap();
        let mut cut = Ledger::open(&ledger, 0).unwrap();
        let spool = Spool::open(&path, &mut cut).unwrap();
        assert_eq!(read(&spool), [entry(1, 2)]);
        // What is sent has to be the version that counts here.
        assert_eq!(cut.get(1).unwrap().event, 2);
    }
    // A newer version was delivered since, which the file still tells when it was written again.
    fs::write(&ledger, &records).unwrap();
    let mut whole = Ledger::open(&ledger, 0).unwrap();
    whole.record(1, mark(3, 30), 1);
    for n in 0..20_000 {
        whole.record(2, mark(n, n + 1), 1);
    }
    whole.prune(0).unwrap();
    let mut again = Ledger::open(&ledger, 0).unwrap();
    assert!(fs::metadata(&ledger).unwrap().len() < 1000);
    assert!(Spool::open(&path, &mut again).unwrap().is_empty());
}

#[test]
fn an_empty_spool_has_no_file() {
    let mut place = place();
    let mut spool = open(&mut place);
    spool.put(&entry(1, 1)).unwrap();
    assert!(place.path.exists());
    spool.forget(1);
    spool.forget(2);
    assert_eq!(spool.read(1).unwrap(), None);
    spool.compact().unwrap();
    assert!(!place.path.exists());
    spool.put(&entry(2, 1)).unwrap();
    assert_eq!(read(&open(&mut place)), [entry(2, 1)]);
}

#[test]
fn an_empty_file_that_was_left_goes() {
    let mut place = place();
    fs::write(&place.path, "").unwrap();
    let mut spool = open(&mut place);
    spool.compact().unwrap();
    assert!(!place.path.exists());
    spool.put(&entry(1, 1)).unwrap();
    assert_eq!(read(&open(&mut place)), [entry(1, 1)]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_could_not_be_written_goes() {
    let mut place = place();
    let mut spool = open(&mut place);
    std::os::unix::fs::symlink("/dev/full", &place.path).unwrap();
    assert!(spool.put(&entry(1, 1)).is_err());
    assert!(place.path.exists() && spool.keys().is_empty());
    spool.compact().unwrap();
    assert!(!place.path.is_symlink());
}

#[test]
fn a_torn_line_costs_itself_and_the_file_is_kept_aside() {
    let mut place = place();
    let mut spool = open(&mut place);
    spool.put(&entry(1, 1)).unwrap();
    spool.put(&entry(2, 1)).unwrap();
    let text = fs::read_to_string(&place.path).unwrap();
    fs::write(&place.path, &text[..text.len() - 9]).unwrap();
    let mut spool = open(&mut place);
    assert_eq!(read(&spool), [entry(1, 1)]);
    assert_eq!(
        fs::read_to_string(place.path.with_extension("damaged.jsonl"))
            .unwrap()
            .len(),
        text.len() - 9
    );
    spool.put(&entry(3, 1)).unwrap();
    assert_eq!(read(&open(&mut place)), [entry(1, 1), entry(3, 1)]);
    let text = fs::read_to_string(&place.path).unwrap();
    fs::write(&place.path, format!("damaged\n{text}")).unwrap();
    let mut spool = open(&mut place);
    spool.compact().unwrap();
    assert_eq!(fs::read_to_string(&place.path).unwrap(), text);
}

#[test]
fn it_is_bounded() {
    let mut place = place();
    let mut spool = open(&mut place);
    let mut large = entry(1, 1);
    large.body = "x".repeat(1000);
    spool.length = MAX_BYTES - 500;
    assert_eq!(spool.put(&large).unwrap(), Put::Full);
    assert!(spool.is_empty());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let mut place = place();
    let mut spool = open(&mut place);
    let mode = || fs::metadata(&place.path).unwrap().permissions().mode() & 0o777;
    spool.put(&entry(1, 1)).unwrap();
    assert_eq!(mode(), 0o600);
    spool.put(&entry(1, 2)).unwrap();
    spool.compact().unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn what_a_damaged_file_has_lost_is_known_from_the_ledger() {
    let mut place = place();
    let mut spool = open(&mut place);
    for key in [1, 2, 3] {
        let entry = Entry {
            transaction: format!("2024-03-0{key}T09:15:42.468Z0217"),
            ..entry(key, 1)
        };
        spool.put(&entry).unwrap();
    }
    // Entered where the ledger has forgotten them; a second start finds the same.
    for _ in 0..2 {
        assert!(open(&mut place).lost().is_empty());
        let days = [(1, 19_783), (2, 19_784), (3, 19_785)];
        assert_eq!(*place.ledger.spooled(), BTreeMap::from(days));
    }
    let whole = fs::read(&place.path).unwrap();
    fs::write(&place.path, &whole[..whole.len() / 2]).unwrap();
    let spool = open(&mut place);
    assert_eq!(spool.keys(), [1]);
    assert_eq!(*spool.lost(), BTreeMap::from([(2, 19_784), (3, 19_785)]));
    // It is so until somebody has taken care of it.
    assert_eq!(open(&mut place).lost().len(), 2);
    place.ledger.no_longer_spooled(2, true);
    assert_eq!(open(&mut place).lost().len(), 1);
    assert_eq!(place.ledger.get(2).unwrap().event, 0);
    // A line removed as a whole is given up, for good.
    let lines = String::from_utf8(whole).unwrap();
    fs::write(&place.path, lines.lines().next().unwrap().to_owned() + "\n").unwrap();
    assert!(open(&mut place).lost().is_empty());
    fs::write(&place.path, "{").unwrap();
    assert_eq!(open(&mut place).lost().keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(place.ledger.get(3).unwrap().event, 1);
}

#[test]
fn the_day_of_a_transaction() {
    assert_eq!(day_of("1970-01-02T00:00:00Z0001"), 1);
    assert_eq!(day_of("2024-03-05T09:15:42.468Z0217"), 19_787);
    assert_eq!(day_of("unbekannt"), 0);
    assert_eq!(day_of("1969-12-31T00:00:00Z1"), 0);
}
