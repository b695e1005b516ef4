//! What somebody meets who sets it up for the first time: wrong input gets a sentence that says what to do.

mod refusals;
mod spellings;

use std::time::{Duration, Instant};

use crate::support::compare::assert_equal;
use crate::support::database::{Database, fresh_database};
use crate::support::program::{Ended, Program};
use crate::support::servers::Kind;
use crate::support::simulator::{
    AddedField, Config, Endpoint, Fault, Faults, Simulator, TruthFilter,
};

fn campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 60,
        long_texts: false,
        ..Config::default()
    })
}

/// Ends with this code and a message that holds these words; no panic, no hint of the token.
fn assert_ends(program: &Program, mode: &str, code: i32, words: &[&str]) -> Ended {
    let begin = Instant::now();
    let ended = program.run(mode);
    let said = format!("{}{}{}", ended.stdout, ended.stderr, program.log());
    assert_eq!(ended.code, Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!said.contains("internal error"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(30));
    ended
}

#[test]
fn a_wrong_token_or_campaign_ends_the_start() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    for mode in ["db_init", "db_sync", "check"] {
        let program = Program::new(&sim, &database.url).variable("DBSYNC_CT", "wrong-token");
        assert_ends(&program, mode, 3, &["403", "token"]);
        let program = Program::new(&sim, &database.url).arg("--c", "WRNG2345WXYZ6789");
        assert_ends(&program, mode, 3, &["403", "WRNG2345WXYZ6789"]);
    }
}

#[test]
fn a_wrong_api_address_ends_the_start() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    for address in ["http://127.0.0.1:9", "http://nowhere.invalid"] {
        let program = Program::new(&sim, &database.url).arg("--api-url", address);
        assert_ends(&program, "db_sync", 1, &[address, "--api-url"]);
    }
    let program = Program::new(&sim, &database.url).arg("--api-url", "ftp://127.0.0.1");
    assert_ends(&program, "db_sync", 2, &["--api-url"]);
    // Something else listens there.
    sim.set_faults(Faults::at_rate(1.0, &[Fault::Html]));
    let program = Program::new(&sim, &database.url);
    assert_ends(&program, "db_sync", 1, &["web page", "--api-url"]);
}

/// The address of the shared server with another part in place of one of its own.
fn instead(kind: Kind, old: &str, new: &str) -> String {
    let url = Database::of_server(kind).url.clone();
    assert!(url.contains(old), "{old}");
    url.replace(old, new)
}

#[test]
fn a_wrong_database_address_ends_the_start() {
    let sim = campaign();
    let mut wrong: Vec<(String, i32, Vec<&str>)> = vec![
        ("oracle://a:b@127.0.0.1/x".to_owned(), 2, vec!["mysql://"]),
        ("".to_owned(), 2, vec!["--url"]),
        (
            "sqlite:/nowhere/at/all.db".to_owned(),
            1,
            vec!["/nowhere/at", "does not exist"],
        ),
        ("sqlite:/tmp".to_owned(), 1, vec!["it is a directory"]),
    ];
    for kind in Kind::SERVERS {
        let url = Database::of_server(kind).url.clone();
        let (_, address) = url.rsplit_once('@').unwrap();
        let (host, name) = address.split_once('/').unwrap();
        wrong.push((
            instead(kind, host, "127.0.0.1:9"),
            1,
            vec!["127.0.0.1:9", "refused"],
        ));
        wrong.push((
            instead(kind, host, "db.invalid:5000"),
            1,
            vec!["db.invalid:5000"],
        ));
        wrong.push((
            instead(kind, "p%40ss", "secret"),
            1,
            vec!["rejected (check --url)"],
        ));
        wrong.push((
            instead(kind, &format!("/{name}"), "/missing"),
            1,
            vec!["missing", "check --url"],
        ));
    }
    for (url, code, words) in wrong {
        let program = Program::new(&sim, &url);
        let ended = assert_ends(&program, "db_init", code, &words);
        assert!(!ended.stdout.contains("secret%3A"), "{}", ended.stdout);
    }
}

/// Users of one test, dropped with it.
struct Reader {
    kind: Kind,
    name: String,
    url: String,
}

impl Reader {
    fn new(database: &Database) -> Reader {
        let kind = database.kind;
        let (_, at) = database.url.rsplit_once('/').unwrap();
        let name = format!("reader_{at}");
        let (_, address) = database.url.rsplit_once('@').unwrap();
        let server = Database::of_server(kind);
        let scheme = if kind == Kind::Postgres {
            server.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'only'"));
            database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
            "postgres"
        } else {
            server.execute(&format!(
                "CREATE USER {name}@'%' IDENTIFIED BY 'only'; GRANT SELECT ON {at}.* TO {name}@'%'"
            ));
            "mysql"
        };
        let url = format!("{scheme}://{name}:only@{address}");
        Reader { kind, name, url }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let server = Database::of_server(self.kind);
        server.execute(&match self.kind {
            Kind::Postgres => format!("DROP ROLE {}", self.name),
            _ => format!("DROP USER {}@'%'", self.name),
        });
    }
}

#[test]
fn a_missing_privilege_is_named_with_the_statement_that_grants_it() {
    let sim = campaign();
    for kind in Kind::SERVERS {
        let database = fresh_database(kind);
        let reader = Reader::new(&database);
        let program = Program::new(&sim, &reader.url);
        assert_ends(&program, "db_init", 1, &["GRANT", "CREATE"]);
        assert_ends(&program, "check", 1, &["WRONG", "GRANT"]);
        assert_eq!(tables(&database), 0);

        Program::new(&sim, &database.url).succeed("db_init");
        if kind == Kind::Postgres {
            database.execute(&format!(
                "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
                reader.name
            ));
        }
        assert_ends(&program, "db_sync", 1, &["GRANT", "dfire_"]);
        if kind == Kind::Postgres {
            database.execute(&format!("DROP OWNED BY {}", reader.name));
        }
    }
}

