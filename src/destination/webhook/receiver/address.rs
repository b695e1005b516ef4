//! The address of a web service, with user and password taken out of it.

use ureq::http::Uri;

use crate::destination::webhook::signature::basic;
use crate::error::{Error, Result};
use crate::net::secret::Secret;
use crate::net::web_address::is_host_and_port;
use crate::percent::decode;

/// The address of a web service, taken apart.
#[derive(Clone)]
pub struct Address {
    /// Without user and password.
    pub(super) url: String,
    /// The same.
    pub(super) uri: Uri,
    /// Without user, password and query: for messages.
    display: String,
    pub(super) authorization: Option<Secret>,
}

impl Address {
    /// Reads `http[s]://[user:password@]host[:port][/path][?query]`; percent-encoding in user and password is decoded.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) if it is none. The address is not repeated: it may hold a password.
    pub fn read(text: &str) -> Result<Address> {
        let wrong = || {
            Error::usage(
                "the address of the web service is not valid: expected https://host:port/path with a port from 1 to 65535 \
                 (check --url)",
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
        if !matches!(scheme.as_str(), "http" | "https") || !is_host_and_port(host) {
            return Err(wrong());
        }
        let authorization = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            Secret::new(basic(&decode(user), &decode(password)))
        });
        Ok(Address {
            display: format!("{scheme}://{host}{}", uri.path()),
            uri,
            url,
            authorization,
        })
    }

    /// Host, and port if it is not that of the scheme: for the header of this name.
    pub(super) fn host(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        match (self.uri.port_u16(), self.uri.scheme_str()) {
            (None, _) | (Some(80), Some("http")) | (Some(443), Some("https")) => host.to_owned(),
            (Some(port), _) => format!("{host}:{port}"),
        }
    }

    /// Without user, password and query: for messages.
    pub fn display(&self) -> &str {
        &self.display
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
            "https://u:SECRET@h:0/",
            "https://u:SECRET@h:99999/",
            "https://u:SECRET@h:x/",
            "https://u:SECRET@:443/",
        ] {
            let error = Address::read(text).err().unwrap().to_string();
            assert!(
                error.contains("--url") && !error.contains("SECRET"),
                "{error}"
            );
        }
    }
}
