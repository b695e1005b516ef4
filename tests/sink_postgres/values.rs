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
fn a_batch_is_one_transaction() {
    let mut db = Database::new("atomic");
    let schema = Schema::new("a_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    db.run("ALTER TABLE a_recordings ADD CONSTRAINT short CHECK (length(filename) < 5)");
    let mut both = batch(&schema);
    add(&mut both, &schema, Table::Contacts, &[("$id", "A")]);
    add(
        &mut both,
        &schema,
        Table::Recordings,
        &[("id", "r"), ("filename", "confidential")],
    );
    let error = sink.write(&both).unwrap_err();
    assert_error(
        &error,
        ErrorKind::Data,
        &["\"a_recordings\"", "check constraint", "\"short\"", "23514"],
    );
    assert!(!error.to_string().contains("confidential"), "{error}");
    assert_eq!(
        db.value("SELECT count(*) FROM a_contacts").as_deref(),
        Some("0")
    );
    // The same connection goes on.
    write_contact(&mut sink, &schema, &[("$id", "B")]).unwrap();
    assert_eq!(
        db.value("SELECT string_agg(\"$id\", ',') FROM a_contacts")
            .as_deref(),
        Some("B")
    );
}

#[test]
fn refused_values_are_data_errors_without_the_value() {
    let mut db = Database::new("refused");
    let schema = Schema::new("x_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    db.run(
        "ALTER TABLE x_contacts ALTER \"$created_date\" TYPE timestamptz USING NULL; \
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF NEW.\"$status\" = 'secret words' THEN RAISE EXCEPTION 'no %', NEW.\"$status\"; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON x_contacts FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    for (values, code) in [
        ([("$id", "A"), ("$created_date", "secret words")], "22007"),
        ([("$id", "A"), ("$status", "secret words")], "P0001"),
    ] {
        let error = write_contact(&mut sink, &schema, &values).unwrap_err();
        assert_error(&error, ErrorKind::Data, &[code, "\"x_contacts\""]);
        assert!(!error.to_string().contains("secret words"), "{error}");
    }
    // Random, as repeated letters would be compressed.
    let mut state = 1_u64;
    let long: String = (0..9000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
        })
        .collect();
    let error = write_contact(&mut sink, &schema, &[("$id", &long)]).unwrap_err();
    assert_error(&error, ErrorKind::Data, &["54000"]);
    write_contact(
        &mut sink,
        &schema,
        &[("$id", "A"), ("$created_date", "2024-03-05T09:15:42.468Z")],
    )
    .unwrap();
    let error = write_contact(&mut sink, &schema, &[("$status", "no key")]).unwrap_err();
    assert_error(&error, ErrorKind::Data, &["\"$id\"", "23502"]);
}

#[test]
fn columns_are_widened_where_values_do_not_fit() {
    let mut db = Database::new("widen");
    db.run(
        "CREATE TABLE w_contacts (\"$id\" char(5) PRIMARY KEY, i integer, s smallint, d double precision, \
           n numeric(5,2), b boolean, v varchar(3), t numeric)",
    );
    db.run("INSERT INTO w_contacts VALUES ('old', 7, 7, 0.5, 1.25, true, 'abc', 9)");
    let names = ["i", "s", "d", "n", "b", "v", "t"];
    let schema =
        Schema::new("w_").with_contact_columns(names.map(|name| column(name, ColumnKind::Text)));
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let mut fitting = vec![("$id", "a")];
    fitting.extend(
        names
            .into_iter()
            .zip(["-1", "2", "2.5", "999.99", "0", "äöü", "12.75"]),
    );
    write_contact(&mut sink, &schema, &fitting).unwrap();
    let types = |db: &mut Database| names.map(|name| db.column_type("w_contacts", name).unwrap());
    assert_eq!(
        types(&mut db),
        [
            "integer",
            "smallint",
            "double precision",
            "numeric(5,2)",
            "boolean",
            "character varying(3)",
            "numeric"
        ]
    );
    let mut surplus = vec![("$id", "longer than five")];
    let values = [
        "1.5",
        "40000",
        "0.12345678901234567",
        "1000.125",
        "maybe",
        "abcd",
        "01067",
    ];
    surplus.extend(names.into_iter().zip(values));
    write_contact(&mut sink, &schema, &surplus).unwrap();
    assert_eq!(
        types(&mut db),
        [
            "numeric", "numeric", "numeric", "numeric", "text", "text", "text"
        ]
    );
    assert_eq!(db.column_type("w_contacts", "$id").as_deref(), Some("text"));
    let rows = db.rows("SELECT i, s, d, n, b, v, t FROM w_contacts ORDER BY \"$id\"");
    let row = |values: [&str; 7]| values.map(|value| Some(value.to_owned())).to_vec();
    assert_eq!(
        rows,
        vec![
            row(["-1", "2", "2.5", "999.99", "0", "äöü", "12.75"]),
            row(values),
            row(["7", "7", "0.5", "1.25", "1", "abc", "9"]),
        ]
    );
    // With the new types in the statement, not the old ones.
    write_contact(
        &mut sink,
        &schema,
        &[("$id", "z"), ("t", "007"), ("b", "x")],
    )
    .unwrap();
    assert_eq!(
        db.value("SELECT t || b FROM w_contacts WHERE \"$id\" = 'z'")
            .as_deref(),
        Some("007x")
    );
}

