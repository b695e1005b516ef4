//! Connecting: hosts in their order, TLS as far as asked for, and a session whose rules are fixed.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::client::{Client, Expected, Login, TextRow, Tls};
use super::failure::{self, Connecting, Failure};
use super::payload::Done;
use super::settings::{self, Variables};
use super::wire::{Patience, Socket, Wire};
use crate::destination::sql::resolve;
use crate::destination::sql::tls::client_config;
use crate::destination::sql::url::{Host, MysqlUrl, Servers, TlsMode};
use crate::error::{Error, ErrorKind, Result};
use crate::net::tls::Roots;
use crate::text::foreign;

/// How long the server may take for one answer while rows are written.
pub(super) const ANSWER: Duration = Duration::from_secs(300);

/// How long it may take to rebuild a large table.
pub(super) const REBUILD: Duration = Duration::from_secs(6 * 3600);

/// What an answer about tables, columns or settings may be at most: InnoDB ends at about a thousand columns and 64
/// indexes of 16 columns.
pub(super) const CATALOGUE: Expected = Expected {
    rows: 10_000,
    bytes: 16 << 20,
};

/// How long a host that refused to write comes last.
const AVOIDED_FOR: Duration = Duration::from_secs(60);

/// Hosts that refused a statement for their state though they let us in, and since when. The next connection goes to
/// another one, if there is one.
static AVOIDED: Mutex<Vec<(Host, Instant)>> = Mutex::new(Vec::new());

/// A connection and what was learnt of its server.
pub(super) struct Session {
    pub(super) client: Client,
    /// Such as `db.example:3306`.
    pub(super) place: String,
    host: Option<Host>,
    /// Such as `10.11.6-MariaDB`.
    pub(super) version: String,
    /// `@@max_allowed_packet`: bytes.
    pub(super) max_packet: usize,
    /// `@@lower_case_table_names`: how the server compares table names.
    pub(super) fold_tables: bool,
    limits: Limits,
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
    let attempts = Attempts {
        url,
        limits,
        config: Arc::new(client_config(url.tls, roots, rustls::DEFAULT_VERSIONS)?),
    };
    let hosts = match &url.servers {
        Servers::Socket { path, .. } => {
            let place = path.display().to_string();
            return attempts
                .socket(path)
                .map_err(|e| attempts.explain(&place, &e));
        }
        Servers::Tcp(hosts) => hosts,
    };
    let mut errors: Vec<Error> = Vec::new();
    for host in in_order(hosts) {
        match attempts.host(host) {
            Ok(session) => return Ok(session),
            Err(e) => errors.push(attempts.explain(&host.to_string(), &e)),
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

/// The hosts as the address names them, but those last that refused to write.
fn in_order(hosts: &[Host]) -> Vec<&Host> {
    let mut avoided = AVOIDED.lock().unwrap_or_else(PoisonError::into_inner);
    avoided.retain(|(_, since)| since.elapsed() < AVOIDED_FOR);
    let (last, mut first): (Vec<&Host>, Vec<&Host>) = hosts
        .iter()
        .partition(|host| avoided.iter().any(|(known, _)| known == *host));
    first.extend(last);
    first
}

/// What is the same for each host.
struct Attempts<'a> {
    url: &'a MysqlUrl,
    limits: Limits,
    config: Arc<ClientConfig>,
}

impl Attempts<'_> {
    fn explain(&self, place: &str, e: &Failure) -> Error {
        match e {
            Failure::State(state) => Error::transient(format!("MySQL at {place} {state}")),
            _ => failure::connecting(
                &Connecting {
                    place,
                    user: &self.url.user,
                    database: &self.url.database,
                },
                e,
            ),
        }
    }

    #[cfg(unix)]
    fn socket(&self, path: &std::path::Path) -> std::result::Result<Session, Failure> {
        let until = Instant::now() + self.url.connect_timeout;
        let socket = Socket::Unix(unix(path, until)?);
        let client = self.log_in(Wire::new(socket, until), None, true)?;
        self.session(client, path.display().to_string(), None)
    }

    #[cfg(not(unix))]
    fn socket(&self, _: &std::path::Path) -> std::result::Result<Session, Failure> {
        Err(Failure::Method(
            "Unix sockets are not available on this system (name a host in --url)".to_owned(),
        ))
    }

    /// Tries the addresses of a host. All that happens until the session is ready happens within the time for
    /// connecting; an address that is silent leaves some of it for the next.
    fn host(&self, host: &Host) -> std::result::Result<Session, Failure> {
        let until = Instant::now() + self.url.connect_timeout;
        let addresses = resolve::addresses(&host.name, host.port, self.url.connect_timeout)?;
        let mut first: Option<Failure> = None;
        for (at, address) in addresses.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let behind = u32::try_from(addresses.len() - at).unwrap_or(1);
            let until = Instant::now() + left / behind;
            match self.address(host, *address, until) {
                Ok(session) => return Ok(session),
                Err(e @ (Failure::Io(_) | Failure::Protocol(_))) => {
                    first.get_or_insert(e);
                }
                Err(e) => return Err(e),
            }
        }
        Err(first.unwrap_or_else(|| Failure::Io(io::ErrorKind::NotFound.into())))
    }

