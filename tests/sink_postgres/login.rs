//! What is sent to whom before the log-in is complete, and for how long and how much is listened to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::connection::{answering, pump};
use super::*;

/// An address that leads to this computer and is none of its loopback addresses: what is sent there could be heard elsewhere.
fn remote(url: &PostgresUrl, port: u16) -> PostgresUrl {
    let mut url = url.clone();
    url.servers = Servers::Tcp(vec![Host {
        name: "0.0.0.0".to_owned(),
        port,
    }]);
    url
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// Answers the request for TLS with no, and returns what follows: the start-up message.
fn without_tls(client: &mut TcpStream) {
    let mut request = [0; 8];
    client.read_exact(&mut request).unwrap();
    if request[4..] == [0x04, 0xd2, 0x16, 0x2f] {
        client.write_all(b"N").unwrap();
        client.read_exact(&mut request).unwrap();
    }
    let length = u32::from_be_bytes(request[..4].try_into().unwrap());
    let mut rest = vec![0; usize::try_from(length).unwrap() - request.len()];
    client.read_exact(&mut rest).unwrap();
}

/// A server that asks to log in by a method, and hands over all that it is sent then.
fn asking(code: u8, listen: &'static str) -> (u16, std::sync::mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let port = answering(listen, move |mut client| {
        without_tls(&mut client);
        let _ = client.write_all(&message(
            b'R',
            &[0, 0, 0, code, 1, 2, 3, 4][..if code == 5 { 8 } else { 4 }],
        ));
        let mut heard = Vec::new();
        let _ = client.set_read_timeout(Some(Duration::from_secs(2)));
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            heard.extend_from_slice(&buffer[..length]);
        }
        let _ = sender.send(heard);
    });
    (port, receiver)
}

#[test]
fn passwords_are_sent_only_to_whom_they_may_be() {
    let db = Database::new("methods");
    let mut base = db.url.clone();
    base.options = None;
    base.password = Secret::new("hush-hush");
    base.connect_timeout = Duration::from_secs(3);
    let methods = |url: &str| match DatabaseUrl::parse(url).unwrap() {
        DatabaseUrl::Postgres(url) => url.require_auth,
        _ => panic!("{url}"),
    };
    let explicit = |value: &str| methods(&format!("postgres://u@h/d?require_auth={value}"));
    for (code, local, require_auth, sent, option) in [
        (3, false, None, false, "require_auth=password"),
        (5, false, None, false, "require_auth=md5"),
        (3, false, explicit("md5"), false, "require_auth=password"),
        (3, false, explicit("password"), true, ""),
        (5, false, explicit("md5"), true, ""),
        (3, true, None, true, ""),
        (5, true, None, true, ""),
        (
            3,
            true,
            explicit("scram-sha-256"),
            false,
            "require_auth=password",
        ),
        (
            0,
            true,
            explicit("scram-sha-256"),
            false,
            "require_auth=none",
        ),
        (
            3,
            true,
            explicit("!password"),
            false,
            "require_auth=password",
        ),
    ] {
        for tls in [TlsMode::Disable, TlsMode::Prefer] {
            let (port, heard) = asking(code, "0.0.0.0");
            let mut url = if local {
                base.clone()
            } else {
                remote(&base, port)
            };
            if local {
                url.servers = Servers::Tcp(vec![Host {
                    name: "127.0.0.1".to_owned(),
                    port,
                }]);
            }
            url.tls = tls;
            url.require_auth = require_auth;
            let error = refused(PostgresSink::open(&url, &roots()));
            let heard = heard.recv().unwrap();
            let what = format!("{code} local {local} {require_auth:?} {tls:?}: {error}");
            assert_eq!(!heard.is_empty(), sent, "{what}");
            if !sent {
                assert_error(
                    &error,
                    ErrorKind::Setup,
                    &["the server asks for", "verify-full", option],
                );
                assert!(!error.to_string().contains("hush"), "{what}");
            }
        }
    }
}

#[test]
fn scram_works_over_any_connection() {
    let mut db = Database::new("scram");
    let port = host(&db.url).port;
    let role = db.role("user", "GRANT USAGE, CREATE ON SCHEMA SCHEMA_NAME TO ROLE");
    let forwarded = answering("0.0.0.0", move |client| pump(client, port, &[]));
    let mut url = remote(&role, forwarded);
    url.tls = TlsMode::Disable;
    PostgresSink::open(&url, &roots()).unwrap();
    url.tls = TlsMode::Require;
    PostgresSink::open(&url, &roots()).unwrap();
}

fn waiting(url: &PostgresUrl, port: u16) -> (Error, Duration) {
    let mut url = url.clone();
    url.servers = Servers::Tcp(vec![Host {
        name: "127.0.0.1".to_owned(),
        port,
    }]);
    url.connect_timeout = Duration::from_secs(1);
    let begin = Instant::now();
    let error = refused(PostgresSink::open(&url, &roots()));
    (error, begin.elapsed())
}

