//! Connecting: hosts in their order, SQL Server Browser for instances, encryption as the URL says, log-in.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, SqlBrowser};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::failure::{self, Connecting};
use super::statement;
use super::transport::{Budget, Tls, Transport};
use crate::destination::sql::resolve;
use crate::destination::sql::tls::client_config;
use crate::destination::sql::url::{Encryption, Host, SqlServerUrl, TlsMode};
use crate::error::{Error, ErrorKind, Result};
use crate::net::tls::Roots;

/// What SQL Server calls version 8.0 of its protocol in TLS.
const STRICT_PROTOCOL: &[u8] = b"tds/8.0";

/// Bytes of a packet. The usual 4096 costs more system calls, more than 8000 memory that old servers lack.
const PACKET: u32 = 8000;

/// Azure sends clients on to where the database is, which may be sent on once more.
const MAX_ROUTES: usize = 3;

/// The client of the driver over our transport.
pub(super) type Driver = Client<Compat<Transport>>;

/// A client that is logged in.
pub(super) struct LoggedIn {
    pub(super) client: Driver,
    /// For messages, such as `db.example:1433`.
    pub(super) place: String,
    /// What is encrypted, in words.
    pub(super) encryption: &'static str,
    /// How much the server may send.
    pub(super) budget: Budget,
}

/// Connects to the first host that lets us in and can be written to. Each has [`SqlServerUrl::connect_timeout`] for
/// all of it: look-up, connection, encryption and log-in.
///
/// # Errors
/// [`Setup`](ErrorKind::Setup) if a host refuses the log-in, else [`Transient`](ErrorKind::Transient).
pub(super) async fn connect(url: &SqlServerUrl, roots: &Roots) -> Result<LoggedIn> {
    let mut errors: Vec<Error> = Vec::new();
    for host in &url.hosts {
        let place = match &url.instance {
            Some(instance) if url.ask_browser => format!("{}\\{instance}", host.name),
            _ => host.to_string(),
        };
        match through(url, roots, host, &place).await {
            Ok(logged_in) => return Ok(logged_in),
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

/// Logs in to one host, or to where it sends us.
async fn through(url: &SqlServerUrl, roots: &Roots, host: &Host, place: &str) -> Result<LoggedIn> {
    let context = Connecting {
        place,
        user: &url.user,
        database: &url.database,
    };
    let deadline = Instant::now() + url.connect_timeout;
    let connected = Cell::new(false);
    let attempt = async {
        let mut tcp = match &url.instance {
            Some(instance) if url.ask_browser => {
                by_browser(host, instance, deadline, &context).await?
            }
            _ => reach(host, deadline, &context).await?,
        };
        let mut host = host.clone();
        for _ in 0..MAX_ROUTES {
            connected.set(true);
            match log_in(url, roots, &host, tcp, &context).await? {
                Outcome::LoggedIn(logged_in) => return Ok(*logged_in),
                Outcome::SentTo(other) => {
                    connected.set(false);
                    tcp = reach(&other, deadline, &context).await?;
                    host = other;
                }
            }
        }
        Err(context.transient("the server sends us on and on"))
    };
    timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
        Err(context.transient(match (connected.get(), url.encryption) {
            (false, _) => SILENT,
            (true, Encryption::Strict) => {
                "connected, but no answer within the time limit (encrypt=strict needs SQL Server 2022 or later, \
                 others may stay silent: use encrypt=true)"
            }
            (true, _) => "connected, but no answer within the time limit",
        }))
    })
}

enum Outcome {
    LoggedIn(Box<LoggedIn>),
    SentTo(Host),
}

async fn log_in(
    url: &SqlServerUrl,
    roots: &Roots,
    host: &Host,
    tcp: TcpStream,
    context: &Connecting<'_>,
) -> Result<Outcome> {
    let tls = tls(url, roots, host)?;
    let budget = Budget::for_login();
    let transport = Transport::negotiate(tcp, url.encryption, tls, budget.clone())
        .await
        .map_err(|e| failure::negotiating(context, url, &e))?;
    let encryption = transport.encryption();
    match Client::connect(config(url, host), transport.compat_write()).await {
        Ok(mut client) => {
            writable(&mut client, context).await?;
            Ok(Outcome::LoggedIn(Box::new(LoggedIn {
                client,
                place: context.place.to_owned(),
                encryption,
                budget,
            })))
        }
        Err(tiberius::error::Error::Routing { host, port }) => {
            Ok(Outcome::SentTo(Host { name: host, port }))
        }
        Err(e) => Err(failure::connecting(context, &e)),
    }
}

/// Refuses a host whose copy of the database can only be read: another one may be the primary.
async fn writable(client: &mut Driver, context: &Connecting<'_>) -> Result<()> {
    let asked = async {
        let answer = client.simple_query(statement::UPDATEABILITY).await?;
        answer.into_row().await
    };
    let row = match asked.await {
        Ok(row) => row,
        // What is only compatible with SQL Server may not know the question.
        Err(e) if failure::is_refusal(&e) => return Ok(()),
        Err(e) => return Err(failure::connecting(context, &e)),
    };
    let word = row.as_ref().and_then(|row| row.try_get::<&str, _>(0).ok()?);
    match word {
        Some("READ_ONLY") => Err(context.transient(
            "the database can only be read there: this is a secondary replica, or it was set to READ_ONLY (name the \
             primary or the listener of the availability group in --url, or ALTER DATABASE … SET READ_WRITE)",
        )),
        _ => Ok(()),
    }
}

fn config(url: &SqlServerUrl, host: &Host) -> Config {
    let mut config = Config::new();
    config.host(&host.name);
    config.port(host.port);
    config.database(&url.database);
    config.authentication(AuthMethod::sql_server(&url.user, url.password.reveal()));
    config.application_name(&url.application_name);
    config.packet_size(PACKET);
    config.encryption(EncryptionLevel::NotSupported);
    // The driver's own limits start a thread; ours are around its calls.
    config.handshake_timeout(None);
    config.command_timeout(None);
    config
}

/// What TLS trusts; `None` where nothing is to be encrypted.
fn tls(url: &SqlServerUrl, roots: &Roots, host: &Host) -> Result<Option<Tls>> {
    if url.encryption == Encryption::Nothing {
        return Ok(None);
    }
    let mode = if url.trust_certificate {
        TlsMode::Require
    } else {
        TlsMode::VerifyFull
    };
    let strict = url.encryption == Encryption::Strict;
    // Inside of the old protocol the handshake must be over when the packets around it end, which 1.3 does not promise.
    let versions = if strict {
        vec![&TLS13, &TLS12]
    } else {
        vec![&TLS12]
    };
    let mut config = client_config(mode, roots, &versions)?;
    if strict {
        config.alpn_protocols = vec![STRICT_PROTOCOL.to_vec()];
    }
    let server = ServerName::try_from(host.name.clone()).map_err(|_| {
        Error::setup(format!(
            "cannot verify a certificate for {}: it is not a valid host name (check --url)",
            host.name
        ))
    })?;
    Ok(Some(Tls {
        config: Arc::new(config),
        server,
    }))
}

/// What is said of a host that does not answer at all.
const SILENT: &str = "no answer within the time limit";

fn addresses(host: &Host, deadline: Instant, context: &Connecting<'_>) -> Result<Vec<SocketAddr>> {
    let left = deadline.saturating_duration_since(Instant::now());
    resolve::addresses(&host.name, host.port, left)
        .map_err(|e| context.transient(&format!("the host name can't be resolved: {e}")))
}

/// The end of the turn of one of so many addresses: a silent one leaves time for the others.
fn turn(deadline: Instant, addresses: usize) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    Instant::now() + left / u32::try_from(addresses.max(1)).unwrap_or(1)
}

