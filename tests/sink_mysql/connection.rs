//! Opening connections: log-in, TLS, several hosts, losses.

use super::*;

/// As a server does whose disk or machine stands still, or a firewall that has forgotten the connection.
#[test]
fn a_connection_on_which_nothing_comes_any_more_is_given_up() {
    let mut db = Database::new("standstill");
    let schema = schema(&[]);
    let proxy = Proxy::start(&host().name, host().port);
    for tls in [TlsMode::Disable, TlsMode::Require] {
        let url = MysqlUrl {
            servers: Servers::Tcp(vec![Host {
                name: "127.0.0.1".to_owned(),
                port: proxy.port(),
            }]),
            tls,
            ..db.url()
        };
        let roots = Roots::load(None).unwrap();
        let seconds = Duration::from_secs;
        let mut sink = MysqlSink::open_waiting(&url, &roots, seconds(1), seconds(2)).unwrap();
        sink.prepare(&schema).unwrap();
        let row = |id| one(&schema, Table::Contacts, &[("$id", Some(id))]);
        sink.write(&row("A")).unwrap();
        proxy.silence();
        let error = sink.write(&row("B")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        assert!(
            error
                .to_string()
                .contains("no answer within the time limit"),
            "{error}"
        );
        drop(sink);
        let mut sink = open(&url).unwrap();
        sink.prepare(&schema).unwrap();
        sink.write(&row("B")).unwrap();
        let table = &schema.table(Table::Contacts).name;
        let ids = db.rows(&format!("SELECT `$id` FROM {table} ORDER BY 1"));
        assert_eq!(ids, ["A", "B"]);
        db.run(&format!("DELETE FROM {table}"));
    }
}

#[test]
fn a_killed_connection_is_passing_trouble_and_a_new_one_works() {
    let mut db = Database::new("killed");
    let schema = schema(&[]);
    let batch = one(&schema, Table::Contacts, &[("$id", Some("a"))]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let name = db.name.clone();
    let sql = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND ID <> CONNECTION_ID()"
    );
    for id in db.rows(&sql) {
        // One that is about to end anyway may be gone by now.
        let _ = db.conn.query_drop(format!("KILL {id}"));
    }
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    // A connection that broke is never used again.
    let error = sink.write(&batch).unwrap_err();
    assert!(
        error.to_string().contains("the connection was lost"),
        "{error}"
    );
    assert_eq!(
        sink.stored(&["a"]).unwrap_err().kind(),
        ErrorKind::Transient
    );
    assert_eq!(
        sink.prepare(&schema).unwrap_err().kind(),
        ErrorKind::Transient
    );
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(db.rows("SELECT `$id` FROM dfire_contacts"), ["a"]);
}

#[test]
fn a_lock_of_another_session_is_passing_trouble_and_never_waited_for_long_to_widen() {
    let mut db = Database::new("locked");
    let schema = schema(&[]);
    let roots = Roots::load(None).unwrap();
    let mut sink = MysqlSink::open_waiting(
        &db.url(),
        &roots,
        Duration::from_secs(1),
        Duration::from_secs(300),
    )
    .unwrap();
    sink.prepare(&schema).unwrap();
    let batch = one(
        &schema,
        Table::Contacts,
        &[("$id", Some("a")), ("$md5", Some("new"))],
    );
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("a"))]))
        .unwrap();
    db.run("BEGIN");
    db.run("UPDATE dfire_contacts SET `$ref` = 'held'");
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(
        error.to_string().contains("a lock was not granted in time"),
        "{error}"
    );
    // Widening waits for the same session.
    let wide = "w".repeat(120);
    let error = sink
        .write(&one(&schema, Table::Transactions, &[("id", Some(&wide))]))
        .map(|()| "written");
    assert_eq!(error, Ok("written"));
    db.run("UPDATE dfire_transactions SET actor = 'held'");
    let wider = "w".repeat(200);
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        let error = sink
            .write(&one(&schema, Table::Transactions, &[("id", Some(&wider))]))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{begun:?}");
    db.run("COMMIT");
    sink.write(&batch).unwrap();
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    sink.write(&one(&schema, Table::Transactions, &[("id", Some(&wider))]))
        .unwrap();
    assert_eq!(db.rows("SELECT `$md5` FROM dfire_contacts"), ["new"]);
    assert_eq!(
        db.rows("SELECT length(id) FROM dfire_transactions ORDER BY 1"),
        ["120", "200"]
    );
}

