//! What errors of the server lead to.

use super::*;

#[test]
fn what_the_servers_errors_lead_to() {
    let (server, url) = tds(Options::default());
    let (schema, batch) = small();
    for (number, kind) in [
        (1205, ErrorKind::Transient),
        (1222, ErrorKind::Transient),
        (3906, ErrorKind::Transient),
        (229, ErrorKind::Setup),
        (515, ErrorKind::Data),
        (9002, ErrorKind::Transient),
    ] {
        let mut sink = open(&url).unwrap();
        sink.prepare(&schema).unwrap();
        server.fail_next(number, 1);
        let error = sink.write(&batch).unwrap_err();
        assert_eq!(error.kind(), kind, "{number}: {error}");
        assert!(
            error.to_string().contains(&format!("(error {number})")) || number == 229,
            "{error}"
        );
        assert_eq!(
            server.dump("dfire_contacts").len(),
            0,
            "{number}: rolled back"
        );
        sink.write(&batch).unwrap();
        assert_eq!(server.dump("dfire_contacts").len(), 1, "{number}");
        server.execute("DELETE FROM dfire_contacts");
    }
}

#[test]
fn a_duplicate_key_is_read_again_once_and_never_for_ever() {
    let (server, url) = tds(Options::default());
    let (schema, batch) = small();
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    // Another session was faster: the second attempt finds the row.
    server.fail_next(2627, 1);
    sink.write(&batch).unwrap();
    assert_eq!(server.dump("dfire_contacts").len(), 1);
    // Two keys that only the server takes for equal: the batch is refused, and so split.
    server.fail_next(2627, 2);
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(server.controls().pending_failures(), 0);
    sink.write(&batch).unwrap();
}

#[test]
fn a_connection_lost_anywhere_is_passing_trouble() {
    let (server, url) = tds(Options::default());
    let schema = schema(&[]);
    let mut batch = empty(&schema);
    for number in 0..500 {
        let id = format!("C{number}");
        add(&mut batch, &schema, Table::Contacts, &[("$id", Some(&id))]);
    }
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    server.controls().break_bulk_load_at(300);
    assert_transient(sink.write(&batch).unwrap_err());
    assert_transient(sink.write(&batch).unwrap_err());
    assert_eq!(server.dump("dfire_contacts").len(), 0);
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    server.drop_connections();
    assert_transient(sink.stored(&["C1"]).unwrap_err());
    assert_eq!(server.dump("dfire_contacts").len(), 500);
}

/// Another session holds the table: the lock time-out ends the wait.
#[test]
fn a_lock_that_is_held_for_long_is_passing_trouble() {
    let database = fresh();
    let (schema, batch) = small();
    prepared(&database, &schema);
    let mut other = SqlServerClient::connect(&database.url).unwrap();
    other
        .run("BEGIN TRANSACTION; DELETE FROM dfire_contacts WITH (TABLOCKX) WHERE [$id] = ''")
        .unwrap();
    let mut sink = SqlServerSink::open_waiting(
        &parsed(&database.url),
        &Roots::load(None).unwrap(),
        Duration::from_millis(300),
    )
    .unwrap();
    // Reading the catalogue may wait for the lock, too.
    let begin = Instant::now();
    let error = sink
        .prepare(&schema)
        .err()
        .or_else(|| sink.write(&batch).err());
    assert_transient(error.expect("the lock is held"));
    assert!(begin.elapsed() < Duration::from_secs(20));
    other.run("ROLLBACK TRANSACTION").unwrap();
    let mut sink = open(&database.url).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
}

#[test]
fn log_in_and_database_are_refused_with_a_sentence() {
    let (_server, url) = tds(Options::default());
    let roots = Roots::load(None).unwrap();
    let good = parsed(&url);
    let wrong = SqlServerUrl {
        password: dbsync2::net::secret::Secret::new("hush"),
        ..good.clone()
    };
    let message = setup_error(&wrong, &roots);
    assert!(
        message.contains("18456") && message.contains("--url"),
        "{message}"
    );
    assert!(!message.contains("hush"), "{message}");
    let wrong = SqlServerUrl {
        database: "nowhere".to_owned(),
        ..good
    };
    let message = setup_error(&wrong, &roots);
    assert!(message.contains("no database nowhere"), "{message}");
}

