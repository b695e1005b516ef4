//! The TDS test server as a program of its own, for the benchmark: prints `url=`, then serves until it is ended.
//!
//! `DBSYNC_TEST_CERTIFICATES` names a directory that `scripts/servers.sh certificates` has filled.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../../support"]
mod support {
    pub mod database;
    pub mod proxy;
    pub mod servers;
    pub mod sqlserver;
    pub mod tds;
    pub mod temp;
}

use support::tds::TdsServer;
use support::tds::options::Options;

fn main() {
    let server = TdsServer::start(Options::default());
    println!("url={}?encrypt=false", server.url());
    loop {
        std::thread::park();
    }
}
