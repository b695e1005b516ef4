//! Promise 11: success is said only of what is complete. What a mode has begun is owed until it is done, and whichever mode
//! runs next does it; what was lost is noticed by each campaign that shares the tables.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::compare::{assert_equal, assert_holds, truth_of};
use crate::support::database::{Database, fresh_database};
use crate::support::program::{Ended, Program, Running, tail};
use crate::support::servers::{Kind, private_server};
use crate::support::simulator::{
    Config, Endpoint, Fault, FilterMode, Md5Covers, Readings, Simulator, TruthFilter,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Before everything in the campaign's past.
const EARLY: &str = "2023-01-01";

fn campaign(name: &str, seed: u64) -> Simulator {
    Simulator::start(Config {
        seed,
        campaign: name.to_owned(),
        contacts: 120,
        daily_share: 0.5,
        deleted_share: 0.0,
        long_texts: false,
        added_fields: Vec::new(),
        new_key_after: None,
        ..Config::default()
    })
}

fn program(sim: &Simulator, database: &Database) -> Program {
    Program::new(sim, &database.url)
        .arg("--batch", "10")
        .arg("--w", "2")
}

/// Kills it when so many documents were fetched since it was started.
fn kill_after(sim: &Simulator, mut running: Running, documents: u64) {
    let begin = Instant::now();
    while sim.counters().documents < documents && !running.has_ended() {
        assert!(begin.elapsed() < 2 * MINUTE, "too few are fetched");
        std::thread::sleep(Duration::from_micros(200));
    }
    running.kill();
}

fn killed(sim: &Simulator, program: &Program, mode: &str, flags: &[&str]) {
    sim.reset_counters();
    kill_after(sim, program.start_with(mode, flags), 40);
}

/// Some rounds of db_sync.
fn follow(program: &Program) {
    let mut running = program.start("db_sync");
    running.wait_until_copied();
    running.signal("TERM");
    assert_eq!(running.wait(MINUTE).code, Some(0));
}

fn complete(program: &Program, mode: &str) {
    match mode {
        "db_sync" => follow(program),
        "once" => program.succeed_once(),
        _ => drop(program.succeed(mode)),
    }
}

fn last_line(ended: &Ended) -> &str {
    ended.stdout.lines().last().unwrap_or_default()
}

#[test]
fn whichever_mode_runs_next_completes_a_copy_that_was_killed() {
    let early = ["--s", EARLY];
    let firsts: [(&str, &[&str]); 4] = [
        ("db_init", &[]),
        ("db_update", &early),
        ("db_sync", &early),
        ("db_sync", &["--once", "--s", EARLY]),
    ];
    for (number, (first, flags)) in firsts.into_iter().enumerate() {
        for (other, next) in ["db_sync", "once", "db_update", "db_init"]
            .into_iter()
            .enumerate()
        {
            let kind = if other == 0 {
                Kind::ALL[number]
            } else {
                Kind::Sqlite
            };
            println!("{kind:?}: {first} {flags:?}, then {next}");
            let (sim, database) = (campaign("A", 1), fresh_database(kind));
            let program = program(&sim, &database);
            killed(&sim, &program, first, flags);
            assert!(database.dump("dfire_contacts").len() < 120);
            sim.advance(3 * DAY);
            complete(&program, next);
            // What changed since the kill is read by db_sync alone.
            if !next.starts_with("db_sync") {
                follow(&program);
            }
            assert_equal(&sim, &TruthFilter::default(), &database);
        }
    }
}

/// Kills and failures after a complete copy, and a db_update that covers less than what is owed.
#[test]
fn what_is_owed_outlives_other_modes() {
    let (sim, database) = (campaign("A", 2), fresh_database(Kind::Sqlite));
    let mut program = program(&sim, &database);
    program.succeed("db_init");
    follow(&program);
    // Another filter: what is stored does not count any more, and the copy under it is killed twice.
    program.set("--fm", "updates_only");
    for _ in 0..2 {
        killed(&sim, &program, "db_init", &[]);
    }
    sim.outage(true);
    assert_ne!(program.run("db_init").code, Some(0));
    sim.outage(false);
    sim.advance(2 * HOUR);
    program.succeed("db_update");
    follow(&program);
    let filter = TruthFilter {
        mode: FilterMode::UpdatesOnly,
        ..TruthFilter::default()
    };
    let truth = truth_of(&sim, &filter, &database);
    // Rows that the filter leaves out by now stay as they were.
    let stored = database.dump("dfire_transactions");
    for (key, row) in &truth.transactions {
        assert!(stored.contains_key(key), "{key}: {row:?}");
    }
    // And back, without any mode that lists everything by itself.
    program.set("--fm", "");
    let program = program.without("--fm");
    follow(&program);
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn what_happens_after_a_first_start_is_not_missed_when_its_first_round_is_killed() {
    let (sim, database) = (campaign("A", 3), fresh_database(Kind::Sqlite));
    let program = program(&sim, &database);
    let start = sim.now();
    sim.fail_next(Some(Endpoint::Events), Fault::Delay(60_000), 1);
    let mut running = program.start("db_sync");
    running.wait_until("it has begun", |_| true);
    let begin = Instant::now();
    while sim.faults_waiting() > 0 {
        assert!(begin.elapsed() < MINUTE);
        std::thread::sleep(Duration::from_millis(2));
    }
    running.kill();
    sim.advance(3 * DAY);
    follow(&program);
    let stored = database.dump("dfire_contacts");
    let truth = sim.truth(
        &TruthFilter::default(),
        &crate::support::simulator::Which::All,
    );
    let changed: Vec<&String> = (truth.contacts.keys())
        .filter(|id| sim.last_change_of(id).is_some_and(|at| at > start))
        .collect();
    assert!(changed.len() > 20);
    for id in changed {
        assert!(stored.contains_key(id), "{id}");
    }
}

/// What the checksums don't cover is read from the events, however many other modes ran in between.
#[test]
fn no_mode_moves_the_checkpoint_over_events_that_it_did_not_read() {
    for mode in ["db_init", "db_update"] {
        let sim = Simulator::start(Config {
            readings: Readings {
                md5_covers: Md5Covers::ContactOnly,
                ..Readings::default()
            },
            late_share: 1.0,
            ..campaign("A", 4).config().clone()
        });
        let database = fresh_database(Kind::Sqlite);
        let program = program(&sim, &database);
        program.succeed("db_init");
        let mut running = program.start("db_sync");
        for _ in 0..4 {
            sim.advance(15 * MINUTE);
            running.wait_rounds(1);
        }
        running.signal("TERM");
        running.wait(MINUTE);
        sim.advance(3 * DAY);
        program.succeed(mode);
        sim.advance(HOUR);
        follow(&program);
        // Calls of the last minutes are completed later, and a look back reads them.
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

#[test]
fn each_campaign_notices_that_tables_which_it_shares_were_lost() {
    for kind in Kind::ALL {
        let losses = [
            ("dropped", "DROP TABLE dfire_transactions"),
            (
                "renamed",
                match kind {
                    Kind::SqlServer => "EXEC sp_rename 'dfire_recordings', 'recordings_2024'",
                    _ => "ALTER TABLE dfire_recordings RENAME TO recordings_2024",
                },
            ),
            ("emptied", "DELETE FROM dfire_connections"),
            (
                "a column",
                "ALTER TABLE dfire_transactions DROP COLUMN task",
            ),
        ];
        for (what, statement) in losses {
            println!("{kind:?}: {what}");
            let (a, b) = (campaign("A", 5), campaign("B", 6));
            let database = fresh_database(kind);
            let (first, second) = (program(&a, &database), program(&b, &database));
            first.succeed("db_init");
            second.succeed("db_init");
            // One of them runs on, and has rows to write before its next reconcile.
            let mut running = (what == "dropped").then(|| second.start("db_sync"));
            if let Some(running) = &mut running {
                running.wait_rounds(1);
            }
            database.execute(statement);
            follow(&first);
            for sim in [&a, &b] {
                sim.advance(20 * MINUTE);
            }
            match running {
                Some(mut running) => {
                    running.wait_until_copied();
                    b.advance(HOUR);
                    running.wait_rounds(4);
                    running.signal("TERM");
                    running.wait(MINUTE);
                }
                None => follow(&second),
            }
            follow(&first);
            let mut truth = truth_of(&a, &TruthFilter::default(), &database);
            truth.extend(truth_of(&b, &TruthFilter::default(), &database));
            assert_holds(&truth, &database, "dfire_");
        }
    }
}

/// The last column of a table, with its type.
fn last_column(database: &Database, table: &str) -> (String, &'static str) {
    let last = |schema: &str| {
        format!(
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' AND table_schema = {schema} \
             ORDER BY ordinal_position DESC LIMIT 1"
        )
    };
    let (sql, text) = match database.kind {
        Kind::Sqlite => (
            format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid DESC LIMIT 1"),
            "TEXT",
        ),
        Kind::Postgres => (last("current_schema()"), "TEXT"),
        Kind::Mysql => (last("DATABASE()"), "LONGTEXT"),
        Kind::SqlServer => (
            format!(
                "SELECT TOP 1 COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = N'{table}' \
                 ORDER BY ORDINAL_POSITION DESC"
            ),
            "nvarchar(max)",
        ),
    };
    let name = database.query(&sql).remove(0).remove(0).unwrap();
    (name, text)
}

/// A column that is dropped and made again stands where it stood if it was the last: its place tells nothing.
#[test]
fn the_last_column_that_was_dropped_and_made_again_is_filled_again() {
    for kind in Kind::ALL {
        for table in ["dfire_contacts", "dfire_transactions"] {
            for by_hand in [true, false] {
                println!("{kind:?} {table}, by hand: {by_hand}");
                let (a, b) = (campaign("A", 5), campaign("B", 6));
                let database = fresh_database(kind);
                let (first, second) = (program(&a, &database), program(&b, &database));
                first.succeed("db_init");
                second.succeed("db_init");
                let (column, text) = last_column(&database, table);
                println!("{column}");
                let quoted = kind.quote(&column);
                let filled = format!("SELECT count({quoted}) FROM {table}");
                assert_ne!(
                    database.query(&filled),
                    [[Some("0".to_owned())]],
                    "{column}"
                );
                database.execute(&format!("ALTER TABLE {table} DROP COLUMN {quoted}"));
                if by_hand {
                    let add = match kind {
                        Kind::SqlServer => "ADD",
                        _ => "ADD COLUMN",
                    };
                    database.execute(&format!("ALTER TABLE {table} {add} {quoted} {text}"));
                }
                // Neither takes the rows of the other for written in the future.
                for (sim, program, time) in [(&b, &second, MINUTE), (&a, &first, HOUR)] {
                    sim.advance(time);
                    program.succeed_once();
                }
                let mut truth = truth_of(&a, &TruthFilter::default(), &database);
                truth.extend(truth_of(&b, &TruthFilter::default(), &database));
                assert_holds(&truth, &database, "dfire_");
                // Once is enough.
                let log = first.log();
                first.succeed_once();
                let told = "have lost their values";
                assert_eq!(log.matches(told).count(), first.log().matches(told).count());
            }
        }
    }
}

#[test]
fn a_table_that_another_state_directory_made_again_is_filled_again() {
    let (sim, database) = (campaign("A", 7), fresh_database(Kind::Sqlite));
    let first = program(&sim, &database);
    let other = program(&sim, &database);
    first.succeed("db_init");
    database.execute("DROP TABLE dfire_transactions");
    follow(&other);
    follow(&first);
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn what_was_written_without_a_column_is_written_again_when_there_is_one() {
    let (sim, database) = (campaign("A", 8), fresh_database(Kind::Sqlite));
    let program = program(&sim, &database);
    database.execute(
        "CREATE TABLE dfire_contacts (\"$id\" TEXT PRIMARY KEY, \"$md5\" TEXT, \"$changed\" TEXT, \
         \"$comment\" TEXT GENERATED ALWAYS AS ('x') VIRTUAL)",
    );
    database.execute(
        "CREATE TABLE dfire_transactions (id TEXT PRIMARY KEY, task TEXT GENERATED ALWAYS AS ('x') VIRTUAL)",
    );
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let line = last_line(&ended);
    assert!(
        line.starts_with("db_init incomplete: ")
            && line.contains("2 columns are not stored, as they can't be added (contacts.$comment, transactions.task)"),
        "{line}"
    );
    for (table, column) in [("contacts", "$comment"), ("transactions", "task")] {
        database.execute(&format!(
            "ALTER TABLE dfire_{table} DROP COLUMN \"{column}\""
        ));
        follow(&program);
    }
    assert_equal(&sim, &TruthFilter::default(), &database);
    // Once each is enough.
    follow(&program);
    assert_eq!(program.log().matches("can be stored by now").count(), 2);
}

#[test]
fn a_closing_line_says_what_was_done_and_what_is_missing() {
    let (sim, database) = (campaign("A", 9), fresh_database(Kind::Sqlite));
    let program = program(&sim, &database);
    let first = program.start("db_sync");
    let mut first = first;
    first.wait_rounds(1);
    first.signal("TERM");
    let ended = first.wait(MINUTE);
    assert_eq!(ended.code, Some(0));
    assert!(
        ended
            .stdout
            .contains("warning: first start: only changes from now on are copied")
    );

    let other = self::program(&sim, &database);
    let ended = other.succeed("db_init");
    let counts = sim
        .truth(
            &TruthFilter::default(),
            &crate::support::simulator::Which::All,
        )
        .counts();
    assert!(
        last_line(&ended).starts_with(&format!(
            "db_init complete: {} contacts, {} transactions, {} connections, ",
            counts[0], counts[1], counts[2]
        )),
        "{}",
        ended.stdout
    );
    let third = self::program(&sim, &database);
    let ended = third.succeed("db_init");
    assert!(
        ended
            .stdout
            .contains("first start: the table dfire_contacts holds 120 contacts already"),
        "{}",
        ended.stdout
    );
    // A refused row.
    database.execute(
        "CREATE TRIGGER no BEFORE INSERT ON dfire_contacts WHEN NEW.\"$id\" = (SELECT min(\"$id\") FROM dfire_contacts) \
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let fourth = self::program(&sim, &database);
    let ended = fourth.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    assert!(
        last_line(&ended).contains("1 rows were refused by the database"),
        "{}",
        ended.stdout
    );
    let ended = fourth.start_with("db_sync", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    assert!(
        last_line(&ended).starts_with("db_sync incomplete: "),
        "{}",
        ended.stdout
    );
    database.execute("DROP TRIGGER no");
    sim.advance(2 * HOUR);
    let ended = fourth.start_with("db_sync", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(
        last_line(&ended).starts_with("db_sync complete: "),
        "{}",
        ended.stdout
    );
    assert_equal(&sim, &TruthFilter::default(), &database);
}

/// The checkpoint of a campaign in the state directory.
fn checkpoint_of(program: &Program) -> std::path::PathBuf {
    (fs::read_dir(program.directory().join("state")).unwrap())
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with(".json"))
        .unwrap()
}

#[test]
fn an_unfinished_first_copy_of_the_version_before_is_completed() {
    for next in ["once", "db_update"] {
        let (sim, database) = (campaign("A", 11), fresh_database(Kind::Sqlite));
        let program = program(&sim, &database);
        killed(&sim, &program, "db_init", &[]);
        let path = checkpoint_of(&program);
        let noted: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let left = serde_json::json!({
            "poll": null,
            "since": null,
            "shape": noted["shape"],
            "trusted_after": noted["trusted_after"],
            "retry": [],
        });
        assert!(left["trusted_after"].is_string(), "{noted}");
        fs::write(&path, left.to_string()).unwrap();
        complete(&program, next);
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

#[test]
fn a_copy_whose_checkpoint_cannot_be_saved_is_no_success() {
    let (sim, database) = (campaign("A", 12), fresh_database(Kind::Sqlite));
    let program = program(&sim, &database);
    sim.fail_next(Some(Endpoint::Contacts), Fault::Delay(3_000), 1);
    let running = program.start("db_init");
    let begin = Instant::now();
    while sim.faults_waiting() > 0 {
        assert!(begin.elapsed() < MINUTE);
        std::thread::sleep(Duration::from_millis(2));
    }
    let path = checkpoint_of(&program);
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("not")).unwrap();
    let ended = running.wait(MINUTE);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert_eq!(database.dump("dfire_contacts").len(), 120);
    let text = fs::read_to_string(program.directory().join("status.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(told["last_success"].is_null(), "{told}");
    let message = told["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("cannot save the checkpoint"), "{message}");
}

#[test]
fn a_signal_and_a_failure_end_with_a_line_and_are_in_the_status_file() {
    let (sim, database) = (campaign("A", 10), fresh_database(Kind::Sqlite));
    let program = program(&sim, &database);
    let status = |program: &Program| -> serde_json::Value {
        let text = fs::read_to_string(program.directory().join("status.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    sim.fail_next(Some(Endpoint::Contacts), Fault::Delay(60_000), 3);
    let running = program.start("db_init");
    let begin = Instant::now();
    while sim.faults_waiting() > 1 {
        assert!(begin.elapsed() < MINUTE);
        std::thread::sleep(Duration::from_millis(2));
    }
    running.signal("INT");
    let ended = running.wait(Duration::from_secs(5));
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let line = last_line(&ended);
    assert!(
        line.starts_with("db_init incomplete: ") && line.contains("stopped by a signal"),
        "{line}"
    );
    sim.set_faults(crate::support::simulator::Faults::none());
    program.succeed_once();
    let good = status(&program)["last_success"].clone();
    assert!(good.is_string());
    sim.outage(true);
    let ended = program.start_with("db_sync", &["--once"]).wait(2 * MINUTE);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let told = status(&program);
    assert_eq!(
        (&told["mode"], &told["last_success"]),
        (&"db_sync".into(), &good)
    );
    let message = told["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("cannot reach Dialfire"), "{message}");
}

/// A database that can't be reached while nothing changes. Only a round in which it answered is a success; `named` is what
/// the status says of it.
fn goes_away_in_a_quiet_campaign(
    database: &Database,
    url: &str,
    named: &str,
    away: &dyn Fn(),
    back: &dyn Fn(),
) {
    println!("{:?}: {named}", database.kind);
    let sim = campaign("A", 11);
    let program = Program::new(&sim, url);
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(3);
    assert!(running.status().unwrap()["last_error"].is_null());
    away();
    let first = running.wait_until("an error", |status| !status["last_error"].is_null());
    let attempts = || program.log().matches("trying again in").count();
    let so_far = attempts();
    let status = running.wait_until("further attempts", |_| attempts() > so_far + 6);
    for unchanged in ["last_success", "rounds"] {
        assert_eq!(status[unchanged], first[unchanged], "{status}");
    }
    let message = status["last_error"]["message"].as_str().unwrap();
    assert!(message.contains(named), "{message}");
    back();
    sim.advance(HOUR);
    running.wait_until("a success", |now| {
        now["last_success"] != status["last_success"]
    });
    running.wait_until_copied();
    running.signal("TERM");
    assert_eq!(
        running.wait(MINUTE).code,
        Some(0),
        "{}",
        tail(&program.log())
    );
    assert_equal(&sim, &TruthFilter::default(), database);
}

#[test]
fn a_database_that_is_away_in_a_quiet_campaign_shows_in_the_status() {
    let database = fresh_database(Kind::Sqlite);
    let path = database.url.strip_prefix("sqlite:").unwrap();
    let files = ["", "-wal", "-shm"].map(|suffix| format!("{path}{suffix}"));
    let away = || {
        for file in &files {
            let _ = fs::rename(file, format!("{file}.away"));
        }
        fs::create_dir(path).unwrap();
    };
    let back = || {
        fs::remove_dir(path).unwrap();
        for file in &files {
            let _ = fs::rename(format!("{file}.away"), file);
        }
    };
    goes_away_in_a_quiet_campaign(&database, &database.url, path, &away, &back);
}

#[test]
fn a_server_that_is_stopped_in_a_quiet_campaign_shows_in_the_status() {
    for kind in Kind::SERVERS {
        let server = private_server(kind);
        let address = format!("127.0.0.1:{}", server.port());
        goes_away_in_a_quiet_campaign(
            &server.database(),
            &server.url,
            &address,
            &|| server.stop(),
            &|| server.start(),
        );
    }
}

/// Its sessions end as well, as an admin does who suspects somebody; those that are open would go on for days.
#[test]
fn a_password_that_is_changed_in_a_quiet_campaign_shows_in_the_status() {
    for kind in Kind::SERVERS {
        let database = fresh_database(kind);
        let server = Database::of_server(kind);
        let (place, name) = database.url.rsplit_once('/').unwrap();
        let (scheme, place) = (
            place.split_once("://").unwrap().0,
            place.rsplit_once('@').unwrap().1,
        );
        let user = format!("quiet_{name}");
        let url = format!("{scheme}://{user}:first@{place}/{name}");
        let (make, set, end, refusal) = match kind {
            Kind::Postgres => (
                format!(
                    "CREATE ROLE {user} LOGIN PASSWORD 'first'; ALTER DATABASE {name} OWNER TO {user}"
                ),
                format!("ALTER ROLE {user} PASSWORD"),
                format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'"
                ),
                "password",
            ),
            _ => (
                format!(
                    "CREATE USER {user}@'%' IDENTIFIED BY 'first'; GRANT ALL ON {name}.* TO {user}@'%'"
                ),
                format!("ALTER USER {user}@'%' IDENTIFIED BY"),
                format!("KILL CONNECTION USER {user}@'%'"),
                "password rejected",
            ),
        };
        server.execute(&make);
        let away = || {
            server.execute(&format!("{set} 'second'"));
            server.execute(&end);
        };
        let back = || server.execute(&format!("{set} 'first'"));
        goes_away_in_a_quiet_campaign(&database, &url, refusal, &away, &back);
        drop(database);
        server.execute(&match kind {
            Kind::Postgres => format!("DROP ROLE {user}"),
            _ => format!("DROP USER {user}@'%'"),
        });
    }
}

/// A server that ends sessions which nobody uses is nothing to report.
#[test]
fn a_connection_lost_while_it_was_idle_is_opened_again_without_a_word() {
    let (sim, database) = (campaign("A", 12), fresh_database(Kind::Postgres));
    let name = database.url.rsplit_once('/').unwrap().1;
    database.execute(&format!(
        "ALTER DATABASE {name} SET idle_session_timeout = '100ms'"
    ));
    let program = program(&sim, &database).arg("--interval", "400ms");
    program.run("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    let before = program.log().len();
    running.wait_rounds(4);
    let log = program.log()[before..].to_owned();
    assert!(!log.contains("ERROR"), "{log}");
    running.signal("TERM");
    running.wait(MINUTE);
}
