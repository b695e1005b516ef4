//! What is inside of a packet: integers and strings of MySQL's protocol. No I/O.

use super::failure::Failure;

/// Columns of one answer: no table has more.
const MAX_COLUMNS: u64 = 4096;

/// Reads a payload from its beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a>(&'a [u8]);

/// The first packet of a server.
#[derive(Debug)]
pub(super) struct Greeting<'a> {
    pub(super) capabilities: u32,
    pub(super) nonce: Vec<u8>,
    /// How it proposes to log in.
    pub(super) method: &'a [u8],
}

/// The refusal of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) code: u16,
    /// SQLSTATE
    pub(super) state: String,
    pub(super) message: String,
}

/// What a command that returns no rows did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) affected: u64,
    pub(super) status: u16,
    pub(super) warnings: u16,
}

/// The first packet of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    Done(Done),
    /// Rows of this many columns follow.
    Columns(u64),
    /// The server wants the contents of a file.
    File,
}

const TRUNCATED: Failure = Failure::Protocol("a packet of the server ends too early");

impl<'a> Payload<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Payload(bytes)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let (found, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(found)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Failure> {
        self.bytes(1)?.first().copied().ok_or(TRUNCATED)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Up to a NUL, which is left out, or the end.
    pub(super) fn until_nul(&mut self) -> &'a [u8] {
        let mut parts = self.0.splitn(2, |byte| *byte == 0);
        let found = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        found
    }

    /// An integer of this many bytes, at most 8, the lowest first.
    fn integer(&mut self, length: usize) -> Result<u64, Failure> {
        let bytes = self.bytes(length)?.iter().rev();
        Ok(bytes.fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn u16(&mut self) -> Result<u16, Failure> {
        u16::try_from(self.integer(2)?).map_err(|_| TRUNCATED)
    }

    /// An integer whose first byte says how long it is.
    fn counted(&mut self) -> Result<u64, Failure> {
        match self.byte()? {
            0xfc => self.integer(2),
            0xfd => self.integer(3),
            0xfe => self.integer(8),
            small @ 0..=0xfa => Ok(small.into()),
            0xfb | 0xff => Err(Failure::Protocol("a length of the server is not a number")),
        }
    }

    /// A value of a row; `None` is NULL.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, Failure> {
        if self.0.first() == Some(&0xfb) {
            self.0 = self.0.get(1..).unwrap_or_default();
            return Ok(None);
        }
        let length = usize::try_from(self.counted()?).map_err(|_| TRUNCATED)?;
        self.bytes(length).map(Some)
    }
}

/// Reads the first packet of a server.
pub(super) fn greeting(packet: &[u8]) -> Result<Greeting<'_>, Failure> {
    let mut payload = Payload::new(packet);
    match payload.byte()? {
        10 => {}
        0xff => return Err(Failure::Server(error(packet))),
        _ => return Err(Failure::Protocol("it is not a MySQL server that answers")),
    }
    payload.until_nul();
    payload.bytes(4)?;
    let mut nonce = payload.bytes(8)?.to_vec();
    payload.byte()?;
    let low = payload.integer(2)?;
    // Servers of before 2010 end here, or soon.
    let mut capabilities = low;
    let mut method: &[u8] = b"";
    if payload.bytes(3).is_ok() {
        capabilities |= payload.integer(2)? << 16;
        let length = usize::from(payload.byte()?);
        payload.bytes(10)?;
        let second = payload.bytes(length.saturating_sub(8).max(13))?;
        nonce.extend_from_slice(second.strip_suffix(b"\0").unwrap_or(second));
        method = payload.until_nul();
    }
    Ok(Greeting {
        capabilities: u32::try_from(capabilities).unwrap_or_default(),
        nonce,
        method,
    })
}

