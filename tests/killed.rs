//! Promise 1: killed at any instruction and started again, it ends in exactly the rows of an undisturbed run.

use std::time::{Duration, Instant};

use crate::support::compare::assert_equal;
use crate::support::database::fresh_database;
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::random::Dice;
use crate::support::simulator::{Config, Simulator, TruthFilter};
use crate::support::size::size;

/// Kills in a group, which ends with an undisturbed run and a comparison, as a contact that changes again would cover
/// what a kill has done to it.
const KILLS: usize = 10;

/// Goes by between two starts: an eighth of the contacts changes.
const HOUR: Duration = Duration::from_secs(3600);

/// A campaign so small that the start, the writing of state and the end are as likely to be hit as the copy itself.
fn campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 200,
        daily_share: 3.0,
        long_texts: false,
        ..Config::default()
    })
}

/// What a killed process left is whole: the checkpoint is missing or can be read, and the next start found it good.
fn assert_state_is_whole(program: &Program) {
    for entry in std::fs::read_dir(program.directory().join("state"))
        .into_iter()
        .flatten()
    {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.contains("damaged"), "{name}");
        if name.ends_with(".json") {
            let text = std::fs::read_to_string(&path).unwrap();
            let state: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(state["shape"].is_string(), "{text}");
        }
    }
    assert!(!program.log().contains("damaged"));
}

/// A random moment in the first `percent` of a life.
fn share(life: Duration, dice: &mut Dice, percent: u64) -> Duration {
    life.mul_f64(dice.below(percent * 1000) as f64 / 100_000.0)
}

/// Kills db_init and db_sync at moments that a seed chooses, spread over their whole lives.
fn kill_and_start_again(kind: Kind, seed: u64) {
    println!("{kind:?}: seed {seed}");
    let mut dice = Dice::new(seed);
    let sim = campaign();
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url).arg("--batch", "20");

    // How long an undisturbed life is; the first one, in which the tables are made, is killed as well.
    let begin = Instant::now();
    program
        .start("db_init")
        .kill_at(begin, Duration::from_millis(30));
    program.succeed("db_init");
    sim.advance(HOUR);
    let begin = Instant::now();
    program.succeed("db_init");
    // A machine that others use as well may be slower now than later: the length follows what is seen.
    let mut life = begin.elapsed();

    let groups = size(kind).kill_groups;
    let mut alive = 0;
    for _ in 0..groups {
        for _ in 0..KILLS {
            sim.advance(HOUR);
            let moment = share(life, &mut dice, 110);
            let begin = Instant::now();
            let in_time = program.start("db_init").kill_at(begin, moment);
            alive += usize::from(in_time);
            life = life.mul_f64(if in_time { 1.02 } else { 0.8 });
            assert_state_is_whole(&program);
        }
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
    // Most moments must lie in the life of the process, or nothing was tested.
    let kills = groups * KILLS;
    assert!(alive * 2 > kills, "{alive} of {kills} were killed in time");

    for _ in 0..groups {
        for _ in 0..KILLS {
            let moment = share(life, &mut dice, 150);
            let begin = Instant::now();
            let running = program.start("db_sync");
            sim.advance(HOUR);
            assert!(running.kill_at(begin, moment), "db_sync ended by itself");
            assert_state_is_whole(&program);
        }
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        running.signal("TERM");
        assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

#[test]
fn sqlite_survives_kills_at_any_moment() {
    kill_and_start_again(Kind::Sqlite, 1);
}

#[test]
fn postgresql_survives_kills_at_any_moment() {
    kill_and_start_again(Kind::Postgres, 2);
}

#[test]
fn sql_server_survives_kills_at_any_moment() {
    kill_and_start_again(Kind::SqlServer, 4);
}

#[test]
fn mariadb_survives_kills_at_any_moment() {
    kill_and_start_again(Kind::Mysql, 3);
}
