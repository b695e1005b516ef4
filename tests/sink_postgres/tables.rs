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
fn a_table_of_the_old_client_is_taken_over() {
    let mut db = Database::new("takeover");
    // As the old client made them: table names unquoted, so that PostgreSQL stored them in lower case.
    db.run(
        "CREATE TABLE DF_contacts (\"$id\" varchar(50) NOT NULL, \"$md5\" varchar(50), \"$status_detail\" varchar, \
           \"$comment\" text, \"$changed\" varchar(50), \"Umsatz\" DECIMAL(10,0), PRIMARY KEY (\"$id\")); \
         CREATE TABLE DF_connections (\"id\" varchar(50) NOT NULL PRIMARY KEY, \"isThirdPartyConnection\" varchar(50), \
           \"duration\" numeric, \"contact_id\" varchar(50)); \
         INSERT INTO DF_contacts (\"$id\", \"$md5\", \"Umsatz\") VALUES ('OLD', 'm', 5)",
    );
    let schema = Schema::new("DF_").with_contact_columns([column("Umsatz", ColumnKind::Number)]);
    let mut sink = db.open();
    assert_eq!(sink.prepare(&schema).unwrap(), vec![]);
    let tables = db.rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace ORDER BY 1");
    let names: Vec<String> = tables
        .into_iter()
        .map(|mut row| row.remove(0).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "DF_inbound_calls",
            "DF_recordings",
            "DF_transactions",
            "df_connections",
            "df_contacts"
        ]
    );
    assert_eq!(
        sink.stored(&["OLD", "none"]).unwrap(),
        vec![StoredContact {
            id: "OLD".to_owned(),
            md5: Some("m".to_owned()),
            changed: None
        }]
    );
    let long = "ö".repeat(60);
    let mut rows = batch(&schema);
    add(
        &mut rows,
        &schema,
        Table::Contacts,
        &[
            ("$id", "OLD"),
            ("$md5", &long),
            ("$phone", "+49"),
            ("Umsatz", "12345678901.25"),
        ],
    );
    add(
        &mut rows,
        &schema,
        Table::Connections,
        &[
            ("id", &long),
            ("isThirdPartyConnection", "1"),
            ("contact_id", "OLD"),
        ],
    );
    sink.write(&rows).unwrap();
    let row = db.rows("SELECT \"$md5\", \"$phone\", \"Umsatz\" FROM df_contacts");
    assert_eq!(
        row,
        vec![vec![
            Some(long.clone()),
            Some("+49".to_owned()),
            Some("12345678901.25".to_owned())
        ]]
    );
    let row = db.rows("SELECT id, \"isThirdPartyConnection\" FROM df_connections");
    assert_eq!(row, vec![vec![Some(long), Some("1".to_owned())]]);
    for (table, column, kind) in [
        ("df_contacts", "$md5", "text"),
        ("df_contacts", "$id", "character varying(50)"),
        ("df_contacts", "Umsatz", "numeric"),
        ("df_connections", "id", "text"),
        (
            "df_connections",
            "isThirdPartyConnection",
            "character varying(50)",
        ),
    ] {
        assert_eq!(
            db.column_type(table, column).as_deref(),
            Some(kind),
            "{table} {column}"
        );
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
fn tables_of_other_schemas_are_not_looked_at() {
    let mut db = Database::new("schemas");
    let other = format!("{}_other", db.schema);
    db.run(&format!(
        "DROP SCHEMA IF EXISTS {other} CASCADE; CREATE SCHEMA {other}"
    ));
    db.run(&format!("CREATE TABLE {other}.o_contacts (\"$id\" varchar(3) PRIMARY KEY, \"$md5\" varchar(1), mine integer)"));
    let schema = Schema::new("o_").with_contact_columns([column("mine", ColumnKind::Text)]);
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_contact(
        &mut sink,
        &schema,
        &[("$id", "longer"), ("$md5", "longer"), ("mine", "text")],
    )
    .unwrap();
    assert_eq!(
        db.value("SELECT mine FROM o_contacts").as_deref(),
        Some("text")
    );
    assert_eq!(
        db.value(&format!("SELECT count(*) FROM {other}.o_contacts"))
            .as_deref(),
        Some("0")
    );
    assert_eq!(
        db.column_type("o_contacts", "mine").as_deref(),
        Some("text")
    );
    // Behind ours on the search path it counts, as for any other statement.
    db.run("DROP TABLE o_contacts");
    db.url.options = Some(format!("-csearch_path={},{other}", db.schema));
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_contact(&mut sink, &schema, &[("$id", "abc"), ("mine", "5")]).unwrap();
    assert_eq!(
        db.value(&format!("SELECT mine FROM {other}.o_contacts"))
            .as_deref(),
        Some("5")
    );
    db.run(&format!("DROP SCHEMA {other} CASCADE"));
}

#[test]
fn foreign_made_tables_without_a_key_and_views_are_refused() {
    let mut db = Database::new("foreign");
    db.run("CREATE TABLE k_contacts (\"$id\" text, other text, PRIMARY KEY (\"$id\", other))");
    let error = db.open().prepare(&Schema::new("k_")).unwrap_err();
    assert_error(
        &error,
        ErrorKind::Setup,
        &[
            "k_contacts",
            "no primary key or unique index on column \"$id\" alone",
            "ADD PRIMARY KEY",
        ],
    );
    db.run("CREATE VIEW q_contacts AS SELECT 1 AS x");
    let error = db.open().prepare(&Schema::new("q_")).unwrap_err();
    assert_error(&error, ErrorKind::Setup, &["q_contacts", "view"]);
    let error = db
        .open()
        .prepare(&Schema::new(&"p".repeat(60)))
        .unwrap_err();
    assert_error(&error, ErrorKind::Setup, &["63 bytes", "--tp"]);
    let lines = db.open().check(&Schema::new(&"p".repeat(60))).unwrap();
    let outcome = lines[2].outcome.as_ref().unwrap_err();
    assert!(outcome.contains("63 bytes"), "{outcome}");
    // A unique index does as well as a primary key; a partial one does not.
    db.run("CREATE TABLE u_contacts (\"$id\" text); CREATE UNIQUE INDEX ON u_contacts (\"$id\") WHERE \"$id\" > 'a'");
    let error = db.open().prepare(&Schema::new("u_")).unwrap_err();
    assert_error(&error, ErrorKind::Setup, &["u_contacts"]);
    db.run("CREATE UNIQUE INDEX ON u_contacts (\"$id\")");
    let mut sink = db.open();
    let schema = Schema::new("u_");
    sink.prepare(&schema).unwrap();
    write_contact(&mut sink, &schema, &[("$id", "a")]).unwrap();
}

#[test]
fn columns_that_the_server_makes_are_left_alone() {
    let mut db = Database::new("generated");
    db.run(
        "CREATE TABLE g_contacts (\"$id\" text PRIMARY KEY, \"$status\" text GENERATED ALWAYS AS (\"$id\" || '!') STORED, \
           \"$version\" integer GENERATED ALWAYS AS IDENTITY)",
    );
    let schema = Schema::new("g_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_contact(
        &mut sink,
        &schema,
        &[
            ("$id", "A"),
            ("$status", "open"),
            ("$version", "x"),
            ("$phone", "1"),
        ],
    )
    .unwrap();
    let rows = db.rows("SELECT \"$status\", \"$version\", \"$phone\" FROM g_contacts");
    assert_eq!(rows, [["A!", "1", "1"].map(|v| Some(v.to_owned()))]);
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

#[test]
fn missing_privileges_name_the_grant() {
    let mut db = Database::new("privileges");
    let schema = Schema::new("g_");
    let url = db.role("reader", "GRANT USAGE ON SCHEMA SCHEMA_NAME TO ROLE");
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    let outcome = sink.check(&schema).unwrap()[2].outcome.clone().unwrap_err();
    assert!(
        outcome.contains("must run: GRANT USAGE, CREATE ON SCHEMA"),
        "{outcome}"
    );
    let error = sink.prepare(&schema).unwrap_err();
    let grant = format!(
        "GRANT USAGE, CREATE ON SCHEMA \"{}\" TO \"{}\"",
        db.schema, url.user
    );
    assert_error(
        &error,
        ErrorKind::Setup,
        &["cannot create table \"g_contacts\"", &grant],
    );

    db.open().prepare(&schema).unwrap();
    let lines = sink.check(&schema).unwrap();
    let contacts = lines
        .iter()
        .find(|line| line.subject == "table g_contacts")
        .unwrap();
    let reason = contacts.outcome.as_ref().unwrap_err();
    assert!(
        reason.contains("GRANT SELECT, INSERT, UPDATE ON"),
        "{reason}"
    );
    sink.prepare(&schema).unwrap();
    let error = write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap_err();
    assert_error(
        &error,
        ErrorKind::Setup,
        &[
            "cannot write table",
            "GRANT SELECT, INSERT, UPDATE ON",
            &url.user,
        ],
    );

    let role = url.user.clone();
    db.run(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {role}",
        db.schema
    ));
    write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap();
    let more =
        schema.with_contact_columns([column("a", ColumnKind::Text), column("b", ColumnKind::Text)]);
    let missing = sink.prepare(&more).unwrap();
    let names: Vec<&str> = missing
        .iter()
        .map(|missing| missing.column.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(
        missing[0].reason.contains("OWNER TO"),
        "{}",
        missing[0].reason
    );
    write_contact(
        &mut sink,
        &more,
        &[("$id", "B"), ("a", "left out"), ("$phone", "1")],
    )
    .unwrap();
    assert_eq!(
        db.value("SELECT \"$phone\" FROM g_contacts WHERE \"$id\" = 'B'")
            .as_deref(),
        Some("1")
    );
    let lines = sink.check(&more).unwrap();
    let contacts = lines
        .iter()
        .find(|line| line.subject == "table g_contacts")
        .unwrap();
    assert!(
        contacts
            .outcome
            .as_ref()
            .unwrap_err()
            .contains("2 columns are missing"),
        "{contacts:?}"
    );
}

#[test]
fn check_reports_and_changes_nothing() {
    let mut db = Database::new("check");
    let schema = Schema::new("h_");
    db.run("CREATE TABLE h_contacts (\"$id\" text PRIMARY KEY); CREATE TABLE h_connections (id text); CREATE VIEW h_recordings AS SELECT 1 AS x");
    let mut sink = db.open();
    let lines = sink.check(&schema).unwrap();
    let subjects: Vec<&str> = lines.iter().map(|line| line.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "connection",
            "schema",
            "table h_contacts",
            "table h_transactions",
            "table h_connections",
            "table h_recordings",
            "table h_inbound_calls"
        ]
    );
    let found = |i: usize| lines[i].outcome.clone();
    assert!(found(0).unwrap().starts_with("PostgreSQL "));
    assert!(found(0).unwrap().ends_with("not encrypted"));
    assert_eq!(
        found(1),
        Ok(format!("{}: new tables can be created", db.schema))
    );
    assert_eq!(found(2), Ok("exists, 21 columns will be added".to_owned()));
    assert_eq!(found(3), Ok("does not exist, will be created".to_owned()));
    assert!(found(4).unwrap_err().contains("no primary key"));
    assert!(found(5).unwrap_err().contains("view"));
    let count = db.value("SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND attnum > 0");
    assert_eq!(count.as_deref(), Some("2"));
    db.url.options = Some("-csearch_path=no_such_schema".to_owned());
    let mut sink = db.open();
    assert!(
        sink.check(&schema).unwrap()[1]
            .outcome
            .clone()
            .unwrap_err()
            .contains("search_path")
    );
    assert_error(
        &sink.prepare(&schema).unwrap_err(),
        ErrorKind::Setup,
        &["search_path"],
    );
}
