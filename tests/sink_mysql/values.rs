//! What comes back is what was written.

use super::*;

#[test]
fn every_text_comes_back_and_later_rows_replace_earlier_ones() {
    let mut db = Database::new("texts");
    let schema = schema(&[("note", ColumnKind::Text), ("other", ColumnKind::Text)]);
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let texts = odd_texts();
    let mut batch = empty(&schema);
    for (i, text) in texts.iter().enumerate() {
        let id = format!("id{i}");
        let row = [
            ("$id", Some(id.as_str())),
            ("note", Some(text.as_str())),
            ("other", Some("set")),
        ];
        add(&mut batch, &schema, Table::Contacts, &row);
    }
    sink.write(&batch).unwrap();
    for (i, text) in texts.iter().enumerate() {
        let found = db.rows(&format!(
            "SELECT note FROM dfire_contacts WHERE `$id` = 'id{i}'"
        ));
        assert_eq!(found, [text.as_str()]);
    }
    sink.write(&one(
        &schema,
        Table::Contacts,
        &[("$id", Some("id2")), ("other", Some("new"))],
    ))
    .unwrap();
    assert_eq!(
        db.rows("SELECT note, other FROM dfire_contacts WHERE `$id` = 'id2'"),
        ["NULL|new"]
    );
    assert_eq!(
        db.rows("SELECT count(*) FROM dfire_contacts"),
        [texts.len().to_string()]
    );
}

#[test]
fn new_rows_are_loaded_and_those_that_are_there_after_all_are_replaced() {
    let mut db = Database::new("load");
    let schema = schema(&[("note", ColumnKind::Text), ("n", ColumnKind::Number)]);
    db.sink().prepare(&schema).unwrap();
    // Without UPDATE the server refuses the statement that replaces rows.
    let url = db.user("load", "SELECT, INSERT, DELETE, CREATE, ALTER, INDEX");
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    let texts = odd_texts();
    let new = |from: usize, to: usize, note: &dyn Fn(usize) -> String| {
        let mut new = empty(&schema);
        for i in from..to {
            let (id, note) = (format!("id{i}"), note(i));
            let row = [
                ("$id", Some(id.as_str())),
                ("note", Some(note.as_str())),
                ("n", Some("-12.5")),
            ];
            add(&mut new, &schema, Table::Contacts, &row);
            let row = [("id", Some(id.as_str())), ("isHI", Some("1"))];
            add(&mut new, &schema, Table::Transactions, &row);
        }
        new.is_new = true;
        new
    };
    sink.write(&new(0, texts.len(), &|i| texts[i].clone()))
        .unwrap();
    for (i, text) in texts.iter().enumerate() {
        let found = db.rows(&format!(
            "SELECT note FROM dfire_contacts WHERE `$id` = 'id{i}'"
        ));
        assert_eq!(found, [text.as_str()]);
    }
    let sql = "SELECT n = -12.5, `$status`, isHI, revoked FROM dfire_contacts \
               JOIN dfire_transactions ON id = `$id` WHERE `$id` = 'id3'";
    assert_eq!(db.rows(sql), ["1|NULL|1|NULL"]);

    // One of them is there: everything is undone, and written by statements, for which the privilege lacks …
    let (last, end) = (texts.len() - 1, texts.len() + 5);
    let later = new(last, end, &|i| format!("later {i}"));
    sink.write(&later).unwrap_err();
    let count = "SELECT count(*) FROM dfire_contacts WHERE note LIKE 'later %'";
    assert_eq!(db.rows(count), ["0"]);
    // … and where it doesn't, all are there.
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    sink.write(&later).unwrap();
    assert_eq!(db.rows(count), ["6"]);
    assert_eq!(
        db.rows("SELECT count(*) FROM dfire_transactions"),
        [end.to_string()]
    );

    db.run("SET GLOBAL local_infile = OFF");
    let outcome = sink.write(&new(100, 105, &|i| format!("later {i}")));
    db.run("SET GLOBAL local_infile = ON");
    outcome.unwrap();
    assert_eq!(db.rows(count), ["11"]);
}

#[test]
fn ids_that_differ_in_case_are_two() {
    let mut db = Database::new("case");
    let schema = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let mut batch = empty(&schema);
    for (id, md5) in [("abc", "m1"), ("ABC", "m2")] {
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some(id)), ("$md5", Some(md5))],
        );
    }
    sink.write(&batch).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, `$md5` FROM dfire_contacts ORDER BY 1"),
        ["ABC|m2", "abc|m1"]
    );
    assert_eq!(
        sink.stored(&["abc"]).unwrap(),
        [StoredContact {
            id: "abc".to_owned(),
            md5: Some("m1".to_owned()),
            changed: None
        }]
    );
}

