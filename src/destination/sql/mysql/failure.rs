//! What an error of the server or of the driver leads to, and the sentence for the admin.
//!
//! The texts of log-in and DDL are shown, without the values that some of them quote. Those of a write are not, whatever
//! their number: a trigger signals what it likes, and puts values of the row into it.

use std::fmt;
use std::io;

use super::payload::ServerError;
use crate::destination::sql::tls::problem;
use crate::error::{Error, ErrorKind};
use crate::text;

/// Why a call of the client failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refuses.
    Server(ServerError),
    /// The connection broke, or there was no answer in time.
    Io(io::Error),
    /// TLS can't be agreed on, or the certificate is not to be trusted.
    Tls(rustls::Error),
    /// The server has no TLS.
    NoTls,
    /// The account logs in by a method that this program refuses, or does not know.
    Method(String),
    /// What the other side sends is not MySQL's protocol, or more than was asked for.
    Protocol(&'static str),
    /// The server does not take statements in its present state, such as a read-only one.
    State(String),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Io(e)
    }
}

impl fmt::Display for Failure {
    /// Without values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Server(server) => f.write_str(&safe_text(server)),
            Failure::Io(e) => match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    f.write_str("no answer within the time limit")
                }
                io::ErrorKind::UnexpectedEof => f.write_str("the server closed the connection"),
                _ => e.fmt(f),
            },
            Failure::Tls(e) => f.write_str(&problem(e)),
            Failure::NoTls => f.write_str("the server has no TLS"),
            Failure::Method(text) | Failure::State(text) => f.write_str(text),
            Failure::Protocol(text) => f.write_str(text),
        }
    }
}

/// What the program needs on its tables.
pub(super) const PRIVILEGES: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX";

/// Why a table of InnoDB can't be made on a server that has it.
pub(super) const OTHER_ENGINE: &str = "the server allows no tables of the engine InnoDB, which are the ones that know \
     transactions (unset enforce_storage_engine there)";

/// Where to and as whom a connection is made.
pub(super) struct Connecting<'a> {
    pub(super) place: &'a str,
    pub(super) user: &'a str,
    pub(super) database: &'a str,
}

/// An error while connecting.
pub(super) fn connecting(to: &Connecting<'_>, e: &Failure) -> Error {
    let Connecting {
        place,
        user,
        database,
    } = to;
    let (kind, why) = match e {
        Failure::Server(server) => match server.code {
            1045 | 1698 => (
                ErrorKind::Setup,
                "user or password rejected (check --url)".to_owned(),
            ),
            1044 => (
                ErrorKind::Setup,
                format!(
                    "no access to the database {database} (check its name in --url, or: GRANT {PRIVILEGES} ON `{database}`.* TO …)"
                ),
            ),
            1049 => (
                ErrorKind::Setup,
                format!(
                    "there is no database {database} (check --url, or: CREATE DATABASE `{database}`)"
                ),
            ),
            _ => explain(server, ErrorKind::Setup),
        },
        Failure::NoTls => (
            ErrorKind::Setup,
            format!("{e} (set it up there, or use ssl-mode=PREFERRED in --url)"),
        ),
        Failure::Tls(_) => (
            ErrorKind::Setup,
            format!(
                "TLS: {e} (name the authority's certificate with --ca-file, or use ssl-mode=REQUIRED in --url)"
            ),
        ),
        Failure::Method(_) => (ErrorKind::Setup, e.to_string()),
        Failure::Io(_) | Failure::Protocol(_) | Failure::State(_) => {
            (ErrorKind::Transient, e.to_string())
        }
    };
    Error::new(
        kind,
        format!("cannot log in to MySQL at {place} as \"{user}\": {why}"),
    )
}

/// An error of a statement. What is not known to be something else is `otherwise`.
pub(super) fn statement(place: &str, doing: &str, e: &Failure, otherwise: ErrorKind) -> Error {
    let (kind, why) = match e {
        Failure::Server(server) => explain(server, otherwise),
        _ => (ErrorKind::Transient, e.to_string()),
    };
    Error::new(kind, format!("MySQL at {place}: {doing}: {why}"))
}

