//! Name look-ups that are remembered for a minute.
//!
//! ureq looks the name up for each request, even for one on an open connection, and each time in a new thread, whose
//! absence it answers with a panic. A static program has no cache of the system behind that. Here one look-up a minute
//! is enough, a name service that fails for a while is bridged, and a thread that can't be started is a plain error.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long addresses count as fresh.
const FRESH: Duration = Duration::from_secs(60);

/// As many addresses as ureq has room for.
const MAX_ADDRESSES: usize = 16;

type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Remembers the addresses of one name: that of the API, or of the proxy.
pub struct RememberingResolver {
    lookup: Arc<Lookup>,
    fresh: Duration,
    known: Mutex<Option<Known>>,
}

struct Known {
    host_and_port: String,
    addresses: Vec<SocketAddr>,
    since: Instant,
}

impl RememberingResolver {
    /// Looks names up with the system's functions.
    pub fn of_the_system() -> RememberingResolver {
        RememberingResolver {
            lookup: Arc::new(|name| name.to_socket_addrs().map(Iterator::collect)),
            fresh: FRESH,
            known: Mutex::new(None),
        }
    }

    /// The addresses of `host:port`, at least one. If the look-up fails or takes too long, the last ones known.
    fn addresses(&self, host_and_port: &str, within: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Ok(literal) = host_and_port.parse() {
            return Ok(vec![literal]);
        }
        let remembered = self.remembered(host_and_port);
        if let Some((addresses, age)) = &remembered
            && *age < self.fresh
        {
            return Ok(addresses.clone());
        }
        match (self.look_up(host_and_port, within), remembered) {
            (Ok(addresses), _) => {
                *self.known() = Some(Known {
                    host_and_port: host_and_port.to_owned(),
                    addresses: addresses.clone(),
                    since: Instant::now(),
                });
                Ok(addresses)
            }
            (Err(error), Some((addresses, _))) => {
                log::debug!(
                    "cannot look up {host_and_port}: {error}; its last known addresses are used"
                );
                Ok(addresses)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn remembered(&self, host_and_port: &str) -> Option<(Vec<SocketAddr>, Duration)> {
        let known = self.known();
        let known = known
            .as_ref()
            .filter(|known| known.host_and_port == host_and_port)?;
        Some((known.addresses.clone(), known.since.elapsed()))
    }

    /// In a thread of its own: the system's look-up has no time limit.
    fn look_up(&self, host_and_port: &str, within: Duration) -> io::Result<Vec<SocketAddr>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (lookup, name) = (Arc::clone(&self.lookup), host_and_port.to_owned());
        thread::Builder::new()
            .name("look-up".to_owned())
            .spawn(move || sender.send(lookup(&name)))?;
        let addresses = receiver.recv_timeout(within).map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "{host_and_port} was not found within {} s",
                    within.as_secs_f64()
                ),
            )
        })??;
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{host_and_port} has no address"),
            ));
        }
        Ok(addresses)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for RememberingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host_and_port = uri
            .scheme()
            .zip(uri.authority())
            .and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority))
            .ok_or(ureq::Error::HostNotFound)?;
        let mut resolved = self.empty();
        for address in self
            .addresses(&host_and_port, *timeout.after)?
            .into_iter()
            .take(MAX_ADDRESSES)
        {
            resolved.push(address);
        }
        Ok(resolved)
    }
}

impl fmt::Debug for RememberingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RememberingResolver")
            .finish_non_exhaustive()
    }
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

    const LONG: Duration = Duration::from_secs(20);

    /// A resolver whose look-ups give these answers in turn, and the names that were looked up.
    fn scripted(
        fresh: Duration,
        answers: Vec<io::Result<Vec<SocketAddr>>>,
    ) -> (RememberingResolver, Arc<Mutex<Vec<String>>>) {
        let names = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&names);
        let answers = Mutex::new(answers.into_iter());
        let lookup = Arc::new(move |name: &str| {
            seen.lock().unwrap().push(name.to_owned());
            answers.lock().unwrap().next().unwrap()
        });
        (
            RememberingResolver {
                lookup,
                fresh,
                known: Mutex::new(None),
            },
            names,
        )
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 443))
    }

    fn trouble() -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("no name service"))
    }

    #[test]
    fn a_name_is_looked_up_once_while_it_is_fresh() {
        let (resolver, names) = scripted(
            LONG,
            vec![Ok(vec![address(1), address(2)]), Ok(vec![address(3)])],
        );
        for _ in 0..3 {
            assert_eq!(
                resolver.addresses("api:443", LONG).unwrap(),
                [address(1), address(2)]
            );
        }
        assert_eq!(resolver.addresses("other:443", LONG).unwrap(), [address(3)]);
        assert_eq!(*names.lock().unwrap(), ["api:443", "other:443"]);
    }

    #[test]
    fn an_old_answer_is_replaced_but_bridges_a_failure() {
        let (resolver, names) = scripted(
            Duration::ZERO,
            vec![
                Ok(vec![address(1)]),
                trouble(),
                Ok(vec![]),
                Ok(vec![address(2)]),
            ],
        );
        for last in [1, 1, 1, 2] {
            assert_eq!(
                resolver.addresses("api:443", LONG).unwrap(),
                [address(last)]
            );
        }
        assert_eq!(names.lock().unwrap().len(), 4);
    }

    #[test]
    fn a_failure_without_an_old_answer_is_an_error() {
        let (resolver, _) = scripted(LONG, vec![trouble(), Ok(vec![]), Ok(vec![address(1)])]);
        assert_eq!(
            resolver.addresses("api:443", LONG).unwrap_err().to_string(),
            "no name service"
        );
        assert_eq!(
            resolver.addresses("api:443", LONG).unwrap_err().to_string(),
            "api:443 has no address"
        );
        assert_eq!(resolver.addresses("api:443", LONG).unwrap(), [address(1)]);
    }

    #[test]
    fn a_look_up_without_end_ends_at_the_time_limit() {
        let lookup = Arc::new(|_: &str| {
            loop {
                thread::park();
            }
        });
        let resolver = RememberingResolver {
            lookup,
            fresh: LONG,
            known: Mutex::new(None),
        };
        let error = resolver
            .addresses("api:443", Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (
                io::ErrorKind::TimedOut,
                "api:443 was not found within 0.05 s"
            )
        );
    }

    #[test]
    fn addresses_need_no_look_up() {
        let (resolver, names) = scripted(LONG, Vec::new());
        assert_eq!(
            resolver.addresses("127.0.0.7:443", LONG).unwrap(),
            [address(7)]
        );
        assert_eq!(
            resolver.addresses("[::1]:80", LONG).unwrap(),
            ["[::1]:80".parse().unwrap()]
        );
        assert_eq!(names.lock().unwrap().len(), 0);
    }

    #[test]
    fn the_system_knows_this_computer() {
        let addresses = RememberingResolver::of_the_system()
            .addresses("localhost:443", LONG)
            .unwrap();
        assert!(
            !addresses.is_empty()
                && addresses
                    .iter()
                    .all(|a| a.ip().is_loopback() && a.port() == 443),
            "{addresses:?}"
        );
    }
}