#[test]
fn numbers_stay_exact_as_far_as_mysql_can() {
    let mut db = Database::new("numbers");
    let schema = schema(&[("n", ColumnKind::Number), ("b", ColumnKind::Bool)]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let nines = "9".repeat(35);
    let zeros = "0".repeat(30);
    for (given, stored) in [
        ("0", format!("0.{zeros}")),
        ("-12.5", format!("-12.5{}", "0".repeat(29))),
        (nines.as_str(), format!("{nines}.{zeros}")),
        (
            &format!("{nines}.{}", "1".repeat(30)),
            format!("{nines}.{}", "1".repeat(30)),
        ),
        (
            &format!("0.{}49999", "1".repeat(30)),
            format!("0.{}", "1".repeat(30)),
        ),
        (
            &format!("-0.{}5", "1".repeat(30)),
            format!("-0.{}2", "1".repeat(29)),
        ),
        (&format!("{}7", "0".repeat(80)), format!("7.{zeros}")),
    ] {
        let row = [("$id", Some("a")), ("n", Some(given)), ("b", Some("1"))];
        sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
        assert_eq!(
            db.rows("SELECT n, b FROM dfire_contacts"),
            [format!("{stored}|1")],
            "{given}"
        );
    }
}

#[test]
fn placeholders_go_and_a_refused_row_takes_its_batch_with_it() {
    let mut db = Database::new("whole");
    let schema = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let mut batch = empty(&schema);
    for id in ["keep", "temp'1"] {
        add(&mut batch, &schema, Table::Recordings, &[("id", Some(id))]);
    }
    sink.write(&batch).unwrap();
    db.run(
        "CREATE TRIGGER no_bad BEFORE INSERT ON dfire_inbound_calls FOR EACH ROW \
         IF NEW.id = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'hush: bad'; END IF",
    );
    let mut batch = one(&schema, Table::Recordings, &[("id", Some("final"))]);
    batch.placeholders.push("temp'1".to_owned());
    let mut bad = batch.clone();
    add(
        &mut bad,
        &schema,
        Table::InboundCalls,
        &[("id", Some("bad"))],
    );
    let error = sink.write(&bad).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(
        error
            .to_string()
            .contains("writing to dfire_inbound_calls: a trigger refused it (error 1644)"),
        "{error}"
    );
    assert!(!error.to_string().contains("hush"), "{error}");
    let ids = "SELECT id FROM dfire_recordings ORDER BY id";
    assert_eq!(db.rows(ids), ["keep", "temp'1"]);
    // Nor does the next batch bring in what was refused.
    sink.write(&one(&schema, Table::Recordings, &[("id", Some("other"))]))
        .unwrap();
    assert_eq!(db.rows(ids), ["keep", "other", "temp'1"]);
    sink.write(&batch).unwrap();
    assert_eq!(db.rows(ids), ["final", "keep", "other"]);
}

#[test]
fn stored_contacts_and_distrust() {
    let db = Database::new("stored");
    let schema = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let mut batch = empty(&schema);
    for (id, md5, changed) in [
        ("early", Some("m1"), Some("2024-01-01T00:00:00Z")),
        ("it's \\ late", Some("m2"), Some("2024-01-02T00:00:00Z")),
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
    let stored = |sink: &mut MysqlSink| -> Vec<(String, Option<String>, Option<String>)> {
        let others: Vec<String> = (0..1200).map(|i| format!("x{i}")).collect();
        let mut ids: Vec<&str> = others.iter().map(String::as_str).collect();
        ids.extend(["early", "it's \\ late", "none"]);
        let mut found = sink.stored(&ids).unwrap();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
            .into_iter()
            .map(|c| (c.id, c.md5, c.changed))
            .collect()
    };
    let row = |id: &str, md5: Option<&str>, changed: Option<&str>| {
        (
            id.to_owned(),
            md5.map(str::to_owned),
            changed.map(str::to_owned),
        )
    };
    let early = row("early", Some("m1"), Some("2024-01-01T00:00:00Z"));
    let late = Some("2024-01-02T00:00:00Z");
    assert_eq!(
        stored(&mut sink),
        [
            early.clone(),
            row("it's \\ late", Some("m2"), late),
            row("none", Some("m3"), None)
        ]
    );
    assert_eq!(
        sink.distrust_after("2024-01-01T00:00:00Z", "camp").unwrap(),
        2
    );
    assert_eq!(
        stored(&mut sink),
        [
            early,
            row("it's \\ late", None, late),
            row("none", None, None)
        ]
    );
    assert_eq!(
        sink.distrust_after("2024-01-01T00:00:00Z", "camp").unwrap(),
        0
    );
}
