//! Clocks that are wrong by days, on either side: reported, not believed, and nothing of them stays behind.

use std::collections::HashMap;

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::support::receiver::{Receiver, Reply};
use crate::support::simulator::Endpoint;

/// Far beyond what any clock should show.
const LAST: [OffsetDateTime; 2] = [
    datetime!(9999-12-31 20:59 UTC),
    datetime!(9999-12-30 00:00 UTC),
];

/// The last minute that a `Date` can show.
const LAST_MINUTE: OffsetDateTime = datetime!(9999-12-31 23:59 UTC);

/// A campaign of today, so that the simulator's clock and the one of this computer agree.
fn campaign_of_today() -> Simulator {
    Simulator::start(Config {
        contacts: 200,
        start: OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() - time::Duration::hours(6),
        daily_share: 2.0,
        long_texts: false,
        ..Config::default()
    })
}

fn show(sim: &Simulator, date: OffsetDateTime) {
    sim.date_ahead((date - sim.now()).whole_seconds());
}

/// All that the state directory holds as text, without the lock.
fn state(program: &Program) -> String {
    let files = fs::read_dir(program.directory().join("state")).unwrap();
    files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains(".json"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// Starts the program with another clock, which goes on from there.
fn with_local_clock(program: Program, time: &str) -> Program {
    let faketime = std::env::var("DBSYNC_TEST_FAKETIME").expect("see scripts/test.sh");
    program
        .variable("LD_PRELOAD", &faketime)
        .variable("FAKETIME", &format!("@{time}"))
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .variable("FAKETIME_DISABLE_SHM", "1")
}

#[test]
fn a_date_in_the_year_9999_ends_nothing_and_moves_nothing() {
    for date in LAST {
        let sim = campaign_of_today();
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        show(&sim, date);
        running.wait_rounds(3);
        let before = running.status().unwrap()["checkpoint"].clone();
        let rows = || database.dump("dfire_transactions").len();
        let before_that = rows();
        sim.advance(2 * HOUR);
        running.wait_rounds(3);
        // What is new is copied all the same.
        assert!(rows() > before_that);
        let status = running.status().unwrap();
        let error = status["last_error"]["message"].as_str().unwrap();
        assert!(error.contains("9999-12-3"), "{error}");
        assert_eq!(status["checkpoint"], before);
        let reports = program.log().matches("not believed").count();
        assert!((1..=3).contains(&reports), "{reports} reports");
        assert!(!state(&program).contains("9999-"), "{}", state(&program));
        sim.date_ahead(0);
        sim.advance(HOUR);
        running.wait_rounds(3);
        assert!(program.log().contains("they agree again"));
        assert_ne!(running.status().unwrap()["checkpoint"], before);
        end(running);
        assert_truth(&sim, &database);
    }
}

#[test]
fn a_first_start_under_a_wrong_date_leaves_nothing_of_it_behind() {
    for date in [LAST_MINUTE, LAST[1], OffsetDateTime::UNIX_EPOCH] {
        let sim = campaign_of_today();
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url);
        show(&sim, date);
        program.succeed("db_init");
        assert_truth(&sim, &database);
        assert!(program.log().contains("not believed"));
        let state = state(&program);
        let year = date.year().to_string();
        assert!(!state.contains(&format!("\"{year}-")), "{state}");
        let changed = database.dump("dfire_contacts");
        let wrong = (changed.values())
            .filter(|row| row["$changed"].as_deref().unwrap().starts_with(&year))
            .count();
        assert_eq!(wrong, 0);
        // Rows written then count as up to date later on.
        sim.date_ahead(0);
        sim.reset_counters();
        program.succeed("db_init");
        let again = sim.counters().of(Endpoint::Contacts);
        assert!(again < 3, "{again} requests for contacts");
    }
}

#[test]
fn a_computer_whose_clock_starts_in_1970_copies_by_the_clock_of_the_api() {
    let sim = campaign(100);
    let database = fresh_database(Kind::Sqlite);
    let program = with_local_clock(Program::new(&sim, &database.url), "1970-01-01 00:00:30");
    program.succeed("db_init");
    sim.advance(3 * HOUR);
    program.succeed_once();
    assert_truth(&sim, &database);
    let log = program.log();
    assert!(
        log.contains("only Dialfire's is believed"),
        "{}",
        tail(&log)
    );
    let state = state(&program);
    assert!(state.contains("\"poll\": \"2025-"), "{state}");
    assert!(
        !state.contains("\"1970-") && !state.contains("\"2024-"),
        "{state}"
    );
}

#[test]
fn a_local_clock_that_stands_a_year_behind_keeps_the_checkpoint_where_it_is() {
    let sim = campaign_of_today();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    program.succeed_once();
    let poll = |text: &str| {
        let line = text.lines().find(|line| line.contains("\"poll\"")).unwrap();
        line.to_owned()
    };
    let before = poll(&state(&program));
    sim.advance(2 * HOUR);
    let program = with_local_clock(program, "2025-01-01 00:00:00");
    let rows = || database.dump("dfire_transactions").len();
    let before_that = rows();
    program.succeed_once();
    assert!(rows() > before_that);
    assert_eq!(poll(&state(&program)), before);
    let program = program.without("LD_PRELOAD");
    program.succeed_once();
    assert_ne!(poll(&state(&program)), before, "{}", tail(&program.log()));
    assert_truth(&sim, &database);
}

#[test]
fn webhook_does_not_begin_at_a_time_that_nobody_knows() {
    let sim = campaign_of_today();
    let receiver = Receiver::start();
    let program = Program::new(&sim, &receiver.url());
    show(&sim, LAST_MINUTE);
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("cannot tell what is new"),
        "{}",
        ended.stdout
    );
    sim.date_ahead(0);
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(receiver.count(), 0);
}

