//! Two at the same time: of the same they exclude each other, of different ones they share database and state directory.

use std::fs;
use std::time::Duration;

use crate::support::compare::{assert_equal, assert_holds, truth_of};
use crate::support::database::{Database, fresh_database};
use crate::support::program::{Program, Running};
use crate::support::receiver::Receiver;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Simulator, TruthFilter, Which};

const HOUR: Duration = Duration::from_secs(3600);

fn campaign(name: &str, seed: u64) -> Simulator {
    Simulator::start(Config {
        seed,
        campaign: name.to_owned(),
        contacts: 150,
        daily_share: 2.0,
        long_texts: false,
        ..Config::default()
    })
}

fn end(running: Running) {
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
}

fn assert_excluded(program: &Program, mode: &str, pid: u32) {
    let second = program.run_beside(mode);
    assert_eq!(second.code, Some(4), "{mode}: {second:?}");
    let wanted = format!("process {pid} is copying this campaign into this target already");
    assert!(second.stdout.contains(&wanted), "{mode}: {second:?}");
}

#[test]
fn the_same_campaign_and_target_twice_ends_with_4_and_names_the_first() {
    for kind in Kind::ALL {
        let sim = campaign("TWICE", 1);
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        for mode in ["db_sync", "db_init", "db_update"] {
            assert_excluded(&program, mode, running.pid());
        }
        sim.advance(HOUR);
        running.wait_until_copied();
        assert_equal(&sim, &TruthFilter::default(), &database);
        end(running);
        // The lock went with its process.
        program.succeed("db_update");
    }
    let sim = campaign("TWICE", 1);
    let receiver = Receiver::start();
    let program = Program::new(&sim, &receiver.url());
    let mut running = program.start("webhook");
    running.wait_rounds(1);
    for mode in ["webhook", "replay"] {
        assert_excluded(&program, mode, running.pid());
    }
    end(running);
}

#[test]
fn what_a_power_cut_leaves_of_a_lock_holds_nobody_up() {
    let sim = campaign("STALE", 1);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let lock = fs::read_dir(program.directory().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "lock"))
        .unwrap();
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    running.kill();
    // Of a killed process, of one that lives and has nothing to do with it, and of none at all.
    let own = format!("{}\n", std::process::id());
    for left in [None, Some(own.as_str()), Some(""), Some("\0\0\0\0")] {
        if let Some(left) = left {
            fs::write(&lock, left).unwrap();
        }
        sim.advance(HOUR);
        let mut running = program.start("db_sync");
        running.wait_until_copied();
        let pid = running.pid();
        assert_eq!(fs::read_to_string(&lock).unwrap(), format!("{pid}\n"));
        end(running);
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

/// Runs two programs side by side while hours go by, with kills of the first one.
fn side_by_side(sims: [&Simulator; 2], programs: [&Program; 2]) {
    let first_copies = programs.map(|program| program.start("db_init"));
    for running in first_copies {
        assert_eq!(running.wait(Duration::from_secs(120)).code, Some(0));
    }
    let [mut killed, mut other] = programs.map(|program| program.start("db_sync"));
    for _ in 0..6 {
        for sim in sims {
            sim.advance(HOUR);
        }
        killed.kill();
        killed = programs[0].start("db_sync");
        killed.wait_until_copied();
        other.wait_until_copied();
    }
    end(killed);
    end(other);
    for program in programs {
        // Two who write to the same tables may be in each other's way: that is tried again.
        let trouble = |line: &&str| {
            line.contains("[ERROR]") && !line.to_ascii_lowercase().contains("deadlock")
        };
        let log = program.log();
        assert_eq!(log.lines().find(trouble), None);
    }
}

/// A program whose state lies in the other one's directory.
fn sharing(sim: &Simulator, database: &Database, with: &Program) -> Program {
    let state = with.directory().join("state").display().to_string();
    Program::new(sim, &database.url).arg("--state-dir", &state)
}

#[test]
fn two_prefixes_side_by_side_in_one_database_and_state_directory() {
    for kind in Kind::ALL {
        let sim = campaign("PREFIXES", 1);
        let database = fresh_database(kind);
        let first = Program::new(&sim, &database.url);
        let second = sharing(&sim, &database, &first).arg("--tp", "other_");
        side_by_side([&sim, &sim], [&first, &second]);
        let truth = truth_of(&sim, &TruthFilter::default(), &database);
        assert_holds(&truth, &database, "dfire_");
        assert_holds(&truth, &database, "other_");
    }
}

#[test]
fn two_campaigns_side_by_side_in_the_same_tables() {
    for kind in Kind::ALL {
        let sims = [campaign("FIRST", 1), campaign("SECOND", 2)];
        let database = fresh_database(kind);
        let first = Program::new(&sims[0], &database.url);
        let second = sharing(&sims[1], &database, &first);
        side_by_side([&sims[0], &sims[1]], [&first, &second]);
        let stored: std::collections::BTreeSet<String> =
            database.dump("dfire_contacts").into_keys().collect();
        let filter = TruthFilter::default();
        let mut truth = sims[0].truth(&filter, &Which::All);
        truth.extend(sims[1].truth(&filter, &Which::All));
        for sim in &sims {
            let deleted = sim.deleted().intersection(&stored).cloned().collect();
            truth.extend(sim.truth(&filter, &Which::Ids(deleted)));
        }
        assert_holds(&truth, &database, "dfire_");
    }
}
