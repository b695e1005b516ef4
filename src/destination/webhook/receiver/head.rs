//! The heads of requests: address and headers, of which most are the same for all, and those of Standard Webhooks.

use std::io::{self, Write};

use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::address::Address;
use crate::error::{Error, Result};
use crate::net::http::USER_AGENT;
use crate::net::secret::Secret;

/// What all requests to one web service begin with.
pub struct Head {
    post: Vec<u8>,
    check: Vec<u8>,
}

impl Head {
    /// With these headers besides what each request has; their values are secrets.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for a header that can't be sent.
    pub fn new(address: &Address, headers: &[(String, Secret)]) -> Result<Head> {
        let mut map = HeaderMap::new();
        let authorization = address
            .authorization
            .clone()
            .map(|value| (header::AUTHORIZATION.as_str().to_owned(), value));
        for (name, value) in headers.iter().chain(&authorization) {
            let wrong = || Error::usage(format!("header {name:?} can't be sent (check --header)"));
            let value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            // Those that say where the request ends are not to be chosen.
            if matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING) {
                return Err(wrong());
            }
            map.append(name, value);
        }
        let host = HeaderValue::from_str(&address.host()).map_err(|_| {
            Error::usage("the address of the web service names no host (check --url)")
        })?;
        let fixed = HeaderValue::from_static;
        // Of an answer nothing counts but its status.
        for (name, value) in [
            (header::HOST, host),
            (header::USER_AGENT, fixed(USER_AGENT)),
            (header::ACCEPT, fixed("*/*")),
            (header::ACCEPT_ENCODING, fixed("identity")),
        ] {
            map.entry(name).or_insert(value);
        }
        let path = address
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let mut check = written("HEAD", path, &map);
        check.extend_from_slice(b"\r\n");
        map.insert(header::CONTENT_TYPE, fixed("application/json"));
        Ok(Head {
            post: written("POST", path, &map),
            check,
        })
    }

    /// That of a delivery. `timestamp` is the time in seconds since 1970.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an id that is none: a file may have been tampered with.
    pub fn of_post(
        &self,
        id: &str,
        timestamp: i64,
        signature: Option<&str>,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        if HeaderValue::from_str(id).is_err() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "its webhook-id can't be sent in a header",
            ));
        }
        let mut head = Vec::with_capacity(self.post.len() + 400);
        head.extend_from_slice(&self.post);
        write!(
            head,
            "webhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\n"
        )?;
        if let Some(signature) = signature {
            write!(head, "webhook-signature: {signature}\r\n")?;
        }
        write!(head, "content-length: {length}\r\n\r\n")?;
        Ok(head)
    }

    /// That of a request which changes nothing.
    pub fn of_check(&self) -> &[u8] {
        &self.check
    }
}

fn written(method: &str, path: &str, headers: &HeaderMap) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    for (name, value) in headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(piece);
        }
    }
    head
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head(address: &str, headers: &[(&str, &str)]) -> Result<Head> {
        let headers: Vec<(String, Secret)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
            .collect();
        Head::new(&Address::read(address).unwrap(), &headers)
    }

    /// The lines of a head, sorted but for the first.
    fn lines(head: &[u8]) -> Vec<String> {
        let text = std::str::from_utf8(head).unwrap();
        let whole = text.strip_suffix("\r\n\r\n").unwrap();
        let mut lines: Vec<String> = whole.split("\r\n").map(str::to_owned).collect();
        lines.get_mut(1..).unwrap().sort();
        lines
    }

    #[test]
    fn a_delivery_has_these_headers_and_no_others() {
        let head = head("https://me:pw@h.example:443/in?key=1", &[("X-Key", "k")]).unwrap();
        let agent = format!("user-agent: {USER_AGENT}");
        let common = ["accept-encoding: identity", "accept: */*"];
        let rest = ["host: h.example", &agent];
        let wanted = [
            &["POST /in?key=1 HTTP/1.1"],
            &common[..],
            &[
                "authorization: Basic bWU6cHc=",
                "content-length: 7",
                "content-type: application/json",
            ],
            &rest,
            &[
                "webhook-id: msg_1",
                "webhook-signature: v1,s",
                "webhook-timestamp: 12",
                "x-key: k",
            ],
        ]
        .concat();
        let post = head.of_post("msg_1", 12, Some("v1,s"), 7).unwrap();
        assert_eq!(lines(&post), wanted);
        let unsigned = head.of_post("msg_1", 12, None, 7).unwrap();
        assert_eq!(lines(&unsigned).len(), wanted.len() - 1);
        let wanted = [
            &["HEAD /in?key=1 HTTP/1.1"],
            &common[..],
            &["authorization: Basic bWU6cHc="],
            &rest,
            &["x-key: k"],
        ]
        .concat();
        assert_eq!(lines(head.of_check()), wanted);
    }

    #[test]
    fn what_is_given_takes_the_place_of_what_is_usual() {
        let given = [
            ("User-Agent", "me"),
            ("HOST", "other"),
            ("Content-Type", "text/plain"),
        ];
        let head = head("http://h:8080", &given).unwrap();
        let lines = lines(&head.of_post("i", 0, None, 0).unwrap());
        for line in [
            "POST / HTTP/1.1",
            "user-agent: me",
            "host: other",
            "content-type: application/json",
        ] {
            assert_eq!(lines.iter().filter(|l| *l == line).count(), 1, "{line}");
        }
    }

    #[test]
    fn the_port_stands_in_the_host_where_it_is_not_the_usual_one() {
        for (address, host) in [
            ("http://h", "host: h"),
            ("http://h:80", "host: h"),
            ("https://h:80", "host: h:80"),
            ("http://[::1]:8080", "host: [::1]:8080"),
        ] {
            let head = head(address, &[]).unwrap();
            assert!(lines(head.of_check()).contains(&host.to_owned()), "{host}");
        }
    }

    #[test]
    fn what_would_break_the_request_is_refused() {
        for (name, value) in [
            ("Content-Length", "1"),
            ("transfer-encoding", "chunked"),
            ("X", "a\r\nY: b"),
            ("X Y", "a"),
        ] {
            let error = head("http://h", &[(name, value)]).err().unwrap();
            assert!(error.to_string().contains("--header"), "{error}");
        }
        let head = head("http://h", &[]).unwrap();
        let error = head.of_post("a\r\nX: y", 0, None, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
