//! What PostgreSQL's errors mean to us: from SQLSTATE to a kind and a sentence.
//!
//! The texts of log-in and DDL are shown. Those of a write are not, whatever their code: a trigger raises what it likes,
//! and puts values of the row into it. What is shown then is ours, but for names that no trigger can have made up.

use std::error::Error as _;

use postgres::error::DbError;

use super::guard::Breach;
use super::negotiate::{NO_TLS, NoAnswer};
use crate::destination::sql::dialect::POSTGRES;
use crate::destination::sql::tls::certificate_problem;
use crate::error::{Error, ErrorKind};
use crate::text;

/// Names the server in messages.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// `host:port`, or the directory of the socket.
    pub(super) address: String,
    pub(super) user: String,
    pub(super) database: String,
}

impl Server {
    /// The error of a connection attempt.
    pub(super) fn login_error(&self, error: &postgres::Error) -> Error {
        let Server {
            address,
            user,
            database,
        } = self;
        let failed = |kind, reason: &str| {
            let text = format!("cannot log in to PostgreSQL at {address} as \"{user}\": {reason}");
            Error::new(kind, text)
        };
        let setup = |reason: &str| failed(ErrorKind::Setup, reason);
        if let Some(db) = error.as_db_error() {
            return match db.code().code() {
                "28P01" => setup("password rejected (check --url)"),
                "28000" => setup(&format!(
                    "{} (check the role in --url, and pg_hba.conf on the server)",
                    text::foreign(db.message())
                )),
                "3D000" => setup(&format!(
                    "the database \"{database}\" does not exist (check --url, or create it)"
                )),
                "42501" => setup(&format!(
                    "{} (grant it: GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\")",
                    text::foreign(db.message())
                )),
                _ => {
                    let (kind, reason) = explain(db, "");
                    failed(kind, &reason)
                }
            };
        }
        match breach(error) {
            Some(breach @ Breach::Method(..)) => return setup(&breach.to_string()),
            Some(breach @ Breach::OtherProtocol(_)) => {
                return Error::setup(format!("cannot reach PostgreSQL at {address}: {breach}"));
            }
            Some(Breach::TooLarge) | None => {}
        }
        let causes = causes(error);
        match error.to_string().as_str() {
            "invalid configuration" if causes.contains("password missing") => {
                setup("the server asks for a password (put it into --url)")
            }
            _ if is_tls(error) => {
                let reason = tls_reason(error, &causes);
                let kind = if reason.is_some() {
                    ErrorKind::Setup
                } else {
                    ErrorKind::Transient
                };
                let reason = reason.unwrap_or(causes);
                Error::new(
                    kind,
                    format!("cannot encrypt the connection to PostgreSQL at {address}: {reason}"),
                )
            }
            "authentication error" | "invalid configuration" => setup(&causes),
            _ => Error::transient(format!("cannot reach PostgreSQL at {address}: {causes}")),
        }
    }

    /// The server can be read, but not written to.
    pub(super) fn read_only(&self, kind: ErrorKind, why: &str) -> Error {
        Error::new(
            kind,
            format!(
                "PostgreSQL at {} is read-only: {why} (name the primary server in --url, or all of them with commas)",
                self.address
            ),
        )
    }

    /// The error of a statement that writes rows; as [`Server::error`].
    pub(super) fn write_error(&self, error: &postgres::Error, tried: &str, grant: &str) -> Error {
        let Some(db) = error.as_db_error() else {
            return self.error(error, tried, grant);
        };
        let code = db.code().code();
        let message = format!(
            "{tried} in PostgreSQL at {}: {}",
            self.address,
            refusal(db, grant)
        );
        let refused = Error::new(write_kind(db), message).with_detail(&whole_text(db));
        // At the end of a transaction nobody says which table was written.
        let is_ours = |name| tried.contains(&POSTGRES.quote(name)) || !tried.contains("table");
        if code == "23505" && made_by_server(db) && db.table().is_some_and(is_ours) {
            return refused.because_of_row();
        }
        refused
    }

