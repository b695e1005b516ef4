//! What answers at an address where a database was expected, by the first bytes that it sends.

/// Bytes that are enough to tell.
pub(crate) const MAX_GREETING: usize = 16;

/// What a server is that speaks PostgreSQL's protocol.
pub(crate) const POSTGRES: &str = "a PostgreSQL server";

/// The kind of server, for a message such as `it seems to be a web server (HTTP)`; `None` where the bytes tell nothing.
pub(crate) fn kind_of(greeting: &[u8]) -> Option<&'static str> {
    match greeting {
        [b'H', b'T', b'T', b'P', b'/', ..] => Some("a web server (HTTP)"),
        [b'S', b'S', b'H', b'-', ..] => Some("an SSH server"),
        // ErrorResponse, with a length of less than 64 KB.
        [b'E', 0, 0, _, _, b'S', ..] => Some(POSTGRES),
        // A packet of less than 64 KB with the number 0: protocol version 10, or an error.
        [_, _, 0, 0, 0x0a | 0xff, ..] => Some("a MySQL or MariaDB server"),
        // AuthenticationRequest.
        [b'R', 0, 0, 0, ..] => Some(POSTGRES),
        // A TDS packet that ends the server's answer, or an alert or message of TLS.
        [0x04, 0x01, ..] => Some("an SQL Server"),
        [0x15 | 0x16, 0x03, ..] => Some("a server that encrypts from the first byte on"),
        [b'2', b'2', b'0', b' ' | b'-', ..] => Some("a mail or file server"),
        [b'-', b'E', b'R', b'R', ..] => Some("a Redis server"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_first_bytes() {
        for (greeting, kind) in [
            (
                &b"HTTP/1.1 400 Bad Request"[..],
                Some("a web server (HTTP)"),
            ),
            (b"SSH-2.0-OpenSSH_9.2", Some("an SSH server")),
            (
                b"\x5b\0\0\0\x0a5.5.5-10.11.6-MariaDB",
                Some("a MySQL or MariaDB server"),
            ),
            (
                b"\x45\0\0\0\xff\x6a\x04Host is blocked",
                Some("a MySQL or MariaDB server"),
            ),
            (b"E\0\0\0\x2fSFATAL\0", Some(POSTGRES)),
            (b"R\0\0\0\x08\0\0\0\x03", Some(POSTGRES)),
            (b"R\0\0\0\x17\0\0\0\x0aSCRAM", Some(POSTGRES)),
            (b"R\0\0\0\x0a8.0.36", Some("a MySQL or MariaDB server")),
            (b"\x04\x01\0\x2b\0\0\x01\0", Some("an SQL Server")),
            (
                b"\x15\x03\x03\0\x02\x02\x28",
                Some("a server that encrypts from the first byte on"),
            ),
            (b"220 mail.example ESMTP", Some("a mail or file server")),
            (b"-ERR unknown command", Some("a Redis server")),
            (b"hello", None),
            (b"", None),
        ] {
            assert_eq!(kind_of(greeting), kind, "{greeting:?}");
        }
    }
}
