//! Connecting: hosts in their order, TLS as far as asked for, and a session whose rules are fixed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, OptsBuilder, SslOpts, Value};

use super::failure::{self, Connecting};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::url::{Host, MysqlUrl, Servers, TlsMode};
use crate::tls::Roots;

/// How long the server may take for one answer while rows are written.
pub(super) const ANSWER: Duration = Duration::from_secs(300);

/// How long it may take to rebuild a large table.
pub(super) const REBUILD: Duration = Duration::from_secs(6 * 3600);

/// What is the same in each session, whatever the server's settings: nothing is cut silently, backslashes escape.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
     time_zone = '+00:00', autocommit = 1, wait_timeout = 28800";

/// A connection and what was learnt of its server.
pub(super) struct Session {
    pub(super) conn: Conn,
    /// Such as `db.example:3306`.
    pub(super) place: String,
    /// Such as `10.11.6-MariaDB`.
    pub(super) version: String,
    /// `@@max_allowed_packet`: bytes.
    pub(super) max_packet: usize,
    /// `@@lower_case_table_names`: how the server compares table names.
    pub(super) fold_tables: bool,
    /// The cipher; `None` if the connection is not encrypted.
    pub(super) cipher: Option<String>,
}

/// How long a session waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For one answer of the server.
    pub(super) answer: Duration,
    /// For a lock that another session holds, in whole seconds from 1.
    pub(super) lock: Duration,
}

/// Connects to the first host that can be written to.
///
/// # Errors
/// [`Setup`](ErrorKind::Setup) if a host refuses the log-in, else [`Transient`](ErrorKind::Transient).
pub(super) fn connect(url: &MysqlUrl, roots: &Roots, limits: Limits) -> Result<Session> {
    crate::tls::install_provider();
    let attempt = |place: String, opts: OptsBuilder, host: Option<&Host>| {
        let opts = opts
            .user(Some(&url.user))
            .pass(Some(url.password.reveal()))
            .db_name(Some(&url.database))
            .read_timeout(Some(limits.answer))
            .write_timeout(Some(limits.answer))
            .tcp_connect_timeout(Some(url.connect_timeout))
            .tcp_keepalive_time_ms(Some(60_000))
            // The socket that the server names was not asked for, and would go past TLS.
            .prefer_socket(false)
            .stmt_cache_size(0);
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        let opts = opts
            .tcp_keepalive_probe_interval_secs(Some(15))
            .tcp_keepalive_probe_count(Some(4));
        let context = Connecting {
            place: &place,
            user: &url.user,
            database: &url.database,
        };
        log_in(&opts, url.tls, roots, host)
            .and_then(|conn| begin_session(conn, limits.lock))
            .map_err(|e| failure::connecting(&context, &e))
            .and_then(|found| session(place.clone(), found))
    };
    let hosts = match &url.servers {
        Servers::Socket { path, .. } => {
            let path = path.to_string_lossy().into_owned();
            let opts = OptsBuilder::new().socket(Some(path.clone()));
            return attempt(path, opts, None);
        }
        Servers::Tcp(hosts) => hosts,
    };
    let mut errors: Vec<Error> = Vec::new();
    for host in hosts {
        let name = if host.name.contains(':') {
            format!("[{}]", host.name)
        } else {
            host.name.clone()
        };
        let opts = OptsBuilder::new()
            .ip_or_hostname(Some(name))
            .tcp_port(host.port);
        match attempt(host.to_string(), opts, Some(host)) {
            Ok(session) => return Ok(session),
            Err(e) => errors.push(e),
        }
    }
    let kind = if errors.iter().any(|e| e.kind() == ErrorKind::Setup) {
        ErrorKind::Setup
    } else {
        ErrorKind::Transient
    };
    let messages: Vec<String> = errors.iter().map(Error::to_string).collect();
    Err(Error::new(kind, messages.join("; ")))
}

/// Logs in with the encryption asked for; with [`TlsMode::Prefer`] without any where the server has none to offer.
fn log_in(
    opts: &OptsBuilder,
    tls: TlsMode,
    roots: &Roots,
    host: Option<&Host>,
) -> mysql::Result<Conn> {
    let encrypted = |ssl: SslOpts| {
        let ssl = ssl.with_root_cert_path(roots.file().map(Path::to_owned));
        reach(&opts.clone().ssl_opts(ssl), host)
    };
    let unverified = SslOpts::default().with_danger_accept_invalid_certs(true);
    match tls {
        TlsMode::Disable => reach(opts, host),
        TlsMode::Prefer => match encrypted(unverified) {
            // Servers of before 2018 may speak TLS 1.0 only, which is no better than nothing.
            Err(e) if failure::is_tls(&e) => {
                // The line about the connection says that it is not encrypted; here stands why, if there is more to say.
                if !matches!(e, mysql::Error::DriverError(DriverError::TlsNotSupported)) {
                    log::warn!(
                        "cannot encrypt the connection to MySQL at {}: {}: going on without encryption (ssl-mode=PREFERRED)",
                        host.map_or_else(|| "its socket".to_owned(), ToString::to_string),
                        failure::reason(&e)
                    );
                }
                reach(opts, host)
            }
            other => other,
        },
        TlsMode::Require => encrypted(unverified),
        TlsMode::VerifyCa => encrypted(SslOpts::default().with_danger_skip_domain_validation(true)),
        TlsMode::VerifyFull => encrypted(SslOpts::default()),
    }
}