    /// The error of a statement. `tried` says what was tried on what (`cannot write table "x"`); `grant` is
    /// the statement that gives the privilege for it, for an admin to run.
    pub(super) fn error(&self, error: &postgres::Error, tried: &str, grant: &str) -> Error {
        let address = &self.address;
        let Some(db) = error.as_db_error() else {
            let causes = causes(error);
            return Error::transient(format!("{tried} in PostgreSQL at {address}: {causes}"));
        };
        let (kind, reason) = explain(db, grant);
        Error::new(
            kind,
            format!("{tried} in PostgreSQL at {address}: {reason}"),
        )
    }
}

/// The kind of an error of log-in, DDL or reading, and the reason without any stored value.
pub(super) fn explain(db: &DbError, grant: &str) -> (ErrorKind, String) {
    let code = db.code().code();
    let message = text::foreign(db.message());
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        (_, "42501") if grant.is_empty() => (ErrorKind::Setup, format!("{message} (42501)")),
        (_, "42501") => (
            ErrorKind::Setup,
            format!("{message} (a superuser or the owner must run: {grant})"),
        ),
        // A failover is under way, or a pooler was pointed to a standby: another host, or this one later, may do.
        (_, "25006") => (
            ErrorKind::Transient,
            READ_ONLY.to_owned(),
        ),
        (_, "3F000") => (
            ErrorKind::Setup,
            "search_path of the role names no schema that exists and that it may use (create one, GRANT USAGE on it, or ALTER ROLE … SET search_path)"
                .to_owned(),
        ),
        // Dropped or changed by someone: opening again creates them again.
        (_, "42P01" | "42703" | "42P10") => (
            ErrorKind::Transient,
            format!("table or column is gone: {message} ({code})"),
        ),
        (_, "54011") => (ErrorKind::Setup, format!("{message} ({code})")),
        // A prepared plan that no longer fits, after someone changed a type.
        (_, "0A000") if is_stale_plan(db) => (ErrorKind::Transient, format!("{message} ({code})")),
        // What a changed type or a new index can't take: these quote what is stored.
        ("22" | "23", _) => (ErrorKind::Data, refusal(db, "")),
        ("21" | "44" | "54" | "09" | "27" | "2F" | "38" | "39" | "P0", _) => {
            (ErrorKind::Data, format!("{message} ({code})"))
        }
        ("08" | "40" | "53" | "55" | "57" | "58" | "25" | "XX", _) => {
            (ErrorKind::Transient, format!("{message} ({code})"))
        }
        _ => (ErrorKind::Setup, format!("{message} ({code})")),
    }
}

const READ_ONLY: &str = "the server is read-only (a standby?): name the primary server in --url";

/// Whether someone changed a type that a prepared plan relied on.
fn is_stale_plan(db: &DbError) -> bool {
    db.routine() == Some("RevalidateCachedQuery")
}

/// Whether a policy of row-level security refused a row, so that no privilege is missing.
fn is_policy(db: &DbError) -> bool {
    db.routine() == Some("ExecWithCheckOptions")
}

/// What the refusal of a write leads to. A trigger may raise any code, so that what may pass is not believed for ever:
/// see [`Sink::write`](crate::destination::sql::Sink::write).
fn write_kind(db: &DbError) -> ErrorKind {
    let code = db.code().code();
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        (_, "42501") => ErrorKind::Setup,
        // Dropped or changed by someone, or the server is about to be left.
        (_, "42P01" | "42703" | "42P10" | "25006") => ErrorKind::Transient,
        (_, "0A000") if is_stale_plan(db) => ErrorKind::Transient,
        // Connections, deadlocks, disk and memory, states of objects, shutting down, files, the server's own faults.
        ("08" | "40" | "53" | "55" | "57" | "58" | "XX", _) => ErrorKind::Transient,
        _ => ErrorKind::Data,
    }
}