/// The error of a statement that writes rows. `name` is what of [`named`] the database really has.
pub(super) fn write(place: &str, doing: &str, e: &Failure, name: Option<&str>) -> Error {
    let Failure::Server(server) = e else {
        return statement(place, doing, e, ErrorKind::Transient);
    };
    let mut why = refusal(server);
    if let Some(name) = name {
        why.push_str(&format!(", {}", text::foreign(name)));
    }
    let message = format!("MySQL at {place}: {doing}: {why} (error {})", server.code);
    Error::new(write_kind(server), message).with_detail(&server.message)
}

/// The column, key or constraint that the server's message names, unless a trigger made that up.
pub(super) fn named(e: &Failure) -> Option<&str> {
    let Failure::Server(ServerError { code, message, .. }) = e else {
        return None;
    };
    let (before, behind) = match code {
        1264 | 1265 | 1292 | 1366 | 1406 => (" for column ", " at row "),
        1048 => ("Column ", " cannot be null"),
        1062 | 1586 => (" for key ", ""),
        1364 => ("Field ", " doesn't have a default value"),
        3819 => ("Check constraint ", " is violated"),
        4025 => ("CONSTRAINT ", " failed for "),
        _ => return None,
    };
    let rest = message.get(message.rfind(before)? + before.len()..)?;
    let name = match behind {
        "" => rest,
        behind => rest.get(..rest.find(behind)?)?,
    };
    let quote = name.chars().last().filter(|c| matches!(c, '\'' | '`'))?;
    let name = name.strip_suffix(quote)?;
    let name = name.get(name.rfind(quote)? + 1..)?;
    // MySQL puts the table before the key.
    Some(match code {
        1062 | 1586 => name.rsplit('.').next().unwrap_or(name),
        _ => name,
    })
}

/// What the refusal of a write leads to. A trigger may signal any number, so that what may pass is not believed for ever:
/// see [`Sink::write`](crate::destination::sql::Sink::write).
fn write_kind(e: &ServerError) -> ErrorKind {
    match (e.code, explain(e, ErrorKind::Data).0) {
        // A column that needs a value which we do not have: the table's fault, and not the log-in's.
        (1364, _) => ErrorKind::Data,
        // The log-in was long before.
        (1044 | 1142 | 1143 | 1227 | 1370, kind) => kind,
        (_, ErrorKind::Setup) => ErrorKind::Data,
        (_, kind) => kind,
    }
}

/// Why the server refused a write, in our words.
fn refusal(e: &ServerError) -> String {
    let reason = match e.code {
        1048 => "a value is missing",
        1062 | 1586 => "another row has the same value in a unique key",
        1114 | 1021 | 1030 | 3 => "the server's disk or memory is full, or the row is too large",
        1118 | 1713 => "the row is too large for a page of InnoDB",
        1153 => "the row is larger than max_allowed_packet of the server",
        1197 => "the transaction is larger than max_binlog_cache_size of the server",
        1054 | 1146 => "a table or column is gone, perhaps one that a trigger uses",
        1205 | 3572 => "a lock was not granted in time",
        1213 => "deadlock",
        1216 | 1217 | 1451 | 1452 => "a foreign key is violated",
        1264 => "a number is too large for its column",
        1265 | 1292 | 1366 | 1367 | 1411 => "a value does not fit the type of its column",
        1290 | 1792 | 1836 => "the server is read-only",
        1047 => "the server is not ready",
        1053 | 1077..=1079 => "the server is shutting down",
        1317 | 1969 | 3024 => "the server cancelled the statement",
        1364 => {
            "a column that another program added has no default value (give it one, or let it be NULL)"
        }
        1406 => "a text is longer than its column",
        3819 | 4025 => "a check constraint is violated",
        1044 | 1142 | 1143 | 1227 | 1370 => {
            return format!(
                "a privilege is missing (GRANT {PRIVILEGES} ON the database TO this user)"
            );
        }
        1526 => "the table has no partition for the row",
        1643 | 1644 => "a trigger refused it",
        _ => "the server, or a trigger, refused it",
    };
    reason.to_owned()
}

/// Whether the connection can't be used any more.
pub(super) fn is_lost(e: &Failure) -> bool {
    match e {
        Failure::Server(server) => {
            matches!(
                server.code,
                1053 | 1153 | 1158..=1161 | 1927 | 2006 | 2013 | 4031
            )
        }
        _ => true,
    }
}

/// Why a table could not be changed that somebody else uses.
pub(super) const HELD: &str = "another session holds the table: its lock was not granted within 2 s (end long transactions \
     that read or write it)";

