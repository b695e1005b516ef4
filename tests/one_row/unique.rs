//! Unique indexes that an admin added: a clash is a refused row, and no other row is touched.

use super::*;

/// Two contacts with the same `$ref`, and two that swap theirs.
fn a_unique_value(kind: Kind) {
    let sim = still(60);
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let of = |id: &String| truth.contacts[id]["$ref"].clone();
    let ids: Vec<String> = (truth.contacts.keys())
        .filter(|id| of(id).is_some())
        .cloned()
        .collect();
    let [clashing, thief, one, other] = [&ids[1], &ids[9], &ids[17], &ids[25]];
    let quoted = |name: &str| kind.quote(name);
    let set = |id: &str, value: &str| {
        database.execute(&format!(
            "UPDATE dfire_contacts SET {} = '{value}', {} = NULL WHERE {} = '{id}'",
            quoted("$ref"),
            quoted("$md5"),
            quoted("$id")
        ));
    };
    // All have values of their own, but that one of them has what the next version of another one brings, and two have
    // each other's.
    for (number, id) in truth.contacts.keys().enumerate() {
        set(id, &format!("own {number}"));
    }
    set(thief, &of(clashing).unwrap());
    set(one, &of(other).unwrap());
    set(other, &of(one).unwrap());
    database.execute(&match kind {
        Kind::Mysql => {
            "ALTER TABLE dfire_contacts ADD UNIQUE INDEX ref_once (`$ref`(40))".to_owned()
        }
        _ => format!(
            "CREATE UNIQUE INDEX ref_once ON dfire_contacts ({})",
            quoted("$ref")
        ),
    });
    // The thief's own next version is refused, so that it keeps what it has.
    refuse(&database, "contacts", thief);
    let before = database.dump("dfire_contacts");
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let after = database.dump("dfire_contacts");
    assert!(after.keys().eq(truth.contacts.keys()), "{kind:?}");
    assert_eq!(after[thief], before[thief], "{kind:?}");
    let rejected = rejected_rows(&program);
    for id in truth.contacts.keys() {
        let aside = rejected.iter().any(|line| line["key"] == **id);
        // It is set aside and stays as it was, or it is as it has to be.
        if aside {
            assert_eq!(after[id], before[id], "{kind:?} {id}");
        } else {
            assert_eq!(after[id]["$ref"], of(id), "{kind:?} {id}");
            assert_eq!(
                after[id]["$md5"], truth.contacts[id]["$md5"],
                "{kind:?} {id}"
            );
        }
    }
    for id in [thief, clashing] {
        assert!(rejected.iter().any(|line| line["key"] == **id), "{kind:?}");
    }
    let only = [thief, clashing, one, other];
    assert!(
        rejected
            .iter()
            .all(|line| only.iter().any(|id| line["key"] == ***id)),
        "{rejected:?}"
    );
}

#[test]
fn a_unique_value_with_sqlite() {
    a_unique_value(Kind::Sqlite);
}

#[test]
fn a_unique_value_with_postgresql() {
    a_unique_value(Kind::Postgres);
}

#[test]
fn a_unique_value_with_mariadb() {
    a_unique_value(Kind::Mysql);
}

/// What keeps a value unique, besides a unique index of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Trigger,
    /// An exclusion constraint of PostgreSQL.
    Exclusion,
    /// A unique index of a partition: the server names the partition.
    Partition,
}

