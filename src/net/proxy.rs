//! The proxy that the environment asks for.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use crate::error::{Error, Result};

/// The proxy for requests to `base`, by the variables of the environment that curl knows: `HTTPS_PROXY` or `HTTP_PROXY`
/// by the scheme of `base`, else `ALL_PROXY`, unless `NO_PROXY` names its host; in lower case or upper case.
///
/// Proxies are always asked to connect through (CONNECT), so that with https they never see the token.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) for an address that is none, and for SOCKS.
pub fn from_environment(base: &str) -> Result<Option<Proxy>> {
    let proxy = choose(base, |name| std::env::var(name).ok())?;
    if let Some(proxy) = &proxy {
        log::info!(
            "{} is reached through the proxy {}:{}",
            host(base).unwrap_or_default(),
            proxy.host(),
            proxy.port()
        );
    }
    Ok(proxy)
}

/// Where requests go and by which way: for messages.
#[derive(Debug, Clone)]
pub struct Route {
    /// The address, without secrets.
    pub place: String,
    /// Host and port of the proxy that they pass.
    pub proxy: Option<String>,
}

impl Route {
    /// To a place, through a proxy if there is one.
    pub fn new(place: &str, proxy: Option<&Proxy>) -> Route {
        Route {
            place: place.to_owned(),
            proxy: proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())),
        }
    }

    /// What a connection is made to.
    pub fn first_stop(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("the proxy {proxy} (on the way to {})", self.place),
            None => self.place.clone(),
        }
    }
}

fn host(base: &str) -> Option<String> {
    base.parse::<Uri>().ok()?.host().map(str::to_owned)
}

fn choose(base: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>> {
    let (Ok(uri), Some(host)) = (base.parse::<Uri>(), host(base)) else {
        return Ok(None);
    };
    let set = |name: &'static str| {
        let value = variable(&name.to_ascii_lowercase()).or_else(|| variable(name))?;
        Some(value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .map(|value| (name, value))
    };
    let is_plain = uri.scheme_str() == Some("http");
    let of_scheme = if is_plain {
        "HTTP_PROXY"
    } else {
        "HTTPS_PROXY"
    };
    let Some((name, address)) = set(of_scheme).or_else(|| set("ALL_PROXY")) else {
        return Ok(None);
    };
    let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
    if set("NO_PROXY").is_some_and(|(_, exceptions)| {
        exceptions
            .split(|c: char| c == ',' || c.is_whitespace())
            .any(|exception| covers(exception, &host, port))
    }) {
        return Ok(None);
    }
    // The address is not quoted: it may hold a password.
    let proxy = Proxy::new(&address).map_err(|_| {
        Error::usage(format!(
            "environment variable {name}: expected the address of a proxy, such as http://proxy.example:3128"
        ))
    })?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(Some(proxy)),
        other => Err(Error::usage(format!(
            "environment variable {name}: a {other} proxy is not supported, only HTTP and HTTPS are"
        ))),
    }
}

/// Whether an entry of `NO_PROXY` covers a host: `*`, an address, a range of addresses such as `10.0.0.0/8`, the host or a
/// domain above it, with or without `*` or dot in front. All but ranges may end in a port, which then has to be the same.
fn covers(exception: &str, host: &str, port: u16) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (name, only_port) = split_port(exception);
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    if name == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return in_range(exception, address) || name.parse() == Ok(address);
    }
    let domain = name
        .trim_start_matches('*')
        .trim_start_matches('.')
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !domain.is_empty()
        && (host == domain
            || host
                .strip_suffix(&domain)
                .is_some_and(|above| above.ends_with('.')))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
fn split_port(exception: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = exception
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (
            address,
            rest.strip_prefix(':').and_then(|port| port.parse().ok()),
        );
    }
    match exception.split_once(':') {
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (exception, None),
        },
        _ => (exception, None),
    }
}

