//! Behaviour, one module per promise.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod sink_mysql;
mod sink_rows;
#[cfg(feature = "sqlite")]
mod sink_sqlite;
