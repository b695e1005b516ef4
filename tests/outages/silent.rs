//! Answers that look right and hold nothing, or less than is known to be there: never a quiet success.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::*;
use crate::support::hostile_api::HostileApi;
use crate::support::receiver::Receiver;
use crate::support::simulator::{Endpoint, Fault, Faults};

const NOTHING: &str = r#"{"count":0,"results":[]}"#;

/// What the documents hold besides id and checksum, of contacts with one transaction each.
type Document = fn(&str) -> String;

fn log_of(fired: &str) -> String {
    format!(r#","$task_log":[{{"transactions":[{{"fired":"{fired}","type":"update"}}]}}]"#)
}

/// An API with so many contacts, each with an event of now, and a switch by which it lists nothing.
fn api(contacts: usize, document: Document) -> (HostileApi, Arc<AtomicBool>) {
    let silent = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&silent);
    let fired = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    let fired = format!("{}.000Z", &fired[..19]);
    let page = |entry: &dyn Fn(usize) -> String| {
        let entries: Vec<String> = (0..contacts).map(entry).collect();
        format!(
            r#"{{"count":{contacts},"results":[{}]}}"#,
            entries.join(",")
        )
    };
    let listed = page(&|n| format!(r#"{{"id":"C{n}","md5":"m"}}"#));
    let events = page(&|n| format!(r#""{fired}0001|m|C{n}|0,0""#));
    let api = HostileApi::start(move |first, body| {
        let is_silent = switch.load(Ordering::SeqCst);
        if first.starts_with("POST") {
            let ids: Vec<String> = serde_json::from_slice(body).unwrap();
            let ids = ids.iter().filter(|_| !is_silent);
            let documents: Vec<String> = ids
                .map(|id| format!(r#"{{"$id":"{id}","$md5":"m"{}}}"#, document(&fired)))
                .collect();
            format!("[{}]", documents.join(","))
        } else if first.contains("fields/list") {
            "[]".to_owned()
        } else if first.contains("contacts/list") && !is_silent {
            listed.clone()
        } else if first.contains("transactions/") && !is_silent {
            events.clone()
        } else {
            NOTHING.to_owned()
        }
    });
    (api, silent)
}

fn assert_ends(program: &Program, mode: &str, code: i32, said: &str) {
    let ended = once(program, mode);
    let stdout = &ended.stdout;
    assert_eq!(ended.code, Some(code), "{mode}: {stdout}");
    assert!(stdout.contains(said), "{mode}: {stdout}");
}

#[test]
fn events_that_were_listed_before_are_missing_where_none_is_listed_any_more() {
    let sim = idle_sim();
    for mode in ["webhook", "db_sync"] {
        let (api, silent) = api(8, log_of);
        let (database, receiver) = (fresh_database(Kind::Sqlite), Receiver::start());
        let url = match mode {
            "webhook" => &receiver.url(),
            _ => &database.url,
        };
        let yesterday = OffsetDateTime::now_utc().date().previous_day().unwrap();
        let program = of_api(&sim, &api, url).arg("--s", &yesterday.to_string());
        assert_ends(&program, mode, 0, "complete");
        silent.store(true, Ordering::SeqCst);
        let why = "although it has listed some since then";
        for _ in 0..2 {
            assert_ends(&program, mode, 5, why);
        }
        let mut running = program.start(mode);
        running.wait_until("failed rounds", |status| {
            status["failed_rounds"].as_u64() > Some(1)
        });
        let status = running.status().unwrap();
        assert_eq!(status["rounds"], 0, "{status}");
        let error = status["last_error"]["message"].as_str().unwrap();
        assert!(error.contains(why), "{error}");
        drop(running);
        silent.store(false, Ordering::SeqCst);
        assert_ends(&program, mode, 0, "complete");
    }
}

#[test]
fn contacts_that_were_copied_before_are_missing_where_none_is_listed_any_more() {
    let sim = idle_sim();
    let (api, silent) = api(3, log_of);
    let database = fresh_database(Kind::Sqlite);
    let program = of_api(&sim, &api, &database.url);
    assert_ends(&program, "db_init", 0, "complete: 3 contacts");
    silent.store(true, Ordering::SeqCst);
    let why = "Dialfire lists no contact, although some were copied before; older contacts are still to be copied";
    for _ in 0..2 {
        assert_ends(&program, "db_init", 5, why);
    }
    assert_ends(
        &program,
        "db_sync",
        5,
        "Dialfire lists no contact, although",
    );
    silent.store(false, Ordering::SeqCst);
    assert_ends(&program, "db_update", 0, "complete");
    assert_eq!(database.dump("dfire_contacts").len(), 3);
}

#[test]
fn a_first_copy_of_nobody_asks_whether_there_are_transactions() {
    let sim = idle_sim();
    for (lists_events, code, said) in [
        (
            true,
            5,
            "Dialfire lists no contact, and its event list names some",
        ),
        (false, 0, " s (Dialfire listed 0 contacts)"),
    ] {
        let api = HostileApi::start(move |first, _| match first {
            first if first.contains("transactions/") && lists_events => {
                r#"{"count":1,"results":["2025-03-05T09:15:42.468Z0001|m|C|0,0"]}"#.to_owned()
            }
            first if first.starts_with("POST") || first.contains("fields/list") => "[]".to_owned(),
            _ => NOTHING.to_owned(),
        });
        let database = fresh_database(Kind::Sqlite);
        let program = of_api(&sim, &api, &database.url);
        for _ in 0..2 {
            assert_ends(&program, "db_init", code, said);
        }
    }
}

#[test]
fn a_round_without_anything_says_that_nothing_was_listed() {
    let sim = idle_sim();
    let (api, silent) = api(3, log_of);
    silent.store(true, Ordering::SeqCst);
    let (database, receiver) = (fresh_database(Kind::Sqlite), Receiver::start());
    let webhook = of_api(&sim, &api, &receiver.url());
    assert_ends(&webhook, "webhook", 0, " s (Dialfire listed 0 events)");
    let program = of_api(&sim, &api, &database.url);
    let both = " s (Dialfire listed 0 contacts, 0 events)";
    assert_ends(&program, "db_sync", 0, both);
}

#[test]
fn answers_of_other_kinds_are_errors_in_all_modes() {
    let sim = idle_sim();
    for answer in ["[]", "{}", "null", "", "0", "\"\"", "hello"] {
        let api = HostileApi::start(move |_, _| answer.to_owned());
        let (database, receiver) = (fresh_database(Kind::Sqlite), Receiver::start());
        for mode in ["webhook", "db_sync"] {
            let url = match mode {
                "webhook" => &receiver.url(),
                _ => &database.url,
            };
            let ended = once(&of_api(&sim, &api, url), mode);
            let told = format!("{}{}", ended.stdout, ended.stderr);
            assert_eq!(ended.code, Some(1), "{answer}, {mode}: {told}");
            assert!(!told.contains("cannot reach"), "{answer}, {mode}: {told}");
            assert!(
                ["not the JSON expected", "is empty", "as Dialfire should"]
                    .iter()
                    .any(|word| told.contains(word)),
                "{answer}, {mode}: {told}"
            );
        }
    }
}

/// Few contacts, which alone make nobody suspicious.
#[test]
fn few_contacts_without_the_transactions_that_events_name_are_missing() {
    let sim = idle_sim();
    let other_key: Document = |fired| log_of(fired).replace("$task_log", "$taskLog");
    let (api, _) = api(3, other_key);
    let database = fresh_database(Kind::Sqlite);
    let program = of_api(&sim, &api, &database.url);
    let few = "3 contacts are incomplete";
    assert_ends(&program, "db_sync", 5, few);
    let log = program.log();
    let each =
        "is not stored as a whole, and asked for again later: the event list names transactions";
    assert_eq!(log.matches(each).count(), 3, "{}", tail(&log));
    let none = "no document of a contact holds one that can be read: that of contact";
    assert_ends(&program, "db_init", 5, none);
}

#[test]
fn transactions_whose_contacts_do_not_come_are_missing_in_webhook() {
    let sim = idle_sim();
    let api = HostileApi::start(|first, _| match first {
        first if first.contains("transactions/") => {
            let events: Vec<String> = (0..8)
                .map(|n| format!(r#""2099-03-05T09:15:42.468Z0001|m|C{n}|0,0""#))
                .collect();
            format!(r#"{{"count":8,"results":[{}]}}"#, events.join(","))
        }
        first if first.starts_with("POST") || first.contains("fields/list") => "[]".to_owned(),
        _ => NOTHING.to_owned(),
    });
    let receiver = Receiver::start();
    let program = of_api(&sim, &api, &receiver.url());
    let said = "no document for the contacts of 8 transactions that the event list names, and for no more than 0";
    assert_ends(&program, "webhook", 5, said);
}

/// The API fails on each contact: a line for each would fill the disk.
#[test]
fn contacts_that_cannot_be_fetched_are_logged_by_the_first_ones_and_counted() {
    for mode in ["db_init", "webhook"] {
        let sim = campaign(60);
        let (database, receiver) = (fresh_database(Kind::Sqlite), Receiver::start());
        let url = match mode {
            "webhook" => &receiver.url(),
            _ => &database.url,
        };
        let since = (sim.now() - 20 * 24 * HOUR).date().to_string();
        let program = Program::new(&sim, url)
            .arg("--retry-wait", "1ms")
            .arg("--s", &since);
        sim.set_faults(Faults {
            endpoints: vec![Endpoint::Contacts],
            ..Faults::at_rate(1.0, &[Fault::Error500])
        });
        let ended = once(&program, mode);
        assert_eq!(ended.code, Some(5), "{mode}: {}", ended.stdout);
        let said = match mode {
            "webhook" => {
                "transactions wait, as their contacts could not be fetched (they are asked for again)"
            }
            _ => "contacts are incomplete: they could not be fetched",
        };
        assert!(ended.stdout.contains(said), "{mode}: {}", ended.stdout);
        let log = program.log();
        let lines = log.matches("cannot fetch contact").count();
        assert_eq!(lines, 5, "{mode}: {}", tail(&log));
        let attempts = log.matches("POST contacts: attempt").count();
        assert_eq!(attempts, 5, "{mode}: {}", tail(&log));
        assert_eq!(log.matches("only counted for an hour").count(), 2);
        // A second run names them as well, before the next reconcile tries them.
        let ended = once(&program, mode);
        assert_eq!(ended.code, Some(5), "{mode}: {}", ended.stdout);
        sim.set_faults(Faults::none());
        sim.advance(2 * HOUR);
        assert_ends(&program, mode, 0, "complete");
    }
}
