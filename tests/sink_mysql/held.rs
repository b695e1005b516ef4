//! Tables that somebody else holds: nobody waits long, and what could not be done is done later.

use std::sync::mpsc::channel;
use std::time::Instant;

use super::*;

/// Longer than one wait for a lock, shorter than two for each of nine indexes or columns.
const SHORT: Duration = Duration::from_secs(12);

fn another(db: &Database) -> Conn {
    let url = db.url();
    let opts = OptsBuilder::new()
        .ip_or_hostname(Some(host().name))
        .tcp_port(host().port)
        .user(Some(&url.user))
        .pass(Some(url.password.reveal()))
        .db_name(Some(&db.name))
        .prefer_socket(false);
    Conn::new(opts).unwrap()
}

#[test]
fn columns_and_indexes_wait_briefly_for_a_reader_and_are_made_later() {
    let mut db = Database::new("held");
    let small = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&small).unwrap();
    sink.write(&one(&small, Table::Contacts, &[("$id", Some("a"))]))
        .unwrap();
    db.run("BEGIN");
    for table in Table::ALL {
        let table = &small.table(table).name;
        db.rows(&format!("SELECT count(*) FROM {table}"));
    }

    let fields: Vec<(String, ColumnKind)> = (0..9)
        .map(|i| (format!("field {i}"), ColumnKind::Text))
        .collect();
    let fields: Vec<(&str, ColumnKind)> = fields.iter().map(|(n, k)| (n.as_str(), *k)).collect();
    let large = schema(&fields);
    // A reader that comes while the program waits is behind it, but not for long.
    let mut reader = another(&db);
    let (stop, stopped) = channel::<()>();
    let reading = std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while stopped.try_recv().is_err() {
            let begun = Instant::now();
            reader
                .query_drop("SELECT count(*) FROM dfire_contacts")
                .unwrap();
            longest = longest.max(begun.elapsed());
        }
        longest
    });
    let begun = Instant::now();
    let missing = sink.prepare(&large).unwrap();
    assert!(begun.elapsed() < SHORT, "{:?}", begun.elapsed());
    let names: Vec<&str> = missing.iter().map(|m| m.column.as_str()).collect();
    let wanted: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, wanted);
    assert!(
        missing[0]
            .reason
            .contains("another session holds the table"),
        "{}",
        missing[0].reason
    );
    // What has a column is written.
    let row = [
        ("$id", Some("b")),
        ("$ref", Some("r")),
        ("field 0", Some("x")),
    ];
    sink.write(&one(&large, Table::Contacts, &row)).unwrap();
    let begun = Instant::now();
    let missing = sink.index(&large).unwrap();
    assert!(begun.elapsed() < SHORT, "{:?}", begun.elapsed());
    assert_eq!(missing.len(), 9, "{missing:?}");
    stop.send(()).unwrap();
    let longest = reading.join().unwrap();
    assert!(longest < Duration::from_secs(8), "{longest:?}");

    db.run("COMMIT");
    assert_eq!(sink.prepare(&large).unwrap(), []);
    assert_eq!(sink.index(&large).unwrap(), []);
    sink.write(&one(&large, Table::Contacts, &row)).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, `$ref`, `field 0` FROM dfire_contacts ORDER BY 1"),
        ["a|NULL|NULL", "b|r|x"]
    );
    // The limits of ordinary statements are as before.
    let waits = "SELECT count(*) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() \
                 AND INDEX_NAME <> 'PRIMARY'";
    assert_eq!(db.rows(waits), ["9"]);
}

#[test]
fn an_index_whose_name_is_taken_gets_another_one() {
    let mut db = Database::new("taken");
    let schema = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    db.run("ALTER TABLE dfire_transactions ADD INDEX dfire_transactions_fired (actor(10))");
    assert_eq!(sink.index(&schema).unwrap(), []);
    assert_eq!(
        db.rows(
            "SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() \
             AND TABLE_NAME = 'dfire_transactions' AND COLUMN_NAME = 'fired'"
        ),
        ["dfire_transactions_fired_2"]
    );
}

/// The server tells how to change such a table, and the message with it.
#[test]
fn a_table_with_history_names_the_setting_that_lets_it_be_changed() {
    let mut db = Database::new("history");
    let small = schema(&[]);
    db.sink().prepare(&small).unwrap();
    db.run("ALTER TABLE dfire_contacts ADD SYSTEM VERSIONING");
    let mut sink = db.sink();
    let missing = sink.prepare(&schema(&[("new", ColumnKind::Text)])).unwrap();
    assert_eq!(missing.len(), 1);
    assert!(
        missing[0]
            .reason
            .contains("@@system_versioning_alter_history"),
        "{}",
        missing[0].reason
    );
    sink.write(&one(&small, Table::Contacts, &[("$id", Some("a"))]))
        .unwrap();
}

/// What a view, a generated column, a trigger or a foreign key on a column that must be widened makes of it.
#[test]
fn what_stands_on_a_column_survives_its_widening_or_is_named_once() {
    let mut db = Database::new("dependents");
    db.run(
        "CREATE TABLE dfire_contacts (`$id` varchar(100) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, viewed varchar(3), \
         shown varchar(3), first varchar(3) AS (left(shown, 1)) VIRTUAL, seen varchar(3), pointing varchar(3), \
         checked varchar(3) CHECK (char_length(checked) < 50)) CHARACTER SET utf8mb4",
    );
    db.run("CREATE TABLE others (name varchar(3) CHARACTER SET utf8mb4 PRIMARY KEY)");
    db.run("INSERT INTO others VALUES ('abc')");
    db.run("ALTER TABLE dfire_contacts ADD FOREIGN KEY (pointing) REFERENCES others (name)");
    db.run("CREATE VIEW report AS SELECT `$id`, viewed FROM dfire_contacts");
    db.run("CREATE VIEW upon AS SELECT viewed FROM report");
    db.run(
        "CREATE TRIGGER seeing BEFORE UPDATE ON dfire_contacts FOR EACH ROW SET @seen = NEW.seen",
    );
    let names = ["viewed", "shown", "seen", "checked", "pointing"];
    let schema = schema(&names.map(|name| (name, ColumnKind::Text)));
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    for name in &names[..4] {
        let row = [("$id", Some(*name)), (*name, Some("longer than three"))];
        sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    }
    assert_eq!(
        db.rows("SELECT viewed FROM upon WHERE viewed IS NOT NULL"),
        ["longer than three"]
    );
    assert_eq!(
        db.rows("SELECT first FROM dfire_contacts WHERE first IS NOT NULL"),
        ["l"]
    );
    // The referenced table would have to be changed, too: only rows that don't fit are refused.
    let pointing = |id, name| {
        one(
            &schema,
            Table::Contacts,
            &[("$id", Some(id)), ("pointing", Some(name))],
        )
    };
    for _ in 0..3 {
        let error = sink
            .write(&pointing("far", "longer than three"))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("the column pointing"), "{error}");
    }
    sink.write(&pointing("near", "abc")).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, pointing FROM dfire_contacts WHERE pointing IS NOT NULL"),
        ["near|abc"]
    );
}
