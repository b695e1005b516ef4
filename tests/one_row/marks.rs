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
