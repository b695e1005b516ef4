//! What can happen to the program, and to everything around it.

use std::fmt;

/// One thing that goes wrong. Where it lasts, it lasts as long as its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGTERM, which must end it within its five seconds, and a new start.
    Terminate,
    /// SIGSTOP, then SIGCONT.
    Pause,
    /// A second instance is started, which must end with 4 and name the first.
    SecondInstance,
    /// This machine's clock is wrong by so many seconds, from one moment to the next.
    Clock(i64),
    /// The disk with state, log and status is full.
    StateFull,
    /// The state directory is read-only.
    StateReadOnly,
    /// SIGKILL; of one file of the state directory only this share is left.
    Truncated(StateFile, f64),
    /// The database server is killed, and started again at the end.
    DatabaseKilled,
    /// The database server is ended in order, and started again at the end.
    DatabaseStopped,
    /// The database server stands still, its connections open and silent, and goes on at the end.
    DatabaseHalted,
    /// All connections to the database are broken.
    ConnectionsDropped,
    /// Somebody else holds a table.
    TableLocked,
    /// The disk with the database is full.
    DatabaseFull,
    /// The API resets all connections.
    Outage,
    /// The API answers 403 to everything.
    Refused,
    /// A share of the API's answers is wrong in every way that passes quickly.
    Faulty(f64),
    /// Each answer of the API takes so many milliseconds.
    Slow(u32),
    /// One answer of the API drips, byte by byte, until the time limit.
    Dripping,
    /// One answer of the API never ends.
    Endless,
    /// The token is revoked; a new one is put into the file, and the program is started again.
    TokenRenewed,
    /// The web service can't be reached.
    ReceiverDown,
    /// A share of the requests to the web service fails in all ways.
    ReceiverFaulty(f64),
    /// The web service refuses all that comes of one contact in so many.
    ReceiverRefuses(u64),
    /// The web service answers 429 or 503 to everything, and asks to wait.
    ReceiverBusy,
    /// The web service refuses everything.
    ReceiverDenies,
}

/// A file of the state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFile {
    Checkpoint,
    Ledger,
    Spool,
}

impl StateFile {
    /// How its name ends.
    pub fn end(self) -> &'static str {
        match self {
            StateFile::Checkpoint => ".json",
            StateFile::Ledger => ".ledger",
            StateFile::Spool => ".undelivered.jsonl",
        }
    }
}

impl Fault {
    /// What it is called in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "SIGKILL",
            Fault::Terminate => "SIGTERM",
            Fault::Pause => "SIGSTOP",
            Fault::SecondInstance => "second instance",
            Fault::Clock(_) => "clock wrong",
            Fault::StateFull => "state and log disk full",
            Fault::StateReadOnly => "state directory read-only",
            Fault::Truncated(StateFile::Checkpoint, _) => "checkpoint truncated",
            Fault::Truncated(StateFile::Ledger, _) => "ledger truncated",
            Fault::Truncated(StateFile::Spool, _) => "spool truncated",
            Fault::DatabaseKilled => "database killed",
            Fault::DatabaseStopped => "database stopped",
            Fault::DatabaseHalted => "database halted",
            Fault::ConnectionsDropped => "connections dropped",
            Fault::TableLocked => "table locked",
            Fault::DatabaseFull => "database disk full",
            Fault::Outage => "API away",
            Fault::Refused => "API refuses",
            Fault::Faulty(_) => "API faulty",
            Fault::Slow(_) => "API slow",
            Fault::Dripping => "API dripping",
            Fault::Endless => "API endless",
            Fault::TokenRenewed => "token renewed",
            Fault::ReceiverDown => "receiver down",
            Fault::ReceiverFaulty(_) => "receiver faulty",
            Fault::ReceiverRefuses(_) => "receiver refuses some",
            Fault::ReceiverBusy => "receiver busy",
            Fault::ReceiverDenies => "receiver refuses all",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Clock(seconds) => write!(f, "clock wrong by {seconds} s"),
            Fault::Truncated(file, share) => {
                write!(f, "{} cut to {:.1} %", file.end(), share * 100.0)
            }
            Fault::Faulty(share) => write!(f, "API faulty {:.0} %", share * 100.0),
            Fault::Slow(time) => write!(f, "API slow {time} ms"),
            Fault::ReceiverFaulty(share) => write!(f, "receiver faulty {:.0} %", share * 100.0),
            other => f.write_str(other.name()),
        }
    }
}
