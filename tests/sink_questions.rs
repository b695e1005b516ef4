//! What the engine asks of each database between writes: whether it answers, and whether rows are still there.

use dbsync2::destination::sql::{PresentRow, Target};
use dbsync2::tables::batch::Rows;
use dbsync2::tables::schema::Table;

use crate::sink_rows::{add, empty, schema};
use crate::support::database::fresh_database;
use crate::support::servers::Kind;

#[test]
fn each_database_says_that_it_answers_and_which_rows_it_holds() {
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let schema = schema(&[]);
        let mut sink = Target::new(&database.url, None).unwrap().open().unwrap();
        sink.alive().unwrap();
        assert_eq!(sink.prepare(&schema).unwrap(), []);
        assert_eq!(sink.index(&schema).unwrap(), []);
        for table in Table::ALL {
            assert_eq!(sink.count(table, 10).unwrap(), 0, "{kind:?}");
            let mut batch = empty(&schema);
            for key in ["a", "b'", "C"] {
                add(&mut batch, &schema, table, &[(table.key(), Some(key))]);
            }
            sink.write(&batch).unwrap();
            let last = schema.table(table).columns.last().unwrap().name.clone();
            let mut present =
                (sink.present(table, &["b'", "C", "d\0"], &[&last, table.key()])).unwrap();
            present.sort_by(|a, b| a.key.cmp(&b.key));
            let wanted = ["C", "b'"].map(|key| PresentRow {
                key: key.to_owned(),
                filled: vec![false, true],
            });
            assert_eq!(present, wanted, "{kind:?} {table:?}");
            assert_eq!(sink.present(table, &["d"], &[]).unwrap(), [], "{kind:?}");
            assert_eq!(sink.count(table, 10).unwrap(), 3, "{kind:?}");
            assert_eq!(sink.count(table, 2).unwrap(), 2, "{kind:?}");
        }
        sink.alive().unwrap();
    }
}

#[test]
fn a_rehearsal_leaves_nothing_and_a_sample_is_what_is_stored() {
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let schema = schema(&[]);
        let mut sink = Target::new(&database.url, None).unwrap().open().unwrap();
        sink.prepare(&schema).unwrap();
        let row = |key, phone| [("$id", Some(key)), ("$phone", phone)];
        let mut batch = empty(&schema);
        for key in ["a", "b"] {
            add(
                &mut batch,
                &schema,
                Table::Contacts,
                &row(key, Some("+49'1")),
            );
        }
        sink.write(&batch).unwrap();
        let stored = database.dump("dfire_contacts");

        let columns = schema.table(Table::Contacts);
        let mut rows = Rows::new(columns.columns.len());
        assert_eq!(sink.sample(Table::Contacts, 1).unwrap().len(), 1);
        let mut keys = sink.sample(Table::Contacts, 9).unwrap();
        keys.sort_unstable();
        assert_eq!(keys, ["a", "b"], "{kind:?}");
        sink.rows(Table::Contacts, &["a", "b"], &mut rows).unwrap();
        let phone = columns.position("$phone").unwrap();
        let mut found: Vec<_> = (rows.iter())
            .map(|row| (row.key(), row.get(phone), row.get(phone + 1)))
            .collect();
        found.sort_unstable();
        let wanted = ["a", "b"].map(|key| (key, Some("+49'1"), None));
        assert_eq!(found, wanted, "{kind:?}");

        let mut batch = empty(&schema);
        batch.is_rehearsal = true;
        add(&mut batch, &schema, Table::Contacts, &row("a", None));
        add(&mut batch, &schema, Table::Contacts, &row("new", None));
        sink.write(&batch).unwrap();
        assert_eq!(database.dump("dfire_contacts"), stored, "{kind:?}");
        // What was staged for it is not written by the next one.
        let mut batch = empty(&schema);
        add(&mut batch, &schema, Table::Contacts, &row("c", None));
        sink.write(&batch).unwrap();
        let keys: Vec<String> = database.dump("dfire_contacts").into_keys().collect();
        assert_eq!(keys, ["a", "b", "c"], "{kind:?}");
    }
}

