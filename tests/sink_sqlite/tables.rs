//! Making and checking tables, columns and indexes; tables that others made.

use super::*;

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

/// Neither another row's end nor its own silent one.
#[test]
fn a_clash_on_another_unique_key_is_a_refused_row() {
    let columns = "\"$id\" TEXT NOT NULL PRIMARY KEY, \"$md5\" TEXT, ref TEXT";
    for (number, more) in [
        "CREATE UNIQUE INDEX once ON dfire_contacts (ref COLLATE NOCASE)",
        "UNIQUE (ref) ON CONFLICT REPLACE",
        "UNIQUE (ref) ON CONFLICT IGNORE",
        "UNIQUE (ref) ON CONFLICT ROLLBACK",
        "UNIQUE (ref) ON CONFLICT FAIL",
    ]
    .into_iter()
    .enumerate()
    {
        let place = Place::new(&format!("clash-{number}"));
        let (constraint, index) = match more.strip_prefix("UNIQUE") {
            Some(_) => (format!(", {more}"), ""),
            None => (String::new(), more),
        };
        place
            .reader()
            .execute_batch(&format!(
                "CREATE TABLE dfire_contacts ({columns}{constraint}); {index}"
            ))
            .unwrap();
        let schema = schema(&[("ref", ColumnKind::Text)]);
        let mut sink = SqliteSink::open(&place.file()).unwrap();
        sink.prepare(&schema).unwrap();
        let row = |id: &str, md5: &str, reference: &str| {
            let values = [
                ("$id", Some(id)),
                ("$md5", Some(md5)),
                ("ref", Some(reference)),
            ];
            one(&schema, Table::Contacts, &values)
        };
        sink.write(&row("C1", "m1", "A")).unwrap();
        sink.write(&row("C2", "m2", "B")).unwrap();
        for refused in [row("C3", "m3", "A"), row("C2", "m4", "A")] {
            let error = sink.write(&refused).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{more}: {error}");
        }
        let reader = place.reader();
        for (id, md5, reference) in [("C1", "m1", "A"), ("C2", "m2", "B")] {
            let of = |column: &str| {
                let sql = format!("SELECT \"{column}\" FROM dfire_contacts WHERE \"$id\" = '{id}'");
                value(&reader, &sql)
            };
            assert_eq!(
                (of("$md5"), of("ref")),
                (text(md5), text(reference)),
                "{more}"
            );
        }
        let count = value(&reader, "SELECT count(*) FROM dfire_contacts");
        assert_eq!(count, Value::Integer(2), "{more}");
        sink.write(&row("C3", "m3", "C")).unwrap();
    }
}

#[test]
fn a_row_that_a_trigger_leaves_out_silently_is_a_refused_row() {
    let place = Place::new("ignored");
    let schema = schema(&[]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    let row = |id: &str| one(&schema, Table::Contacts, &[("$id", Some(id))]);
    sink.write(&row("C1")).unwrap();
    place
        .reader()
        .execute_batch(
            "CREATE TRIGGER no_new BEFORE INSERT ON dfire_contacts WHEN NEW.\"$id\" = 'C2' BEGIN SELECT RAISE(IGNORE); END;
             CREATE TRIGGER no_change BEFORE UPDATE ON dfire_contacts BEGIN SELECT RAISE(IGNORE); END",
        )
        .unwrap();
    for id in ["C1", "C2"] {
        let error = sink.write(&row(id)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("left out 1 rows"), "{error}");
    }
    sink.write(&row("C3")).unwrap();
    let count = value(&place.reader(), "SELECT count(*) FROM dfire_contacts");
    assert_eq!(count, Value::Integer(2));
}

/// Names that another database takes for the same are two columns here, each with its own values after a restart.
#[test]
fn each_field_has_a_column_of_its_own() {
    let place = Place::new("names");
    let names = [
        "İ", "i\u{307}", "Straße", "strasse", "K", "\u{212a}", "ΣΑΣ", "σας", "É", "é",
    ];
    let fields: Vec<_> = names.iter().map(|name| (*name, ColumnKind::Text)).collect();
    let mut values: Vec<_> = names.iter().map(|name| (*name, Some(*name))).collect();
    values.insert(0, ("$id", Some("C1")));
    for _ in 0..2 {
        let schema = schema(&fields);
        let mut sink = SqliteSink::open(&place.file()).unwrap();
        assert_eq!(sink.prepare(&schema).unwrap(), []);
        sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
        let reader = place.reader();
        for name in names {
            let sql = format!("SELECT \"{name}\" FROM dfire_contacts");
            assert_eq!(value(&reader, &sql), text(name));
        }
    }
}

/// Views of the users read a table as it becomes.
#[test]
fn views_and_triggers_survive_new_columns() {
    let place = Place::new("views");
    let before = schema(&[("note", ColumnKind::Text)]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&before).unwrap();
    place
        .reader()
        .execute_batch(
            "CREATE VIEW everything AS SELECT * FROM dfire_contacts;
             CREATE VIEW notes AS SELECT \"$id\" AS id, note FROM everything;
             CREATE TABLE seen (id TEXT, note TEXT);
             CREATE TRIGGER see AFTER INSERT ON dfire_contacts BEGIN INSERT INTO seen VALUES (NEW.\"$id\", NEW.note); END",
        )
        .unwrap();
    let after = schema(&[("note", ColumnKind::Text), ("later", ColumnKind::Text)]);
    assert_eq!(sink.prepare(&after).unwrap(), []);
    let values = [
        ("$id", Some("C1")),
        ("note", Some("a")),
        ("later", Some("b")),
    ];
    sink.write(&one(&after, Table::Contacts, &values)).unwrap();
    let reader = place.reader();
    assert_eq!(value(&reader, "SELECT note FROM notes"), text("a"));
    assert_eq!(value(&reader, "SELECT later FROM everything"), text("b"));
    assert_eq!(value(&reader, "SELECT note FROM seen"), text("a"));
}
