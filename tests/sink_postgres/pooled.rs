//! Behind a PgBouncer in transaction mode: each transaction may meet another session, and each session another client.

use super::*;
use crate::support::compare::assert_equal;
use crate::support::database::{Database as TestDatabase, fresh_database};
use crate::support::program::{Program, assert_only_contacts_lost};
use crate::support::servers::{Kind, PrivateServer, pooler, postgres_url, private_server, standby};
use crate::support::simulator::{Config, Simulator, TruthFilter};

fn port_of(url: &str) -> u16 {
    let (_, place) = url.rsplit_once('@').unwrap();
    let (host, _) = place.split_once('/').unwrap();
    host.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// The address of a database through the pooler.
fn through(pooler: &PrivateServer, url: &str) -> String {
    url.replace(
        &format!("127.0.0.1:{}", port_of(url)),
        &format!("127.0.0.1:{}", pooler.port()),
    )
}

/// What another client meets in the pool's sessions, all of them, as text.
fn left_behind(pooler: &PrivateServer, url: &str) -> Vec<String> {
    let connect = || {
        let mut client = Client::connect(&through(pooler, url), NoTls).unwrap();
        client.batch_execute("BEGIN").unwrap();
        client
    };
    // As many at once as the pool has sessions.
    let mut clients: Vec<Client> = (0..3).map(|_| connect()).collect();
    clients
        .iter_mut()
        .flat_map(|client| {
            let rows = client
                .simple_query(
                    "SELECT name || ' = ' || setting FROM pg_settings WHERE source = 'session' AND name NOT IN ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable') \
                     UNION ALL SELECT 'advisory lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() \
                     UNION ALL SELECT 'statement ' || name FROM pg_prepared_statements \
                     UNION ALL SELECT 'role ' || current_user WHERE current_user <> session_user",
                )
                .unwrap();
            rows.into_iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                    _ => None,
                })
                .collect::<Vec<_>>()
        })
        .filter(|setting| !setting.starts_with("application_name") && !setting.starts_with("client_encoding"))
        .collect()
}

#[test]
fn a_whole_copy_with_changes_leaves_the_pool_as_it_was() {
    let database = fresh_database(Kind::Postgres);
    let pooler = pooler(port_of(&database.url));
    let sim = Simulator::start(Config {
        contacts: 300,
        daily_share: 3.0,
        long_texts: false,
        ..Config::default()
    });
    let program = Program::new(&sim, &through(&pooler, &database.url));
    program.succeed("check");
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
    assert_eq!(left_behind(&pooler, &database.url), [""; 0]);

    // Later fields become columns, and too narrow a column, under a view, becomes wider.
    database.execute(
        "DELETE FROM dfire_contacts; ALTER TABLE dfire_contacts ALTER \"$phone\" TYPE varchar(3); \
         CREATE VIEW report AS SELECT \"$phone\" FROM dfire_contacts",
    );
    sim.advance(std::time::Duration::from_secs(2 * 3600));
    program.succeed_once();
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
    assert_eq!(left_behind(&pooler, &database.url), [""; 0]);
    let log = program.log();
    assert!(log.contains("through a connection pooler"), "{log}");
    assert_only_contacts_lost(&log);
    let count = database.query("SELECT count(*) FROM report WHERE length(\"$phone\") > 3");
    assert_ne!(count[0][0].as_deref(), Some("0"));
}

#[test]
fn settings_of_the_address_and_of_the_role_work_in_each_transaction() {
    let mut db = Database::new("pooled");
    let url = postgres_url();
    let pooler = pooler(port_of(&url));
    db.url.servers = Servers::Tcp(vec![Host {
        name: "127.0.0.1".to_owned(),
        port: pooler.port(),
    }]);
    let schema = Schema::new("p_");
    // Two connections take turns in three sessions, while others hold some of them.
    let mut sinks = [db.open(), db.open()];
    let mut busy = Client::connect(&through(&pooler, &url), NoTls).unwrap();
    for (nth, sink) in sinks.iter_mut().enumerate() {
        sink.prepare(&schema).unwrap();
        busy.batch_execute("BEGIN").unwrap();
        write_contact(sink, &schema, &[("$id", &nth.to_string()), ("$md5", "m")]).unwrap();
        assert_eq!(sink.index(&schema).unwrap(), []);
        busy.batch_execute("COMMIT").unwrap();
    }
    assert_eq!(sinks[0].stored(&["0", "1", "2"]).unwrap().len(), 2);
    assert_eq!(
        sinks[1]
            .distrust_after("2024-03-05T09:15:42Z", "camp")
            .unwrap(),
        2
    );
    let count = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                 WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid AND NOT i.indisprimary";
    assert_eq!(db.value(count).as_deref(), Some("9"));
    assert_eq!(left_behind(&pooler, &url), [""; 0]);
    // The same by its Unix socket.
    let by_name = db.url.servers.clone();
    db.url.servers = Servers::Socket {
        path: pooler.directory().join("pgbouncer"),
        port: pooler.port(),
    };
    for options in [db.url.options.clone(), None] {
        let mut url = db.url.clone();
        url.options = options;
        let mut sink = PostgresSink::open(&url, &roots()).unwrap();
        let line = sink.check(&schema).unwrap()[0].outcome.clone().unwrap();
        assert!(line.contains("through a connection pooler"), "{line}");
    }
    assert_eq!(left_behind(&pooler, &url), [""; 0]);
    db.url.servers = by_name;
    // What is no setting can't be passed on.
    db.url.options = Some("-e".to_owned());
    let error = refused(PostgresSink::open(&db.url, &roots()));
    assert_error(
        &error,
        ErrorKind::Setup,
        &["pooler", "`options`", "check --url"],
    );
}

#[test]
fn a_pooler_that_is_pointed_to_a_standby_is_waited_for() {
    let primary = private_server(Kind::Postgres);
    let standby = standby(&primary);
    let pooler = pooler(standby.port());
    let DatabaseUrl::Postgres(url) = DatabaseUrl::parse(&pooler.url).unwrap() else {
        panic!("{}", pooler.url);
    };
    let error = refused(PostgresSink::open(&url, &roots()));
    assert_error(&error, ErrorKind::Transient, &["read-only", "standby"]);
    standby.promote();
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    sink.prepare(&Schema::new("p_")).unwrap();
    let promoted = TestDatabase::at(Kind::Postgres, standby.url.clone());
    assert_eq!(
        promoted.query("SELECT count(*) FROM p_contacts")[0][0].as_deref(),
        Some("0")
    );
}