/// Whether a table could not be changed as others use it.
pub(super) fn is_held(e: &Failure) -> bool {
    matches!(code(e), 1205 | 1213)
}

/// Whether the server refused a statement for what it says, rather than for its state.
pub(super) fn is_refusal(e: &Failure) -> bool {
    matches!(e, Failure::Server(server) if explain(server, ErrorKind::Setup).0 != ErrorKind::Transient)
}

/// Whether the server takes no statements, or none that write, for now: another may.
pub(super) fn is_for_state(e: &Failure) -> bool {
    match e {
        Failure::Server(server) => match server.code {
            1047 | 1053 | 1792 | 1836 | 3100 => true,
            1290 => is_read_only(server),
            _ => false,
        },
        _ => false,
    }
}

/// Whether error 1290, an option that forbids a statement, is about an option such as `--read-only`.
fn is_read_only(e: &ServerError) -> bool {
    e.message.contains("read") && e.message.contains("only")
}

/// The number of the server's error; 0 for others.
pub(super) fn code(e: &Failure) -> u16 {
    match e {
        Failure::Server(server) => server.code,
        _ => 0,
    }
}

/// The one place that decides what an error number leads to.
fn explain(e: &ServerError, otherwise: ErrorKind) -> (ErrorKind, String) {
    use ErrorKind::{Data, Setup, Transient};
    let (kind, advice) = match e.code {
        // Privileges and log-in.
        1044 | 1142 | 1143 | 1227 | 1370 => {
            return (
                Setup,
                format!(
                    "{} (GRANT {PRIVILEGES} ON the database TO this user)",
                    safe_text(e)
                ),
            );
        }
        1045 | 1698 => (Setup, " (check user and password in --url)"),
        1049 => (Setup, " (check the database name in --url)"),
        1130 => (Setup, " (the account may not log in from this machine)"),
        1820 | 1862 => (Setup, " (set a new password for the account)"),
        3118 | 4151 => (Setup, " (unlock the account)"),
        3159 => (Setup, " (use ssl-mode=REQUIRED in --url)"),
        1251 => (
            Setup,
            " (let the account use mysql_native_password or caching_sha2_password)",
        ),
        1286 => (Setup, " (the server needs the InnoDB engine)"),
        1364 => (
            Setup,
            " (another program added the column: give it a default value)",
        ),
        // Connections, shutting down, cluster nodes that are not ready.
        1040 | 1203 | 1226 => (
            Transient,
            " (raise max_connections, or end idle connections)",
        ),
        1129 => (Transient, " (FLUSH HOSTS on the server)"),
        1047
        | 1053
        | 1077..=1079
        | 1152
        | 1158..=1161
        | 1184
        | 1317
        | 1927
        | 1969
        | 2002
        | 2003
        | 2006
        | 2013
        | 3024
        | 4031 => (Transient, ""),
        1205 | 1206 | 1213 | 1614 | 1637 | 3572 => (Transient, ""),
        // Gone or changed under us: the writer opens and prepares again.
        1054 | 1146 | 1412 | 1615 => (Transient, ""),
        1290 if e.message.contains("NO_ENGINE_SUBSTITUTION") => {
            return (Setup, OTHER_ENGINE.to_owned());
        }
        1290 if !is_read_only(e) => (Transient, " (an option of the server forbids it)"),
        1290 | 1792 | 1836 | 3100 => (Transient, " (the server is read-only)"),
        1030 if e.message.contains("error 139") => {
            (Data, " (the row is too large for a page of InnoDB)")
        }
        3 | 1021 | 1026 | 1030 | 1037 | 1041 | 1114 => {
            (Transient, " (look at the server's disk and memory)")
        }
        // The server's hint says how: the message is one of names.
        4119 => (Setup, ""),
        1118 | 1713 => (Data, " (the row is too large for a page of InnoDB)"),
        1153 => (Data, " (raise max_allowed_packet on the server)"),
        1197 | 1705 => (Data, " (raise max_binlog_cache_size on the server)"),
        // What Galera says of a transaction that is too large; the first number also means other things.
        1105 | 1180 if e.message.contains("exceeded") => (
            Data,
            " (raise wsrep_max_ws_rows or wsrep_max_ws_size on all nodes)",
        ),
        // The same at the commit: error 90 is EMSGSIZE.
        1180 if e.message.contains("error 90") => (Data, " (raise wsrep_max_ws_size on all nodes)"),
        // Galera's for a transaction that lost against another node's, and MariaDB's for a row that changed meanwhile.
        1020 | 1180 => (Transient, ""),
        1643 | 1644 => (Data, ""),
        1048 | 1062 | 1136 | 1138 | 1216 | 1217 | 1264 | 1265 | 1292 | 1366 | 1367 | 1369
        | 1406 | 1411 | 1451 | 1452 | 1526 | 1586 | 1690 | 3140 | 3141 | 3819 | 4025 => (Data, ""),
        _ if e.state.starts_with("22")
            || e.state.starts_with("23")
            || e.state.starts_with("45") =>
        {
            (Data, "")
        }
        _ => (otherwise, ""),
    };
    (kind, format!("{}{advice}", safe_text(e)))
}

