//! Some sequences with fixed seeds, or the one of `DBSYNC_TEST_SEED`.

use super::{Figures, play};
use crate::support::servers::Kind;

fn all_are_true(kind: Kind, first: u64, count: u64) {
    let seeds = match std::env::var("DBSYNC_TEST_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => first..first + count,
    };
    let mut figures = Figures::default();
    for seed in seeds {
        if let Err(problem) = play(kind, seed, &mut figures) {
            panic!("{problem}");
        }
    }
    println!("{kind:?}: {figures}");
}

#[test]
fn sequences_of_modes_end_in_the_truth_with_sqlite() {
    all_are_true(Kind::Sqlite, 1, 14);
}

#[test]
fn sequences_of_modes_end_in_the_truth_with_postgresql() {
    all_are_true(Kind::Postgres, 101, 3);
}

#[test]
fn sequences_of_modes_end_in_the_truth_with_sql_server() {
    all_are_true(Kind::SqlServer, 301, 2);
}

#[test]
fn sequences_of_modes_end_in_the_truth_with_mariadb() {
    all_are_true(Kind::Mysql, 201, 3);
}
