//! What an error of the server or of the driver leads to, and the sentence for the admin.
//!
//! Some of the server's messages quote the values that it refused. Those parts are cut out: values are nobody's
//! business but the database's.

use tiberius::error::{Error as DriverError, IoErrorKind, TokenError};

use super::prelogin::Disagreement;
use super::transport::Failure;
use crate::destination::sql::tls::certificate_problem;
use crate::destination::sql::url::{Encryption, SqlServerUrl};
use crate::error::{Error, ErrorKind};
use crate::text;

/// What the program needs on its tables and their schema.
pub(super) const PRIVILEGES: &str = "SELECT, INSERT, UPDATE, DELETE on the tables, CREATE TABLE in the database, ALTER on the schema";

/// Unique index violated: 2627 for constraints and primary keys, 2601 for other indexes.
pub(super) const DUPLICATE: [u32; 2] = [2627, 2601];

/// Text longer than its column, without and with the name of the column.
pub(super) const TRUNCATION: [u32; 2] = [8152, 2628];

/// Another session held a lock for longer than we wait.
pub(super) const LOCK_TIMEOUT: u32 = 1222;

/// From here on, RAISERROR takes the number of any message.
const RAISED: u32 = 13_000;

/// From here on, what is compatible with SQL Server reports errors that SQL Server has no number for.
const FOREIGN: u32 = 0x0200_0000;

/// Where to and as whom a connection is made.
pub(super) struct Connecting<'a> {
    pub(super) place: &'a str,
    pub(super) user: &'a str,
    pub(super) database: &'a str,
}

impl Connecting<'_> {
    fn error(&self, kind: ErrorKind, why: &str) -> Error {
        let Connecting { place, user, .. } = self;
        Error::new(
            kind,
            format!("cannot log in to SQL Server at {place} as \"{user}\": {why}"),
        )
    }

    /// Passing trouble while connecting.
    pub(super) fn transient(&self, why: &str) -> Error {
        self.error(ErrorKind::Transient, why)
    }
}

/// An error while logging in.
pub(super) fn connecting(to: &Connecting<'_>, e: &DriverError) -> Error {
    let (kind, why) = match e {
        DriverError::Server(server) => match server.code() {
            4060 | 4064 | 911 => (
                ErrorKind::Setup,
                format!(
                    "there is no database {0}, or this log-in may not use it (check --url, or: CREATE DATABASE [{0}], \
                     CREATE USER … FOR LOGIN …)",
                    to.database
                ),
            ),
            _ => explain(&server.into(), ErrorKind::Setup),
        },
        _ => (ErrorKind::Transient, reason(e)),
    };
    to.error(kind, &why)
}

/// What servers from before SQL Server 2022 make of `encrypt=strict`: they hang up, or stay silent.
const STRICT: &str = " (encrypt=strict needs SQL Server 2022 or later: use encrypt=true)";

/// Why a handshake may fail whatever the certificate.
const OLD_TLS: &str = " (servers from before 2016 may lack TLS 1.2, and Windows Server 2012 R2 what modern TLS asks for: \
    update the server, or use encrypt=false where the network is to be trusted)";

/// An error while agreeing on encryption.
pub(super) fn negotiating(to: &Connecting<'_>, url: &SqlServerUrl, e: &Failure) -> Error {
    use ErrorKind::{Setup, Transient};
    let strict = url.encryption == Encryption::Strict;
    let tls = |io: &std::io::Error| {
        io.get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .cloned()
    };
    match e {
        Failure::Disagreement(Disagreement::NotSqlServer) => to.error(
            Setup,
            "what answers there does not speak SQL Server's protocol (check host and port in --url)",
        ),
        Failure::Disagreement(Disagreement::ServerDoesNotEncrypt) => to.error(
            Setup,
            "the server has no encryption (set it up there, or use encrypt=false in --url where the network is to be trusted)",
        ),
        Failure::Disagreement(Disagreement::ServerInsists) => to.error(
            Setup,
            "the server insists on encryption (use encrypt=true in --url)",
        ),
        Failure::Tls(io) => match tls(io) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                let why = certificate_problem(&why);
                let advice = match url.trust_certificate {
                    true => "give the server another certificate",
                    false => {
                        "name its authority's certificate, or the certificate itself, with --ca-file or with caFile=… \
                         in --url; or trust whatever the server shows with trustServerCertificate=true"
                    }
                };
                to.error(
                    Setup,
                    &format!("the server's certificate can't be verified: {why} ({advice})"),
                )
            }
            Some(why) => {
                let advice = if strict { STRICT } else { OLD_TLS };
                to.error(Setup, &format!("TLS: {why}{advice}"))
            }
            None if io.kind() == IoErrorKind::TimedOut => {
                to.error(Transient, &io_reason(io.kind(), &io.to_string()))
            }
            // A server that can't go on just hangs up.
            None => {
                let advice = if strict { STRICT } else { OLD_TLS };
                let why = io_reason(io.kind(), &io.to_string());
                to.error(Transient, &format!("TLS: {why}{advice}"))
            }
        },
        Failure::Io(io) => to.error(Transient, &io_reason(io.kind(), &io.to_string())),
    }
}

