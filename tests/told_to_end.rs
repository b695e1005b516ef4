//! Promise 7: told to end, it ends within five seconds, whatever it does, and has lost nothing. The exit code is 0, or 5
//! where the work has an end that was not reached.

use std::time::{Duration, Instant};

use crate::support::compare::assert_equal;
use crate::support::database::{Database, fresh_database};
use crate::support::locked::Locked;
use crate::support::program::{Program, Running};
use crate::support::servers::Kind;
use crate::support::simulator::random::Dice;
use crate::support::simulator::{Config, Endpoint, Fault, Faults, Simulator, TruthFilter};
use crate::support::size::size;

/// The promise.
const IN_TIME: Duration = Duration::from_secs(5);

const HOURS: Duration = Duration::from_secs(4 * 3600);

fn campaign(contacts: u32) -> Simulator {
    Simulator::start(Config {
        contacts,
        daily_share: 3.0,
        long_texts: false,
        ..Config::default()
    })
}

/// Signals it; it must end in time, and say what it did.
fn end(running: Running, signal: &str, mode: &str, when: &str) {
    running.signal(signal);
    let ended = running.wait(IN_TIME);
    let line = ended.stdout.lines().last().unwrap_or_default();
    let good = match (mode, ended.code) {
        ("db_sync", code) => code == Some(0),
        (_, Some(5)) => line.starts_with(&format!("{mode} incomplete: ")),
        // The signal came too late.
        (_, code) => code == Some(0) && line.starts_with(&format!("{mode} complete: ")),
    };
    assert!(good, "{signal} {when}: {ended:?}");
}

/// A last run, after which nothing may be missing.
fn assert_nothing_is_lost(sim: &Simulator, program: &Program, database: &Database) {
    sim.set_faults(Faults::none());
    program.succeed("db_init");
    assert_equal(sim, &TruthFilter::default(), database);
}

fn at_many_moments(kind: Kind) {
    let mut dice = Dice::new(7);
    let sim = campaign(300);
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    let begin = Instant::now();
    program.succeed("db_init");
    let life = begin.elapsed().as_micros() as u64;
    let signals = size(kind).signals;
    for number in 0..2 * signals {
        sim.advance(HOURS);
        let mode = if number < signals {
            "db_init"
        } else {
            "db_sync"
        };
        let signal = if number % 2 == 0 { "TERM" } else { "INT" };
        let mut running = program.start(mode);
        // Before it listens to signals one ends it like any other program: its log file is there just after.
        running.wait_for_log();
        let moment = Duration::from_micros(dice.below(life));
        let begin = Instant::now();
        while begin.elapsed() < moment && !running.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if running.has_ended() {
            assert_eq!(running.wait(IN_TIME).code, Some(0));
        } else {
            end(
                running,
                signal,
                mode,
                &format!("{moment:?} after the start of {mode}"),
            );
        }
    }
    assert_nothing_is_lost(&sim, &program, &database);
}

#[test]
fn at_many_moments_with_sqlite() {
    at_many_moments(Kind::Sqlite);
}

#[test]
fn at_many_moments_with_postgresql() {
    at_many_moments(Kind::Postgres);
}

#[test]
fn at_many_moments_with_sql_server() {
    at_many_moments(Kind::SqlServer);
}

#[test]
fn at_many_moments_with_mariadb() {
    at_many_moments(Kind::Mysql);
}

/// Waits until somebody stands before the lock.
fn wait_for_a_victim(sim: &Simulator, database: &Database) {
    let begin = Instant::now();
    let waiting = || -> bool {
        match database.kind {
            Kind::Postgres => !database
                .query("SELECT pid FROM pg_locks WHERE NOT granted")
                .is_empty(),
            Kind::Mysql => !database
                .query(
                    "SELECT id FROM information_schema.processlist \
                     WHERE db = DATABASE() AND state LIKE 'Waiting for%lock%'",
                )
                .is_empty(),
            Kind::SqlServer => database.somebody_waits_in_sql_server(),
            // SQLite has no list: documents that arrived are written next.
            Kind::Sqlite => sim.counters().documents > 0,
        }
    };
    while !waiting() {
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
}

fn while_the_database_is_locked(kind: Kind) {
    let sim = campaign(300);
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    let lock = Locked::new(&database).unwrap();
    sim.reset_counters();
    sim.advance(HOURS);
    wait_for_a_victim(&sim, &database);
    end(running, "TERM", "db_sync", "while the database is locked");
    // A second one while it waits at the lock ends it at once: it does not get the five seconds.
    let mut running = program.start("db_sync");
    running.wait_for_log();
    wait_for_a_victim(&sim, &database);
    running.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.has_ended(), "{kind:?}: the lock does not hold it");
    running.signal("INT");
    let begin = Instant::now();
    assert_eq!(running.wait(IN_TIME).code, Some(128 + 2));
    assert!(begin.elapsed() < Duration::from_secs(1));
    lock.release();
    assert_nothing_is_lost(&sim, &program, &database);
}

