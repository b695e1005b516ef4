//! The web service: its address, and one attempt to post something to it.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::signature::{Signer, basic};
use crate::cli::settings::Secret;
use crate::dialfire::http::{self, Failure, Limits, quote};
use crate::dialfire::{clock, proxy, retry};
use crate::error::{Error, Result};
use crate::percent::decode;
use crate::tls::Roots;

/// So much of an answer is read, for the log and so that the connection can be used again.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Time for the name look-up, and for the connection with its TLS handshake, if the limit per attempt allows as much.
const CONNECT: Duration = Duration::from_secs(15);

/// The address of a web service, taken apart.
#[derive(Clone)]
pub struct Address {
    /// Without user and password.
    url: String,
    /// Without user, password and query: for messages.
    display: String,
    authorization: Option<Secret>,
}

impl Address {
    /// Reads `http[s]://[user:password@]host[:port][/path][?query]`; percent-encoding in user and password is decoded.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) if it is none. The address is not repeated: it may hold a password.
    pub fn read(text: &str) -> Result<Address> {
        let wrong = || {
            Error::usage(
                "the address of the web service is none such as https://host/path (check --url)",
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or_else(wrong)?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let scheme = scheme.to_ascii_lowercase();
        let separator = if path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}://{host}{separator}{path}");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        if !matches!(scheme.as_str(), "http" | "https") || uri.host().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        let authorization = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            Secret::new(basic(&decode(user), &decode(password)))
        });
        Ok(Address {
            display: format!("{scheme}://{host}{}", uri.path()),
            url,
            authorization,
        })
    }

    /// Without user, password and query: for messages.
    pub fn display(&self) -> &str {
        &self.display
    }
}

