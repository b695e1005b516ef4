//! Typed, validated settings: what the rest of the program knows of the command line.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use crate::net::secret::Secret;
use crate::tables::fields::FieldLimit;
use crate::tables::filter::FilterMode;

/// What the program is asked to do (`--a`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything, then stop.
    DbInit,
    /// Everything changed since `--s` (default: one week ago), then stop.
    DbUpdate,
    /// Every change, for ever.
    DbSync,
    /// Post every transaction to a web service, for ever.
    Webhook,
    /// Post once more what could not be delivered, then stop.
    Replay,
    /// Try everything, change nothing, print a table.
    Check,
}

impl Mode {
    /// All modes, in the order of `--help`.
    pub const ALL: [Mode; 6] = [
        Mode::DbInit,
        Mode::DbUpdate,
        Mode::DbSync,
        Mode::Webhook,
        Mode::Replay,
        Mode::Check,
    ];

    /// The name as on the command line and in log file names.
    pub fn name(self) -> &'static str {
        match self {
            Mode::DbInit => "db_init",
            Mode::DbUpdate => "db_update",
            Mode::DbSync => "db_sync",
            Mode::Webhook => "webhook",
            Mode::Replay => "replay",
            Mode::Check => "check",
        }
    }
}

/// Everything that was asked for, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--a`
    pub mode: Mode,
    /// `--c`: campaign id, 1 to 100 letters, digits, `-` and `_`.
    pub campaign: String,
    /// `--ct` or `--token-file`: the token of the campaign.
    pub token: Secret,
    /// `--url` or `--url-file`: the address of the database or web service, with its password.
    pub url: Secret,
    /// `--api-url`: base address of the API, without a slash at the end.
    pub api_url: String,
    /// `--s`: UTC.
    pub start: Option<OffsetDateTime>,
    /// `--fm`
    pub filter: FilterMode,
    /// `--fp`: task name prefixes, trimmed, none empty.
    pub task_prefixes: Vec<String>,
    /// `--tp`: may be empty.
    pub table_prefix: String,
    /// `--w`: threads that fetch contacts, and lanes that post to a web service, 1 to 64.
    pub workers: usize,
    /// `--d`: 1 to 64; checked for compatibility, as one connection writes.
    pub connections: usize,
    /// `--l`: 0 critical to 5 debug.
    pub log_level: u8,
    /// `--v`: log to standard output at debug level.
    pub verbose: bool,
    /// `--p`: print where the time went at the end of each round.
    pub profile: bool,
    /// `--interval`: time between two rounds of db_sync or webhook.
    pub interval: Duration,
    /// `--overlap`: how far each poll reaches back behind the checkpoint.
    pub overlap: Duration,
    /// `--reconcile`: time between two comparisons of the whole recent past.
    pub reconcile: Duration,
    /// `--retry-wait`: the first wait before a failed request is repeated; later waits double.
    pub retry_wait: Duration,
    /// `--once`: one round of db_sync or webhook, then stop.
    pub once: bool,
    /// `--fields`
    pub fields: FieldLimit,
    /// `--batch`: contacts per database transaction, 1 to 10,000.
    pub batch: usize,
    /// `--wr`: requests per second to a webhook, 0 or more.
    pub webhook_rate: Option<f64>,
    /// `--wb`: webhook requests that may go out at once.
    pub webhook_burst: Option<u32>,
    /// `--webhook-timeout`: time for one request to a webhook.
    pub webhook_timeout: Duration,
    /// `--webhook-secret` or `--webhook-secret-file`: keys that sign requests, separated by blanks; may be empty.
    pub webhook_keys: Secret,
    /// `--header`: names and values of further headers for a webhook.
    pub headers: Vec<(String, Secret)>,
    /// `--ledger-days`: how long it is known what was delivered.
    pub ledger_days: u32,
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
    /// `--log-dir`
    pub log_dir: Option<PathBuf>,
    /// `--ca-file`: PEM file with the root certificates to trust instead of the compiled-in ones.
    pub ca_file: Option<PathBuf>,
    /// `--status-file`
    pub status_file: Option<PathBuf>,
    /// What is allowed but unwise, one sentence each, to be logged once the log is open.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Whether the work has an end, so that it can be complete or not.
    pub fn ends_by_itself(&self) -> bool {
        self.once || !matches!(self.mode, Mode::DbSync | Mode::Webhook)
    }
}