    fn address(
        &self,
        host: &Host,
        address: SocketAddr,
        until: Instant,
    ) -> std::result::Result<Session, Failure> {
        let open = || Ok::<_, Failure>(Wire::new(Socket::Tcp(tcp(address, until)?), until));
        let local = resolve::is_local(address.ip());
        let client = match self.tls(host)? {
            None => self.log_in(open()?, None, local)?,
            Some(tls) => match self.log_in(open()?, Some(tls), local) {
                // Servers of before 2018 may speak TLS 1.0 only, which is no better than nothing.
                Err(Failure::Tls(e)) if self.url.tls == TlsMode::Prefer => {
                    log::warn!(
                        "cannot encrypt the connection to MySQL at {host}: {e}: going on without encryption (ssl-mode=PREFERRED)"
                    );
                    self.log_in(open()?, None, local)?
                }
                other => other?,
            },
        };
        self.session(client, host.to_string(), Some(host.clone()))
    }

    fn tls(&self, host: &Host) -> std::result::Result<Option<Tls>, Failure> {
        let verifies = match self.url.tls {
            TlsMode::Disable => return Ok(None),
            TlsMode::Prefer | TlsMode::Require => false,
            TlsMode::VerifyCa | TlsMode::VerifyFull => true,
        };
        let server = ServerName::try_from(host.name.clone()).or_else(|_| {
            // No certificate is made for such a name; where none is looked at, any name will do.
            if verifies {
                Err(Failure::Method(
                    "no certificate can be verified for this host name (check --url)".to_owned(),
                ))
            } else {
                ServerName::try_from("localhost").map_err(|_| Failure::Protocol("no name for TLS"))
            }
        })?;
        Ok(Some(Tls {
            config: Arc::clone(&self.config),
            server,
            verifies,
            needed: self.url.tls != TlsMode::Prefer,
        }))
    }

    fn log_in(
        &self,
        wire: Wire,
        tls: Option<Tls>,
        local: bool,
    ) -> std::result::Result<Client, Failure> {
        Client::log_in(
            wire,
            &Login {
                user: &self.url.user,
                password: self.url.password.reveal(),
                database: &self.url.database,
                tls,
                trusted: local || self.url.allow_unverified_password,
            },
        )
    }

    fn session(
        &self,
        mut client: Client,
        place: String,
        host: Option<Host>,
    ) -> std::result::Result<Session, Failure> {
        let limits = self.limits;
        let variables = settings::apply(&mut client, limits.lock.as_secs().max(1))?;
        writable(&mut client, &variables)?;
        client.set_patience(Patience::Each(limits.answer));
        Ok(Session {
            client,
            place,
            host,
            version: foreign(variables.get("version")),
            max_packet: variables
                .get("max_allowed_packet")
                .parse()
                .unwrap_or(1 << 20),
            fold_tables: variables.get("lower_case_table_names") != "0",
            limits,
        })
    }
}

/// A connection to this address that notices within some minutes if the other side vanished, and that firewalls don't
/// forget.
fn tcp(address: SocketAddr, until: Instant) -> std::result::Result<TcpStream, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    let tcp = TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1)))?;
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    let keepalive = keepalive
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
    Ok(tcp)
}

/// The wait before a socket is tried again whose server has not accepted those before us.
#[cfg(unix)]
const SOCKET_PAUSE: Duration = Duration::from_millis(20);

