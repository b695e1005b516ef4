//! The TDS test server is what other people's clients take for SQL Server, and refuses what that refuses.

mod conversions;
mod failures;
mod freetds;
mod limits;
mod python;
mod refusals;
mod transactions;
mod wire;

use crate::support::tds::TdsServer;
use crate::support::tds::options::Options;

/// No errors.
const NONE: [i32; 0] = [];

/// The numbers of the errors of a batch.
fn errors(server: &TdsServer, sql: &str) -> Vec<i32> {
    server
        .attempt(sql)
        .errors
        .iter()
        .map(|error| error.number)
        .collect()
}

/// The only value of a query.
fn value(server: &TdsServer, sql: &str) -> Option<String> {
    let rows = server.query(sql);
    assert_eq!(rows.len(), 1, "{sql}");
    assert_eq!(rows[0].len(), 1, "{sql}");
    rows[0][0].clone()
}

fn ordinary() -> TdsServer {
    TdsServer::start(Options::default())
}
