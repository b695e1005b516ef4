//! python-tds logs in, passes parameters, loads in bulk and rolls back.

use std::process::Command;

use super::ordinary;
use crate::support::servers::from_environment;
use crate::support::tds::TdsServer;
use crate::support::tds::options::{DATABASE, PASSWORD, USER};

/// Runs one function of the script; it prints `ok` at its end.
fn run(server: &TdsServer, function: &str) {
    let output = Command::new(from_environment("DBSYNC_TEST_PYTHON"))
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/tds_itself/client.py"
        ))
        .args([
            function,
            &server.port().to_string(),
            USER,
            PASSWORD,
            DATABASE,
        ])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("DBSYNC_TEST_PYTHON is a Python");
    assert!(
        output.status.success() && output.stdout == b"ok\n",
        "{function}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn parameters_of_all_types_arrive() {
    let server = ordinary();
    run(&server, "parameters");
    let dump = server.dump("p");
    assert_eq!(dump["x"]["d"].as_deref(), Some("12.3456"));
    assert_eq!(dump["x"]["m"].as_deref(), Some("é".repeat(9000).as_str()));
    assert!(
        dump["y"]
            .iter()
            .all(|(name, value)| name == "id" || value.is_none())
    );
}

#[test]
fn bulk_loads_are_stored_and_rolled_back() {
    let server = ordinary();
    run(&server, "bulk");
    assert_eq!(server.dump("b").len(), 3000);
}

#[test]
fn transactions_of_the_protocol_commit_and_roll_back() {
    let server = ordinary();
    run(&server, "transactions");
    assert_eq!(server.dump("t").into_keys().collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn errors_have_their_numbers() {
    run(&ordinary(), "errors");
}

#[test]
fn too_many_parameters_are_refused() {
    run(&ordinary(), "too_many_parameters");
}

#[test]
fn a_query_is_cancelled() {
    run(&ordinary(), "cancel");
}

#[test]
fn small_packets_carry_large_values() {
    run(&ordinary(), "small_packets");
}