#[test]
fn missing_privileges_and_read_only_databases_are_said_plainly() {
    let reader = User {
        name: "reader".to_owned(),
        password: "pw".to_owned(),
        rights: Rights::read_only(),
    };
    let (_server, url) = tds(Options {
        users: vec![reader],
        ..Options::default()
    });
    let (schema, _) = small();
    let mut sink = open(&url).unwrap();
    let error = sink.prepare(&schema).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    assert!(
        error.to_string().contains("grant") && error.to_string().contains("CREATE TABLE"),
        "{error}"
    );
    let lines = sink.check(&schema).unwrap();
    let wrong: Vec<&str> = lines
        .iter()
        .filter(|line| line.outcome.is_err())
        .map(|line| line.subject.as_str())
        .collect();
    assert_eq!(
        wrong,
        ["INSERT", "UPDATE", "DELETE", "CREATE TABLE", "ALTER"]
            .map(|word| format!("privilege {word}"))
    );
    let (_server, url) = tds(Options {
        read_only: true,
        ..Options::default()
    });
    let error = open(&url).err().unwrap();
    assert!(error.to_string().contains("secondary replica"), "{error}");
    assert_transient(error);
}

#[test]
fn a_secondary_replica_is_left_for_the_next_host() {
    let (_secondary, read_only) = tds(Options {
        read_only: true,
        ..Options::default()
    });
    let (primary, url) = tds(Options::default());
    let mut url = parsed(&url);
    url.hosts.splice(0..0, parsed(&read_only).hosts);
    let (schema, batch) = small();
    let mut sink = SqlServerSink::open(&url, &Roots::load(None).unwrap()).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(primary.dump("dfire_contacts").len(), 1);
}

/// A reader's transaction is open: nobody waits behind us for long, rows go on, and what is missing comes later.
#[test]
fn changes_of_tables_wait_for_locks_for_a_short_time_only() {
    let database = fresh();
    let before = schema(&[]);
    prepared(&database, &before);
    let tables = [Table::Contacts, Table::Transactions];
    for table in tables {
        let name = &before.table(table).name;
        for index in database
            .query(&format!(
                "SELECT name FROM sys.indexes WHERE object_id = OBJECT_ID(N'{name}') AND is_primary_key = 0 AND index_id > 0"
            ))
            .into_iter()
            .flatten()
            .flatten()
        {
            database.execute(&format!("DROP INDEX [{index}] ON [{name}]"));
        }
    }
    let after = schema(&[("later", ColumnKind::Text), ("too", ColumnKind::Text)]);
    let mut sink = open(&database.url).unwrap();
    sink.prepare(&before).unwrap();
    let mut other = SqlServerClient::connect(&database.url).unwrap();
    other
        .run("BEGIN TRANSACTION; DELETE FROM dfire_contacts WITH (TABLOCKX) WHERE [$id] = ''")
        .unwrap();
    let begin = Instant::now();
    let missing = sink.index(&before).unwrap();
    assert!(!missing.is_empty(), "no index was wanted");
    assert!(
        missing.iter().all(|index| index.reason.contains("1222")),
        "{missing:?}"
    );
    // One wait per table, not per index, of which a table has up to three.
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
    other.run("ROLLBACK TRANSACTION").unwrap();
    assert_eq!(sink.index(&before).unwrap(), []);
    assert_eq!(sink.prepare(&after).unwrap(), []);
}

#[test]
fn a_column_that_is_locked_is_reported_and_added_later() {
    let (server, url) = tds(Options::default());
    let before = schema(&[]);
    let after = schema(&[("later", ColumnKind::Text), ("too", ColumnKind::Text)]);
    let mut sink = open(&url).unwrap();
    sink.prepare(&before).unwrap();
    server.fail_next(1222, 1);
    let missing = sink.prepare(&after).unwrap();
    let columns: Vec<_> = missing.iter().map(|m| m.column.as_str()).collect();
    assert_eq!(columns, ["later", "too"]);
    assert_eq!(server.controls().pending_failures(), 0, "one wait for both");
    let values = [
        ("$id", Some("C1")),
        ("later", Some("x")),
        ("too", Some("y")),
    ];
    sink.write(&one(&after, Table::Contacts, &values)).unwrap();
    assert_eq!(sink.prepare(&after).unwrap(), []);
    sink.write(&one(&after, Table::Contacts, &values)).unwrap();
    let row = &server.dump("dfire_contacts")["C1"];
    assert_eq!(
        (row["later"].as_deref(), row["too"].as_deref()),
        (Some("x"), Some("y"))
    );
}

