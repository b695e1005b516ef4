//! A table that takes no rows at all: one error, nothing is set aside, the other tables are written, and all comes in when
//! the table is mended.

use super::*;
use crate::support::compare::{differences, truth_of};

/// A campaign of which much changes each hour.
fn campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 150,
        daily_share: 3.0,
        new_per_day: 20.0,
        added_fields: Vec::new(),
        new_key_after: None,
        ..Config::default()
    })
}

/// Why a trigger fails for all rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It writes to a table that is gone.
    Gone,
    /// It writes to a table whose column takes nothing so long: the code is that of one bad row.
    Narrow,
    /// The same code, at the end of the transaction.
    Late,
}

fn break_by_trigger(database: &Database, table: &str, fault: Fault) {
    if fault == Fault::Narrow {
        database.execute(match database.kind {
            Kind::Sqlite => "CREATE TABLE narrow (v TEXT CHECK (length(v) < 3))",
            _ => "CREATE TABLE narrow (v varchar(3))",
        });
    }
    let audit = match fault {
        Fault::Gone => "INSERT INTO audit_gone VALUES (NEW.id)",
        Fault::Narrow => "INSERT INTO narrow VALUES (NEW.id)",
        Fault::Late => "RAISE EXCEPTION 'no' USING ERRCODE = '23514'",
    };
    let (kind, late) = match fault {
        Fault::Late => ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED"),
        _ => ("TRIGGER", ""),
    };
    database.execute(&match database.kind {
        Kind::Postgres => format!(
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {audit}; RETURN NEW; END $$; \
             CREATE {kind} audit AFTER INSERT OR UPDATE ON dfire_{table} {late} FOR EACH ROW EXECUTE PROCEDURE audit()"
        ),
        Kind::Mysql => {
            format!("CREATE TRIGGER audit BEFORE INSERT ON dfire_{table} FOR EACH ROW {audit}")
        }
        _ => format!("CREATE TRIGGER audit BEFORE INSERT ON dfire_{table} BEGIN {audit}; END"),
    });
}

fn mend_trigger(database: &Database, table: &str) {
    database.execute(&match database.kind {
        Kind::Postgres => format!("DROP TRIGGER audit ON dfire_{table}; DROP FUNCTION audit()"),
        _ => "DROP TRIGGER audit".to_owned(),
    });
}

const CLOSED: &str = "takes no rows now";

fn is_closed(status: &serde_json::Value) -> bool {
    status["last_error"]["message"]
        .as_str()
        .is_some_and(|message| message.contains(CLOSED))
}

/// How often a table was found to take no rows: not the rounds that failed for it.
fn found_closed(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains(CLOSED) && !line.contains("not complete"))
        .count()
}

fn assert_nothing_is_set_aside(program: &Program) {
    assert_eq!(rejected_rows(program), [""; 0]);
}

/// While db_sync runs, a trigger of one table breaks.
fn a_trigger_breaks(kind: Kind, table: &str, fault: Fault) {
    let sim = campaign();
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url).arg("--reconcile", "1s");
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    break_by_trigger(&database, table, fault);
    sim.advance(Duration::from_secs(3600));
    running.wait_until("the closed table", is_closed);
    // A further hour reaches the other tables.
    let other = if table == "recordings" {
        "connections"
    } else {
        "recordings"
    };
    sim.advance(Duration::from_secs(3600));
    let wanted: Vec<String> = (sim.truth(&TruthFilter::default(), &Which::All).tables())
        .into_iter()
        .find(|(name, _)| *name == other)
        .map(|(_, rows)| rows.keys().cloned().collect())
        .unwrap();
    wait_for(&mut running, "the other tables", || {
        let stored = database.dump(&format!("dfire_{other}"));
        wanted.iter().all(|key| stored.contains_key(key))
    });
    assert_no_checksum_of_what_is_missing(&sim, &database, table);
    let status = running.status().unwrap();
    assert_eq!(status["rejected"], 0, "{status}");
    assert_eq!(found_closed(&program.log()), 1, "{}", program.log());
    assert!(
        program.log().contains("it has the trigger audit"),
        "{}",
        program.log()
    );

    let log_before = program.log().len();
    mend_trigger(&database, table);
    running.wait_rounds(2);
    assert!(program.log()[log_before..].contains("takes rows again"));
    assert_equal(&sim, &TruthFilter::default(), &database);
    running.signal("TERM");
    running.wait(Duration::from_secs(5));
    assert_nothing_is_set_aside(&program);
}

