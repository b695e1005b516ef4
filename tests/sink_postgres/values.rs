//! What is written is what was sent, or is refused.

use super::*;

#[test]
fn values_arrive_unchanged_and_are_replaced_as_a_whole() {
    let mut db = Database::new("values");
    let texts = [
        "plain",
        "Zoë 😀 漢字 \u{200d}",
        "it's \"quoted\" `back`",
        "back\\slash \\N \\. \\\\ \\x41",
        "lines\nand\r\nreturns\tand tabs",
        "\\N",
        "{a,\"b\",NULL}",
        "NULL",
        " spaces ",
        "",
        "$1 %s ; -- /* ",
    ];
    let schema = Schema::new("v_").with_contact_columns([column("n", ColumnKind::Number)]);
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let mut all = batch(&schema);
    for (i, text) in texts.iter().enumerate() {
        add(
            &mut all,
            &schema,
            Table::Contacts,
            &[
                ("$id", &format!("{i}")),
                ("$comment", text),
                ("n", "-12.50"),
            ],
        );
    }
    add(
        &mut all,
        &schema,
        Table::Transactions,
        &[
            ("id", "t"),
            ("isHI", "1"),
            ("revoked", "0"),
            ("edit_time_sec", "0.333"),
        ],
    );
    sink.write(&all).unwrap();
    for (i, text) in texts.iter().enumerate() {
        let row = db.rows(&format!(
            "SELECT \"$comment\", n, \"$status\" FROM v_contacts WHERE \"$id\" = '{i}'"
        ));
        assert_eq!(
            row,
            vec![vec![
                Some((*text).to_owned()),
                Some("-12.50".to_owned()),
                None
            ]],
            "{text}"
        );
    }
    let row = db.rows("SELECT \"isHI\", revoked, edit_time_sec, wait_time_sec FROM v_transactions");
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(row, vec![vec![text("t"), text("f"), text("0.333"), None]]);

    let exact = "123456789012345678901234567890.000000000000000000000000000001";
    write_contact(
        &mut sink,
        &schema,
        &[("$id", "0"), ("$status", "open"), ("n", exact)],
    )
    .unwrap();
    let row = db.rows("SELECT \"$comment\", n, \"$status\" FROM v_contacts WHERE \"$id\" = '0'");
    assert_eq!(row, vec![vec![None, text(exact), text("open")]]);
    assert_eq!(
        db.value("SELECT count(*) FROM v_contacts").as_deref(),
        Some("11")
    );
}

#[test]
fn hostile_column_names() {
    let mut db = Database::new("names");
    let names = [
        "order",
        "Zähler Nr",
        "a\"b",
        "x'); DROP TABLE y;--",
        "Titel",
        "titel",
        "1st",
        "_x",
        "a\\b",
        "$1",
        "😀",
        "user",
    ];
    let schema = Schema::new("select ")
        .with_contact_columns(names.map(|name| column(name, ColumnKind::Text)));
    let mut sink = db.open();
    assert_eq!(sink.prepare(&schema).unwrap(), vec![]);
    let mut values = vec![("$id", "A")];
    values.extend(names.map(|name| (name, name)));
    write_contact(&mut sink, &schema, &values).unwrap();
    write_contact(&mut sink, &schema, &values).unwrap();
    let quoted = names
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .join(", ");
    let rows = db.rows(&format!("SELECT {quoted} FROM \"select contacts\""));
    assert_eq!(rows, vec![names.map(|name| Some(name.to_owned())).to_vec()]);
}

