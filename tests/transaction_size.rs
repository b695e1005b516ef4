//! A server that takes only small transactions: a batch that is too large is written in parts, the size that worked is kept,
//! and no row is taken for a bad one.

use std::time::Duration;

use crate::support::compare::assert_equal;
use crate::support::program::{Program, tail};
use crate::support::servers::{Kind, private_server_with_options};
use crate::support::simulator::{Config, Simulator, TruthFilter};

/// What the log says of each part that is refused.
const SPLIT: &str = "is refused and split";

/// The sizes of parts that worked, as the log reports them.
fn sizes(log: &str) -> Vec<usize> {
    log.lines()
        .filter_map(|line| line.split_once("the database takes "))
        .filter_map(|(_, rest)| rest.split_once(" contacts in one transaction, not "))
        .map(|(size, _)| size.parse().unwrap())
        .collect()
}

/// All that is written to the binary log at once has to fit into its cache.
fn a_small_cache_of_the_binary_log(format: &str) {
    let server = private_server_with_options(
        Kind::Mysql,
        &format!(
            "--log-bin=changes --binlog-format={format} --binlog-cache-size=4096 --max-binlog-cache-size=131072"
        ),
    );
    let database = server.database();
    let sim = Simulator::start(Config {
        contacts: 1000,
        daily_share: 2.0,
        long_texts: false,
        ..Config::default()
    });
    let program = Program::new(&sim, &server.url)
        .arg("--batch", "200")
        .arg("--l", "5");
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
    let log = program.log();
    assert!(log.contains("max_binlog_cache_size"), "{}", tail(&log));
    let found = sizes(&log);
    assert!(
        !found.is_empty() && found.iter().all(|size| (1..1000).contains(size)),
        "{found:?}"
    );
    // With the size that worked most parts are taken: without it, each of the four later batches would be split from its
    // whole size on, which takes as many refusals as it has parts.
    let size = *found.iter().find(|size| **size < 200).unwrap();
    let (_, later) = log
        .split_once(&format!("the database takes {size} "))
        .unwrap();
    let (splits, without) = (later.matches(SPLIT).count(), 4 * 200_usize.div_ceil(size));
    assert!(splits < without / 2, "{splits} of {without}, {found:?}");

    // Rows that are there already are updated, which takes twice the room.
    for _ in 0..2 {
        sim.advance(Duration::from_secs(24 * 3600));
        program.succeed_once();
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
    assert_nothing_set_aside(&program);
}

fn assert_nothing_set_aside(program: &Program) {
    for entry in std::fs::read_dir(program.directory().join("state")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains(".rejected."), "{name}");
    }
    let log = program.log();
    assert!(
        !log.contains("set aside") && !log.contains("takes no rows"),
        "{}",
        tail(&log)
    );
}

#[test]
fn a_small_cache_of_mariadbs_binary_log_of_rows_makes_batches_smaller() {
    a_small_cache_of_the_binary_log("ROW");
}

#[test]
fn a_small_cache_of_mariadbs_binary_log_of_statements_makes_batches_smaller() {
    a_small_cache_of_the_binary_log("STATEMENT");
}

/// Statements and pieces of a bulk load are made to fit, so that nothing is refused at all.
#[test]
fn a_small_packet_of_mariadb_makes_statements_smaller() {
    let server = private_server_with_options(Kind::Mysql, "--max-allowed-packet=32768");
    let database = server.database();
    let sim = Simulator::start(Config {
        contacts: 400,
        daily_share: 2.0,
        long_texts: false,
        ..Config::default()
    });
    let program = Program::new(&sim, &server.url);
    program.succeed("db_init");
    sim.advance(Duration::from_secs(24 * 3600));
    program.succeed_once();
    assert_equal(&sim, &TruthFilter::default(), &database);
    assert_nothing_set_aside(&program);
    let log = program.log();
    assert!(!log.contains("[ERROR]"), "{}", tail(&log));
}
