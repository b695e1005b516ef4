//! Finding, creating and completing tables, and the privileges for it.

use super::*;

#[test]
fn tables_are_created_once_and_keep_their_rows() {
    let mut db = Database::new("create");
    let schema = Schema::new("dfire_").with_contact_columns([
        column("Name", ColumnKind::Text),
        column("n", ColumnKind::Number),
    ]);
    let mut sink = db.open();
    assert_eq!(sink.prepare(&schema).unwrap(), vec![]);
    write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap();
    assert_eq!(sink.prepare(&schema).unwrap(), vec![]);
    assert_eq!(db.open().prepare(&schema).unwrap(), vec![]);
    for table in Table::ALL {
        let wanted = schema.table(table);
        let name = &wanted.name;
        let columns = db.rows(&format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attnum > 0 ORDER BY attnum"
        ));
        let names: Vec<&str> = wanted.columns.iter().map(|c| c.name.as_str()).collect();
        let found: Vec<&str> = columns
            .iter()
            .map(|row| row[0].as_deref().unwrap())
            .collect();
        assert_eq!(found, names);
        let key = db.value(&format!(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
             WHERE i.indrelid = '{name}'::regclass AND i.indisprimary AND i.indnatts = 1"
        ));
        assert_eq!(key.as_deref(), Some(table.key()));
    }
    for (table, column, kind) in [
        ("dfire_contacts", "$id", "character varying(100)"),
        ("dfire_contacts", "$comment", "text"),
        ("dfire_contacts", "n", "numeric"),
        ("dfire_transactions", "fired", "character varying(100)"),
        ("dfire_transactions", "isHI", "boolean"),
    ] {
        assert_eq!(
            db.column_type(table, column).as_deref(),
            Some(kind),
            "{table} {column}"
        );
    }
    assert_eq!(
        db.value("SELECT count(*) FROM dfire_contacts").as_deref(),
        Some("1")
    );
}

#[test]
fn several_instances_create_the_tables_at_once() {
    let db = Database::new("race");
    let schema = Schema::new("r_");
    let sinks: Vec<PostgresSink> = (0..6).map(|_| db.open()).collect();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = sinks
            .into_iter()
            .map(|mut sink| {
                let schema = &schema;
                scope.spawn(move || sink.prepare(schema))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for result in results {
        assert_eq!(result, Ok(vec![]));
    }
}

#[test]
fn columns_are_added_while_running() {
    let mut db = Database::new("add");
    let schema = Schema::new("c_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let more =
        schema.with_contact_columns([column("a", ColumnKind::Text), column("b", ColumnKind::Bool)]);
    // Someone added one of them by hand.
    db.run("ALTER TABLE c_contacts ADD COLUMN b boolean");
    assert_eq!(sink.prepare(&more).unwrap(), vec![]);
    write_contact(&mut sink, &more, &[("$id", "A"), ("a", "x"), ("b", "1")]).unwrap();
    // A batch made before has fewer columns.
    write_contact(&mut sink, &schema, &[("$id", "B")]).unwrap();
    let rows = db.rows("SELECT \"$id\", a, b FROM c_contacts ORDER BY 1");
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows,
        vec![
            vec![text("A"), text("x"), text("t")],
            vec![text("B"), None, None]
        ]
    );
}

#[test]
fn surplus_columns_are_left_out() {
    let mut db = Database::new("surplus");
    let names: Vec<Column> = (0..1700)
        .map(|i| column(&format!("c{i}"), ColumnKind::Text))
        .collect();
    let schema = Schema::new("s_").with_contact_columns(names);
    let mut sink = db.open();
    let missing = sink.prepare(&schema).unwrap();
    // 22 system columns and 1,578 of ours make 1,600.
    assert_eq!(missing.len(), 1700 - 1578);
    assert_eq!(
        (missing[0].table, missing[0].column.as_str()),
        (Table::Contacts, "c1578")
    );
    assert!(missing[0].reason.contains("1600"), "{}", missing[0].reason);
    write_contact(
        &mut sink,
        &schema,
        &[("$id", "A"), ("c1577", "last"), ("c1578", "left out")],
    )
    .unwrap();
    assert_eq!(
        db.value("SELECT c1577 FROM s_contacts").as_deref(),
        Some("last")
    );
    assert_eq!(db.open().prepare(&schema).unwrap().len(), 122);
}

#[test]
fn indexes_are_made_where_missing() {
    let mut db = Database::new("indexes");
    let schema = Schema::new("i_");
    let indexed = |db: &mut Database, table: &str| -> Vec<String> {
        let rows = db.rows(&format!(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
             WHERE i.indrelid = '{table}'::regclass AND i.indisvalid AND NOT i.indisprimary ORDER BY 1"
        ));
        rows.into_iter()
            .map(|mut row| row.remove(0).unwrap())
            .collect()
    };
    // Filled, with an index that serves, one that does not, and one that an interrupted instance left behind.
    db.run(
        "CREATE TABLE i_connections (id varchar(50) PRIMARY KEY, contact_id varchar(50), transaction_id varchar(50), fired varchar(50)); \
         INSERT INTO i_connections VALUES ('a', 'c', 't', 'f'), ('b', 'c', 't', 'g'); \
         CREATE INDEX mine ON i_connections (contact_id, fired); CREATE INDEX half ON i_connections (fired) WHERE fired > 'x'",
    );
    let leftover = "CREATE UNIQUE INDEX CONCURRENTLY i_connections_transaction_id_idx ON i_connections (transaction_id)";
    db.admin.batch_execute(leftover).expect_err("not unique");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    assert_eq!(indexed(&mut db, "i_transactions"), [""; 0]);
    sink.index(&schema).unwrap();
    assert_eq!(
        indexed(&mut db, "i_connections"),
        ["contact_id", "fired", "fired", "transaction_id"]
    );
    assert_eq!(indexed(&mut db, "i_transactions"), ["contact_id", "fired"]);
    assert_eq!(
        indexed(&mut db, "i_recordings"),
        ["connection_id", "contact_id"]
    );
    assert_eq!(
        indexed(&mut db, "i_inbound_calls"),
        ["contact_id", "started"]
    );
    let all = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = current_schema()::regnamespace";
    let before = db.value(all);
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    sink.index(&schema).unwrap();
    assert_eq!(db.value(all), before);
    assert_eq!(
        db.value(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.objid WHERE l.locktype = 'advisory' AND c.relnamespace = current_schema()::regnamespace"
        )
        .as_deref(),
        Some("0")
    );
}

#[test]
fn a_dropped_table_or_column_comes_back_after_opening_anew() {
    let mut db = Database::new("dropped");
    let schema = Schema::new("e_");
    for damage in [
        "DROP TABLE e_contacts",
        "ALTER TABLE e_contacts DROP COLUMN \"$phone\"",
        "ALTER TABLE e_contacts DROP CONSTRAINT e_contacts_pkey, ADD UNIQUE (\"$id\") DEFERRABLE",
    ] {
        let mut sink = db.open();
        sink.prepare(&schema).unwrap();
        db.run(damage);
        let error =
            write_contact(&mut sink, &schema, &[("$id", "A"), ("$phone", "1")]).unwrap_err();
        if damage.contains("DEFERRABLE") {
            assert!(error.kind() != ErrorKind::Data, "{error}");
            continue;
        }
        assert_error(&error, ErrorKind::Transient, &["gone"]);
        let mut sink = db.open();
        sink.prepare(&schema).unwrap();
        write_contact(&mut sink, &schema, &[("$id", "A"), ("$phone", "1")]).unwrap();
    }
}
