//! Unique indexes that an admin added: a clash is a refused row, and no other row is touched.

use super::*;

/// Two contacts with the same `$ref`, and two that swap theirs.
fn a_unique_value(kind: Kind) {
    let sim = Simulator::start(Config {
        contacts: 60,
        daily_share: 0.0,
        new_per_day: 0.0,
        deleted_share: 0.0,
        oddities: false,
        added_fields: Vec::new(),
        ..Config::default()
    });
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
