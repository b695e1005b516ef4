//! Database URLs: what may be written behind `--url`, and what it means.
//!
//! `scheme://user:password@host:port/database?option=value`. User, password, database and option values may be
//! percent-encoded; a `%` without two hexadecimal digits behind it stands for itself.
//!
//! Passwords often hold the characters that divide a URL, and are then often not encoded. So the address begins
//! behind the **last** `@` that is followed by hosts and a database name and stands before the first `?`; if there
//! is none, behind the last `@` at all that is so followed. Hence `@`, `:`, `/` and `#` work as they are, and so do
//! `?` and `%` as long as they can't be taken for the start of the options or for a percent-encoding; encoded as
//! `%40 %3A %2F %23 %3F %25`, all of them work always. The user ends at the first `:`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::settings::Secret;
use crate::error::{Error, Result};

/// How long a connection attempt to one host may take unless the URL says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A server's name or address, and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name, IPv4 or IPv6 address (without brackets), in lower case.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// One or more hosts, tried in this order. Never empty.
    Tcp(Vec<Host>),
    /// A Unix socket.
    Socket {
        /// PostgreSQL: the directory that holds the socket. MySQL: the socket itself.
        path: PathBuf,
        /// PostgreSQL: the number at the end of the socket's name. MySQL: without meaning.
        port: u16,
    },
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Servers::Tcp(hosts) => {
                for (i, host) in hosts.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    host.fmt(f)?;
                }
                Ok(())
            }
            Servers::Socket { path, .. } => path.display().fmt(f),
        }
    }
}

/// How a connection is encrypted, and how far the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never encrypt.
    Disable,
    /// Encrypt if the server can; do not verify. The default of libpq and of the mysql client, and ours.
    Prefer,
    /// Always encrypt; do not verify.
    Require,
    /// Always encrypt; the certificate must come from a trusted authority.
    VerifyCa,
    /// Always encrypt; the certificate must come from a trusted authority and be made for the host.
    VerifyFull,
}

/// What a PostgreSQL URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Where the server listens.
    pub servers: Servers,
    /// Role to log in as.
    pub user: String,
    /// Its password; empty if there is none.
    pub password: Secret,
    /// Database name.
    pub database: String,
    /// `sslmode`
    pub tls: TlsMode,
    /// `connect_timeout`: per host.
    pub connect_timeout: Duration,
    /// `application_name`: as shown in `pg_stat_activity`.
    pub application_name: String,
    /// `options`: command line options for the server process, such as `-csearch_path=reports`.
    pub options: Option<String>,
}

/// What a MySQL or MariaDB URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlUrl {
    /// Where the server listens.
    pub servers: Servers,
    /// Account to log in as.
    pub user: String,
    /// Its password; empty if there is none.
    pub password: Secret,
    /// Database name.
    pub database: String,
    /// `ssl-mode`
    pub tls: TlsMode,
    /// `connect_timeout`: per host.
    pub connect_timeout: Duration,
}

/// A database URL, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `postgres://` or `postgresql://`
    Postgres(PostgresUrl),
    /// `mysql://` or `mariadb://`
    Mysql(MysqlUrl),
    /// `sqlite:`; an absolute path.
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
}

impl DatabaseUrl {
    /// Reads a database URL by the rules at the top of this module.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage); the message never repeats the URL, as it may hold a password.
    pub fn parse(url: &str) -> Result<Self> {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(Error::usage(format!(
                "database address (--url): no scheme: expected {EXAMPLE}"
            )));
        };
        let authority = || {
            rest.strip_prefix("//").ok_or_else(|| {
                Error::usage(format!(
                    "database address (--url): `//` missing behind the scheme: expected {EXAMPLE}"
                ))
            })
        };
        match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Ok(Self::Postgres(postgres(authority()?)?)),
            "mysql" | "mariadb" => Ok(Self::Mysql(mysql(authority()?)?)),
            "sqlite" => sqlite(rest),
            "sqlserver" | "mssql" => Err(Error::usage(
                "database address (--url): SQL Server is not supported in this version: \
                 use postgres, mysql, mariadb or sqlite",
            )),
            _ => Err(Error::usage(format!(
                "database address (--url): unknown scheme: expected {EXAMPLE}, \
                 or one of postgresql, mysql, mariadb, sqlite in place of postgres"
            ))),
        }
    }

    /// The address without user, password and options, ports filled in: `postgres://db.example:5432/reports`.
    /// The same for each spelling of one target, so that it can serve as the target's identity.
    pub fn display(&self) -> String {
        match self {
            Self::Postgres(url) => display("postgres", &url.servers, &url.database),
            Self::Mysql(url) => display("mysql", &url.servers, &url.database),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
        }
    }
}

