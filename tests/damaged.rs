//! Promise 1, where files of the state directory are damaged: cut short anywhere, nothing is lost.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::compare::assert_equal;
use crate::support::database::fresh_database;
use crate::support::deliveries::missing;
use crate::support::program::{Program, tail};
use crate::support::receiver::{Receiver, Reply};
use crate::support::servers::Kind;
use crate::support::simulator::{Config, EventsBy, Md5Covers, Readings, Simulator, TruthFilter};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 150,
        daily_share: 0.5,
        published_late: 0.0,
        long_texts: false,
        readings: Readings {
            events_by: EventsBy::Modified,
            md5_covers: Md5Covers::Everything,
            ..Readings::default()
        },
        ..Config::default()
    })
}

/// A file of the state directory, by the end of its name.
fn state_file(program: &Program, end: &str) -> PathBuf {
    fs::read_dir(program.directory().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(end))
        .unwrap_or_else(|| panic!("no file ends with {end}"))
}

/// Leaves this share of a file.
fn cut(path: &PathBuf, share: f64) {
    let bytes = fs::read(path).unwrap();
    let length = (bytes.len() as f64 * share) as usize;
    fs::write(path, &bytes[..length]).unwrap();
}

fn two_rounds(program: &Program, mode: &str) {
    let mut running = program.start(mode);
    running.wait_until_copied();
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
}

#[test]
fn what_happened_while_the_checkpoint_was_cut_is_copied() {
    for (share, cuts_both) in [(0.0, false), (0.5, false), (0.9, true), (0.0, true)] {
        let sim = campaign();
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        two_rounds(&program, "db_sync");
        cut(&state_file(&program, ".json"), share);
        if cuts_both {
            cut(&state_file(&program, ".json.old"), share);
        }
        // The list of contacts changed today does not name them all.
        sim.advance(3 * DAY);
        two_rounds(&program, "db_sync");
        assert_equal(&sim, &TruthFilter::default(), &database);
        assert!(program.log().contains("is damaged"));
        // That was once.
        let told = |log: String| log.matches("everything is compared once more").count();
        let before = told(program.log());
        two_rounds(&program, "db_sync");
        assert_eq!(told(program.log()), before);
    }
}

#[test]
fn a_killed_start_with_a_cut_checkpoint_is_no_first_start() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    for end in [".json", ".json.old"] {
        cut(&state_file(&program, end), 0.3);
    }
    sim.advance(3 * DAY);
    // Before it has copied anything.
    sim.outage(true);
    assert_eq!(program.run("db_sync").code, Some(1));
    sim.outage(false);
    sim.advance(3 * DAY);
    two_rounds(&program, "db_sync");
    assert_equal(&sim, &TruthFilter::default(), &database);
}

/// What the receiver refused lies in the spool when that is cut; days later it is read and posted once more.
#[test]
fn what_lay_in_a_cut_spool_arrives() {
    for (share, mode) in [(0.001, "webhook"), (0.4, "webhook"), (0.7, "replay")] {
        let sim = campaign();
        let receiver = Receiver::start();
        let since = (sim.now() - 60 * DAY).replace_time(time::Time::MIDNIGHT);
        let program = Program::new(&sim, &receiver.url()).arg("--s", &since.date().to_string());
        let mut count = 0;
        receiver.behave(move |arrival| {
            count += 1;
            // Few contacts: ten that are refused in a row would count as an outage.
            let refused = arrival.contact_id.bytes().map(u32::from).sum::<u32>() % 25 == 0;
            Reply::status(if refused && count > 5 { 422 } else { 200 })
        });
        let mut running = program.start("webhook");
        running.wait_until("some is undelivered", |status| {
            status["webhook"]["undelivered"].as_u64() > Some(2) && status["webhook"]["waiting"] == 0
        });
        running.signal("TERM");
        assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
        let spool = state_file(&program, ".undelivered.jsonl");
        let lines = fs::read_to_string(&spool).unwrap().lines().count();
        cut(&spool, share);
        assert!(fs::read_to_string(&spool).unwrap().lines().count() < lines);
        receiver.mend();
        // Out of reach of all nets.
        sim.advance(4 * DAY);
        let filter = TruthFilter::default();
        if mode == "replay" {
            program.run(mode);
        }
        let ended = program
            .start_with("webhook", &["--once"])
            .wait(Duration::from_secs(120));
        assert_eq!(ended.code, Some(0), "{}", tail(&program.log()));
        let missing = missing(&sim.posts(&filter, since), &receiver.arrivals());
        assert_eq!(missing, [""; 0], "{share} {mode}");
        assert!(program.log().contains("were lost with the damaged"));
        // What was torn is told of once.
        let told = |log: String| log.matches("are no requests").count();
        let before = told(program.log());
        two_rounds(&program, "webhook");
        assert_eq!(told(program.log()), before);
    }
}