#[test]
fn while_a_sqlite_database_is_locked() {
    while_the_database_is_locked(Kind::Sqlite);
}

/// From the first moment on the status file is that of this run, and whoever ends it by force leaves word there.
#[test]
fn while_the_database_is_locked_from_the_start() {
    // No column is added later: nothing but writing waits.
    let sim = Simulator::start(Config {
        contacts: 100,
        daily_share: 3.0,
        long_texts: false,
        added_fields: Vec::new(),
        new_key_after: None,
        ..Config::default()
    });
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    program.succeed_once();
    let lock = Locked::new(&database).unwrap();
    for mode in ["db_sync", "db_update"] {
        sim.advance(HOURS);
        sim.reset_counters();
        let mut running = program.start(mode);
        let begun = running.wait_until("it has begun", |status| {
            status["mode"] == mode && status["rounds"] == 0
        });
        assert!(begun["last_error"].is_null(), "{begun}");
        assert!(begun["last_success"].is_string(), "{begun}");
        assert!(begun["checkpoint"].is_string(), "{begun}");
        wait_for_a_victim(&sim, &database);
        running.signal("TERM");
        let ended = running.wait(IN_TIME);
        let line = ended.stdout.lines().last().unwrap_or_default();
        assert!(line.contains("still at work"), "{ended:?}");
        if mode == "db_update" {
            let begin = "db_update incomplete: 0 contacts, 0 transactions, ";
            assert!(line.starts_with(begin), "{line}");
        }
        let text = std::fs::read_to_string(program.directory().join("status.json")).unwrap();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["last_error"]["message"], line);
        assert_eq!(told["started"], begun["started"]);
        assert_eq!(told["last_success"], begun["last_success"]);
    }
    lock.release();
    assert_nothing_is_lost(&sim, &program, &database);
}

#[test]
fn while_a_postgresql_table_is_locked() {
    while_the_database_is_locked(Kind::Postgres);
}

#[test]
fn while_a_sql_server_table_is_locked() {
    while_the_database_is_locked(Kind::SqlServer);
}

#[test]
fn while_a_mariadb_table_is_locked() {
    while_the_database_is_locked(Kind::Mysql);
}

/// Waits until the simulator has got a request of this endpoint.
fn wait_for_request(sim: &Simulator, endpoint: Endpoint) {
    let begin = Instant::now();
    while sim.counters().of(endpoint) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "{endpoint:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn while_the_api_is_silent_or_drips() {
    for fault in [Fault::Delay(60_000), Fault::SlowDrip] {
        for (endpoint, mode) in [
            (Endpoint::Fields, "db_init"),
            (Endpoint::List, "db_init"),
            (Endpoint::Contacts, "db_init"),
            (Endpoint::Events, "db_sync"),
        ] {
            let sim = campaign(100);
            let database = fresh_database(Kind::Sqlite);
            let program = Program::new(&sim, &database.url);
            sim.set_faults(Faults {
                endpoints: vec![endpoint],
                ..Faults::at_rate(1.0, &[fault])
            });
            let running = program.start(mode);
            wait_for_request(&sim, endpoint);
            end(
                running,
                "TERM",
                mode,
                &format!("while {endpoint:?} meets {fault:?}"),
            );
            assert_nothing_is_lost(&sim, &program, &database);
        }
    }
}

#[test]
fn while_it_waits_out_an_outage() {
    // The waits are drawn between nothing and a minute: some of them are long.
    let sim = campaign(100);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let mut running = program.start_with("db_sync", &["--retry-wait=60s"]);
    running.wait_rounds(1);
    sim.outage(true);
    let begin = Instant::now();
    while !program.log().contains("next one in") {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "no attempt failed"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    end(running, "INT", "db_sync", "during an outage of the API");
    sim.outage(false);
    sim.advance(HOURS);
    assert_nothing_is_lost(&sim, &program, &database);
}

#[test]
fn a_hangup_is_ignored_under_nohup_and_deadly_otherwise() {
    let sim = campaign(50);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).after("trap '' HUP");
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    running.signal("HUP");
    running.wait_rounds(3);
    end(running, "TERM", "db_sync", "after a hangup");

    // Deadly by default, which this test may not have inherited.
    let program = Program::new(&sim, &database.url).with_default_signals();
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    running.signal("HUP");
    assert_eq!(running.wait(IN_TIME).code, None);
}
