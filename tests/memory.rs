//! Promise 10: memory does not grow with the campaign, nor without bound under attack.

mod hostile;
mod hostile_databases;

use std::time::Duration;

use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Simulator};

/// What the program may need at most.
const LIMIT_KIB: u64 = 32 * 1024;

/// The high-water mark of resident memory of db_init, in KiB; and the rows that it wrote.
fn peak(contacts: u32, kind: Kind) -> (u64, usize) {
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
    let program = Program::new(&sim, &database.url);
    let mut running = program.start("db_init");
    let mut peak = 0;
    while !running.has_ended() {
        peak = peak.max(high_water_mark(running.pid()));
        std::thread::sleep(Duration::from_millis(2));
    }
    let ended = running.wait(Duration::from_secs(1));
    assert_eq!(ended.code, Some(0), "{}", program.log());
    assert_eq!(
        rows(&database, "contacts"),
        sim.contact_count() as usize - sim.deleted().len()
    );
    let rows = ["transactions", "connections", "recordings"].map(|table| rows(&database, table));
    (peak, rows.iter().sum())
}

/// The most resident memory that a process has had so far, in KiB.
fn high_water_mark(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let mark = status.unwrap_or_default().lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    mark.unwrap_or(0)
}

fn rows(database: &Database, table: &str) -> usize {
    let counted = database.query(&format!("SELECT count(*) FROM dfire_{table}"));
    counted[0][0].as_ref().unwrap().parse().unwrap()
}

/// How many the smaller campaign has: few, so that the suite is over soon, unless `DBSYNC_TEST_CONTACTS` says more.
fn contacts(by_default: u32) -> u32 {
    let size = std::env::var("DBSYNC_TEST_CONTACTS").ok();
    size.map_or(by_default, |size| size.parse().unwrap())
}

fn ten_times_the_contacts(few: u32, kind: Kind) {
    // How full queues get is chance, and a longer run draws more often; what grows with the campaign does so in every run.
    let small = (0..3).map(|_| peak(few, kind).0).max().unwrap();
    let flat = |(large, _): &(u64, usize)| large * 10 <= small * 11;
    let (large, rows) = (0..2)
        .map(|_| peak(10 * few, kind))
        .find(flat)
        .unwrap_or_else(|| peak(10 * few, kind));
    println!("{kind:?}: {few} contacts {small} KiB, ten times as many {large} KiB, {rows} rows");
    assert!(
        rows > 5 * 10 * few as usize,
        "{rows} rows are too few to tell"
    );
    assert!(small > 5 * 1024, "{small} KiB can't be right");
    assert!(large < LIMIT_KIB, "{large} KiB");
    assert!(large * 10 <= small * 11, "{small} KiB became {large} KiB");
}

#[test]
fn sqlite_needs_no_more_memory_for_ten_times_the_contacts() {
    ten_times_the_contacts(contacts(4000), Kind::Sqlite);
}

#[test]
fn postgresql_needs_no_more_memory_for_ten_times_the_contacts() {
    ten_times_the_contacts(contacts(4000), Kind::Postgres);
}

#[test]
fn mariadb_needs_no_more_memory_for_ten_times_the_contacts() {
    ten_times_the_contacts(contacts(3000), Kind::Mysql);
}

#[test]
fn sql_server_needs_no_more_memory_for_ten_times_the_contacts() {
    ten_times_the_contacts(contacts(2000), Kind::SqlServer);
}
