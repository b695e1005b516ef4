//! A table that takes rows of some values only: what it refuses is set aside, all else is stored, from the first row on.

use super::*;

/// What keeps keys from `middle` on out of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Check,
    /// There is no partition for them.
    Partition,
    /// A policy of row-level security, whatever the owner.
    Policy,
}

/// An empty table that takes transactions with keys before `middle` only.
fn make_table(database: &Database, limit: Limit, middle: &str) {
    let exact = match database.kind {
        Kind::Mysql => " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        Kind::Postgres => " COLLATE \"C\"",
        _ => "",
    };
    let text = match database.kind {
        Kind::SqlServer => "nvarchar(100)",
        _ => "varchar(100)",
    };
    let table = format!("CREATE TABLE dfire_transactions (id {text}{exact} NOT NULL PRIMARY KEY");
    database.execute(&match (limit, database.kind) {
        (Limit::Check, Kind::SqlServer) => format!(
            "{table}); ALTER TABLE dfire_transactions WITH NOCHECK ADD CONSTRAINT first_half CHECK (id < '{middle}')"
        ),
        (Limit::Check, _) => format!("{table}, CONSTRAINT first_half CHECK (id < '{middle}'))"),
        (Limit::Partition, Kind::Postgres) => format!(
            "{table}) PARTITION BY RANGE (id); CREATE TABLE first_half PARTITION OF dfire_transactions \
             FOR VALUES FROM (MINVALUE) TO ('{middle}')"
        ),
        (Limit::Partition, _) => format!(
            "{table}) PARTITION BY RANGE COLUMNS (id) (PARTITION first_half VALUES LESS THAN ('{middle}'))"
        ),
        (Limit::Policy, _) => format!(
            "{table}); ALTER TABLE dfire_transactions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; \
             CREATE POLICY all_of_them ON dfire_transactions USING (true) WITH CHECK (id < '{middle}')"
        ),
    });
}

fn take_all(database: &Database, limit: Limit) {
    database.execute(match (limit, database.kind) {
        (Limit::Check, Kind::Mysql | Kind::Postgres | Kind::SqlServer) => {
            "ALTER TABLE dfire_transactions DROP CONSTRAINT first_half"
        }
        (Limit::Partition, Kind::Postgres) => {
            "CREATE TABLE second_half PARTITION OF dfire_transactions DEFAULT"
        }
        (Limit::Partition, _) => {
            "ALTER TABLE dfire_transactions ADD PARTITION (PARTITION rest VALUES LESS THAN (MAXVALUE))"
        }
        (Limit::Policy, _) => "ALTER POLICY all_of_them ON dfire_transactions WITH CHECK (true)",
        (Limit::Check, Kind::Sqlite) => {
            "PRAGMA writable_schema = ON; \
             UPDATE sqlite_schema SET sql = replace(sql, 'id < ', 'true OR id < ') WHERE name = 'dfire_transactions'; \
             PRAGMA writable_schema = RESET"
        }
    });
}

fn some_values_are_refused(kind: Kind, limit: Limit, says: &str) {
    let sim = still(120);
    let database = fresh_database(kind);
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let middle = truth.transactions.keys().nth(truth.transactions.len() / 2);
    let middle = middle.unwrap();
    make_table(&database, limit, middle);
    // Row-level security is not for superusers.
    let user = (limit == Limit::Policy).then(|| {
        OtherUser::of(&database, |user| {
            vec![
                format!("GRANT CREATE ON SCHEMA public TO {user}"),
                format!("ALTER TABLE dfire_transactions OWNER TO {user}"),
            ]
        })
    });
    let url = user.as_ref().map_or(&database.url, |user| &user.url);
    let program = Program::new(&sim, url).arg("--batch", "20");
    let ended = program.run("db_init");
    let log = program.log();
    assert_eq!(ended.code, Some(5), "{}\n{log}", ended.stdout);
    assert!(!log.contains("takes no"), "{log}");
    let refused: Vec<&String> = (truth.transactions.keys())
        .filter(|key| *key >= middle)
        .collect();
    let mut rejected: Vec<String> = (rejected_rows(&program).iter())
        .map(|line| line["key"].as_str().unwrap().to_owned())
        .collect();
    rejected.sort_unstable();
    assert!(rejected.iter().eq(refused), "{log}");
    let said = log
        .lines()
        .find(|line| line.contains("is refused"))
        .unwrap();
    assert!(said.contains(says), "{said}");
    let mut wanted = truth.clone();
    wanted.transactions.retain(|key, _| key < middle);
    for row in truth.transactions.iter().filter(|(key, _)| *key >= middle) {
        let contact = row.1["contact_id"].clone().unwrap();
        let contact = wanted.contacts.get_mut(&contact).unwrap();
        contact.insert("$md5".to_owned(), None);
    }
    assert_holds(&wanted, &database, "dfire_");

    take_all(&database, limit);
    program.succeed("db_update");
    assert_holds(&truth, &database, "dfire_");
}