/// The server's message without the values that it may quote, and its number.
fn safe_text(e: &ServerError) -> String {
    let message = text::foreign(&e.message);
    let message = message.as_str();
    let names_only = matches!(
        e.code,
        1044 | 1045
            | 1048
            | 1049
            | 1054
            | 1059
            | 1060
            | 1061
            | 1067
            | 1068
            | 1069
            | 1070
            | 1071
            | 1072
            | 1091
            | 1101
            | 1103
            | 1113
            | 1114
            | 1117
            | 1118
            | 1129
            | 1130
            | 1142
            | 1143
            | 1146
            | 1166
            | 1170
            | 1205
            | 1213
            | 1226
            | 1227
            | 1264
            | 1290
            | 1364
            | 1406
            | 1451
            | 1452
            | 1698
            | 1927
            | 3819
            | 4025
            | 4119
    );
    let Some((before, _)) = message.split_once(['\'', '"', '`']).filter(|_| !names_only) else {
        return format!("{message} (error {})", e.code);
    };
    // A value can stand only before these words; after them come names.
    let names = [" for column ", " for key "]
        .iter()
        .find_map(|words| message.rfind(words).and_then(|at| message.get(at..)))
        .unwrap_or_default();
    format!("{before}…{names} (error {})", e.code)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;

    fn answer(code: u16, state: &str, message: &str) -> Failure {
        Failure::Server(ServerError {
            state: state.to_owned(),
            message: message.to_owned(),
            code,
        })
    }

    #[test]
    fn no_value_gets_into_a_message() {
        for (code, message, shown) in [
            (
                1062,
                "Duplicate entry 'hush' for key 'PRIMARY'",
                "Duplicate entry … for key 'PRIMARY' (error 1062)",
            ),
            (
                1366,
                "Incorrect decimal value: 'hush' for column `db`.`t`.`c` at row 1",
                "Incorrect decimal value: … for column `db`.`t`.`c` at row 1 (error 1366)",
            ),
            (
                1366,
                "Incorrect string value: 'hush for column hush' for column 'c' at row 1",
                "Incorrect string value: … for column 'c' at row 1 (error 1366)",
            ),
            (
                1292,
                "Truncated incorrect DOUBLE value: 'hush'",
                "Truncated incorrect DOUBLE value: … (error 1292)",
            ),
            (
                1064,
                "You have an error in your SQL syntax near 'hush' at line 1",
                "You have an error in your SQL syntax near … (error 1064)",
            ),
            (
                1406,
                "Data too long for column 'c' at row 1",
                "Data too long for column 'c' at row 1 (error 1406)",
            ),
        ] {
            let error = statement(
                "h:1",
                "writing",
                &answer(code, "HY000", message),
                ErrorKind::Transient,
            );
            assert_eq!(error.to_string(), format!("MySQL at h:1: writing: {shown}"));
        }
    }

    #[test]
    fn what_is_said_of_a_write_is_kept_for_the_reject_file() {
        for (code, state) in [
            (1644, "45000"),
            (30001, "99001"),
            (1213, "40001"),
            (1205, "HY000"),
            (1406, "22001"),
            (1142, "42000"),
            (9999, "HY000"),
        ] {
            let refused = answer(code, state, "hush 'hush' `hush`");
            let error = write("h:1", "writing", &refused, named(&refused));
            assert!(!error.message().contains("hush"), "{error}");
            assert!(error.message().contains(&code.to_string()), "{error}");
            assert_eq!(error.detail(), Some("hush 'hush' `hush`"));
        }
        let kind = |code, state| write("h:1", "x", &answer(code, state, "m"), None).kind();
        assert_eq!(kind(30001, "99001"), ErrorKind::Data);
        assert_eq!(kind(1364, "HY000"), ErrorKind::Data);
        assert_eq!(kind(1197, "HY000"), ErrorKind::Data);
        assert_eq!(kind(1213, "40001"), ErrorKind::Transient);
        assert_eq!(kind(1142, "42000"), ErrorKind::Setup);
        // What a trigger does may fail with it for all rows.
        assert!(!write("h:1", "x", &answer(1062, "23000", "m"), None).is_of_row());
    }

    #[test]
    fn names_are_read_from_the_servers_own_sentences() {
        for (code, message, name) in [
            (1406, "Data too long for column 'c' at row 1", Some("c")),
            (
                1366,
                "Incorrect decimal value: 'hush' for column `db`.`t`.`c` at row 1",
                Some("c"),
            ),
            (1048, "Column 'c' cannot be null", Some("c")),
            (1364, "Field 'c' doesn't have a default value", Some("c")),
            (
                1062,
                "Duplicate entry 'hush' for key 'PRIMARY'",
                Some("PRIMARY"),
            ),
            (
                1062,
                "Duplicate entry 'hush' for key 't.once'",
                Some("once"),
            ),
            (4025, "CONSTRAINT `c` failed for `db`.`t`", Some("c")),
            (3819, "Check constraint 'c' is violated.", Some("c")),
            (1406, "hush", None),
            (1406, " for column ", None),
            (1644, "Column 'hush' cannot be null", None),
        ] {
            assert_eq!(named(&answer(code, "HY000", message)), name, "{message}");
        }
    }

    #[test]
    fn what_errors_lead_to() {
        use ErrorKind::{Data, Setup, Transient};
        for (code, state, kind) in [
            (1205, "HY000", Transient),
            (1213, "40001", Transient),
            (1927, "70100", Transient),
            (1040, "08004", Transient),
            (1053, "08S01", Transient),
            (1146, "42S02", Transient),
            (1054, "42S22", Transient),
            (1290, "HY000", Transient),
            (3100, "HY000", Transient),
            (1836, "HY000", Transient),
            (1114, "HY000", Transient),
            (1047, "08S01", Transient),
            (1142, "42000", Setup),
            (1044, "42000", Setup),
            (1364, "HY000", Setup),
            (1406, "22001", Data),
            (1264, "22003", Data),
            (1118, "42000", Data),
            (1153, "08S01", Data),
            (1197, "HY000", Data),
            (1020, "HY000", Transient),
            (4025, "23000", Data),
            (3819, "HY000", Data),
            // A SIGNAL may have any number, a future data error too.
            (9999, "45000", Data),
            (9999, "22999", Data),
            (9999, "HY000", Transient),
        ] {
            let error = statement("h:1", "x", &answer(code, state, "m"), Transient);
            assert_eq!(error.kind(), kind, "{code}");
        }
        let too_large = answer(
            1030,
            "HY000",
            "Got error 139 \"Too big row\" from storage engine InnoDB",
        );
        assert_eq!(statement("h:1", "x", &too_large, Transient).kind(), Data);
        for (code, message, kind) in [
            (1180, "wsrep_max_ws_rows exceeded", Data),
            (1105, "Maximum writeset size exceeded", Data),
            (
                1180,
                "Got error 5 \"Input/output error\" during COMMIT",
                Transient,
            ),
        ] {
            let error = statement("h:1", "x", &answer(code, "HY000", message), Transient);
            assert_eq!(error.kind(), kind, "{message}");
        }
        let full = answer(1030, "HY000", "Got error 28 from storage engine");
        assert_eq!(statement("h:1", "x", &full, Transient).kind(), Transient);
    }

    #[test]
    fn which_connections_can_go_on() {
        assert!(!is_lost(&answer(1062, "23000", "m")) && !is_lost(&answer(1213, "40001", "m")));
        assert!(is_lost(&answer(1927, "70100", "m")) && is_lost(&answer(1153, "08S01", "m")));
        assert!(is_lost(&Failure::Io(io::Error::other("x"))));
    }
}
