//! Privileges that are missing, and what check says.

use super::*;

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
