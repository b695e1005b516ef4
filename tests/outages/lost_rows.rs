//! Databases that lost what they held: tables, files, everything since a backup.

use super::*;
use crate::support::servers::{PrivateServer, pooler, standby};

#[test]
fn a_lost_table_is_made_and_filled_again() {
    for kind in Kind::ALL {
        let sim = campaign(300);
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url).arg("--batch", "50");
        program.succeed("db_init");
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        for table in ["recordings", "contacts", "inbound_calls"] {
            database.execute(&format!("DROP TABLE dfire_{table}"));
            sim.advance(2 * HOUR);
            running.wait_rounds(3);
            assert_truth(&sim, &database);
        }
        end(running);
        // While it was not running, too.
        database.execute("DROP TABLE dfire_connections");
        program.succeed_once();
        assert_truth(&sim, &database);
    }
}

#[test]
fn a_database_dropped_and_made_again_is_filled_again() {
    for kind in Kind::SERVERS {
        let sim = campaign(300);
        let database = fresh_database(kind);
        let (_, name) = database.url.rsplit_once('/').unwrap();
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        let server = Database::of_server(kind);
        match kind {
            Kind::Postgres => server.execute(&format!("DROP DATABASE {name} WITH (FORCE)")),
            _ => server.execute(&format!("DROP DATABASE {name}")),
        }
        sim.advance(2 * HOUR);
        wait_for("trouble", || {
            running
                .status()
                .is_some_and(|status| !status["last_error"].is_null())
        });
        server.execute(&format!("CREATE DATABASE {name}"));
        running.wait_rounds(3);
        end(running);
        assert_truth(&sim, &database);
    }
}

#[test]
fn a_sqlite_file_moved_away_is_made_and_filled_again() {
    let sim = campaign(300);
    let database = fresh_database(Kind::Sqlite);
    let path = database.url.strip_prefix("sqlite:").unwrap();
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    for suffix in ["", "-wal", "-shm"] {
        fs::rename(format!("{path}{suffix}"), format!("{path}.away{suffix}")).unwrap();
    }
    sim.advance(2 * HOUR);
    running.wait_rounds(3);
    end(running);
    assert_truth(&sim, &database);
}

const TABLES: [&str; 5] = [
    "contacts",
    "transactions",
    "connections",
    "recordings",
    "inbound_calls",
];

fn back_up(database: &Database) {
    for table in TABLES {
        database.execute(&match database.kind {
            Kind::SqlServer => format!("SELECT * INTO backup_{table} FROM dfire_{table}"),
            _ => format!("CREATE TABLE backup_{table} AS SELECT * FROM dfire_{table}"),
        });
    }
}

/// Puts everything back as it was; columns that were added since stay, empty.
fn restore(database: &Database) {
    for table in TABLES {
        let backup = database.dump(&format!("backup_{table}"));
        let columns: Vec<String> = (backup.values().next().unwrap().keys())
            .map(|column| database.kind.quote(column))
            .collect();
        let columns = columns.join(", ");
        database.execute(&format!("DELETE FROM dfire_{table}"));
        database.execute(&format!(
            "INSERT INTO dfire_{table} ({columns}) SELECT {columns} FROM backup_{table}"
        ));
    }
}

/// A campaign of which nothing is deleted: what was deleted since the backup is nowhere any more.
fn undeleted(md5_covers: Md5Covers) -> Simulator {
    Simulator::start(Config {
        contacts: 200,
        daily_share: 2.0,
        long_texts: false,
        deleted_share: 0.0,
        readings: Readings {
            md5_covers,
            ..Readings::default()
        },
        ..Config::default()
    })
}

/// A db_sync that has followed for more than a day, and whose rounds now have nothing to write: halted, it holds no locks.
fn follow_for_a_day(sim: &Simulator, program: &Program) -> Running {
    let mut running = program.start("db_sync");
    for _ in 0..10 {
        sim.advance(3 * HOUR);
        running.wait_rounds(1);
    }
    running.wait_rounds(3);
    running
}

/// The worst reading: a checksum says nothing about calls, so that the events alone tell of them.
#[test]
fn a_database_restored_from_a_backup_is_filled_again() {
    for kind in Kind::ALL {
        let sim = undeleted(Md5Covers::ContactOnly);
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        back_up(&database);
        let running = follow_for_a_day(&sim, &program);
        end(running);
        assert_truth(&sim, &database);
        restore(&database);
        let mut running = program.start("db_sync");
        running.wait_rounds(3);
        end(running);
        assert_truth(&sim, &database);
        let log = program.log();
        assert_eq!(log.matches("restored from a backup").count(), 1, "{log}");
        // Once is enough.
        program.succeed_once();
        assert_eq!(program.log().matches("restored from a backup").count(), 1);
    }
}

/// As when a standby takes over that had not received everything.
#[test]
fn rows_lost_while_the_connection_was_broken_are_filled_in_again() {
    let sim = undeleted(Md5Covers::Everything);
    let database = fresh_database(Kind::Postgres);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    back_up(&database);
    let mut running = follow_for_a_day(&sim, &program);
    running.signal("STOP");
    restore(&database);
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    running.signal("CONT");
    sim.advance(HOUR);
    running.wait_rounds(3);
    end(running);
    assert_truth(&sim, &database);
}

