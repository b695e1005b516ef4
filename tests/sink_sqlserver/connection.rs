//! Opening connections: silence, encryption, instances, and what is only compatible.

use super::*;

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
        hosts: vec![dbsync2::sink::url::Host {
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
        ("amount", ColumnKind::Number),
    ]);
    for (amount, note) in [("1", "a"), ("0.30000000000000004", "b")] {
        let mut sink = open(&url).unwrap();
        // Also where the tables are there already, which are known by their primary keys.
        assert_eq!(sink.prepare(&schema).unwrap(), []);
        let columns = sink.columns(schema.table(Table::Contacts)).unwrap();
        assert!(columns.contains(&first) && columns.contains(&second));
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
