//! Every reading of the API: it works, or it is an error that says so. Never a quiet success.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::compare::assert_equal;
use crate::support::database::{Database, fresh_database};
use crate::support::deliveries::missing;
use crate::support::hostile_api::HostileApi;
use crate::support::program::{Program, tail};
use crate::support::receiver::Receiver;
use crate::support::servers::Kind;
use crate::support::simulator::{
    AnswerForm, Config, Post, Readings, Simulator, TimeForm, TruthFilter,
};

const MINUTE: Duration = Duration::from_secs(60);

fn campaign(readings: Readings) -> Simulator {
    Simulator::start(Config {
        contacts: 120,
        daily_share: 0.5,
        published_late: 0.0,
        long_texts: false,
        readings,
        ..Config::default()
    })
}

/// One round, and its exit code.
fn once(program: &Program, mode: &str) -> (Option<i32>, String) {
    let ended = program.start_with(mode, &["--once"]).wait(4 * MINUTE);
    (ended.code, ended.stdout)
}

/// Since midnight so many days ago.
fn since(sim: &Simulator, url: &str, days: u32) -> (Program, time::OffsetDateTime) {
    let since = (sim.now() - days * 24 * 60 * MINUTE).replace_time(time::Time::MIDNIGHT);
    let program = Program::new(sim, url).arg("--s", &since.date().to_string());
    (program, since)
}

/// Every transaction arrived in its present version, none twice, and nothing else.
fn assert_all_posted_once(
    sim: &Simulator,
    receiver: &Receiver,
    since: time::OffsetDateTime,
    what: &str,
) {
    let mut posts = sim.posts(&TruthFilter::default(), since);
    let mut arrivals = receiver.arrivals();
    if !sim.config().readings.event_time.tells_apart() {
        // Of those that the event list does not tell apart nobody knows which is meant.
        let all = posts.clone();
        let is_alone = |contact: &str, fired: &str| {
            let same = |post: &&Post| post.contact == contact && post.fired == fired;
            all.iter().filter(same).count() == 1
        };
        posts.retain(|post| is_alone(&post.contact, &post.fired));
        arrivals.retain(|arrival| is_alone(&arrival.contact_id, &arrival.fired));
    }
    assert!(posts.len() > 20, "only {} transactions", posts.len());
    assert_eq!(missing(&posts, &arrivals), [""; 0], "{what}");
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for arrival in &arrivals {
        *counts.entry(arrival.key()).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{what}: {twice:?}");
    assert_eq!(arrivals.len(), posts.len(), "{what}");
}

#[test]
fn transactions_are_posted_however_their_times_are_written() {
    for form in TimeForm::ODD {
        for readings in [
            Readings {
                event_time: form,
                ..Readings::default()
            },
            Readings {
                fired: form,
                ..Readings::default()
            },
        ] {
            let what = format!(
                "event {:?}, document {:?}",
                readings.event_time, readings.fired
            );
            let sim = campaign(readings);
            let receiver = Receiver::start();
            let (program, since) = since(&sim, &receiver.url(), 20);
            let (code, stdout) = once(&program, "webhook");
            assert_eq!(code, Some(0), "{what}: {stdout}\n{}", tail(&program.log()));
            assert_all_posted_once(&sim, &receiver, since, &what);
            once(&program, "webhook");
            assert_all_posted_once(&sim, &receiver, since, &what);
        }
    }
}

#[test]
fn an_event_list_that_names_nothing_in_the_documents_is_an_error() {
    // Neither the time nor the number nor the pointer says which transaction is meant.
    let sim = campaign(Readings {
        event_time: TimeForm::German,
        fired: TimeForm::Epoch,
        pointer: false,
        ..Readings::default()
    });
    let receiver = Receiver::start();
    let (program, _) = since(&sim, &receiver.url(), 20);
    let (code, stdout) = once(&program, "webhook");
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.contains("that the event list names is in the document"),
        "{stdout}"
    );
    assert!(
        stdout.contains("so nothing is delivered: event"),
        "{stdout}"
    );
    assert_eq!(receiver.count(), 0);
    let mut running = program.start("webhook");
    running.wait_until("failed rounds", |status| {
        status["failed_rounds"].as_u64() > Some(2)
    });
    let status = running.status().unwrap();
    assert_eq!(status["rounds"], 0);
    let error = status["last_error"]["message"].as_str().unwrap();
    assert!(error.contains("nothing is delivered"), "{error}");
}

