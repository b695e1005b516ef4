//! The web service: one attempt to post something to it, and what its answer means.

mod address;
mod exchange;
mod head;
mod pool;

use std::time::Duration;

use super::signature::Signer;
use crate::error::Result;
use crate::net::http::{self, Failure, Limits, quote};
use crate::net::http_date::http_date;
use crate::net::proxy::{self, Route};
use crate::net::retry;
use crate::net::secret::Secret;
use crate::net::tls::Roots;

pub use address::Address;
use exchange::{Answer, exchange};
use head::Head;
use pool::{Deadline, Pool};

/// So much of an answer is read, heads and trailers included: for the log, and so that the connection can be used again.
const MAX_ANSWER: u32 = 64 << 10;

/// Time for the name look-up, and for the connection with its TLS handshake, if the limit per attempt allows as much.
const CONNECT: Duration = Duration::from_secs(15);

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it means.
    pub verdict: Verdict,
    /// What else the receiver said, in one line without secrets: for the spool only, as it may repeat what was sent.
    pub said: String,
}

/// What an attempt means. Reasons hold nothing that was sent, so they may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// 200 to 299.
    Delivered,
    /// The receiver is there and does not take this request: 3xx, 4xx, 500 and others.
    Refused(String),
    /// No answer, or one that speaks of passing trouble (408, 425, 502 to 504): may be due to the request or to the
    /// receiver as a whole.
    Troubled(String),
    /// The receiver asks all to wait: 429, or 503 with `Retry-After`.
    Busy {
        /// What it answered.
        reason: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// There was no connection: never due to the request.
    Unreachable(String),
}

/// What a [`Receiver`] is made of.
pub struct Options {
    /// Where it is.
    pub address: Address,
    /// Signs.
    pub signer: Signer,
    /// Headers of `--header`; their values are secrets.
    pub headers: Vec<(String, Secret)>,
    /// Whom to trust.
    pub roots: Roots,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Connections to keep open.
    pub connections: usize,
}

/// Posts to one web service. Shared by all lanes.
pub struct Receiver {
    pool: Pool,
    address: Address,
    signer: Signer,
    head: Head,
    /// Values that must not appear in messages.
    secrets: Vec<Secret>,
    limits: Limits,
    route: Route,
}

impl Receiver {
    /// Sets up requests; connects to nothing yet.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for a header that can't be sent, or a wrong proxy.
    pub fn new(options: Options) -> Result<Receiver> {
        let limits = Limits {
            connect: CONNECT.min(options.timeout),
            total: options.timeout,
            body: MAX_ANSWER.into(),
            connections: options.connections,
        };
        let proxy = proxy::from_environment(&options.address.url)?;
        let route = Route::new(options.address.display(), proxy.as_ref());
        Ok(Receiver {
            pool: Pool::new(
                options.address.uri.clone(),
                http::config(&options.roots, proxy, limits),
                limits,
            ),
            head: Head::new(&options.address, &options.headers)?,
            secrets: options
                .headers
                .into_iter()
                .map(|(_, value)| value)
                .chain(options.address.authorization.clone())
                .collect(),
            address: options.address,
            signer: options.signer,
            limits,
            route,
        })
    }

