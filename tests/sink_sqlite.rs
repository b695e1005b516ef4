//! SQLite as a destination.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dbsync2::error::ErrorKind;
use dbsync2::sink::sqlite::SqliteSink;
use dbsync2::sink::{Sink, StoredContact};
use dbsync2::tables::schema::{ColumnKind, Table};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::sink_rows::{HOSTILE_NAMES, add, empty, odd_texts, one, schema};

/// A directory of its own for each test, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("dbsync2-sqlite-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("out.db")
    }

    fn reader(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn value(conn: &Connection, sql: &str) -> Value {
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn opening_error(path: &Path) -> String {
    let error = SqliteSink::open(path).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    error.to_string()
}

#[test]
fn every_text_comes_back_and_later_rows_replace_earlier_ones() {
    let place = Place::new("texts");
    let schema = schema(&[("note", ColumnKind::Text), ("other", ColumnKind::Text)]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let texts = odd_texts();
    let ids: Vec<String> = (0..texts.len()).map(|i| format!("id{i}")).collect();
    let mut batch = empty(&schema);
    for (id, text) in ids.iter().zip(&texts) {
        let row = [
            ("$id", Some(id.as_str())),
            ("note", Some(text.as_str())),
            ("other", Some("set")),
        ];
        add(&mut batch, &schema, Table::Contacts, &row);
    }
    sink.write(&batch).unwrap();
    let reader = place.reader();
    for (id, expected) in ids.iter().zip(&texts) {
        let (kind, found): (String, String) = reader
            .query_row(
                "SELECT typeof(note), CAST(note AS BLOB) FROM dfire_contacts WHERE \"$id\" = ?1",
                [id],
                |row| Ok((row.get(0)?, String::from_utf8(row.get(1)?).unwrap())),
            )
            .unwrap();
        assert_eq!((kind.as_str(), found.as_str()), ("text", expected.as_str()));
    }
    sink.write(&one(
        &schema,
        Table::Contacts,
        &[("$id", Some("id2")), ("other", Some("new"))],
    ))
    .unwrap();
    assert_eq!(
        value(
            &reader,
            "SELECT note FROM dfire_contacts WHERE \"$id\" = 'id2'"
        ),
        Value::Null
    );
    assert_eq!(
        value(
            &reader,
            "SELECT other FROM dfire_contacts WHERE \"$id\" = 'id2'"
        ),
        text("new")
    );
    let count = i64::try_from(texts.len()).unwrap();
    assert_eq!(
        value(&reader, "SELECT count(*) FROM dfire_contacts"),
        Value::Integer(count)
    );
}

#[test]
fn numbers_stay_exact() {
    let place = Place::new("numbers");
    let schema = schema(&[("n", ColumnKind::Number), ("b", ColumnKind::Bool)]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    let reader = place.reader();
    for (given, stored) in [
        ("0", Value::Integer(0)),
        ("-7", Value::Integer(-7)),
        ("12.00", Value::Integer(12)),
        ("9223372036854775807", Value::Integer(i64::MAX)),
        ("9223372036854775808", text("9223372036854775808")),
        ("12.5", Value::Real(12.5)),
        ("-0.001", Value::Real(-0.001)),
        ("123456789.012345", Value::Real(123_456_789.012_345)),
        ("123456789.0123456", text("123456789.0123456")),
        (
            "0.12345678901234567890123",
            text("0.12345678901234567890123"),
        ),
        ("no number", text("no number")),
    ] {
        let row = [("$id", Some("a")), ("n", Some(given)), ("b", Some("1"))];
        sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
        assert_eq!(
            value(&reader, "SELECT n FROM dfire_contacts"),
            stored,
            "{given}"
        );
        assert_eq!(
            value(&reader, "SELECT b FROM dfire_contacts"),
            Value::Integer(1)
        );
    }
    assert_eq!(
        value(&reader, "SELECT count(*) FROM dfire_contacts"),
        Value::Integer(1)
    );
}

#[test]
fn a_number_field_that_was_a_text_field_keeps_its_digits() {
    let place = Place::new("retyped");
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema(&[("n", ColumnKind::Text)])).unwrap();
    let schema = schema(&[("n", ColumnKind::Number)]);
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    sink.write(&one(
        &schema,
        Table::Contacts,
        &[("$id", Some("a")), ("n", Some("0.0000001"))],
    ))
    .unwrap();
    assert_eq!(
        value(&place.reader(), "SELECT n FROM dfire_contacts"),
        text("0.0000001")
    );
}

#[test]
fn columns_with_hostile_names_are_added_to_an_existing_table() {
    let place = Place::new("names");
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema(&[])).unwrap();
    let fields: Vec<_> = HOSTILE_NAMES
        .iter()
        .map(|name| (*name, ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let mut row = vec![("$id", Some("a"))];
    row.extend(HOSTILE_NAMES.iter().map(|name| (*name, Some(*name))));
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    let reader = place.reader();
    let mut statement = reader.prepare("SELECT * FROM dfire_contacts").unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let values: Vec<Option<String>> = statement
        .query_row([], |row| (0..names.len()).map(|i| row.get(i)).collect())
        .unwrap();
    for name in HOSTILE_NAMES {
        let position = names.iter().position(|n| n == name).unwrap();
        assert_eq!(values[position].as_deref(), Some(name));
    }
}

#[test]
fn columns_that_sqlite_refuses_are_reported_and_left_out() {
    let place = Place::new("limit");
    let names: Vec<String> = (0..2100).map(|i| format!("f{i}")).collect();
    let mut fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    fields.insert(0, ("nul\0name", ColumnKind::Text));
    let schema = schema(&fields);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    let missing = sink.prepare(&schema).unwrap();
    // 2,000 columns, 22 of them our own.
    let expected: Vec<&str> = std::iter::once("nul\0name")
        .chain(names[1978..].iter().map(String::as_str))
        .collect();
    assert_eq!(
        missing
            .iter()
            .map(|m| m.column.as_str())
            .collect::<Vec<_>>(),
        expected
    );
    assert!(
        missing[1].reason.contains("too many columns"),
        "{}",
        missing[1].reason
    );
    let row = [
        ("$id", Some("a")),
        ("f1977", Some("last")),
        ("f1978", Some("lost")),
    ];
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(
        value(&place.reader(), "SELECT f1977 FROM dfire_contacts"),
        text("last")
    );
}

#[test]
fn preparing_again_changes_nothing_and_makes_no_index_twice() {
    let place = Place::new("again");
    let schema = schema(&[("x", ColumnKind::Text)]);
    Connection::open(place.file())
        .unwrap()
        .execute_batch(
            "CREATE TABLE dfire_recordings (id TEXT PRIMARY KEY, contact_id TEXT, connection_id TEXT);
             CREATE INDEX theirs ON dfire_recordings (CONTACT_ID, id);",
        )
        .unwrap();
    let dump = || -> Vec<String> {
        let reader = place.reader();
        let mut statement = reader
            .prepare("SELECT coalesce(sql, name) FROM sqlite_master ORDER BY name")
            .unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    assert!(!dump().iter().any(|sql| sql.contains("INDEX \"dfire_")));
    sink.index(&schema).unwrap();
    let first = dump();
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    sink.index(&schema).unwrap();
    assert_eq!(dump(), first);
    let on_recordings: Vec<&String> = first
        .iter()
        .filter(|sql| sql.starts_with("CREATE INDEX") && sql.contains("recordings"))
        .collect();
    assert_eq!(on_recordings.len(), 2, "{on_recordings:?}");
    assert!(
        first
            .iter()
            .any(|sql| sql.contains("\"dfire_transactions\" (\"fired\")")),
        "{first:?}"
    );
}

#[test]
fn stored_contacts_and_distrust() {
    let place = Place::new("stored");
    let schema = schema(&[]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    let mut batch = empty(&schema);
    for (id, md5, changed) in [
        ("abc", Some("m1"), Some("2024-01-01T00:00:00Z")),
        ("ABC", Some("m2"), Some("2024-01-02T00:00:00Z")),
        ("none", Some("m3"), None),
    ] {
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some(id)), ("$md5", md5), ("$changed", changed)],
        );
    }
    sink.write(&batch).unwrap();
    let stored = |sink: &mut SqliteSink| {
        let others: Vec<String> = (0..1200).map(|i| format!("x{i}")).collect();
        let mut ids: Vec<&str> = others.iter().map(String::as_str).collect();
        ids.extend(["abc", "ABC", "none"]);
        let mut found = sink.stored(&ids).unwrap();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    };
    let contact = |id: &str, md5: Option<&str>, changed: Option<&str>| StoredContact {
        id: id.to_owned(),
        md5: md5.map(str::to_owned),
        changed: changed.map(str::to_owned),
    };
    let early = contact("abc", Some("m1"), Some("2024-01-01T00:00:00Z"));
    assert_eq!(
        stored(&mut sink),
        [
            contact("ABC", Some("m2"), Some("2024-01-02T00:00:00Z")),
            early.clone(),
            contact("none", Some("m3"), None)
        ]
    );
    assert_eq!(sink.distrust_after("2024-01-01T00:00:00Z").unwrap(), 2);
    assert_eq!(
        stored(&mut sink),
        [
            contact("ABC", None, Some("2024-01-02T00:00:00Z")),
            early,
            contact("none", None, None)
        ]
    );
    assert_eq!(sink.distrust_after("2024-01-01T00:00:00Z").unwrap(), 0);
}

#[test]
fn placeholders_go_and_a_refused_row_takes_its_batch_with_it() {
    let place = Place::new("whole");
    let schema = schema(&[]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    let reader = place.reader();
    let ids = || -> Vec<String> {
        let mut statement = reader
            .prepare("SELECT id FROM dfire_recordings ORDER BY id")
            .unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let mut batch = empty(&schema);
    for id in ["keep", "temp'1"] {
        add(&mut batch, &schema, Table::Recordings, &[("id", Some(id))]);
    }
    sink.write(&batch).unwrap();
    reader
        .execute_batch(
            "CREATE TRIGGER no_bad BEFORE INSERT ON dfire_connections WHEN new.id = 'bad'
             BEGIN SELECT raise(ABORT, 'refused here'); END",
        )
        .unwrap();
    let mut batch = one(&schema, Table::Recordings, &[("id", Some("final"))]);
    batch.placeholders.push("temp'1".to_owned());
    let mut bad = batch.clone();
    add(
        &mut bad,
        &schema,
        Table::Connections,
        &[("id", Some("bad"))],
    );
    let error = sink.write(&bad).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.to_string().contains("dfire_connections"), "{error}");
    assert_eq!(ids(), ["keep", "temp'1"]);
    sink.write(&batch).unwrap();
    assert_eq!(ids(), ["final", "keep"]);
}

#[test]
fn a_locked_file_is_waited_for_and_then_passing_trouble() {
    let place = Place::new("locked");
    let schema = schema(&[]);
    let mut sink = SqliteSink::open_waiting(&place.file(), Duration::from_millis(50)).unwrap();
    sink.prepare(&schema).unwrap();
    let other = place.reader();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = one(&schema, Table::Contacts, &[("$id", Some("a"))]);
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(
        error.to_string().contains("another program holds the file"),
        "{error}"
    );
    other.execute_batch("COMMIT").unwrap();
    sink.write(&batch).unwrap();
}

#[test]
fn a_file_that_is_replaced_or_a_table_that_is_dropped_is_passing_trouble() {
    let place = Place::new("replaced");
    let schema = schema(&[]);
    let batch = one(&schema, Table::Contacts, &[("$id", Some("a"))]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    place
        .reader()
        .execute_batch("DROP TABLE dfire_contacts")
        .unwrap();
    assert_eq!(sink.write(&batch).unwrap_err().kind(), ErrorKind::Transient);
    std::fs::rename(place.file(), place.0.join("moved.db")).unwrap();
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("moved, deleted or replaced"),
        "{error}"
    );
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(
        value(&place.reader(), "SELECT \"$id\" FROM dfire_contacts"),
        text("a")
    );
}

#[test]
fn the_log_is_long_only_while_a_first_copy_is_written() {
    let place = Place::new("log");
    let schema = schema(&[("note", ColumnKind::Text)]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    let text = "x".repeat(100_000);
    let mut number = 0;
    let mut write = |sink: &mut SqliteSink| {
        for _ in 0..10 {
            let mut batch = empty(&schema);
            for _ in 0..20 {
                number += 1;
                let id = number.to_string();
                let row = [("$id", Some(id.as_str())), ("note", Some(text.as_str()))];
                add(&mut batch, &schema, Table::Contacts, &row);
            }
            sink.write(&batch).unwrap();
        }
    };
    let megabytes = |file: &str| std::fs::metadata(place.0.join(file)).unwrap().len() >> 20;
    // 20 MB, of which nothing is in its place yet.
    write(&mut sink);
    assert!(megabytes("out.db-wal") >= 19 && megabytes("out.db") == 0);
    sink.index(&schema).unwrap();
    // From then on all but the last 4 MB is.
    write(&mut sink);
    let (file, log) = (megabytes("out.db"), megabytes("out.db-wal"));
    assert!(file >= 32 && log < 30, "{file} MB, log {log} MB");
    sink.prepare(&schema).unwrap();
    for _ in 0..6 {
        write(&mut sink);
    }
    // 120 MB more, and the log is as long as it may be.
    let log = megabytes("out.db-wal");
    assert!((60..80).contains(&log), "log {log} MB");
    drop(sink);
    assert!(!place.0.join("out.db-wal").exists());
    let count = value(&place.reader(), "SELECT count(*) FROM dfire_contacts");
    assert_eq!(count, Value::Integer(1600));
}

#[test]
fn a_committed_batch_survives_a_killed_process() {
    let place = Place::new("durable");
    let schema = schema(&[]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("a"))]))
        .unwrap();
    // What a killed process leaves behind is the state of the files now, copied while the sink is open.
    for end in ["", "-wal"] {
        std::fs::copy(
            place.0.join(format!("out.db{end}")),
            place.0.join(format!("copy.db{end}")),
        )
        .unwrap();
    }
    let copy = Connection::open(place.0.join("copy.db")).unwrap();
    assert_eq!(
        value(&copy, "SELECT \"$id\" FROM dfire_contacts"),
        text("a")
    );
    assert_eq!(value(&copy, "PRAGMA journal_mode"), text("wal"));
}

#[test]
fn what_cannot_be_opened_is_explained() {
    let place = Place::new("opening");
    assert!(opening_error(&place.0.join("no/such/x.db")).contains("does not exist (create it"));
    assert!(opening_error(&place.0).contains("it is a directory"));
    assert!(opening_error(Path::new("/proc/dbsync2.db")).contains("may not write there"));
    std::fs::write(
        place.file(),
        "this is a text file, and long enough to be one".repeat(100),
    )
    .unwrap();
    assert!(opening_error(&place.file()).contains("file is not a database (check the file name"));
}

#[test]
fn tables_of_other_programs_are_refused() {
    for (name, sql, reason) in [
        (
            "nokey",
            "CREATE TABLE dfire_contacts (name TEXT)",
            "has no column $id",
        ),
        (
            "nounique",
            "CREATE TABLE dfire_contacts (\"$id\" TEXT)",
            "ON CONFLICT clause does not match",
        ),
        (
            "view",
            "CREATE VIEW dfire_recordings AS SELECT 1 AS id",
            "cannot",
        ),
    ] {
        let place = Place::new(name);
        place.reader().execute_batch(sql).unwrap();
        let error = SqliteSink::open(&place.file())
            .unwrap()
            .prepare(&schema(&[]))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
        assert!(
            error.to_string().contains(reason) && error.to_string().contains("--tp"),
            "{error}"
        );
    }
}

#[test]
fn check_says_what_it_sees_and_leaves_nothing_behind() {
    let place = Place::new("check");
    let schema = schema(&[("new", ColumnKind::Text)]);
    let outcomes = |sink: &mut SqliteSink| -> Vec<(String, Result<String, String>)> {
        let lines = sink.check(&schema).unwrap();
        lines
            .into_iter()
            .skip(1)
            .map(|line| (line.subject, line.outcome))
            .collect()
    };
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    let lines = outcomes(&mut sink);
    assert_eq!(
        lines[0],
        ("write access".to_owned(), Ok("granted".to_owned()))
    );
    assert_eq!(
        lines[1],
        (
            "table dfire_contacts".to_owned(),
            Ok("will be created".to_owned())
        )
    );
    assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), 0);

    let mut sink = SqliteSink::open_waiting(&place.file(), Duration::from_millis(50)).unwrap();
    sink.prepare(&crate::sink_rows::schema(&[])).unwrap();
    assert_eq!(
        outcomes(&mut sink)[1].1,
        Ok("present, 1 columns will be added".to_owned())
    );
    assert_eq!(outcomes(&mut sink)[2].1, Ok("present".to_owned()));
    let other = place.reader();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(
        outcomes(&mut sink)[0]
            .1
            .as_ref()
            .unwrap_err()
            .contains("another program holds the file")
    );
}