/// Opens a connection to the first address of a host that answers.
async fn reach(host: &Host, deadline: Instant, context: &Connecting<'_>) -> Result<TcpStream> {
    let addresses = addresses(host, deadline, context)?;
    let mut reason = String::new();
    for (at, address) in addresses.iter().enumerate() {
        let turn = turn(deadline, addresses.len() - at);
        match timeout_at(turn, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return kept_alive(tcp, context),
            Ok(Err(e)) => reason = e.to_string(),
            Err(_) => reason = SILENT.to_owned(),
        }
    }
    Err(context.transient(&reason))
}

/// Asks SQL Server Browser for the instance's port, and connects there.
async fn by_browser(
    host: &Host,
    instance: &str,
    deadline: Instant,
    context: &Connecting<'_>,
) -> Result<TcpStream> {
    let addresses = addresses(host, deadline, context)?;
    let mut failed = context.transient(SILENT);
    for (at, address) in addresses.iter().enumerate() {
        let mut config = Config::new();
        config.host(address.ip());
        config.port(host.port);
        config.instance_name(instance);
        let turn = turn(deadline, addresses.len() - at);
        match timeout_at(turn, TcpStream::connect_named(&config)).await {
            Ok(Ok(tcp)) => return kept_alive(tcp, context),
            Ok(Err(tiberius::error::Error::Conversion(_))) => {
                failed = context.transient(&format!(
                    "SQL Server Browser at {host} (UDP) does not know the instance, or does not answer \
                     (start the service SQL Server Browser, or write the instance's port in --url)"
                ));
            }
            Ok(Err(e)) => failed = failure::connecting(context, &e),
            Err(_) => failed = context.transient(SILENT),
        }
    }
    Err(failed)
}

/// A connection that notices within some minutes if the other side vanished, and that firewalls don't forget.
fn kept_alive(tcp: TcpStream, context: &Connecting<'_>) -> Result<TcpStream> {
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    let set = tcp
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive));
    match set {
        Ok(()) => Ok(tcp),
        Err(e) => Err(context.transient(&e.to_string())),
    }
}