/// Number of our tables.
fn tables(database: &Database) -> usize {
    let sql = match database.kind {
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE name LIKE 'dfire%'",
        Kind::Postgres => "SELECT tablename FROM pg_tables WHERE tablename LIKE 'dfire%'",
        Kind::Mysql => "SHOW TABLES LIKE 'dfire%'",
        Kind::SqlServer => "SELECT name FROM sys.tables WHERE name LIKE 'dfire%'",
    };
    database.query(sql).len()
}

#[test]
fn without_a_log_directory_it_goes_on_with_standard_output() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).arg("--log-dir", "/proc/nowhere");
    let ended = program.succeed("db_init");
    for words in ["cannot write a log file", "--log-dir", "contacts fetched"] {
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
    }
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn without_a_state_directory_it_does_not_start() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).arg("--state-dir", "/proc/nowhere");
    assert_ends(
        &program,
        "db_sync",
        1,
        &["cannot keep state", "/proc/nowhere", "--state-dir"],
    );
    assert_ends(
        &program,
        "check",
        1,
        &["WRONG", "/proc/nowhere", "--state-dir"],
    );
}

/// Everything below a directory, with sizes.
fn files(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

#[test]
fn check_prints_a_table_and_changes_nothing() {
    let sim = campaign();
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        let ended = program.succeed("check");
        for words in [
            "ok ",
            "token accepted",
            "lock  ",
            "free: no other process copies this campaign into this target",
            "state directory",
            "status file  ",
            "status.json can be written",
            "log directory",
        ] {
            assert!(ended.stdout.contains(words), "{}", ended.stdout);
        }
        assert!(!ended.stdout.contains("WRONG"), "{}", ended.stdout);
        let last = ended.stdout.lines().last().unwrap();
        assert!(last.starts_with("check complete: "), "{last}");
        assert_eq!(tables(&database), 0);
        assert!(!program.directory().join("state").exists());
        assert!(!program.directory().join("status.json").exists());

        let wrong = Program::new(&sim, &database.url).arg("--api-url", "http://127.0.0.1:9");
        let ended = assert_ends(&wrong, "check", 1, &["WRONG"]);
        assert!(ended.stdout.contains("state directory"), "{}", ended.stdout);
        let last = ended.stdout.lines().last().unwrap();
        assert!(last.starts_with("check incomplete: "), "{last}");
        assert!(last.contains(" of them failed"), "{last}");

        program.succeed("db_init");
        let before = files(&program.directory().join("state"));
        program.succeed("check");
        assert_eq!(files(&program.directory().join("state")), before);
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
}

#[test]
fn a_second_instance_is_refused_and_names_the_first() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    let pid = format!("process {}", running.pid());
    assert_ends(&program, "db_sync", 4, &[&pid]);
    assert_ends(&program, "db_init", 4, &[&pid]);
    // check only looks, and the first one goes on.
    let looked = program.run_beside("check");
    let held = format!("{pid} is copying this campaign into this target; a second one would");
    assert_eq!(looked.code, Some(0), "{looked:?}");
    assert!(looked.stdout.contains(&held), "{looked:?}");
    running.wait_rounds(1);
    assert!(!running.has_ended());
}

#[test]
fn two_targets_share_a_state_directory_side_by_side() {
    let sim = Simulator::start(Config {
        contacts: 100,
        daily_share: 2.0,
        ..Config::default()
    });
    let (one, other) = (fresh_database(Kind::Sqlite), fresh_database(Kind::Sqlite));
    let first = Program::new(&sim, &one.url);
    let state = first.directory().join("state").display().to_string();
    let second = Program::new(&sim, &other.url).arg("--state-dir", &state);
    first.succeed("db_init");
    let mut running = first.start("db_sync");
    running.wait_rounds(1);
    // It knows nothing of the first one's checkpoint.
    second.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &other);
    let mut also_running = second.start("db_sync");
    sim.advance(Duration::from_secs(3600));
    // One may be under way, one learns what time it is, and one compares the list.
    running.wait_rounds(3);
    also_running.wait_rounds(3);
    for database in [&one, &other] {
        assert_equal(&sim, &TruthFilter::default(), database);
    }
}

#[test]
fn field_names_that_break_sql_are_columns_like_others() {
    let names = [
        "order",
        "Zählerstand Nr",
        "a\"b",
        "a`b",
        "a]b",
        "x'); DROP TABLE y;--",
        "back\\slash",
        "percent %s $1 ? :x",
        " blank before and after ",
    ];
    for kind in Kind::ALL {
        let sim = Simulator::start(Config {
            contacts: 100,
            custom_fields: 30,
            daily_share: 2.0,
            added_fields: names
                .iter()
                .map(|name| AddedField::new(0, name, "text"))
                .collect(),
            ..Config::default()
        });
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
        sim.advance(Duration::from_secs(12 * 3600));
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
        program.succeed("check");
    }
}

#[test]
fn once_makes_one_round() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    sim.advance(Duration::from_secs(600));
    sim.reset_counters();
    program.succeed_once();
    let counters = sim.counters();
    assert_eq!(
        (counters.of(Endpoint::Events), counters.of(Endpoint::List)),
        (1, 0)
    );
    // With trouble it ends with an error, as the next start comes by itself.
    sim.outage(true);
    let ended = program
        .start_with("db_sync", &["--once"])
        .wait(Duration::from_secs(30));
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let program = Program::new(&sim, &database.url).flag("--once");
    assert_ends(&program, "db_init", 2, &["--once"]);
}