/// One contact whose transactions are found says nothing of the others.
#[test]
fn events_of_which_most_are_in_no_document_are_an_error_whatever_else_is_found() {
    let sim = campaign(Readings::default());
    sim.set_form(AnswerForm::MostLater);
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver.url(), 20);
    for _ in 0..2 {
        let (code, stdout) = once(&program, "webhook");
        assert_eq!(code, Some(1), "{stdout}");
        assert!(stdout.contains("webhook incomplete"), "{stdout}");
        assert!(
            stdout.contains("nothing is delivered: event")
                || stdout.contains("they are not delivered: event"),
            "{stdout}"
        );
    }
    let posted = receiver.count();
    assert!(posted > 0, "none was found");
    let mut running = program.start("webhook");
    running.wait_until("failed rounds", |status| {
        status["failed_rounds"].as_u64() > Some(2)
    });
    let status = running.status().unwrap();
    assert_eq!(status["rounds"], 0);
    assert!(status["last_success"].is_null(), "{status}");
    drop(running);
    // Nothing is given up.
    sim.set_form(AnswerForm::Known);
    let (code, stdout) = once(&program, "webhook");
    assert_eq!(code, Some(0), "{stdout}");
    assert!(receiver.count() > posted);
    assert_all_posted_once(&sim, &receiver, since, "in the end");
}

#[test]
fn events_of_which_few_are_in_no_document_are_looked_for_again_for_a_day() {
    let sim = campaign(Readings::default());
    sim.set_form(AnswerForm::FewLater);
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver.url(), 20);
    let (code, stdout) = once(&program, "webhook");
    assert_eq!(code, Some(5), "{stdout}");
    let wait = "transactions that the event list names are not in the documents of their contacts (they are looked for again";
    assert!(stdout.contains(wait), "{stdout}");
    // Until the next reconcile they wait, and after it as well.
    let (code, stdout) = once(&program, "webhook");
    assert_eq!(code, Some(5), "{stdout}");
    assert!(!program.log().contains("does not count as a success"));
    sim.advance(2 * 60 * MINUTE);
    assert_eq!(once(&program, "webhook").0, Some(5));
    let log = program.log();
    assert!(
        log.contains("does not count as a success"),
        "{}",
        tail(&log)
    );
    sim.set_form(AnswerForm::Known);
    sim.advance(2 * 60 * MINUTE);
    let (code, stdout) = once(&program, "webhook");
    assert_eq!(code, Some(0), "{stdout}");
    assert_all_posted_once(&sim, &receiver, since, "in the end");
}

#[test]
fn a_transaction_that_is_in_no_document_for_a_day_is_given_up() {
    let sim = campaign(Readings::default());
    sim.set_form(AnswerForm::FewLater);
    let receiver = Receiver::start();
    let (program, _) = since(&sim, &receiver.url(), 20);
    assert_eq!(once(&program, "webhook").0, Some(5));
    // What happens meanwhile is of other contacts.
    sim.advance(25 * 60 * MINUTE);
    let (code, stdout) = once(&program, "webhook");
    assert_eq!(code, Some(5), "{stdout}");
    assert!(stdout.contains("are not looked for any more"), "{stdout}");
    let log = program.log();
    let given_up = "at no time for a day: they are not looked for any more (the first one";
    assert_eq!(log.matches(given_up).count(), 1, "{}", tail(&log));
}

fn database(sim: &Simulator) -> (Program, Database) {
    let database = fresh_database(Kind::Sqlite);
    let (program, _) = since(sim, &database.url, 20);
    (program.arg("--retry-wait", "1ms"), database)
}

