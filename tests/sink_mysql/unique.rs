//! An upsert changes the row of its own key, whatever other unique indexes the table has.

use super::*;

#[test]
fn a_clash_on_another_unique_index_is_a_refused_row_and_the_other_row_stays() {
    for bulk in [false, true] {
        let mut db = Database::new(&format!("unique_{bulk}"));
        let schema = schema(&[("note", ColumnKind::Text)]);
        let mut sink = db.sink();
        sink.prepare(&schema).unwrap();
        let batch = |rows: &[(&str, &str, &str)]| {
            let mut batch = empty(&schema);
            for (id, reference, note) in rows {
                let row = [
                    ("$id", Some(*id)),
                    ("$ref", Some(*reference)),
                    ("$md5", Some(*note)),
                    ("note", Some(*note)),
                ];
                add(&mut batch, &schema, Table::Contacts, &row);
            }
            batch.is_new = bulk;
            batch
        };
        sink.write(&batch(&[("A", "r1", "first"), ("B", "r2", "second")]))
            .unwrap();
        let all = "SELECT `$id`, `$ref`, `$md5`, note FROM dfire_contacts ORDER BY 1";
        let before = ["A|r1|first|first", "B|r2|second|second"];
        assert_eq!(db.rows(all), before);
        // While the program runs: nothing is looked up again.
        db.run("ALTER TABLE dfire_contacts ADD UNIQUE INDEX ref_once (`$ref`(40))");
        for rows in [
            // A new contact, one that is there, and two new ones of which either would do.
            &[("C", "r1", "stolen")][..],
            &[("B", "r1", "stolen")],
            &[("D", "r4", "new"), ("E", "r4", "new")],
            &[
                ("F", "r6", "new"),
                ("A", "r1", "newer"),
                ("C", "r2", "stolen"),
            ],
        ] {
            let error = sink.write(&batch(rows)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            assert_eq!(db.rows(all), before, "{rows:?}");
        }
        sink.prepare(&schema).unwrap();
        let error = sink.write(&batch(&[("C", "r1", "stolen")])).unwrap_err();
        assert!(
            error.to_string().contains("unique index, ref_once"),
            "{error}"
        );
        assert_eq!(db.rows(all), before);
        // What does not clash is written: new rows, changed ones, and one that gives its value away.
        sink.write(&batch(&[("A", "r9", "newer"), ("C", "r3", "third")]))
            .unwrap();
        sink.write(&batch(&[("C", "r1", "third")])).unwrap();
        assert_eq!(
            db.rows(all),
            ["A|r9|newer|newer", "B|r2|second|second", "C|r1|third|third"]
        );
    }
}

/// Where the column takes them for the same and can't be changed, the second contact is refused.
#[test]
fn a_key_that_only_its_column_takes_for_the_same_changes_no_other_row() {
    let mut db = Database::new("unique_case");
    db.run(
        "CREATE TABLE dfire_contacts (`$id` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL \
         PRIMARY KEY, note text)",
    );
    let schema = schema(&[("note", ColumnKind::Text)]);
    db.sink().prepare(&schema).unwrap();
    let url = db.user("unique", "SELECT, INSERT, UPDATE, DELETE");
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    let row = |id, note| {
        one(
            &schema,
            Table::Contacts,
            &[("$id", Some(id)), ("note", Some(note))],
        )
    };
    sink.write(&row("ABC", "first")).unwrap();
    for other in ["abc", "Abc", "ABC "] {
        let error = sink.write(&row(other, "stolen")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{other:?}: {error}");
    }
    sink.write(&row("ABC", "second")).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, note FROM dfire_contacts"),
        ["ABC|second"]
    );
}

/// A table of which only the key is written.
#[test]
fn a_key_alone_is_never_given_to_another_row() {
    let mut db = Database::new("unique_key");
    db.run(
        "CREATE TABLE dfire_recordings (id varchar(100) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, \
         kind int NOT NULL DEFAULT 1, UNIQUE INDEX (kind)) CHARACTER SET utf8mb4",
    );
    let schema = schema(&[]);
    let url = db.user("ukey", "SELECT, INSERT, UPDATE, DELETE, CREATE");
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    let row = |id| one(&schema, Table::Recordings, &[("id", Some(id))]);
    sink.write(&row("first")).unwrap();
    sink.write(&row("first")).unwrap();
    let error = sink.write(&row("second")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(db.rows("SELECT id FROM dfire_recordings"), ["first"]);
}