#[test]
fn nul_characters_become_visible_signs() {
    let mut db = Database::new("nul");
    let schema = Schema::new("n_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let mut rows = batch(&schema);
    add(
        &mut rows,
        &schema,
        Table::Contacts,
        &[("$id", "A\0"), ("$comment", "a\0b\0")],
    );
    rows.placeholders.push("r\0".to_owned());
    db.run("INSERT INTO n_recordings (id) VALUES ('r␀')");
    sink.write(&rows).unwrap();
    assert_eq!(
        db.value("SELECT \"$comment\" FROM n_contacts").as_deref(),
        Some("a␀b␀")
    );
    assert_eq!(
        db.value("SELECT count(*) FROM n_recordings").as_deref(),
        Some("0")
    );
    assert_eq!(sink.stored(&["A\0"]).unwrap()[0].id, "A␀");
}

#[test]
fn placeholders_are_deleted_with_the_write() {
    let mut db = Database::new("placeholders");
    let schema = Schema::new("p_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let mut first = batch(&schema);
    for id in ["place", "keep"] {
        add(&mut first, &schema, Table::Recordings, &[("id", id)]);
    }
    sink.write(&first).unwrap();
    let mut second = batch(&schema);
    add(
        &mut second,
        &schema,
        Table::Recordings,
        &[("id", "real"), ("location", "https://example/1")],
    );
    second.placeholders = vec!["place".to_owned(), "unknown".to_owned()];
    sink.write(&second).unwrap();
    assert_eq!(
        db.value("SELECT string_agg(id, ',' ORDER BY id) FROM p_recordings")
            .as_deref(),
        Some("keep,real")
    );
}

#[test]
fn stored_contacts_and_distrust() {
    let mut db = Database::new("stored");
    let schema = Schema::new("d_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let mut rows = batch(&schema);
    for (id, changed) in [
        ("a", "2024-03-05T09:15:42Z"),
        ("b", "2024-03-05T09:15:43Z"),
        ("c", ""),
    ] {
        add(
            &mut rows,
            &schema,
            Table::Contacts,
            &[("$id", id), ("$md5", "m")],
        );
        if !changed.is_empty() {
            let position = schema.table(Table::Contacts).position("$changed").unwrap();
            rows.rows_mut(Table::Contacts).set(position, changed);
        }
    }
    sink.write(&rows).unwrap();
    assert_eq!(sink.stored(&[]).unwrap(), vec![]);
    let mut found = sink.stored(&["a", "c", "x', 'b", "A"]).unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    let text = |text: &str| Some(text.to_owned());
    let contact = |id: &str, md5, changed| StoredContact {
        id: id.to_owned(),
        md5,
        changed,
    };
    assert_eq!(
        found,
        vec![
            contact("a", text("m"), text("2024-03-05T09:15:42Z")),
            contact("c", text("m"), None)
        ]
    );
    assert_eq!(
        sink.distrust_after("2024-03-05T09:15:42Z", "camp").unwrap(),
        2
    );
    assert_eq!(
        sink.distrust_after("2024-03-05T09:15:42Z", "camp").unwrap(),
        0
    );
    let rows = db.rows("SELECT \"$id\" FROM d_contacts WHERE \"$md5\" IS NOT NULL");
    assert_eq!(rows, vec![vec![text("a")]]);
}

#[test]
fn new_rows_are_loaded_and_those_that_are_there_after_all_are_replaced() {
    let mut db = Database::new("load");
    let schema = Schema::new("l_").with_contact_columns([column("n", ColumnKind::Number)]);
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let texts = [
        "Zoë 😀",
        "back\\slash \\N \\. \\\\ \\x41",
        "lines\nand\r\nreturns\tand tabs",
        "\\N",
        "\\.",
        " spaces ",
        "",
    ];
    let new = |from: usize, comment: &dyn Fn(usize) -> String| {
        let mut new = batch(&schema);
        for i in from..from + texts.len() {
            let (id, comment) = (i.to_string(), comment(i));
            let values = [
                ("$id", id.as_str()),
                ("$comment", &comment),
                ("n", "-12.50"),
            ];
            add(&mut new, &schema, Table::Contacts, &values);
            let values = [("id", id.as_str()), ("isHI", "1"), ("revoked", "0")];
            add(&mut new, &schema, Table::Transactions, &values);
        }
        new.is_new = true;
        new
    };
    // With a rule, the server refuses the statement that replaces rows.
    db.run("CREATE RULE only_loading AS ON INSERT TO l_contacts DO ALSO NOTIFY loaded");
    sink.write(&new(0, &|i| texts[i].to_owned())).unwrap();
    db.run("DROP RULE only_loading ON l_contacts");
    let text = |text: &str| Some(text.to_owned());
    for (i, written) in texts.iter().enumerate() {
        let sql = format!(
            "SELECT \"$comment\", n, \"$status\", t.\"isHI\", t.revoked \
             FROM l_contacts JOIN l_transactions t ON t.id = \"$id\" WHERE \"$id\" = '{i}'"
        );
        let row = vec![text(written), text("-12.50"), None, text("t"), text("f")];
        assert_eq!(db.rows(&sql), vec![row], "{written}");
    }

    let last = texts.len() - 1;
    sink.write(&new(last, &|i| format!("later {i}\0"))).unwrap();
    let count = db.value("SELECT count(*) FROM l_contacts WHERE \"$comment\" LIKE 'later %␀'");
    assert_eq!(count, text("7"));
    let count = db.value("SELECT count(*) FROM l_transactions");
    assert_eq!(count, text("13"));
}