/// Why the server refused a write, in our words.
fn refusal(db: &DbError, grant: &str) -> String {
    let code = db.code().code();
    let class = code.get(..2).unwrap_or_default();
    let reason = match (class, code) {
        (_, "22001") => "a text is longer than its column",
        (_, "22003") => "a number is too large for its column",
        (_, "22007" | "22008" | "22P02") => "a value does not fit the type of its column",
        (_, "22021" | "22P05") => "a text holds characters that the database's encoding lacks",
        ("22", _) => "a value is not accepted",
        (_, "23502") => "a value is missing",
        (_, "23503") => "a foreign key is violated",
        (_, "23505") => "another row has the same value in a unique column",
        (_, "23514") if db.routine() == Some("ExecFindPartition") => {
            "the table has no partition for the row"
        }
        (_, "23514") => "a check constraint is violated",
        (_, "54000") => "a row or an index entry is too large",
        (_, "42501") if is_policy(db) => "a policy of row-level security refuses it",
        (_, "42501") => "permission denied",
        (_, "42P01" | "42703" | "42883" | "42704") => {
            "a table, column or function is gone, perhaps one that a trigger uses"
        }
        (_, "25006") => READ_ONLY,
        (_, "40P01") => "deadlock",
        (_, "40001") => "another transaction was faster",
        (_, "53100") => "the server's disk is full",
        (_, "53200") => "the server is out of memory",
        (_, "55P03") => "a lock was not granted in time",
        (_, "57014") => "the server cancelled the statement",
        (_, "57P01" | "57P02" | "57P03") => "the server is shutting down or starting",
        ("P0" | "09" | "27" | "38" | "39" | "2F", _) => "a trigger refused it",
        _ => "the server, or a trigger, refused it",
    };
    let mut reason = reason.to_owned();
    if made_by_server(db) {
        for (what, name) in [
            ("table", db.table()),
            ("column", db.column()),
            ("constraint", db.constraint()),
        ] {
            if let Some(name) = name {
                reason.push_str(&format!(", {what} \"{}\"", text::foreign(name)));
            }
        }
    }
    reason.push_str(&format!(" ({code})"));
    match (code, grant) {
        ("42501", grant) if !grant.is_empty() && !is_policy(db) => {
            reason.push_str(&format!("; a superuser or the owner must run: {grant}"));
        }
        ("23502", _) => reason.push_str(
            "; a column that another program added needs a default value, or has to allow NULL",
        ),
        _ => {}
    }
    reason
}

/// What the other end did that it must not do, if that is the cause.
fn breach(error: &postgres::Error) -> Option<&Breach> {
    let cause = error.source()?;
    let io = match cause.downcast_ref::<NoAnswer>() {
        Some(no_answer) => no_answer.cause(),
        None => cause.downcast_ref::<std::io::Error>()?,
    };
    io.get_ref()?.downcast_ref()
}

/// Whether the names beside an error are those of the table and its constraints. A trigger can set them to anything; it
/// can't set where in the server's own code the error was made.
fn made_by_server(db: &DbError) -> bool {
    matches!(
        db.file(),
        Some("execMain.c" | "execIndexing.c" | "nbtinsert.c" | "ri_triggers.c")
    )
}

/// All that the server said.
fn whole_text(db: &DbError) -> String {
    let mut text = format!("{} ({})", db.message(), db.code().code());
    for (what, more) in [
        ("detail", db.detail()),
        ("hint", db.hint()),
        ("context", db.where_()),
    ] {
        if let Some(more) = more {
            text.push_str(&format!("; {what}: {more}"));
        }
    }
    text
}

/// Whether an error came from the TLS handshake; the driver takes all for it that happens before the log-in.
pub(super) fn is_tls(error: &postgres::Error) -> bool {
    error.to_string() == "error performing TLS handshake"
        && !error.source().is_some_and(|cause| cause.is::<NoAnswer>())
}

fn causes(error: &postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    if cause.is_some() {
        text.clear();
    }
    while let Some(error) = cause {
        let part = error.to_string();
        // io::Error repeats its inner error.
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        cause = error.source();
    }
    text::foreign(&text)
}

/// Why TLS failed for good, and what to do; `None` for what may pass.
fn tls_reason(error: &postgres::Error, causes: &str) -> Option<String> {
    if causes.contains(NO_TLS) {
        return Some(
            "the server has TLS switched off (switch it on there, or use sslmode=prefer in --url)"
                .to_owned(),
        );
    }
    let io = error.source()?.downcast_ref::<std::io::Error>()?;
    match io.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => Some(
            "its certificate comes from an authority that is not trusted (name the authority's certificate with --ca-file)"
                .to_owned(),
        ),
        rustls::Error::InvalidCertificate(reason) => {
            let reason = certificate_problem(reason);
            Some(format!("its certificate is not accepted: {reason}"))
        }
        other => Some(other.to_string()),
    }
}