#[test]
fn some_values_are_refused_by_sqlite() {
    some_values_are_refused(
        Kind::Sqlite,
        Limit::Check,
        "CHECK constraint failed: first_half",
    );
}

#[test]
fn some_values_are_refused_by_postgresql() {
    for (limit, says) in [
        (Limit::Check, "constraint \"first_half\" (23514)"),
        (Limit::Partition, "the table has no partition for the row"),
        (Limit::Policy, "a policy of row-level security refuses it"),
    ] {
        some_values_are_refused(Kind::Postgres, limit, says);
    }
}

#[test]
fn some_values_are_refused_by_mariadb() {
    some_values_are_refused(Kind::Mysql, Limit::Check, "first_half");
    let says = "the table has no partition for the row (error 1526)";
    some_values_are_refused(Kind::Mysql, Limit::Partition, says);
}

#[test]
fn some_values_are_refused_by_sql_server() {
    some_values_are_refused(Kind::SqlServer, Limit::Check, "first_half");
}

/// The table is shared with a campaign that is protected from changes: what it refuses of one contact of ours says nothing
/// of the others.
fn one_change_beside_protected_rows(kind: Kind, batch: &str) {
    let sim = still(120);
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url).arg("--batch", batch);
    program.succeed("db_init");
    let (id, campaign) = (kind.quote("$id"), kind.quote("$campaign_id"));
    database.execute(match kind {
        Kind::Postgres => "TRUNCATE dfire_contacts",
        _ => "DELETE FROM dfire_contacts",
    });
    // More than are tried, and the first that are found.
    for number in 10..60 {
        database.execute(&format!(
            "INSERT INTO dfire_contacts ({id}, {campaign}) VALUES ('!{number}', 'archived')"
        ));
    }
    program.succeed("db_init");
    let ours = |mut rows: crate::support::database::Dump| {
        rows.retain(|key, _| !key.starts_with('!'));
        rows
    };
    let before = database.dump("dfire_contacts");
    assert_eq!(before.len(), ours(before.clone()).len() + 50);
    let (old, reference) = (format!("OLD.{campaign} = 'archived'"), kind.quote("$ref"));
    database.execute(&trigger_fails_where(kind, "archived", "UPDATE", &old));
    // All of ours are to change.
    database.execute(&format!(
        "UPDATE dfire_contacts SET {} = NULL, {reference} = 'stale' WHERE {campaign} <> 'archived'",
        kind.quote("$md5")
    ));
    let truth = sim.truth(&TruthFilter::default(), &Which::All).contacts;
    let victim = truth.keys().nth(truth.len() / 3).unwrap();
    refuse(&database, "contacts", victim);

    let ended = program.run("db_init");
    let log = program.log();
    assert_eq!(ended.code, Some(5), "{}\n{log}", ended.stdout);
    assert!(!log.contains("refuses changes"), "{log}");
    let rejected = rejected_rows(&program);
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0]["key"], **victim);
    let after = database.dump("dfire_contacts");
    for (key, row) in &truth {
        let stored = &after[key];
        if key == victim {
            assert_eq!(stored["$ref"], Some("stale".to_owned()));
        } else {
            assert_eq!(stored["$md5"], row["$md5"], "{key}");
            assert_eq!(stored["$ref"], row["$ref"], "{key}");
        }
    }
    for (key, row) in before.iter().filter(|(key, _)| key.starts_with('!')) {
        assert_eq!(after[key], *row);
    }
}

#[test]
fn one_change_beside_protected_rows_with_sqlite() {
    one_change_beside_protected_rows(Kind::Sqlite, "500");
    one_change_beside_protected_rows(Kind::Sqlite, "1");
}

#[test]
fn one_change_beside_protected_rows_with_postgresql() {
    one_change_beside_protected_rows(Kind::Postgres, "500");
    one_change_beside_protected_rows(Kind::Postgres, "1");
}

#[test]
fn one_change_beside_protected_rows_with_mariadb() {
    one_change_beside_protected_rows(Kind::Mysql, "500");
    one_change_beside_protected_rows(Kind::Mysql, "1");
}
