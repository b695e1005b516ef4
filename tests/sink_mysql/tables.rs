//! Making tables, columns and indexes.

use super::*;

#[test]
fn columns_with_hostile_names_are_added_to_an_existing_table() {
    let mut db = Database::new("names");
    let mut sink = db.sink();
    sink.prepare(&schema(&[])).unwrap();
    let mut fields: Vec<_> = HOSTILE_NAMES
        .iter()
        .map(|name| (*name, ColumnKind::Text))
        .collect();
    let impossible = ["party 🎉", "nul\0", "blank "];
    // Another's name to the server: they get one of their own.
    let alike = ["Order", "$ID"];
    fields.extend(impossible.map(|name| (name, ColumnKind::Text)));
    fields.extend(alike.map(|name| (name, ColumnKind::Text)));
    let schema = schema(&fields);
    let missing = sink.prepare(&schema).unwrap();
    let mut names: Vec<&str> = missing.iter().map(|m| m.column.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["blank ", "nul\0", "party 🎉"]);
    let mut row = vec![("$id", Some("a"))];
    row.extend(HOSTILE_NAMES.iter().map(|name| (*name, Some(*name))));
    row.extend(impossible.map(|name| (name, Some("lost"))));
    row.extend(alike.map(|name| (name, Some("kept"))));
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(
        db.rows("SELECT concat(`Order_a240fa27`, `$ID_57338a1a`) FROM dfire_contacts"),
        ["keptkept"]
    );
    for name in HOSTILE_NAMES {
        let sql = format!("SELECT `{}` FROM dfire_contacts", name.replace('`', "``"));
        assert_eq!(db.rows(&sql), [name]);
    }
    // The same for a table that is created with them.
    db.run("DROP TABLE dfire_contacts");
    assert_eq!(
        sink.write(&one(&schema, Table::Contacts, &row))
            .unwrap_err()
            .kind(),
        ErrorKind::Transient
    );
    sink.prepare(&schema).unwrap();
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(db.rows("SELECT `order` FROM dfire_contacts"), ["order"]);
}

#[test]
fn tables_of_the_same_name_in_another_database_are_none_of_ours() {
    let mut other = Database::new("other");
    other.run("CREATE TABLE dfire_contacts (`$id` varchar(5) NOT NULL PRIMARY KEY, theirs text)");
    other.run("CREATE TABLE dfire_recordings (id varchar(5) NOT NULL PRIMARY KEY, INDEX (id))");
    let mut db = Database::new("mine");
    let schema = schema(&[("theirs", ColumnKind::Number)]);
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let row = [("$id", Some("longer than five")), ("theirs", Some("1"))];
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, round(theirs) FROM dfire_contacts"),
        ["longer than five|1"]
    );
    assert_eq!(other.rows("SELECT count(*) FROM dfire_contacts"), ["0"]);
    assert!(
        other
            .column_type("dfire_contacts", "$id")
            .starts_with("varchar(5)|")
    );
}

#[test]
fn indexes_are_made_once_and_not_where_another_serves() {
    let mut db = Database::new("indexes");
    db.run(
        "CREATE TABLE dfire_connections (id varchar(50) NOT NULL PRIMARY KEY, contact_id text, fired varchar(50), \
         INDEX theirs (FIRED, id))",
    );
    let schema = schema(&[]);
    let sql = "SELECT TABLE_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
               WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME <> 'PRIMARY' ORDER BY 1, 2, INDEX_NAME";
    let index = |db: &Database| {
        let mut sink = db.sink();
        sink.prepare(&schema).unwrap();
        sink.index(&schema).unwrap();
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| index(&db));
        }
    });
    let first = db.rows(sql);
    index(&db);
    assert_eq!(db.rows(sql), first);
    assert_eq!(
        first,
        [
            "dfire_connections|contact_id|40",
            "dfire_connections|fired|NULL",
            "dfire_connections|id|NULL",
            "dfire_connections|transaction_id|NULL",
            "dfire_inbound_calls|contact_id|NULL",
            "dfire_inbound_calls|started|NULL",
            "dfire_recordings|connection_id|NULL",
            "dfire_recordings|contact_id|NULL",
            "dfire_transactions|contact_id|NULL",
            "dfire_transactions|fired|NULL",
        ]
    );
}

#[test]
fn two_instances_may_add_columns_at_the_same_time() {
    let mut db = Database::new("racing");
    db.sink().prepare(&schema(&[])).unwrap();
    let names: Vec<String> = (0..30).map(|i| format!("f{i}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let backwards: Vec<_> = fields.iter().rev().copied().collect();
    let results = std::thread::scope(|scope| {
        [&fields, &backwards, &fields, &backwards]
            .map(|fields| scope.spawn(|| db.sink().prepare(&schema(fields))))
            .map(|thread| thread.join().unwrap())
    });
    for result in results {
        assert_eq!(result, Ok(Vec::new()));
    }
    let sql = "SELECT count(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND COLUMN_NAME LIKE 'f_' \
               AND TABLE_NAME = 'dfire_contacts'";
    assert_eq!(db.rows(sql), ["10"]);
}

#[test]
fn check_names_what_is_missing_and_changes_nothing() {
    let mut db = Database::new("check");
    let schema = schema(&[("x", ColumnKind::Text)]);
    let outcome = |url: &MysqlUrl, subject: &str| {
        let lines = open(url).unwrap().check(&schema).unwrap();
        lines
            .into_iter()
            .find(|line| line.subject == subject)
            .expect(subject)
            .outcome
    };
    let limited = db.user("check", "SELECT, INSERT, CREATE");
    let all = db.url();
    for existing in [false, true] {
        if existing {
            db.sink().prepare(&crate::sink_rows::schema(&[])).unwrap();
        }
        for granted in ["SELECT", "INSERT", "CREATE"] {
            assert_eq!(
                outcome(&limited, &format!("privilege {granted}")),
                Ok("granted".to_owned())
            );
        }
        for privilege in ["UPDATE", "DELETE", "ALTER", "INDEX"] {
            let subject = format!("privilege {privilege}");
            let error = outcome(&limited, &subject).unwrap_err();
            assert!(
                error.starts_with("missing on dfire_contacts, dfire_transactions"),
                "{error}"
            );
            assert_eq!(outcome(&all, &subject), Ok("granted".to_owned()));
        }
        let state = if existing {
            "present, 1 columns will be added"
        } else {
            "will be created"
        };
        assert_eq!(outcome(&all, "table dfire_contacts"), Ok(state.to_owned()));
        let count =
            "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
        assert_eq!(db.rows(count), [if existing { "5" } else { "0" }]);
    }
    assert!(
        outcome(&all, "encryption")
            .unwrap()
            .starts_with("encrypted with TLS")
    );
    let plain = MysqlUrl {
        tls: TlsMode::Disable,
        ..db.url()
    };
    assert_eq!(
        outcome(&plain, "encryption"),
        Ok("not encrypted".to_owned())
    );
}
