//! Opening connections: silence, encryption, instances, and what is only compatible.

use super::*;
use crate::certificates_of_servers::version_1;

#[test]
fn nobody_there_and_somebody_else_there() {
    let (mut server, url) = tds(Options::default());
    let url = parsed(&url);
    let roots = Roots::load(None).unwrap();
    server.stop();
    let error = SqlServerSink::open(&url, &roots).err().unwrap();
    assert_transient(error);
    // Accepts, and never says anything.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = SqlServerUrl {
        hosts: vec![dbsync2::destination::sql::url::Host {
            name: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        }],
        connect_timeout: Duration::from_millis(200),
        ..url
    };
    let error = SqlServerSink::open(&silent, &roots).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("no answer within the time limit"),
        "{error}"
    );
    assert_transient(error);
    let thread = std::thread::spawn(move || {
        use std::io::Write;
        for client in listener.incoming().take(2).skip(1) {
            client
                .unwrap()
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
        }
    });
    let message = setup_error(&silent, &roots);
    assert!(
        message.contains("does not speak SQL Server's protocol"),
        "{message}"
    );
    thread.join().unwrap();
}

/// As a firewall does it that drops what it does not like: the server's queue of connections is full.
#[test]
fn a_way_that_swallows_everything_ends_with_the_time_limit() {
    use socket2::{Domain, SockAddr, Socket, Type};
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = socket();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&SockAddr::from(any)).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = [(); 4].map(|()| {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        // It is under way then, which is an error here.
        let _ = client.connect(&address);
        client
    });
    let (_server, url) = tds(Options::default());
    let mut url = parsed(&url);
    url.hosts[0].port = address.as_socket_ipv4().unwrap().port();
    url.connect_timeout = Duration::from_millis(300);
    let begin = Instant::now();
    let error = SqlServerSink::open(&url, &Roots::load(None).unwrap())
        .err()
        .unwrap();
    let message = error.to_string();
    assert!(
        message.ends_with(": no answer within the time limit"),
        "{message}"
    );
    assert_transient(error);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// A server that accepts, and sends these bytes one by one, for ever.