const EXAMPLE: &str = "postgres://user:password@host:port/database";

fn display(scheme: &str, servers: &Servers, database: &str) -> String {
    match servers {
        Servers::Tcp(_) => format!("{scheme}://{servers}/{database}"),
        Servers::Socket { path, port } if scheme == "postgres" => {
            format!("{scheme}:///{database}?host={}&port={port}", path.display())
        }
        Servers::Socket { path, .. } => {
            format!("{scheme}:///{database}?socket={}", path.display())
        }
    }
}

fn postgres(rest: &str) -> Result<PostgresUrl> {
    let parts = Parts::split(rest)?;
    let (user, password) = parts.login()?;
    let mut url = PostgresUrl {
        servers: Servers::Tcp(Vec::new()),
        user,
        password,
        database: parts.database()?,
        tls: TlsMode::Prefer,
        connect_timeout: CONNECT_TIMEOUT,
        application_name: "dbsync2".to_owned(),
        options: None,
    };
    let mut hosts = parts.hosts.to_owned();
    let mut default_port = 5432;
    for (name, value) in parts.options()? {
        match name.as_str() {
            "sslmode" => {
                url.tls = choose(
                    "sslmode",
                    &value,
                    &[
                        ("disable", TlsMode::Disable),
                        ("prefer", TlsMode::Prefer),
                        ("require", TlsMode::Require),
                        ("verify-ca", TlsMode::VerifyCa),
                        ("verify-full", TlsMode::VerifyFull),
                    ],
                )?;
            }
            "connect_timeout" => url.connect_timeout = seconds(&value)?,
            "application_name" => url.application_name = value,
            "options" => url.options = Some(value),
            "host" => {
                if let Ok(Servers::Tcp(named)) = servers(&hosts, default_port)
                    && let Some(first) = named.first()
                {
                    default_port = first.port;
                }
                hosts = value;
            }
            "port" => default_port = port(&value)?,
            "sslrootcert" => {
                return Err(Error::usage(
                    "database address (--url): option sslrootcert: name the file with --ca-file instead",
                ));
            }
            _ => {
                return Err(unknown_option(
                    &name,
                    "sslmode, connect_timeout, application_name, options, host, port",
                ));
            }
        }
    }
    url.servers = servers(&hosts, default_port)?;
    Ok(url)
}

fn mysql(rest: &str) -> Result<MysqlUrl> {
    let parts = Parts::split(rest)?;
    let (user, password) = parts.login()?;
    let mut url = MysqlUrl {
        servers: Servers::Tcp(Vec::new()),
        user,
        password,
        database: parts.database()?,
        tls: TlsMode::Prefer,
        connect_timeout: CONNECT_TIMEOUT,
    };
    let mut socket = None;
    for (name, value) in parts.options()? {
        match name.as_str() {
            // MySQL's own words, those of JDBC (`useSSL=true` encrypts without verifying) and those of the old
            // client's Go driver (`tls=true` verifies).
            "usessl" | "sslmode" | "ssl-mode" | "ssl_mode" => {
                url.tls = choose(
                    &name,
                    &value.replace('_', "-"),
                    &[
                        ("false", TlsMode::Disable),
                        ("true", TlsMode::Require),
                        ("disabled", TlsMode::Disable),
                        ("preferred", TlsMode::Prefer),
                        ("required", TlsMode::Require),
                        ("verify-ca", TlsMode::VerifyCa),
                        ("verify-identity", TlsMode::VerifyFull),
                    ],
                )?;
            }
            "tls" => {
                url.tls = choose(
                    &name,
                    &value,
                    &[
                        ("false", TlsMode::Disable),
                        ("preferred", TlsMode::Prefer),
                        ("skip-verify", TlsMode::Require),
                        ("true", TlsMode::VerifyFull),
                    ],
                )?;
            }
            "connect_timeout" => url.connect_timeout = seconds(&value)?,
            "socket" => socket = Some(PathBuf::from(value)),
            "charset" | "collation" | "parsetime" | "loc" => {
                log::info!(
                    "database address: option {name} has no effect: connections always use utf8mb4"
                );
            }
            _ => {
                return Err(unknown_option(
                    &name,
                    "useSSL, ssl-mode, tls, connect_timeout, socket",
                ));
            }
        }
    }
    url.servers = match socket {
        Some(path) => Servers::Socket { path, port: 3306 },
        None => servers(parts.hosts, 3306)?,
    };
    Ok(url)
}

