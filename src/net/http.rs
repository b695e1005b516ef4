//! One request to the API: time limits, size limit, TLS, proxy. No retries.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use ureq::config::Config;
use ureq::http::{HeaderMap, HeaderValue, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, DefaultConnector};
use ureq::{Agent, Proxy};

use super::answer_budget::AnswerBudget;
use super::http_date::http_date;
use super::large::{Held, LargeAnswers, MAX_SMALL};
use super::proxy::Route;
use super::resolver::RememberingResolver;
use super::retry;
use super::secret::Secret;
use super::write_buffer::WriteBuffer;
use crate::error::{Error, Result};
use crate::net::tls::Roots;
use crate::text;

/// Characters of an answer that are looked at to quote from it, with the blanks and secrets in them.
const MAX_QUOTED: usize = 10_000;

/// Bytes of an answer beside its body, or what that is packed into: heads, informational answers, chunk sizes, trailers.
const BESIDE_THE_BODY: u64 = 1 << 20;

/// How the program names itself.
pub const USER_AGENT: &str = concat!("dbsync2/", env!("CARGO_PKG_VERSION"));

/// The longest answer, decompressed. A batch of contacts that takes more is asked for in parts.
const MAX_ANSWER: u64 = 16 << 20;

/// What one request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time for the name look-up, and time for the connection with its TLS handshake.
    pub connect: Duration,
    /// Time for the whole request, from the name look-up to the last byte of the answer.
    pub total: Duration,
    /// Size of an answer in bytes, decompressed.
    pub body: u64,
    /// Connections kept open for the next request; best the number of threads that make requests.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(15),
            total: Duration::from_secs(120),
            body: MAX_ANSWER,
            connections: 32,
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// The `Date` header.
    pub date: Option<OffsetDateTime>,
    /// The `Retry-After` header, from the answer's `Date`.
    pub retry_after: Option<Duration>,
    /// The permit for a large body.
    pub held: Held,
    /// The `Location` header, without control characters and not longer than 200 characters.
    pub location: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Connection, time limit, protocol: may work later.
    Passing(String),
    /// The body is longer than the limit, which is given in the text.
    TooLong(String),
    /// The server's certificate is not trusted.
    Certificate(String),
}

/// Makes requests to one server with one token. Shared by all threads.
pub struct Http {
    agent: Agent,
    base: String,
    route: Route,
    token: Secret,
    authorization: HeaderValue,
    limits: Limits,
    requests: AtomicU64,
    bytes: AtomicU64,
    answered: AtomicBool,
    large: Arc<LargeAnswers>,
}

/// The one set-up of HTTP requests, to the API and to web services: whom to trust, which way to go, what one may take.
/// Redirects are not followed, and no status is an error.
pub fn config(roots: &Roots, proxy: Option<Proxy>, limits: Limits) -> Config {
    let root_certs = match roots.own_certificates() {
        Some(own) => RootCerts::new_with_certs(
            &own.iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect::<Vec<_>>(),
        ),
        None => RootCerts::WebPki,
    };
    let tls = TlsConfig::builder()
        .root_certs(root_certs)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .user_agent(USER_AGENT)
        .http_status_as_error(false)
        // With secrets in headers, following a redirect would be a decision about whom to trust.
        .max_redirects(0)
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_global(Some(limits.total))
        .max_idle_connections(limits.connections)
        .max_idle_connections_per_host(limits.connections)
        // Shorter than what servers and firewalls commonly keep, so that few requests meet a dead connection.
        .max_idle_age(Duration::from_secs(15))
        // Per connection and twice with TLS; the default of 128 KiB each would be most of the program's memory.
        .input_buffer_size(32 << 10)
        .output_buffer_size(16 << 10)
        .max_response_header_size(24 << 10)
        .build()
}