/// Reads an error packet, or what is to be one.
pub(super) fn error(packet: &[u8]) -> ServerError {
    let mut payload = Payload::new(packet);
    let code = payload.byte().and_then(|_| payload.u16()).unwrap_or(0);
    let mut state = String::new();
    let marked = payload;
    if payload.byte().is_ok_and(|byte| byte == b'#') {
        let bytes = payload.bytes(5).unwrap_or_default();
        state = String::from_utf8_lossy(bytes).into_owned();
    } else {
        // While a log-in has not begun, there is no SQLSTATE.
        payload = marked;
    }
    ServerError {
        code,
        state,
        message: String::from_utf8_lossy(payload.rest()).into_owned(),
    }
}

/// Reads the first packet of an answer to a command.
pub(super) fn answer(packet: &[u8]) -> Result<Answer, Failure> {
    let mut payload = Payload::new(packet);
    match packet.first() {
        Some(0) => done(packet).map(Answer::Done),
        Some(0xff) => Err(Failure::Server(error(packet))),
        Some(0xfb) => Ok(Answer::File),
        _ => match payload.counted()? {
            columns @ 1..=MAX_COLUMNS => Ok(Answer::Columns(columns)),
            _ => Err(Failure::Protocol("more columns than any table has")),
        },
    }
}

fn done(packet: &[u8]) -> Result<Done, Failure> {
    let mut payload = Payload::new(packet);
    payload.byte()?;
    let affected = payload.counted()?;
    payload.counted()?;
    Ok(Done {
        affected,
        status: payload.u16()?,
        warnings: payload.u16()?,
    })
}

/// The end of rows or of descriptions of columns; `None` if it is something else.
pub(super) fn end(packet: &[u8]) -> Result<Option<Done>, Failure> {
    let mut payload = Payload::new(packet);
    match packet.first() {
        Some(0xff) => Err(Failure::Server(error(packet))),
        // A value of eight or more bytes begins likewise.
        Some(0xfe) if packet.len() < 9 => {
            payload.byte()?;
            let warnings = payload.u16()?;
            Ok(Some(Done {
                affected: 0,
                status: payload.u16()?,
                warnings,
            }))
        }
        _ => Ok(None),
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

    const GREETING: &[u8] = b"\x0a5.5.5-10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0\xfe\xff\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0";

    #[test]
    fn a_greeting_is_read_as_a_whole_and_nothing_less() {
        let whole = greeting(GREETING).unwrap();
        assert_eq!(whole.nonce, b"abcdefghijklmnopqrst");
        assert_eq!(whole.method, b"mysql_native_password");
        assert_eq!(whole.capabilities, 0x81ff_fffe);
        for length in 0..GREETING.len() {
            // No panic, whatever is missing; the name of the method may be cut.
            let _ = greeting(&GREETING[..length]);
        }
        assert!(matches!(
            greeting(b"HTTP/1.1 400 Bad Request"),
            Err(Failure::Protocol(_))
        ));
    }

    #[test]
    fn errors_come_with_and_without_state() {
        for (packet, state) in [
            (&b"\xff\x15\x04#28000no entry"[..], "28000"),
            (b"\xff\x15\x04no entry", ""),
        ] {
            assert_eq!(
                error(packet),
                ServerError {
                    code: 1045,
                    state: state.to_owned(),
                    message: "no entry".to_owned()
                }
            );
        }
        assert_eq!(error(b"\xff").code, 0);
        assert_eq!(error(b"\xff\x15\x04#28").message, "28");
    }

    #[test]
    fn answers_that_no_server_gives_are_refused() {
        assert!(matches!(answer(b"\x03"), Ok(Answer::Columns(3))));
        assert!(matches!(
            answer(b"\0\x02\0\x02\0\x05\0"),
            Ok(Answer::Done(Done {
                affected: 2,
                status: 2,
                warnings: 5
            }))
        ));
        for packet in [
            &b""[..],
            b"\0",
            b"\0\xfe\x01",
            b"\xfc\xff\xff",
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(
                matches!(answer(packet), Err(Failure::Protocol(_))),
                "{packet:?}"
            );
        }
        let mut row = Payload::new(b"\x03abc\xfb\xfd\xff\xff\xff");
        assert_eq!(row.value().unwrap(), Some(&b"abc"[..]));
        assert_eq!(row.value().unwrap(), None);
        assert!(row.value().is_err());
    }
}
