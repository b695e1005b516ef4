//! Opening a connection: hosts in turn, TLS, time limits, session settings.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use postgres::config::{SslMode, SslNegotiation, TargetSessionAttrs};
use postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Server, is_tls};
use super::negotiate::Negotiate;
use super::patience::Patience;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::tls::client_config;
use crate::sink::url::{PostgresUrl, Servers, TlsMode};
use crate::tls::Roots;

/// `INSERT … ON CONFLICT` came with 9.5.
const OLDEST_VERSION: i32 = 90_500;

/// Connection attempts of this process that got no answer yet. A thread that waits for a server that accepts
/// connections but never answers can't be stopped; so many of them there may be.
static WAITING: AtomicUsize = AtomicUsize::new(0);
const MOST_WAITING: usize = 16;

/// What was found about the server.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) server: Server,
    pub(super) version: String,
    pub(super) encrypted: bool,
    pub(super) patience: Patience,
}

/// Connects to the first host that accepts us and allows writing. `answer` is how long it may be silent then; on a
/// Unix socket, whose other end is on this computer, there is no limit.
pub(super) fn connect(
    url: &PostgresUrl,
    roots: &Roots,
    answer: Duration,
) -> Result<(Client, Session)> {
    let rustls = MakeRustlsConnect::new(client_config(url.tls, roots, rustls::DEFAULT_VERSIONS)?);
    let mut failed: Option<Error> = None;
    for (config, address) in configs(url) {
        let server = Server {
            address,
            user: url.user.clone(),
            database: url.database.clone(),
        };
        let negotiate = Negotiate {
            rustls: rustls.clone(),
            tls: url.tls,
            patience: Patience::new(answer),
        };
        let opened = log_in(url, config, &negotiate, &server)
            .and_then(|client| set_up(client, server, negotiate.patience))
            .map(|(client, session)| {
                log::info!(
                    "connected to PostgreSQL {} at {}, {}",
                    session.version,
                    session.server.address,
                    if session.encrypted {
                        "encrypted"
                    } else {
                        "not encrypted"
                    }
                );
                (client, session)
            });
        match (opened, failed) {
            (Ok(opened), _) => return Ok(opened),
            (Err(error), None) => failed = Some(error),
            // While one of the hosts may come back, waiting can help.
            (Err(error), Some(earlier)) => {
                let transient = [earlier.kind(), error.kind()].contains(&ErrorKind::Transient);
                let kind = if transient {
                    ErrorKind::Transient
                } else {
                    error.kind()
                };
                failed = Some(Error::new(kind, format!("{earlier}; {error}")));
            }
        }
    }
    Err(failed.unwrap_or_else(|| Error::usage("database address (--url): no host name")))
}

fn configs(url: &PostgresUrl) -> Vec<(Config, String)> {
    let common = || {
        let mut config = Config::new();
        config
            .user(&url.user)
            .dbname(&url.database)
            .application_name(&url.application_name)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(url.connect_timeout)
            .keepalives_idle(Duration::from_secs(60))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(6)
            .tcp_user_timeout(Duration::from_secs(120))
            .notice_callback(|_| {});
        if !url.password.reveal().is_empty() {
            config.password(url.password.reveal());
        }
        if let Some(options) = &url.options {
            config.options(options);
        }
        config
    };
    match &url.servers {
        Servers::Socket { path, port } => {
            let mut config = common();
            // PostgreSQL has no TLS on Unix sockets.
            config.ssl_mode(SslMode::Disable).port(*port);
            #[cfg(unix)]
            config.host_path(path);
            #[cfg(not(unix))]
            config.host(&path.display().to_string());
            vec![(config, path.display().to_string())]
        }
        Servers::Tcp(hosts) => hosts
            .iter()
            .map(|host| {
                let mut config = common();
                // `Negotiate` decides, whom the driver asks only if it is told so.
                config
                    .host(&host.name)
                    .port(host.port)
                    .ssl_mode(SslMode::Require)
                    .ssl_negotiation(SslNegotiation::Direct);
                (config, host.to_string())
            })
            .collect(),
    }
}

