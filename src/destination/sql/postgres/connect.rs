//! Opening a connection: hosts in turn, TLS, time limits, session settings.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use postgres::config::{SslMode, SslNegotiation};
use postgres::error::SqlState;
use postgres::types::Type;
use postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Server, is_tls};
use super::guard::Seen;
use super::negotiate::Negotiate;
use super::patience::Patience;
use super::session::Session;
use super::settings;
use crate::destination::sql::resolve;
use crate::destination::sql::tls::client_config;
use crate::destination::sql::url::{Host, PostgresUrl, Servers, TlsMode};
use crate::error::{Error, ErrorKind, Result};
use crate::net::tls::Roots;
use crate::text;

/// `INSERT … ON CONFLICT` came with 9.5.
const MIN_VERSION: i32 = 90_500;

/// Addresses of one host name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A connection attempt ends by itself within its time; on a Unix socket, where nothing of ours is under the driver, it is
/// left alone then. So many of those there may be.
static WAITING: AtomicUsize = AtomicUsize::new(0);
const MAX_WAITING: usize = 16;

/// What a session has that was begun for us, which a pooler's sessions are not.
const MARK: &str = "-cdbsync2.session=ours";

/// The time in which an attempt can say itself why it took too long.
const GRACE: Duration = Duration::from_millis(500);

/// Connects to the first server that accepts us and can be written to. `answer` is how long it may be silent then; on a
/// Unix socket, whose other end is on this computer, there is no limit.
pub(super) fn connect(
    url: &PostgresUrl,
    roots: &Roots,
    answer: Duration,
) -> Result<(Client, Session)> {
    let rustls = MakeRustlsConnect::new(client_config(url.tls, roots, rustls::DEFAULT_VERSIONS)?);
    let mut failed: Option<Error> = None;
    for (config, address, local) in candidates(url) {
        let opened = config.and_then(|config| {
            Attempt {
                config,
                server: Server {
                    address,
                    user: url.user.clone(),
                    database: url.database.clone(),
                },
                options: url.options.clone(),
                is_socket: matches!(url.servers, Servers::Socket { .. }),
                negotiate: Negotiate {
                    rustls: rustls.clone(),
                    tls: url.tls,
                    patience: Patience::new(answer, url.connect_timeout),
                    require_auth: url.require_auth,
                    local,
                    seen: Seen::default(),
                },
            }
            .within(url.connect_timeout)
        });
        match (opened, failed) {
            (Ok((client, session)), _) => {
                let encrypted = if session.encrypted {
                    "encrypted"
                } else {
                    "not encrypted"
                };
                let pooler = if session.is_pooled() {
                    ", through a connection pooler"
                } else {
                    ""
                };
                log::info!(
                    "connected to PostgreSQL {} at {}, {encrypted}{pooler}",
                    session.version,
                    session.server.address
                );
                return Ok((client, session));
            }
            (Err(error), None) => failed = Some(error),
            (Err(error), Some(earlier)) => failed = Some(both(&earlier, &error)),
        }
    }
    Err(failed.unwrap_or_else(|| Error::usage("database address (--url): no host name")))
}

/// All servers of the URL in turn, each with its name for messages, and whether it is on this computer. Names are looked
/// up when it is their turn.
fn candidates(url: &PostgresUrl) -> Box<dyn Iterator<Item = (Result<Config>, String, bool)> + '_> {
    match &url.servers {
        Servers::Socket { path, port } => {
            let mut config = basis(url);
            // PostgreSQL has no TLS on Unix sockets.
            config.ssl_mode(SslMode::Disable).port(*port);
            #[cfg(unix)]
            config.host_path(path);
            #[cfg(not(unix))]
            config.host(&path.display().to_string());
            let address = path.display().to_string();
            Box::new(std::iter::once((Ok(config), address, true)))
        }
        Servers::Tcp(hosts) => Box::new(hosts.iter().flat_map(|host| {
            addresses(host, url.connect_timeout)
                .into_iter()
                .map(|address| match address {
                    Ok(address) => candidate(url, host, address),
                    Err(error) => (Err(error), host.to_string(), false),
                })
        })),
    }
}

/// One address of a host.
fn candidate(url: &PostgresUrl, host: &Host, address: IpAddr) -> (Result<Config>, String, bool) {
    let mut config = basis(url);
    // `Negotiate` decides, whom the driver asks only if it is told so.
    config
        .host(&host.name)
        .hostaddr(address)
        .port(host.port)
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    (Ok(config), host.to_string(), resolve::is_local(address))
}

