//! Making and checking tables, columns and indexes; tables that others made.

use super::*;

#[test]
fn hostile_column_names_are_names() {
    let database = fresh();
    let fields: Vec<(&str, ColumnKind)> = HOSTILE_NAMES
        .iter()
        .chain(&["]] FROM x", "a]b", "'quote"])
        .map(|name| (*name, ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    let mut sink = prepared(&database, &schema);
    let mut values = vec![("$id", Some("C1"))];
    values.extend(fields.iter().map(|(name, _)| (*name, Some(*name))));
    sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
    let row = &database.dump("dfire_contacts")["C1"];
    for (name, _) in &fields {
        assert_eq!(row[*name].as_deref(), Some(*name));
    }
    let columns = sink.columns(schema.table(Table::Contacts)).unwrap();
    assert!(
        fields
            .iter()
            .all(|(name, _)| columns.iter().any(|c| c == name))
    );
}

#[test]
fn all_tables_with_their_types_and_indexes() {
    let database = fresh();
    let schema = schema(&[("amount", ColumnKind::Number)]);
    let mut sink = open(&database.url).unwrap();
    assert_eq!(
        sink.columns(schema.table(Table::Contacts)).unwrap(),
        Vec::<String>::new()
    );
    sink.prepare(&schema).unwrap();
    sink.index(&schema).unwrap();
    for (table, column, declared) in [
        ("dfire_contacts", "$id", "nvarchar(100)"),
        ("dfire_contacts", "$comment", "nvarchar(-1)"),
        ("dfire_contacts", "amount", "decimal(38,10)"),
        ("dfire_transactions", "fired", "nvarchar(100)"),
        ("dfire_transactions", "isHI", "bit"),
        ("dfire_connections", "duration", "decimal(38,10)"),
        ("dfire_inbound_calls", "contact_id", "nvarchar(100)"),
    ] {
        assert_eq!(
            column_type(&database, table, column),
            declared,
            "{table}.{column}"
        );
    }
    let indexed = "SELECT c.name FROM sys.indexes AS i \
         INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id \
         INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id \
         WHERE i.object_id = OBJECT_ID(N'dfire_connections') AND k.key_ordinal > 0 ORDER BY c.name";
    let columns: Vec<_> = database
        .query(indexed)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert_eq!(columns, ["contact_id", "fired", "id", "transaction_id"]);
    // Nothing is made twice, on this connection or on another.
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    sink.index(&schema).unwrap();
    prepared(&database, &schema);
    assert_eq!(database.query(indexed).len(), 4);
}

#[test]
fn columns_are_added_while_running_and_written_at_once() {
    let database = fresh();
    let before = schema(&[]);
    let mut sink = prepared(&database, &before);
    sink.write(&one(&before, Table::Contacts, &[("$id", Some("C1"))]))
        .unwrap();
    let after = schema(&[("later", ColumnKind::Text), ("count", ColumnKind::Number)]);
    sink.prepare(&after).unwrap();
    let values = [
        ("$id", Some("C1")),
        ("later", Some("x")),
        ("count", Some("7")),
    ];
    sink.write(&one(&after, Table::Contacts, &values)).unwrap();
    let row = &database.dump("dfire_contacts")["C1"];
    assert_eq!(
        (row["later"].as_deref(), row["count"].as_deref()),
        (Some("x"), Some("7"))
    );
}

#[test]
fn more_columns_than_a_table_can_have_are_reported_and_left_out() {
    let database = fresh();
    let names: Vec<String> = (0..1010).map(|n| format!("field {n}")).collect();
    let fields: Vec<(&str, ColumnKind)> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    let system = schema.table(Table::Contacts).columns.len() - names.len();
    let mut sink = open(&database.url).unwrap();
    let missing = sink.prepare(&schema).unwrap();
    let expected: Vec<&str> = names[1024 - system..].iter().map(String::as_str).collect();
    assert_eq!(
        missing
            .iter()
            .map(|m| m.column.as_str())
            .collect::<Vec<_>>(),
        expected
    );
    assert!(
        missing.iter().all(|m| m.reason.contains("1024")),
        "{:?}",
        missing[0]
    );
    let last = names.last().unwrap();
    let values = [
        ("$id", Some("C1")),
        ("field 0", Some("kept")),
        (last.as_str(), Some("lost")),
    ];
    sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
    let row = &database.dump("dfire_contacts")["C1"];
    assert_eq!((row["field 0"].as_deref(), row.len()), (Some("kept"), 1024));
}

#[test]
fn columns_of_the_old_client_are_widened_when_a_value_needs_it() {
    let database = fresh();
    database.execute(
        "CREATE TABLE dfire_contacts ([$id] nvarchar(50) NOT NULL PRIMARY KEY, [$md5] nvarchar(50), \
         [$status_detail] nvarchar, [$comment] text, [amount] nvarchar(50), [$changed] nvarchar(50))",
    );
    database.execute("INSERT INTO dfire_contacts ([$id], [$comment]) VALUES ('OLD', 'kept')");
    let schema = schema(&[("amount", ColumnKind::Number)]);
    let mut sink = prepared(&database, &schema);
    let narrow = [
        ("$id", Some("C1")),
        ("$status_detail", Some("x")),
        ("$comment", Some("ascii")),
        ("amount", Some("0.50")),
    ];
    sink.write(&one(&schema, Table::Contacts, &narrow)).unwrap();
    assert_eq!(
        column_type(&database, "dfire_contacts", "$status_detail"),
        "nvarchar(1)"
    );
    assert!(column_type(&database, "dfire_contacts", "$comment").starts_with("text"));
    let wide = [
        ("$id", Some("C2")),
        ("$status_detail", Some("$none")),
        ("$comment", Some("Grüße 東京")),
        ("amount", Some("7")),
    ];
    sink.write(&one(&schema, Table::Contacts, &wide)).unwrap();
    assert_eq!(
        column_type(&database, "dfire_contacts", "$status_detail"),
        "nvarchar(-1)"
    );
    assert_eq!(
        column_type(&database, "dfire_contacts", "$comment"),
        "nvarchar(-1)"
    );
    assert_eq!(
        column_type(&database, "dfire_contacts", "amount"),
        "nvarchar(50)"
    );
    let rows = database.dump("dfire_contacts");
    let comments: Vec<_> = rows
        .values()
        .map(|row| row["$comment"].as_deref())
        .collect();
    assert_eq!(comments, [Some("ascii"), Some("Grüße 東京"), Some("kept")]);
    assert_eq!(
        rows["C1"]["amount"].as_deref(),
        Some("0.50"),
        "numbers in texts stay as they are"
    );
}

#[test]
fn an_indexed_column_is_widened_as_far_as_its_index_allows() {
    let database = fresh();
    let schema = schema(&[]);
    let mut sink = prepared(&database, &schema);
    let with = |id: &str, contact: &str| {
        one(
            &schema,
            Table::Transactions,
            &[("id", Some(id)), ("contact_id", Some(contact))],
        )
    };
    sink.write(&with("T1", &"a".repeat(300))).unwrap();
    assert_eq!(
        column_type(&database, "dfire_transactions", "contact_id"),
        "nvarchar(450)"
    );
    let error = sink.write(&with("T2", &"a".repeat(451))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.to_string().contains("contact_id"), "{error}");
    sink.write(&with("T3", "b")).unwrap();
    assert_eq!(database.dump("dfire_transactions").len(), 2);
}

#[test]
fn foreign_types_are_converted_by_the_server_and_refuse_what_they_cannot_hold() {
    let database = fresh();
    database.execute(
        "CREATE TABLE dfire_contacts ([$id] varchar(50) NOT NULL PRIMARY KEY, [$md5] nvarchar(50), [day] datetime, \
         [whole] int, [yes] bit, [half] float, [$changed] nvarchar(50))",
    );
    let schema = schema(&[
        ("day", ColumnKind::Text),
        ("whole", ColumnKind::Number),
        ("yes", ColumnKind::Bool),
        ("half", ColumnKind::Number),
    ]);
    let mut sink = prepared(&database, &schema);
    let row = |id: &'static str, day: &'static str, whole: &'static str| {
        [
            ("$id", Some(id)),
            ("day", Some(day)),
            ("whole", Some(whole)),
            ("yes", Some("1")),
            ("half", Some("0.5")),
        ]
    };
    sink.write(&one(
        &schema,
        Table::Contacts,
        &row("C1", "2024-03-05T09:15:42", "42"),
    ))
    .unwrap();
    let error = sink
        .write(&one(&schema, Table::Contacts, &row("C2", "auto", "1")))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(!error.to_string().contains("auto"), "{error}");
    sink.write(&one(
        &schema,
        Table::Contacts,
        &row("C3", "2024-03-06", "3000000000"),
    ))
    .unwrap();
    assert_eq!(column_type(&database, "dfire_contacts", "whole"), "bigint");
    let sql = "SELECT [whole], [yes], [half] FROM dfire_contacts WHERE [$id] = 'C1'";
    let values = database.query(sql).remove(0);
    assert_eq!(
        values,
        [Some("42"), Some("1"), Some("0.5")].map(|v| v.map(str::to_owned))
    );
    assert_eq!(
        value(&database, "SELECT COUNT(*) FROM dfire_contacts").as_deref(),
        Some("2")
    );
}

#[test]
fn tables_of_another_program_are_refused() {
    for (sql, said) in [
        ("CREATE TABLE dfire_contacts (a int)", "no column $id"),
        (
            "CREATE TABLE dfire_contacts ([$id] nvarchar(50))",
            "no primary key",
        ),
    ] {
        let database = fresh();
        database.execute(sql);
        let error = open(&database.url)
            .unwrap()
            .prepare(&schema(&[]))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup);
        assert!(
            error.to_string().contains(said) && error.to_string().contains("--tp"),
            "{error}"
        );
    }
}

