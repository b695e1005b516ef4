//! Several hosts: a primary and its standby, and hosts that are out of order.

use std::time::{Duration, Instant};

use super::connection::{answering, closed_port};
use super::*;
use crate::support::servers::{Kind, private_server, standby};

fn parsed(url: &str) -> PostgresUrl {
    match DatabaseUrl::parse(url).unwrap() {
        DatabaseUrl::Postgres(url) => url,
        _ => panic!("{url}"),
    }
}

fn local(port: u16) -> Host {
    Host {
        name: "127.0.0.1".to_owned(),
        port,
    }
}

#[test]
fn the_server_that_can_be_written_to_is_found_also_after_a_failover() {
    let primary = private_server(Kind::Postgres);
    let standby = standby(&primary);
    let silent = answering("127.0.0.1", |client| {
        std::thread::park_timeout(Duration::from_secs(60));
        drop(client);
    });
    let mut url = parsed(&primary.url);
    url.connect_timeout = Duration::from_secs(2);
    url.servers = Servers::Tcp(vec![
        local(closed_port()),
        local(silent),
        local(standby.port()),
        local(primary.port()),
    ]);
    let schema = Schema::new("h_");
    let address =
        |sink: &mut PostgresSink| sink.check(&schema).unwrap()[0].outcome.clone().unwrap();
    let begin = Instant::now();
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(address(&mut sink).contains(&primary.port().to_string()));
    sink.prepare(&schema).unwrap();
    write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap();
    assert_eq!(sink.index(&schema).unwrap(), []);

    // The primary stands still, as a machine does that is cut off.
    primary.halt();
    let error = refused(PostgresSink::open(&url, &roots()));
    assert_error(
        &error,
        ErrorKind::Transient,
        &["read-only", "no answer within 2 s", "refused"],
    );
    standby.promote();
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    assert!(address(&mut sink).contains(&standby.port().to_string()));
    sink.prepare(&schema).unwrap();
    write_contact(&mut sink, &schema, &[("$id", "B")]).unwrap();
    assert_eq!(sink.index(&schema).unwrap(), []);
    primary.resume();
}

#[test]
fn a_server_that_became_read_only_is_left() {
    let mut db = Database::new("readonly");
    let schema = Schema::new("r_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    // As a server does on which an operator, or a full disk, put a stop to writing.
    db.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           RAISE EXCEPTION 'cannot execute INSERT in a read-only transaction' USING ERRCODE = '25006'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON r_contacts FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    );
    let error = write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap_err();
    assert_error(&error, ErrorKind::Transient, &["read-only"]);
    // The address itself asks for it: waiting does not help.
    db.url.options = Some("-cdefault_transaction_read_only=on".to_owned());
    assert_error(
        &refused(PostgresSink::open(&db.url, &roots())),
        ErrorKind::Setup,
        &["read-only", "default_transaction_read_only"],
    );
}

#[test]
fn an_address_of_a_name_that_is_out_of_order_is_left_for_the_next() {
    // `localhost` is ::1 and 127.0.0.1 on most computers; whichever comes first, only one of them answers.
    let db = Database::new("names");
    let mut url = db.url.clone();
    url.servers = Servers::Tcp(vec![Host {
        name: "localhost".to_owned(),
        port: host(&db.url).port,
    }]);
    PostgresSink::open(&url, &roots()).unwrap();
    url.servers = Servers::Tcp(vec![
        Host {
            name: "no-such-host.invalid".to_owned(),
            port: 5432,
        },
        host(&db.url),
    ]);
    PostgresSink::open(&url, &roots()).unwrap();
}