/// Two errors as one. While one of the servers may come back, waiting can help.
fn both(earlier: &Error, later: &Error) -> Error {
    let transient = [earlier.kind(), later.kind()].contains(&ErrorKind::Transient);
    let kind = if transient {
        ErrorKind::Transient
    } else {
        later.kind()
    };
    Error::new(kind, format!("{earlier}; {later}"))
}

/// The addresses of a host: each may be another server, and the first one out of order.
fn addresses(host: &Host, limit: Duration) -> Vec<Result<IpAddr>> {
    match resolve::addresses(&host.name, host.port, limit) {
        Ok(found) => {
            let mut distinct = Vec::new();
            for ip in found.iter().map(std::net::SocketAddr::ip) {
                if !distinct.contains(&ip) && distinct.len() < MAX_ADDRESSES {
                    distinct.push(ip);
                }
            }
            distinct.into_iter().map(Ok).collect()
        }
        Err(e) => vec![Err(Error::transient(format!(
            "cannot reach PostgreSQL at {host}: {e}"
        )))],
    }
}

/// What is the same for all servers.
fn basis(url: &PostgresUrl) -> Config {
    let mut config = Config::new();
    config
        .user(&url.user)
        .dbname(&url.database)
        .application_name(&url.application_name)
        .connect_timeout(url.connect_timeout)
        .keepalives_idle(Duration::from_secs(60))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(6)
        .tcp_user_timeout(Duration::from_secs(120))
        .notice_callback(|_| {});
    if !url.password.reveal().is_empty() {
        config.password(url.password.reveal());
    }
    config
}

/// Everything that connecting to one address takes.
#[derive(Clone)]
struct Attempt {
    config: Config,
    server: Server,
    options: Option<String>,
    is_socket: bool,
    negotiate: Negotiate,
}

impl Attempt {
    /// Connects, logs in and sets the session up, in a thread of its own, so that nothing holds us for longer.
    fn within(self, limit: Duration) -> Result<(Client, Session)> {
        let server = self.server.clone();
        let unreachable = |reason: String| {
            Error::transient(format!(
                "cannot reach PostgreSQL at {}: {reason}",
                server.address
            ))
        };
        if WAITING.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            return Err(unreachable(format!(
                "{MAX_WAITING} earlier attempts still wait for an answer"
            )));
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = move || {
            let _guard = Waiting;
            // Nobody listens any more if it took too long; the connection is then dropped, and so closed.
            let _ = sender.send(self.open());
        };
        if let Err(e) = std::thread::Builder::new()
            .name("postgres-connect".to_owned())
            .spawn(work)
        {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            return Err(unreachable(format!("cannot start a thread: {e}")));
        }
        receiver
            .recv_timeout(limit.saturating_add(GRACE))
            .unwrap_or_else(|_| {
                Err(unreachable(format!(
                    "no answer within {} s",
                    limit.as_secs_f32()
                )))
            })
    }

    fn open(self) -> Result<(Client, Session)> {
        let first = match self.clone().open_with("") {
            Err(Failed::Early(error)) => error,
            Err(Failed::Unknown(error) | Failed::Otherwise(error)) => return Err(error),
            Ok(opened) => return Ok(opened),
        };
        log::debug!("limits of time are lifted at the log-in, after: {first}");
        for limits in settings::without_limits() {
            match self.clone().open_with(&limits) {
                Err(Failed::Unknown(_)) => {}
                Err(Failed::Early(error) | Failed::Otherwise(error)) => return Err(error),
                Ok(opened) => return Ok(opened),
            }
        }
        Err(first)
    }

