//! What all web addresses have in common: the API's and those of web services.

/// Whether an address is that of a web service.
pub fn is_web_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
    })
}

/// Whether `host` or `host:port`, without a user, names a host and a port from 1 to 65535. Where the port
/// is not valid, libraries take the usual one.
pub fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            _ => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0)
        }
        None => port.is_empty(),
    };
    !host.is_empty() && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for text in [
            "h",
            "h:1",
            "api.dialfire.com:65535",
            "[::1]",
            "[::1]:8080",
            "127.0.0.1:80",
        ] {
            assert!(is_host_and_port(text), "{text}");
        }
        for text in [
            "", ":80", "h:", "h:0", "h:65536", "h:99999", "h:-1", "h:+1", "h:x", "h:1:2", "[::1",
            "[]", "[h]:1", "[::1]x", "::1",
        ] {
            assert!(!is_host_and_port(text), "{text}");
        }
    }
}
