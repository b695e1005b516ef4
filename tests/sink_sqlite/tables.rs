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
