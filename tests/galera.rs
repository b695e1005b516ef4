//! A cluster of three nodes, each of which can be written to: whichever is out of it, or out of service, is left for the
//! next one, and nothing is lost.

use std::time::Duration;

use dbsync2::error::ErrorKind;
use dbsync2::sink::Sink;
use dbsync2::sink::mysql::MysqlSink;
use dbsync2::sink::url::DatabaseUrl;
use dbsync2::tables::schema::{Schema, Table};
use dbsync2::tls::Roots;

use crate::sink_rows::{add, empty, one};
use crate::support::compare::assert_equal;
use crate::support::database::Database;
use crate::support::program::Program;
use crate::support::servers::{Kind, PrivateServer, galera_cluster};
use crate::support::simulator::{Config, Simulator, TruthFilter};

const HOUR: Duration = Duration::from_secs(3600);

/// The address of all nodes, in this order.
fn address(nodes: &[&PrivateServer]) -> String {
    let (login, _) = nodes[0].url.split_once("127.0.0.1").unwrap();
    let (_, database) = nodes[0].url.rsplit_once('/').unwrap();
    let hosts: Vec<String> = nodes
        .iter()
        .map(|node| format!("127.0.0.1:{}", node.port()))
        .collect();
    format!("{login}{}/{database}?connect_timeout=3", hosts.join(","))
}

/// Waits until a node is part of the cluster, or is not.
fn wait_until_ready(node: &PrivateServer, ready: bool) {
    let begun = std::time::Instant::now();
    let wanted = if ready { "ON" } else { "OFF" };
    loop {
        let status = node
            .database()
            .query("SHOW GLOBAL STATUS LIKE 'wsrep_ready'");
        if status[0][1].as_deref() == Some(wanted) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "wsrep_ready is not {wanted}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// By its bytes, whether the server notices while rows are written or at the end.
fn too_large_a_batch_is_to_be_split(node: &PrivateServer) {
    node.database()
        .execute("SET GLOBAL wsrep_max_ws_size = 100000");
    let url = match DatabaseUrl::parse(&node.url) {
        Ok(DatabaseUrl::Mysql(url)) => url,
        other => panic!("{other:?}"),
    };
    let schema = Schema::new("size_");
    let mut sink = MysqlSink::open(&url, &Roots::load(None).unwrap()).unwrap();
    sink.prepare(&schema).unwrap();
    let text = "x".repeat(1000);
    let mut batch = empty(&schema);
    for i in 0..150 {
        let row = [
            ("$id", Some(format!("c{i}"))),
            ("$comment", Some(text.clone())),
        ];
        let row = row
            .each_ref()
            .map(|(name, value)| (*name, value.as_deref()));
        add(&mut batch, &schema, Table::Contacts, &row);
    }
    for is_new in [true, false] {
        batch.is_new = is_new;
        let error = sink.write(&batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    }
    let small = one(&schema, Table::Contacts, &[("$id", Some("c"))]);
    sink.write(&small).unwrap();
    assert_eq!(sink.count(Table::Contacts, 1000).unwrap(), 1);
    node.database()
        .execute("SET GLOBAL wsrep_max_ws_size = 2147483647");
}

/// An hour of changes, and a round that copies them.
fn changes(sim: &Simulator, program: &Program, seen_on: &PrivateServer) {
    sim.advance(HOUR);
    program.succeed_once();
    // The node may still apply what another one was told.
    let database = Database::at(Kind::Mysql, seen_on.url.clone());
    let begun = std::time::Instant::now();
    let applied = || {
        let queued = database.query("SHOW GLOBAL STATUS LIKE 'wsrep_local_recv_queue'");
        queued[0][1].as_deref() == Some("0")
    };
    while !applied() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_equal(sim, &TruthFilter::default(), &database);
}

#[test]
fn a_node_that_is_out_of_its_cluster_or_out_of_service_is_left_for_the_next() {
    let nodes = galera_cluster();
    let [first, second, third] = [&nodes[0], &nodes[1], &nodes[2]];
    let sim = Simulator::start(Config {
        contacts: 300,
        daily_share: 0.5,
        ..Config::default()
    });
    let program = Program::new(&sim, &address(&[first, second, third]));

    // Batches that are too large for the cluster.
    for node in &nodes {
        node.database()
            .execute("SET GLOBAL wsrep_max_ws_rows = 200");
    }
    program.succeed("db_init");
    changes(&sim, &program, second);
    for node in &nodes {
        node.database().execute("SET GLOBAL wsrep_max_ws_rows = 0");
    }
    too_large_a_batch_is_to_be_split(first);

    // Out of service by its admin, with its clients or without.
    for how in ["ALL", "ALL_KILL"] {
        first
            .database()
            .execute(&format!("SET GLOBAL wsrep_reject_queries = '{how}'"));
        let checked = program.run("check");
        assert_eq!(checked.code, Some(0), "{checked:?}");
        changes(&sim, &program, third);
        first
            .database()
            .execute("SET GLOBAL wsrep_reject_queries = 'NONE'");
    }

    // Cut off from the others.
    first
        .database()
        .execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
    wait_until_ready(first, false);
    let checked = program.run("check");
    assert_eq!(checked.code, Some(0), "{checked:?}");
    changes(&sim, &program, second);
    first
        .database()
        .execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'");
    wait_until_ready(first, true);
    changes(&sim, &program, first);

    // Standing still: it accepts connections, and is silent.
    first.halt();
    let begun = std::time::Instant::now();
    sim.advance(HOUR);
    program.succeed_once();
    assert!(begun.elapsed() < Duration::from_secs(100), "{begun:?}");
    first.resume();
    wait_until_ready(first, true);
    changes(&sim, &program, third);

    // Cut off, and killed, while rows are written over it.
    let mut running = program.start("db_sync");
    running.wait_until_copied();
    first
        .database()
        .execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
    sim.advance(HOUR);
    running.wait_until_copied();
    first
        .database()
        .execute("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'");
    wait_until_ready(first, true);
    second.kill();
    sim.advance(HOUR);
    running.wait_until_copied();
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(30)).code, Some(0));
    changes(&sim, &program, first);
}