#[test]
fn check_looks_and_changes_nothing() {
    let database = fresh();
    let schema = schema(&[]);
    let lines = open(&database.url).unwrap().check(&schema).unwrap();
    let of = |subject: &str| {
        let line = lines.iter().find(|line| line.subject == subject);
        line.unwrap_or_else(|| panic!("{subject}: {lines:?}"))
            .outcome
            .clone()
    };
    assert_eq!(of("table dfire_contacts"), Ok("will be created".to_owned()));
    for privilege in [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE TABLE",
        "ALTER",
    ] {
        assert_eq!(
            of(&format!("privilege {privilege}")),
            Ok("granted".to_owned())
        );
    }
    assert!(
        of("database").unwrap().contains("at 127.0.0.1") || !database.url.contains("127.0.0.1")
    );
    assert_eq!(
        value(&database, "SELECT COUNT(*) FROM sys.tables").as_deref(),
        Some("0")
    );
}

#[test]
fn a_primary_key_is_widened_and_stays_the_key() {
    let database = fresh();
    database.execute(
        "CREATE TABLE dfire_transactions (id nvarchar(20) NOT NULL CONSTRAINT our_key PRIMARY KEY, contact_id nvarchar(50))",
    );
    let schema = schema(&[]);
    let mut sink = prepared(&database, &schema);
    let row = |id: &str, contact: &str| {
        let values = [("id", Some(id)), ("contact_id", Some(contact))];
        one(&schema, Table::Transactions, &values)
    };
    sink.write(&row("short", "a")).unwrap();
    sink.write(&row(&"x".repeat(200), "b")).unwrap();
    assert_eq!(
        column_type(&database, "dfire_transactions", "id"),
        "nvarchar(450)"
    );
    let key = "SELECT i.name, i.is_unique, c.name, c.is_nullable FROM sys.indexes AS i \
         INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id \
         INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id \
         WHERE i.object_id = OBJECT_ID(N'dfire_transactions') AND i.is_primary_key = 1";
    assert_eq!(
        database.query(key),
        [["our_key", "1", "id", "0"].map(|text| Some(text.to_owned()))]
    );
    // The same row, not a second one.
    sink.write(&row(&"x".repeat(200), "c")).unwrap();
    let rows = database.dump("dfire_transactions");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows["short"]["contact_id"].as_deref(), Some("a"));
    assert_eq!(rows[&"x".repeat(200)]["contact_id"].as_deref(), Some("c"));
}

