//! PRELOGIN, the first message of the TDS protocol: what is to be encrypted. No I/O.
//!
//! Rules from [MS-TDS] 2.2.6.5. The client says what it can do, the server what is done.

use crate::destination::sql::url::Encryption;

/// Bytes of a packet's header: type, status, length (2, big-endian), session (2), number, window.
pub(super) const HEADER: usize = 8;

/// Type of the packets that hold PRELOGIN messages and, after it, the TLS handshake.
pub(super) const PRELOGIN: u8 = 0x12;

/// Type of the packet that holds the log-in.
pub(super) const LOGIN7: u8 = 0x10;

/// Type of the server's packets.
pub(super) const ANSWER: u8 = 0x04;

/// Status of the last packet of a message.
pub(super) const LAST: u8 = 0x01;

/// The server's packets during the handshake are small; a longer one comes from another kind of server.
pub(super) const MAX_ANSWER: usize = 32 * 1024;

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

const OPTION_VERSION: u8 = 0;
const OPTION_ENCRYPTION: u8 = 1;
const OPTION_INSTANCE: u8 = 2;
const OPTION_THREAD: u8 = 3;
const OPTION_MARS: u8 = 4;
const END_OF_OPTIONS: u8 = 0xff;

/// What is encrypted with TLS inside of the TDS protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    /// The log-in message of the client alone.
    Login,
    Nothing,
}

/// Why the server and the URL do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disagreement {
    /// The answer is no PRELOGIN message.
    NotSqlServer,
    /// The server can't encrypt, or does not want to.
    ServerDoesNotEncrypt,
    /// The server insists on it.
    ServerInsists,
}

/// One packet with its header.
pub(super) fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + payload.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut packet = vec![kind, LAST, high, low, 0, 0, 1, 0];
    packet.extend_from_slice(payload);
    packet
}

/// The client's message.
pub(super) fn request(encryption: Encryption) -> Vec<u8> {
    let wish = match encryption {
        Encryption::Full => ON,
        Encryption::Login => OFF,
        Encryption::Nothing => NOT_SUPPORTED,
        // TLS is there already; the server looks at something else than this byte.
        Encryption::Strict => REQUIRED,
    };
    message(&[
        (OPTION_VERSION, &version()),
        (OPTION_ENCRYPTION, &[wish]),
        (OPTION_INSTANCE, &[0]),
        (OPTION_THREAD, &[0; 4]),
        (OPTION_MARS, &[0]),
    ])
}

/// What the driver, which knows nothing of the encryption around it, is told instead of the server's answer.
pub(super) fn answer_to_driver() -> Vec<u8> {
    message(&[
        (OPTION_VERSION, &version()),
        (OPTION_ENCRYPTION, &[NOT_SUPPORTED]),
    ])
}

/// The version of this program as the protocol wants it.
fn version() -> [u8; 6] {
    let number = |text: &str| text.parse().unwrap_or(0);
    [
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        0,
        number(env!("CARGO_PKG_VERSION_PATCH")),
        0,
        0,
    ]
}

fn message(options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    let mut offset = options.len() * 5 + 1;
    for (option, value) in options {
        message.push(*option);
        for number in [offset, value.len()] {
            message.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
        }
        offset += value.len();
    }
    message.push(END_OF_OPTIONS);
    for (_, value) in options {
        message.extend_from_slice(value);
    }
    message
}

/// What is to be encrypted by the server's answer to [`request`]. `Strict` needs no look: everything is already.
pub(super) fn decide(wanted: Encryption, answer: &[u8]) -> Result<Scope, Disagreement> {
    let answer = option(answer, OPTION_ENCRYPTION)
        .and_then(|value| value.first().copied())
        .ok_or(Disagreement::NotSqlServer)?;
    match (wanted, answer) {
        (Encryption::Strict, _) => Ok(Scope::Nothing),
        (Encryption::Nothing, NOT_SUPPORTED | OFF) => Ok(Scope::Nothing),
        (Encryption::Nothing, ON | REQUIRED) => Err(Disagreement::ServerInsists),
        (Encryption::Full | Encryption::Login, ON | REQUIRED) => Ok(Scope::Everything),
        (Encryption::Login, OFF) => Ok(Scope::Login),
        (Encryption::Full, OFF) | (Encryption::Full | Encryption::Login, NOT_SUPPORTED) => {
            Err(Disagreement::ServerDoesNotEncrypt)
        }
        _ => Err(Disagreement::NotSqlServer),
    }
}

fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut entries = message;
    loop {
        let [option, a, b, c, d, rest @ ..] = entries else {
            return None;
        };
        if *option == wanted {
            let start = usize::from(u16::from_be_bytes([*a, *b]));
            let length = usize::from(u16::from_be_bytes([*c, *d]));
            return message.get(start..start + length);
        }
        if *option == END_OF_OPTIONS {
            return None;
        }
        entries = rest;
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

    fn answer(encryption: u8) -> Vec<u8> {
        message(&[
            (OPTION_VERSION, &[16, 0, 0, 1, 0, 0]),
            (OPTION_ENCRYPTION, &[encryption]),
            (OPTION_MARS, &[0]),
        ])
    }

    #[test]
    fn the_request_names_what_the_url_asks_for() {
        for (wanted, byte) in [
            (Encryption::Full, 1),
            (Encryption::Login, 0),
            (Encryption::Nothing, 2),
            (Encryption::Strict, 3),
        ] {
            let message = request(wanted);
            assert_eq!(option(&message, OPTION_ENCRYPTION), Some(&[byte][..]));
            assert_eq!(option(&message, OPTION_INSTANCE), Some(&[0][..]));
            assert_eq!(option(&message, OPTION_VERSION).unwrap().len(), 6);
        }
        assert_eq!(
            option(&answer_to_driver(), OPTION_ENCRYPTION),
            Some(&[2][..])
        );
    }

    #[test]
    fn who_wants_what() {
        use Disagreement::{NotSqlServer, ServerDoesNotEncrypt, ServerInsists};
        let table = [
            (Encryption::Full, OFF, Err(ServerDoesNotEncrypt)),
            (Encryption::Full, ON, Ok(Scope::Everything)),
            (Encryption::Full, NOT_SUPPORTED, Err(ServerDoesNotEncrypt)),
            (Encryption::Full, REQUIRED, Ok(Scope::Everything)),
            (Encryption::Login, OFF, Ok(Scope::Login)),
            (Encryption::Login, ON, Ok(Scope::Everything)),
            (Encryption::Login, NOT_SUPPORTED, Err(ServerDoesNotEncrypt)),
            (Encryption::Login, REQUIRED, Ok(Scope::Everything)),
            (Encryption::Nothing, OFF, Ok(Scope::Nothing)),
            (Encryption::Nothing, ON, Err(ServerInsists)),
            (Encryption::Nothing, NOT_SUPPORTED, Ok(Scope::Nothing)),
            (Encryption::Nothing, REQUIRED, Err(ServerInsists)),
            (Encryption::Strict, NOT_SUPPORTED, Ok(Scope::Nothing)),
            (Encryption::Full, 9, Err(NotSqlServer)),
        ];
        for (wanted, byte, outcome) in table {
            assert_eq!(decide(wanted, &answer(byte)), outcome, "{wanted:?} {byte}");
        }
    }

    #[test]
    fn an_answer_of_another_kind_of_server_is_no_panic() {
        let good = answer(ON);
        let cut = (0..good.len()).map(|n| good[..n].to_vec());
        let beyond = vec![1, 0xff, 0xff, 0xff, 0xff];
        for bytes in cut.chain([beyond, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]) {
            let decided = decide(Encryption::Full, &bytes);
            // The last byte of the answer belongs to an option that does not count.
            assert!(
                decided == Err(Disagreement::NotSqlServer) || bytes.len() + 1 == good.len(),
                "{bytes:?}"
            );
        }
    }
}
