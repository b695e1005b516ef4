//! Dialfire and the database by host name, both over TLS with certificates that are checked, or both without: the
//! tables equal the truth. scripts/prove-static.sh runs these with each static binary.

use std::path::Path;
use std::time::Duration;

use crate::support::compare::assert_equal;
use crate::support::database::fresh_database;
use crate::support::program::Program;
use crate::support::servers::{Kind, certificates};
use crate::support::simulator::{Config, Simulator, TlsFiles, TruthFilter};

/// Copies everything, and what the next hour brings. The two options are what the database's address has without TLS
/// and with it.
fn synced(kind: Kind, tls: bool, options: [&str; 2]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
    let sim = Simulator::start(Config {
        contacts: 300,
        tls: tls.then(|| TlsFiles {
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        }),
        ..Config::default()
    });
    let database = fresh_database(kind);
    let roots = [folder.join("ca.pem"), certificates().join("ca.pem")]
        .map(|path| std::fs::read_to_string(path).unwrap());
    let address = database.url.split('?').next().unwrap();
    let url = address.replace("127.0.0.1", "localhost") + options[usize::from(tls)];
    let api = sim.url().replace("127.0.0.1", "localhost");
    let scheme = if tls { "https" } else { "http" };
    assert!(api.starts_with(&format!("{scheme}://localhost:")), "{api}");

    let mut program = Program::new(&sim, &url).arg("--api-url", &api);
    if tls {
        let ca_file = program.directory().join("roots.pem");
        std::fs::write(&ca_file, roots.concat()).unwrap();
        program = program.arg("--ca-file", &ca_file.display().to_string());
    }
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
    sim.advance(Duration::from_secs(3600));
    program.succeed_once();
    assert_equal(&sim, &TruthFilter::default(), &database);
}

fn with_postgresql(tls: bool) {
    synced(
        Kind::Postgres,
        tls,
        ["?sslmode=disable", "?sslmode=verify-full"],
    );
}

fn with_mariadb(tls: bool) {
    synced(
        Kind::Mysql,
        tls,
        ["?useSSL=false", "?useSSL=verify-identity"],
    );
}

fn with_sql_server(tls: bool) {
    synced(Kind::SqlServer, tls, ["?encrypt=false", "?encrypt=true"]);
}

#[test]
fn postgresql_over_tls() {
    with_postgresql(true);
}

#[test]
fn postgresql_without_tls() {
    with_postgresql(false);
}

#[test]
fn mariadb_over_tls() {
    with_mariadb(true);
}

#[test]
fn mariadb_without_tls() {
    with_mariadb(false);
}

#[test]
fn sql_server_over_tls() {
    with_sql_server(true);
}

#[test]
fn sql_server_without_tls() {
    with_sql_server(false);
}

#[test]
fn sqlite_over_tls() {
    synced(Kind::Sqlite, true, ["", ""]);
}

#[test]
fn sqlite_without_tls() {
    synced(Kind::Sqlite, false, ["", ""]);
}
