//! What the API leaves out of an answer, or names in a way that can't be used: it is asked for again, or it is missed.

use super::*;
use crate::support::hostile_api::HostileApi;
use crate::support::receiver::Receiver;

const CONTACTS: usize = 40;

/// Which of so many contacts an answer has documents of: the first ones, in this number.
type Documents = fn(&[String]) -> usize;

/// The id of a contact.
fn id(number: usize) -> String {
    format!("C{number:04}")
}

/// An id that is too long.
fn long(number: usize) -> String {
    format!("{number:0>201}")
}

fn page(entries: impl Iterator<Item = String>) -> String {
    let entries: Vec<String> = entries.collect();
    let (count, entries) = (entries.len(), entries.join(","));
    format!(r#"{{"count":{count},"results":[{entries}]}}"#)
}

fn listed(id: &str) -> String {
    format!(r#"{{"id":"{id}","md5":"m"}}"#)
}

fn event(id: &str) -> String {
    format!(r#""2099-03-05T09:15:42.468Z0001|m|{id}|0,0""#)
}

fn document(id: &str) -> String {
    let transaction = r#"{"fired":"2099-03-05T09:15:42.468Z","type":"update"}"#;
    format!(r#"{{"$id":"{id}","$md5":"m","$task_log":[{{"transactions":[{transaction}]}}]}}"#)
}

/// What the API lists: contacts, events, inbound calls; and which documents it answers with to so many ids.
struct Answers {
    contacts: String,
    events: String,
    calls: String,
    documents: Documents,
}

impl Answers {
    fn of_all() -> Answers {
        Answers {
            contacts: page((0..CONTACTS).map(|number| listed(&id(number)))),
            events: page((0..CONTACTS).map(|number| event(&id(number)))),
            calls: page(std::iter::empty()),
            documents: <[String]>::len,
        }
    }

    fn start(self) -> HostileApi {
        HostileApi::start(move |first, body| {
            if first.starts_with("POST") {
                let ids: Vec<String> = serde_json::from_slice(body).unwrap();
                let some: Vec<String> = (ids.iter().take((self.documents)(&ids)))
                    .map(|id| document(id))
                    .collect();
                format!("[{}]", some.join(","))
            } else if first.contains("fields/list") {
                "[]".to_owned()
            } else if first.contains("contacts/list") {
                self.contacts.clone()
            } else if first.contains("transactions/") {
                self.events.clone()
            } else {
                self.calls.clone()
            }
        })
    }
}

#[test]
fn contacts_that_an_answer_leaves_out_are_asked_for_alone() {
    let sim = idle_sim();
    let some: [Documents; 3] = [
        |_| 1,
        |ids| ids.len().div_ceil(2),
        // Nobody comes unless asked for alone.
        |ids| usize::from(ids.len() == 1),
    ];
    for documents in some {
        for mode in ["db_init", "db_sync", "webhook"] {
            let api = Answers {
                documents,
                ..Answers::of_all()
            }
            .start();
            let (database, receiver) = (fresh_database(Kind::Sqlite), Receiver::start());
            let url = match mode {
                "webhook" => &receiver.url(),
                _ => &database.url,
            };
            let program = of_api(&sim, &api, url);
            let ended = once(&program, mode);
            assert_eq!(ended.code, Some(0), "{mode}: {}", ended.stdout);
            let came = match mode {
                "webhook" => receiver.count(),
                _ => database.dump("dfire_contacts").len(),
            };
            assert_eq!(came, CONTACTS, "{mode}");
            assert!(!program.log().contains("returned no document"));
        }
    }
}

#[test]
fn db_sync_once_misses_contacts_where_fewer_than_half_came() {
    let sim = idle_sim();
    // Of requests for one contact, as each is asked for alone before it counts as absent.
    let cases: [(Documents, usize, i32); 3] = [
        (|_| 0, 0, 5),
        (
            |ids| ids.iter().take_while(|id| **id < self::id(10)).count(),
            10,
            5,
        ),
        (
            |ids| ids.iter().take_while(|id| **id < self::id(30)).count(),
            30,
            0,
        ),
    ];
    for (documents, came, code) in cases {
        let api = Answers {
            documents,
            contacts: page(std::iter::empty()),
            ..Answers::of_all()
        }
        .start();
        let database = fresh_database(Kind::Sqlite);
        let program = of_api(&sim, &api, &database.url);
        let ended = once(&program, "db_sync");
        assert_eq!(ended.code, Some(code), "{}", ended.stdout);
        let said = format!("no document for {} contacts", CONTACTS - came);
        assert!(ended.stdout.contains(&said), "{}", ended.stdout);
        assert_eq!(database.dump("dfire_contacts").len(), came);
        // Five by name, and a number.
        let log = program.log();
        let named = log
            .matches("Dialfire returned no document for contact")
            .count();
        assert_eq!(named, 5, "{log}");
        let rest = format!(
            "returned no document for {} further contacts",
            CONTACTS - came - 5
        );
        assert!(log.contains(&rest), "{log}");
    }
}

/// Entries with ids that are too long, among others and alone.
#[test]
fn entries_that_cannot_be_used_are_missing_in_the_end() {
    let sim = idle_sim();
    let half = |entry: fn(&str) -> String| {
        page((0..CONTACTS).map(|number| match number % 4 {
            0 => entry(&long(number)),
            _ => entry(&id(number)),
        }))
    };
    let all = |entry: fn(&str) -> String| page((0..CONTACTS).map(|number| entry(&long(number))));
    let call = |id: &str| format!(r#"{{"id":"{id}","started":"2099-03-05T09:15:42.468Z"}}"#);
    for (mode, what) in [
        ("db_init", "contacts"),
        ("db_init", "calls"),
        ("db_sync", "events"),
        ("db_sync", "calls"),
        ("webhook", "events"),
    ] {
        for (is_all, code) in [(false, 5), (true, 1)] {
            let of = |entry: fn(&str) -> String| if is_all { all(entry) } else { half(entry) };
            let known = Answers::of_all();
            let answers = match what {
                "contacts" => Answers {
                    contacts: of(listed),
                    ..known
                },
                "events" => Answers {
                    events: of(event),
                    ..known
                },
                _ => Answers {
                    calls: of(call),
                    ..known
                },
            };
            let api = answers.start();
            let (database, receiver) = (fresh_database(Kind::Sqlite), Receiver::start());
            let url = match mode {
                "webhook" => &receiver.url(),
                _ => &database.url,
            };
            let program = of_api(&sim, &api, url);
            if is_all && mode == "db_init" {
                // It would try for ever.
                let mut running = program.start(mode);
                running.wait_until("failed rounds", |status| {
                    status["failed_rounds"].as_u64() > Some(1)
                });
                let status = running.status().unwrap();
                let error = status["last_error"]["message"].as_str().unwrap();
                assert!(error.contains("not one of the 40 entries"), "{error}");
                running.kill();
                continue;
            }
            let ended = once(&program, mode);
            assert_eq!(ended.code, Some(code), "{mode}, {what}: {}", ended.stdout);
            let said = match is_all {
                true => "not one of the 40 entries of a page can be read",
                false => "; 10 entries of Dialfire's lists are left out",
            };
            assert!(ended.stdout.contains(said), "{mode}: {}", ended.stdout);
            // No further run brings them.
            let next = "everything else is there; they are left out until Dialfire lists them in a form that can be read";
            assert_eq!(
                ended.stdout.contains(next),
                !is_all,
                "{mode}: {}",
                ended.stdout
            );
            assert_eq!(ended.stdout.contains("next run"), is_all);
        }
    }
}

#[test]
fn a_closing_line_says_only_once_what_comes_next() {
    let sim = idle_sim();
    let api = Answers::of_all().start();
    let mut receiver = Receiver::start();
    let url = receiver.url();
    receiver.go_down();
    let ended = once(&of_api(&sim, &api, &url), "webhook");
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert_eq!(
        ended.stdout.matches("next run").count(),
        1,
        "{}",
        ended.stdout
    );
    assert!(
        ended
            .stdout
            .trim_end()
            .ends_with("; nothing is lost; the next run goes on here")
    );
}