#[cfg(feature = "sqlite")]
fn sqlite(rest: &str) -> Result<DatabaseUrl> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path == ":memory:" {
        return Err(Error::usage(
            "database address (--url): a database in memory would be gone when the program ends: name a file",
        ));
    }
    if path.contains('?') {
        return Err(Error::usage(
            "database address (--url): sqlite takes no options: expected sqlite:path/of/file.db",
        ));
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(Error::usage(
            "database address (--url): no file name: expected sqlite:path/of/file.db",
        ));
    }
    let path = std::path::absolute(path).map_err(|e| {
        Error::usage(format!(
            "database address (--url): path of the SQLite file: {e}"
        ))
    })?;
    Ok(DatabaseUrl::Sqlite(path))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_rest: &str) -> Result<DatabaseUrl> {
    Err(Error::usage(
        "database address (--url): this program was built without SQLite: use postgres, mysql or mariadb",
    ))
}

/// A URL behind `scheme://`, cut but not decoded.
struct Parts<'a> {
    login: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn split(rest: &'a str) -> Result<Self> {
        let before_options = rest.find('?').unwrap_or(rest.len());
        let (first, second): (Vec<usize>, Vec<usize>) = rest
            .match_indices('@')
            .map(|(at, _)| at)
            .partition(|at| *at < before_options);
        let cut = |at: usize| Self::cut(rest.get(..at), rest.get(at + 1..).unwrap_or_default());
        let candidates = (first.iter().rev().map(|at| cut(*at)))
            .chain(std::iter::once_with(|| Self::cut(None, rest)))
            .chain(second.iter().rev().map(|at| cut(*at)));
        if let Some(parts) = candidates.into_iter().find(Self::is_plausible) {
            return Ok(parts);
        }
        // Nothing fits: the most likely reading serves to say what is wrong.
        let parts = match first.last().or(second.last()) {
            Some(at) => cut(*at),
            None => Self::cut(None, rest),
        };
        parts.login()?;
        if !parts.hosts.is_empty() {
            servers(parts.hosts, 1)?;
        }
        parts.database()?;
        parts.options()?;
        Err(Error::usage(format!(
            "database address (--url): expected {EXAMPLE}"
        )))
    }

    fn cut(login: Option<&'a str>, address: &'a str) -> Self {
        // The Go driver's `tcp(host:port)` and `unix(/path)` may hold slashes.
        let from = if address.starts_with("tcp(") || address.starts_with("unix(") {
            address.find(')').unwrap_or(0)
        } else {
            0
        };
        let place = |c: char| {
            address
                .get(from..)
                .and_then(|behind| behind.find(c))
                .map(|at| at + from)
        };
        let query_at = place('?').unwrap_or(address.len());
        let path_at = place('/').unwrap_or(address.len()).min(query_at);
        let text = |from: usize, to: usize| address.get(from..to).unwrap_or_default();
        Parts {
            login,
            hosts: text(0, path_at),
            database: text(path_at + 1, query_at),
            query: text(query_at + 1, address.len()),
        }
    }

    fn is_plausible(&self) -> bool {
        (self.hosts.is_empty() || servers(self.hosts, 1).is_ok())
            && !self.database.is_empty()
            && !self.database.contains('/')
            && (self.query.split('&')).all(|option| {
                let name = option.split_once('=').map(|(name, _)| name);
                option.is_empty() || name.is_some_and(is_option_name)
            })
    }

    fn login(&self) -> Result<(String, Secret)> {
        let login = self.login.unwrap_or_default();
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        if user.is_empty() {
            return Err(Error::usage(format!(
                "database address (--url): no user name: expected {EXAMPLE}"
            )));
        }
        Ok((decode(user), Secret::new(decode(password))))
    }

    fn database(&self) -> Result<String> {
        if self.database.is_empty() {
            return Err(Error::usage(format!(
                "database address (--url): no database name: expected {EXAMPLE}"
            )));
        }
        if self.database.contains('/') {
            return Err(Error::usage(
                "database address (--url): the database name holds a `/`: write it as %2F",
            ));
        }
        Ok(decode(self.database))
    }

    /// Names in lower case, and values.
    fn options(&self) -> Result<Vec<(String, String)>> {
        let mut options = Vec::new();
        for option in self.query.split('&').filter(|option| !option.is_empty()) {
            let Some((name, value)) = option.split_once('=') else {
                return Err(Error::usage(
                    "database address (--url): an option without `=` behind the `?` \
                     (a `?` in the password is written as %3F)",
                ));
            };
            options.push((decode(name).to_ascii_lowercase(), decode(value)));
        }
        Ok(options)
    }
}

