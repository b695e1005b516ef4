//! What errors of the server lead to.

use super::*;

#[test]
fn what_the_servers_errors_lead_to() {
    let (server, url) = tds(Options::default());
    let (schema, batch) = small();
    for (number, kind) in [
        (1205, ErrorKind::Transient),
        (1222, ErrorKind::Transient),
        (3906, ErrorKind::Transient),
        (229, ErrorKind::Setup),
        (515, ErrorKind::Data),
        (9002, ErrorKind::Transient),
    ] {
        let mut sink = open(&url).unwrap();
        sink.prepare(&schema).unwrap();
        server.fail_next(number, 1);
        let error = sink.write(&batch).unwrap_err();
        assert_eq!(error.kind(), kind, "{number}: {error}");
        assert!(
            error.to_string().contains(&format!("(error {number})")) || number == 229,
            "{error}"
        );
        assert_eq!(
            server.dump("dfire_contacts").len(),
            0,
            "{number}: rolled back"
        );
        sink.write(&batch).unwrap();
        assert_eq!(server.dump("dfire_contacts").len(), 1, "{number}");
        server.execute("DELETE FROM dfire_contacts");
    }
}

#[test]
fn a_duplicate_key_is_read_again_once_and_never_for_ever() {
    let (server, url) = tds(Options::default());
    let (schema, batch) = small();
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    // Another session was faster: the second attempt finds the row.
    server.fail_next(2627, 1);
    sink.write(&batch).unwrap();
    assert_eq!(server.dump("dfire_contacts").len(), 1);
    // Two keys that only the server takes for equal: the batch is refused, and so split.
    server.fail_next(2627, 2);
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(server.controls().pending_failures(), 0);
    sink.write(&batch).unwrap();
}

#[test]
fn a_connection_lost_anywhere_is_passing_trouble() {
    let (server, url) = tds(Options::default());
    let schema = schema(&[]);
    let mut batch = empty(&schema);
    for number in 0..500 {
        let id = format!("C{number}");
        add(&mut batch, &schema, Table::Contacts, &[("$id", Some(&id))]);
    }
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    server.controls().break_bulk_load_at(300);
    assert_transient(sink.write(&batch).unwrap_err());
    assert_transient(sink.write(&batch).unwrap_err());
    assert_eq!(server.dump("dfire_contacts").len(), 0);
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    server.drop_connections();
    assert_transient(sink.stored(&["C1"]).unwrap_err());
    assert_eq!(server.dump("dfire_contacts").len(), 500);
}

/// Another session holds the table: the lock time-out ends the wait.
#[test]
fn a_lock_that_is_held_for_long_is_passing_trouble() {
    let database = fresh();
    let (schema, batch) = small();
    prepared(&database, &schema);
    let mut other = SqlServerClient::connect(&database.url).unwrap();
    other
        .run("BEGIN TRANSACTION; DELETE FROM dfire_contacts WITH (TABLOCKX) WHERE [$id] = ''")
        .unwrap();
    let mut sink = SqlServerSink::open_waiting(
        &parsed(&database.url),
        &Roots::load(None).unwrap(),
        Duration::from_millis(300),
    )
    .unwrap();
    // Reading the catalogue may wait for the lock, too.
    let begin = Instant::now();
    let error = sink
        .prepare(&schema)
        .err()
        .or_else(|| sink.write(&batch).err());
    assert_transient(error.expect("the lock is held"));
    assert!(begin.elapsed() < Duration::from_secs(20));
    other.run("ROLLBACK TRANSACTION").unwrap();
    let mut sink = open(&database.url).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
}

#[test]
fn log_in_and_database_are_refused_with_a_sentence() {
    let (_server, url) = tds(Options::default());
    let roots = Roots::load(None).unwrap();
    let good = parsed(&url);
    let wrong = SqlServerUrl {
        password: dbsync2::cli::settings::Secret::new("hush"),
        ..good.clone()
    };
    let message = setup_error(&wrong, &roots);
    assert!(
        message.contains("18456") && message.contains("--url"),
        "{message}"
    );
    assert!(!message.contains("hush"), "{message}");
    let wrong = SqlServerUrl {
        database: "nowhere".to_owned(),
        ..good
    };
    let message = setup_error(&wrong, &roots);
    assert!(message.contains("no database nowhere"), "{message}");
}

#[test]
fn missing_privileges_and_read_only_databases_are_said_plainly() {
    let reader = User {
        name: "reader".to_owned(),
        password: "pw".to_owned(),
        rights: Rights::read_only(),
    };
    let (_server, url) = tds(Options {
        users: vec![reader],
        ..Options::default()
    });
    let (schema, _) = small();
    let mut sink = open(&url).unwrap();
    let error = sink.prepare(&schema).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    assert!(
        error.to_string().contains("grant") && error.to_string().contains("CREATE TABLE"),
        "{error}"
    );
    let lines = sink.check(&schema).unwrap();
    let wrong: Vec<&str> = lines
        .iter()
        .filter(|line| line.outcome.is_err())
        .map(|line| line.subject.as_str())
        .collect();
    assert_eq!(wrong, ["privilege CREATE TABLE", "privilege ALTER"]);
    let (_server, url) = tds(Options {
        read_only: true,
        ..Options::default()
    });
    let error = open(&url).err().unwrap();
    assert!(error.to_string().contains("secondary replica"), "{error}");
    assert_transient(error);
}

#[test]
fn a_secondary_replica_is_left_for_the_next_host() {
    let (_secondary, read_only) = tds(Options {
        read_only: true,
        ..Options::default()
    });
    let (primary, url) = tds(Options::default());
    let mut url = parsed(&url);
    url.hosts.splice(0..0, parsed(&read_only).hosts);
    let (schema, batch) = small();
    let mut sink = SqlServerSink::open(&url, &Roots::load(None).unwrap()).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(primary.dump("dfire_contacts").len(), 1);
}
