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

mod address;
mod sqlserver;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::secret::Secret;
use address::{Parts, is_option_name, port, servers};
pub use sqlserver::{Encryption, SqlServerUrl};

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

/// The kinds of servers whose addresses are `scheme://user:password@host:port/database`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Postgres,
    Mysql,
    SqlServer,
}

impl Scheme {
    /// The form that messages show.
    fn example(self) -> &'static str {
        match self {
            Scheme::Postgres => "postgres://user:password@host:port/database",
            Scheme::Mysql => "mysql://user:password@host:port/database",
            Scheme::SqlServer => "sqlserver://user:password@host:port/database",
        }
    }

    /// The form with all that an address can hold.
    fn longest_example(self) -> &'static str {
        match self {
            Scheme::SqlServer => "sqlserver://user:password@host:port/instance/database",
            Scheme::Postgres | Scheme::Mysql => self.example(),
        }
    }

    /// Whether an instance may precede the database.
    fn has_instances(self) -> bool {
        self == Scheme::SqlServer
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

/// The methods by which a PostgreSQL server may have us log in: `require_auth`, with libpq's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthMethods {
    /// The server asks for nothing.
    pub none: bool,
    /// The password as it is.
    pub password: bool,
    /// The password's MD5 sum, which can be cracked and is as good as the password.
    pub md5: bool,
    /// SCRAM, which tells whoever asks nothing that is of use to them.
    pub scram: bool,
}

impl AuthMethods {
    /// What is allowed unless the URL says otherwise: the password in clear text only where we know who gets it
    /// (a `trusted` server is on this computer, or its certificate was verified), MD5 only there and where it is
    /// encrypted.
    pub fn by_default(trusted: bool, encrypted: bool) -> Self {
        AuthMethods {
            none: true,
            password: trusted,
            md5: trusted || encrypted,
            scram: true,
        }
    }

    fn parse(value: &str) -> Result<Self> {
        let refused = || {
            Error::usage(
                "database address (--url): option require_auth must be a list of password, md5, scram-sha-256 and none, \
                 either all with a ! before them or none",
            )
        };
        let negated = value.starts_with('!');
        let mut methods = AuthMethods {
            none: negated,
            password: negated,
            md5: negated,
            scram: negated,
        };
        for word in value.split(',') {
            let name = match (word.strip_prefix('!'), negated) {
                (Some(name), true) => name,
                (None, false) => word,
                _ => return Err(refused()),
            };
            match name.to_ascii_lowercase().as_str() {
                "password" => methods.password = !negated,
                "md5" => methods.md5 = !negated,
                "scram-sha-256" => methods.scram = !negated,
                "none" => methods.none = !negated,
                // Methods of libpq's that this program has not: none of them is ever used.
                "gss" | "sspi" | "oauth" => {}
                _ => return Err(refused()),
            }
        }
        Ok(methods)
    }
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
    /// `require_auth`: how the server may have us log in.
    pub require_auth: Option<AuthMethods>,
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
    /// `allow-unverified-password`: to send the password to a server that may be anybody, if it asks for it.
    pub allow_unverified_password: bool,
}

/// A database URL, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `postgres://` or `postgresql://`
    Postgres(PostgresUrl),
    /// `mysql://` or `mariadb://`
    Mysql(MysqlUrl),
    /// `sqlserver://` or `mssql://`
    SqlServer(SqlServerUrl),
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
                "database address (--url): no scheme: expected {EXAMPLES}"
            )));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Scheme::Postgres,
            "mysql" | "mariadb" => Scheme::Mysql,
            "sqlserver" | "mssql" => Scheme::SqlServer,
            "sqlite" => return sqlite(rest),
            _ => {
                return Err(Error::usage(format!(
                    "database address (--url): unknown scheme: expected {EXAMPLES}"
                )));
            }
        };
        let rest = rest.strip_prefix("//").ok_or_else(|| {
            Error::usage(format!(
                "database address (--url): `//` is missing after the scheme: expected {}",
                scheme.example()
            ))
        })?;
        match scheme {
            Scheme::Postgres => postgres(rest).map(Self::Postgres),
            Scheme::Mysql => mysql(rest).map(Self::Mysql),
            Scheme::SqlServer => sqlserver::parse(rest).map(Self::SqlServer),
        }
    }

    /// The address without user, password and options, ports filled in: `postgres://db.example:5432/reports`.
    /// The same for each spelling of one target, so that it can serve as the target's identity.
    pub fn display(&self) -> String {
        match self {
            Self::Postgres(url) => display("postgres", &url.servers, &url.database),
            Self::Mysql(url) => display("mysql", &url.servers, &url.database),
            Self::SqlServer(url) => url.display(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
        }
    }
}

