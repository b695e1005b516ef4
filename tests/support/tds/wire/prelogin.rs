//! PRELOGIN: version and encryption are agreed upon.

use std::io::{self, ErrorKind};

use super::message::{Message, PRELOGIN, header};

/// How far the server goes with encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// As the client wishes: nothing, the log-in, or all. A server as it is installed.
    Offered,
    /// Everything is encrypted ("force encryption").
    Required,
    /// The server has no TLS.
    Unsupported,
}

/// What was agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreed {
    Plain,
    LoginOnly,
    Everything,
    /// The client can't do what the server demands.
    Impossible,
}

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

/// The option ENCRYPTION of the client's PRELOGIN, and the instance that it names.
pub fn read(message: &mut Message<'_>) -> io::Result<(u8, String)> {
    let body = message.rest()?;
    let mut encryption = NOT_SUPPORTED;
    let mut instance = String::new();
    for entry in body.chunks(5) {
        let [token, o1, o2, l1, l2] = *entry else {
            break;
        };
        if token == 0xff {
            break;
        }
        let offset = usize::from(u16::from_be_bytes([o1, o2]));
        let length = usize::from(u16::from_be_bytes([l1, l2]));
        let value = body
            .get(offset..offset + length)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a PRELOGIN option outside"))?;
        match token {
            1 => encryption = value.first().copied().unwrap_or(NOT_SUPPORTED),
            2 => {
                let name: Vec<u8> = value.iter().copied().take_while(|b| *b != 0).collect();
                instance = String::from_utf8_lossy(&name).into_owned();
            }
            _ => {}
        }
    }
    Ok((encryption, instance))
}

/// The table of MS-TDS 2.2.6.5: the server's option, and what it comes to.
pub fn agree(server: Encryption, client: u8) -> (u8, Agreed) {
    match (server, client) {
        (Encryption::Unsupported, _) => (NOT_SUPPORTED, Agreed::Plain),
        (Encryption::Offered, OFF) => (OFF, Agreed::LoginOnly),
        (Encryption::Offered, NOT_SUPPORTED) => (NOT_SUPPORTED, Agreed::Plain),
        (Encryption::Offered, _) => (ON, Agreed::Everything),
        (Encryption::Required, NOT_SUPPORTED) => (REQUIRED, Agreed::Impossible),
        (Encryption::Required, OFF) => (REQUIRED, Agreed::Everything),
        (Encryption::Required, _) => (ON, Agreed::Everything),
    }
}

/// The server's PRELOGIN. It names no other instance than the client did: 0 for "that is me", 1 otherwise.
pub fn answer(version: [u8; 4], encryption: u8, instance_is_wrong: bool) -> Vec<u8> {
    let [major, minor, build_high, build_low] = version;
    let options: [(u8, &[u8]); 5] = [
        (0, &[major, minor, build_high, build_low, 0, 0]),
        (1, &[encryption]),
        (2, &[u8::from(instance_is_wrong)]),
        (3, &[]),
        (4, &[0]),
    ];
    let mut table = Vec::new();
    let mut values = Vec::new();
    for (token, value) in options {
        let offset = options.len() * 5 + 1 + values.len();
        table.push(token);
        table.extend_from_slice(&u16::try_from(offset).expect("small").to_be_bytes());
        table.extend_from_slice(&u16::try_from(value.len()).expect("small").to_be_bytes());
        values.extend_from_slice(value);
    }
    table.push(0xff);
    table.extend_from_slice(&values);
    // The answer is a response in a packet of its own, whatever the agreed size.
    let mut packet = header(PRELOGIN, true, table.len(), 1).to_vec();
    packet[0] = 4;
    packet.extend_from_slice(&table);
    packet
}