/// What the log says when it notices a loss.
const NOTICED: &str = "everything is copied again";

/// As when a pooler is pointed to a standby that lacked them, or somebody restores in place: nothing but the rows tells.
#[test]
fn rows_lost_while_the_connection_held_are_filled_in_again() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::Mysql] {
        let sim = undeleted(Md5Covers::ContactOnly);
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        back_up(&database);
        let mut running = follow_for_a_day(&sim, &program);
        let losses: [&dyn Fn(); 3] = [
            &|| restore(&database),
            &|| database.execute("DELETE FROM dfire_connections"),
            // Once more, after everything was written anew.
            &|| restore(&database),
        ];
        for (number, lose) in losses.into_iter().enumerate() {
            let noticed = program.log().matches(NOTICED).count();
            let count = || TABLES.map(|table| database.dump(&format!("dfire_{table}")).len());
            let before = count();
            running.signal("STOP");
            lose();
            running.signal("CONT");
            assert_ne!(count(), before, "{kind:?}, loss {number}");
            println!("{kind:?}, loss {number}");
            // The next reconcile.
            sim.advance(HOUR);
            running.wait_until("the loss is noticed", |_| {
                program.log().matches(NOTICED).count() > noticed
            });
            running.wait_until_copied();
            assert_truth(&sim, &database);
        }
        end(running);
    }
}

/// A standby that receives nothing from now on, and does not know it.
fn cut_off(standby: &Database) {
    standby.execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'");
    standby.execute("SELECT pg_reload_conf()");
    wait_for("no more receiver", || {
        (standby.query("SELECT pid FROM pg_stat_wal_receiver")).is_empty()
    });
}

/// Waits until a standby has what its primary has.
fn wait_until_caught_up(primary: &Database, standby: &Database) {
    let at = primary.query("SELECT pg_current_wal_lsn()")[0][0]
        .clone()
        .unwrap();
    let caught_up = format!("SELECT pg_last_wal_replay_lsn() >= '{at}'");
    wait_for("the standby follows", || {
        standby.query(&caught_up)[0][0].as_deref() == Some("1")
    });
}

/// A standby takes over that lacks what was written within this time: the last minutes, one commit or a few, or many hours.
fn a_standby_that_lacks_commits_takes_over(
    missing: Duration,
    primary: &PrivateServer,
    url: &str,
    take_over: &dyn Fn(&PrivateServer),
    standby: &PrivateServer,
) {
    let sim = undeleted(Md5Covers::ContactOnly);
    let program = Program::new(&sim, url);
    program.succeed("db_init");
    let mut running = follow_for_a_day(&sim, &program);
    wait_until_caught_up(&primary.database(), &standby.database());
    cut_off(&standby.database());
    let count = |server: &PrivateServer| server.database().dump("dfire_transactions").len();
    let written = count(standby);
    for _ in 0..5 {
        sim.advance(missing / 5);
        running.wait_until_copied();
    }
    while count(primary) == written {
        sim.advance(MINUTE);
        running.wait_until_copied();
    }
    take_over(standby);
    assert_eq!(count(standby), written);
    for _ in 0..2 {
        sim.advance(HOUR);
        running.wait_until_copied();
    }
    end(running);
    assert_truth(&sim, &standby.database());
}

#[test]
fn a_standby_that_lacked_the_last_commits_takes_over() {
    for missing in [5 * MINUTE, 9 * HOUR] {
        let primary = private_server(Kind::Postgres);
        let standby = standby(&primary);
        let address = |server: &PrivateServer| format!("127.0.0.1:{}", server.port());
        let hosts = format!("{},{}", address(&primary), address(&standby));
        let url = primary.url.replace(&address(&primary), &hosts);
        let take_over = |standby: &PrivateServer| {
            primary.kill();
            standby.promote();
        };
        a_standby_that_lacks_commits_takes_over(missing, &primary, &url, &take_over, &standby);
    }
}

/// The connection to the pooler holds.
#[test]
fn a_pooler_is_pointed_to_a_standby_that_lacked_the_last_commits() {
    for missing in [5 * MINUTE, 9 * HOUR] {
        let primary = private_server(Kind::Postgres);
        let standby = standby(&primary);
        let pooler = pooler(primary.port());
        let take_over = |standby: &PrivateServer| {
            standby.promote();
            let settings = pooler.directory().join("pgbouncer/pgbouncer.ini");
            let text = fs::read_to_string(&settings).unwrap();
            let port = |server: &PrivateServer| format!("port={}\n", server.port());
            let changed = text.replace(&port(&primary), &port(standby));
            assert_ne!(changed, text);
            fs::write(&settings, changed).unwrap();
            let (server, _) = pooler.url.rsplit_once('/').unwrap();
            let console = format!("{server}/pgbouncer");
            Database::at(Kind::Postgres, console).execute("RELOAD");
        };
        a_standby_that_lacks_commits_takes_over(
            missing,
            &primary,
            &pooler.url,
            &take_over,
            &standby,
        );
    }
}