/// Widening waits once, and then not again for each row.
#[test]
fn a_column_that_cannot_be_widened_now_is_left_alone_for_a_while() {
    let (server, url) = tds(Options::default());
    server.execute(
        "CREATE TABLE dfire_contacts ([$id] nvarchar(50) NOT NULL PRIMARY KEY, note nvarchar(3))",
    );
    let schema = schema(&[("note", ColumnKind::Text)]);
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    server.fail_next(1222, 1);
    let row = |id: &str, note: &str| {
        one(
            &schema,
            Table::Contacts,
            &[("$id", Some(id)), ("note", Some(note))],
        )
    };
    for id in ["C1", "C2", "C3"] {
        let error = sink.write(&row(id, "long")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("note"), "{error}");
    }
    assert_eq!(server.controls().pending_failures(), 0);
    sink.write(&row("C4", "abc")).unwrap();
    assert_eq!(server.dump("dfire_contacts").len(), 1);
}

#[test]
fn a_clash_on_another_unique_index_is_a_refused_row() {
    let database = fresh();
    let schema = schema(&[("ref", ColumnKind::Text)]);
    database.execute(
        "CREATE TABLE dfire_contacts ([$id] nvarchar(50) NOT NULL PRIMARY KEY, [$md5] nvarchar(50), [ref] nvarchar(40))",
    );
    let mut sink = prepared(&database, &schema);
    let row = |id: &str, md5: &str, reference: &str| {
        let values = [
            ("$id", Some(id)),
            ("$md5", Some(md5)),
            ("ref", Some(reference)),
        ];
        one(&schema, Table::Contacts, &values)
    };
    sink.write(&row("C1", "m1", "A")).unwrap();
    sink.write(&row("C2", "m2", "B")).unwrap();
    for (index, said) in [
        (
            "CREATE UNIQUE INDEX ref_once ON dfire_contacts ([ref])",
            "2601",
        ),
        (
            "CREATE UNIQUE INDEX ref_once ON dfire_contacts ([ref]) WITH (IGNORE_DUP_KEY = ON)",
            "IGNORE_DUP_KEY",
        ),
    ] {
        database.execute(index);
        let error = sink.write(&row("C3", "m3", "A")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        let error = sink.write(&row("C2", "m4", "A")).err();
        let rows = database.dump("dfire_contacts");
        let of = |id: &str, column: &str| rows[id][column].as_deref().map(str::to_owned);
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (of("C1", "$md5"), of("C1", "ref")),
            (Some("m1".into()), Some("A".into()))
        );
        assert_eq!(
            (of("C2", "$md5"), of("C2", "ref")),
            (Some("m2".into()), Some("B".into()))
        );
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Data));
        database.execute("DROP INDEX ref_once ON dfire_contacts");
    }
    sink.write(&row("C3", "m3", "A")).unwrap();
    assert_eq!(database.dump("dfire_contacts").len(), 3);
}

/// What is out of step after it would answer the next request with the refusal of this one.
#[test]
fn a_refused_bulk_load_costs_its_own_rows_only() {
    let (server, url) = tds(Options {
        compatible: true,
        ..Options::default()
    });
    let names: Vec<String> = (0..600).map(|n| format!("f{n}")).collect();
    let fields: Vec<(&str, ColumnKind)> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    // More values that leave 24 bytes in the row than a row has room for.
    let long = "x".repeat(50);
    let mut values = vec![("$id", Some("C1"))];
    values.extend(
        names
            .iter()
            .map(|name| (name.as_str(), Some(long.as_str()))),
    );
    let error = sink
        .write(&one(&schema, Table::Contacts, &values))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.to_string().contains("8060"), "{error}");
    sink.write(&one(&schema, Table::Transactions, &[("id", Some("T1"))]))
        .unwrap();
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("C2"))]))
        .unwrap();
    assert_eq!(server.dump("dfire_transactions").len(), 1);
    assert_eq!(server.dump("dfire_contacts").len(), 1);
}
