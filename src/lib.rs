//! dbsync2 copies the contact updates of one Dialfire campaign into an SQL database,
//! or posts its transactions to a web service. This page is the map.
//!
//! # The way of the data
//!
//! ```text
//!  flags, environment                    Dialfire's REST API
//!         │ cli                                 │ dialfire
//!         ▼                                     ▼
//!     Settings ──────────────────▶ sync:  list what has changed     one thread
//!                                         fetch the contacts        `--w` threads
//!                                           │ tables: document → rows, in the fetching threads
//!                                           ▼
//!                                         write a batch             the main thread
//!                                           │ sink: one transaction per batch
//!                                           ▼
//!                                  PostgreSQL, MySQL/MariaDB, SQL Server or SQLite
//!                                           │ committed
//!                                           ▼
//!                                         state: move the checkpoint, only now
//! ```
//!
//! The main thread owns the database and makes all decisions. The other threads send it messages through one bounded
//! queue, and get work from it; so memory is bounded, and contacts are written in one order.
//!
//! # The modules
//!
//! Each knows only what it needs; [`sync`] is the only one that knows source and destination.
//!
//! | Module | What it is | Knows nothing of |
//! | --- | --- | --- |
//! | [`cli`] | what was asked for: one table of flags, from which parser, help, manual page, completions and README come; [`cli::Settings`] | all else |
//! | [`dialfire`] | the source: calls, paging, retries, the server's clock; documents as unparsed JSON | SQL, tables |
//! | [`tables`] | what a contact becomes: the five tables, columns for fields, filters, ids, rows in batches | HTTP, databases |
//! | [`sink`] | the destinations, behind the trait [`sink::Sink`]: addresses, TLS, types, upserts, what errors mean | Dialfire |
//! | [`webhook`] | the other destination, a web service: requests, lanes, what was delivered and what could not be | SQL |
//! | [`sync`] | from one to the other: which time ranges are due, passes over them, writing whatever happens | – |
//! | [`state`] | what outlives a run: checkpoint and lock | – |
//! | [`files`] | how every file that is kept is opened, made and replaced, whatever others have prepared in its place | what is in them |
//! | [`status`], [`logging`], [`progress`] | what the admin sees | – |
//! | [`shutdown`] | signals | – |
//! | [`moment`], [`percent`] | how times are shown, percent-decoding | all else |
//! | [`text`] | text from outside, made fit for a log line or a terminal | all else |
//! | [`tls`] | one set-up of rustls for all | – |
//! | [`error`] | the one error type; its kind decides what follows: try again, set aside, or end with an exit code | – |
//!
//! # Where to begin
//!
//! `main.rs` is short. [`sync::run`] is the life of a process from top to bottom; `sync/database.rs` the loop of
//! rounds; `sync/pass.rs` one round; `sync/windows.rs` the time ranges, as pure functions. The tests in `tests/` run the
//! program against a simulator of the API (`tests/support/simulator`, also `cargo run --example simulator`), whose own
//! data are the truth that the tables are compared with.

pub mod cli;
pub mod dialfire;
pub mod error;
pub mod files;
pub mod logging;
pub mod moment;
pub mod percent;
pub mod progress;
#[cfg(test)]
mod scratch;
pub mod shutdown;
pub mod sink;
pub mod state;
pub mod status;
pub mod sync;
pub mod tables;
pub mod text;
pub mod tls;
pub mod webhook;