#[test]
fn the_time_to_connect_bounds_the_log_in_whatever_the_other_side_does() {
    let db = Database::new("slow");
    let mut url = db.url.clone();
    let drip = |first: Vec<u8>, then: u8| {
        move |mut client: TcpStream| {
            without_tls(&mut client);
            let _ = client.write_all(&first);
            while client.write_all(&[then]).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    };
    // A parameter of 1,000 bytes, byte by byte.
    let mut parameter = message(b'R', &[0; 4]);
    parameter.extend([b'S', 0, 0, 4, 0]);
    let dripping = answering("127.0.0.1", drip(parameter, b'x'));
    // A server that is content with us, but answers no query.
    let mut content = message(b'R', &[0; 4]);
    content.extend(message(b'K', &[0; 8]));
    content.extend(message(b'Z', b"I"));
    let mute = answering("127.0.0.1", move |mut client| {
        without_tls(&mut client);
        let _ = client.write_all(&content);
        let _ = client.read_to_end(&mut Vec::new());
    });
    // One that says yes to encryption, and nothing more.
    let half = answering("127.0.0.1", |mut client| {
        let _ = client.read(&mut [0; 8]);
        let _ = client.write_all(b"S");
        let _ = client.read_to_end(&mut Vec::new());
    });
    let silent = answering("127.0.0.1", |mut client| {
        let _ = client.read_to_end(&mut Vec::new());
    });
    for (what, port, tls) in [
        ("dripping", dripping, TlsMode::Disable),
        ("dripping", dripping, TlsMode::Prefer),
        ("mute", mute, TlsMode::Disable),
        ("half", half, TlsMode::Prefer),
        ("half", half, TlsMode::VerifyFull),
        ("silent", silent, TlsMode::Disable),
        ("silent", silent, TlsMode::Prefer),
    ] {
        url.tls = tls;
        let (error, took) = waiting(&url, port);
        assert_error(&error, ErrorKind::Transient, &["within 1 s"]);
        assert!(took < Duration::from_secs(10), "{what} {tls:?}: {took:?}");
    }
}

#[test]
fn other_servers_are_told_apart() {
    let db = Database::new("others");
    let mut url = db.url.clone();
    let saying = |greeting: &'static [u8]| {
        answering("127.0.0.1", move |mut client| {
            let _ = client.write_all(greeting);
            let _ = client.read_to_end(&mut Vec::new());
        })
    };
    for (greeting, kind) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
            "a web server (HTTP)",
        ),
        (
            b"\x4e\0\0\0\x0a11.4.2-MariaDB\0",
            "a MySQL or MariaDB server",
        ),
        (b"\x53\0\0\0\x0a8.0.36\0", "a MySQL or MariaDB server"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "an SSH server"),
        (
            b"hello, who are you?\r\n",
            "not as a PostgreSQL server does",
        ),
    ] {
        let port = saying(greeting);
        for tls in [TlsMode::Disable, TlsMode::Prefer, TlsMode::VerifyFull] {
            url.tls = tls;
            let (error, _) = waiting(&url, port);
            assert_error(
                &error,
                ErrorKind::Setup,
                &["cannot reach PostgreSQL at 127.0.0.1:", kind],
            );
        }
    }
    // A server that is out of order says so before it speaks of encryption.
    let port = saying(b"E\0\0\0\x2fSFATAL\0C53300\0Msorry, too many clients already\0\0");
    url.tls = TlsMode::Prefer;
    let (error, _) = waiting(&url, port);
    assert_error(&error, ErrorKind::Transient, &["too many clients already"]);
}

/// Serves one client: it may log in, and gets `answer` for its first query.
fn hostile(before: Vec<u8>, answer: Vec<u8>) -> u16 {
    answering("127.0.0.1", move |mut client| {
        without_tls(&mut client);
        let mut greeting = message(b'R', &[0; 4]);
        greeting.extend(&before);
        greeting.extend(message(b'K', &[0; 8]));
        greeting.extend(message(b'Z', b"I"));
        let _ = client.write_all(&greeting);
        let _ = client.read(&mut [0; 4096]);
        let _ = client.write_all(&answer);
        let _ = client.read_to_end(&mut Vec::new());
    })
}

#[test]
fn an_endless_greeting_and_an_enormous_answer_are_refused_before_they_fill_the_memory() {
    let db = Database::new("hostile");
    let mut url = db.url.clone();
    url.tls = TlsMode::Disable;
    url.connect_timeout = Duration::from_secs(30);
    let open = |url: &PostgresUrl, port: u16| {
        let mut url = url.clone();
        url.servers = Servers::Tcp(vec![Host {
            name: "127.0.0.1".to_owned(),
            port,
        }]);
        refused(PostgresSink::open(&url, &roots())).to_string()
    };
    let notices = |bytes: usize| {
        let text = vec![b'x'; 1000];
        let notice = message(b'N', &[&b"SNOTICE\0C00000\0M"[..], &text, b"\0\0"].concat());
        notice
            .iter()
            .copied()
            .cycle()
            .take(bytes / notice.len() * notice.len())
            .collect::<Vec<u8>>()
    };
    let error = open(&url, hostile(notices(1 << 21), Vec::new()));
    assert!(error.contains("before the log-in was complete"), "{error}");
    let error = open(
        &url,
        hostile(
            Vec::new(),
            [&[b'D'][..], &0x7fff_ffff_u32.to_be_bytes()].concat(),
        ),
    );
    assert!(
        error.contains("larger than anything that was asked for"),
        "{error}"
    );
    // Under the limit it is not the greeting that is refused: the server just says no more.
    url.connect_timeout = Duration::from_secs(1);
    let error = open(&url, hostile(notices(1 << 19), Vec::new()));
    assert!(error.contains("within 1 s"), "{error}");
}
