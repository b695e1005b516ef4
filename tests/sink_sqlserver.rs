//! Microsoft SQL Server as a destination: against the server that `DBSYNC_TEST_SQLSERVER` names, else against the TDS
//! test server; what only that can play (failures, TLS, the Browser) always against it.

use std::path::Path;
use std::time::{Duration, Instant};

use dbsync2::error::{Error, ErrorKind, Result};
use dbsync2::sink::sqlserver::SqlServerSink;
use dbsync2::sink::url::{Encryption, SqlServerUrl};
use dbsync2::sink::{Sink, StoredContact, Target};
use dbsync2::tables::schema::{ColumnKind, Schema, Table};
use dbsync2::tls::Roots;

use crate::sink_rows::{HOSTILE_NAMES, add, empty, odd_texts, one, schema};
use crate::support::database::{Database, fresh_database};
use crate::support::servers::{Kind, certificates};
use crate::support::sqlserver::{SqlServerClient, parsed};
use crate::support::tds::TdsServer;
use crate::support::tds::options::{Options, Rights, User, Version};
use crate::support::tds::wire::prelogin::Encryption as Offer;

fn fresh() -> Database {
    fresh_database(Kind::SqlServer)
}

fn open(url: &str) -> Result<SqlServerSink> {
    SqlServerSink::open(&parsed(url), &Roots::load(None)?)
}

/// A sink of a fresh database with these tables.
fn prepared(database: &Database, schema: &Schema) -> SqlServerSink {
    let mut sink = open(&database.url).unwrap();
    assert_eq!(sink.prepare(schema).unwrap(), []);
    sink.index(schema).unwrap();
    sink
}

fn value(database: &Database, sql: &str) -> Option<String> {
    let mut rows = database.query(sql);
    assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
    rows.remove(0).remove(0)
}