#[test]
fn answers_in_another_form_are_read_or_refused_when_rows_are_copied() {
    for form in AnswerForm::LEGIBLE {
        let sim = campaign(Readings::default());
        sim.set_form(form);
        let (program, database) = database(&sim);
        let program = program.without("--s");
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
    for form in AnswerForm::ILLEGIBLE {
        let sim = campaign(Readings {
            page_cap: 30,
            ..Readings::default()
        });
        sim.set_form(form);
        let (program, database) = database(&sim);
        let (code, stdout) = once(&program, "db_sync");
        assert_eq!(
            code,
            Some(1),
            "{form:?}: {stdout}\n{}",
            tail(&program.log())
        );
        assert!(
            ["expected", "can be read", "can't be read", "lists none"]
                .iter()
                .any(|word| stdout.contains(word)),
            "{form:?}: {stdout}"
        );
        // What is known again is copied, with nothing left out.
        sim.set_form(AnswerForm::Known);
        let program = program.without("--s");
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

#[test]
fn answers_in_another_form_are_read_or_refused_when_transactions_are_posted() {
    for form in AnswerForm::LEGIBLE.into_iter().chain(AnswerForm::ILLEGIBLE) {
        let sim = campaign(Readings {
            page_cap: 30,
            ..Readings::default()
        });
        sim.set_form(form);
        let receiver = Receiver::start();
        let (program, since) = since(&sim, &receiver.url(), 20);
        let program = program.arg("--retry-wait", "1ms");
        let (code, stdout) = once(&program, "webhook");
        // Nothing but documents counts here, and the list of events.
        let legible = AnswerForm::LEGIBLE.contains(&form);
        assert_eq!(code, Some(i32::from(!legible)), "{form:?}: {stdout}");
        if !legible {
            assert_eq!(receiver.count(), 0, "{form:?}");
            sim.set_form(AnswerForm::Known);
            assert_eq!(once(&program, "webhook").0, Some(0), "{form:?}");
        }
        assert_all_posted_once(&sim, &receiver, since, &format!("{form:?}"));
    }
}

/// Documents whose transactions nobody finds: the event list knows of them.
#[test]
fn documents_without_the_transactions_that_events_name_are_an_error() {
    for form in AnswerForm::WITHOUT_TRANSACTIONS {
        let sim = campaign(Readings::default());
        sim.set_form(form);
        let (program, database) = database(&sim);
        let (code, stdout) = once(&program, "db_sync");
        assert_eq!(code, Some(1), "{form:?}: {stdout}");
        assert!(stdout.contains("that can be read"), "{form:?}: {stdout}");
        let program = program.without("--s");
        for _ in 0..2 {
            let ended = program.run("db_init");
            assert_eq!(ended.code, Some(5), "{form:?}: {}", ended.stdout);
            let none = "no document of a contact holds one that can be read: that of contact";
            assert!(ended.stdout.contains(none), "{form:?}: {}", ended.stdout);
        }
        assert_eq!(database.dump("dfire_transactions").len(), 0);
        sim.set_form(AnswerForm::Known);
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

#[test]
fn what_is_no_list_makes_its_contact_incomplete() {
    for form in AnswerForm::NO_LISTS {
        let sim = campaign(Readings::default());
        sim.set_form(form);
        let (program, database) = database(&sim);
        let program = program.without("--s");
        let ended = program.run("db_init");
        assert_eq!(ended.code, Some(5), "{form:?}: {}", ended.stdout);
        assert!(
            ended.stdout.contains("contacts are incomplete"),
            "{}",
            ended.stdout
        );
        assert!(
            program
                .log()
                .contains("is not stored as a whole, and asked for again later: \""),
            "{form:?}: {}",
            tail(&program.log())
        );
        // Whoever is not there as a whole has no checksum, and all the others have one.
        let contacts = database.dump("dfire_contacts");
        let without = contacts
            .values()
            .filter(|row| row["$md5"].is_none())
            .count();
        assert!(without > 20, "{form:?}: {without} of {}", contacts.len());
        sim.set_form(AnswerForm::Known);
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

#[test]
fn connections_of_which_not_one_has_an_end_are_an_error() {
    let sim = campaign(Readings::default());
    sim.set_form(AnswerForm::DisconnectedKey);
    let (program, database) = database(&sim);
    let program = program.without("--s");
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    assert!(ended.stdout.contains("; not one of "), "{}", ended.stdout);
    assert_eq!(database.dump("dfire_connections").len(), 0);
    sim.set_form(AnswerForm::Known);
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn contacts_that_were_never_called_are_no_error_and_neither_is_a_filter() {
    let sim = campaign(Readings::default());
    let (program, database) = database(&sim);
    let program = program.arg("--fp", "no_such_task").without("--s");
    program.succeed("db_init");
    program.succeed_once();
    assert!(database.dump("dfire_contacts").len() > 100);
    // Nothing passes but what has no task.
    let transactions = database.dump("dfire_transactions");
    assert!(transactions.values().all(|row| row["task"].is_none()));
    let documents = (0..60).map(|n| format!(r#"{{"$id":"C{n}","$md5":"m"}}"#));
    let documents = format!("[{}]", documents.collect::<Vec<_>>().join(","));
    let contacts = (0..60).map(|n| format!(r#"{{"id":"C{n}","md5":"m"}}"#));
    let contacts = contacts.collect::<Vec<_>>().join(",");
    let listed = format!(r#"{{"count":60,"results":[{contacts}]}}"#);
    let api = HostileApi::start(move |first, _| {
        if first.starts_with("POST") {
            documents.clone()
        } else if first.contains("contacts/list") {
            listed.clone()
        } else if first.contains("fields/list") {
            "[]".to_owned()
        } else {
            r#"{"count":0,"results":[]}"#.to_owned()
        }
    });
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).arg("--api-url", &api.url());
    program.succeed("db_init");
    assert_eq!(database.dump("dfire_contacts").len(), 60);
}

/// A listing may bring the same for ever, under ever new cursors.
#[test]
fn listings_without_end_fail_the_round_and_leave_the_checkpoint() {
    for contents in [
        r#"["2025-03-10T09:00:00.000Z0001|m|C"]"#,
        r#"[{"id":"C","md5":"m"}]"#,
        "[]",
    ] {
        let (server, pages) = endless(contents);
        let sim = campaign(Readings::default());
        let database = fresh_database(Kind::Sqlite);
        let (program, _) = since(&sim, &database.url, 20);
        let program = program
            .arg("--api-url", &server.url())
            .arg("--retry-wait", "1ms");
        let (code, stdout) = once(&program, "db_sync");
        assert_eq!(code, Some(1), "{stdout}");
        assert!(stdout.contains("endless listing"), "{contents}: {stdout}");
        let pages = pages.load(Ordering::SeqCst);
        assert!(pages <= 2100, "{pages} pages");
    }
}

/// Answers every list of this kind with one page and a new cursor, and counts the pages.
fn endless(contents: &'static str) -> (HostileApi, Arc<AtomicU64>) {
    let pages = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&pages);
    let api = HostileApi::start(move |first, _| {
        let kinds: &[&str] = match contents {
            "[]" => &["contacts/list", "transactions/", "inbound/calls/"],
            text if text.contains('|') => &["transactions/"],
            _ => &["contacts/list"],
        };
        if kinds.iter().any(|kind| first.contains(kind)) {
            let page = count.fetch_add(1, Ordering::SeqCst);
            format!(r#"{{"count":1,"results":{contents},"cursor":"c{page}"}}"#)
        } else if first.contains("fields/list") || first.starts_with("POST") {
            "[]".to_owned()
        } else {
            r#"{"count":0,"results":[]}"#.to_owned()
        }
    });
    (api, pages)
}