/// One new contact has a value that is there and has to be unique: copies of stored rows are refused for the same reason, but
/// the table takes rows.
fn a_value_is_kept_unique(kind: Kind, guard: Guard) {
    let sim = still(60);
    let database = fresh_database(kind);
    if guard == Guard::Partition {
        database.execute(
            "CREATE TABLE dfire_contacts (\"$id\" varchar(100) COLLATE \"C\" NOT NULL PRIMARY KEY) \
             PARTITION BY HASH (\"$id\"); \
             CREATE TABLE all_of_them PARTITION OF dfire_contacts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        );
    }
    let program = Program::new(&sim, &database.url).arg("--reconcile", "1s");
    program.succeed("db_init");
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let (id, reference) = (kind.quote("$id"), kind.quote("$ref"));
    let newcomers = || {
        let with_value = |(_, row): &(&String, &Row)| row["$ref"].is_some();
        (truth.contacts.iter()).filter(with_value).step_by(5)
    };
    let ((clashing, row), (free, _)) = (newcomers().next().unwrap(), newcomers().nth(1).unwrap());
    for (number, key) in truth.contacts.keys().enumerate() {
        database.execute(&format!(
            "UPDATE dfire_contacts SET {reference} = 'own {number}' WHERE {id} = '{key}'"
        ));
    }
    let thief = truth
        .contacts
        .keys()
        .find(|key| ![clashing, free].contains(key));
    let (thief, value) = (thief.unwrap(), row["$ref"].as_ref().unwrap());
    database.execute(&format!(
        "UPDATE dfire_contacts SET {reference} = '{value}' WHERE {id} = '{thief}'"
    ));
    database.execute(&format!(
        "DELETE FROM dfire_contacts WHERE {id} = '{clashing}'"
    ));
    let clash = format!(
        "EXISTS (SELECT 1 FROM dfire_contacts AS d WHERE d.{reference} = NEW.{reference} AND d.{id} <> NEW.{id})"
    );
    database.execute(&match kind {
        Kind::Postgres if guard == Guard::Exclusion => format!(
            "ALTER TABLE dfire_contacts ADD CONSTRAINT once EXCLUDE USING hash ({reference} WITH =)"
        ),
        Kind::Postgres if guard == Guard::Partition => {
            format!("CREATE UNIQUE INDEX once ON all_of_them ({reference})")
        }
        _ => trigger_fails_where(kind, "once", "INSERT", &clash),
    });
    let before = database.dump("dfire_contacts");
    let mut running = program.start("db_init");
    running.wait_until("the end or a closed table", |status| {
        status["rejected"] == 1
            || (status["last_error"]["message"].as_str())
                .is_some_and(|why| why.contains("takes no"))
    });
    assert!(!program.log().contains("takes no"), "{}", program.log());
    let ended = running.wait(Duration::from_secs(60));
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let rejected = rejected_rows(&program);
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0]["key"], **clashing);
    assert_eq!(rejected[0]["row"]["$ref"], **value);
    assert_eq!(database.dump("dfire_contacts"), before);

    // The table is open to others.
    database.execute(&format!("DELETE FROM dfire_contacts WHERE {id} = '{free}'"));
    let running = program.start("db_init");
    assert_eq!(running.wait(Duration::from_secs(60)).code, Some(5));
    let stored = database.dump("dfire_contacts");
    assert_eq!(stored.len(), before.len());
    assert_eq!(stored[free]["$ref"], truth.contacts[free]["$ref"]);
    assert_eq!(stored[free]["$md5"], truth.contacts[free]["$md5"]);
}

#[test]
fn a_trigger_keeps_a_value_unique_with_sqlite() {
    a_value_is_kept_unique(Kind::Sqlite, Guard::Trigger);
}

#[test]
fn a_trigger_keeps_a_value_unique_with_postgresql() {
    a_value_is_kept_unique(Kind::Postgres, Guard::Trigger);
}

#[test]
fn a_trigger_keeps_a_value_unique_with_mariadb() {
    a_value_is_kept_unique(Kind::Mysql, Guard::Trigger);
}

#[test]
fn an_exclusion_constraint_keeps_a_value_unique() {
    a_value_is_kept_unique(Kind::Postgres, Guard::Exclusion);
}

#[test]
fn a_partition_keeps_a_value_unique() {
    a_value_is_kept_unique(Kind::Postgres, Guard::Partition);
}