#[test]
fn rows_that_are_only_added_replace_none() {
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let schema = schema(&[]);
        let mut sink = Target::new(&database.url, None).unwrap().open().unwrap();
        sink.prepare(&schema).unwrap();
        let batch = |rows: &[(&str, &str)]| {
            let mut batch = empty(&schema);
            for (id, comment) in rows {
                let row = [("$id", Some(*id)), ("$comment", Some(*comment))];
                add(&mut batch, &schema, Table::Contacts, &row);
            }
            batch
        };
        sink.write(&batch(&[("a", "first")])).unwrap();
        let mut added = batch(&[("b'", "second")]);
        added.only_adds = [true; 5];
        sink.write(&added).unwrap();
        // SQL Server leaves it as it is without a word.
        let mut again = batch(&[("a", "other")]);
        again.only_adds = [true; 5];
        let refused = sink.write(&again).is_err();
        assert_eq!(refused, kind != Kind::SqlServer, "{kind:?}");

        let contacts = schema.table(Table::Contacts);
        let mut rows = Rows::new(contacts.columns.len());
        sink.rows(Table::Contacts, &["b'", "c", "a"], &mut rows)
            .unwrap();
        let comment = contacts.position("$comment").unwrap();
        let mut found: Vec<_> = (rows.iter())
            .map(|row| (row.key(), row.get(comment)))
            .collect();
        found.sort_unstable();
        let wanted = [("a", Some("first")), ("b'", Some("second"))];
        assert_eq!(found, wanted, "{kind:?}");
    }
}

#[test]
fn checksums_of_other_campaigns_stay() {
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let schema = schema(&[]);
        let mut sink = Target::new(&database.url, None).unwrap().open().unwrap();
        sink.prepare(&schema).unwrap();
        let (early, late) = (Some("2024-01-01T00:00:00Z"), Some("2024-01-01T00:00:01Z"));
        let mut batch = empty(&schema);
        for (id, campaign, changed) in [
            ("early", Some("ours"), early),
            ("late", Some("ours"), late),
            ("new'", Some("ours"), None),
            ("nobody's", None, late),
            ("theirs", Some("their's"), late),
            ("theirs, undated", Some("their's"), None),
        ] {
            let row = [
                ("$id", Some(id)),
                ("$campaign_id", campaign),
                ("$changed", changed),
                ("$md5", Some("m")),
            ];
            add(&mut batch, &schema, Table::Contacts, &row);
        }
        sink.write(&batch).unwrap();
        let boundary = "2024-01-01T00:00:00Z";
        let mut trusted =
            |after: &str, most| sink.trusted_after(boundary, "ours", after, most).unwrap();
        let all = ["late", "new'", "nobody's"];
        assert_eq!(trusted("", 10), all, "{kind:?}");
        assert_eq!(trusted("", 2), all[..2], "{kind:?}");
        assert_eq!(trusted("new'", 2), all[2..], "{kind:?}");
        assert_eq!(sink.distrust(&["new'", "nobody"]).unwrap(), 1, "{kind:?}");
        assert_eq!(
            sink.distrust_after(boundary, "ours").unwrap(),
            2,
            "{kind:?}"
        );
        let stored = database.dump("dfire_contacts");
        let trusted: Vec<&String> = (stored.iter())
            .filter(|(_, row)| row["$md5"].is_some())
            .map(|(id, _)| id)
            .collect();
        assert_eq!(trusted, ["early", "theirs", "theirs, undated"], "{kind:?}");
    }
}

#[test]
fn triggers_are_named() {
    for (kind, trigger) in [
        (
            Kind::Postgres,
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
             CREATE TRIGGER audit BEFORE INSERT ON dfire_contacts FOR EACH ROW EXECUTE PROCEDURE f()",
        ),
        (
            Kind::Mysql,
            "CREATE TRIGGER audit BEFORE INSERT ON dfire_contacts FOR EACH ROW SET @x = 1",
        ),
        (
            Kind::Sqlite,
            "CREATE TRIGGER audit BEFORE INSERT ON dfire_contacts BEGIN SELECT 1; END",
        ),
    ] {
        let database = fresh_database(kind);
        let mut sink = Target::new(&database.url, None).unwrap().open().unwrap();
        sink.prepare(&schema(&[])).unwrap();
        assert_eq!(sink.triggers(Table::Contacts).unwrap(), [""; 0], "{kind:?}");
        database.execute(trigger);
        assert_eq!(
            sink.triggers(Table::Contacts).unwrap(),
            ["audit"],
            "{kind:?}"
        );
        assert_eq!(
            sink.triggers(Table::Recordings).unwrap(),
            [""; 0],
            "{kind:?}"
        );
    }
}