    /// Logs in with these options before those of the address, and sets the session up.
    fn open_with(mut self, limits: &str) -> std::result::Result<(Client, Session), Failed> {
        let wanted = self.options.take();
        // Under a Unix socket there is nothing of ours that sees whom the server takes us for.
        let mark = self.is_socket.then_some(MARK);
        let options: Vec<&str> = Some(limits)
            .filter(|limits| !limits.is_empty())
            .into_iter()
            .chain(wanted.as_deref())
            .chain(mark)
            .collect();
        if options.is_empty() {
            let client = self.log_in()?.map_err(|e| self.server.login_error(&e))?;
            return self.set_up(client, &[]);
        }
        let mut with_options = self.clone();
        with_options.config.options(&options.join(" "));
        match with_options.log_in()? {
            Ok(client) => self.set_up(client, &[]),
            // A pooler that can't pass them on: they are set in each transaction instead.
            Err(error) if is_refused_parameter(&error) => {
                let Some(settings) = settings::of_options(&wanted.unwrap_or_default()) else {
                    return Err(Error::setup(format!(
                        "cannot log in to PostgreSQL at {}: the connection pooler takes no `options` but settings (-c name=value; \
                         check --url)",
                        self.server.address
                    ))
                    .into());
                };
                let client = self.log_in()?.map_err(|e| self.server.login_error(&e))?;
                self.set_up(client, &settings)
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {
                Err(Failed::Unknown(self.server.login_error(&error)))
            }
            Err(error) => Err(self.server.login_error(&error).into()),
        }
    }

    fn log_in(&self) -> Result<std::result::Result<Client, postgres::Error>> {
        match self.config.connect(self.negotiate.clone()) {
            // As libpq does: an old server's TLS that rustls refuses is as good as none.
            Err(error) if self.negotiate.tls == TlsMode::Prefer && is_tls(&error) => {
                log::warn!(
                    "{}: going on without encryption (sslmode=prefer)",
                    self.server.login_error(&error)
                );
                let mut plain = self.negotiate.clone();
                plain.tls = TlsMode::Disable;
                Ok(self.config.connect(plain))
            }
            done => Ok(done),
        }
    }

    /// Looks at the server, and replaces settings of the server or of a role that would disturb us.
    fn set_up(
        self,
        mut client: Client,
        options: &[(String, String)],
    ) -> std::result::Result<(Client, Session), Failed> {
        let server = self.server;
        let failed = |e: postgres::Error| {
            let error = server.error(&e, "cannot set up the connection", "");
            if is_early(&e) {
                Failed::Early(error)
            } else {
                Failed::Otherwise(error)
            }
        };
        let found = Found::new(&mut client, self.is_socket).map_err(failed)?;
        if found.version_number < MIN_VERSION {
            return Err(Error::setup(format!(
                "PostgreSQL at {}: version {} is too old: 9.5 or later is needed",
                server.address, found.version
            ))
            .into());
        }
        if found.is_standby {
            let refusal = server.read_only(ErrorKind::Transient, "it is a standby");
            return Err(refusal.into());
        }
        let read_only = found.read_only.as_deref();
        let ours_to_change = matches!(read_only, Some("database" | "user" | "database user"));
        match read_only {
            None => {}
            // Whoever says so for a role or a database means other programs.
            Some(_) if ours_to_change => {}
            Some(source) => {
                let kind = if source == "client" {
                    ErrorKind::Setup
                } else {
                    ErrorKind::Transient
                };
                let refusal = server.read_only(kind, "default_transaction_read_only is on");
                return Err(refusal.into());
            }
        }
        let pooled = match found.is_marked {
            Some(is_marked) => !is_marked,
            None => found.backend != self.negotiate.seen.backend(),
        };
        let more = |local: bool| -> String {
            let set = |(name, value): &(String, String)| {
                let (name, value) = (literal(name), literal(value));
                format!("SELECT pg_catalog.set_config({name}, {value}, {local});")
            };
            options.iter().map(set).collect()
        };
        let settings = if pooled {
            let settings = settings::of_transaction(&found.settings, ours_to_change);
            Some(settings + &more(true))
        } else {
            let settings = settings::of_session(&found.settings, ours_to_change) + &more(false);
            client.batch_execute(&settings).map_err(failed)?;
            None
        };
        self.negotiate.patience.logged_in();
        Ok((
            client,
            Session {
                server,
                version: found.version,
                version_number: found.version_number,
                encrypted: self.negotiate.seen.encrypted(),
                patience: self.negotiate.patience,
                settings,
                hasty: found.is_hasty,
            },
        ))
    }
}

/// Why a connection was not opened.
enum Failed {
    /// The server ended the session before it was set up, as it does by the limits of time of a role or a database.
    Early(Error),
    /// The server does not know one of the options that it was given.
    Unknown(Error),
    Otherwise(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Otherwise(error)
    }
}

/// Whether a statement failed by a limit of time, or as the session had been ended before.
fn is_early(error: &postgres::Error) -> bool {
    match error.code().map(SqlState::code) {
        // A statement; a session or a transaction that was idle; a transaction that took too long.
        Some(code) => matches!(code, "57014" | "57P05" | "25P03" | "25P04"),
        // The server's last words may be lost with the connection. One that is silent is another matter.
        None => {
            let cause = error.source().and_then(|cause| cause.downcast_ref());
            let is_cut = |cause: &std::io::Error| {
                use std::io::ErrorKind::{
                    BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof,
                };
                matches!(
                    cause.kind(),
                    BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
                )
            };
            error.is_closed() || cause.is_some_and(is_cut)
        }
    }
}

struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the server says of itself.
struct Found {
    version_number: i32,
    version: String,
    /// The number of the process that answers.
    backend: i32,
    /// On a Unix socket: whether the session is the one that we asked for.
    is_marked: Option<bool>,
    is_standby: bool,
    /// Whose setting keeps transactions from writing, if any does.
    read_only: Option<String>,
    /// The names of the settings that it has, of those that we set.
    settings: Vec<String>,
    /// It may end a transaction between its first two statements.
    is_hasty: bool,
}

impl Found {
    fn new(client: &mut Client, is_socket: bool) -> std::result::Result<Self, postgres::Error> {
        match client.batch_execute(&settings::begin_without_limits()) {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_FUNCTION) => {
                // Before 9.6 there is but this one limit that could end a look at all settings, which takes milliseconds.
                client.batch_execute("ROLLBACK;BEGIN;SET LOCAL statement_timeout = 0")?;
            }
            begun => begun?,
        }
        let row = client.query_typed_one(
            "SELECT current_setting('server_version_num')::int4, current_setting('server_version'), \
                    pg_catalog.pg_backend_pid()::int4, pg_catalog.pg_is_in_recovery()",
            &[],
        )?;
        let version_number: i32 = row.try_get(0)?;
        // A setting that may be missing can be asked for since 9.6.
        let is_marked = if is_socket && version_number >= 90_600 {
            let mark = "SELECT COALESCE(current_setting('dbsync2.session', true), '') = 'ours'";
            Some(client.query_typed_one(mark, &[])?.try_get(0)?)
        } else {
            is_socket.then_some(true)
        };
        let names: Vec<&str> = settings::names().collect();
        let rows = client.query_typed(
            "SELECT name::text, setting::text, source::text, reset_val::text FROM pg_catalog.pg_settings \
             WHERE lower(name) = ANY ($1) LIMIT 100",
            &[(&names, Type::TEXT_ARRAY)],
        )?;
        client.batch_execute("COMMIT")?;
        let mut found = Found {
            version_number,
            version: text::foreign(row.try_get(1)?),
            backend: row.try_get(2)?,
            is_marked,
            is_standby: row.try_get(3)?,
            read_only: None,
            settings: Vec::new(),
            is_hasty: false,
        };
        for row in rows {
            let (name, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            if name == settings::READ_ONLY && value == "on" {
                found.read_only = Some(row.try_get(2)?);
            }
            let otherwise: Option<String> = row.try_get(3)?;
            found.is_hasty |= settings::is_hasty(&name, &otherwise.unwrap_or_default());
            found.settings.push(name);
        }
        Ok(found)
    }
}

/// Whether a pooler refuses a parameter that a server would take (PgBouncer up to 1.19, and for most settings later).
fn is_refused_parameter(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        db.code().code() == "08P01" && db.message().contains("unsupported startup parameter")
    })
}

/// A text as a literal that means the same under all settings.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::destination::sql::url::DatabaseUrl;

    #[test]
    fn a_server_is_on_this_computer_by_its_address_and_not_by_its_name() {
        for (name, address, local) in [
            ("localhost", "127.0.0.1", true),
            ("localhost", "192.0.2.1", false),
            ("localhost", "2001:db8::1", false),
            ("db.example", "127.0.0.1", true),
            ("db.example", "::1", true),
            ("db.example", "192.0.2.1", false),
        ] {
            let DatabaseUrl::Postgres(url) =
                DatabaseUrl::parse(&format!("postgres://u:p@{name}/d")).unwrap()
            else {
                panic!("{name}");
            };
            let host = Host {
                name: name.to_owned(),
                port: 5432,
            };
            let (config, shown, found) = candidate(&url, &host, address.parse().unwrap());
            assert_eq!((shown, found), (host.to_string(), local), "{address}");
            assert_eq!(
                config.unwrap().get_hostaddrs(),
                [address.parse::<IpAddr>().unwrap()]
            );
        }
    }
}