impl Http {
    /// Sets up requests to `base` (such as `https://api.dialfire.com`, no slash at the end); connects to nothing yet.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) if `base` is not a web address or the token can't be sent in a header.
    pub fn new(
        base: &str,
        token: Secret,
        roots: &Roots,
        proxy: Option<Proxy>,
        limits: Limits,
    ) -> Result<Http> {
        let uri: Uri = base
            .parse()
            .map_err(|_| Error::usage(format!("{base} is not a web address (check --api-url)")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none_or(str::is_empty)
            || uri.query().is_some()
        {
            return Err(Error::usage(format!(
                "{base} is not a web address such as https://api.dialfire.com (check --api-url)"
            )));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
            .map_err(|_| {
                Error::usage("the token holds characters that no token has (check --ct)")
            })?;
        authorization.set_sensitive(true);
        let route = Route::new(base, proxy.as_ref());
        let agent = Agent::with_parts(
            config(roots, proxy, limits),
            DefaultConnector::default()
                .chain(WriteBuffer)
                .chain(AnswerBudget {
                    bytes: limits.body.saturating_add(BESIDE_THE_BODY),
                }),
            RememberingResolver::of_the_system(),
        );
        Ok(Http {
            agent,
            base: base.trim_end_matches('/').to_owned(),
            route,
            token,
            authorization,
            limits,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            large: Arc::default(),
        })
    }

    /// Sends a request and reads the whole answer: GET, or POST if there is a body, which is JSON.
    pub fn send(
        &self,
        path_and_query: &str,
        body: Option<&str>,
    ) -> std::result::Result<Answer, Failure> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let address = format!("{}{path_and_query}", self.base);
        let response = match body {
            None => self
                .agent
                .get(&address)
                .header(header::AUTHORIZATION, &self.authorization)
                .call(),
            Some(json) => self
                .agent
                .post(&address)
                .header(header::AUTHORIZATION, &self.authorization)
                .header(header::CONTENT_TYPE, "application/json")
                .send(json),
        };
        let mut response = response.map_err(|e| self.limits.failure(&self.route, e))?;
        self.answered.store(true, Ordering::Relaxed);
        let length = response.body().content_length().unwrap_or(0);
        if length > self.limits.body {
            return Err(self.limits.too_long());
        }
        // What the server promises is not allocated beyond 1 MiB before it arrives.
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(1 << 20)).unwrap_or(0));
        let mut reader = response
            .body_mut()
            .with_config()
            .limit(self.limits.body)
            .reader();
        let mut held = None;
        let mut read = (&mut reader).take(MAX_SMALL).read_to_end(&mut bytes);
        if read
            .as_ref()
            .is_ok_and(|read| u64::try_from(*read) == Ok(MAX_SMALL))
        {
            held = self.large.permit(self.limits.total);
            if held.is_none() {
                return Err(Failure::Passing(
                    "other large answers were being read for too long".to_owned(),
                ));
            }
            read = reader.read_to_end(&mut bytes);
        }
        self.bytes.fetch_add(
            bytes.len().try_into().unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        read.map_err(|e| self.limits.failure(&self.route, e.into()))?;
        let date = header_text(response.headers(), header::DATE).and_then(http_date);
        Ok(Answer {
            status: response.status().as_u16(),
            body: bytes,
            held,
            date,
            retry_after: header_text(response.headers(), header::RETRY_AFTER)
                .and_then(|h| retry::retry_after(h, date)),
            location: header_text(response.headers(), header::LOCATION)
                .map(|location| self.quote(location)),
        })
    }

    /// A piece of text for a message: at most 200 characters, in one line, without the token.
    pub fn quote(&self, text: &str) -> String {
        quote(text, &[self.token.reveal()])
    }

    /// Number of requests sent so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of all bodies received so far, decompressed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether a server has ever answered, whatever it said.
    pub fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Breaks off all requests at once and lets none begin: for the end of the program.
    pub fn shut_down(&self) {
        self.agent.clone().shutdown();
    }
}

impl Limits {
    fn too_long(&self) -> Failure {
        Failure::TooLong(format!("the answer is longer than {} bytes", self.body))
    }

    /// What an error of a request by this route under these limits means.
    pub fn failure(&self, route: &Route, error: ureq::Error) -> Failure {
        use std::io::ErrorKind;
        let unreachable = |why: &dyn std::error::Error| {
            Failure::Passing(format!(
                "cannot connect to {}: {}",
                route.first_stop(),
                text::foreign(&why.to_string())
            ))
        };
        use ureq::Timeout;
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => Failure::Passing(format!(
                "no connection to {} within {} s",
                route.first_stop(),
                self.connect.as_secs_f64()
            )),
            ureq::Error::ConnectProxyFailed(why) => Failure::Passing(format!(
                "the proxy {} did not connect to {}: {}",
                route.proxy.as_deref().unwrap_or_default(),
                route.place,
                quote(&why, &[])
            )),
            ureq::Error::Timeout(_) => Failure::Passing(format!(
                "no complete answer within {} s",
                self.total.as_secs_f64()
            )),
            ureq::Error::BodyExceedsLimit(_) => self.too_long(),
            ureq::Error::Rustls(error) => tls_failure(&error),
            ureq::Error::Io(error) => match error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                Some(inner) => tls_failure(inner),
                None if error.kind() == ErrorKind::UnexpectedEof => Failure::Passing(
                    "the server closed the connection before the end of its answer".to_owned(),
                ),
                None if matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused
                        | ErrorKind::HostUnreachable
                        | ErrorKind::NetworkUnreachable
                ) =>
                {
                    unreachable(&error)
                }
                None => Failure::Passing(text::foreign(&error.to_string())),
            },
            error @ ureq::Error::HostNotFound => unreachable(&error),
            error => Failure::Passing(text::foreign(&error.to_string())),
        }
    }
}

/// A piece of text for a message, as [`text::foreign`] shows it, with `(secret)` for each secret in it.
pub fn quote(text: &str, secrets: &[&str]) -> String {
    let mut text: String = text.chars().take(MAX_QUOTED).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "(secret)");
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    text::foreign(&words.join(" "))
}

fn tls_failure(error: &rustls::Error) -> Failure {
    match error {
        // It may repeat what the certificate says.
        rustls::Error::InvalidCertificate(reason) => {
            Failure::Certificate(text::foreign(&reason.to_string()))
        }
        error => Failure::Passing(format!("TLS: {}", text::foreign(&error.to_string()))),
    }
}

/// A header of an answer, if it is text.
pub fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
