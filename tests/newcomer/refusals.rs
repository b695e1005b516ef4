//! What is refused before anything is touched, and where messages go.

use std::path::Path;

use super::{assert_ends, campaign, files};
use crate::support::compare::assert_equal;
use crate::support::database::fresh_database;
use crate::support::program::{Ended, Program};
use crate::support::servers::Kind;
use crate::support::simulator::TruthFilter;

/// What a program has left in its directory, except what the test itself keeps of its output.
fn left(directory: &Path) -> Vec<String> {
    let own = ["stdout", "stderr", "token"].map(|name| directory.join(name));
    files(directory)
        .into_iter()
        .filter(|path| !own.iter().any(|own| Path::new(path) == own))
        .collect()
}

/// Ends with code 2 and this message, on standard error alone; nothing was touched.
fn assert_refused(program: &Program, mode: &str, message: &str) {
    let ended = program.run(mode);
    assert_eq!(ended.code, Some(2), "{mode}: {ended:?}");
    assert_eq!(ended.stdout, "", "{mode}");
    assert_eq!(ended.stderr, format!("dbsync2: {message}\n"), "{mode}");
    assert_eq!(left(program.directory()), [""; 0], "{mode}");
}

#[test]
fn an_address_that_cannot_be_is_refused_before_anything_is_touched() {
    let sim = campaign();
    for scheme in ["postgres", "mysql", "sqlserver"] {
        let form = format!("expected {scheme}://user:password@host:port/database");
        for (rest, problem) in [
            ("u:hush@h", format!("no database name: {form}")),
            ("u:hush@h:1/", format!("no database name: {form}")),
            ("h:1/db", format!("no user name: {form}")),
            (":hush@h/db", format!("no user name: {form}")),
            (
                "u:hush@h:99999/db",
                "the port must be a number from 1 to 65535".to_owned(),
            ),
            (
                "u:hush@h:0/db",
                "the port must be a number from 1 to 65535".to_owned(),
            ),
            (
                "u:hush@/db",
                format!(
                    "no valid host name: {form} (write an IPv6 address in brackets, and in the password %40 for @, %2F for /)"
                ),
            ),
        ] {
            let url = format!("{scheme}://{rest}");
            for mode in ["db_init", "db_update", "db_sync", "check"] {
                assert_refused(
                    &Program::new(&sim, &url),
                    mode,
                    &format!("database address (--url): {problem}"),
                );
            }
        }
    }
    let web = "the address of the web service is not valid: expected https://host:port/path with a port from 1 to 65535 \
               (check --url)";
    for url in ["https://u:hush@:1/", "https://h:99999/", "http://h:0/in"] {
        for mode in ["webhook", "replay", "check"] {
            let program = Program::new(&sim, url);
            let ended = program.run(mode);
            assert_eq!(ended.code, Some(2), "{url} {mode}: {ended:?}");
            assert_eq!(ended.stderr, format!("dbsync2: {web}\n"));
            assert_eq!(left(program.directory()), [""; 0], "{url} {mode}");
        }
    }
}

#[test]
fn every_other_slip_is_refused_before_anything_is_touched_as_well() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let new = || Program::new(&sim, &database.url);
    let api = sim.url();
    assert_refused(
        &new().arg("--api-url", "http://127.0.0.1:99999"),
        "db_sync",
        "--api-url \"http://127.0.0.1:99999\": an address such as https://api.dialfire.com is expected, without user, ? and #",
    );
    assert_refused(
        &new().variable("HTTP_PROXY", "/hush"),
        "db_sync",
        "environment variable HTTP_PROXY: expected the address of a proxy, such as http://proxy.example:3128",
    );
    assert_refused(
        &new().variable("all_proxy", "socks5://hush@h"),
        "check",
        "environment variable ALL_PROXY: a SOCKS5 proxy is not supported, only HTTP and HTTPS are",
    );
    assert_refused(
        &new().arg("--ca-file", "/nowhere/ca.pem"),
        "db_init",
        "cannot read the root certificates /nowhere/ca.pem: No such file or directory (os error 2) (check --ca-file)",
    );
    let web = || Program::new(&sim, &format!("{api}/in"));
    for mode in ["webhook", "replay"] {
        assert_refused(
            &web().variable("DBSYNC_WEBHOOK_SECRET", "hush"),
            mode,
            "the webhook's secret: key 1 is not whsec_ and Base64 behind it (check --webhook-secret-file)",
        );
    }
    assert_refused(
        &new().without("--url"),
        "db_init",
        "--url-file FILE or --url URL is required: the address of the target (see dbsync2 --help)",
    );
}

#[test]
fn a_start_date_in_the_future_is_refused_by_every_mode() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let message =
        "--s 9031-02-01T00:00:00.000Z: this is in the future, so that nothing would be copied";
    for mode in ["db_init", "db_update", "db_sync"] {
        let program = Program::new(&sim, &database.url).arg("--s", "9031-02-01");
        assert_ends(&program, mode, 2, &[message]);
    }
    let program = Program::new(&sim, &database.url).arg("--s", "9031-02-01");
    assert_ends(&program, "check", 1, &["WRONG  start date", message]);
    let program = Program::new(&sim, &format!("{}/in", sim.url())).arg("--s", "9031-02-01");
    assert_ends(&program, "webhook", 2, &[message]);
}