/// A file of the state directory, by the end of its name.
fn state_file(program: &Program, end: &str) -> Vec<u8> {
    let mut files = fs::read_dir(program.directory().join("state")).unwrap();
    let path = files
        .find_map(|entry| {
            let path = entry.unwrap().path();
            path.to_str().unwrap().ends_with(end).then_some(path)
        })
        .unwrap();
    fs::read(path).unwrap()
}

/// The day of each transaction in the ledger, in days since 1970, by its key.
fn ledger(program: &Program) -> HashMap<u64, u32> {
    let bytes = state_file(program, ".ledger");
    let (records, rest) = bytes.as_chunks::<24>();
    assert!(rest.is_empty());
    (records.iter())
        .map(|record| {
            let key = u64::from_le_bytes(record[..8].try_into().unwrap());
            let day = u32::from_le_bytes(record[16..20].try_into().unwrap());
            // The highest bit tells of what is in the spool.
            (key, day & (u32::MAX >> 1))
        })
        .collect()
}

/// By its days a ledger without its checkpoint tells where to go on.
#[test]
fn what_replay_delivers_is_noted_under_the_day_of_dialfire() {
    let day = |time: OffsetDateTime| u32::try_from(time.unix_timestamp() / 86_400).unwrap();
    for local in ["1970-01-02 00:00:00", "2037-01-01 00:00:00"] {
        for answers in [true, false] {
            let sim = campaign_of_today();
            let receiver = Receiver::start();
            let since = (sim.now() - time::Duration::days(5)).date().to_string();
            let program = Program::new(&sim, &receiver.url()).arg("--s", &since);
            let mut refused = Vec::new();
            receiver.behave(move |arrival| {
                if refused.len() < 5 && !refused.contains(&arrival.contact_id) {
                    refused.push(arrival.contact_id.clone());
                }
                match refused.contains(&arrival.contact_id) {
                    true => Reply::status(400),
                    false => Reply::ok(),
                }
            });
            let mut running = program.start("webhook");
            running.wait_until("some are spooled", |status| {
                status["webhook"]["waiting"] == 0
                    && status["webhook"]["undelivered"].as_u64() > Some(4)
            });
            end(running);
            receiver.mend();
            let spooled = state_file(&program, ".undelivered.jsonl");
            let keys: Vec<u64> = (spooled.split(|byte| *byte == b'\n'))
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap())
                .map(|entry| entry["key"].as_u64().unwrap())
                .collect();
            // Where Dialfire does not answer, it is the last day on which it did.
            let last = day(sim.now());
            sim.advance(48 * HOUR);
            let wanted = if answers { day(sim.now()) } else { last };
            sim.outage(!answers);
            let program = with_local_clock(program, local);
            let ended = program.run("replay");
            assert_eq!(ended.code, Some(0), "{}", ended.stdout);
            let ledger = ledger(&program);
            let days: Vec<u32> = keys.iter().map(|key| ledger[key]).collect();
            assert!(days.len() > 4);
            assert!(days.iter().all(|day| *day == wanted), "{days:?}, {wanted}");
            assert!(ledger.values().all(|day| *day <= wanted), "{ledger:?}");
        }
    }
}
