//! Opening connections: log-in, TLS, several hosts, losses.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::support::proxy::Proxy;

#[test]
fn a_lost_connection_is_passing_trouble() {
    let mut db = Database::new("lost");
    let schema = Schema::new("l_");
    db.url.application_name = db.schema.clone();
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap();
    let killed = db.value(&format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{}'", db.schema));
    assert_eq!(killed.as_deref(), Some("1"));
    let error = write_contact(&mut sink, &schema, &[("$id", "B")]).unwrap_err();
    assert_error(&error, ErrorKind::Transient, &["PostgreSQL at"]);
    let error = sink.stored(&["A"]).unwrap_err();
    assert_error(&error, ErrorKind::Transient, &[]);
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_contact(&mut sink, &schema, &[("$id", "B")]).unwrap();
    assert_eq!(
        db.value("SELECT count(*) FROM l_contacts").as_deref(),
        Some("2")
    );
}

#[test]
fn log_in_errors_say_what_to_do() {
    let mut db = Database::new("login");
    let address = host(&db.url).to_string();
    let url = db.role("user", "");
    let mut wrong = url.clone();
    wrong.password = Secret::new("hush");
    let error = refused(PostgresSink::open(&wrong, &roots()));
    let sentence = format!(
        "cannot log in to PostgreSQL at {address} as \"{}\": password rejected (check --url)",
        url.user
    );
    assert_error(&error, ErrorKind::Setup, &[&sentence]);
    wrong.password = Secret::new("");
    assert_error(
        &refused(PostgresSink::open(&wrong, &roots())),
        ErrorKind::Setup,
        &["asks for a password"],
    );
    wrong = url.clone();
    wrong.user = "nobody_there".to_owned();
    assert_error(
        &refused(PostgresSink::open(&wrong, &roots())),
        ErrorKind::Setup,
        &["nobody_there", "check"],
    );
    wrong = url.clone();
    wrong.database = "no_such_database".to_owned();
    assert_error(
        &refused(PostgresSink::open(&wrong, &roots())),
        ErrorKind::Setup,
        &["\"no_such_database\" does not exist"],
    );
    wrong = url.clone();
    wrong.options = Some("-cdefault_transaction_read_only=on".to_owned());
    assert_error(
        &refused(PostgresSink::open(&wrong, &roots())),
        ErrorKind::Setup,
        &["read-only"],
    );
    wrong = url;
    wrong.servers = Servers::Tcp(vec![Host {
        name: "127.0.0.1".to_owned(),
        port: closed_port(),
    }]);
    assert_error(
        &refused(PostgresSink::open(&wrong, &roots())),
        ErrorKind::Transient,
        &["cannot reach PostgreSQL at 127.0.0.1:", "refused"],
    );
    wrong.servers = Servers::Tcp(vec![Host {
        name: "host.invalid".to_owned(),
        port: 5432,
    }]);
    assert_error(
        &refused(PostgresSink::open(&wrong, &roots())),
        ErrorKind::Transient,
        &["cannot reach PostgreSQL at host.invalid:5432: "],
    );
}

#[test]
fn each_level_of_tls() {
    let db = Database::new("tls");
    let port = host(&db.url).port;
    let other_name = forward("127.0.0.2", port);
    let load = |name: &str| Roots::load(Some(&certificate(name))).unwrap();
    let (ca, other_ca, itself) = (load("ca.pem"), load("other-ca.pem"), load("server.pem"));
    let open = |name: &str, mode, roots: &Roots| {
        let mut url = db.url.clone();
        let port = if name == "127.0.0.2" {
            other_name
        } else {
            port
        };
        url.servers = Servers::Tcp(vec![Host {
            name: name.to_owned(),
            port,
        }]);
        url.tls = mode;
        let mut sink = PostgresSink::open(&url, roots)?;
        let lines = sink.check(&Schema::new("x_"))?;
        Ok(lines[0].outcome.clone().unwrap())
    };
    for (name, mode, roots, encrypted) in [
        ("127.0.0.1", TlsMode::Disable, &ca, false),
        ("127.0.0.1", TlsMode::Prefer, &other_ca, true),
        ("127.0.0.2", TlsMode::Require, &other_ca, true),
        ("127.0.0.1", TlsMode::VerifyCa, &ca, true),
        ("127.0.0.2", TlsMode::VerifyCa, &ca, true),
        ("127.0.0.1", TlsMode::VerifyFull, &ca, true),
        ("localhost", TlsMode::VerifyFull, &ca, true),
        ("127.0.0.2", TlsMode::VerifyCa, &itself, true),
        ("localhost", TlsMode::VerifyFull, &itself, true),
    ] {
        let line =
            open(name, mode, roots).unwrap_or_else(|e: Error| panic!("{name} {mode:?}: {e}"));
        assert_eq!(
            !line.ends_with("not encrypted"),
            encrypted,
            "{name} {mode:?}: {line}"
        );
    }
    for (name, mode, roots, part) in [
        ("127.0.0.1", TlsMode::VerifyCa, &other_ca, "--ca-file"),
        ("127.0.0.1", TlsMode::VerifyFull, &other_ca, "--ca-file"),
        ("127.0.0.1", TlsMode::VerifyFull, &roots(), "--ca-file"),
        ("127.0.0.2", TlsMode::VerifyFull, &ca, "127.0.0.2"),
        ("127.0.0.2", TlsMode::VerifyFull, &itself, "127.0.0.2"),
    ] {
        let error = open(name, mode, roots).unwrap_err();
        assert_error(
            &error,
            ErrorKind::Setup,
            &["cannot encrypt the connection", "certificate", part],
        );
    }
}

#[test]
fn a_server_without_tls() {
    let db = Database::new("plain");
    let port = host(&db.url).port;
    let plain = answering("127.0.0.1", move |mut client| {
        let mut request = [0; 8];
        client.read_exact(&mut request).unwrap();
        if request[4..] == [0x04, 0xd2, 0x16, 0x2f] {
            client.write_all(b"N").unwrap();
            pump(client, port, &[]);
        } else {
            pump(client, port, &request);
        }
    });
    let mut url = db.url.clone();
    url.servers = Servers::Tcp(vec![Host {
        name: "127.0.0.1".to_owned(),
        port: plain,
    }]);
    url.tls = TlsMode::Require;
    assert_error(
        &refused(PostgresSink::open(&url, &roots())),
        ErrorKind::Setup,
        &["TLS switched off", "sslmode=prefer"],
    );
    url.tls = TlsMode::Prefer;
    assert!(PostgresSink::open(&url, &roots()).is_ok());
    // Speaks of TLS but can't do ours: prefer goes on without.
    let broken = answering("127.0.0.1", move |mut client| {
        let mut request = [0; 8];
        client.read_exact(&mut request).unwrap();
        if request[4..] == [0x04, 0xd2, 0x16, 0x2f] {
            client.write_all(b"S").unwrap();
            assert!(client.read(&mut [0; 4096]).unwrap() > 0);
            // An alert: handshake_failure.
            client.write_all(b"\x15\x03\x03\x00\x02\x02\x28").unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        } else {
            pump(client, port, &request);
        }
    });
    url.servers = Servers::Tcp(vec![Host {
        name: "127.0.0.1".to_owned(),
        port: broken,
    }]);
    assert!(PostgresSink::open(&url, &roots()).is_ok());
    url.tls = TlsMode::Require;
    assert_error(
        &refused(PostgresSink::open(&url, &roots())),
        ErrorKind::Setup,
        &["cannot encrypt"],
    );
}

#[test]
fn the_first_host_that_works_is_taken() {
    let db = Database::new("hosts");
    let live = host(&db.url);
    let mut url = db.url.clone();
    let dead = || Host {
        name: "127.0.0.1".to_owned(),
        port: closed_port(),
    };
    url.servers = Servers::Tcp(vec![dead(), live.clone()]);
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    let line = sink.check(&Schema::new("x_")).unwrap()[0]
        .outcome
        .clone()
        .unwrap();
    assert!(line.contains(&live.to_string()), "{line}");
    let (first, second) = (dead(), dead());
    url.servers = Servers::Tcp(vec![first.clone(), second.clone()]);
    let error = refused(PostgresSink::open(&url, &roots()));
    assert_error(
        &error,
        ErrorKind::Transient,
        &[&first.to_string(), &second.to_string()],
    );
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let db = Database::new("silent");
    let mut url = db.url.clone();
    let (hold, held) = std::sync::mpsc::channel::<TcpStream>();
    let silent = answering("127.0.0.1", move |client| hold.send(client).unwrap());
    url.servers = Servers::Tcp(vec![Host {
        name: "127.0.0.1".to_owned(),
        port: silent,
    }]);
    url.connect_timeout = Duration::from_millis(200);
    let start = Instant::now();
    let error = refused(PostgresSink::open(&url, &roots()));
    assert_error(
        &error,
        ErrorKind::Transient,
        &["cannot reach PostgreSQL at 127.0.0.1:", "no answer within"],
    );
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(held);
}

/// As a server does whose disk or machine stands still, or a firewall that has forgotten the connection.
#[test]
fn a_connection_on_which_nothing_comes_any_more_is_given_up() {
    let mut db = Database::new("standstill");
    let schema = Schema::new("n_");
    let at = host(&db.url);
    let proxy = Proxy::start(&at.name, at.port);
    for tls in [TlsMode::Disable, TlsMode::Require] {
        let mut url = db.url.clone();
        url.servers = Servers::Tcp(vec![Host {
            name: "127.0.0.1".to_owned(),
            port: proxy.port(),
        }]);
        url.tls = tls;
        let mut sink =
            PostgresSink::open_within(&url, &roots(), Duration::from_millis(1500)).unwrap();
        sink.prepare(&schema).unwrap();
        write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap();
        proxy.silence();
        let error = write_contact(&mut sink, &schema, &[("$id", "B")]).unwrap_err();
        assert_error(
            &error,
            ErrorKind::Transient,
            &["in PostgreSQL at 127.0.0.1:", "no answer within 1.5 s"],
        );
        // Asked again, it does not wait once more; nor does its end.
        let error = sink.stored(&["A"]).unwrap_err();
        assert_error(&error, ErrorKind::Transient, &[]);
        drop(sink);
        let mut sink = PostgresSink::open(&url, &roots()).unwrap();
        sink.prepare(&schema).unwrap();
        write_contact(&mut sink, &schema, &[("$id", "B")]).unwrap();
        let ids = db.rows("SELECT \"$id\" FROM n_contacts ORDER BY 1");
        assert_eq!(ids.concat(), ["A", "B"].map(|id| Some(id.to_owned())));
        db.run("DELETE FROM n_contacts");
    }
}

#[test]
fn a_unix_socket() {
    let mut db = Database::new("socket");
    let directories = db.value("SHOW unix_socket_directories").unwrap();
    let first = directories.split(", ").next().unwrap();
    let path = PathBuf::from(db.value("SHOW data_directory").unwrap()).join(first);
    let mut url = db.url.clone();
    url.servers = Servers::Socket {
        path,
        port: host(&db.url).port,
    };
    url.tls = TlsMode::Require;
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    let line = sink.check(&Schema::new("s_")).unwrap()[0].outcome.clone();
    assert!(!line.unwrap().contains("pooler"));
    sink.prepare(&Schema::new("s_")).unwrap();
    assert_eq!(
        db.value("SELECT count(*) FROM s_contacts").as_deref(),
        Some("0")
    );
}

/// A port of 127.0.0.1 on which nobody listens.
pub(super) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Serves each connection in a thread of its own; returns the port.
pub(super) fn answering(name: &str, serve: impl Fn(TcpStream) + Send + Clone + 'static) -> u16 {
    let listener = TcpListener::bind((name, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(client.unwrap()));
        }
    });
    port
}

/// Another address of the same server.
fn forward(name: &str, port: u16) -> u16 {
    answering(name, move |client| pump(client, port, &[]))
}

/// Copies both ways until both ends have closed; `first` goes to the server before.
pub(super) fn pump(client: TcpStream, port: u16, first: &[u8]) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    server.write_all(first).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut &client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
}
