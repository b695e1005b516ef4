//! What is doubted at first and believed in the end, and doubts that must not repeat for ever.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::*;
use crate::support::hostile_api::HostileApi;
use crate::support::receiver::Receiver;

/// Contacts of a page.
const PAGE: usize = 500;

/// What the API answers.
#[derive(Clone)]
struct Answers {
    /// The contacts that it lists and has documents of.
    contacts: Vec<String>,
    /// Their checksum.
    md5: &'static str,
    /// What a document holds besides id and checksum; `{id}` stands for its id.
    document: String,
    /// The contacts that its event list names.
    named: Vec<String>,
    /// Whether the event list can be read.
    lists_events: bool,
    /// The ids that were asked for.
    asked: Vec<String>,
}

/// An API, and what it answers.
struct Api {
    server: HostileApi,
    answers: Arc<Mutex<Answers>>,
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("C{n}")).collect()
}

/// A document with a transaction that holds this connection.
fn with_connection(connection: &str) -> String {
    format!(
        r#","$task_log":[{{"transactions":[{{"fired":"2024-03-05T09:15:42.468Z","type":"update","connections":{connection}}}]}}]"#
    )
}

impl Api {
    fn start(contacts: usize, document: &str) -> Api {
        let answers = Arc::new(Mutex::new(Answers {
            contacts: ids(contacts),
            md5: "m",
            document: document.to_owned(),
            named: Vec::new(),
            lists_events: true,
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&answers);
        let server = HostileApi::start(move |first, body| {
            let mut answers = shared.lock().unwrap();
            let page = |entries: Vec<Value>| {
                json!({"count": entries.len(), "results": entries}).to_string()
            };
            if first.starts_with("POST") {
                let ids: Vec<String> = serde_json::from_slice(body).unwrap();
                answers.asked.extend(ids.clone());
                let known: HashSet<&String> = answers.contacts.iter().collect();
                let documents: Vec<String> = (ids.iter().filter(|id| known.contains(id)))
                    .map(|id| {
                        let rest = answers.document.replace("{id}", id);
                        format!(r#"{{"$id":"{id}","$md5":"{}"{rest}}}"#, answers.md5)
                    })
                    .collect();
                format!("[{}]", documents.join(","))
            } else if first.contains("fields/list") {
                "[]".to_owned()
            } else if first.contains("contacts/list") {
                let md5 = answers.md5;
                let begin = first.split("cursor=c").nth(1).map_or(0, |rest| {
                    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                    digits.unwrap().parse().unwrap()
                });
                let end = answers.contacts.len().min(begin + PAGE);
                let entries = answers.contacts[begin..end].iter();
                let entries: Vec<Value> = entries.map(|id| json!({"id": id, "md5": md5})).collect();
                let mut page = json!({"count": answers.contacts.len(), "results": entries});
                if end < answers.contacts.len() {
                    page["cursor"] = json!(format!("c{end}"));
                }
                page.to_string()
            } else if first.contains("transactions/") && !answers.lists_events {
                "hello".to_owned()
            } else if first.contains("transactions/") {
                let fired = (OffsetDateTime::now_utc() - 5 * 24 * HOUR).format(&Rfc3339);
                let fired = fired.unwrap()[..10].to_owned();
                let entries = answers.named.iter();
                page(
                    entries
                        .map(|id| json!(format!("{fired}T00:00:00.000Z0001|m|{id}|0,0")))
                        .collect(),
                )
            } else {
                page(Vec::new())
            }
        });
        Api { server, answers }
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }

    fn program(&self, sim: &Simulator, url: &str) -> Program {
        Program::new(sim, url)
            .arg("--api-url", &self.server.url())
            .arg("--retry-wait", "1ms")
    }
}

fn idle_sim() -> Simulator {
    Simulator::start(Config {
        contacts: 1,
        ..Config::default()
    })
}

fn a_week_ago() -> String {
    let day = OffsetDateTime::now_utc() - 7 * 24 * HOUR;
    day.date().to_string()
}

/// Runs a mode once; returns what it says in the end.
fn assert_ends(program: &Program, mode: &str, code: i32, said: &str) -> String {
    let flags: &[&str] = match mode {
        "db_init" => &[],
        _ => &["--once"],
    };
    let ended = program.start_with(mode, flags).wait(2 * MINUTE);
    assert_eq!(ended.code, Some(code), "{mode}: {}", ended.stdout);
    assert!(ended.stdout.contains(said), "{mode}: {}", ended.stdout);
    ended.stdout
}

fn checkpoint(program: &Program) -> PathBuf {
    std::fs::read_dir(program.directory().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "json"))
        .unwrap()
}

/// As if so many hours had passed since the last run: all times of its checkpoint are earlier.
fn pass_hours(program: &Program, hours: i64) {
    let path = checkpoint(program);
    let mut checkpoint: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let earlier = |time: &mut Value| {
        if let Some(text) = time.as_str() {
            let moment = OffsetDateTime::parse(text, &Rfc3339).unwrap();
            *time = json!(
                (moment - time::Duration::hours(hours))
                    .format(&Rfc3339)
                    .unwrap()
            );
        }
    };
    for pointer in ["/poll", "/look_back", "/reconcile", "/recent/silent_since"] {
        checkpoint.pointer_mut(pointer).map(earlier);
    }
    let absent = checkpoint
        .get_mut("absent_since")
        .and_then(Value::as_array_mut);
    for absent in absent.into_iter().flatten() {
        absent[1] = json!(absent[1].as_i64().unwrap() - hours * 3600);
    }
    std::fs::write(&path, checkpoint.to_string()).unwrap();
}

#[test]
fn that_all_contacts_were_deleted_is_believed_after_a_day_though_events_name_some() {
    let sim = idle_sim();
    for mode in ["db_init", "db_sync"] {
        let api = Api::start(0, &with_connection("[]"));
        api.change(|answers| answers.named = ids(3));
        let database = fresh_database(Kind::Sqlite);
        let mut program = api.program(&sim, &database.url);
        if mode == "db_sync" {
            program.set("--s", &a_week_ago());
        }
        let why = "Dialfire lists no contact, and its event list names some";
        for _ in 0..2 {
            assert_ends(&program, mode, 5, why);
        }
        pass_hours(&program, 22);
        assert_ends(&program, mode, 5, why);
        pass_hours(&program, 2);
        for _ in 0..2 {
            assert_ends(&program, mode, 0, "complete");
        }
        api.change(|answers| answers.contacts = ids(3));
        pass_hours(&program, 2);
        assert_ends(&program, mode, 0, "complete");
        assert_eq!(database.dump("dfire_contacts").len(), 3);
    }
}

#[test]
fn a_campaign_that_is_empty_stays_believed_until_contacts_are_listed() {
    let sim = idle_sim();
    let api = Api::start(3, &with_connection("[]"));
    let database = fresh_database(Kind::Sqlite);
    let program = api.program(&sim, &database.url);
    assert_ends(&program, "db_init", 0, "complete: 3 contacts");
    api.change(|answers| answers.contacts.clear());
    let why = "Dialfire lists no contact, although some were copied before";
    assert_ends(&program, "db_init", 5, why);
    pass_hours(&program, 23);
    for _ in 0..3 {
        assert_ends(&program, "db_init", 0, "complete");
    }
    api.change(|answers| answers.contacts = ids(3));
    assert_ends(&program, "db_init", 0, "complete");
    api.change(|answers| answers.contacts.clear());
    assert_ends(&program, "db_init", 5, why);
}

#[test]
fn deleted_contacts_are_forgotten_after_a_day_over_all_runs() {
    let sim = idle_sim();
    for mode in ["webhook", "db_sync"] {
        let api = Api::start(1, &with_connection("[]"));
        let deleted: Vec<String> = (0..30).map(|n| format!("D{n}")).collect();
        api.change(|answers| answers.named.clone_from(&deleted));
        let (database, receiver) = (fresh_database(Kind::Sqlite), Receiver::start());
        let url = match mode {
            "webhook" => &receiver.url(),
            _ => &database.url,
        };
        let program = api.program(&sim, url).arg("--s", &a_week_ago());
        let none = "Dialfire returned no document for";
        assert_ends(&program, mode, 5, none);
        // They are deleted, and this is a quiet hour.
        pass_hours(&program, 2);
        api.change(|answers| answers.named.clear());
        let said = assert_ends(&program, mode, 0, none);
        assert!(said.contains("deleted, as a rule"), "{said}");
        pass_hours(&program, 22);
        let said = assert_ends(&program, mode, 0, "complete");
        assert!(!said.contains(none), "{said}");
        api.change(|answers| answers.asked.clear());
        pass_hours(&program, 2);
        assert_ends(&program, mode, 0, "complete");
        let asked = api.answers.lock().unwrap().asked.clone();
        assert!(!asked.iter().any(|id| id.starts_with('D')), "{asked:?}");
    }
}

#[test]
fn an_event_list_that_cannot_be_asked_has_nothing_copied_twice() {
    let sim = idle_sim();
    let api = Api::start(30, "");
    api.change(|answers| answers.lists_events = false);
    let database = fresh_database(Kind::Sqlite);
    let program = api.program(&sim, &database.url);
    let why = "whether there are any can't be asked";
    for _ in 0..2 {
        assert_ends(&program, "db_init", 5, why);
    }
    api.change(|answers| answers.lists_events = true);
    assert_ends(&program, "db_init", 0, "complete");
    assert_eq!(api.answers.lock().unwrap().asked.len(), 30);
    assert_eq!(database.dump("dfire_contacts").len(), 30);
}

#[test]
fn changed_contacts_with_connections_that_never_ended_are_no_error() {
    let sim = idle_sim();
    let call = r#"[{"id":"K{id}","fired":"2024-03-05T09:16:00.000Z"DISCONNECTED}]"#;
    let ended = call.replace(
        "DISCONNECTED",
        r#","disconnected":"2024-03-05T09:17:00.000Z""#,
    );
    let api = Api::start(25, &with_connection(&ended));
    let database = fresh_database(Kind::Sqlite);
    let program = api.program(&sim, &database.url);
    assert_ends(&program, "db_init", 0, "complete: 25 contacts");
    assert_eq!(database.dump("dfire_connections").len(), 25);
    api.change(|answers| {
        answers.md5 = "n";
        answers.document = with_connection(&call.replace("DISCONNECTED", ""));
    });
    pass_hours(&program, 2);
    assert_ends(&program, "db_sync", 0, "complete");
    let contacts = database.dump("dfire_contacts");
    assert!(
        contacts
            .values()
            .all(|row| row["$md5"].as_deref() == Some("n"))
    );
    assert_eq!(database.dump("dfire_connections").len(), 25);
}

#[test]
fn very_many_contacts_that_cannot_be_read_are_not_copied_without_a_pause() {
    let sim = idle_sim();
    let api = Api::start(5_100, &with_connection("7"));
    let database = fresh_database(Kind::Sqlite);
    let program = (api.program(&sim, &database.url)).arg("--s", &a_week_ago());
    let mut running = program.start("db_sync");
    running.wait_until("rounds after the failed ones", |status| {
        status["rounds"].as_u64() > Some(1)
    });
    let status = running.status().unwrap();
    assert_eq!(status["failed_rounds"], 2, "{status}");
    let error = status["last_error"]["message"].as_str().unwrap();
    assert!(
        error.contains("5100 contacts could not be read as a whole"),
        "{error}"
    );
    assert_eq!(api.answers.lock().unwrap().asked.len(), 2 * 5_100);
    end(running);
    let asked = || api.answers.lock().unwrap().asked.len();
    let said = assert_ends(&program, "db_init", 5, "could not be read as a whole");
    assert!(
        said.contains("older contacts are still to be copied"),
        "{said}"
    );
    assert_eq!(asked(), 3 * 5_100);
    api.change(|answers| answers.document = with_connection("[]"));
    assert_ends(&program, "db_init", 0, "complete");
    assert_eq!(asked(), 4 * 5_100);
}