#[test]
fn log_in_errors_say_what_to_do() {
    let mut db = Database::new("login");
    let place = host().to_string();
    let wrong = MysqlUrl {
        password: dbsync2::net::secret::Secret::new("hush"),
        ..db.url()
    };
    let error = open_error(&wrong);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot log in to MySQL at {place} as \"{}\": user or password rejected (check --url)",
            wrong.user
        )
    );
    let nowhere = MysqlUrl {
        database: "dbsync_no_such".to_owned(),
        ..db.url()
    };
    let error = open_error(&nowhere);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error
            .to_string()
            .contains("there is no database dbsync_no_such (check --url"),
        "{error}"
    );
    let outside = MysqlUrl {
        database: "mysql".to_owned(),
        ..db.user("login", "SELECT")
    };
    let error = open_error(&outside);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error
            .to_string()
            .contains("no access to the database mysql (check its name in --url, or: GRANT"),
        "{error}"
    );
    let mut reader = open(&MysqlUrl {
        database: db.name.clone(),
        ..outside
    })
    .unwrap();
    let error = reader.prepare(&schema(&[])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error.to_string().contains("CREATE command denied"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX"),
        "{error}"
    );
}

#[test]
fn hosts_are_tried_in_order_and_a_socket_works() {
    let mut db = Database::new("hosts");
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Host {
            name: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        }
    };
    let both = MysqlUrl {
        servers: Servers::Tcp(vec![dead.clone(), host()]),
        ..db.url()
    };
    open(&both).unwrap().prepare(&schema(&[])).unwrap();
    let none = MysqlUrl {
        servers: Servers::Tcp(vec![dead.clone(), dead.clone()]),
        ..db.url()
    };
    let error = open_error(&none);
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(
        error
            .to_string()
            .matches(&format!("cannot log in to MySQL at {dead}"))
            .count(),
        2,
        "{error}"
    );
    // Where `localhost` is `::1` first, the server listens at 127.0.0.1 only.
    let named = Host {
        name: "localhost".to_owned(),
        port: host().port,
    };
    open(&MysqlUrl {
        servers: Servers::Tcp(vec![named]),
        ..db.url()
    })
    .unwrap();
    // The socket's path may be relative to the data.
    let path = PathBuf::from(db.rows("SELECT @@datadir").concat())
        .join(db.rows("SELECT @@socket").concat());
    let socket = |path: PathBuf| MysqlUrl {
        servers: Servers::Socket { path, port: 3306 },
        ..db.url()
    };
    open(&socket(path)).unwrap().prepare(&schema(&[])).unwrap();
    let error = open_error(&socket("/nonexistent/my.sock".into()));
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("MySQL at /nonexistent/my.sock"),
        "{error}"
    );
}

#[test]
fn a_server_that_talks_nonsense_is_passing_trouble() {
    for answer in [
        &greeting_and_a_key_that_is_none()[..],
        b"\x00\x00\x00\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x01\x00\x00\x00\x0a",
        b"",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut client, _) = listener.accept().unwrap();
                client.write_all(answer).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = client.read_to_end(&mut Vec::new());
            });
            let servers = Servers::Tcp(vec![Host {
                name: "127.0.0.1".to_owned(),
                port,
            }]);
            open_error(&MysqlUrl {
                servers,
                tls: TlsMode::Disable,
                ..server()
            })
        });
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    }
}
