//! Promise 9: secrets and contact values stay where they belong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Fault, Faults, Simulator, TruthFilter, Which};

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn assert_in_no_file(directory: &Path, secrets: &[&str]) {
    let files = files(directory);
    assert!(files.len() >= 5, "{files:?}");
    for path in files {
        // The database's own files hold the contacts; they lie elsewhere.
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for secret in secrets {
            assert!(
                !text.contains(secret),
                "{} holds {secret:?}: {:?}",
                path.display(),
                text.lines().find(|line| line.contains(secret))
            );
        }
    }
}

/// Values of contacts, transactions and calls that occur nowhere else: no ids, no short words.
fn values(sim: &Simulator) -> Vec<String> {
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let mut values = Vec::new();
    for row in truth.contacts.values() {
        for (name, value) in row {
            let own = matches!(name.as_str(), "$phone" | "$comment" | "$caller_id" | "$ref")
                || !name.starts_with('$');
            if let Some(value) = value.as_ref().filter(|_| own) {
                values.push(value.clone());
            }
        }
    }
    for row in truth
        .connections
        .values()
        .chain(truth.inbound_calls.values())
    {
        for name in [
            "phone",
            "remote_number",
            "line_number",
            "transfer_target_address",
        ] {
            values.extend(row.get(name).cloned().flatten());
        }
    }
    for row in truth.recordings.values() {
        values.extend(row.get("location").cloned().flatten());
    }
    values.retain(|value| {
        value.chars().count() >= 9
            && value.chars().any(|c| c.is_ascii_digit() || !c.is_ascii())
            && !value.starts_with("20")
            && !value.contains('\n')
    });
    values.sort();
    values.dedup();
    values.truncate(3000);
    assert!(values.len() > 300, "{}", values.len());
    values
}

/// Errors of every sort, at the highest log level.
fn trouble(kind: Kind) -> (Simulator, Database, Program) {
    let sim = Simulator::start(Config {
        contacts: 150,
        daily_share: 2.0,
        ..Config::default()
    });
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url)
        .arg("--l", "5")
        .flag("--v");
    sim.set_faults(Faults::at_rate(0.3, &Fault::QUICK));
    program.succeed("db_init");
    // Rows that the database refuses, with a message that quotes them where it can.
    database.execute(match kind {
        Kind::Postgres => {
            "ALTER TABLE dfire_connections ADD CONSTRAINT no_number CHECK (phone NOT LIKE '%3%') NOT VALID"
        }
        Kind::Mysql => {
            "CREATE TRIGGER no_number BEFORE INSERT ON dfire_connections FOR EACH ROW IF NEW.phone LIKE '%3%' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = NEW.phone; END IF"
        }
        Kind::SqlServer => {
            "ALTER TABLE dfire_connections WITH NOCHECK ADD CONSTRAINT no_number CHECK (phone NOT LIKE '%3%')"
        }
        Kind::Sqlite => {
            "CREATE TRIGGER no_number BEFORE INSERT ON dfire_connections WHEN NEW.phone LIKE '%3%' BEGIN SELECT RAISE(ABORT, 'no'); END"
        }
    });
    sim.advance(Duration::from_secs(12 * 3600));
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    running.wait_until("refused rows", |status| {
        status["rejected"].as_u64() > Some(0)
    });
    sim.deny(true);
    running.wait_until("failed rounds", |status| {
        status["failed_rounds"].as_u64() > Some(0)
    });
    sim.deny(false);
    running.wait_rounds(1);
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
    sim.set_faults(Faults::none());
    (sim, database, program)
}

fn nothing_leaks(kind: Kind) {
    let (sim, _database, program) = trouble(kind);
    let log = program.log();
    assert!(log.contains("DEBUG") && log.contains("WARN") && log.contains("ERROR"));
    let mut secrets = vec![sim.token()];
    if kind != Kind::Sqlite {
        secrets.extend(["p@ss:w/rd?#%", "p%40ss%3Aw%2Frd%3F%23%25", "p%40ss"]);
    }
    assert_in_no_file(program.directory(), &secrets);
    let values = values(&sim);
    for line in log.lines() {
        for value in &values {
            assert!(!line.contains(value.as_str()), "{value:?} in: {line}");
        }
    }
    for path in files(program.directory()) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let name = path.display().to_string();
        // Logs, checkpoints and refused rows are for their owner alone.
        if name.contains("/log/") || name.contains("/state/") {
            assert_eq!(mode, 0o600, "{name}");
        }
    }
}

#[test]
fn nothing_leaks_with_sqlite() {
    nothing_leaks(Kind::Sqlite);
}

#[test]
fn nothing_leaks_with_postgresql() {
    nothing_leaks(Kind::Postgres);
}

#[test]
fn nothing_leaks_with_sql_server() {
    nothing_leaks(Kind::SqlServer);
}

#[test]
fn nothing_leaks_with_mariadb() {
    nothing_leaks(Kind::Mysql);
}

#[test]
fn a_wrong_token_or_password_is_not_repeated() {
    let sim = Simulator::start(Config::default());
    for kind in Kind::SERVERS {
        let url = Database::of_server(kind)
            .url
            .replace("p%40ss", "geheim-Kennwort");
        let program = Program::new(&sim, &url)
            .arg("--l", "5")
            .flag("--v")
            .without("DBSYNC_CT")
            .arg("--ct", sim.token());
        assert_eq!(program.run("db_init").code, Some(1));
        assert_eq!(program.run("check").code, Some(1));
        assert_in_no_file(program.directory(), &["geheim", sim.token()]);
        // Not even where the address or the token itself is what is wrong.
        let program = Program::new(&sim, "postgres://u:geheim-Kennwort@127.0.0.1:port/x");
        let ended = program.run("db_init");
        assert_eq!(ended.code, Some(2));
        assert!(!ended.stderr.contains("geheim"), "{}", ended.stderr);
        let program = Program::new(&sim, &url).variable("DBSYNC_CT", "geheim token");
        let ended = program.run("db_init");
        assert_eq!(ended.code, Some(2));
        assert!(!ended.stderr.contains("geheim"), "{}", ended.stderr);
    }
}