/// A stored checksum means that all rows of this version are stored.
fn assert_no_checksum_of_what_is_missing(sim: &Simulator, database: &Database, table: &str) {
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let contacts = database.dump("dfire_contacts");
    let stored = database.dump(&format!("dfire_{table}"));
    let (_, rows) = (truth.tables().into_iter())
        .find(|(name, _)| *name == table)
        .unwrap();
    let mut missing = 0;
    for (key, row) in rows.iter().filter(|(key, _)| !stored.contains_key(*key)) {
        let contact = row["contact_id"].clone().unwrap();
        missing += 1;
        if let Some(row) = contacts.get(&contact) {
            let wanted = &truth.contacts[&contact]["$md5"];
            assert!(
                row["$md5"].is_none() || row["$md5"] != *wanted,
                "{key} of {contact}"
            );
        }
    }
    assert!(missing > 0);
}

fn wait_for(running: &mut Running, what: &str, condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(
            !running.has_ended() && begin.elapsed() < Duration::from_secs(120),
            "{what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_trigger_breaks_with_sqlite() {
    a_trigger_breaks(Kind::Sqlite, "recordings", Fault::Gone);
}

#[test]
fn a_trigger_breaks_with_postgresql() {
    a_trigger_breaks(Kind::Postgres, "transactions", Fault::Gone);
}

#[test]
fn a_trigger_breaks_with_mariadb() {
    a_trigger_breaks(Kind::Mysql, "recordings", Fault::Gone);
}

#[test]
fn a_trigger_fails_with_the_code_of_one_row_with_sqlite() {
    a_trigger_breaks(Kind::Sqlite, "transactions", Fault::Narrow);
}

#[test]
fn a_trigger_fails_with_the_code_of_one_row_with_postgresql() {
    a_trigger_breaks(Kind::Postgres, "recordings", Fault::Narrow);
}

#[test]
fn a_trigger_fails_with_the_code_of_one_row_with_mariadb() {
    a_trigger_breaks(Kind::Mysql, "transactions", Fault::Narrow);
}

#[test]
fn a_trigger_fails_late_with_the_code_of_one_row() {
    a_trigger_breaks(Kind::Postgres, "transactions", Fault::Late);
}

/// A table that is meant to be added to only: new rows go in, the others stay, and the program ends.
fn a_table_that_refuses_changes(kind: Kind) {
    let sim = campaign();
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let before = database.dump("dfire_transactions");
    database.execute(match kind {
        Kind::Postgres => {
            "CREATE FUNCTION fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'only added to' USING ERRCODE = '55000'; END $$; \
             CREATE TRIGGER fixed BEFORE UPDATE ON dfire_transactions FOR EACH ROW EXECUTE PROCEDURE fixed()"
        }
        Kind::Mysql => {
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_transactions FOR EACH ROW \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'only added to'"
        }
        _ => {
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_transactions BEGIN SELECT RAISE(ABORT, 'only added to'); END"
        }
    });
    sim.advance(Duration::from_secs(6 * 3600));
    let ended = program.run("db_update");
    assert_eq!(ended.code, Some(5), "{}\n{}", ended.stdout, program.log());
    assert!(ended.stdout.contains("changes of stored rows were refused"));
    let stored = database.dump("dfire_transactions");
    let truth = sim.truth(&TruthFilter::default(), &Which::All).transactions;
    assert!(stored.len() > before.len(), "nothing was new");
    assert!(stored.keys().eq(truth.keys()), "{kind:?}");
    for (key, row) in &before {
        assert_eq!(stored[key], *row, "{key}");
    }
    let said = "table dfire_transactions refuses changes of rows that it holds";
    let log = program.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(said)).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("it has the trigger fixed"), "{lines:?}");
    assert!(!log.contains(CLOSED) && !log.contains("is refused and set aside"));
    assert_nothing_is_set_aside(&program);
    // A stored checksum means that all is there.
    let contacts = database.dump("dfire_contacts");
    assert!(contacts.values().any(|row| row["$md5"].is_none()));

    database.execute(match kind {
        Kind::Postgres => "DROP FUNCTION fixed() CASCADE",
        _ => "DROP TRIGGER fixed",
    });
    program.succeed("db_update");
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn a_table_that_refuses_changes_with_sqlite() {
    a_table_that_refuses_changes(Kind::Sqlite);
}

