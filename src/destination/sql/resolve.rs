//! Host names of databases, looked up within a time limit, which the system's own look-up does not have, and whether an
//! address is this computer's.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The addresses of a host, at least one.
pub(super) fn addresses(host: &str, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(literal) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(literal, port)]);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = host.to_owned();
    // It ends by itself, whenever the name service answers.
    thread::Builder::new()
        .name("look-up".to_owned())
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs();
            // Nobody listens any more where it took too long.
            let _ = sender.send(found.map(Iterator::collect::<Vec<_>>));
        })?;
    let found = receiver.recv_timeout(within).map_err(|_| {
        let why = "the name service gave no answer within the time limit";
        io::Error::new(io::ErrorKind::TimedOut, why)
    })??;
    if found.is_empty() {
        let why = "the host name has no address";
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    Ok(found)
}

/// Whether nobody else hears what is sent to an address. A name says nothing of it: also `localhost` leads wherever the
/// name service says.
pub(super) fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn literals_need_no_name_service_and_unknown_names_have_no_address() {
        for literal in ["127.0.0.1", "::1"] {
            let found = addresses(literal, 1433, Duration::ZERO).unwrap();
            assert_eq!(found, [SocketAddr::new(literal.parse().unwrap(), 1433)]);
        }
        assert!(
            !addresses("localhost", 1, Duration::from_secs(60))
                .unwrap()
                .is_empty()
        );
        let error = addresses("nowhere.invalid", 1, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
    #[test]
    fn this_computer_is_known_by_its_addresses() {
        for (address, local) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("0.0.0.0", false),
            ("::2", false),
            ("::ffff:192.0.2.1", false),
        ] {
            assert_eq!(is_local(address.parse().unwrap()), local, "{address}");
        }
    }
}
