//! Promise 5: a row that the database refuses costs that row alone, until it is accepted.

mod added_only;
mod bad_tables;
mod codes;
mod large;
mod long_rows;
mod marks;
mod some_values;
mod texts;
mod unique;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::compare::{assert_equal, assert_holds};
use crate::support::database::{Database, fresh_database};
use crate::support::other_user::OtherUser;
use crate::support::program::{Program, Running};
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Row, Rows, Simulator, Truth, TruthFilter, Which};

const TABLES: [&str; 5] = [
    "contacts",
    "transactions",
    "connections",
    "recordings",
    "inbound_calls",
];

/// A campaign without oddities in which nothing changes.
fn still(contacts: u32) -> Simulator {
    Simulator::start(Config {
        contacts,
        daily_share: 0.0,
        new_per_day: 0.0,
        deleted_share: 0.0,
        oddities: false,
        added_fields: Vec::new(),
        ..Config::default()
    })
}

/// A trigger of this name before each `event` (INSERT or UPDATE) on contacts, which fails with its name where the condition
/// holds.
fn trigger_fails_where(kind: Kind, name: &str, event: &str, condition: &str) -> String {
    match kind {
        Kind::Postgres => format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN \
             RAISE EXCEPTION '{name}'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER {name} BEFORE {event} ON dfire_contacts FOR EACH ROW EXECUTE PROCEDURE {name}()"
        ),
        Kind::Mysql => format!(
            "CREATE TRIGGER {name} BEFORE {event} ON dfire_contacts FOR EACH ROW \
             IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{name}'; END IF"
        ),
        Kind::Sqlite => format!(
            "CREATE TRIGGER {name} BEFORE {event} ON dfire_contacts WHEN {condition} \
             BEGIN SELECT RAISE(ABORT, '{name}'); END"
        ),
        Kind::SqlServer => panic!("the SQL Server of the tests has no triggers"),
    }
}

/// Makes the database refuse one row: by a constraint where a table can get one, else by a trigger.
fn refuse(database: &Database, table: &str, key: &str) {
    let (name, column) = (format!("refuse_{table}"), key_column(database.kind, table));
    let constraint = table == "recordings" || table == "inbound_calls";
    database.execute(&match database.kind {
        Kind::Postgres | Kind::Mysql if constraint => {
            format!("ALTER TABLE dfire_{table} ADD CONSTRAINT {name} CHECK ({column} <> '{key}')")
        }
        Kind::Postgres => format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.{column} = '{key}' THEN RAISE EXCEPTION 'not %', NEW; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON dfire_{table} \
             FOR EACH ROW EXECUTE PROCEDURE {name}()"
        ),
        Kind::Mysql => format!(
            "CREATE TRIGGER {name} BEFORE INSERT ON dfire_{table} FOR EACH ROW \
             IF NEW.{column} = '{key}' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this'; END IF"
        ),
        Kind::SqlServer => format!(
            "ALTER TABLE dfire_{table} WITH NOCHECK ADD CONSTRAINT {name} CHECK ({column} <> '{key}')"
        ),
        Kind::Sqlite => format!(
            "CREATE TRIGGER {name} BEFORE INSERT ON dfire_{table} WHEN NEW.{column} = '{key}' \
             BEGIN SELECT RAISE(ABORT, 'not this'); END"
        ),
    });
}

fn accept(database: &Database, table: &str) {
    let name = format!("refuse_{table}");
    let constraint = table == "recordings" || table == "inbound_calls";
    database.execute(&match database.kind {
        Kind::Postgres | Kind::Mysql if constraint => {
            format!("ALTER TABLE dfire_{table} DROP CONSTRAINT {name}")
        }
        Kind::Postgres => format!("DROP FUNCTION {name}() CASCADE"),
        Kind::SqlServer => format!("ALTER TABLE dfire_{table} DROP CONSTRAINT {name}"),
        Kind::Mysql | Kind::Sqlite => format!("DROP TRIGGER {name}"),
    });
}

fn key_column(kind: Kind, table: &str) -> &'static str {
    match (table, kind) {
        ("contacts", Kind::Mysql) => "`$id`",
        ("contacts", Kind::SqlServer) => "[$id]",
        ("contacts", _) => "\"$id\"",
        _ => "id",
    }
}

/// One row of each table, of five different contacts, none of them among the last to be listed.
fn victims(truth: &Truth) -> BTreeMap<&'static str, String> {
    let mut contacts = Vec::new();
    let mut victims = BTreeMap::new();
    let mut take = |table, rows: &Rows| {
        let of = |row: &Row| row.get("contact_id").cloned().flatten();
        let (key, row) = rows
            .iter()
            .find(|(_, row)| of(row).is_none_or(|contact| !contacts.contains(&contact)))
            .unwrap();
        contacts.push(of(row).unwrap_or_else(|| key.clone()));
        victims.insert(table, key.clone());
    };
    take("contacts", &truth.contacts);
    take("transactions", &truth.transactions);
    take("connections", &truth.connections);
    take("recordings", &truth.recordings);
    // The oldest one: no round of db_sync would come by it again.
    let (key, _) = truth
        .inbound_calls
        .iter()
        .min_by_key(|(_, row)| row.get("started").cloned().flatten())
        .unwrap();
    victims.insert("inbound_calls", key.clone());
    victims
}

