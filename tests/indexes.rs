//! Indexes are made at the end of a first copy, and whoever comes next makes up for one that was interrupted.

use std::time::{Duration, Instant};

use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Simulator};

const ALL: [&str; 9] = [
    "dfire_connections.contact_id",
    "dfire_connections.fired",
    "dfire_connections.transaction_id",
    "dfire_inbound_calls.contact_id",
    "dfire_inbound_calls.started",
    "dfire_recordings.connection_id",
    "dfire_recordings.contact_id",
    "dfire_transactions.contact_id",
    "dfire_transactions.fired",
];

/// The columns that an index begins with, apart from the tables' keys.
fn indexed(database: &Database) -> Vec<String> {
    let sql = match database.kind {
        Kind::Sqlite => {
            "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_index_list(m.name) i, pragma_index_info(i.name) c \
             WHERE m.type = 'table' AND c.seqno = 0"
        }
        Kind::Postgres => {
            "SELECT c.relname || '.' || a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
             WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid"
        }
        Kind::Mysql => {
            "SELECT concat(TABLE_NAME, '.', COLUMN_NAME) FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = DATABASE() AND SEQ_IN_INDEX = 1"
        }
        Kind::SqlServer => {
            "SELECT t.name + N'.' + c.name FROM sys.tables AS t \
             INNER JOIN sys.index_columns AS k ON k.object_id = t.object_id \
             INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id \
             WHERE k.key_ordinal = 1"
        }
    };
    let rows = database.query(sql).into_iter().flatten().flatten();
    let is_key = |name: &String| name.ends_with(".id") || name.ends_with(".$id");
    let mut columns: Vec<String> = rows.filter(|name| !is_key(name)).collect();
    columns.sort_unstable();
    columns
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{what}: not seen"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills a first copy while it writes: no index is there yet. Then runs `next` to its end.
fn after_an_interrupted_copy(kind: Kind, next: impl Fn(&Program)) {
    let sim = Simulator::start(Config {
        contacts: 3000,
        ..Config::default()
    });
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url).arg("--batch", "20");
    let mut running = program.start("db_init");
    until("documents", || sim.counters().documents > 500);
    running.kill();
    assert!(sim.counters().documents < 3000, "killed too late");
    assert_eq!(indexed(&database), [""; 0], "{kind:?}");
    next(&program);
    assert_eq!(indexed(&database), ALL, "{kind:?}");
}

#[test]
fn a_copy_that_was_interrupted_is_completed_with_its_indexes() {
    for kind in Kind::ALL {
        after_an_interrupted_copy(kind, |program| {
            program.succeed("db_init");
        });
    }
}

#[test]
fn following_changes_begins_with_the_indexes_that_a_copy_left_out() {
    for kind in Kind::ALL {
        after_an_interrupted_copy(kind, Program::succeed_once);
    }
}
