//! Connecting: hosts in their order, SQL Server Browser for instances, encryption as the URL says, log-in.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, SqlBrowser};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::failure::{self, Connecting};
use super::transport::{Tls, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::tls::client_config;
use crate::sink::url::{Encryption, Host, SqlServerUrl, TlsMode};
use crate::tls::Roots;

/// What SQL Server calls version 8.0 of its protocol in TLS.
const STRICT_PROTOCOL: &[u8] = b"tds/8.0";

/// Bytes of a packet. The usual 4096 costs more system calls, more than 8000 memory that old servers lack.
const PACKET: u32 = 8000;

/// Azure sends clients on to where the database is, which may be sent on once more.
const MOST_ROUTES: usize = 3;

/// A client that is logged in.
pub(super) type LoggedIn = Client<Compat<Transport>>;

/// Connects to the first host that lets us in; returns its name for messages, such as `db.example:1433`, and what is
/// encrypted, too.
///
/// # Errors
/// [`Setup`](ErrorKind::Setup) if a host refuses the log-in, else [`Transient`](ErrorKind::Transient).
pub(super) async fn connect(
    url: &SqlServerUrl,
    roots: &Roots,
) -> Result<(String, &'static str, LoggedIn)> {
    let mut errors: Vec<Error> = Vec::new();
    for host in &url.hosts {
        let place = match &url.instance {
            Some(instance) if url.ask_browser => format!("{}\\{instance}", host.name),
            _ => host.to_string(),
        };
        match through(url, roots, host, &place).await {
            Ok((encryption, client)) => return Ok((place, encryption, client)),
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
async fn through(
    url: &SqlServerUrl,
    roots: &Roots,
    host: &Host,
    place: &str,
) -> Result<(&'static str, LoggedIn)> {
    let context = Connecting {
        place,
        user: &url.user,
        database: &url.database,
    };
    let mut tcp = match &url.instance {
        Some(instance) if url.ask_browser => by_browser(url, host, instance, &context).await?,
        _ => reach(host, url.connect_timeout, &context).await?,
    };
    let mut host = host.clone();
    for _ in 0..MOST_ROUTES {
        match log_in(url, roots, &host, tcp, &context).await? {
            Outcome::LoggedIn(encryption, client) => return Ok((encryption, *client)),
            Outcome::SentTo(other) => {
                tcp = reach(&other, url.connect_timeout, &context).await?;
                host = other;
            }
        }
    }
    Err(context.transient("the server sends us on and on"))
}

enum Outcome {
    LoggedIn(&'static str, Box<LoggedIn>),
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
    let attempt = async {
        let transport = Transport::negotiate(tcp, url.encryption, tls)
            .await
            .map_err(|e| failure::negotiating(context, &e))?;
        let encryption = transport.encryption();
        match Client::connect(config(url, host), transport.compat_write()).await {
            Ok(client) => Ok(Outcome::LoggedIn(encryption, Box::new(client))),
            Err(tiberius::error::Error::Routing { host, port }) => {
                Ok(Outcome::SentTo(Host { name: host, port }))
            }
            Err(e) => Err(failure::connecting(context, &e)),
        }
    };
    timeout(url.connect_timeout, attempt)
        .await
        .unwrap_or_else(
            |_| Err(context.transient("connected, but no answer within the time limit")),
        )
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
            "cannot verify a certificate for {}: it is no valid host name (check --url)",
            host.name
        ))
    })?;
    Ok(Some(Tls {
        config: Arc::new(config),
        server,
    }))
}

/// Opens a connection to the first address of a host that answers.
async fn reach(host: &Host, limit: Duration, context: &Connecting<'_>) -> Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (host.name.as_str(), host.port)
        .to_socket_addrs()
        .map_err(|e| context.transient(&format!("the host name can't be resolved: {e}")))?
        .collect();
    let mut reason = "the host name has no address".to_owned();
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return kept_alive(tcp, context),
            Ok(Err(e)) => reason = e.to_string(),
            Err(_) => reason = "no answer within the time limit".to_owned(),
        }
    }
    Err(context.transient(&reason))
}

/// Asks SQL Server Browser for the instance's port, and connects there.
async fn by_browser(
    url: &SqlServerUrl,
    host: &Host,
    instance: &str,
    context: &Connecting<'_>,
) -> Result<TcpStream> {
    let mut config = Config::new();
    config.host(&host.name);
    config.port(host.port);
    config.instance_name(instance);
    match timeout(url.connect_timeout, TcpStream::connect_named(&config)).await {
        Ok(Ok(tcp)) => kept_alive(tcp, context),
        Ok(Err(tiberius::error::Error::Conversion(_))) => Err(context.transient(&format!(
            "SQL Server Browser at {host} (UDP) does not know the instance, or does not answer \
             (start the service SQL Server Browser, or write the instance's port in --url)"
        ))),
        Ok(Err(e)) => Err(failure::connecting(context, &e)),
        Err(_) => Err(context.transient("no answer within the time limit")),
    }
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
