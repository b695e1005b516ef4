//! Connections to the web service: ureq's connectors make them (name look-up, proxy, TLS), here they are kept for the
//! next request.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::time::Instant as UreqInstant;
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, DefaultConnector, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

use crate::net::http::Limits;
use crate::net::resolver::RememberingResolver;
use crate::net::write_buffer::rounded;

/// A connection, with whatever lies between us and the web service.
pub type Connection = Box<dyn Transport>;

/// When an attempt has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    begin: Instant,
    limits: Limits,
}

impl Deadline {
    /// That of an attempt that begins now.
    pub fn new(limits: Limits) -> Deadline {
        Deadline {
            begin: Instant::now(),
            limits,
        }
    }

    /// What is left of the time.
    ///
    /// # Errors
    /// [`Error::Timeout`] if nothing is.
    pub fn left(&self) -> Result<NextTimeout, Error> {
        let left = self.limits.total.saturating_sub(self.begin.elapsed());
        if left.is_zero() {
            return Err(Error::Timeout(Timeout::Global));
        }
        Ok(rounded(NextTimeout {
            after: left.into(),
            ..NextTimeout::default()
        }))
    }

    /// What is left of it for something that may take less time than the whole.
    fn at_most(&self, time: Duration, reason: Timeout) -> Result<NextTimeout, Error> {
        let left = self.left()?;
        if *left.after <= time {
            return Ok(left);
        }
        Ok(NextTimeout {
            after: time.into(),
            reason,
            ..NextTimeout::default()
        })
    }
}

type RunConnector = dyn Fn(&ConnectionDetails) -> Result<Connection, Error> + Send + Sync;

/// The connections to one address. Shared by all lanes.
pub struct Pool {
    uri: Uri,
    config: Config,
    limits: Limits,
    resolver: RememberingResolver,
    connect: Arc<RunConnector>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// Those that no request uses, and since when.
    idle: Vec<(Connection, Instant)>,
    /// All, as long as they live.
    sockets: Vec<Weak<dyn ShutdownHandle>>,
    shut_down: bool,
}

impl Open {
    fn register(&mut self, socket: Weak<dyn ShutdownHandle>) -> Result<(), Error> {
        if self.shut_down {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        }
        self.sockets.retain(|socket| socket.strong_count() > 0);
        self.sockets.push(socket);
        Ok(())
    }
}

impl Pool {
    /// Connects to nothing yet.
    pub fn new(uri: Uri, config: Config, limits: Limits) -> Pool {
        let connector = DefaultConnector::default();
        Pool {
            uri,
            config,
            limits,
            resolver: RememberingResolver::of_the_system(),
            connect: Arc::new(move |details: &ConnectionDetails| {
                let connection = connector.connect(details, None)?;
                connection.ok_or(Error::ConnectionFailed)
            }),
            open: Arc::default(),
        }
    }

    /// A connection that is open as far as can be seen from here: one that was kept, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(&self, deadline: &Deadline) -> Result<Connection, Error> {
        loop {
            let kept = self.open().idle.pop();
            match kept {
                Some((mut connection, since)) => {
                    // The receiver may have closed it meanwhile.
                    if since.elapsed() < self.config.max_idle_age() && connection.is_open() {
                        return Ok(connection);
                    }
                }
                None => return self.connect(deadline),
            }
        }
    }

    fn connect(&self, deadline: &Deadline) -> Result<Connection, Error> {
        // A proxy looks the name up itself.
        let addrs = if self.config.proxy().is_some() {
            self.resolver.empty()
        } else {
            let time = deadline.at_most(self.limits.connect, Timeout::Resolve)?;
            self.resolver.resolve(&self.uri, &self.config, time)?
        };
        let open = Arc::clone(&self.open);
        let details = ConnectionDetails {
            uri: &self.uri,
            addrs,
            config: &self.config,
            request_level: false,
            resolver: &self.resolver,
            now: UreqInstant::now(),
            timeout: deadline.at_most(self.limits.connect, Timeout::Connect)?,
            current_time: Arc::new(UreqInstant::now),
            run_connector: Arc::clone(&self.connect),
            register_shutdown: Arc::new(move |socket| lock(&open).register(socket)),
        };
        let connection = (self.connect)(&details)?;
        if details.needs_tls() && !connection.is_tls() {
            return Err(Error::TlsRequired);
        }
        Ok(connection)
    }

    /// Keeps a connection for the next request.
    pub fn keep(&self, connection: Connection) {
        let mut open = self.open();
        if !open.shut_down && open.idle.len() < self.limits.connections {
            open.idle.push((connection, Instant::now()));
        }
    }

    /// Breaks off all requests at once and lets none begin: for the end of the program.
    pub fn shut_down(&self) {
        let (idle, sockets) = {
            let mut open = self.open();
            open.shut_down = true;
            (
                std::mem::take(&mut open.idle),
                std::mem::take(&mut open.sockets),
            )
        };
        drop(idle);
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            socket.shutdown();
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
