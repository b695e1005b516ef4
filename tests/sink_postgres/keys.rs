//! An upsert changes the row with its own key, and no other, whatever else is unique.

use super::*;

#[test]
fn a_clash_on_another_unique_key_refuses_the_row() {
    for (nth, unique) in [
        "CREATE UNIQUE INDEX ON u_contacts (\"$ref\")",
        "CREATE UNIQUE INDEX ON u_contacts (lower(\"$ref\"))",
        "CREATE UNIQUE INDEX ON u_contacts (\"$ref\") WHERE \"$ref\" <> ''",
        "ALTER TABLE u_contacts ADD UNIQUE (\"$ref\", \"$phone\")",
        "ALTER TABLE u_contacts ADD EXCLUDE (\"$ref\" WITH =)",
    ]
    .into_iter()
    .enumerate()
    {
        for is_new in [false, true] {
            let mut db = Database::new(&format!("keys{nth}{is_new}"));
            let schema = Schema::new("u_");
            let mut sink = db.open();
            sink.prepare(&schema).unwrap();
            db.run(unique);
            let mut sink = db.open();
            sink.prepare(&schema).unwrap();
            let write = |sink: &mut PostgresSink, values: &[(&str, &str)]| {
                let mut batch = batch(&schema);
                add(&mut batch, &schema, Table::Contacts, values);
                batch.is_new = is_new;
                sink.write(&batch)
            };
            let phone = ("$phone", "1");
            write(
                &mut sink,
                &[("$id", "A"), ("$ref", "x"), phone, ("$md5", "a")],
            )
            .unwrap();
            let error = write(
                &mut sink,
                &[("$id", "B"), ("$ref", "x"), phone, ("$md5", "b")],
            )
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{unique}: {error}");
            // An update that would clash is refused as well.
            write(
                &mut sink,
                &[("$id", "C"), ("$ref", "y"), phone, ("$md5", "c")],
            )
            .unwrap();
            let error = write(
                &mut sink,
                &[("$id", "C"), ("$ref", "x"), phone, ("$md5", "d")],
            )
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{unique}: {error}");
            let rows = db.rows("SELECT \"$id\", \"$ref\", \"$md5\" FROM u_contacts ORDER BY 1");
            let row = |values: [&str; 3]| values.map(|value| Some(value.to_owned())).to_vec();
            assert_eq!(
                rows,
                [row(["A", "x", "a"]), row(["C", "y", "c"])],
                "{unique}"
            );
        }
    }
}

#[test]
fn a_key_that_counts_as_equal_to_another_refuses_the_row() {
    let mut db = Database::new("equalkeys");
    let schema = Schema::new("e_");
    db.open().prepare(&schema).unwrap();
    db.run(
        "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         ALTER TABLE e_contacts ALTER \"$id\" TYPE text COLLATE any_case; \
         ALTER TABLE e_recordings ALTER id TYPE text COLLATE any_case",
    );
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    for is_new in [false, true] {
        let write = |sink: &mut PostgresSink, id: &str, md5: &str| {
            let mut batch = batch(&schema);
            add(
                &mut batch,
                &schema,
                Table::Contacts,
                &[("$id", id), ("$md5", md5)],
            );
            batch.is_new = is_new;
            sink.write(&batch)
        };
        write(&mut sink, "abc", "1").unwrap();
        let error = write(&mut sink, "ABC", "2").unwrap_err();
        assert_error(&error, ErrorKind::Data, &["\"$id\"", "equal"]);
        write(&mut sink, "abc", "3").unwrap();
        write(&mut sink, "abd", "4").unwrap();
        let rows = db.rows("SELECT \"$id\", \"$md5\" FROM e_contacts ORDER BY 1");
        let row = |values: [&str; 2]| values.map(|value| Some(value.to_owned())).to_vec();
        assert_eq!(rows, [row(["abc", "3"]), row(["abd", "4"])]);
    }
    assert_eq!(sink.stored(&["ABC"]).unwrap(), []);
    assert_eq!(sink.stored(&["abc"]).unwrap().len(), 1);
    // A placeholder is not mistaken for another recording.
    db.run("INSERT INTO e_recordings (id) VALUES ('r')");
    let mut rows = batch(&schema);
    rows.placeholders.push("R".to_owned());
    add(&mut rows, &schema, Table::Recordings, &[("id", "s")]);
    sink.write(&rows).unwrap();
    assert_eq!(
        db.value(
            "SELECT string_agg(id::text, ',' ORDER BY id::text COLLATE \"C\") FROM e_recordings"
        )
        .as_deref(),
        Some("r,s")
    );
}