/// What is to be stored while these rows are refused: all others, and their contacts without checksum.
fn without(mut truth: Truth, victims: &BTreeMap<&'static str, String>) -> Truth {
    truth.contacts.remove(&victims["contacts"]);
    truth.inbound_calls.remove(&victims["inbound_calls"]);
    let removed = [
        truth.transactions.remove(&victims["transactions"]),
        truth.connections.remove(&victims["connections"]),
        truth.recordings.remove(&victims["recordings"]),
    ];
    for row in removed {
        let contact = row.unwrap()["contact_id"].clone().unwrap();
        let contact = truth.contacts.get_mut(&contact).unwrap();
        contact.insert("$md5".to_owned(), None);
    }
    truth
}

fn one_row_each(kind: Kind) {
    let sim = Simulator::start(Config {
        contacts: 300,
        daily_share: 0.0,
        new_per_day: 0.0,
        deleted_share: 0.0,
        long_texts: false,
        added_fields: Vec::new(),
        ..Config::default()
    });
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url).arg("--reconcile", "1s");
    program.succeed("db_init");
    for table in TABLES {
        database.execute(&format!("DELETE FROM dfire_{table}"));
    }
    let all = TruthFilter::default();
    let truth = sim.truth(&all, &Which::All);
    let victims = victims(&truth);
    for (table, key) in &victims {
        refuse(&database, table, key);
    }

    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let stored = without(truth.clone(), &victims);
    assert_holds(&stored, &database, "dfire_");
    let status: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(program.directory().join("status.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(status["rejected"], 5, "{status}");
    for (table, rows) in stored.tables() {
        assert_eq!(status["written"][table], rows.len(), "{table}: {status}");
    }
    assert_set_aside(&program, &truth, &victims);

    // Refused again at the start, then accepted one after the other.
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    assert_holds(
        &without(sim.truth(&all, &Which::All), &victims),
        &database,
        "dfire_",
    );
    for table in ["transactions", "recordings", "inbound_calls"] {
        accept(&database, table);
        sim.advance(Duration::from_secs(2));
        running.wait_rounds(3);
        let key_is_there = database
            .dump(&format!("dfire_{table}"))
            .contains_key(&victims[table]);
        assert!(key_is_there, "{table}");
    }
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
    accept(&database, "contacts");
    accept(&database, "connections");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    assert_equal(&sim, &all, &database);
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
}

/// The lines of the reject file; none where there is no such file.
fn rejected_rows(program: &Program) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(program.directory().join("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(".rejected.jsonl") {
            let text = std::fs::read_to_string(path).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
        }
    }
    lines
}

/// Each refused row lies in the reject file with its values and a reason, and the log names it without its values.
fn assert_set_aside(program: &Program, truth: &Truth, victims: &BTreeMap<&'static str, String>) {
    let lines = rejected_rows(program);
    assert_eq!(lines.len(), victims.len());
    let log = program.log();
    for (table, key) in victims {
        let line = lines
            .iter()
            .find(|line| line["table"] == format!("dfire_{table}"))
            .unwrap();
        assert_eq!(line["key"], **key);
        assert!(!line["reason"].as_str().unwrap().is_empty());
        let (_, rows) = truth
            .tables()
            .into_iter()
            .find(|(name, _)| name == table)
            .unwrap();
        let row = &rows[key];
        for column in ["$phone", "fired", "started", "filename", "remote_number"] {
            let Some(Some(value)) = row.get(column) else {
                continue;
            };
            assert_eq!(line["row"][column], **value, "{table} {column}");
        }
        let named = format!("row {key} of table dfire_{table} is refused");
        assert!(log.contains(&named), "{named}");
    }
    let phone = truth.contacts[&victims["contacts"]]["$phone"].clone();
    assert!(!log.contains(&phone.unwrap()));
}

#[test]
fn one_row_each_with_sqlite() {
    one_row_each(Kind::Sqlite);
}

#[test]
fn one_row_each_with_postgresql() {
    one_row_each(Kind::Postgres);
}

#[test]
fn one_row_each_with_sql_server() {
    one_row_each(Kind::SqlServer);
}

#[test]
fn one_row_each_with_mariadb() {
    one_row_each(Kind::Mysql);
}

#[test]
fn a_refused_call_does_not_make_transactions_smaller() {
    let sim = Simulator::start(Config {
        contacts: 100,
        daily_share: 0.0,
        added_fields: Vec::new(),
        ..Config::default()
    });
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    database.execute("DELETE FROM dfire_inbound_calls");
    let calls = sim
        .truth(&TruthFilter::default(), &Which::All)
        .inbound_calls;
    let victim = calls.keys().next().unwrap();
    refuse(&database, "inbound_calls", victim);
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let stored = database.dump("dfire_inbound_calls");
    assert!(stored.keys().eq(calls.keys().filter(|key| *key != victim)));
    let log = program.log();
    assert!(!log.contains("in one transaction"), "{log}");
}