/// Whether an address lies in a range in CIDR notation.
fn in_range(range: &str, address: IpAddr) -> bool {
    let Some((network, length)) = range.split_once('/') else {
        return false;
    };
    let network = network.trim_start_matches('[').trim_end_matches(']');
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    // As numbers of 128 bits, of which the upper `length` are the same.
    let (network, address, bits) = match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u32::from(network).into(), u32::from(address).into(), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (u128::from(network), u128::from(address), 128)
        }
        _ => return false,
    };
    match u32::checked_sub(bits, length) {
        Some(free) => (network ^ address).checked_shr(free).unwrap_or(0) == 0,
        None => false,
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
    use crate::error::ErrorKind;

    const API: &str = "https://api.dialfire.com";

    fn chosen(base: &str, environment: &[(&str, &str)]) -> Result<Option<String>> {
        let lookup = |name: &str| {
            environment
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Ok(choose(base, lookup)?.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())))
    }

    fn host(base: &str, environment: &[(&str, &str)]) -> Option<String> {
        chosen(base, environment).unwrap()
    }

    #[test]
    fn the_variable_of_the_scheme_counts() {
        let both = [
            ("HTTP_PROXY", "http://plain:1"),
            ("HTTPS_PROXY", "http://secure:2"),
        ];
        assert_eq!(host(API, &both), Some("secure:2".to_owned()));
        assert_eq!(
            host("http://127.0.0.1:8080", &both),
            Some("plain:1".to_owned())
        );
        assert_eq!(host(API, &both[..1]), None);
        assert_eq!(host(API, &[]), None);
        assert_eq!(
            host(API, &[("ALL_PROXY", "all:3")]),
            Some("all:3".to_owned())
        );
        assert_eq!(
            host(
                API,
                &[("ALL_PROXY", "all:3"), ("HTTPS_PROXY", "http://secure:2")]
            ),
            Some("secure:2".to_owned())
        );
    }

    #[test]
    fn lower_case_comes_first_and_empty_means_none() {
        assert_eq!(
            host(
                API,
                &[("https_proxy", "lower:1"), ("HTTPS_PROXY", "upper:1")]
            ),
            Some("lower:1".to_owned())
        );
        assert_eq!(
            host(API, &[("https_proxy", " "), ("HTTPS_PROXY", "upper:1")]),
            None
        );
    }

    #[test]
    fn user_and_password_are_kept() {
        let proxy = choose(API, |name| {
            (name == "HTTPS_PROXY").then(|| "http://me:p%40ss@proxy:3128".to_owned())
        })
        .unwrap()
        .unwrap();
        assert_eq!(
            (proxy.username(), proxy.password()),
            (Some("me"), Some("p@ss"))
        );
    }

    #[test]
    fn no_proxy_names_hosts_and_domains() {
        for (exceptions, direct) in [
            ("api.dialfire.com", true),
            ("localhost, API.Dialfire.com", true),
            ("dialfire.com", true),
            (".dialfire.com", true),
            ("*.dialfire.com", true),
            ("*", true),
            ("", false),
            (",", false),
            ("fire.com", false),
            ("api.dialfire.com.example", false),
            ("x.api.dialfire.com", false),
            ("dialfire.com.", true),
            ("api.dialfire.com:443", true),
            (".dialfire.com:443", true),
            ("api.dialfire.com:80", false),
            ("*:443", true),
            ("*:80", false),
            ("localhost api.dialfire.com", true),
            ("0.0.0.0/0", false),
        ] {
            let found = host(
                API,
                &[
                    ("HTTPS_PROXY", "http://proxy:3128"),
                    ("no_proxy", exceptions),
                ],
            );
            assert_eq!(found.is_none(), direct, "{exceptions}");
        }
        assert_eq!(
            host(
                "http://127.0.0.1:8080",
                &[("HTTP_PROXY", "proxy:1"), ("NO_PROXY", "127.0.0.1")]
            ),
            None
        );
    }

    #[test]
    fn no_proxy_names_addresses_and_ranges_of_them() {
        for (base, exceptions, direct) in [
            ("http://127.0.0.1:8080", "127.0.0.0/8", true),
            (
                "http://127.0.0.1:8080",
                "localhost,127.0.0.0/8,::1/128",
                true,
            ),
            ("http://127.1.2.3", "127.0.0.0/8", true),
            ("http://128.0.0.1", "127.0.0.0/8", false),
            ("http://10.1.2.3", "10.1.2.3/32", true),
            ("http://10.1.2.4", "10.1.2.3/32", false),
            ("http://10.1.2.4", "10.1.2.3/31", false),
            ("http://10.1.2.2", "10.1.2.3/31", true),
            ("http://10.1.2.3", "0.0.0.0/0", true),
            ("http://10.1.2.3", "10.0.0.0/33", false),
            ("http://10.1.2.3", "10.0.0.0/x", false),
            ("http://10.1.2.3", "10.0.0.0/", false),
            ("http://10.1.2.3", "10.1.2", false),
            ("http://[::1]:8080", "::1/128", true),
            ("http://[::1]:8080", "::1", true),
            ("http://[::1]:8080", "[::1]", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://[::1]:8080", "[::1]:8081", false),
            ("http://[fd00::7]", "fd00::/8", true),
            ("http://[fe80::7]", "fd00::/8", false),
            ("http://[::ffff:127.0.0.1]", "127.0.0.0/8", true),
            ("http://[::1]", "0.0.0.0/0", false),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://127.0.0.1:8080", "127.0.0.1:80", false),
            ("http://127.0.0.1", "127.0.0.1:80", true),
        ] {
            let found = host(base, &[("HTTP_PROXY", "proxy:1"), ("NO_PROXY", exceptions)]);
            assert_eq!(found.is_none(), direct, "{base} {exceptions}");
        }
    }

    #[test]
    fn a_wrong_address_is_a_usage_error_that_does_not_quote_it() {
        for (address, message) in [
            (
                "secret://host",
                "environment variable HTTPS_PROXY: expected the address of a proxy, such as http://proxy.example:3128",
            ),
            (
                "/secret",
                "environment variable HTTPS_PROXY: expected the address of a proxy, such as http://proxy.example:3128",
            ),
            (
                "socks5://secret@host",
                "environment variable HTTPS_PROXY: a SOCKS5 proxy is not supported, only HTTP and HTTPS are",
            ),
        ] {
            let error = chosen(API, &[("HTTPS_PROXY", address)]).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (ErrorKind::Usage, message)
            );
        }
    }
}