/// What came of an attempt.
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
    agent: Agent,
    address: Address,
    signer: Signer,
    headers: HeaderMap,
    /// Values that must not appear in messages.
    secrets: Vec<Secret>,
    limits: Limits,
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
            body: LONGEST_ANSWER,
            connections: options.connections,
        };
        let proxy = proxy::from_environment(&options.address.url)?;
        let mut headers = HeaderMap::new();
        let authorization = options
            .address
            .authorization
            .clone()
            .map(|value| (header::AUTHORIZATION.as_str().to_owned(), value));
        for (name, value) in options.headers.iter().chain(&authorization) {
            let wrong = || Error::usage(format!("header {name:?} can't be sent (check --header)"));
            let mut text = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
            text.set_sensitive(true);
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?,
                text,
            );
        }
        Ok(Receiver {
            agent: http::agent(&options.roots, proxy, limits),
            secrets: options
                .headers
                .into_iter()
                .map(|(_, value)| value)
                .chain(options.address.authorization.clone())
                .collect(),
            address: options.address,
            signer: options.signer,
            headers,
            limits,
        })
    }

    /// Posts a body once. `timestamp` is the time in seconds since 1970, by the clock of this computer.
    pub fn post(&self, id: &str, timestamp: i64, body: &str) -> Verdict {
        let mut request = self
            .agent
            .post(&self.address.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(signature) = self.signer.sign(id, timestamp, body) {
            request = request.header("webhook-signature", signature);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => return self.no_answer(error),
        };
        // The status decides; what comes of the body is of interest to the log alone.
        let mut answer = Vec::new();
        let _ = response
            .body_mut()
            .as_reader()
            .take(LONGEST_ANSWER)
            .read_to_end(&mut answer);
        self.judge(response.status().as_u16(), response.headers(), &answer)
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
        match self.agent.head(&self.address.url).call() {
            Ok(response) => Ok(format!(
                "can be reached, answers HEAD with {}",
                response.status().as_u16()
            )),
            Err(error) => match self.no_answer(error) {
                Verdict::Unreachable(reason) | Verdict::Troubled(reason) => Err(reason),
                _ => Err("no answer".to_owned()),
            },
        }
    }

    /// Breaks off all requests at once: for the end of the program.
    pub fn shut_down(&self) {
        self.agent.clone().shutdown();
    }

    fn judge(&self, status: u16, headers: &HeaderMap, answer: &[u8]) -> Verdict {
        if matches!(status, 200..=299) {
            return Verdict::Delivered;
        }
        let text = |name| http::text(headers, name);
        let wait = text(header::RETRY_AFTER).and_then(|wait| {
            retry::retry_after(wait, text(header::DATE).and_then(clock::http_date))
        });
        let said = self.quote(&String::from_utf8_lossy(answer));
        let said = if said.is_empty() {
            said
        } else {
            format!(": {said}")
        };
        let reason = format!("HTTP {status}{said}");
        match status {
            300..=399 => Verdict::Refused(format!(
                "HTTP {status}: it points to {}, and redirects are not followed (check --url)",
                text(header::LOCATION).map_or_else(|| "nowhere".to_owned(), |to| self.quote(to))
            )),
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
        match self.limits.failure(self.display(), error) {
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

    #[test]
    fn user_and_password_leave_the_address() {
        for (text, url, display, authorization) in [
            (
                "https://h.example/in?key=1#part",
                "https://h.example/in?key=1",
                "https://h.example/in",
                None,
            ),
            (
                "HTTP://me:p%40s%3As@h:8080",
                "http://h:8080/",
                "http://h:8080/",
                Some(basic("me", "p@s:s")),
            ),
            (
                "https://me@[::1]?x=%41",
                "https://[::1]/?x=%41",
                "https://[::1]/",
                Some(basic("me", "")),
            ),
        ] {
            let address = Address::read(text).unwrap();
            assert_eq!(address.url, url);
            assert_eq!(address.display(), display);
            let found = address.authorization.map(|a| a.reveal().to_owned());
            assert_eq!(found, authorization, "{text}");
        }
    }

    #[test]
    fn what_is_no_web_address_is_refused_without_repeating_it() {
        for text in [
            "ftp://SECRET@h/",
            "https://u:SECRET@",
            "h/SECRET",
            "https://SECRET h/",
        ] {
            let error = Address::read(text).err().unwrap().to_string();
            assert!(
                error.contains("--url") && !error.contains("SECRET"),
                "{error}"
            );
        }
    }

    fn receiver() -> Receiver {
        Receiver::new(Options {
            address: Address::read("http://127.0.0.1:1/").unwrap(),
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
        let receiver = receiver();
        let judge = |status, headers: &[(HeaderName, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect();
            receiver.judge(status, &headers, b"no SECRET\nhere")
        };
        for status in [200, 204, 299] {
            assert_eq!(judge(status, &[]), Verdict::Delivered);
        }
        for status in [400, 401, 404, 410, 500, 501] {
            let reason = format!("HTTP {status}: no (secret) here");
            assert_eq!(judge(status, &[]), Verdict::Refused(reason));
        }
        for status in [408, 425, 502, 503, 504] {
            assert!(
                matches!(judge(status, &[]), Verdict::Troubled(_)),
                "{status}"
            );
        }
        let later = [(header::RETRY_AFTER, "7")];
        for status in [429, 503] {
            let Verdict::Busy { wait, .. } = judge(status, &later) else {
                unreachable!("{status}");
            };
            assert_eq!(wait, Some(Duration::from_secs(7)));
        }
        assert!(matches!(judge(429, &[]), Verdict::Busy { wait: None, .. }));
        let moved = judge(301, &[(header::LOCATION, "https://new.example/SECRET")]);
        assert_eq!(
            moved,
            Verdict::Refused(
                "HTTP 301: it points to https://new.example/(secret), and redirects are not followed (check --url)"
                    .to_owned()
            )
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
        let mut receiver = receiver();
        receiver.address = Address::read(&format!("http://127.0.0.1:{port}/")).unwrap();
        assert!(matches!(
            receiver.post("id", 0, "{}"),
            Verdict::Unreachable(_)
        ));
    }
}
