//! Tables that others made: the vendor's client, other schemas, other programs.

use super::*;

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
