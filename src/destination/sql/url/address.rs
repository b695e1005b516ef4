//! The parts of a database URL: where the password ends, which hosts there are, what is encoded.

use std::path::PathBuf;

use super::{Host, Scheme, Servers};
use crate::error::{Error, Result};
use crate::net::secret::Secret;
use crate::percent::decode;

/// What follows `scheme://`, cut but not decoded.
pub(super) struct Parts<'a> {
    scheme: Scheme,
    login: Option<&'a str>,
    pub(super) hosts: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn split(rest: &'a str, scheme: Scheme) -> Result<Self> {
        let before_options = rest.find('?').unwrap_or(rest.len());
        let (first, second): (Vec<usize>, Vec<usize>) = rest
            .match_indices('@')
            .map(|(at, _)| at)
            .partition(|at| *at < before_options);
        let cut = |at: usize| {
            Self::cut(
                scheme,
                rest.get(..at),
                rest.get(at + 1..).unwrap_or_default(),
            )
        };
        let candidates = (first.iter().rev().map(|at| cut(*at)))
            .chain(std::iter::once_with(|| Self::cut(scheme, None, rest)))
            .chain(second.iter().rev().map(|at| cut(*at)));
        if let Some(parts) = candidates.into_iter().find(|parts| parts.is_plausible()) {
            return Ok(parts);
        }
        // Nothing fits: the most likely reading serves to say what is wrong.
        let parts = match first.last().or(second.last()) {
            Some(at) => cut(*at),
            None => Self::cut(scheme, None, rest),
        };
        parts.login()?;
        if !parts.hosts.is_empty() {
            parts.servers(1)?;
        }
        if !scheme.has_instances() || parts.database.is_empty() {
            parts.database()?;
        }
        parts.options()?;
        Err(Error::usage(format!(
            "database address (--url): expected {}",
            scheme.longest_example()
        )))
    }

    fn cut(scheme: Scheme, login: Option<&'a str>, address: &'a str) -> Self {
        // The Go driver's `tcp(host:port)` and `unix(/path)` may hold slashes.
        let from = if address.starts_with("tcp(") || address.starts_with("unix(") {
            address.find(')').unwrap_or(0)
        } else {
            0
        };
        let place = |c: char| {
            address
                .get(from..)
                .and_then(|behind| behind.find(c))
                .map(|at| at + from)
        };
        let query_at = place('?').unwrap_or(address.len());
        let path_at = place('/').unwrap_or(address.len()).min(query_at);
        let text = |from: usize, to: usize| address.get(from..to).unwrap_or_default();
        Parts {
            scheme,
            login,
            hosts: text(0, path_at),
            database: text(path_at + 1, query_at),
            query: text(query_at + 1, address.len()),
        }
    }

    fn is_plausible(&self) -> bool {
        let path_fits = if self.scheme.has_instances() {
            self.database.split('/').count() <= 2
                && (!self.database.is_empty() || self.has_option("database"))
        } else {
            !self.database.is_empty() && !self.database.contains('/')
        };
        (self.hosts.is_empty() || self.servers(1).is_ok())
            && path_fits
            && (self.query.split('&')).all(|option| {
                let name = option.split_once('=').map(|(name, _)| name);
                option.is_empty() || name.is_some_and(is_option_name)
            })
    }

    fn has_option(&self, wanted: &str) -> bool {
        self.query.split('&').any(|option| {
            option
                .split_once('=')
                .is_some_and(|(name, _)| name.eq_ignore_ascii_case(wanted))
        })
    }

    /// The parts of the path, decoded; empty ones are left out.
    pub(super) fn segments(&self) -> Vec<String> {
        let segments = self.database.split('/');
        segments.filter(|s| !s.is_empty()).map(decode).collect()
    }

    pub(super) fn login(&self) -> Result<(String, Secret)> {
        let login = self.login.unwrap_or_default();
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        if user.is_empty() {
            return Err(Error::usage(format!(
                "database address (--url): no user name: expected {}",
                self.scheme.example()
            )));
        }
        Ok((decode(user), Secret::new(decode(password))))
    }

    pub(super) fn database(&self) -> Result<String> {
        if self.database.is_empty() {
            return Err(Error::usage(format!(
                "database address (--url): no database name: expected {}",
                self.scheme.example()
            )));
        }
        if self.database.contains('/') {
            return Err(Error::usage(
                "database address (--url): the database name contains a `/`: write it as %2F",
            ));
        }
        Ok(decode(self.database))
    }

    pub(super) fn servers(&self, default_port: u16) -> Result<Servers> {
        servers(self.hosts, default_port, self.scheme)
    }

    /// Names in lower case, and values.
    pub(super) fn options(&self) -> Result<Vec<(String, String)>> {
        let mut options = Vec::new();
        for option in self.query.split('&').filter(|option| !option.is_empty()) {
            let Some((name, value)) = option.split_once('=') else {
                return Err(Error::usage(
                    "database address (--url): an option after the `?` has no `=` (write a `?` in the password as %3F)",
                ));
            };
            options.push((decode(name).to_ascii_lowercase(), decode(value)));
        }
        Ok(options)
    }
}

/// `name`, `name:port`, `[v6]:port`, several of them with commas, `tcp(name:port)`, `unix(/path)`, or a path.
pub(super) fn servers(hosts: &str, default_port: u16, scheme: Scheme) -> Result<Servers> {
    let (kind, hosts) = match hosts.strip_suffix(')').and_then(|h| h.split_once('(')) {
        Some((kind, inner)) => (kind, inner),
        None => ("tcp", hosts),
    };
    let decoded = decode(hosts);
    if kind == "unix" || decoded.starts_with('/') {
        return Ok(Servers::Socket {
            path: PathBuf::from(decoded),
            port: default_port,
        });
    }
    let hosts = match kind {
        "tcp" => hosts
            .split(',')
            .map(|text| host(text, default_port))
            .collect::<Result<Option<Vec<Host>>>>()?,
        _ => None,
    };
    hosts.map(Servers::Tcp).ok_or_else(|| {
        Error::usage(format!(
            "database address (--url): no valid host name: expected {} (write an IPv6 address in brackets, and \
             in the password %40 for @, %2F for /)",
            scheme.example()
        ))
    })
}

/// `None` where the name is not one of a host.
fn host(text: &str, default_port: u16) -> Result<Option<Host>> {
    let parts = match text.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .filter(|(name, _)| name.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let valid = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            Some(text.split_at(text.find(':').unwrap_or(text.len())))
                .filter(|(name, _)| !name.is_empty() && name.chars().all(valid))
        }
    };
    let Some((name, rest)) = parts else {
        return Ok(None);
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => port(digits)?,
        None if rest.is_empty() => default_port,
        None => return Ok(None),
    };
    Ok(Some(Host {
        name: name.to_lowercase(),
        port,
    }))
}

pub(super) fn port(digits: &str) -> Result<u16> {
    match digits.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Error::usage(
            "database address (--url): the port must be a number from 1 to 65535",
        )),
    }
}

pub(super) fn is_option_name(name: &str) -> bool {
    name.len() <= 30 && (name.chars()).all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-'))
}