/// The type of a column, such as `nvarchar(-1)` for `nvarchar(max)`, or `decimal(38,10)`.
fn column_type(database: &Database, table: &str, column: &str) -> String {
    let mut rows = database.query(&format!(
        "SELECT DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE \
         FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{table}' AND COLUMN_NAME = '{column}'"
    ));
    assert_eq!(rows.len(), 1, "{table}.{column}");
    match rows.remove(0).as_slice() {
        [Some(name), Some(length), ..] => format!("{name}({length})"),
        [Some(name), None, Some(precision), Some(scale)] if name == "decimal" => {
            format!("{name}({precision},{scale})")
        }
        [Some(name), ..] => name.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_text_comes_back_and_later_rows_replace_earlier_ones() {
    let database = fresh();
    let schema = schema(&[("note", ColumnKind::Text), ("other", ColumnKind::Text)]);
    let mut sink = prepared(&database, &schema);
    let texts = odd_texts();
    for turn in 0..2 {
        let mut batch = empty(&schema);
        for (number, text) in texts.iter().enumerate() {
            let (id, other) = (format!("C{number}"), format!("turn {turn}"));
            let note = if turn == 0 { "first" } else { text };
            let other = (turn == 0).then_some(other.as_str());
            let values = [
                ("$id", Some(id.as_str())),
                ("note", Some(note)),
                ("other", other),
            ];
            add(&mut batch, &schema, Table::Contacts, &values);
        }
        sink.write(&batch).unwrap();
    }
    let rows = database.dump("dfire_contacts");
    assert_eq!(rows.len(), texts.len());
    for (number, text) in texts.iter().enumerate() {
        let row = &rows[&format!("C{number}")];
        // U+0000 is what README says stands for it.
        assert_eq!(
            row["note"],
            Some(text.replace('\0', "\u{2400}")),
            "{number}"
        );
        assert_eq!(row["other"], None, "a column without value becomes NULL");
    }
}

#[test]
fn hostile_column_names_are_names() {
    let database = fresh();
    let fields: Vec<(&str, ColumnKind)> = HOSTILE_NAMES
        .iter()
        .chain(&["]] FROM x", "a]b", "'quote"])
        .map(|name| (*name, ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    let mut sink = prepared(&database, &schema);
    let mut values = vec![("$id", Some("C1"))];
    values.extend(fields.iter().map(|(name, _)| (*name, Some(*name))));
    sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
    let row = &database.dump("dfire_contacts")["C1"];
    for (name, _) in &fields {
        assert_eq!(row[*name].as_deref(), Some(*name));
    }
    let columns = sink.columns(schema.table(Table::Contacts)).unwrap();
    assert!(
        fields
            .iter()
            .all(|(name, _)| columns.iter().any(|c| c == name))
    );
}

#[test]
fn all_tables_with_their_types_and_indexes() {
    let database = fresh();
    let schema = schema(&[("amount", ColumnKind::Number)]);
    let mut sink = open(&database.url).unwrap();
    assert_eq!(
        sink.columns(schema.table(Table::Contacts)).unwrap(),
        Vec::<String>::new()
    );
    sink.prepare(&schema).unwrap();
    sink.index(&schema).unwrap();
    for (table, column, declared) in [
        ("dfire_contacts", "$id", "nvarchar(100)"),
        ("dfire_contacts", "$comment", "nvarchar(-1)"),
        ("dfire_contacts", "amount", "decimal(38,10)"),
        ("dfire_transactions", "fired", "nvarchar(100)"),
        ("dfire_transactions", "isHI", "bit"),
        ("dfire_connections", "duration", "decimal(38,10)"),
        ("dfire_inbound_calls", "contact_id", "nvarchar(100)"),
    ] {
        assert_eq!(
            column_type(&database, table, column),
            declared,
            "{table}.{column}"
        );
    }
    let indexed = "SELECT c.name FROM sys.indexes AS i \
         INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id \
         INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id \
         WHERE i.object_id = OBJECT_ID(N'dfire_connections') AND k.key_ordinal > 0 ORDER BY c.name";
    let columns: Vec<_> = database
        .query(indexed)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert_eq!(columns, ["contact_id", "fired", "id", "transaction_id"]);
    // Nothing is made twice, on this connection or on another.
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    sink.index(&schema).unwrap();
    prepared(&database, &schema);
    assert_eq!(database.query(indexed).len(), 4);
}

#[test]
fn columns_are_added_while_running_and_written_at_once() {
    let database = fresh();
    let before = schema(&[]);
    let mut sink = prepared(&database, &before);
    sink.write(&one(&before, Table::Contacts, &[("$id", Some("C1"))]))
        .unwrap();
    let after = schema(&[("later", ColumnKind::Text), ("count", ColumnKind::Number)]);
    sink.prepare(&after).unwrap();
    let values = [
        ("$id", Some("C1")),
        ("later", Some("x")),
        ("count", Some("7")),
    ];
    sink.write(&one(&after, Table::Contacts, &values)).unwrap();
    let row = &database.dump("dfire_contacts")["C1"];
    assert_eq!(
        (row["later"].as_deref(), row["count"].as_deref()),
        (Some("x"), Some("7"))
    );
}

#[test]
fn more_columns_than_a_table_can_have_are_reported_and_left_out() {
    let database = fresh();
    let names: Vec<String> = (0..1010).map(|n| format!("field {n}")).collect();
    let fields: Vec<(&str, ColumnKind)> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    let system = schema.table(Table::Contacts).columns.len() - names.len();
    let mut sink = open(&database.url).unwrap();
    let missing = sink.prepare(&schema).unwrap();
    let expected: Vec<&str> = names[1024 - system..].iter().map(String::as_str).collect();
    assert_eq!(
        missing
            .iter()
            .map(|m| m.column.as_str())
            .collect::<Vec<_>>(),
        expected
    );
    assert!(
        missing.iter().all(|m| m.reason.contains("1024")),
        "{:?}",
        missing[0]
    );
    let last = names.last().unwrap();
    let values = [
        ("$id", Some("C1")),
        ("field 0", Some("kept")),
        (last.as_str(), Some("lost")),
    ];
    sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
    let row = &database.dump("dfire_contacts")["C1"];
    assert_eq!((row["field 0"].as_deref(), row.len()), (Some("kept"), 1024));
}

#[test]
fn numbers_keep_all_their_digits() {
    let database = fresh();
    let schema = schema(&[
        ("fits", ColumnKind::Number),
        ("places", ColumnKind::Number),
        ("huge", ColumnKind::Number),
    ]);
    let mut sink = prepared(&database, &schema);
    let write = |sink: &mut SqlServerSink, id: &str, fits: &str, places: &str, huge: &str| {
        let values = [
            ("$id", Some(id)),
            ("fits", Some(fits)),
            ("places", Some(places)),
            ("huge", Some(huge)),
        ];
        sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
    };
    write(
        &mut sink,
        "C1",
        "-1234567890123456789012345678.0123456789",
        "12.50",
        "0.25",
    );
    write(&mut sink, "C2", "0", "7", "100");
    let long = "9".repeat(60);
    write(&mut sink, "C3", "-0.5", "0.30000000000000004", &long);
    write(&mut sink, "C4", "1", "-3", "-4.75");
    assert_eq!(
        column_type(&database, "dfire_contacts", "fits"),
        "decimal(38,10)"
    );
    assert_eq!(
        column_type(&database, "dfire_contacts", "places"),
        "decimal(38,17)"
    );
    assert_eq!(
        column_type(&database, "dfire_contacts", "huge"),
        "nvarchar(-1)"
    );
    let rows = database.dump("dfire_contacts");
    let of = |column: &str| -> Vec<&str> {
        rows.values()
            .map(|row| row[column].as_deref().unwrap())
            .collect()
    };
    assert_eq!(
        of("fits"),
        ["-1234567890123456789012345678.0123456789", "0", "-0.5", "1"]
    );
    assert_eq!(of("places"), ["12.5", "7", "0.30000000000000004", "-3"]);
    // What was stored before is without the zeros of its former type.
    assert_eq!(of("huge"), ["0.25", "100", &long, "-4.75"]);
    // No room for more places: what is stored has 28 digits before the point.
    write(&mut sink, "C5", "0.12345678901", "1", "1");
    assert_eq!(
        column_type(&database, "dfire_contacts", "fits"),
        "nvarchar(-1)"
    );
    let rows = database.dump("dfire_contacts");
    assert_eq!(
        rows["C1"]["fits"].as_deref(),
        Some("-1234567890123456789012345678.0123456789")
    );
    assert_eq!(rows["C5"]["fits"].as_deref(), Some("0.12345678901"));
}

#[test]
fn columns_of_the_old_client_are_widened_when_a_value_needs_it() {
    let database = fresh();
    database.execute(
        "CREATE TABLE dfire_contacts ([$id] nvarchar(50) NOT NULL PRIMARY KEY, [$md5] nvarchar(50), \
         [$status_detail] nvarchar, [$comment] text, [amount] nvarchar(50), [$changed] nvarchar(50))",
    );
    database.execute("INSERT INTO dfire_contacts ([$id], [$comment]) VALUES ('OLD', 'kept')");
    let schema = schema(&[("amount", ColumnKind::Number)]);
    let mut sink = prepared(&database, &schema);
    let narrow = [
        ("$id", Some("C1")),
        ("$status_detail", Some("x")),
        ("$comment", Some("ascii")),
        ("amount", Some("0.50")),
    ];
    sink.write(&one(&schema, Table::Contacts, &narrow)).unwrap();
    assert_eq!(
        column_type(&database, "dfire_contacts", "$status_detail"),
        "nvarchar(1)"
    );
    assert!(column_type(&database, "dfire_contacts", "$comment").starts_with("text"));
    let wide = [
        ("$id", Some("C2")),
        ("$status_detail", Some("$none")),
        ("$comment", Some("Grüße 東京")),
        ("amount", Some("7")),
    ];
    sink.write(&one(&schema, Table::Contacts, &wide)).unwrap();
    assert_eq!(
        column_type(&database, "dfire_contacts", "$status_detail"),
        "nvarchar(-1)"
    );
    assert_eq!(
        column_type(&database, "dfire_contacts", "$comment"),
        "nvarchar(-1)"
    );
    assert_eq!(
        column_type(&database, "dfire_contacts", "amount"),
        "nvarchar(50)"
    );
    let rows = database.dump("dfire_contacts");
    let comments: Vec<_> = rows
        .values()
        .map(|row| row["$comment"].as_deref())
        .collect();
    assert_eq!(comments, [Some("ascii"), Some("Grüße 東京"), Some("kept")]);
    assert_eq!(
        rows["C1"]["amount"].as_deref(),
        Some("0.50"),
        "numbers in texts stay as they are"
    );
}

#[test]
fn an_indexed_column_is_widened_as_far_as_its_index_allows() {
    let database = fresh();
    let schema = schema(&[]);
    let mut sink = prepared(&database, &schema);
    let with = |id: &str, contact: &str| {
        one(
            &schema,
            Table::Transactions,
            &[("id", Some(id)), ("contact_id", Some(contact))],
        )
    };
    sink.write(&with("T1", &"a".repeat(300))).unwrap();
    assert_eq!(
        column_type(&database, "dfire_transactions", "contact_id"),
        "nvarchar(450)"
    );
    let error = sink.write(&with("T2", &"a".repeat(451))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(
        error.to_string().contains("T2") && error.to_string().contains("contact_id"),
        "{error}"
    );
    sink.write(&with("T3", "b")).unwrap();
    assert_eq!(database.dump("dfire_transactions").len(), 2);
}

#[test]
fn foreign_types_are_converted_by_the_server_and_refuse_what_they_cannot_hold() {
    let database = fresh();
    database.execute(
        "CREATE TABLE dfire_contacts ([$id] varchar(50) NOT NULL PRIMARY KEY, [$md5] nvarchar(50), [day] datetime, \
         [whole] int, [yes] bit, [half] float, [$changed] nvarchar(50))",
    );
    let schema = schema(&[
        ("day", ColumnKind::Text),
        ("whole", ColumnKind::Number),
        ("yes", ColumnKind::Bool),
        ("half", ColumnKind::Number),
    ]);
    let mut sink = prepared(&database, &schema);
    let row = |id: &'static str, day: &'static str, whole: &'static str| {
        [
            ("$id", Some(id)),
            ("day", Some(day)),
            ("whole", Some(whole)),
            ("yes", Some("1")),
            ("half", Some("0.5")),
        ]
    };
    sink.write(&one(
        &schema,
        Table::Contacts,
        &row("C1", "2024-03-05T09:15:42", "42"),
    ))
    .unwrap();
    let error = sink
        .write(&one(&schema, Table::Contacts, &row("C2", "auto", "1")))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(!error.to_string().contains("auto"), "{error}");
    sink.write(&one(
        &schema,
        Table::Contacts,
        &row("C3", "2024-03-06", "3000000000"),
    ))
    .unwrap();
    assert_eq!(column_type(&database, "dfire_contacts", "whole"), "bigint");
    let sql = "SELECT [whole], [yes], [half] FROM dfire_contacts WHERE [$id] = 'C1'";
    let values = database.query(sql).remove(0);
    assert_eq!(
        values,
        [Some("42"), Some("1"), Some("0.5")].map(|v| v.map(str::to_owned))
    );
    assert_eq!(
        value(&database, "SELECT COUNT(*) FROM dfire_contacts").as_deref(),
        Some("2")
    );
}

#[test]
fn placeholders_go_in_the_same_transaction() {
    let database = fresh();
    let schema = schema(&[]);
    let mut sink = prepared(&database, &schema);
    let mut batch = empty(&schema);
    for id in ["P1", "P2", "it's"] {
        add(&mut batch, &schema, Table::Recordings, &[("id", Some(id))]);
    }
    sink.write(&batch).unwrap();
    let mut batch = one(
        &schema,
        Table::Recordings,
        &[("id", Some("R1")), ("location", Some("x"))],
    );
    batch.placeholders = ["P1", "it's", "unknown"].map(str::to_owned).to_vec();
    sink.write(&batch).unwrap();
    let ids: Vec<String> = database.dump("dfire_recordings").into_keys().collect();
    assert_eq!(ids, ["P2", "R1"]);
}

#[test]
fn a_refused_batch_leaves_nothing_and_the_next_one_goes_through() {
    let database = fresh();
    database.execute(
        "CREATE TABLE dfire_connections (id nvarchar(50) NOT NULL PRIMARY KEY, duration datetime, contact_id nvarchar(50))",
    );
    let schema = schema(&[]);
    let mut sink = prepared(&database, &schema);
    let batch = |duration: &str| {
        let mut batch = one(&schema, Table::Contacts, &[("$id", Some("C1"))]);
        let values = [("id", Some("K1")), ("duration", Some(duration))];
        add(&mut batch, &schema, Table::Connections, &values);
        batch
    };
    let error = sink.write(&batch("no time")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(database.dump("dfire_contacts").len(), 0, "rolled back");
    sink.write(&batch("2024-03-05")).unwrap();
    assert_eq!(database.dump("dfire_contacts").len(), 1);
    let count = "SELECT COUNT(*) FROM dfire_connections WHERE duration IS NOT NULL";
    assert_eq!(value(&database, count).as_deref(), Some("1"));
}

/// `abc` and `ABC ` are the same key: one row, the last one's, and no error however they come.
#[test]
fn keys_that_the_server_takes_for_equal_share_a_row() {
    let database = fresh();
    let schema = schema(&[("note", ColumnKind::Text)]);
    let mut sink = prepared(&database, &schema);
    let note = |id: &'static str, note: &'static str| [("$id", Some(id)), ("note", Some(note))];
    let mut batch = empty(&schema);
    for values in [
        note("abc", "1"),
        note("XYZ", "2"),
        note("ABC ", "3"),
        note("xyz", "4"),
    ] {
        add(&mut batch, &schema, Table::Contacts, &values);
    }
    sink.write(&batch).unwrap();
    let notes = || -> Vec<String> {
        let rows = database.query("SELECT note FROM dfire_contacts ORDER BY note");
        rows.into_iter().flatten().flatten().collect()
    };
    assert_eq!(notes(), ["3", "4"]);
    sink.write(&one(&schema, Table::Contacts, &note("Abc", "5")))
        .unwrap();
    assert_eq!(notes(), ["4", "5"]);
    // Asked by another spelling, the answer is the row as it is spelt, so that nobody takes it for the other contact.
    let stored = sink.stored(&["aBC", "nobody"]).unwrap();
    assert_eq!(stored.len(), 1);
    assert_ne!(stored[0].id, "aBC");
}

#[test]
fn stored_contacts_and_distrust() {
    let database = fresh();
    let schema = schema(&[]);
    let mut sink = prepared(&database, &schema);
    let mut batch = empty(&schema);
    let ids: Vec<String> = (0..1200).map(|n| format!("C{n}'")).collect();
    for (number, id) in ids.iter().enumerate() {
        let changed = match number {
            0 => None,
            1 => Some("2024-03-05T09:15:43Z"),
            _ => Some("2024-03-05T09:15:42Z"),
        };
        let values = [
            ("$id", Some(id.as_str())),
            ("$md5", Some("m")),
            ("$changed", changed),
        ];
        add(&mut batch, &schema, Table::Contacts, &values);
    }
    sink.write(&batch).unwrap();
    let mut wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    wanted.push("unknown");
    let stored = sink.stored(&wanted).unwrap();
    assert_eq!(stored.len(), 1200);
    assert!(stored.contains(&StoredContact {
        id: "C1'".to_owned(),
        md5: Some("m".to_owned()),
        changed: Some("2024-03-05T09:15:43Z".to_owned()),
    }));
    assert_eq!(sink.distrust_after("2024-03-05T09:15:42Z").unwrap(), 2);
    assert_eq!(sink.distrust_after("2024-03-05T09:15:42Z").unwrap(), 0);
    let without = "SELECT COUNT(*) FROM dfire_contacts WHERE [$md5] IS NULL";
    assert_eq!(value(&database, without).as_deref(), Some("2"));
}

#[test]
fn a_large_batch_and_a_large_value_cross_packets() {
    let database = fresh();
    let schema = schema(&[("note", ColumnKind::Text)]);
    let mut sink = prepared(&database, &schema);
    for turn in ["a", "ü", "🎉"] {
        let mut batch = empty(&schema);
        for number in 0..3000 {
            let id = format!("C{number}");
            let note = turn.repeat(number % 97);
            add(
                &mut batch,
                &schema,
                Table::Contacts,
                &[("$id", Some(&id)), ("note", Some(&note))],
            );
        }
        sink.write(&batch).unwrap();
    }
    let huge = "x".repeat(3_000_000);
    sink.write(&one(
        &schema,
        Table::Contacts,
        &[("$id", Some("huge")), ("note", Some(&huge))],
    ))
    .unwrap();
    let rows = database.dump("dfire_contacts");
    assert_eq!(rows.len(), 3001);
    assert_eq!(rows["huge"]["note"].as_deref(), Some(huge.as_str()));
    assert_eq!(rows["C96"]["note"], Some("🎉".repeat(96)));
}

#[test]
fn tables_of_another_program_are_refused() {
    for (sql, said) in [
        ("CREATE TABLE dfire_contacts (a int)", "no column $id"),
        (
            "CREATE TABLE dfire_contacts ([$id] nvarchar(50))",
            "no primary key",
        ),
    ] {
        let database = fresh();
        database.execute(sql);
        let error = open(&database.url)
            .unwrap()
            .prepare(&schema(&[]))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup);
        assert!(
            error.to_string().contains(said) && error.to_string().contains("--tp"),
            "{error}"
        );
    }
}

#[test]
fn check_looks_and_changes_nothing() {
    let database = fresh();
    let schema = schema(&[]);
    let lines = open(&database.url).unwrap().check(&schema).unwrap();
    let of = |subject: &str| {
        let line = lines.iter().find(|line| line.subject == subject);
        line.unwrap_or_else(|| panic!("{subject}: {lines:?}"))
            .outcome
            .clone()
    };
    assert_eq!(of("table dfire_contacts"), Ok("will be created".to_owned()));
    for privilege in [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE TABLE",
        "ALTER",
    ] {
        assert_eq!(
            of(&format!("privilege {privilege}")),
            Ok("granted".to_owned())
        );
    }
    assert!(
        of("database").unwrap().contains("at 127.0.0.1") || !database.url.contains("127.0.0.1")
    );
    assert_eq!(
        value(&database, "SELECT COUNT(*) FROM sys.tables").as_deref(),
        Some("0")
    );
}

// From here on, what only the TDS test server can play.

fn tds(options: Options) -> (TdsServer, String) {
    let server = TdsServer::start(options);
    let url = format!("{}?encrypt=false", server.url());
    (server, url)
}

fn small() -> (Schema, dbsync2::tables::batch::Batch) {
    let schema = schema(&[]);
    let batch = one(&schema, Table::Contacts, &[("$id", Some("C1"))]);
    (schema, batch)
}

#[test]
fn what_the_servers_errors_lead_to() {
    let (server, url) = tds(Options::default());
    let (schema, batch) = small();
    for (number, kind) in [
        (1205, ErrorKind::Transient),
        (1222, ErrorKind::Transient),
        (3906, ErrorKind::Setup),
        (229, ErrorKind::Setup),
        (515, ErrorKind::Data),
        (9002, ErrorKind::Transient),
    ] {
        let mut sink = open(&url).unwrap();
        sink.prepare(&schema).unwrap();
        server.fail_next(number, 1);
        let error = sink.write(&batch).unwrap_err();
        assert_eq!(error.kind(), kind, "{number}: {error}");
        assert!(
            error.to_string().contains(&format!("(error {number})")) || number == 229,
            "{error}"
        );
        assert_eq!(
            server.dump("dfire_contacts").len(),
            0,
            "{number}: rolled back"
        );
        sink.write(&batch).unwrap();
        assert_eq!(server.dump("dfire_contacts").len(), 1, "{number}");
        server.execute("DELETE FROM dfire_contacts");
    }
}

#[test]
fn a_duplicate_key_is_read_again_once_and_never_for_ever() {
    let (server, url) = tds(Options::default());
    let (schema, batch) = small();
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    // Another session was faster: the second attempt finds the row.
    server.fail_next(2627, 1);
    sink.write(&batch).unwrap();
    assert_eq!(server.dump("dfire_contacts").len(), 1);
    // Two keys that only the server takes for equal: the batch is refused, and so split.
    server.fail_next(2627, 2);
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(server.controls().pending_failures(), 0);
    sink.write(&batch).unwrap();
}

#[test]
fn a_connection_lost_anywhere_is_passing_trouble() {
    let (server, url) = tds(Options::default());
    let schema = schema(&[]);
    let mut batch = empty(&schema);
    for number in 0..500 {
        let id = format!("C{number}");
        add(&mut batch, &schema, Table::Contacts, &[("$id", Some(&id))]);
    }
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    server.controls().break_bulk_load_at(300);
    assert_transient(sink.write(&batch).unwrap_err());
    assert_transient(sink.write(&batch).unwrap_err());
    assert_eq!(server.dump("dfire_contacts").len(), 0);
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    server.drop_connections();
    assert_transient(sink.stored(&["C1"]).unwrap_err());
    assert_eq!(server.dump("dfire_contacts").len(), 500);
}

fn assert_transient(error: Error) {
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
}

/// Another session holds the table: the lock time-out ends the wait.
#[test]
fn a_lock_that_is_held_for_long_is_passing_trouble() {
    let database = fresh();
    let (schema, batch) = small();
    prepared(&database, &schema);
    let mut other = SqlServerClient::connect(&database.url).unwrap();
    other
        .run("BEGIN TRANSACTION; DELETE FROM dfire_contacts WITH (TABLOCKX) WHERE [$id] = ''")
        .unwrap();
    let mut sink = SqlServerSink::open_waiting(
        &parsed(&database.url),
        &Roots::load(None).unwrap(),
        Duration::from_millis(300),
    )
    .unwrap();
    // Reading the catalogue may wait for the lock, too.
    let begin = Instant::now();
    let error = sink
        .prepare(&schema)
        .err()
        .or_else(|| sink.write(&batch).err());
    assert_transient(error.expect("the lock is held"));
    assert!(begin.elapsed() < Duration::from_secs(20));
    other.run("ROLLBACK TRANSACTION").unwrap();
    let mut sink = open(&database.url).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
}

fn setup_error(url: &SqlServerUrl, roots: &Roots) -> String {
    let error = SqlServerSink::open(url, roots).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    error.to_string()
}

#[test]
fn log_in_and_database_are_refused_with_a_sentence() {
    let (_server, url) = tds(Options::default());
    let roots = Roots::load(None).unwrap();
    let good = parsed(&url);
    let wrong = SqlServerUrl {
        password: dbsync2::cli::settings::Secret::new("hush"),
        ..good.clone()
    };
    let message = setup_error(&wrong, &roots);
    assert!(
        message.contains("18456") && message.contains("--url"),
        "{message}"
    );
    assert!(!message.contains("hush"), "{message}");
    let wrong = SqlServerUrl {
        database: "nowhere".to_owned(),
        ..good
    };
    let message = setup_error(&wrong, &roots);
    assert!(message.contains("no database nowhere"), "{message}");
}

#[test]
fn missing_privileges_and_read_only_databases_are_said_plainly() {
    let reader = User {
        name: "reader".to_owned(),
        password: "pw".to_owned(),
        rights: Rights::read_only(),
    };
    let (_server, url) = tds(Options {
        users: vec![reader],
        ..Options::default()
    });
    let (schema, batch) = small();
    let mut sink = open(&url).unwrap();
    let error = sink.prepare(&schema).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    assert!(
        error.to_string().contains("grant") && error.to_string().contains("CREATE TABLE"),
        "{error}"
    );
    let lines = sink.check(&schema).unwrap();
    let wrong: Vec<&str> = lines
        .iter()
        .filter(|line| line.outcome.is_err())
        .map(|line| line.subject.as_str())
        .collect();
    assert_eq!(wrong, ["privilege CREATE TABLE", "privilege ALTER"]);
    let (_server, url) = tds(Options {
        read_only: true,
        ..Options::default()
    });
    let mut sink = open(&url).unwrap();
    let error = sink
        .prepare(&schema)
        .and_then(|_| sink.write(&batch))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn nobody_there_and_somebody_else_there() {
    let (mut server, url) = tds(Options::default());
    let url = parsed(&url);
    let roots = Roots::load(None).unwrap();
    server.stop();
    let error = SqlServerSink::open(&url, &roots).err().unwrap();
    assert_transient(error);
    // Accepts, and never says anything.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = SqlServerUrl {
        hosts: vec![dbsync2::sink::url::Host {
            name: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        }],
        connect_timeout: Duration::from_millis(200),
        ..url
    };
    let error = SqlServerSink::open(&silent, &roots).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("no answer within the time limit"),
        "{error}"
    );
    assert_transient(error);
    let thread = std::thread::spawn(move || {
        use std::io::Write;
        for client in listener.incoming().take(2).skip(1) {
            client
                .unwrap()
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
        }
    });
    let message = setup_error(&silent, &roots);
    assert!(
        message.contains("does not speak SQL Server's protocol"),
        "{message}"
    );
    thread.join().unwrap();
}

/// As a firewall does it that drops what it does not like: the server's queue of connections is full.
#[test]
fn a_way_that_swallows_everything_ends_with_the_time_limit() {
    use socket2::{Domain, SockAddr, Socket, Type};
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = socket();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&SockAddr::from(any)).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = [(); 4].map(|()| {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        // It is under way then, which is an error here.
        let _ = client.connect(&address);
        client
    });
    let (_server, url) = tds(Options::default());
    let mut url = parsed(&url);
    url.hosts[0].port = address.as_socket_ipv4().unwrap().port();
    url.connect_timeout = Duration::from_millis(300);
    let begin = Instant::now();
    let error = SqlServerSink::open(&url, &Roots::load(None).unwrap())
        .err()
        .unwrap();
    let message = error.to_string();
    assert!(
        message.ends_with(": no answer within the time limit"),
        "{message}"
    );
    assert_transient(error);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

fn roots_of(file: &str) -> Roots {
    Roots::load(Some(&certificates().join(file))).unwrap()
}

fn written_with(url: &SqlServerUrl, roots: &Roots) -> String {
    let (schema, batch) = small();
    let mut sink = SqlServerSink::open(url, roots).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(sink.stored(&["C1"]).unwrap().len(), 1);
    let lines = sink.check(&schema).unwrap();
    let line = lines.into_iter().find(|line| line.subject == "encryption");
    line.unwrap().outcome.unwrap()
}

#[test]
fn each_kind_of_encryption_against_each_kind_of_server() {
    let roots = roots_of("ca.pem");
    for (offer, encryption, outcome) in [
        (Offer::Offered, Encryption::Full, Ok("encrypted")),
        (
            Offer::Offered,
            Encryption::Login,
            Ok("only the log-in is encrypted"),
        ),
        (Offer::Offered, Encryption::Nothing, Ok("not encrypted")),
        (Offer::Offered, Encryption::Strict, Ok("encrypted")),
        (Offer::Required, Encryption::Full, Ok("encrypted")),
        (Offer::Required, Encryption::Login, Ok("encrypted")),
        (
            Offer::Required,
            Encryption::Nothing,
            Err("insists on encryption"),
        ),
        (
            Offer::Unsupported,
            Encryption::Full,
            Err("has no encryption"),
        ),
        (
            Offer::Unsupported,
            Encryption::Login,
            Err("has no encryption"),
        ),
        (Offer::Unsupported, Encryption::Nothing, Ok("not encrypted")),
    ] {
        let (_server, url) = tds(Options {
            encryption: offer,
            ..Options::default()
        });
        let url = SqlServerUrl {
            encryption,
            ..parsed(&url)
        };
        match outcome {
            Ok(words) => {
                assert_eq!(
                    written_with(&url, &roots),
                    words,
                    "{offer:?} {encryption:?}"
                );
            }
            Err(words) => {
                let message = setup_error(&url, &roots);
                assert!(
                    message.contains(words),
                    "{offer:?} {encryption:?}: {message}"
                );
            }
        }
    }
}

#[test]
fn certificates_are_verified_unless_told_otherwise() {
    let (_server, url) = tds(Options::default());
    for encryption in [Encryption::Full, Encryption::Login, Encryption::Strict] {
        let url = SqlServerUrl {
            encryption,
            ..parsed(&url)
        };
        for roots in [Roots::load(None).unwrap(), roots_of("other-ca.pem")] {
            let message = setup_error(&url, &roots);
            assert!(message.contains("--ca-file"), "{message}");
            assert!(message.contains("trustServerCertificate=true"), "{message}");
        }
        let trusting = SqlServerUrl {
            trust_certificate: true,
            ..url.clone()
        };
        written_with(&trusting, &Roots::load(None).unwrap());
        written_with(&trusting, &roots_of("other-ca.pem"));
        // The certificate itself is as good as its authority's.
        written_with(&url, &roots_of("server.pem"));
    }
    let (_server, url) = tds(Options {
        certificate: "wrong-host",
        ..Options::default()
    });
    let url = SqlServerUrl {
        encryption: Encryption::Full,
        ..parsed(&url)
    };
    let message = setup_error(&url, &roots_of("ca.pem"));
    assert!(message.contains("certificate"), "{message}");
}

#[test]
fn the_file_of_the_url_is_trusted_in_place_of_that_of_the_command_line() {
    let (server, _) = tds(Options::default());
    let file = |name: &str| certificates().join(name).display().to_string();
    let url = format!(
        "{}?caFile={}",
        server.url(),
        file("ca.pem").replace('/', "%2F")
    );
    let other = file("other-ca.pem");
    let mut sink = Target::new(&url, Some(Path::new(&other)))
        .unwrap()
        .open()
        .unwrap();
    sink.prepare(&small().0).unwrap();
    let target = Target::new(&server.url(), Some(Path::new(&other))).unwrap();
    assert_eq!(target.open().err().unwrap().kind(), ErrorKind::Setup);
    assert_eq!(
        target.display(),
        format!("sqlserver://127.0.0.1:{}/dbsync_test", server.port())
    );
}

#[test]
fn an_instance_is_found_by_its_browser() {
    let (server, url) = tds(Options {
        instance: Some("SQLEXPRESS".to_owned()),
        ..Options::default()
    });
    let ask = |instance: &str| {
        let mut url = parsed(&url);
        url.instance = Some(instance.to_owned());
        url.ask_browser = true;
        url.hosts[0].port = server.browser_port();
        url
    };
    assert_eq!(
        written_with(&ask("sqlexpress"), &Roots::load(None).unwrap()),
        "not encrypted"
    );
    let error = SqlServerSink::open(&ask("nobody"), &Roots::load(None).unwrap())
        .err()
        .unwrap();
    assert!(error.to_string().contains("SQL Server Browser"), "{error}");
    assert_transient(error);
}

/// What is known of such systems: see the option.
#[test]
fn what_is_only_compatible_with_sql_server_is_written_to_alike() {
    let (server, url) = tds(Options {
        compatible: true,
        ..Options::default()
    });
    let long = |end: &str| format!("{} {end}", "Zuständige Abteilung ".repeat(4));
    let (first, second) = (long("Anfang"), long("Ende"));
    let schema = schema(&[
        (first.as_str(), ColumnKind::Text),
        (second.as_str(), ColumnKind::Text),
        ("amount", ColumnKind::Number),
    ]);
    for (amount, note) in [("1", "a"), ("0.30000000000000004", "b")] {
        let mut sink = open(&url).unwrap();
        // Also where the tables are there already, which are known by their primary keys.
        assert_eq!(sink.prepare(&schema).unwrap(), []);
        let columns = sink.columns(schema.table(Table::Contacts)).unwrap();
        assert!(columns.contains(&first) && columns.contains(&second));
        let values = [
            ("$id", Some("C1")),
            (first.as_str(), Some(note)),
            (second.as_str(), Some("other")),
            ("amount", Some(amount)),
        ];
        sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
        let row = &server.dump("dfire_contacts")["C1"];
        let of = |column: &str| row[column].as_deref();
        assert_eq!(
            (of(&first), of(&second), of("amount")),
            (Some(note), Some("other"), Some(amount))
        );
    }
}

#[test]
fn old_and_new_servers_are_written_to_alike() {
    for version in [Version::V2008R2, Version::V2016, Version::V2019] {
        let (server, url) = tds(Options {
            version,
            ..Options::default()
        });
        let schema = schema(&[("note", ColumnKind::Text)]);
        let mut sink = open(&url).unwrap();
        sink.prepare(&schema).unwrap();
        for note in ["a", "b"] {
            let values = [("$id", Some("C1")), ("note", Some(note))];
            sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
        }
        assert_eq!(
            server.dump("dfire_contacts")["C1"]["note"].as_deref(),
            Some("b")
        );
        let (user, application, _) = server.logins().pop().unwrap();
        assert_eq!((user.as_str(), application.as_str()), ("dbsync", "dbsync2"));
    }
}