/// `name`, `name:port`, `[v6]:port`, several of them with commas, `tcp(name:port)`, `unix(/path)`, or a path.
fn servers(hosts: &str, default_port: u16) -> Result<Servers> {
    let (kind, hosts) = match hosts.strip_suffix(')').and_then(|h| h.split_once('(')) {
        Some((kind, inner)) => (kind, inner),
        None => ("tcp", hosts),
    };
    let decoded = decode(hosts);
    if kind == "unix" || decoded.starts_with('/') {
        return Ok(Servers::Socket {
            path: PathBuf::from(decoded),
            port: default_port,
        });
    }
    if kind != "tcp" {
        return Err(bad_host());
    }
    hosts
        .split(',')
        .map(|text| host(text, default_port))
        .collect::<Result<Vec<Host>>>()
        .map(Servers::Tcp)
}

fn host(text: &str, default_port: u16) -> Result<Host> {
    let (name, behind) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, behind) = rest.split_once(']').ok_or_else(bad_host)?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| bad_host())?;
            (name, behind)
        }
        None => {
            let (name, behind) = text.split_at(text.find(':').unwrap_or(text.len()));
            let valid = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            if name.is_empty() || !name.chars().all(valid) {
                return Err(bad_host());
            }
            (name, behind)
        }
    };
    let port = match behind.strip_prefix(':') {
        Some(digits) => port(digits)?,
        None if behind.is_empty() => default_port,
        None => return Err(bad_host()),
    };
    Ok(Host {
        name: name.to_lowercase(),
        port,
    })
}

fn port(digits: &str) -> Result<u16> {
    match digits.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Error::usage(
            "database address (--url): the port must be a number from 1 to 65535",
        )),
    }
}

fn bad_host() -> Error {
    Error::usage(format!(
        "database address (--url): no valid host name: expected {EXAMPLE} \
         (an IPv6 address stands in brackets; special characters in the password as %40 for @, %2F for /)"
    ))
}

fn seconds(value: &str) -> Result<Duration> {
    match value.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::usage(
            "database address (--url): option connect_timeout must be seconds, 1 to 3600",
        )),
    }
}

fn choose(option: &str, value: &str, modes: &[(&str, TlsMode)]) -> Result<TlsMode> {
    let found = modes
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(value));
    found.map(|(_, mode)| *mode).ok_or_else(|| {
        let words: Vec<&str> = modes.iter().map(|(word, _)| *word).collect();
        Error::usage(format!(
            "database address (--url): option {option} must be one of {}",
            words.join(", ")
        ))
    })
}

fn is_option_name(name: &str) -> bool {
    name.len() <= 30 && (name.chars()).all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-'))
}

fn unknown_option(name: &str, known: &str) -> Error {
    // A password with a raw `?` can end up here: only what looks like a name is repeated.
    let name = if is_option_name(name) {
        name
    } else {
        "behind the `?`"
    };
    Error::usage(format!(
        "database address (--url): unknown option {name}: known are {known}"
    ))
}

