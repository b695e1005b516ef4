//! A contact that refuses to be changed, when checksums are taken away at a start: it keeps nothing from starting.

use super::*;

fn one_contact_refuses(kind: Kind, statement: &str) {
    let sim = Simulator::start(Config {
        contacts: 60,
        daily_share: 0.0,
        new_per_day: 0.0,
        deleted_share: 0.0,
        added_fields: Vec::new(),
        ..Config::default()
    });
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let victim = truth.contacts.keys().nth(7).unwrap();
    let stored = database.dump("dfire_contacts");
    let marked = (stored.iter())
        .filter(|(id, row)| *id != victim && row["$md5"].is_some())
        .count();
    database.execute(&format!(
        "UPDATE dfire_contacts SET {} = NULL",
        kind.quote("$changed")
    ));
    let key = key_column(kind, "contacts");
    database.execute(&match kind {
        Kind::Postgres => format!(
            "CREATE FUNCTION fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.{key} = '{victim}' THEN {statement}; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER fixed BEFORE UPDATE ON dfire_contacts FOR EACH ROW EXECUTE PROCEDURE fixed()"
        ),
        Kind::Sqlite => format!(
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_contacts WHEN NEW.{key} = '{victim}' BEGIN {statement}; END"
        ),
        _ => format!(
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_contacts FOR EACH ROW BEGIN \
             IF NEW.{key} = '{victim}' THEN {statement}; END IF; END"
        ),
    });
    // Another filter: all are marked, and written anew.
    let program = program.arg("--fm", "hi_updates_only");
    let ended = program.run("db_init");
    assert_eq!(
        ended.code,
        Some(5),
        "{statement}: {}\n{}",
        ended.stdout,
        program.log()
    );
    let log = program.log();
    let named = format!("contact {victim}, whose time of writing");
    assert_eq!(
        log.lines().filter(|line| line.contains(&named)).count(),
        1,
        "{log}"
    );
    assert!(
        log.contains(&format!("{marked} contacts bear a time")),
        "{log}"
    );
    // That one is as it was, all others are written anew.
    let now = database.dump("dfire_contacts");
    let mut before = stored[victim].clone();
    before.insert("$changed".to_owned(), None);
    assert_eq!(now[victim], before);
    assert!(
        now.iter()
            .all(|(id, row)| id == victim || row["$changed"].is_some())
    );
}

/// The database says that they were changed, and they were not.
#[test]
fn contacts_that_stay_as_they_are_keep_nothing_from_starting() {
    let sim = Simulator::start(Config {
        contacts: 60,
        daily_share: 0.0,
        added_fields: Vec::new(),
        ..Config::default()
    });
    let database = fresh_database(Kind::Postgres);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let victim = database.dump("dfire_contacts").into_keys().nth(5).unwrap();
    database.execute(&format!(
        "UPDATE dfire_contacts SET \"$changed\" = NULL; \
         CREATE FUNCTION fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.\"$id\" = '{victim}' THEN RAISE EXCEPTION 'no'; END IF; RETURN OLD; END $$; \
         CREATE TRIGGER fixed BEFORE UPDATE ON dfire_contacts FOR EACH ROW EXECUTE PROCEDURE fixed()"
    ));
    let program = program.arg("--fm", "hi_updates_only");
    assert_eq!(program.run("db_init").code, Some(5));
    assert!(
        program
            .log()
            .contains(&format!("contact {victim}, whose time"))
    );
}

#[test]
fn one_contact_refuses_with_sqlite() {
    one_contact_refuses(Kind::Sqlite, "SELECT RAISE(ABORT, 'no')");
}

#[test]
fn one_contact_refuses_with_postgresql() {
    one_contact_refuses(
        Kind::Postgres,
        "RAISE EXCEPTION 'no' USING ERRCODE = '55000'",
    );
    one_contact_refuses(Kind::Postgres, "RAISE EXCEPTION 'no'");
}

#[test]
fn one_contact_refuses_with_mariadb() {
    one_contact_refuses(Kind::Mysql, "KILL CONNECTION CONNECTION_ID()");
}

/// Many contacts refuse to be marked, or stay as they are without a word: all that can be marked are, the others are fetched
/// whatever is stored, and the closing line counts them.
fn many_contacts_stay_unmarked(kind: Kind, statement: &str) {
    let sim = still(80);
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let before = database.dump("dfire_contacts");
    let (id, md5) = (kind.quote("$id"), kind.quote("$md5"));
    // The first ones that are found, and more than are named.
    let victims: Vec<String> = (before.iter())
        .filter(|(_, row)| row["$md5"].is_some())
        .map(|(key, _)| format!("'{key}'"))
        .take(30)
        .collect();
    database.execute(&format!(
        "UPDATE dfire_contacts SET {} = '9999-01-01T00:00:00Z', {} = 'stale'",
        kind.quote("$changed"),
        kind.quote("$ref")
    ));
    let condition = format!("NEW.{md5} IS NULL AND NEW.{id} IN ({})", victims.join(", "));
    database.execute(&match kind {
        Kind::Postgres => format!(
            "CREATE FUNCTION fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF {condition} THEN {statement}; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER fixed BEFORE UPDATE ON dfire_contacts FOR EACH ROW EXECUTE PROCEDURE fixed()"
        ),
        Kind::Sqlite => format!(
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_contacts WHEN {condition} BEGIN {statement}; END"
        ),
        _ => format!(
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_contacts FOR EACH ROW BEGIN \
             IF {condition} THEN {statement}; END IF; END"
        ),
    });
    let program = program.arg("--fm", "hi_updates_only");
    let ended = program.run("db_init");
    let log = program.log();
    assert_eq!(ended.code, Some(5), "{statement}: {}\n{log}", ended.stdout);
    let counted = format!("{} contacts may be out of date", victims.len());
    assert!(ended.stdout.contains(&counted), "{}", ended.stdout);
    let after = database.dump("dfire_contacts");
    for (key, row) in &before {
        assert_eq!(after[key]["$ref"], row["$ref"], "{statement}: {key}");
    }
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

#[test]
fn many_contacts_stay_unmarked_with_sqlite() {
    many_contacts_stay_unmarked(Kind::Sqlite, "SELECT RAISE(ABORT, 'no')");
    many_contacts_stay_unmarked(Kind::Sqlite, "SELECT RAISE(IGNORE)");
}

#[test]
fn many_contacts_stay_unmarked_with_postgresql() {
    many_contacts_stay_unmarked(Kind::Postgres, "RAISE EXCEPTION 'no'");
    many_contacts_stay_unmarked(Kind::Postgres, "RETURN OLD");
}

#[test]
fn many_contacts_stay_unmarked_with_mariadb() {
    let refused = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'";
    many_contacts_stay_unmarked(Kind::Mysql, refused);
    many_contacts_stay_unmarked(Kind::Mysql, "SET NEW.`$md5` = OLD.`$md5`");
}
