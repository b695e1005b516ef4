//! Promise 10: memory does not grow with the campaign.

use std::time::Duration;

use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Simulator};

/// What ten times the contacts may need beyond a tenth more: SQLite fills its cache of 2 MiB only as the file grows.
const CACHES_KIB: u64 = 1024;

/// What the program may need at most.
const LIMIT_KIB: u64 = 64 * 1024;

/// Whether glibc may give each thread a heap of its own. It does so by default, and then what threads hand to each other
/// leaves holes whose number grows for long (28 MiB at 4,000 contacts, 35 at 40,000, 39 at 150,000). One heap shows what
/// the program itself holds.
#[derive(Clone, Copy)]
enum Heaps {
    One,
    AsUsual,
}

/// The high-water mark of resident memory of db_init, in KiB; and the rows that it wrote.
fn peak(contacts: u32, kind: Kind, heaps: Heaps) -> (u64, usize) {
    let sim = Simulator::start(Config {
        contacts,
        custom_fields: 12,
        oddities: false,
        long_texts: false,
        inbound_per_day: 20,
        added_fields: Vec::new(),
        ..Config::default()
    });
    let database = fresh_database(kind);
    let mut program = Program::new(&sim, &database.url);
    if let Heaps::One = heaps {
        // Few threads: how full the queues between them get is chance, and eight threads' worth of it is 3 MiB.
        program = program.variable("MALLOC_ARENA_MAX", "1").arg("--w", "2");
    }
    let mut running = program.start("db_init");
    let mut peak = 0;
    while !running.has_ended() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()));
        let mark = status.unwrap_or_default().lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        });
        peak = peak.max(mark.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(running.wait(Duration::from_secs(1)).code, Some(0));
    assert_eq!(
        rows(&database, "contacts"),
        sim.contact_count() as usize - sim.deleted().len()
    );
    let rows = ["transactions", "connections", "recordings"].map(|table| rows(&database, table));
    (peak, rows.iter().sum())
}

fn rows(database: &Database, table: &str) -> usize {
    let counted = database.query(&format!("SELECT count(*) FROM dfire_{table}"));
    counted[0][0].as_ref().unwrap().parse().unwrap()
}

fn ten_times_the_contacts(few: u32, kind: Kind) {
    let (small, _) = peak(few, kind, Heaps::One);
    let (large, rows) = peak(10 * few, kind, Heaps::One);
    println!("{kind:?}: {few} contacts {small} KiB, ten times as many {large} KiB, {rows} rows");
    assert!(
        rows > 5 * 10 * few as usize,
        "{rows} rows are too few to tell"
    );
    assert!(small > 5 * 1024, "{small} KiB can't be right");
    assert!(large < LIMIT_KIB, "{large} KiB");
    assert!(
        large * 10 <= small * 11 + CACHES_KIB * 10,
        "{small} KiB became {large} KiB"
    );
}

#[test]
fn sqlite_needs_no_more_memory_for_ten_times_the_contacts() {
    ten_times_the_contacts(5000, Kind::Sqlite);
}

#[test]
fn postgresql_needs_no_more_memory_for_ten_times_the_contacts() {
    ten_times_the_contacts(3000, Kind::Postgres);
}

#[test]
fn sql_server_needs_no_more_memory_for_ten_times_the_contacts() {
    ten_times_the_contacts(2000, Kind::SqlServer);
}

#[test]
#[ignore = "takes minutes; for a release build: 20,000 and 200,000 contacts"]
fn full_size() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        ten_times_the_contacts(20_000, kind);
        let (usual, _) = peak(200_000, kind, Heaps::AsUsual);
        println!("{kind:?}: 200000 contacts with a heap per thread {usual} KiB");
        assert!(usual < LIMIT_KIB, "{usual} KiB");
    }
}