/// An error of a statement. What is not known to be something else is `otherwise`.
pub(super) fn statement(place: &str, doing: &str, e: &DriverError, otherwise: ErrorKind) -> Error {
    let (kind, why) = match e {
        DriverError::Server(server) => explain(&server.into(), otherwise),
        DriverError::BulkInput(_) => (
            ErrorKind::Data,
            "the driver can't send a value of the row".to_owned(),
        ),
        _ => (ErrorKind::Transient, reason(e)),
    };
    Error::new(kind, format!("SQL Server at {place}: {doing}: {why}"))
}

/// What is done when a table is written; its name follows.
pub(super) const WRITING: &str = "writing to ";

/// The error of a statement that writes rows. Its text is left out: a trigger throws what it likes, and puts values of the
/// row into it. `doing` begins with [`WRITING`] where one table is written.
pub(super) fn write(place: &str, doing: &str, e: &DriverError) -> Error {
    let DriverError::Server(server) = e else {
        return statement(place, doing, e, ErrorKind::Transient);
    };
    let report = Report::from(server);
    let message = format!("SQL Server at {place}: {doing}: {}", refusal(&report));
    let refused = Error::new(write_kind(&report), message).with_detail(report.message);
    let is_ours = |table| report.message.contains(&format!(".{table}'"));
    if matches!(report.code, 2601 | 2627) && doing.strip_prefix(WRITING).is_some_and(is_ours) {
        return refused.because_of_row();
    }
    refused
}

/// What the refusal of a write leads to. A trigger may throw any number, so that what may pass is not believed for ever:
/// see [`Sink::write`](crate::destination::sql::Sink::write).
fn write_kind(e: &Report<'_>) -> ErrorKind {
    match explain(e, ErrorKind::Data).0 {
        ErrorKind::Setup if e.code >= RAISED => ErrorKind::Data,
        kind => kind,
    }
}

/// Why the server refused a write, in our words where the server's may hold values.
fn refusal(e: &Report<'_>) -> String {
    let reason = match e.code {
        511 | 515 | 547 | 1946 | 2601 | 2627 | 2628 | 8152 => {
            let advice = match e.code {
                515 => " (a column that another program added needs a default value)",
                _ => "",
            };
            return format!("{}{advice}", cut_text(e));
        }
        229 | 230 => return format!("{} (grant {PRIVILEGES})", cut_text(e)),
        207 | 208 | 213 => "a table or column is gone, perhaps one that a trigger uses",
        220 | 232 | 8115 => "a number is too large for its column",
        241 | 242 | 244 | 245 | 248 | 293 | 295 | 296 | 8114 | 8169 => {
            "a value does not fit the type of its column"
        }
        701 | 802 | 8645 | 8651 => "the server is out of memory",
        823..=825 | 1101 | 1105 | 5149 | 9001 | 9002 => {
            "the server's disks or the database's log are full"
        }
        1205 => "deadlock",
        1222 => "a lock was not granted in time",
        3609 | 50000..FOREIGN => "a trigger refused it",
        3906 | 3908 => "the database is read-only",
        _ => "the server, or a trigger, refused it",
    };
    format!("{reason} (error {})", e.code)
}

/// The number of a server's error; 0 for others.
pub(super) fn code(e: &DriverError) -> u32 {
    e.code().unwrap_or(0)
}

/// Whether the server refused a statement for what it says, rather than for its state.
pub(super) fn is_refusal(e: &DriverError) -> bool {
    matches!(e, DriverError::Server(server) if server.class() < 20 && explain(&server.into(), ErrorKind::Setup).0 != ErrorKind::Transient)
}

/// An error as the server reports it.
struct Report<'a> {
    code: u32,
    /// From 20 on, the connection ends with it.
    class: u8,
    message: &'a str,
}

impl<'a> From<&'a TokenError> for Report<'a> {
    fn from(e: &'a TokenError) -> Self {
        Report {
            code: e.code(),
            class: e.class(),
            message: e.message(),
        }
    }
}

