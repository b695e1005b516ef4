//! A cluster of three nodes, each of which can be written to: whichever is out of it, or out of service, is left for the
//! next one, and nothing is lost.

use std::time::Duration;

use dbsync2::destination::sql::Sink;
use dbsync2::destination::sql::mysql::MysqlSink;
use dbsync2::destination::sql::url::DatabaseUrl;
use dbsync2::error::ErrorKind;
use dbsync2::net::tls::Roots;
use dbsync2::tables::schema::{Schema, Table};
use mysql::prelude::Queryable;

use crate::sink_rows::{add, empty, one};
use crate::support::compare::assert_equal;
use crate::support::database::Database;
use crate::support::program::{Program, tail};
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

/// Rows that a node had not applied yet when it was asked are no lost rows.
fn assert_nothing_counts_as_lost(program: &Program) {
    let log = program.log();
    for said in [
        "restored",
        "not there any more",
        "lost their values",
        "everything is copied again",
    ] {
        assert!(!log.contains(said), "{}", tail(&log));
    }
}

/// Takes one node out of service for all that this function does.
fn without(node: &PrivateServer, work: impl FnOnce()) {
    let reject = |whom: &str| {
        let sql = format!("SET GLOBAL wsrep_reject_queries = '{whom}'");
        node.database().execute(&sql);
    };
    reject("ALL_KILL");
    work();
    reject("NONE");
}

/// A node that is met before it has applied what another one was told is waited for, and not taken for one that lost it.
fn a_node_that_lags_is_waited_for(
    sim: &Simulator,
    program: &Program,
    [first, second, third]: [&PrivateServer; 3],
) {
    let options = mysql::Opts::from_url(&second.url).unwrap();
    let mut lock = mysql::Conn::new(options).unwrap();
    // It goes on receiving, and applies nothing.
    lock.query_drop("FLUSH TABLES WITH READ LOCK").unwrap();
    sim.advance(3 * HOUR);
    program.succeed_once();
    let count = |server: &PrivateServer| server.database().dump("dfire_transactions").len();
    assert!(count(first) > count(second));
    let meet = || {
        let running = program.start_with("db_sync", &["--once"]);
        let begun = std::time::Instant::now();
        let waits = "SELECT COUNT(*) FROM information_schema.processlist \
                     WHERE command = 'Query' AND time >= 1 AND db IS NOT NULL AND id <> CONNECTION_ID()";
        while lock.query_first::<u32, _>(waits).unwrap() == Some(0) {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody waits");
            std::thread::sleep(Duration::from_millis(50));
        }
        lock.query_drop("UNLOCK TABLES").unwrap();
        let ended = running.wait(Duration::from_secs(120));
        assert_eq!(ended.code, Some(0), "{}", tail(&program.log()));
        assert_equal(sim, &TruthFilter::default(), &second.database());
    };
    without(first, || without(third, meet));
    assert_nothing_counts_as_lost(program);
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

    a_node_that_lags_is_waited_for(&sim, &program, [first, second, third]);
    // Each round meets another node than the one before wrote to, at once.
    for _ in 0..3 {
        for node in &nodes[..2] {
            without(node, || {
                sim.advance(HOUR);
                program.succeed_once();
            });
        }
    }
    changes(&sim, &program, second);

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
    assert_nothing_counts_as_lost(&program);
}
