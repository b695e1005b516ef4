//! Dialfire and the database by host name, both over TLS with certificates that are checked: the tables equal the truth.

use std::path::Path;

use crate::support::compare::assert_equal;
use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::{Kind, certificates};
use crate::support::simulator::{Config, Simulator, TlsFiles, TruthFilter};

fn encrypted(kind: Kind, option: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
    let sim = Simulator::start(Config {
        contacts: 300,
        tls: Some(TlsFiles {
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        }),
        ..Config::default()
    });
    let database = fresh_database(kind);
    let roots = [folder.join("ca.pem"), certificates().join("ca.pem")]
        .map(|path| std::fs::read_to_string(path).unwrap());
    let program = Program::new(&sim, &by_name(&database, option));
    let ca_file = program.directory().join("roots.pem");
    std::fs::write(&ca_file, roots.concat()).unwrap();
    let api = sim.url().replace("127.0.0.1", "localhost");
    assert!(api.starts_with("https://localhost:"), "{api}");
    program
        .arg("--ca-file", &ca_file.display().to_string())
        .arg("--api-url", &api)
        .succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
}

/// The database's address with the server's name in place of its number, and with an option.
fn by_name(database: &Database, option: &str) -> String {
    let url = database.url.replace("127.0.0.1", "localhost");
    match option {
        "" => url,
        option => format!("{url}?{option}"),
    }
}

#[test]
fn postgresql_equals_the_truth() {
    encrypted(Kind::Postgres, "sslmode=verify-full");
}

#[test]
fn mariadb_equals_the_truth() {
    encrypted(Kind::Mysql, "useSSL=verify-identity");
}

#[test]
fn sqlite_equals_the_truth() {
    encrypted(Kind::Sqlite, "");
}
