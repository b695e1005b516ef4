//! dbsync2 copies the contact updates of one Dialfire campaign into an SQL database,
//! or posts its transactions to a web service. This page is the map.
//!
//! # The way of the data
//!
//! ```text
//!  flags, environment                    Dialfire's REST API
//!         │ cli                                 │ source
//!         ▼                                     ▼
//!     Settings ──────────────────▶ sync:  list what has changed     one thread
//!                                         fetch the contacts        `--w` threads
//!                                           │ tables: document → rows, in the fetching threads
//!                                           ▼
//!                                         write a batch             the main thread
//!                                           │ destination::sql: one transaction per batch
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
//! | [`net`] | one HTTP request and its retries, names, proxies, TLS, secrets | Dialfire, what is posted |
//! | [`source`] | Dialfire's API: calls, paging, retries, the server's clock; documents as unparsed JSON | SQL, tables |
//! | [`tables`] | what a contact becomes: the five tables, columns for fields, filters, ids, rows in batches | HTTP, databases |
//! | [`destination::sql`] | databases, behind the trait [`Sink`](destination::sql::Sink): addresses, TLS, types, upserts, what errors mean | Dialfire |
//! | [`destination::webhook`] | a web service: requests, lanes, what was delivered and what could not be | SQL |
//! | [`sync`] | from one to the other: which time ranges are due, passes over them, writing whatever happens | – |
//! | [`state`] | what outlives a run: checkpoint and lock | – |
//! | [`files`] | how every file that is kept is opened, made and replaced, whatever others have prepared in its place | what is in them |
//! | [`status`], [`logging`], [`progress`] | what the admin sees | – |
//! | [`shutdown`] | signals | – |
//! | [`moment`], [`percent`] | how times are shown, percent-decoding | all else |
//! | [`text`] | text from outside, made fit for a log line or a terminal | all else |
//! | [`error`] | the one error type; its kind decides what follows: try again, set aside, or end with an exit code | – |
//!
//! # Glossary
//!
//! | Word | What it means here |
//! | --- | --- |
//! | round | one turn of the loop: what is due is listed, fetched and written; then the program waits for the next |
//! | poll | the net of every round: events since the checkpoint, and `--overlap` before |
//! | look back | the net of every 15 minutes: events of three hours before the last one |
//! | reconcile | the net of `--reconcile`: the list of contacts is compared with the database, and events of a day |
//! | event | an entry of Dialfire's list of transactions: a contact has a new or changed transaction |
//! | document | a contact as Dialfire has it, with its task log |
//! | unit | the rows of one contact, or of one inbound call: they are committed together |
//! | batch | units that are written in one database transaction |
//! | placeholder | the row of a recording that had no address yet: it is deleted when it has one |
//! | checkpoint | how far the copy has come, in the state directory; it moves when everything before it is committed |
//! | debt | what a command has begun to owe (a first copy, a new column), written in the checkpoint until it is paid |
//! | witness | rows that are known to be stored: where they are gone or emptied, the database has lost something |
//! | reject file | rows that the database refused, with the reason |
//! | lane | a thread that posts deliveries; those of one contact go through the queue one after the other |
//! | gate | says when a lane may post: rate, pauses that the receiver asks for, outages |
//! | ledger | which transaction was delivered in which version |
//! | spool | deliveries that were refused for good, word for word, for `replay` |
//!
//! # Where to begin
//!
//! `main.rs` is short. [`sync::run`] is the life of a process from top to bottom; `sync/database.rs` the loop of
//! rounds; `sync/pass.rs` one round; `sync/windows.rs` the time ranges, as pure functions. The tests in `tests/` run the
//! program against a simulator of the API (`tests/support/simulator`, also `cargo run --example simulator`), whose own
//! data are the truth that the tables are compared with.

pub mod cli;
pub mod destination;
pub mod error;
pub mod files;
pub mod logging;
pub mod moment;
pub mod net;
pub mod percent;
pub mod progress;
#[cfg(test)]
mod scratch;
pub mod shutdown;
pub mod source;
pub mod state;
pub mod status;
pub mod sync;
pub mod tables;
pub mod text;