/// Percent-decoding; what is no encoding, or decodes to no UTF-8, stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%'
            && let [high, low, behind @ ..] = behind
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high * 16 + low);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
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
    use crate::error::ErrorKind;

    fn pg(url: &str) -> PostgresUrl {
        match DatabaseUrl::parse(url) {
            Ok(DatabaseUrl::Postgres(url)) => url,
            other => panic!("{url}: {other:?}"),
        }
    }

    fn my(url: &str) -> MysqlUrl {
        match DatabaseUrl::parse(url) {
            Ok(DatabaseUrl::Mysql(url)) => url,
            other => panic!("{url}: {other:?}"),
        }
    }

    fn refused(url: &str) -> String {
        let error = DatabaseUrl::parse(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
        error.to_string()
    }

    fn tcp(hosts: &[(&str, u16)]) -> Servers {
        let host = |(name, port): &(&str, u16)| Host {
            name: (*name).to_owned(),
            port: *port,
        };
        Servers::Tcp(hosts.iter().map(host).collect())
    }

    #[test]
    fn a_plain_url() {
        let url = pg("postgresql://sync:secret@DB.example/reports");
        assert_eq!(url.servers, tcp(&[("db.example", 5432)]));
        assert_eq!(url.user, "sync");
        assert_eq!(url.password.reveal(), "secret");
        assert_eq!(url.database, "reports");
        assert_eq!(url.tls, TlsMode::Prefer);
        assert_eq!(url.connect_timeout, CONNECT_TIMEOUT);
        assert_eq!(url.application_name, "dbsync2");
        assert_eq!(url.options, None);
        let url = my("mariadb://sync@10.0.0.7:3307/reports");
        assert_eq!(url.servers, tcp(&[("10.0.0.7", 3307)]));
        assert_eq!(url.password.reveal(), "");
        assert_eq!(url.tls, TlsMode::Prefer);
    }

    #[test]
    fn encoded_characters_in_the_password() {
        for (encoded, plain) in [
            ("p%40s", "p@s"),
            ("p%3As", "p:s"),
            ("p%2Fs", "p/s"),
            ("p%3Fs", "p?s"),
            ("p%23s", "p#s"),
            ("p%25s", "p%s"),
            ("p%2540s", "p%40s"),
            ("%c3%a4", "ä"),
            ("%40%3A%2F%3F%23%25%26%3D", "@:/?#%&="),
        ] {
            let url = pg(&format!("postgres://u:{encoded}@h/db?sslmode=disable"));
            assert_eq!(url.password.reveal(), plain);
            assert_eq!(url.servers, tcp(&[("h", 5432)]), "{plain}");
            assert_eq!(url.database, "db", "{plain}");
            assert_eq!(url.tls, TlsMode::Disable, "{plain}");
        }
    }

    #[test]
    fn raw_characters_in_the_password() {
        for plain in [
            "p@s", "p@", "@", "p:s", "p/s", "/", "p@s/w", "p/s@w", "p@s:1/w", "p#s", "p%s", "100%",
            "%", "%zz", "p?s", "?", "p@s?w", "p/s?w", "1?2", "a@b/c?d", "p&s=w", "ä€",
        ] {
            for tail in [
                "h:5433/db",
                "h:5433/db?sslmode=require",
                "h:5433/db?application_name=x%40y",
            ] {
                let url = pg(&format!("postgres://u:{plain}@{tail}"));
                assert_eq!(url.password.reveal(), plain, "{plain} {tail}");
                assert_eq!(url.servers, tcp(&[("h", 5433)]), "{plain} {tail}");
                assert_eq!(url.database, "db", "{plain} {tail}");
            }
        }
    }

    #[test]
    fn an_at_sign_behind_the_host() {
        let url = pg("postgres://u:p@h/d@b");
        assert_eq!((url.password.reveal(), url.database.as_str()), ("p", "d@b"));
        let url = pg("postgres://u:p@h/db?application_name=me@home");
        assert_eq!(
            (url.password.reveal(), url.application_name.as_str()),
            ("p", "me@home")
        );
    }

    #[test]
    fn user_and_database_are_decoded() {
        let url = my("mysql://us%40er%3A:x@h/d%2Fb");
        assert_eq!(
            (url.user.as_str(), url.database.as_str()),
            ("us@er:", "d/b")
        );
    }

    #[test]
    fn several_hosts_and_ipv6() {
        let url = pg("postgres://u:p@h1:5432,H2:5433,h3/db");
        assert_eq!(
            url.servers,
            tcp(&[("h1", 5432), ("h2", 5433), ("h3", 5432)])
        );
        let url = pg("postgres://u:p@[::1]:5433,[fe80::2]/db");
        assert_eq!(url.servers, tcp(&[("::1", 5433), ("fe80::2", 5432)]));
        assert_eq!(url.servers.to_string(), "[::1]:5433,[fe80::2]:5432");
    }

    #[test]
    fn unix_sockets() {
        let socket = |path: &str, port| Servers::Socket {
            path: PathBuf::from(path),
            port,
        };
        let run = "/var/run/postgresql";
        assert_eq!(
            pg("postgres://u@/db?host=/var/run/postgresql").servers,
            socket(run, 5432)
        );
        assert_eq!(
            pg("postgres://u@/db?host=%2Fvar%2Frun%2Fpostgresql&port=5433").servers,
            socket(run, 5433)
        );
        assert_eq!(
            pg("postgres://u@x:5434/db?host=/var/run/postgresql").servers,
            socket(run, 5434)
        );
        assert_eq!(
            pg("postgres://u@%2Fvar%2Frun%2Fpostgresql/db").servers,
            socket(run, 5432)
        );
        let my_socket = socket("/run/mysqld/mysqld.sock", 3306);
        assert_eq!(
            my("mysql://u:p@localhost/db?socket=/run/mysqld/mysqld.sock").servers,
            my_socket
        );
        assert_eq!(
            my("mysql://u:p@unix(/run/mysqld/mysqld.sock)/db").servers,
            my_socket
        );
    }

    #[test]
    fn the_go_driver_form() {
        let url =
            my("mysql://user:p@ss@tcp(db.example:3307)/reports?charset=utf8mb4&parseTime=true");
        assert_eq!(url.servers, tcp(&[("db.example", 3307)]));
        assert_eq!((url.user.as_str(), url.password.reveal()), ("user", "p@ss"));
        assert_eq!(
            my("mysql://u:p@tcp([::1]:3306)/db").servers,
            tcp(&[("::1", 3306)])
        );
    }

    #[test]
    fn tls_words() {
        for (option, mode) in [
            ("sslmode=disable", TlsMode::Disable),
            ("sslmode=prefer", TlsMode::Prefer),
            ("SSLMode=Require", TlsMode::Require),
            ("sslmode=verify-ca", TlsMode::VerifyCa),
            ("sslmode=VERIFY-FULL", TlsMode::VerifyFull),
        ] {
            assert_eq!(
                pg(&format!("postgres://u:p@h/db?{option}")).tls,
                mode,
                "{option}"
            );
        }
        for (option, mode) in [
            ("useSSL=false", TlsMode::Disable),
            ("useSSL=true", TlsMode::Require),
            ("useSSL=verify-ca", TlsMode::VerifyCa),
            ("useSSL=verify-identity", TlsMode::VerifyFull),
            ("ssl-mode=DISABLED", TlsMode::Disable),
            ("ssl-mode=PREFERRED", TlsMode::Prefer),
            ("sslMode=REQUIRED", TlsMode::Require),
            ("sslMode=VERIFY_CA", TlsMode::VerifyCa),
            ("ssl_mode=VERIFY_IDENTITY", TlsMode::VerifyFull),
            ("tls=skip-verify", TlsMode::Require),
            ("tls=true", TlsMode::VerifyFull),
        ] {
            assert_eq!(
                my(&format!("mysql://u:p@h/db?{option}")).tls,
                mode,
                "{option}"
            );
        }
    }

    #[test]
    fn other_options() {
        let url = pg(
            "postgres://u:p@h/db?connect_timeout=3&application_name=my%20app&options=-csearch_path%3Dx",
        );
        assert_eq!(url.connect_timeout, Duration::from_secs(3));
        assert_eq!(url.application_name, "my app");
        assert_eq!(url.options.as_deref(), Some("-csearch_path=x"));
        // A later `=` belongs to the value.
        let url = pg("postgres://u:p@h/db?options=-csearch_path=x");
        assert_eq!(url.options.as_deref(), Some("-csearch_path=x"));
    }

    #[test]
    fn the_identity_of_a_target() {
        for (url, shown) in [
            (
                "postgres://u:p@H/db?sslmode=require",
                "postgres://h:5432/db",
            ),
            ("postgresql://x@h:5432/db", "postgres://h:5432/db"),
            ("mariadb://u:p@h1,[::1]/db", "mysql://h1:3306,[::1]:3306/db"),
            ("mysql://u:p@tcp(h)/db", "mysql://h:3306/db"),
            (
                "postgres://u:p@/db?host=/tmp",
                "postgres:///db?host=/tmp&port=5432",
            ),
            (
                "mysql://u:p@h/db?socket=/tmp/s",
                "mysql:///db?socket=/tmp/s",
            ),
        ] {
            assert_eq!(DatabaseUrl::parse(url).unwrap().display(), shown, "{url}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_keep_the_password() {
        for (url, part) in [
            ("", "no scheme"),
            ("hostonly", "no scheme"),
            (
                "sqlserver://u:hush@h/db",
                "SQL Server is not supported in this version",
            ),
            ("oracle://u:hush@h/db", "unknown scheme"),
            ("postgres:u:hush@h/db", "`//` missing"),
            ("postgres://u:hush@h", "no database name"),
            ("postgres://u:hush@h/", "no database name"),
            ("postgres://u:hush@h/?sslmode=require", "no database name"),
            ("postgres://u:hush@h/a/b", "%2F"),
            ("postgres://h/db", "no user name"),
            ("postgres://:hush@h/db", "no user name"),
            ("postgres://u:hush@/db", "no valid host name"),
            ("postgres://u:hush@h h/db", "no valid host name"),
            ("postgres://u:hush@[::1/db", "no valid host name"),
            ("postgres://u:hush@[nov6]/db", "no valid host name"),
            ("postgres://u:hush@h:0/db", "port must be"),
            ("postgres://u:hush@h:65536/db", "port must be"),
            ("postgres://u:hush@h:x/db", "port must be"),
            (
                "postgres://u:hush@h/db?sslmode=allow",
                "disable, prefer, require, verify-ca, verify-full",
            ),
            ("postgres://u:hush@h/db?sslrootcert=/x", "--ca-file"),
            (
                "postgres://u:hush@h/db?useSSL=true",
                "unknown option usessl: known are sslmode, connect_timeout",
            ),
            (
                "postgres://u:hush@h/db?connect_timeout=0",
                "connect_timeout must be",
            ),
            ("postgres://u:hush@h/db?x", "without `=`"),
            (
                "mysql://u:hush@h/db?allowAll=1",
                "unknown option allowall: known are useSSL",
            ),
            ("mysql://u:hush@pipe(x)/db", "no valid host name"),
            (
                "mysql://u:hush@h/db?useSSL=maybe",
                "must be one of false, true",
            ),
        ] {
            let message = refused(url);
            assert!(message.contains(part), "{url}: {message}");
            assert!(!message.contains("hush"), "{url}: {message}");
        }
    }

    #[test]
    fn no_address_makes_it_panic() {
        let pieces = [
            "postgres://",
            "mysql://",
            "u",
            ":",
            "@",
            "/",
            "?",
            "%",
            "[",
            "]",
            "tcp(",
            ")",
            ",",
            "=",
            "ä",
            "4",
            "",
        ];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in pieces {
                        let _ = DatabaseUrl::parse(&format!("mysql://{a}{b}{c}{d}"));
                        let _ = DatabaseUrl::parse(&format!("{a}u:{b}@{c}h/{d}"));
                    }
                }
            }
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn sqlite_paths() {
        let path = |url: &str| match DatabaseUrl::parse(url) {
            Ok(DatabaseUrl::Sqlite(path)) => path,
            other => panic!("{url}: {other:?}"),
        };
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            path("sqlite:///var/lib/a%20b.db"),
            PathBuf::from("/var/lib/a%20b.db")
        );
        assert_eq!(path("sqlite:/var/lib/x.db"), PathBuf::from("/var/lib/x.db"));
        assert_eq!(path("sqlite://rel/x.db"), here.join("rel/x.db"));
        assert_eq!(path("sqlite:x.db"), here.join("x.db"));
        let shown = DatabaseUrl::parse("sqlite:x.db").unwrap().display();
        assert_eq!(shown, format!("sqlite:{}", here.join("x.db").display()));
        assert!(refused("sqlite::memory:").contains("gone when the program ends"));
        assert!(refused("sqlite://:memory:").contains("gone when the program ends"));
        assert!(refused("sqlite:").contains("no file name"));
        assert!(refused("sqlite:///").contains("no file name"));
        assert!(refused("sqlite:x.db?mode=ro").contains("takes no options"));
    }
}