    /// Posts a body once. `timestamp` is the time in seconds since 1970, by the clock of this computer.
    pub fn post(&self, id: &str, timestamp: i64, body: &str) -> Outcome {
        let signature = self.signer.sign(id, timestamp, body);
        let answer = self
            .head
            .of_post(id, timestamp, signature.as_deref(), body.len())
            .map_err(ureq::Error::Io)
            .and_then(|head| self.request((&head, body.as_bytes()), false));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                return Outcome {
                    verdict: self.no_answer(error),
                    said: String::new(),
                };
            }
        };
        let verdict = self.judge(&answer);
        let said = match verdict {
            Verdict::Delivered => String::new(),
            _ => self.quote(&String::from_utf8_lossy(&answer.body)),
        };
        Outcome { verdict, said }
    }

    fn request(
        &self,
        request: (&[u8], &[u8]),
        is_head: bool,
    ) -> std::result::Result<Answer, ureq::Error> {
        let deadline = Deadline::new(self.limits);
        let mut connection = self.pool.take(&deadline)?;
        let left = || deadline.left();
        let longest = usize::try_from(MAX_ANSWER).unwrap_or(usize::MAX);
        let answer = exchange(&mut *connection, request, is_head, longest, left)?;
        if answer.reusable {
            self.pool.keep(connection);
        }
        Ok(answer)
    }

    /// Where it is, for messages.
    pub fn display(&self) -> &str {
        self.address.display()
    }

    /// What distinguishes it from other web services: all of its address but user and password.
    pub fn identity(&self) -> &str {
        &self.address.url
    }

    /// Asks for the service's headers, which changes nothing; any answer is a good one.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn check(&self) -> std::result::Result<String, String> {
        match self.request((self.head.of_check(), b""), true) {
            Ok(answer) => Ok(format!(
                "can be reached, answers HEAD with {}",
                answer.status
            )),
            Err(error) => match self.no_answer(error) {
                Verdict::Unreachable(reason) | Verdict::Troubled(reason) => Err(reason),
                _ => Err("no answer".to_owned()),
            },
        }
    }

    /// Breaks off all requests at once: for the end of the program.
    pub fn shut_down(&self) {
        self.pool.shut_down();
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        let status = answer.status;
        if matches!(status, 200..=299) {
            return Verdict::Delivered;
        }
        let date = answer.date.as_deref().and_then(http_date);
        let wait = answer.retry_after.as_deref();
        let wait = wait.and_then(|wait| retry::retry_after(wait, date));
        let reason = format!("HTTP {status}");
        match status {
            300..=399 => {
                // Its query may hold a key, as that of the address may.
                let to = answer
                    .location
                    .as_deref()
                    .and_then(|to| to.split('?').next())
                    .map_or_else(|| "nowhere".to_owned(), |to| self.quote(to));
                Verdict::Refused(format!(
                    "HTTP {status}: it points to {to}, and redirects are not followed (check --url)"
                ))
            }
            429 => Verdict::Busy { reason, wait },
            503 if wait.is_some() => Verdict::Busy { reason, wait },
            408 | 425 | 502..=504 => Verdict::Troubled(reason),
            _ => Verdict::Refused(reason),
        }
    }

    fn no_answer(&self, error: ureq::Error) -> Verdict {
        use std::io::ErrorKind;
        use ureq::Timeout;
        let never_connected = match &error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::ConnectProxyFailed(_) => true,
            ureq::Error::Io(error) => matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::NetworkDown
                    | ErrorKind::AddrNotAvailable
            ),
            _ => false,
        };
        match self.limits.failure(&self.route, error) {
            Failure::Certificate(reason) => Verdict::Unreachable(format!(
                "its certificate is not trusted: {reason} (check --ca-file, --url and the clock of this computer)"
            )),
            Failure::Passing(reason) if never_connected => Verdict::Unreachable(reason),
            Failure::Passing(reason) | Failure::TooLong(reason) => Verdict::Troubled(reason),
        }
    }

    fn quote(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(Secret::reveal).collect();
        quote(text, &secrets)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOWHERE: &str = "http://127.0.0.1:1/";

    fn receiver(address: &str) -> Receiver {
        Receiver::new(Options {
            address: Address::read(address).unwrap(),
            signer: Signer::default(),
            headers: vec![("X-Key".to_owned(), Secret::new("SECRET"))],
            roots: Roots::load(None).unwrap(),
            timeout: Duration::from_secs(1),
            connections: 1,
        })
        .unwrap()
    }

    #[test]
    fn each_status_means_what_it_should() {
        let receiver = receiver(NOWHERE);
        let judge = |status, retry_after: Option<&str>| {
            receiver.judge(&Answer {
                status,
                retry_after: retry_after.map(str::to_owned),
                ..Answer::default()
            })
        };
        for status in [200, 204, 299] {
            assert_eq!(judge(status, None), Verdict::Delivered);
        }
        for status in [400, 401, 404, 410, 500, 501] {
            assert_eq!(
                judge(status, None),
                Verdict::Refused(format!("HTTP {status}"))
            );
        }
        for status in [408, 425, 502, 503, 504] {
            assert!(
                matches!(judge(status, None), Verdict::Troubled(_)),
                "{status}"
            );
        }
        for status in [429, 503] {
            let Verdict::Busy { wait, .. } = judge(status, Some("7")) else {
                unreachable!("{status}");
            };
            assert_eq!(wait, Some(Duration::from_secs(7)));
        }
        assert!(matches!(judge(429, None), Verdict::Busy { wait: None, .. }));
        let moved = receiver.judge(&Answer {
            status: 301,
            location: Some("https://new.example/SECRET?key=1".to_owned()),
            ..Answer::default()
        });
        assert_eq!(
            moved,
            Verdict::Refused(
                "HTTP 301: it points to https://new.example/(secret), and redirects are not followed (check --url)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn what_the_receiver_says_is_quoted_without_secrets() {
        assert_eq!(
            receiver(NOWHERE).quote("no SECRET\nhere"),
            "no (secret) here"
        );
        assert_eq!(
            receiver(NOWHERE)
                .quote(&"long ".repeat(1000))
                .chars()
                .count(),
            200
        );
    }

    #[test]
    fn a_refused_connection_is_never_due_to_the_request() {
        // Nobody may listen at a port that was given back just now; even if, the test sees no delivery.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let receiver = receiver(&format!("http://127.0.0.1:{port}/"));
        assert!(matches!(
            receiver.post("id", 0, "{}").verdict,
            Verdict::Unreachable(_)
        ));
    }
}
