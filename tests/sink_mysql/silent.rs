//! Other sides that are silent, slow, or speak something else; and what a hostile one can make us take.

use std::net::TcpStream;
use std::time::Instant;

use super::*;

/// Far longer than the second that connecting may take in these tests, far shorter than any other limit.
const SOON: Duration = Duration::from_secs(10);

/// A server that does this with each client; it ends with the tests.
fn server_that(does: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, does) = (client.unwrap(), does.clone());
            std::thread::spawn(move || does(client));
        }
    });
    Host {
        name: "127.0.0.1".to_owned(),
        port,
    }
}

fn hasty(hosts: Vec<Host>, tls: TlsMode) -> MysqlUrl {
    MysqlUrl {
        servers: Servers::Tcp(hosts),
        connect_timeout: Duration::from_secs(1),
        tls,
        ..server()
    }
}

/// A packet of the server.
fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], body].concat()
}

/// A greeting, with TLS or without.
fn greeting(tls: bool) -> Vec<u8> {
    let capabilities = if tls { 0x8a } else { 0x82 };
    let mut body = b"\x0a8.0.36\0\x01\0\0\0abcdefgh\0".to_vec();
    body.extend([0x00, capabilities, 0x21, 0x02, 0x00, 0x08, 0x00, 0x15]);
    body.extend([0; 10]);
    body.extend(b"ijklmnopqrst\0mysql_native_password\0");
    packet(0, &body)
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";

fn silent() -> Host {
    server_that(|mut client| {
        let _ = client.read_to_end(&mut Vec::new());
    })
}

#[test]
fn a_log_in_ends_within_the_time_for_connecting_whatever_the_other_side_does() {
    let postgres = std::env::var("DBSYNC_TEST_POSTGRES").unwrap();
    let postgres = match DatabaseUrl::parse(&postgres) {
        Ok(DatabaseUrl::Postgres(url)) => match url.servers {
            Servers::Tcp(hosts) => hosts[0].clone(),
            Servers::Socket { .. } => panic!("DBSYNC_TEST_POSTGRES must name a host"),
        },
        other => panic!("{other:?}"),
    };
    let drip = |bytes: Vec<u8>| {
        server_that(move |mut client| {
            for byte in bytes.iter().cycle() {
                if client.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        })
    };
    let then_silent = |bytes: Vec<u8>| {
        server_that(move |mut client| {
            let _ = client.write_all(&bytes);
            let _ = client.read_to_end(&mut Vec::new());
        })
    };
    for (what, host) in [
        ("accepts and is silent", silent()),
        ("is PostgreSQL", postgres),
        ("drips a greeting", drip(greeting(false))),
        (
            "drips the end of a long packet",
            drip(packet(0, &[10; 60_000])),
        ),
        (
            "is silent behind the greeting",
            then_silent(greeting(false)),
        ),
        ("is silent where TLS begins", then_silent(greeting(true))),
        (
            "is silent after the log-in",
            then_silent([greeting(false), packet(2, OK)].concat()),
        ),
        (
            "is HTTP",
            server_that(|mut client| {
                let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            }),
        ),
    ] {
        for tls in [TlsMode::Prefer, TlsMode::Disable] {
            let begun = Instant::now();
            let error = open_error(&hasty(vec![host.clone()], tls));
            assert!(begun.elapsed() < SOON, "{what}: {:?}", begun.elapsed());
            assert_eq!(error.kind(), ErrorKind::Transient, "{what}: {error}");
        }
    }
}

#[test]
fn a_silent_host_is_left_for_the_next_one() {
    let db = Database::new("next_host");
    let url = MysqlUrl {
        database: db.name.clone(),
        ..hasty(vec![silent(), silent(), host()], TlsMode::Prefer)
    };
    let begun = Instant::now();
    let mut sink = open(&url).unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(
        sink.prepare(&schema(&[("x", ColumnKind::Text)])).unwrap(),
        []
    );
}

/// Whoever may answer in the server's place must not take our memory.
#[test]
fn a_server_cannot_send_more_than_it_was_asked_for() {
    // An answer to SHOW VARIABLES that never ends.
    let endless = |client: &mut TcpStream, columns: u16, row: &[u8]| {
        let definition = b"\x03def\0\0\0\x01a\0\x0c\x21\0\0\0\0\0\xfd\0\0\0\0\0";
        let mut sequence: u8 = 1;
        let mut send = |body: &[u8]| {
            let sent = client.write_all(&packet(sequence, body));
            sequence = sequence.wrapping_add(1);
            sent.is_ok()
        };
        let [low, high] = columns.to_le_bytes();
        send(&[0xfc, low, high]);
        for _ in 0..columns {
            send(definition);
        }
        send(b"\xfe\0\0\x02\0");
        while send(row) {}
    };
    let serve = move |columns: u16, row: Vec<u8>| {
        server_that(move |mut client| {
            let _ = client.write_all(&greeting(false));
            let mut answer = packet(2, OK);
            let mut received = [0; 4096];
            while let Ok(length @ 1..) = client.read(&mut received) {
                if received[..length].windows(4).any(|part| part == b"SHOW") {
                    return endless(&mut client, columns, &row);
                }
                if client.write_all(&answer).is_err() {
                    return;
                }
                answer = packet(1, OK);
            }
        })
    };
    let long_row = [&b"\x01a\xfd\xf0\xff\xff"[..], &vec![b'x'; 0xff_fff0]].concat();
    for (what, host, told) in [
        (
            "rows without end",
            serve(2, b"\x01a\x01b".to_vec()),
            "more rows than were asked for",
        ),
        (
            "rows without measure",
            serve(2, long_row),
            "larger than any that was asked for",
        ),
        // Each takes a byte to send and far more to keep.
        (
            "values without end, all of them NULL",
            serve(4096, vec![0xfb; 4096]),
            "more values than were asked for",
        ),
        (
            "a greeting of 16 MB",
            server_that(|mut client| {
                let _ = client.write_all(&packet(0, &vec![10; 0xff_fff0]));
            }),
            "larger than any that was asked for",
        ),
        (
            "methods of log-in without end",
            server_that(|mut client| {
                let _ = client.write_all(&greeting(false));
                let mut received = [0; 4096];
                let mut sequence = 2u8;
                while let Ok(1..) = client.read(&mut received) {
                    let body = b"\xfemysql_native_password\0abcdefghijklmnopqrst\0";
                    if client.write_all(&packet(sequence, body)).is_err() {
                        return;
                    }
                    sequence = sequence.wrapping_add(2);
                }
            }),
            "not one to what was asked",
        ),
        (
            "more columns than there are",
            server_that(|mut client| {
                let _ = client.write_all(&greeting(false));
                let mut received = [0; 4096];
                let _ = client.read(&mut received);
                let _ = client.write_all(&packet(2, OK));
                let _ = client.read(&mut received);
                let _ = client.write_all(&packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"));
                let _ = client.read_to_end(&mut Vec::new());
            }),
            "more columns than any table has",
        ),
        (
            "a request for a file",
            server_that(|mut client| {
                let _ = client.write_all(&greeting(false));
                let mut received = [0; 4096];
                let _ = client.read(&mut received);
                let _ = client.write_all(&packet(2, OK));
                let _ = client.read(&mut received);
                let _ = client.write_all(&packet(1, b"\xfb/etc/passwd"));
                let _ = client.read_to_end(&mut Vec::new());
            }),
            "asks for a file",
        ),
    ] {
        let mut url = hasty(vec![host], TlsMode::Disable);
        url.connect_timeout = Duration::from_secs(20);
        let error = open_error(&url);
        assert_eq!(error.kind(), ErrorKind::Transient, "{what}: {error}");
        assert!(error.to_string().contains(told), "{what}: {error}");
    }
}

#[test]
fn a_socket_whose_queue_is_full_is_left_within_the_time_for_connecting() {
    use std::os::unix::net::UnixStream;

    let directory = crate::support::temp::TempDir::new();
    let path = directory.path().join("mysqld.sock");
    let address = socket2::SockAddr::unix(&path).unwrap();
    let new = || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    // Nobody accepts: those that wait fill the queue.
    let waiting = UnixStream::connect(&path).unwrap();
    let url = MysqlUrl {
        servers: Servers::Socket {
            path: path.clone(),
            port: 3306,
        },
        ..hasty(Vec::new(), TlsMode::Disable)
    };
    let begin = Instant::now();
    let error = open_error(&url);
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(begin.elapsed() < SOON, "{error}");
    drop((waiting, listener));
}
