//! What was asked for: flags, environment, settings. Knows no other module but the error type.
//!
//! # What must stay as the vendor's client has it
//!
//! Command lines, units and scripts written for the vendor's client 1.15.0 go on working:
//!
//! - The flags `--c --ct --a --url --s --fm --fp --tp --w --d --l --v --p --wr --wb`, as `--flag value` or `--flag=value`; with
//!   one dash as well, as the vendor's first client took them. `--d` is taken and changes nothing; `--p` shows where the
//!   time went, and opens no port.
//! - The modes `webhook`, `db_init`, `db_update`, `db_sync`.
//! - Each flag in the environment: `DBSYNC_C` as that client's help promised, and `DBSYNCC` as it in fact read. The command
//!   line wins.
//! - Addresses `mysql://`, `postgres://` and `sqlserver://user:password@host:port/database`, the latter also with
//!   `/instance/database`.
//! - `--s` as `YYYY-MM-DDThh:mm:ss` or a day, in UTC: contacts that changed since that day, each with all its transactions.
//! - Without `--s`: everything for db_init, the last seven days for db_update, the checkpoint for db_sync and webhook.
//!
//! What differs on purpose is an error in place of a silent surprise: an unknown flag, a wrong number, an unknown word
//! behind `--fm`.

mod arguments;
pub mod completions;
mod duration;
mod first_line;
pub mod flags;
pub mod help;
pub mod licenses;
pub mod man;
pub mod parse;
pub mod settings;
mod start_date;
pub mod variables;
mod webhook;

pub use parse::{Parsed, parse};
pub use settings::Settings;

#[cfg(test)]
mod tests;
