//! The servers that the other tests stand on do what those tests take for granted.

use std::net::{IpAddr, TcpStream};
use std::process::{Command, Stdio};

use crate::support::database::fresh_database;
use crate::support::servers::{
    self, Kind, PrivateServer, certificates, from_environment, private_server,
    private_server_with_certificate,
};
use crate::support::temp::TempDir;

#[test]
#[should_panic(
    expected = "DBSYNC_TEST_NOBODY_SETS_THIS is not set: run the tests with scripts/test.sh"
)]
fn a_missing_server_is_a_failure_that_names_the_remedy() {
    from_environment("DBSYNC_TEST_NOBODY_SETS_THIS");
}

#[test]
fn servers_wait_for_the_disk_at_commit_unless_told_otherwise() {
    let fast = std::env::var("DBSYNC_TEST_FAST").is_ok_and(|fast| fast == "1");
    let queries = [
        (
            Kind::Postgres,
            "SELECT concat_ws(' ', current_setting('fsync'), current_setting('full_page_writes'), \
             current_setting('synchronous_commit'))",
            if fast { "off off on" } else { "on on on" },
        ),
        (
            Kind::Mysql,
            "SELECT concat_ws(' ', @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite, \
             @@innodb_flush_method)",
            if fast {
                "2 OFF nosync"
            } else {
                "1 ON O_DIRECT"
            },
        ),
    ];
    for (kind, query, expected) in queries {
        let settings = fresh_database(kind).query(query);
        assert_eq!(settings, [[Some(expected.to_owned())]]);
    }
}

#[test]
fn a_private_server_keeps_its_data_through_stop_and_kill() {
    for kind in Kind::SERVERS {
        let server = private_server(kind);
        assert_ne!(
            server.url,
            if kind == Kind::Postgres {
                servers::postgres_url()
            } else {
                servers::mysql_url()
            }
        );
        let database = server.database();
        database.execute("CREATE TABLE t (id int PRIMARY KEY)");
        for (id, end) in [
            PrivateServer::stop,
            PrivateServer::kill,
            PrivateServer::stop,
        ]
        .into_iter()
        .enumerate()
        {
            database.execute(&format!("INSERT INTO t VALUES ({id})"));
            end(&server);
            assert!(!server.runs(), "{kind:?}");
            TcpStream::connect(("127.0.0.1", server.port())).expect_err("it still listens");
            server.start();
            assert!(server.runs(), "{kind:?}");
            assert_eq!(database.dump("t").len(), id + 1, "{kind:?}");
        }
        let port = server.port();
        drop(server);
        TcpStream::connect(("127.0.0.1", port)).expect_err("it outlived its owner");
    }
}

#[test]
fn a_killed_server_forgets_what_was_not_committed() {
    let server = private_server(Kind::Postgres);
    let database = server.database();
    database.execute("CREATE TABLE t (id int PRIMARY KEY)");
    let mut client = postgres::Client::connect(&server.url, postgres::NoTls).unwrap();
    client
        .batch_execute("BEGIN; INSERT INTO t VALUES (1)")
        .unwrap();
    server.kill();
    client.batch_execute("COMMIT").unwrap_err();
    server.start();
    assert_eq!(database.dump("t").len(), 0);
}

/// Why a client that trusts `authority` and means to speak with `host` refuses a server's certificate.
fn refusal(url: &str, kind: Kind, authority: &str, host: &str) -> Option<String> {
    let address = url.rsplit_once('@').unwrap().1.split_once('/').unwrap().0;
    let protocol = if kind == Kind::Postgres {
        "postgres"
    } else {
        "mysql"
    };
    let host_option = if host.parse::<IpAddr>().is_ok() {
        "-verify_ip"
    } else {
        "-verify_hostname"
    };
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            address,
            "-starttls",
            protocol,
            "-verify_return_error",
            "-no-CApath",
        ])
        .arg("-CAfile")
        .arg(certificates().join(authority))
        .args([host_option, host])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return None;
    }
    let reason = told
        .lines()
        .find_map(|line| line.strip_prefix("verify error:num="));
    Some(
        reason
            .unwrap_or_else(|| panic!("no certificate came: {told}"))
            .split_once(':')
            .unwrap()
            .1
            .to_owned(),
    )
}

#[test]
fn certificates_are_good_for_their_names_and_authority_only() {
    let (mismatch, stranger) = (
        Some("hostname mismatch".to_owned()),
        "unable to get local issuer certificate",
    );
    for (kind, url) in [
        (Kind::Postgres, servers::postgres_url()),
        (Kind::Mysql, servers::mysql_url()),
    ] {
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(refusal(&url, kind, "ca.pem", host), None, "{kind:?} {host}");
        }
        assert_eq!(
            refusal(&url, kind, "ca.pem", "elsewhere.example"),
            mismatch,
            "{kind:?}"
        );
        assert_eq!(
            refusal(&url, kind, "other-ca.pem", "localhost").as_deref(),
            Some(stranger),
            "{kind:?}"
        );
        let server = private_server_with_certificate(kind, "wrong-host");
        assert_eq!(
            refusal(&server.url, kind, "ca.pem", "elsewhere.example"),
            None,
            "{kind:?}"
        );
        assert_eq!(
            refusal(&server.url, kind, "ca.pem", "localhost"),
            mismatch,
            "{kind:?}"
        );
    }
}

#[test]
fn a_temporary_directory_vanishes_with_its_contents() {
    let (first, second) = (TempDir::new(), TempDir::new());
    assert_ne!(first.path(), second.path());
    std::fs::write(first.path().join("file"), "x").unwrap();
    let path = first.path().to_owned();
    drop(first);
    assert!(!path.exists());
    assert!(second.path().is_dir());
}