/// As one that foreign keys refer to.
#[test]
fn a_primary_key_that_cannot_be_taken_away_costs_only_the_rows_that_do_not_fit() {
    let (server, url) = tds(Options::default());
    server.execute("CREATE TABLE dfire_transactions (id nvarchar(20) NOT NULL PRIMARY KEY)");
    let schema = schema(&[]);
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    let row = |id: &str| one(&schema, Table::Transactions, &[("id", Some(id))]);
    // 3725: "… is being referenced by table …, foreign key constraint …", for each of the two ways to say it.
    server.fail_next(3725, 2);
    for _ in 0..3 {
        let error = sink.write(&row(&"x".repeat(21))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("can't be widened"), "{error}");
    }
    assert_eq!(server.controls().pending_failures(), 0);
    sink.write(&row("short")).unwrap();
    assert_eq!(server.dump("dfire_transactions").len(), 1);
    assert_eq!(
        server.query("SELECT COUNT(*) FROM sys.indexes WHERE is_primary_key = 1 AND object_id = OBJECT_ID(N'dfire_transactions')"),
        [[Some("1".to_owned())]]
    );
}

/// Names that differ, and that the database takes for the same all the same.
#[test]
fn each_field_has_a_column_of_its_own_whatever_the_collation_says() {
    let database = fresh();
    let names = [
        "İ", "i\u{307}", "Straße", "strasse", "K", "\u{212a}", "ΣΑΣ", "σας", "É", "é",
    ];
    let fields: Vec<(&str, ColumnKind)> =
        names.iter().map(|name| (*name, ColumnKind::Text)).collect();
    let reversed: Vec<(&str, ColumnKind)> = fields.iter().copied().rev().collect();
    let values: Vec<(&str, Option<&str>)> = [("$id", Some("C1"))]
        .into_iter()
        .chain(names.iter().map(|name| (*name, Some(*name))))
        .collect();
    let select = || {
        let mut row = database.dump("dfire_contacts").remove("C1").unwrap();
        row.retain(|_, value| value.as_deref().is_some_and(|value| names.contains(&value)));
        row
    };
    let mut before = None;
    for fields in [&fields, &fields, &reversed] {
        let schema = schema(fields);
        let mut sink = prepared(&database, &schema);
        sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
        let row = select();
        assert_eq!(row.len(), names.len());
        for (column, value) in &row {
            let value = value.as_deref().unwrap();
            assert!(
                column == value || column.starts_with(&format!("{value}_")),
                "{column} holds {value}"
            );
        }
        // After a restart each is where it was.
        assert_eq!(*before.get_or_insert_with(|| row.clone()), row);
    }
}

#[test]
fn privileges_on_tables_that_are_not_there_are_those_on_the_schema() {
    let (_server, url) = tds(Options {
        compatible: true,
        ..Options::default()
    });
    let lines = open(&url).unwrap().check(&schema(&[])).unwrap();
    let wrong: Vec<_> = lines.iter().filter(|line| line.outcome.is_err()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
