//! A transaction that is too large for the database: it is split, and the size that worked is remembered.

use super::*;

/// A server that takes up to 50 contacts at once, and says that of more with this code.
fn too_many_at_once(code: &str) {
    let sim = Simulator::start(Config {
        contacts: 600,
        daily_share: 0.0,
        new_per_day: 0.0,
        added_fields: Vec::new(),
        ..Config::default()
    });
    let database = fresh_database(Kind::Postgres);
    let program = Program::new(&sim, &database.url)
        .arg("--batch", "200")
        .arg("--l", "5");
    program.succeed("db_init");
    for table in TABLES {
        database.execute(&format!("DELETE FROM dfire_{table}"));
    }
    database.execute(&format!(
        "CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF (SELECT count(*) FROM new) > 50 THEN RAISE EXCEPTION 'too many' USING ERRCODE = '{code}'; END IF; \
         RETURN NULL; END $$; \
         CREATE TRIGGER few AFTER INSERT ON dfire_contacts REFERENCING NEW TABLE AS new \
         FOR EACH STATEMENT EXECUTE PROCEDURE few()"
    ));
    let log_before = program.log().len();
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
    assert!(rejected_rows(&program).is_empty());
    let log = program.log().split_off(log_before);
    let told = log
        .lines()
        .filter(|line| line.contains("contacts in one transaction"));
    assert_eq!(told.count(), 1, "{log}");
    // The first batch finds out; the others begin with what worked.
    let splits = log
        .lines()
        .filter(|line| line.contains("refused and split"));
    assert!((1..=7).contains(&splits.count()), "{log}");
}

#[test]
fn what_is_too_much_at_once_is_split_once() {
    too_many_at_once("54000");
}

#[test]
fn what_looks_passing_and_is_too_much_is_split_as_well() {
    too_many_at_once("53200");
}
