//! The proxy that the environment asks for.

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
    let of_scheme = if uri.scheme_str() == Some("http") {
        "HTTP_PROXY"
    } else {
        "HTTPS_PROXY"
    };
    let Some((name, address)) = set(of_scheme).or_else(|| set("ALL_PROXY")) else {
        return Ok(None);
    };
    if set("NO_PROXY").is_some_and(|(_, exceptions)| {
        exceptions
            .split(',')
            .any(|exception| covers(exception.trim(), &host))
    }) {
        return Ok(None);
    }
    // The address is not quoted: it may hold a password.
    let proxy = Proxy::new(&address).map_err(|_| {
        Error::usage(format!(
            "{name} of the environment is no proxy address such as http://proxy.example:3128"
        ))
    })?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(Some(proxy)),
        other => Err(Error::usage(format!(
            "{name} of the environment names a {other} proxy, only HTTP and HTTPS are supported"
        ))),
    }
}

/// Whether an entry of `NO_PROXY` covers a host: `*`, the host, or a domain above it, with or without `*` or dot in front.
fn covers(exception: &str, host: &str) -> bool {
    if exception == "*" {
        return true;
    }
    let domain = exception
        .trim_start_matches('*')
        .trim_start_matches('.')
        .to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    !domain.is_empty()
        && (host == domain
            || host
                .strip_suffix(&domain)
                .is_some_and(|above| above.ends_with('.')))
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
    fn a_wrong_address_is_a_usage_error_that_does_not_quote_it() {
        for (address, message) in [
            (
                "secret://host",
                "HTTPS_PROXY of the environment is no proxy address such as http://proxy.example:3128",
            ),
            (
                "/secret",
                "HTTPS_PROXY of the environment is no proxy address such as http://proxy.example:3128",
            ),
            (
                "socks5://secret@host",
                "HTTPS_PROXY of the environment names a SOCKS5 proxy, only HTTP and HTTPS are supported",
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