fn log_in(
    url: &PostgresUrl,
    config: Config,
    negotiate: &Negotiate,
    server: &Server,
) -> Result<Client> {
    // The limit of `Config` is for the socket of each address of the host only.
    let limit = url.connect_timeout.saturating_mul(2);
    match bounded(&config, negotiate, limit, server)? {
        Ok(client) => Ok(client),
        // As libpq does: an old server's TLS that rustls refuses is as good as none.
        Err(error) if url.tls == TlsMode::Prefer && is_tls(&error) => {
            log::warn!(
                "{}: going on without encryption (sslmode=prefer)",
                server.login_error(&error)
            );
            let mut plain = negotiate.clone();
            plain.tls = TlsMode::Disable;
            bounded(&config, &plain, limit, server)?.map_err(|e| server.login_error(&e))
        }
        Err(error) => Err(server.login_error(&error)),
    }
}

/// Connects in a thread of its own, so that a server that accepts but never answers doesn't hold us for ever.
fn bounded(
    config: &Config,
    negotiate: &Negotiate,
    limit: Duration,
    server: &Server,
) -> Result<std::result::Result<Client, postgres::Error>> {
    let unreachable = |reason: String| {
        Error::transient(format!(
            "cannot reach PostgreSQL at {}: {reason}",
            server.address
        ))
    };
    if WAITING.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
        WAITING.fetch_sub(1, Ordering::Relaxed);
        return Err(unreachable(format!(
            "{MOST_WAITING} earlier attempts still wait for an answer"
        )));
    }
    let (config, negotiate) = (config.clone(), negotiate.clone());
    let (sender, receiver) = mpsc::sync_channel(1);
    let attempt = move || {
        let _guard = Waiting;
        // Nobody listens any more if it took too long; the connection is then dropped, and so closed.
        let _ = sender.send(config.connect(negotiate));
    };
    if let Err(e) = std::thread::Builder::new()
        .name("postgres-connect".to_owned())
        .spawn(attempt)
    {
        WAITING.fetch_sub(1, Ordering::Relaxed);
        return Err(unreachable(format!("cannot start a thread: {e}")));
    }
    receiver
        .recv_timeout(limit)
        .map_err(|_| unreachable(format!("no answer within {} s", limit.as_secs())))
}

struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn set_up(mut client: Client, server: Server, patience: Patience) -> Result<(Client, Session)> {
    let failed = |e| server.error(&e, "cannot set up the connection", "");
    let version =
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')";
    let row = client.query_typed_one(version, &[]).map_err(failed)?;
    let number: i32 = row.try_get(0).map_err(failed)?;
    let version: String = row.try_get(1).map_err(failed)?;
    if number < OLDEST_VERSION {
        return Err(Error::setup(format!(
            "PostgreSQL at {}: version {version} is too old: 9.5 or later is needed",
            server.address
        )));
    }
    // Settings that this version lacks are left out. A role's own statement_timeout would make large batches
    // and new indexes fail for ever; what has to end is waiting for a lock.
    client
        .query_typed(
            "SELECT set_config(s.name, w.value, false) \
             FROM (VALUES ('statement_timeout', '0'), ('lock_timeout', '60s'), \
                          ('idle_in_transaction_session_timeout', '10min'), \
                          ('standard_conforming_strings', 'on')) AS w(name, value) \
             JOIN pg_settings s ON s.name = w.name",
            &[],
        )
        .map_err(failed)?;
    let encrypted =
        "SELECT COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)";
    let row = client.query_typed_one(encrypted, &[]).map_err(failed)?;
    let encrypted = row.try_get(0).map_err(failed)?;
    Ok((
        client,
        Session {
            server,
            version,
            encrypted,
            patience,
        },
    ))
}