/// The one place that decides what an error number leads to.
fn explain(e: &Report<'_>, otherwise: ErrorKind) -> (ErrorKind, String) {
    use ErrorKind::{Data, Setup, Transient};
    let (kind, advice) = match e.code {
        // Log-in.
        18456 => (Setup, " (check user and password in --url)"),
        18452 => (
            Setup,
            " (the server takes Windows accounts only: allow SQL Server authentication there)",
        ),
        18470 => (Setup, " (enable the log-in: ALTER LOGIN … ENABLE)"),
        18486 => (Setup, " (unlock the log-in: ALTER LOGIN … UNLOCK)"),
        18463..=18468 | 18487 | 18488 => (Setup, " (set a new password for the log-in)"),
        40615 | 40914 => (
            Setup,
            " (let this machine's address through the server's firewall)",
        ),
        911 | 916 | 4060 | 4064 => (
            Setup,
            " (check the database name in --url, and that the log-in may use it)",
        ),
        // Privileges, and what takes no changes.
        229 | 230 | 262 | 297 | 300 | 1088 | 2760 | 3704 | 4902 | 15151 | 15247 => {
            return (Setup, format!("{} (grant {PRIVILEGES})", safe_text(e)));
        }
        // A replica that is not the primary any more: opening again finds the one that is.
        3906 | 3908 => (
            Transient,
            " (the database is read-only: name the server that is written to in --url, or ALTER DATABASE … SET READ_WRITE)",
        ),
        976 | 978 | 979 | 983 => (
            Transient,
            " (this is a secondary replica: name the primary, or the listener of the availability group, in --url)",
        ),
        271..=273 | 544 | 8101 | 8102 => (
            Setup,
            " (another program made the table: choose another table prefix with --tp)",
        ),
        // Locks.
        1205 | 1222 | 3960 | 3961 => (Transient, ""),
        // Failing over, restoring, starting, shutting down, sessions that were ended.
        596
        | 922
        | 924
        | 927
        | 942
        | 945
        | 952
        | 954
        | 3981
        | 6001
        | 6005
        | 6104
        | 17142
        | 17187
        | 17188
        | 18401
        | 18451
        | 40197
        | 40501
        | 40540
        | 40613
        | 42108
        | 42109
        | 49918..=49920 => (Transient, ""),
        10928 | 10929 | 17809 | 40544 => (
            Transient,
            " (raise the number of connections, or the size of the database)",
        ),
        701 | 802 | 1204 | 8645 | 8651 => (Transient, " (look at the server's memory)"),
        823..=825 | 1101 | 1105 | 5149 | 9001 | 9002 => (
            Transient,
            " (look at the server's disks, and at the database's log)",
        ),
        // Gone or changed under us: the writer opens and prepares again.
        207 | 208 | 213 | 4901 | 4924 => (Transient, ""),
        // The row.
        511 | 1701 => (
            Data,
            " (the row is larger than the 8060 bytes that SQL Server allows)",
        ),
        1946 => (Data, " (the key is too long for its index)"),
        3609 | 50000.. => (Data, ""),
        220
        | 232
        | 235
        | 241
        | 242
        | 244
        | 245
        | 248
        | 293
        | 295
        | 296
        | 512
        | 515
        | 529
        | 547
        | 550
        | 2601
        | 2627
        | 2628
        | 4815
        | 4861..=4867
        | 8023
        | 8114
        | 8115
        | 8134
        | 8152
        | 8169
        | 9400..=9480
        | 9803 => (Data, ""),
        _ if e.class >= 20 => (Transient, ""),
        _ => (otherwise, ""),
    };
    (kind, format!("{}{advice}", safe_text(e)))
}

/// The server's message and its number, without the values that some of them quote.
fn safe_text(e: &Report<'_>) -> String {
    match e.code {
        220
        | 232
        | 235
        | 241..=248
        | 293
        | 295
        | 296
        | 1505
        | 2601
        | 2627
        | 2628
        | 8114
        | 8115
        | 8169 => cut_text(e),
        code => format!("{} (error {code})", text::foreign(e.message)),
    }
}

/// The same for messages that quote values.
fn cut_text(e: &Report<'_>) -> String {
    let message = text::foreign(e.message);
    // What these quote stands at their end: "… The duplicate key value is (…).", "… Truncated value: '…'."
    let value = [" The duplicate key value", " Truncated value"];
    let (end, behind) = if NAMES_BEFORE_VALUE.contains(&e.code) {
        let end = value.iter().filter_map(|words| message.find(words)).min();
        // In another language, which is that of the log-in until we have set ours.
        let end = end.or_else(|| match e.code {
            1505 | 2601 | 2627 => message.find('('),
            2628 => message.find('\''),
            _ => None,
        });
        (end, "")
    } else {
        // "Conversion failed when converting the nvarchar value '…' to data type int."
        let behind = message
            .rfind("' to data type ")
            .and_then(|at| message.get(at + 1..));
        (message.find(['\'', '"', '(']), behind.unwrap_or_default())
    };
    match end.and_then(|end| message.get(..end)) {
        Some(before) => format!("{before}…{behind} (error {})", e.code),
        // In words that we don't know, as what is only compatible with SQL Server may have: the value may be anywhere.
        None if e.code == 2628 => "a text is too long for its column (error 2628)".to_owned(),
        None => format!("{message} (error {})", e.code),
    }
}

/// Errors whose messages quote nothing but names, or names before the value.
const NAMES_BEFORE_VALUE: [u32; 11] = [229, 230, 511, 515, 547, 1505, 1946, 2601, 2627, 2628, 8152];

fn reason(e: &DriverError) -> String {
    match e {
        DriverError::Io { kind, message } => io_reason(*kind, message),
        DriverError::Protocol(_)
        | DriverError::Encoding(_)
        | DriverError::Conversion(_)
        | DriverError::Utf8
        | DriverError::Utf16
        | DriverError::ParseInt(_) => "the server's answer can't be understood".to_owned(),
        other => text::foreign(&other.to_string()),
    }
}

fn io_reason(kind: IoErrorKind, message: &str) -> String {
    match kind {
        IoErrorKind::WouldBlock | IoErrorKind::TimedOut => {
            "no answer within the time limit".to_owned()
        }
        IoErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