/// Opens a Unix socket. Where its queue is full, connecting fails at once if it is not to block, and can't be waited for.
#[cfg(unix)]
fn unix(path: &std::path::Path, until: Instant) -> io::Result<std::os::unix::net::UnixStream> {
    let address = socket2::SockAddr::unix(path)?;
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    loop {
        match socket.connect(&address) {
            Ok(()) => break,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() >= until {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                std::thread::sleep(SOCKET_PAUSE);
            }
            Err(e) => return Err(e),
        }
    }
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

/// Whether the server takes statements now. Both a node outside of its cluster and one that an admin took out of service
/// let users in, and answer questions for variables.
fn writable(client: &mut Client, variables: &Variables) -> std::result::Result<(), Failure> {
    let state = |text: &str| Err(Failure::State(text.to_owned()));
    if ["read_only", "super_read_only", "innodb_read_only"]
        .iter()
        .any(|name| variables.is_on(name))
    {
        return state(
            "is read-only (a replica, or being maintained): name the server that is written to in --url",
        );
    }
    if !variables.is_on("wsrep_on") {
        return Ok(());
    }
    if variables.is_on("wsrep_reject_queries") && variables.get("wsrep_reject_queries") != "NONE" {
        return state("refuses all queries (wsrep_reject_queries): name another node in --url");
    }
    let ready = client.rows("SHOW GLOBAL STATUS LIKE 'wsrep_ready'", CATALOGUE)?;
    if ready.first().is_some_and(|row| text(row, 1) != "ON") {
        return state(
            "is a node that is not part of its cluster now (wsrep_ready): name further nodes in --url",
        );
    }
    Ok(())
}

impl Session {
    /// Runs a statement that returns no rows.
    pub(super) fn run(&mut self, sql: &str) -> std::result::Result<Done, Failure> {
        let outcome = self.client.run(sql);
        self.note(outcome)
    }

    /// Runs `LOAD DATA LOCAL` with these lines.
    pub(super) fn load(
        &mut self,
        sql: &str,
        lines: impl Iterator<Item = String>,
    ) -> std::result::Result<Done, Failure> {
        let outcome = self.client.load(sql, lines);
        self.note(outcome)
    }

    /// Runs a statement that may take hours, but waits only briefly for the locks that it needs: whoever comes behind
    /// it waits for it.
    pub(super) fn alter(&mut self, sql: &str) -> std::result::Result<Done, Failure> {
        let wait = |seconds: u64| format!("SET SESSION lock_wait_timeout = {seconds}");
        self.run(&wait(crate::destination::sql::MAX_DDL_LOCK_WAIT.as_secs()))?;
        self.client.set_patience(Patience::Each(REBUILD));
        let outcome = self.run(sql);
        self.client.set_patience(Patience::Each(self.limits.answer));
        if !matches!(&outcome, Err(e) if failure::is_lost(e)) {
            self.run(&wait(self.limits.lock.as_secs().max(1)))?;
        }
        outcome
    }

    /// Rows of the catalogue.
    pub(super) fn catalogue(&mut self, sql: &str) -> std::result::Result<Vec<TextRow>, Failure> {
        self.rows(sql, CATALOGUE)
    }

    pub(super) fn rows(
        &mut self,
        sql: &str,
        expected: Expected,
    ) -> std::result::Result<Vec<TextRow>, Failure> {
        let outcome = self.client.rows(sql, expected);
        self.note(outcome)
    }

    pub(super) fn encryption(&self) -> String {
        self.client
            .cipher()
            .map_or("not encrypted".to_owned(), |cipher| {
                format!("encrypted with {cipher}")
            })
    }

    /// A host that refuses for its state is left for the next one.
    fn note<T>(&self, outcome: std::result::Result<T, Failure>) -> std::result::Result<T, Failure> {
        if let (Err(e), Some(host)) = (&outcome, &self.host)
            && failure::is_for_state(e)
        {
            let mut avoided = AVOIDED.lock().unwrap_or_else(PoisonError::into_inner);
            avoided.retain(|(known, _)| known != host);
            avoided.push((host.clone(), Instant::now()));
        }
        outcome
    }
}

/// A value of a row.
pub(super) fn text(row: &[Option<String>], column: usize) -> &str {
    row.get(column)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}