/// What messages show where the scheme is not known.
const EXAMPLES: &str = "postgres://user:password@host:port/database, the same with mysql:// or sqlserver://, or \
                        sqlite:path/of/file.db";

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
    let parts = Parts::split(rest, Scheme::Postgres)?;
    let (user, password) = parts.login()?;
    let mut url = PostgresUrl {
        servers: Servers::Tcp(Vec::new()),
        user,
        password,
        database: parts.database()?,
        tls: TlsMode::Prefer,
        connect_timeout: CONNECT_TIMEOUT,
        require_auth: None,
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
            "connect_timeout" => url.connect_timeout = seconds(&name, &value)?,
            "require_auth" => url.require_auth = Some(AuthMethods::parse(&value)?),
            "application_name" => url.application_name = value,
            "options" => url.options = Some(value),
            "host" => {
                if let Ok(Servers::Tcp(named)) = servers(&hosts, default_port, Scheme::Postgres)
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
                    "sslmode, require_auth, connect_timeout, application_name, options, host, port",
                ));
            }
        }
    }
    url.servers = servers(&hosts, default_port, Scheme::Postgres)?;
    Ok(url)
}

fn mysql(rest: &str) -> Result<MysqlUrl> {
    let parts = Parts::split(rest, Scheme::Mysql)?;
    let (user, password) = parts.login()?;
    let mut url = MysqlUrl {
        servers: Servers::Tcp(Vec::new()),
        user,
        password,
        database: parts.database()?,
        tls: TlsMode::Prefer,
        connect_timeout: CONNECT_TIMEOUT,
        allow_unverified_password: false,
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
            "connect_timeout" => url.connect_timeout = seconds(&name, &value)?,
            "allow-unverified-password" | "allow_unverified_password" => {
                url.allow_unverified_password =
                    choose(&name, &value, &[("true", true), ("false", false)])?;
            }
            "socket" => socket = Some(PathBuf::from(value)),
            "charset" | "collation" | "parsetime" | "loc" => {
                log::info!(
                    "database address: option {name} has no effect: connections always use utf8mb4"
                );
            }
            _ => {
                return Err(unknown_option(
                    &name,
                    "useSSL, ssl-mode, tls, connect_timeout, allow-unverified-password, socket",
                ));
            }
        }
    }
    url.servers = match socket {
        Some(path) => Servers::Socket { path, port: 3306 },
        None => parts.servers(3306)?,
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
        "database address (--url): this program was built without SQLite: use postgres, mysql, mariadb or sqlserver",
    ))
}

fn seconds(option: &str, value: &str) -> Result<Duration> {
    match value.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::usage(format!(
            "database address (--url): option {option} must be seconds, 1 to 3600"
        ))),
    }
}

fn choose<T: Copy>(option: &str, value: &str, modes: &[(&str, T)]) -> Result<T> {
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

fn unknown_option(name: &str, known: &str) -> Error {
    // A password with a raw `?` can end up here: only what looks like a name is repeated.
    let name = if is_option_name(name) {
        name
    } else {
        "after the `?`"
    };
    Error::usage(format!(
        "database address (--url): unknown option {name}: known are {known}"
    ))
}

#[cfg(test)]
mod tests;