#[test]
fn where_widening_is_impossible_the_row_is_refused_and_others_go_on() {
    let mut db = Database::new("fixed");
    let schema = Schema::new("f_").with_contact_columns([
        column("v", ColumnKind::Text),
        column("n", ColumnKind::Number),
    ]);
    db.run("CREATE TABLE f_contacts (\"$id\" varchar(50) PRIMARY KEY, v varchar(3), n numeric(5,2), w varchar(3))");
    db.run("CREATE VIEW report AS SELECT v, n FROM f_contacts");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    for values in [
        [("$id", "A"), ("v", "abcdef")],
        [("$id", "A"), ("n", "1.999")],
    ] {
        let error = write_contact(&mut sink, &schema, &values).unwrap_err();
        assert_error(&error, ErrorKind::Data, &["does not fit", "\"f_contacts\""]);
        assert!(!error.to_string().contains(values[1].1), "{error}");
        write_contact(
            &mut sink,
            &schema,
            &[("$id", "B"), ("v", "abc"), ("n", "1.99")],
        )
        .unwrap();
    }
    assert_eq!(
        db.column_type("f_contacts", "v").as_deref(),
        Some("character varying(3)")
    );
    // It is not tried again on this connection: the view is gone, the column stays as it is.
    db.run("DROP VIEW report");
    let error = write_contact(&mut sink, &schema, &[("$id", "A"), ("v", "abcdef")]).unwrap_err();
    assert_error(&error, ErrorKind::Data, &["does not fit"]);
    assert_eq!(
        db.rows("SELECT \"$id\", v, n FROM f_contacts"),
        [["B", "abc", "1.99"].map(|v| Some(v.to_owned()))]
    );
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_contact(&mut sink, &schema, &[("$id", "A"), ("v", "abcdef")]).unwrap();
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
    assert_eq!(sink.distrust_after("2024-03-05T09:15:42Z").unwrap(), 2);
    assert_eq!(sink.distrust_after("2024-03-05T09:15:42Z").unwrap(), 0);
    let rows = db.rows("SELECT \"$id\" FROM d_contacts WHERE \"$md5\" IS NOT NULL");
    assert_eq!(rows, vec![vec![text("a")]]);
}

#[test]
fn the_kind_of_an_error_follows_its_sqlstate() {
    let mut db = Database::new("kinds");
    let schema = Schema::new("k_");
    db.open().prepare(&schema).unwrap();
    db.run(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           RAISE EXCEPTION 'the reason' USING ERRCODE = NEW.\"$status\"; END $$; \
         CREATE TRIGGER fail BEFORE INSERT ON k_contacts FOR EACH ROW EXECUTE FUNCTION fail()",
    );
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    for (kind, codes) in [
        (
            ErrorKind::Transient,
            &[
                "08006", "40001", "40P01", "42703", "42P01", "53100", "53200", "53300", "55P03",
                "57014", "57P01", "57P02", "57P03", "58030", "XX000",
            ][..],
        ),
        (
            ErrorKind::Data,
            &[
                "22001", "22003", "22P02", "22P05", "23502", "23503", "23505", "23514", "21000",
                "38000", "54000", "P0001",
            ],
        ),
        (
            ErrorKind::Setup,
            &["25006", "42501", "3F000", "42804", "54011"],
        ),
    ] {
        for code in codes {
            let error =
                write_contact(&mut sink, &schema, &[("$id", "A"), ("$status", code)]).unwrap_err();
            assert_eq!(error.kind(), kind, "{code}: {error}");
            // The reason of a refusal may quote a value.
            assert!(
                kind != ErrorKind::Data || !error.to_string().contains("the reason"),
                "{error}"
            );
        }
    }
}
