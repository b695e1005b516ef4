//! Tables that are only added to, as the role may not change rows: what stays is written once the role may.

use super::*;
use crate::support::simulator::{Md5Covers, Readings};

/// What comes late changes no checksum, and the contact can't be marked: it is remembered all the same.
fn what_stays_is_written_when_it_can_be(kind: Kind) {
    let sim = Simulator::start(Config {
        contacts: 150,
        readings: Readings {
            md5_covers: Md5Covers::ContactOnly,
            ..Readings::default()
        },
        daily_share: 0.2,
        late_share: 1.0,
        new_per_day: 0.0,
        deleted_share: 0.0,
        added_fields: Vec::new(),
        new_key_after: None,
        ..Config::default()
    });
    let database = fresh_database(kind);
    let mut program = Program::new(&sim, &database.url).arg("--reconcile", "1s");
    program.succeed("db_init");
    let user = OtherUser::of(&database, |user| {
        let all = match kind {
            Kind::Postgres => "ALL TABLES IN SCHEMA public",
            _ => "*",
        };
        // Calls that stay are not read again by themselves.
        vec![
            format!("GRANT SELECT, INSERT, DELETE ON {all} TO {user}"),
            format!("GRANT UPDATE ON dfire_inbound_calls TO {user}"),
        ]
    });
    program.set("--url", &user.url);
    let mut running = program.start("db_sync");
    // Longer than events are looked at again.
    for _ in 0..12 {
        sim.advance(Duration::from_secs(6 * 3600));
        running.wait_until_copied();
    }
    running.signal("TERM");
    running.wait(Duration::from_secs(5));
    for table in TABLES {
        database.execute(&format!("GRANT UPDATE ON dfire_{table} TO {}", user.name));
    }
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    sim.advance(Duration::from_secs(3600));
    running.wait_until_copied();
    running.signal("TERM");
    running.wait(Duration::from_secs(5));
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn what_stays_is_written_when_it_can_be_with_postgresql() {
    what_stays_is_written_when_it_can_be(Kind::Postgres);
}

#[test]
fn what_stays_is_written_when_it_can_be_with_mariadb() {
    what_stays_is_written_when_it_can_be(Kind::Mysql);
}

/// Each row that stays is counted once, however often the batch that it is in is split for others.
#[test]
fn rows_that_stay_are_counted_once() {
    let sim = still(120);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let refused: Vec<String> = (truth.contacts.keys().step_by(20))
        .map(|key| format!("'{key}'"))
        .collect();
    let condition = format!("NEW.\"$id\" IN ({})", refused.join(", "));
    database.execute(&trigger_fails_where(
        Kind::Sqlite,
        "refused",
        "INSERT",
        &condition,
    ));
    database.execute(
        "UPDATE dfire_transactions SET task = 'stale'; UPDATE dfire_contacts SET \"$md5\" = NULL; \
         CREATE TRIGGER fixed BEFORE UPDATE ON dfire_transactions BEGIN SELECT RAISE(ABORT, 'only added to'); END",
    );
    let ended = program.run("db_init");
    let stay = truth.transactions.len();
    let counted = format!("; {stay} changes of stored rows were refused");
    assert!(
        ended.stdout.contains(&counted),
        "{counted}: {}",
        ended.stdout
    );
    assert_eq!(rejected_rows(&program).len(), refused.len());
}
