//! Values that the server refuses, or for which a column is widened.

use super::*;

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
        column("w", ColumnKind::Text),
    ]);
    db.run("CREATE TABLE f_contacts (\"$id\" varchar(50) PRIMARY KEY, v varchar(3), n numeric(5,2), w varchar(3))");
    db.run("CREATE MATERIALIZED VIEW report AS SELECT v, n FROM f_contacts");
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
    // One of several that can't be widened keeps none of the others from it.
    let both = [("$id", "C"), ("v", "abcdef"), ("w", "abcdef")];
    write_contact(&mut sink, &schema, &both).unwrap_err();
    assert_eq!(db.column_type("f_contacts", "w").as_deref(), Some("text"));
    // It is not tried again for each row: the view is gone, the column stays as it is for now.
    db.run("DROP MATERIALIZED VIEW report");
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
                "57014", "57P01", "57P02", "57P03", "58030", "XX000", "25006",
            ][..],
        ),
        (
            ErrorKind::Data,
            &[
                "22001", "22003", "22P02", "22P05", "23502", "23503", "23505", "23514", "21000",
                "38000", "54000", "P0001", "3F000", "42804", "54011", "PT403", "MY001",
            ],
        ),
        (ErrorKind::Setup, &["42501"]),
    ] {
        for code in codes {
            let error =
                write_contact(&mut sink, &schema, &[("$id", "A"), ("$status", code)]).unwrap_err();
            assert_eq!(error.kind(), kind, "{code}: {error}");
            // What a trigger says may quote a value.
            assert!(!error.to_string().contains("the reason"), "{error}");
            assert!(error.detail().unwrap().contains("the reason"), "{error:?}");
        }
    }
}

#[test]
fn a_row_that_a_trigger_leaves_out_silently_is_a_refused_row() {
    for is_new in [false, true] {
        let mut db = Database::new(&format!("left{is_new}"));
        let schema = Schema::new("l_");
        let mut sink = db.open();
        sink.prepare(&schema).unwrap();
        let mut write = |ids: &[&str]| {
            let mut batch = batch(&schema);
            for id in ids {
                let values = [("$id", *id), ("$md5", "new")];
                add(&mut batch, &schema, Table::Contacts, &values);
            }
            batch.is_new = is_new;
            sink.write(&batch)
        };
        write(&["A", "B"]).unwrap();
        db.run(
            "UPDATE l_contacts SET \"$md5\" = 'old'; \
             CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
             CREATE TRIGGER no_new BEFORE INSERT ON l_contacts FOR EACH ROW WHEN (NEW.\"$id\" = 'C') \
             EXECUTE FUNCTION leave(); \
             CREATE TRIGGER no_change BEFORE UPDATE ON l_contacts FOR EACH ROW WHEN (NEW.\"$id\" = 'A') \
             EXECUTE FUNCTION leave()",
        );
        for ids in [["A", "B"], ["C", "D"]] {
            let error = write(&ids).unwrap_err();
            assert_error(&error, ErrorKind::Data, &["left out 1 rows", "l_contacts"]);
        }
        write(&["B", "D"]).unwrap();
        let rows = db.rows("SELECT \"$id\", \"$md5\" FROM l_contacts ORDER BY 1");
        let row = |id: &str, md5: &str| vec![Some(id.to_owned()), Some(md5.to_owned())];
        assert_eq!(rows, [row("A", "old"), row("B", "new"), row("D", "new")]);
    }
}

/// The way to part a table before PostgreSQL 10, which some tools still go.
#[test]
fn rows_that_a_trigger_puts_into_a_child_table_are_stored() {
    for is_new in [false, true] {
        let mut db = Database::new(&format!("child{is_new}"));
        let schema = Schema::new("h_");
        let mut sink = db.open();
        sink.prepare(&schema).unwrap();
        db.run(
            "CREATE TABLE h_child () INHERITS (h_contacts); \
             CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             DELETE FROM h_child WHERE \"$id\" = NEW.\"$id\"; \
             INSERT INTO h_child SELECT NEW.*; RETURN NULL; END $$; \
             CREATE TRIGGER route BEFORE INSERT ON h_contacts FOR EACH ROW EXECUTE FUNCTION route()",
        );
        for md5 in ["1", "2"] {
            let mut batch = batch(&schema);
            for id in ["A", "B"] {
                let values = [("$id", id), ("$md5", md5)];
                add(&mut batch, &schema, Table::Contacts, &values);
            }
            batch.is_new = is_new && md5 == "1";
            sink.write(&batch).unwrap();
            let rows = db.rows("SELECT \"$id\", \"$md5\" FROM h_contacts ORDER BY 1");
            let row = |id: &str| vec![Some(id.to_owned()), Some(md5.to_owned())];
            assert_eq!(rows, [row("A"), row("B")]);
        }
    }
}
