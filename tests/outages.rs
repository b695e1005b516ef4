//! Promise 6: whatever is away comes back: it waits, goes on, and leaves no gap.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::compare::assert_equal;
use crate::support::database::{Database, fresh_database};
use crate::support::hostile_api::HostileApi;
use crate::support::program::{Ended, Program, Running, tail};
use crate::support::servers::{Kind, private_server};
use crate::support::simulator::{Config, Md5Covers, Readings, Simulator, TruthFilter};
use crate::support::sqlserver::PrivateSqlServer;

mod believed;
mod clocks;
mod left_out;
mod lost_rows;
mod silent;
mod wrong_answers;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn campaign(contacts: u32) -> Simulator {
    Simulator::start(Config {
        contacts,
        daily_share: 2.0,
        long_texts: false,
        ..Config::default()
    })
}

/// What gives campaign and token to a program that asks another API.
fn idle_sim() -> Simulator {
    Simulator::start(Config {
        contacts: 1,
        ..Config::default()
    })
}

fn of_api(sim: &Simulator, api: &HostileApi, url: &str) -> Program {
    Program::new(sim, url)
        .arg("--api-url", &api.url())
        .arg("--retry-wait", "1ms")
}

/// One run of a mode that ends by itself, or one round of the others.
fn once(program: &Program, mode: &str) -> Ended {
    let flags: &[&str] = match mode {
        "db_init" | "db_update" => &[],
        _ => &["--once"],
    };
    program.start_with(mode, flags).wait(2 * MINUTE)
}

fn assert_truth(sim: &Simulator, database: &Database) {
    assert_equal(sim, &TruthFilter::default(), database);
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{what}: not seen"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait_for_log(program: &Program, text: &str) {
    wait_for(text, || program.log().contains(text));
}

fn end(running: Running) {
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
}

fn failed_rounds(status: &serde_json::Value) -> u64 {
    status["failed_rounds"].as_u64().unwrap()
}

/// A database server that is killed in the middle of db_init, and stopped in the middle of db_sync.
fn the_database_server_goes_away(
    database: &Database,
    stop: &dyn Fn(),
    kill: &dyn Fn(),
    start: &dyn Fn(),
) {
    let sim = campaign(1500);
    let program = Program::new(&sim, &database.url).arg("--batch", "50");

    let running = program.start("db_init");
    wait_for("documents", || sim.counters().documents > 400);
    kill();
    wait_for_log(&program, "trying again in");
    let before = sim.counters().documents;
    assert!(before < 1500, "killed too late: {before}");
    start();
    let ended = running.wait(Duration::from_secs(120));
    assert_eq!(ended.code, Some(0), "{}", tail(&program.log()));
    assert!(program.log().contains("the database is back"));
    assert_truth(&sim, database);

    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    stop();
    sim.advance(HOUR);
    wait_for("trouble", || {
        running
            .status()
            .is_some_and(|status| !status["last_error"].is_null())
    });
    sim.advance(MINUTE);
    assert!(!running.has_ended());
    start();
    running.wait_rounds(3);
    end(running);
    program.succeed_once();
    assert_truth(&sim, database);
}

fn a_private_server_goes_away(kind: Kind) {
    let server = private_server(kind);
    the_database_server_goes_away(
        &server.database(),
        &|| server.stop(),
        &|| server.kill(),
        &|| server.start(),
    );
}

#[test]
fn postgresql_goes_away_and_comes_back() {
    a_private_server_goes_away(Kind::Postgres);
}

#[test]
fn mariadb_goes_away_and_comes_back() {
    a_private_server_goes_away(Kind::Mysql);
}

#[test]
fn sql_server_goes_away_and_comes_back() {
    let server = PrivateSqlServer::new();
    let stop = || server.stop();
    the_database_server_goes_away(&server.database, &stop, &stop, &|| server.start());
}

#[test]
fn the_api_is_away_for_longer_than_all_attempts_last() {
    for kind in Kind::ALL {
        let sim = campaign(600);
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url).arg("--batch", "50");
        let mut running = program.start("db_init");
        wait_for("documents", || sim.counters().documents > 100);
        sim.outage(true);
        running.wait_until("a failed round", |status| failed_rounds(status) > 0);
        sim.outage(false);
        assert_eq!(running.wait(MINUTE).code, Some(0));
        assert_truth(&sim, &database);

        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        sim.outage(true);
        for _ in 0..6 {
            sim.advance(10 * MINUTE);
        }
        running.wait_until("failed rounds", |status| failed_rounds(status) > 1);
        sim.advance(26 * HOUR);
        sim.outage(false);
        running.wait_rounds(3);
        end(running);
        assert_truth(&sim, &database);
    }
}

#[test]
fn a_refusal_in_the_middle_is_waited_out() {
    let sim = campaign(600);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).arg("--batch", "50");
    let mut running = program.start("db_init");
    wait_for("documents", || sim.counters().documents > 100);
    sim.deny(true);
    running.wait_until("failed rounds", |status| failed_rounds(status) > 1);
    sim.deny(false);
    assert_eq!(running.wait(MINUTE).code, Some(0));
    assert_truth(&sim, &database);

    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    sim.deny(true);
    sim.advance(HOUR);
    let status = running.wait_until("failed rounds", |status| failed_rounds(status) > 1);
    let message = status["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("403"), "{message}");
    sim.deny(false);
    running.wait_rounds(3);
    end(running);
    assert_truth(&sim, &database);
}

#[test]
fn a_state_directory_that_is_lost_is_logged_and_waited_for() {
    let sim = campaign(200);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    let (state, aside) = (
        program.directory().join("state"),
        program.directory().join("aside"),
    );
    fs::rename(&state, &aside).unwrap();
    fs::write(&state, "a file in the place of the directory").unwrap();
    sim.advance(HOUR);
    running.wait_rounds(3);
    assert!(program.log().contains("cannot save the checkpoint"));
    // New columns, too, are adopted without it: the simulator adds fields after one, two and three hours.
    sim.advance(3 * HOUR);
    running.wait_rounds(3);
    assert_truth(&sim, &database);
    fs::remove_file(&state).unwrap();
    fs::rename(&aside, &state).unwrap();
    running.wait_rounds(3);
    end(running);
    sim.advance(HOUR);
    program.succeed_once();
    assert_truth(&sim, &database);
    assert!(!program.log().contains("damaged"));
}

/// The largest file that a process may write stands for the room on the disk.
#[test]
fn a_full_disk_is_waited_out() {
    let sim = campaign(600);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url)
        .arg("--batch", "50")
        .after("trap '' XFSZ; ulimit -S -f 300");
    let mut running = program.start("db_init");
    wait_for("trouble", || {
        running
            .status()
            .is_some_and(|status| !status["last_error"].is_null())
    });
    assert!(!running.has_ended());
    let pid = running.pid().to_string();
    let more_room = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status()
        .unwrap();
    assert!(more_room.success());
    assert_eq!(running.wait(MINUTE).code, Some(0));
    assert_truth(&sim, &database);
}

#[test]
fn a_status_file_that_cannot_be_written_is_logged_once_per_round() {
    let sim = campaign(50);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).arg("--status-file", "/nowhere/status.json");
    program.succeed("db_init");
    assert!(
        program
            .log()
            .contains("cannot write the status file /nowhere/status.json")
    );
    assert_truth(&sim, &database);
}