#[test]
fn a_table_that_refuses_changes_with_postgresql() {
    a_table_that_refuses_changes(Kind::Postgres);
}

#[test]
fn a_table_that_refuses_changes_with_mariadb() {
    a_table_that_refuses_changes(Kind::Mysql);
}

/// From the very beginning, into empty tables: a column that another program made takes no NULL.
fn a_column_without_default(kind: Kind, table: &str) {
    let sim = campaign();
    let database = fresh_database(kind);
    let number = match kind {
        Kind::Sqlite => "INTEGER",
        _ => "int",
    };
    let key = if table == "contacts" { "$id" } else { "id" };
    let (key, text) = (
        kind.quote(key),
        match kind {
            Kind::SqlServer => "nvarchar(100)",
            _ => "varchar(100)",
        },
    );
    database.execute(&format!(
        "CREATE TABLE dfire_{table} ({key} {text} NOT NULL PRIMARY KEY, owner {number} NOT NULL)"
    ));
    let program = Program::new(&sim, &database.url).arg("--batch", "40");
    let mut running = program.start("db_init");
    running.wait_until("the closed table", is_closed);
    let log = program.log();
    let line = log.lines().find(|line| line.contains(CLOSED)).unwrap();
    assert!(line.contains("owner"), "{line}");
    assert_eq!(found_closed(&log), 1, "{log}");
    match kind {
        Kind::Postgres => database.execute(&format!(
            "ALTER TABLE dfire_{table} ALTER COLUMN owner DROP NOT NULL"
        )),
        Kind::Mysql => database.execute(&format!(
            "ALTER TABLE dfire_{table} MODIFY COLUMN owner int NULL"
        )),
        Kind::SqlServer => database.execute(&format!(
            "ALTER TABLE dfire_{table} ALTER COLUMN owner int NULL"
        )),
        Kind::Sqlite => database.execute(&format!("ALTER TABLE dfire_{table} DROP COLUMN owner")),
    }
    let ended = running.wait(Duration::from_secs(120));
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_nothing_is_set_aside(&program);
    let truth = truth_of(&sim, &TruthFilter::default(), &database);
    let mut differences = differences(&truth, &database, "dfire_");
    differences.retain(|difference| !difference.contains("owner"));
    assert_eq!(differences, [""; 0]);
}

#[test]
fn a_column_without_default_with_sqlite() {
    a_column_without_default(Kind::Sqlite, "contacts");
}

#[test]
fn a_column_without_default_with_postgresql() {
    a_column_without_default(Kind::Postgres, "transactions");
}

#[test]
fn a_column_without_default_with_sql_server() {
    a_column_without_default(Kind::SqlServer, "transactions");
}

#[test]
fn a_column_without_default_with_mariadb() {
    a_column_without_default(Kind::Mysql, "contacts");
}