/// Opens a connection. The driver gives up after the first address of a host name that does not answer, such as
/// `::1` of `localhost`; where it binds to an address of one family first, it tries all of that family.
fn reach(opts: &OptsBuilder, host: Option<&Host>) -> mysql::Result<Conn> {
    let first = guarded(|| Conn::new(opts.clone()));
    let (
        Err(mysql::Error::DriverError(
            DriverError::CouldNotConnect(_) | DriverError::ConnectTimeout,
        )),
        Some(host),
    ) = (&first, host)
    else {
        return first;
    };
    let addresses: Vec<SocketAddr> = (host.name.as_str(), host.port)
        .to_socket_addrs()
        .map(Iterator::collect)
        .unwrap_or_default();
    if addresses.len() < 2 {
        return first;
    }
    for (any, of_family) in [
        (
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::is_ipv4 as fn(&SocketAddr) -> bool,
        ),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), SocketAddr::is_ipv6),
    ] {
        if addresses.iter().any(of_family) {
            let bound = opts.clone().bind_address(Some(SocketAddr::new(any, 0)));
            match guarded(|| Conn::new(bound)) {
                Err(mysql::Error::DriverError(_)) => {}
                other => return other,
            }
        }
    }
    first
}

/// Runs a call of the driver. It indexes into the server's packets, so a broken answer makes it panic.
pub(super) fn guarded<T>(call: impl FnOnce() -> mysql::Result<T>) -> mysql::Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        Err(mysql::Error::IoError(std::io::Error::other(
            "the server's answer is no valid MySQL packet",
        )))
    })
}

/// The rows of a query, each value as text.
pub(super) fn rows(conn: &mut Conn, sql: &str) -> mysql::Result<Vec<Vec<Option<String>>>> {
    guarded(|| {
        conn.query_iter(sql)?
            .map(|row| {
                let values = row?.unwrap_raw().into_iter();
                Ok(values
                    .map(|value| match value {
                        Some(Value::Bytes(bytes)) => {
                            Some(String::from_utf8_lossy(&bytes).into_owned())
                        }
                        _ => None,
                    })
                    .collect())
            })
            .collect()
    })
}

/// A value of a row that [`rows`] returned.
pub(super) fn text(row: &[Option<String>], column: usize) -> &str {
    row.get(column)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}

fn begin_session(mut conn: Conn, lock: Duration) -> mysql::Result<(Conn, Vec<Option<String>>)> {
    guarded(|| {
        conn.query_drop("SET NAMES utf8mb4")?;
        conn.query_drop(SESSION)?;
        let seconds = lock.as_secs().max(1);
        conn.query_drop(format!(
            "SET SESSION innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"
        ))
    })?;
    // Lets a table have more than about 197 text columns; MySQL 8 allows it only with a special privilege.
    match guarded(|| conn.query_drop("SET SESSION innodb_strict_mode = OFF")) {
        Ok(()) | Err(mysql::Error::MySqlError(_)) => {}
        Err(e) => return Err(e),
    }
    let sql =
        "SELECT VERSION(), @@max_allowed_packet, @@lower_case_table_names, @@global.read_only";
    let mut facts = rows(&mut conn, sql)?.into_iter().next().unwrap_or_default();
    let cipher = rows(&mut conn, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")?;
    let cipher = cipher
        .first()
        .map(|row| text(row, 1))
        .unwrap_or_default()
        .to_owned();
    facts.push(Some(cipher));
    Ok((conn, facts))
}

fn session(place: String, (conn, facts): (Conn, Vec<Option<String>>)) -> Result<Session> {
    if !matches!(text(&facts, 3), "0" | "OFF") {
        return Err(Error::transient(format!(
            "MySQL at {place} is read-only (a replica, or being maintained): name the server that is written to in --url"
        )));
    }
    Ok(Session {
        conn,
        place,
        version: text(&facts, 0).to_owned(),
        max_packet: text(&facts, 1).parse().unwrap_or(1_048_576),
        fold_tables: text(&facts, 2) != "0",
        cipher: Some(text(&facts, 4).to_owned()).filter(|cipher| !cipher.is_empty()),
    })
}
