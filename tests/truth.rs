//! After each mode the tables equal the truth, value by value.

use std::time::Duration;

use crate::support::compare::assert_equal;
use crate::support::database::fresh_database;
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Simulator, TruthFilter};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn db_init_copies_everything_into_sqlite() {
    let sim = Simulator::start(Config { contacts: 300, ..Config::default() });
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
    let _ = HOUR;
}