#[test]
fn misspelt_variables_are_warned_about_at_once_and_in_the_log() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url)
        .variable("DBSYNC_WORKER", "4")
        .variable("DBSYNC_DATABASE", "x")
        .variable("DBSYNC_VERSION", "7")
        .variable("DBSYNC_TEST_ANYTHING", "x");
    let ended = program.succeed("db_init");
    let misspelt = "environment variable DBSYNC_WORKER has no effect: did you mean DBSYNC_WORKERS?";
    let unknown = "environment variable DBSYNC_DATABASE has no effect: no flag is called so (--help lists all flags)";
    assert_eq!(ended.stderr, format!("dbsync2: {misspelt}\n"));
    let log = program.log();
    let warnings: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("environment variable"))
        .filter_map(|line| line.split_once("[WARN ] "))
        .map(|(_, text)| text)
        .collect();
    assert_eq!(warnings, [unknown, misspelt]);
    assert_equal(&sim, &TruthFilter::default(), &database);
    // Also where the variable would have been needed.
    let program = Program::new(&sim, &database.url)
        .without("DBSYNC_CT")
        .variable("DBSYNC_TOKN", "x");
    let ended = program.run("db_init");
    assert_eq!(
        ended.stderr,
        "dbsync2: environment variable DBSYNC_TOKN has no effect: did you mean DBSYNC_TOKEN?\n\
         dbsync2: --token-file FILE or --ct TOKEN is required: the token of the campaign (see dbsync2 --help)\n"
    );
}

fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn errors_go_to_standard_error_too_where_that_is_another_file() {
    let sim = campaign();
    let url = "sqlite:/nowhere/at/all.db";
    let wrong = "does not exist";
    let both: Ended = Program::new(&sim, url).run("db_init");
    assert_eq!(both.code, Some(1), "{both:?}");
    assert_eq!(times(&both.stdout, wrong), 1, "{both:?}");
    assert_eq!(times(&both.stderr, wrong), 1, "{both:?}");
    assert!(both.stderr.contains("[ERROR]"), "{both:?}");
    // What cron is told to throw away is mailed nevertheless.
    let thrown = Program::new(&sim, url)
        .after("exec >/dev/null")
        .run("db_init");
    assert_eq!(times(&thrown.stderr, wrong), 1, "{thrown:?}");
    // In one file each error is there once.
    let one = Program::new(&sim, url).after("exec 2>&1").run("db_init");
    assert_eq!(
        (times(&one.stdout, wrong), one.stderr.as_str()),
        (1, ""),
        "{one:?}"
    );
    // Nothing else goes there.
    let database = fresh_database(Kind::Sqlite);
    let good = Program::new(&sim, &database.url)
        .flag("--v")
        .succeed("db_init");
    assert_eq!(good.stderr, "");
}

#[test]
fn log_and_checkpoint_name_the_target_that_a_files_name_hides() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let state = program.directory().join("state");
    let checkpoint = files(&state)
        .into_iter()
        .find(|path| path.ends_with(".json"))
        .unwrap();
    let text = std::fs::read_to_string(&checkpoint).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let target = value["target"].as_str().unwrap();
    assert!(target.starts_with("sqlite:/"), "{target}");
    assert!(
        database.url.ends_with(target.trim_start_matches("sqlite:")),
        "{target}"
    );
    assert!(
        value["poll"].is_string() || value["reconcile"].is_string(),
        "{text}"
    );
    let wanted = format!("[INFO ] target {target}, checkpoint {checkpoint}");
    let log = program.log();
    assert!(
        log.lines().take(4).any(|line| line.ends_with(&wanted)),
        "{log}"
    );
    // It is read again, also by those who do not know the target's name.
    program.succeed("db_update");
}

#[test]
fn an_error_names_the_proxy_that_failed() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).variable("http_proxy", "http://127.0.0.1:9");
    let on_the_way = format!(
        "cannot connect to the proxy 127.0.0.1:9 (on the way to {}): ",
        sim.url()
    );
    assert_ends(&program, "db_init", 1, &[&on_the_way]);
    // Answers, but is no proxy: the simulator knows no CONNECT.
    let program = Program::new(&sim, &database.url).variable("http_proxy", &sim.url());
    let address = sim.url().replace("http://", "");
    let refused = format!("the proxy {address} did not connect to {}: ", sim.url());
    assert_ends(&program, "db_init", 1, &[&refused]);
    // The exception in the form that curl does not know either.
    let program = Program::new(&sim, &database.url)
        .variable("http_proxy", "http://127.0.0.1:9")
        .variable("no_proxy", "localhost,127.0.0.0/8");
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn a_status_file_that_cannot_be_written_is_found_by_check() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    for (path, problem) in [
        ("/dev/null", "cannot write /dev/null: it is a device"),
        ("/tmp", "cannot write /tmp: it is a directory"),
        (
            "/proc/nowhere/status.json",
            "cannot write /proc/nowhere/status.json: its directory is missing (check --status-file)",
        ),
    ] {
        let program = Program::new(&sim, &database.url).arg("--status-file", path);
        assert_ends(&program, "check", 1, &["WRONG  status file", problem]);
    }
}