fn dripping(bytes: &'static [u8]) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        for client in listener.incoming() {
            let mut client = client.unwrap();
            std::thread::spawn(move || {
                for byte in bytes.iter().cycle() {
                    if client.write_all(&[*byte]).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    port
}

#[test]
fn all_of_connecting_ends_with_the_time_limit() {
    let (_server, url) = tds(Options::default());
    let roots = Roots::load(None).unwrap();
    // Half a PRELOGIN answer again and again, half a TLS handshake again and again, and nothing at all.
    let prelogin: &[u8] = &[4, 0, 0, 9, 0, 0, 1, 0, 0];
    let tls: &[u8] = &[0x16, 3, 3, 0x40, 0];
    for (bytes, encryption, said) in [
        (
            prelogin,
            Encryption::Full,
            "no answer within the time limit",
        ),
        (
            prelogin,
            Encryption::Nothing,
            "no answer within the time limit",
        ),
        (
            tls,
            Encryption::Strict,
            "encrypt=strict needs SQL Server 2022",
        ),
        (
            b"",
            Encryption::Strict,
            "encrypt=strict needs SQL Server 2022",
        ),
    ] {
        let port = match bytes {
            b"" => silent(),
            bytes => dripping(bytes),
        };
        let mut url = SqlServerUrl {
            encryption,
            connect_timeout: Duration::from_secs(1),
            ..parsed(&url)
        };
        url.hosts[0].port = port;
        let begin = Instant::now();
        let error = SqlServerSink::open(&url, &roots).err().unwrap();
        assert!(error.to_string().contains(said), "{encryption:?}: {error}");
        assert_transient(error);
        assert!(begin.elapsed() < Duration::from_secs(20), "{encryption:?}");
    }
}

/// A port whose connections are accepted by the system, and by nobody else, for as long as the tests run.
fn silent() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::mem::forget(listener);
    port
}

#[test]
fn a_silent_browser_ends_with_the_time_limit() {
    let (_server, url) = tds(Options::default());
    let browser = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut url = parsed(&url);
    url.instance = Some("SQLEXPRESS".to_owned());
    url.ask_browser = true;
    url.hosts[0].port = browser.local_addr().unwrap().port();
    url.connect_timeout = Duration::from_millis(300);
    let error = SqlServerSink::open(&url, &Roots::load(None).unwrap())
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("no answer within the time limit"),
        "{error}"
    );
    assert_transient(error);
}

#[test]
fn what_a_server_says_before_it_lets_anybody_in_is_bounded() {
    let open = |greetings: usize| {
        let (server, url) = tds(Options {
            greetings,
            ..Options::default()
        });
        (open(&url).map(drop), server)
    };
    // About 2,000 bytes each; 64 KiB are allowed.
    open(30).0.unwrap();
    let error = open(40).0.unwrap_err();
    assert!(error.to_string().contains("longer than any"), "{error}");
    assert_transient(error);
}

#[test]
fn answers_without_end_end_the_connection() {
    // Rows, to the last one that is allowed, and one more.
    let database = fresh();
    let contacts = schema(&[]);
    let mut sink = prepared(&database, &contacts);
    let mut batch = empty(&contacts);
    for number in 0..10_001 {
        let id = format!("C{number}");
        add(
            &mut batch,
            &contacts,
            Table::Contacts,
            &[("$id", Some(&id))],
        );
    }
    sink.write(&batch).unwrap();
    let mut read = |most: usize| (sink.sample(Table::Contacts, most)).map(|keys| keys.len());
    assert_eq!(read(10_000).unwrap(), 10_000);
    let error = read(10_001).unwrap_err();
    assert!(error.to_string().contains("more rows than any"), "{error}");
    assert_transient(error);
    // More bytes than any answer has.
    let database = fresh();
    database.execute(
        "CREATE TABLE dfire_contacts ([$id] nvarchar(50) NOT NULL PRIMARY KEY, [$md5] nvarchar(max))",
    );
    database.execute(
        "INSERT INTO dfire_contacts ([$id], [$md5]) VALUES ('C1', REPLICATE(CONVERT(nvarchar(max), N'x'), 9000000)), ('C2', 'm')",
    );
    let mut sink = open(&database.url).unwrap();
    sink.prepare(&contacts).unwrap();
    assert_eq!(sink.stored(&["C2"]).unwrap().len(), 1);
    let error = sink.stored(&["C1"]).unwrap_err();
    assert!(error.to_string().contains("longer than any"), "{error}");
    assert_transient(error);
}

fn roots_of(file: &str) -> Roots {
    Roots::load(Some(&certificates().join(file))).unwrap()
}

fn written_with(url: &SqlServerUrl, roots: &Roots) -> String {
    let (schema, batch) = small();
    let mut sink = SqlServerSink::open(url, roots).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(sink.stored(&["C1"]).unwrap().len(), 1);
    let lines = sink.check(&schema).unwrap();
    let line = lines.into_iter().find(|line| line.subject == "encryption");
    line.unwrap().outcome.unwrap()
}

#[test]
fn each_kind_of_encryption_against_each_kind_of_server() {
    let roots = roots_of("ca.pem");
    for (offer, encryption, outcome) in [
        (Offer::Offered, Encryption::Full, Ok("encrypted")),
        (
            Offer::Offered,
            Encryption::Login,
            Ok("only the log-in is encrypted"),
        ),
        (Offer::Offered, Encryption::Nothing, Ok("not encrypted")),
        (Offer::Offered, Encryption::Strict, Ok("encrypted")),
        (Offer::Required, Encryption::Full, Ok("encrypted")),
        (Offer::Required, Encryption::Login, Ok("encrypted")),
        (
            Offer::Required,
            Encryption::Nothing,
            Err("insists on encryption"),
        ),
        (
            Offer::Unsupported,
            Encryption::Full,
            Err("has no encryption"),
        ),
        (
            Offer::Unsupported,
            Encryption::Login,
            Err("has no encryption"),
        ),
        (Offer::Unsupported, Encryption::Nothing, Ok("not encrypted")),
    ] {
        let (_server, url) = tds(Options {
            encryption: offer,
            ..Options::default()
        });
        let url = SqlServerUrl {
            encryption,
            ..parsed(&url)
        };
        match outcome {
            Ok(words) => {
                assert_eq!(
                    written_with(&url, &roots),
                    words,
                    "{offer:?} {encryption:?}"
                );
            }
            Err(words) => {
                let message = setup_error(&url, &roots);
                assert!(
                    message.contains(words),
                    "{offer:?} {encryption:?}: {message}"
                );
            }
        }
    }
}

#[test]
fn certificates_are_verified_unless_told_otherwise() {
    let (_server, url) = tds(Options::default());
    for encryption in [Encryption::Full, Encryption::Login, Encryption::Strict] {
        let url = SqlServerUrl {
            encryption,
            ..parsed(&url)
        };
        for roots in [Roots::load(None).unwrap(), roots_of("other-ca.pem")] {
            let message = setup_error(&url, &roots);
            assert!(message.contains("--ca-file"), "{message}");
            assert!(message.contains("trustServerCertificate=true"), "{message}");
        }
        let trusting = SqlServerUrl {
            trust_certificate: true,
            ..url.clone()
        };
        written_with(&trusting, &Roots::load(None).unwrap());
        written_with(&trusting, &roots_of("other-ca.pem"));
        // The certificate itself is as good as its authority's.
        written_with(&url, &roots_of("server.pem"));
    }
    let (_server, url) = tds(Options {
        certificate: "wrong-host",
        ..Options::default()
    });
    let url = SqlServerUrl {
        encryption: Encryption::Full,
        ..parsed(&url)
    };
    let message = setup_error(&url, &roots_of("ca.pem"));
    assert!(message.contains("certificate"), "{message}");
}

/// SQL Server's own certificates are often so.
#[test]
fn whoever_answers_is_trusted_with_a_certificate_of_version_1() {
    let (_server, url) = tds(Options {
        certificate: Box::leak(version_1().into_boxed_str()),
        ..Options::default()
    });
    for encryption in [Encryption::Full, Encryption::Login, Encryption::Strict] {
        let url = SqlServerUrl {
            encryption,
            ..parsed(&url)
        };
        let message = setup_error(&url, &Roots::load(None).unwrap());
        assert!(
            message.contains("X.509 certificate of version 1"),
            "{message}"
        );
        let trusting = SqlServerUrl {
            trust_certificate: true,
            ..url
        };
        written_with(&trusting, &Roots::load(None).unwrap());
    }
}

#[test]
fn the_file_of_the_url_is_trusted_in_place_of_that_of_the_command_line() {
    let (server, _) = tds(Options::default());
    let file = |name: &str| certificates().join(name).display().to_string();
    let url = format!(
        "{}?caFile={}",
        server.url(),
        file("ca.pem").replace('/', "%2F")
    );
    let other = file("other-ca.pem");
    let mut sink = Target::new(&url, Some(Path::new(&other)))
        .unwrap()
        .open()
        .unwrap();
    sink.prepare(&small().0).unwrap();
    let target = Target::new(&server.url(), Some(Path::new(&other))).unwrap();
    assert_eq!(target.open().err().unwrap().kind(), ErrorKind::Setup);
    assert_eq!(
        target.display(),
        format!("sqlserver://127.0.0.1:{}/dbsync_test", server.port())
    );
}

#[test]
fn an_instance_is_found_by_its_browser() {
    let (server, url) = tds(Options {
        instance: Some("SQLEXPRESS".to_owned()),
        ..Options::default()
    });
    let ask = |instance: &str| {
        let mut url = parsed(&url);
        url.instance = Some(instance.to_owned());
        url.ask_browser = true;
        url.hosts[0].port = server.browser_port();
        url
    };
    assert_eq!(
        written_with(&ask("sqlexpress"), &Roots::load(None).unwrap()),
        "not encrypted"
    );
    let error = SqlServerSink::open(&ask("nobody"), &Roots::load(None).unwrap())
        .err()
        .unwrap();
    assert!(error.to_string().contains("SQL Server Browser"), "{error}");
    assert_transient(error);
}

/// What is known of such systems: see the option.
#[test]
fn what_is_only_compatible_with_sql_server_is_written_to_alike() {
    let (server, url) = tds(Options {
        compatible: true,
        ..Options::default()
    });
    let long = |end: &str| format!("{} {end}", "Zuständige Abteilung ".repeat(4));
    let (first, second) = (long("Anfang"), long("Ende"));
    let schema = schema(&[
        (first.as_str(), ColumnKind::Text),
        (second.as_str(), ColumnKind::Text),
        ("Titel", ColumnKind::Text),
        ("titel_438be0a3", ColumnKind::Text),
        ("amount", ColumnKind::Number),
    ]);
    for (amount, note) in [("1", "a"), ("0.30000000000000004", "b")] {
        let mut sink = open(&url).unwrap();
        // Also where the tables are there already, which are known by their primary keys.
        assert_eq!(sink.prepare(&schema).unwrap(), []);
        let columns = sink.columns(schema.table(Table::Contacts)).unwrap();
        assert!(columns.contains(&first) && columns.contains(&second));
        assert!(columns.contains(&"Titel".to_owned()), "{columns:?}");
        let values = [
            ("$id", Some("C1")),
            (first.as_str(), Some(note)),
            (second.as_str(), Some("other")),
            ("amount", Some(amount)),
        ];
        sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
        let row = &server.dump("dfire_contacts")["C1"];
        let of = |column: &str| row[column].as_deref();
        assert_eq!(
            (of(&first), of(&second), of("amount")),
            (Some(note), Some("other"), Some(amount))
        );
    }
}

#[test]
fn old_and_new_servers_are_written_to_alike() {
    for version in [Version::V2008R2, Version::V2016, Version::V2019] {
        let (server, url) = tds(Options {
            version,
            ..Options::default()
        });
        let schema = schema(&[("note", ColumnKind::Text)]);
        let mut sink = open(&url).unwrap();
        sink.prepare(&schema).unwrap();
        for note in ["a", "b"] {
            let values = [("$id", Some("C1")), ("note", Some(note))];
            sink.write(&one(&schema, Table::Contacts, &values)).unwrap();
        }
        assert_eq!(
            server.dump("dfire_contacts")["C1"]["note"].as_deref(),
            Some("b")
        );
        let (user, application, _) = server.logins().pop().unwrap();
        assert_eq!((user.as_str(), application.as_str()), ("dbsync", "dbsync2"));
    }
}
