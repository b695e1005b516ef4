//! What comes back is what was written.

use super::*;

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
    assert_eq!(
        sink.distrust_after("2024-03-05T09:15:42Z", "camp").unwrap(),
        2
    );
    assert_eq!(
        sink.distrust_after("2024-03-05T09:15:42Z", "camp").unwrap(),
        0
    );
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
