//! A table that takes no rows at all: one error, nothing is set aside, the other tables are written, and all comes in when
//! the table is mended.

use super::*;
use crate::support::compare::{differences, truth_of, twin};

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
    /// A constraint that is looked at in the end refers to a table without rows.
    Orphans,
}

/// What stands for a trigger in the SQL Server of the tests, and what it throws.
fn thrown(fault: Fault) -> &'static str {
    match fault {
        Fault::Gone => "throw_208",
        Fault::Narrow => "throw_2628",
        Fault::Late | Fault::Orphans => panic!("SQL Server looks at nothing late"),
    }
}

fn break_by_trigger(database: &Database, table: &str, fault: Fault) {
    if database.kind == Kind::SqlServer {
        let key = key_column(database.kind, table);
        return database.execute(&format!(
            "ALTER TABLE dfire_{table} WITH NOCHECK ADD CONSTRAINT {} CHECK ({key} = 'nobody')",
            thrown(fault)
        ));
    }
    if fault == Fault::Narrow {
        database.execute(match database.kind {
            Kind::Sqlite => "CREATE TABLE narrow (v TEXT CHECK (length(v) < 3))",
            _ => "CREATE TABLE narrow (v varchar(3))",
        });
    }
    if fault == Fault::Orphans {
        let statement = match database.kind {
            Kind::Postgres => {
                "CREATE TABLE tasks (id text PRIMARY KEY); \
                 ALTER TABLE dfire_transactions ADD CONSTRAINT audit FOREIGN KEY (contact_id) REFERENCES tasks \
                 DEFERRABLE INITIALLY DEFERRED NOT VALID"
            }
            // A column is all that can be added; its default is what each row has.
            _ => {
                "CREATE TABLE tasks (id TEXT PRIMARY KEY); \
                 PRAGMA foreign_keys = OFF; \
                 ALTER TABLE dfire_transactions ADD COLUMN audited TEXT DEFAULT 'none' REFERENCES tasks \
                 DEFERRABLE INITIALLY DEFERRED"
            }
        };
        return database.execute(statement);
    }
    let audit = match fault {
        Fault::Gone => "INSERT INTO audit_gone VALUES (NEW.id)",
        Fault::Narrow => "INSERT INTO narrow VALUES (NEW.id)",
        Fault::Late | Fault::Orphans => "RAISE EXCEPTION 'no' USING ERRCODE = '23514'",
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

fn mend_trigger(database: &Database, table: &str, fault: Fault) {
    database.execute(&match database.kind {
        Kind::SqlServer => format!(
            "ALTER TABLE dfire_{table} DROP CONSTRAINT {}",
            thrown(fault)
        ),
        Kind::Postgres if fault == Fault::Orphans => {
            "ALTER TABLE dfire_transactions DROP CONSTRAINT audit".to_owned()
        }
        _ if fault == Fault::Orphans => "INSERT INTO tasks VALUES ('none')".to_owned(),
        Kind::Postgres => format!("DROP TRIGGER audit ON dfire_{table}; DROP FUNCTION audit()"),
        _ => "DROP TRIGGER audit".to_owned(),
    });
}

/// What is said of a table that is closed, to all rows or to new ones.
const CLOSED: [&str; 2] = ["takes no rows now", "takes no new rows now"];

fn says_closed(text: &str) -> bool {
    CLOSED.iter().any(|words| text.contains(words))
}

fn is_closed(status: &serde_json::Value) -> bool {
    (status["last_error"]["message"].as_str()).is_some_and(says_closed)
}

/// How often a table was found to take no rows: not the rounds that failed for it.
fn found_closed(log: &str) -> usize {
    log.lines()
        .filter(|line| says_closed(line) && !line.contains("not complete"))
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
        .map(|(_, rows)| {
            // In SQL Server two of them share a row.
            let own = rows.keys().filter(|key| twin(kind, rows, key).is_none());
            own.cloned().collect()
        })
        .unwrap();
    wait_for(&mut running, "the other tables", || {
        let stored = database.dump(&format!("dfire_{other}"));
        wanted.iter().all(|key| stored.contains_key(key))
    });
    assert_no_checksum_of_what_is_missing(&sim, &database, table);
    let status = running.status().unwrap();
    assert_eq!(status["rejected"], 0, "{status}");
    let log = program.log();
    assert_eq!(found_closed(&log), 1, "{log}");
    let line = log.lines().find(|line| says_closed(line)).unwrap();
    assert!(line.contains(&format!("dfire_{table} ")), "{line}");
    // What stands for a trigger is none.
    assert!(
        fault == Fault::Orphans
            || kind == Kind::SqlServer
            || program.log().contains("it has the trigger audit"),
        "{}",
        program.log()
    );

    let log_before = program.log().len();
    mend_trigger(&database, table, fault);
    running.wait_until_copied();
    assert!(program.log()[log_before..].contains("takes rows again"));
    if (kind, fault) == (Kind::Sqlite, Fault::Orphans) {
        database.execute("ALTER TABLE dfire_transactions DROP COLUMN audited");
    }
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
    let is_missing =
        |key: &str| !stored.contains_key(key) && twin(database.kind, rows, key).is_none();
    for (key, row) in rows.iter().filter(|(key, _)| is_missing(key)) {
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
fn a_trigger_breaks_with_sql_server() {
    a_trigger_breaks(Kind::SqlServer, "transactions", Fault::Gone);
}

#[test]
fn a_trigger_fails_with_the_code_of_one_row_with_sql_server() {
    a_trigger_breaks(Kind::SqlServer, "recordings", Fault::Narrow);
}

#[test]
fn a_trigger_fails_late_with_the_code_of_one_row() {
    a_trigger_breaks(Kind::Postgres, "transactions", Fault::Late);
}

#[test]
fn a_constraint_refuses_all_rows_late() {
    a_trigger_breaks(Kind::Postgres, "transactions", Fault::Orphans);
    a_trigger_breaks(Kind::Sqlite, "transactions", Fault::Orphans);
}

/// Why a table can only be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fixed {
    /// A trigger refuses changes with this code.
    Trigger(&'static str),
    /// A trigger that changes fire uses a table that is gone.
    Broken,
    /// The privilege to change rows is missing.
    Privilege,
}

/// Who may do all but change rows of this table.
fn without_update<'a>(database: &'a Database, table: &str) -> OtherUser<'a> {
    let others = TABLES.iter().filter(|other| **other != table);
    OtherUser::of(database, |user| {
        let all = match database.kind {
            Kind::Postgres => "ALL TABLES IN SCHEMA public",
            _ => "*",
        };
        let mut grants = vec![format!("GRANT SELECT, INSERT, DELETE ON {all} TO {user}")];
        grants.extend(others.map(|table| format!("GRANT UPDATE ON dfire_{table} TO {user}")));
        grants
    })
}

fn fix_by_trigger(database: &Database, table: &str, code: &str) {
    let key = key_column(database.kind, table);
    database.execute(&match (database.kind, code) {
        (Kind::Postgres, "") => format!(
            "CREATE FUNCTION fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO audit_gone VALUES (NEW.{key}); RETURN NEW; END $$; \
             CREATE TRIGGER fixed AFTER UPDATE ON dfire_{table} FOR EACH ROW EXECUTE PROCEDURE fixed()"
        ),
        (Kind::Postgres, code) => format!(
            "CREATE FUNCTION fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'only added to' USING ERRCODE = '{code}'; END $$; \
             CREATE TRIGGER fixed BEFORE UPDATE ON dfire_{table} FOR EACH ROW EXECUTE PROCEDURE fixed()"
        ),
        (Kind::Mysql | Kind::Sqlite, "") => {
            let each = if database.kind == Kind::Mysql { "FOR EACH ROW" } else { "BEGIN" };
            let end = if database.kind == Kind::Mysql { "" } else { "; END" };
            format!(
                "CREATE TRIGGER fixed AFTER UPDATE ON dfire_{table} {each} INSERT INTO audit_gone VALUES (NEW.{key}){end}"
            )
        }
        (Kind::Mysql, code) => format!(
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_{table} FOR EACH ROW \
             SIGNAL SQLSTATE '{code}' SET MESSAGE_TEXT = 'only added to'"
        ),
        (Kind::Sqlite, code) => format!(
            "CREATE TRIGGER fixed BEFORE UPDATE ON dfire_{table} BEGIN SELECT RAISE({code}, 'only added to'); END"
        ),
        (Kind::SqlServer, code) => {
            let column = if table == "contacts" { "[$campaign_id]" } else { "contact_id" };
            format!(
                "ALTER TABLE dfire_{table} WITH NOCHECK ADD CONSTRAINT throw_{code}_update CHECK ({column} = 'nobody')"
            )
        }
    });
}

/// A table that can only be added to: new rows go in, the others stay, what differs is counted, and the program ends.
fn a_table_that_refuses_changes(kind: Kind, table: &str, fixed: Fixed) {
    let sim = campaign();
    let database = fresh_database(kind);
    let mut program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let name = format!("dfire_{table}");
    let truth = || sim.truth(&TruthFilter::default(), &Which::All);
    let of_table = |truth: &Truth| -> Rows {
        let mut tables = truth.tables().into_iter();
        tables.find(|(name, _)| *name == table).unwrap().1.clone()
    };
    let (before, earlier) = (database.dump(&name), of_table(&truth()));
    let user = (fixed == Fixed::Privilege).then(|| without_update(&database, table));
    match fixed {
        Fixed::Trigger(code) => fix_by_trigger(&database, table, code),
        Fixed::Broken => fix_by_trigger(&database, table, ""),
        Fixed::Privilege => {}
    }
    sim.advance(Duration::from_secs(6 * 3600));
    if let Some(user) = &user {
        program.set("--url", &user.url);
    }
    let ended = program.run("db_update");
    let wanted = of_table(&truth());
    let changed: Vec<&String> = (before.keys())
        .filter(|key| {
            wanted
                .get(*key)
                .is_some_and(|row| earlier.get(*key) != Some(row))
        })
        .collect();
    let log = program.log();
    if changed.is_empty() {
        assert_eq!(ended.code, Some(0), "{}\n{log}", ended.stdout);
    } else {
        assert_eq!(ended.code, Some(5), "{}\n{log}", ended.stdout);
        let counted = format!("{} changes of stored rows were refused", changed.len());
        assert!(
            ended.stdout.contains(&counted),
            "{counted}: {}",
            ended.stdout
        );
    }
    let stored = database.dump(&name);
    assert!(stored.len() > before.len(), "nothing was new");
    // In SQL Server two of them share a row.
    let has_own = |key: &str| twin(kind, &wanted, key).is_none();
    let missing = (wanted.keys()).find(|key| !stored.contains_key(*key) && has_own(key));
    assert_eq!(missing, None, "{kind:?}");
    for (key, row) in &before {
        assert_eq!(stored[key], *row, "{key}");
    }
    let said = format!("table {name} refuses changes of rows that it holds");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&said)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    if matches!(fixed, Fixed::Trigger(_) | Fixed::Broken) && kind != Kind::SqlServer {
        assert!(lines[0].contains("it has the trigger fixed"), "{lines:?}");
    }
    assert!(
        !says_closed(&log) && !log.contains("is refused and set aside"),
        "{log}"
    );
    assert_nothing_is_set_aside(&program);
    // A stored checksum means that all is there: the contacts whose rows stay have none, all others have theirs.
    let contacts = database.dump("dfire_contacts");
    let stay: Vec<String> = (changed.iter())
        .filter_map(|key| wanted[*key].get("contact_id").cloned().flatten())
        .collect();
    let truth = truth().contacts;
    let is_looked_at =
        |id: &str, row: &Row| row["$md5"].is_some() && twin(kind, &truth, id).is_none();
    for (id, row) in truth.iter().filter(|(id, row)| is_looked_at(id, row)) {
        let trusted = contacts[id]["$md5"] == row["$md5"];
        let expected = match table {
            "contacts" => !changed.contains(&id),
            _ => !stay.contains(id),
        };
        assert_eq!(trusted, expected, "{id}");
    }

    match (fixed, kind) {
        (Fixed::Privilege, _) => {}
        (_, Kind::Postgres) => database.execute("DROP FUNCTION fixed() CASCADE"),
        (Fixed::Trigger(code), Kind::SqlServer) => database.execute(&format!(
            "ALTER TABLE {name} DROP CONSTRAINT throw_{code}_update"
        )),
        _ => database.execute("DROP TRIGGER fixed"),
    }
    program.set("--url", &database.url);
    program.succeed("db_update");
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn a_table_that_refuses_changes_with_sqlite() {
    a_table_that_refuses_changes(Kind::Sqlite, "transactions", Fixed::Trigger("ABORT"));
    a_table_that_refuses_changes(Kind::Sqlite, "contacts", Fixed::Trigger("ROLLBACK"));
    a_table_that_refuses_changes(Kind::Sqlite, "transactions", Fixed::Broken);
}

#[test]
fn a_table_that_refuses_changes_with_postgresql() {
    a_table_that_refuses_changes(Kind::Postgres, "transactions", Fixed::Trigger("55000"));
    a_table_that_refuses_changes(Kind::Postgres, "contacts", Fixed::Trigger("23514"));
    a_table_that_refuses_changes(Kind::Postgres, "transactions", Fixed::Broken);
}

#[test]
fn a_table_that_refuses_changes_with_mariadb() {
    a_table_that_refuses_changes(Kind::Mysql, "transactions", Fixed::Trigger("45000"));
    a_table_that_refuses_changes(Kind::Mysql, "contacts", Fixed::Trigger("22001"));
    a_table_that_refuses_changes(Kind::Mysql, "transactions", Fixed::Broken);
}

#[test]
fn a_table_that_refuses_changes_with_sql_server() {
    a_table_that_refuses_changes(Kind::SqlServer, "transactions", Fixed::Trigger("50001"));
    a_table_that_refuses_changes(Kind::SqlServer, "contacts", Fixed::Trigger("229"));
}

/// From the very beginning, too: then nothing is changed.
fn the_privilege_to_change_rows_is_missing(kind: Kind) {
    a_table_that_refuses_changes(kind, "transactions", Fixed::Privilege);
    a_table_that_refuses_changes(kind, "contacts", Fixed::Privilege);
    let sim = campaign();
    let database = fresh_database(kind);
    Program::new(&sim, &database.url).succeed("db_init");
    for table in TABLES {
        database.execute(&format!("DELETE FROM dfire_{table}"));
    }
    let user = without_update(&database, "transactions");
    let program = Program::new(&sim, &user.url);
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn the_privilege_to_change_rows_is_missing_with_postgresql() {
    the_privilege_to_change_rows_is_missing(Kind::Postgres);
}

#[test]
fn the_privilege_to_change_rows_is_missing_with_mariadb() {
    the_privilege_to_change_rows_is_missing(Kind::Mysql);
}

/// A table that takes no new rows, such as one with a quota: those that it holds are changed, and the new ones wait.
fn a_table_that_refuses_new_rows(kind: Kind) {
    let sim = campaign();
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url).arg("--reconcile", "1s");
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    let before = database.dump("dfire_contacts");
    database.execute(match kind {
        Kind::Postgres => {
            "CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'no more' USING ERRCODE = '23514'; END $$; \
             CREATE TRIGGER full_up AFTER INSERT ON dfire_contacts FOR EACH ROW EXECUTE PROCEDURE full_up()"
        }
        Kind::Mysql => {
            "CREATE TRIGGER full_up AFTER INSERT ON dfire_contacts FOR EACH ROW \
             SIGNAL SQLSTATE '22003' SET MYSQL_ERRNO = 1264, MESSAGE_TEXT = 'no more'"
        }
        _ => {
            "CREATE TRIGGER full_up AFTER INSERT ON dfire_contacts BEGIN SELECT RAISE(ABORT, 'no more'); END"
        }
    });
    sim.advance(Duration::from_secs(6 * 3600));
    running.wait_until("the closed table", |status| {
        let message = status["last_error"]["message"].as_str();
        message.is_some_and(|message| message.contains("dfire_contacts takes no new rows now"))
    });
    let wanted = sim.truth(&TruthFilter::default(), &Which::All).contacts;
    let sum = |rows: &crate::support::database::Dump, id: &str| rows[id]["$md5"].clone();
    let changed: Vec<&String> = (before.keys())
        .filter(|id| {
            wanted
                .get(*id)
                .is_some_and(|row| row["$md5"] != sum(&before, id))
        })
        .collect();
    assert!(!changed.is_empty());
    wait_for(&mut running, "the changes", || {
        let stored = database.dump("dfire_contacts");
        assert!(stored.len() <= before.len());
        (changed.iter()).all(|id| sum(&stored, id) == wanted[*id]["$md5"])
    });
    assert_eq!(running.status().unwrap()["rejected"], 0);
    database.execute(match kind {
        Kind::Postgres => "DROP FUNCTION full_up() CASCADE",
        _ => "DROP TRIGGER full_up",
    });
    running.wait_until_copied();
    assert_equal(&sim, &TruthFilter::default(), &database);
    running.signal("TERM");
    running.wait(Duration::from_secs(5));
    assert_nothing_is_set_aside(&program);
}

#[test]
fn a_table_that_refuses_new_rows_with_sqlite() {
    a_table_that_refuses_new_rows(Kind::Sqlite);
}

#[test]
fn a_table_that_refuses_new_rows_with_postgresql() {
    a_table_that_refuses_new_rows(Kind::Postgres);
}

#[test]
fn a_table_that_refuses_new_rows_with_mariadb() {
    a_table_that_refuses_new_rows(Kind::Mysql);
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
    let line = log.lines().find(|line| says_closed(line)).unwrap();
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

/// An inbound call that stays as it is, as its table refuses changes, would stay each time it is read: it is not read again
/// and again, and does not keep later runs from being complete.
fn a_call_that_stays_is_not_read_for_ever(kind: Kind) {
    let sim = campaign();
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url).arg("--reconcile", "1s");
    program.succeed("db_init");
    let truth = sim
        .truth(&TruthFilter::default(), &Which::All)
        .inbound_calls;
    let started = |row: &Row| row.get("started").cloned().flatten();
    let (oldest, _) = truth.iter().min_by_key(|(_, row)| started(row)).unwrap();
    database.execute(&format!(
        "UPDATE dfire_inbound_calls SET remote_number = 'other' WHERE id = '{oldest}'"
    ));
    let code = match kind {
        Kind::Postgres => "P0001",
        Kind::Mysql => "45000",
        _ => "ABORT",
    };
    fix_by_trigger(&database, "inbound_calls", code);
    // The table is found to be closed with one call, and the rest of a batch is left out together.
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let refused = "1 changes of stored rows were refused by tables that refuse them all";
    assert!(ended.stdout.contains(refused), "{}", ended.stdout);
    for _ in 0..2 {
        sim.advance(Duration::from_secs(2));
        let running = program.start_with("db_sync", &["--once"]);
        let ended = running.wait(Duration::from_secs(60));
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    }
    let stored = database.dump("dfire_inbound_calls");
    assert_eq!(stored[oldest]["remote_number"], Some("other".to_owned()));
    assert!(truth.keys().all(|key| stored.contains_key(key)));
}

#[test]
fn a_call_that_stays_is_not_read_for_ever_with_sqlite() {
    a_call_that_stays_is_not_read_for_ever(Kind::Sqlite);
}

#[test]
fn a_call_that_stays_is_not_read_for_ever_with_postgresql() {
    a_call_that_stays_is_not_read_for_ever(Kind::Postgres);
}

#[test]
fn a_call_that_stays_is_not_read_for_ever_with_mariadb() {
    a_call_that_stays_is_not_read_for_ever(Kind::Mysql);
}
