//! The status file: how things stand, as JSON for monitoring.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use crate::error::{Error, Result};
use crate::files;
use crate::moment;

/// Bytes of a status file; it has some thousand.
const MAX_STATUS: u64 = 64 * 1024;

/// What the status file says. Times are UTC, such as `2024-03-05T09:15:42.468Z`. No secrets, no contact values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// Campaign id.
    pub campaign: String,
    /// The mode, such as `db_sync`.
    pub mode: &'static str,
    /// The database without user and password.
    pub target: String,
    /// Process id.
    pub pid: u32,
    /// When the program was started.
    #[serde(serialize_with = "time")]
    pub started: OffsetDateTime,
    /// When a round last ended without an error in which the destination answered; also of earlier runs.
    #[serde(serialize_with = "optional_time")]
    pub last_success: Option<OffsetDateTime>,
    /// Everything that happened before is in the database.
    #[serde(serialize_with = "optional_time")]
    pub checkpoint: Option<OffsetDateTime>,
    /// Age of the checkpoint by the clock of Dialfire's server, in seconds.
    pub lag_seconds: Option<u64>,
    /// Rounds ended without an error since the start.
    pub rounds: u64,
    /// Rounds that failed since the start.
    pub failed_rounds: u64,
    /// Rows written since the start.
    pub written: Totals,
    /// Rows that the database refused and that lie in the reject file.
    pub rejected: u64,
    /// Contacts that were asked for and that Dialfire had no document for.
    pub unanswered: u64,
    /// Only in mode webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Deliveries>,
    /// The last error of this run, also the one that it ended with; kept after it is over.
    pub last_error: Option<LastError>,
}

/// What became of transactions for a web service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// Requests that were answered 200 to 299 since the start.
    pub delivered: u64,
    /// Requests that failed since the start; each is repeated.
    pub failed_attempts: u64,
    /// Transactions that wait for their next attempt.
    pub waiting: usize,
    /// Requests in the file of those that could not be delivered.
    pub undelivered: usize,
}

impl fmt::Display for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transactions delivered", self.delivered)
    }
}

/// Rows written per table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Rows of contacts.
    pub contacts: u64,
    /// Rows of transactions.
    pub transactions: u64,
    /// Rows of connections.
    pub connections: u64,
    /// Rows of recordings.
    pub recordings: u64,
    /// Rows of inbound calls.
    pub inbound_calls: u64,
}

/// An error and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// When it happened.
    #[serde(serialize_with = "time")]
    pub time: OffsetDateTime,
    /// What the log says of it.
    pub message: String,
}

impl Status {
    /// What was done since the start, for the last line.
    pub fn counts(&self) -> String {
        let written = self.written;
        match self.webhook {
            Some(deliveries) => deliveries.to_string(),
            None => format!(
                "{} contacts, {} transactions, {} connections, {} recordings, {} inbound calls written",
                written.contacts,
                written.transactions,
                written.connections,
                written.recordings,
                written.inbound_calls
            ),
        }
    }
}

impl Totals {
    /// Adds the rows of a batch, in the order of [`Table::ALL`](crate::tables::schema::Table::ALL).
    pub fn add(&mut self, rows: [usize; 5]) {
        let [
            contacts,
            transactions,
            connections,
            recordings,
            inbound_calls,
        ] = rows.map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        for (total, count) in [
            (&mut self.contacts, contacts),
            (&mut self.transactions, transactions),
            (&mut self.connections, connections),
            (&mut self.recordings, recordings),
            (&mut self.inbound_calls, inbound_calls),
        ] {
            *total = total.saturating_add(count);
        }
    }
}

/// When a round of an earlier run was last a success, as the status file of that run says; `None` where there is none of
/// this campaign.
pub fn last_success(path: &Path, campaign: &str) -> Option<OffsetDateTime> {
    #[derive(serde::Deserialize)]
    struct Earlier {
        campaign: String,
        #[serde(with = "time::serde::rfc3339::option")]
        last_success: Option<OffsetDateTime>,
    }
    let mut text = String::new();
    let file = files::open_published(path).ok()?;
    file.take(MAX_STATUS).read_to_string(&mut text).ok()?;
    let earlier: Earlier = serde_json::from_str(&text).ok()?;
    earlier
        .last_success
        .filter(|_| earlier.campaign == campaign)
}

/// Replaces the status file: a reader sees the old one or the new one, never a part.
///
/// # Errors
/// [`Transient`](crate::error::ErrorKind::Transient) where it can't be written; the old file then stands as it was.
pub fn write(path: &Path, status: &Status) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(status)
        .map_err(|error| Error::transient(format!("cannot write the status as JSON: {error}")))?;
    text.push(b'\n');
    files::publish(path, &text).map_err(|error| Error::transient(unusable(path, &error)))
}

/// Looks whether the status file can be what [`write()`] will replace.
///
/// # Errors
/// [`Setup`](crate::error::ErrorKind::Setup) where something else has its name, or others have a say in its directory.
/// What may pass (a full disk, a directory that is missing) is left to [`write()`].
pub fn prepare(path: &Path) -> Result<()> {
    match files::prepare_publishing(path) {
        Err(error) if files::is_refusal(&error) => Err(Error::setup(unusable(path, &error))),
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> String {
    format!(
        "cannot write the status file {}: {error} (check --status-file)",
        path.display()
    )
}

fn time<S: Serializer>(time: &OffsetDateTime, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(&moment::rfc3339(*time))
}

fn optional_time<S: Serializer>(
    at: &Option<OffsetDateTime>,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
