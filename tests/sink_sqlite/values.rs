//! What comes back is what was written.

use super::*;

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
    assert_eq!(
        sink.distrust_after("2024-01-01T00:00:00Z", "camp").unwrap(),
        2
    );
    assert_eq!(
        stored(&mut sink),
        [
            contact("ABC", None, Some("2024-01-02T00:00:00Z")),
            early,
            contact("none", None, None)
        ]
    );
    assert_eq!(
        sink.distrust_after("2024-01-01T00:00:00Z", "camp").unwrap(),
        0
    );
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
