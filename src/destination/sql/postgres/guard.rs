//! A look at each message of the server before the driver sees it: what it asks for to log in, and how much it sends.
//!
//! The driver sends a password to whoever asks for it, makes room for a message of any announced length, and keeps all
//! rows of an answer in memory. Whoever can answer in the server's place is held to what is needed here.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::destination::sql::peer::{self, MAX_GREETING};
use crate::destination::sql::url::AuthMethods;

/// What an answer may have in bytes and in messages; the largest that we ask for have a tenth of that.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
const MAX_ANSWER_MESSAGES: u64 = 100_000;

/// Notifications that a connection may get, none of which we asked for; the driver keeps them for ever.
const MAX_NOTIFICATIONS: u32 = 1000;
const MAX_NOTIFICATION_BYTES: u64 = 8 * 1024 * 1024;

/// Settings that a server may report, of which the driver keeps each one's last value: there are about twenty.
const MAX_PARAMETERS: usize = 200;
const MAX_PARAMETER_BYTES: u64 = 64 * 1024;

/// What was seen of the server before it could be asked anything. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    backend: Arc<AtomicI32>,
    encrypted: Arc<AtomicBool>,
}

impl Seen {
    /// The number of the server process as it was announced to us; a pooler announces one of its own.
    pub(super) fn backend(&self) -> i32 {
        self.backend.load(Ordering::Relaxed)
    }

    /// Whether our end of the connection is encrypted.
    pub(super) fn encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Relaxed)
    }

    pub(super) fn set_encrypted(&self, encrypted: bool) {
        self.encrypted.store(encrypted, Ordering::Relaxed);
    }
}

/// Why a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// The server asks to log in by a method that is not allowed: in words, and as `require_auth` names it.
    Method(&'static str, &'static str),
    /// It does not speak PostgreSQL's protocol; what it seems to be.
    OtherProtocol(Option<&'static str>),
    /// An answer is larger than anything that we ask for.
    TooLarge,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Method(asked, option) => write!(
                f,
                "the server asks for {asked}, which is not allowed on this connection (use sslmode=verify-full, or allow it with \
                 require_auth={option} in --url)"
            ),
            Breach::OtherProtocol(None) => {
                f.write_str("it answers, but not as a PostgreSQL server does (check host and port)")
            }
            Breach::OtherProtocol(Some(kind)) => {
                write!(f, "it seems to be {kind} (check host and port)")
            }
            Breach::TooLarge => write!(
                f,
                "an answer of more than {MAX_ANSWER_BYTES} bytes or {MAX_ANSWER_MESSAGES} messages, or notices without end, larger than anything that was asked for"
            ),
        }
    }
}

impl Error for Breach {}

impl From<Breach> for io::Error {
    fn from(breach: Breach) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, breach)
    }
}

/// Reads along.
#[derive(Debug)]
pub(super) struct Guard {
    methods: AuthMethods,
    seen: Seen,
    /// Type and length of the message that comes, as far as they are known.
    header: [u8; 5],
    header_length: usize,
    /// The first bytes of its body.
    beginning: [u8; 4],
    beginning_length: usize,
    body_left: u64,
    /// Of the answer so far.
    bytes: u64,
    messages: u64,
    notifications: u32,
    notification_bytes: u64,
    /// The name in the report of a setting, as far as it has come, and all of them.
    parameter: Vec<u8>,
    parameters: HashSet<Vec<u8>>,
    /// The server said that it is ready: the log-in is over.
    ready: bool,
    /// The server asked to log in by some method.
    asked: bool,
    breach: Option<Breach>,
}

impl Guard {
    pub(super) fn new(methods: AuthMethods, seen: Seen) -> Self {
        Guard {
            methods,
            seen,
            header: [0; 5],
            header_length: 0,
            beginning: [0; 4],
            beginning_length: 0,
            body_left: 0,
            bytes: 0,
            messages: 0,
            notifications: 0,
            notification_bytes: 0,
            parameter: Vec::new(),
            parameters: HashSet::new(),
            ready: false,
            asked: false,
            breach: None,
        }
    }

    /// Looks at the next bytes of the server. After an error all calls fail.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        let seen = match self.breach {
            Some(breach) => Err(breach),
            None => self.read(bytes),
        };
        self.breach = seen.err();
        seen
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Breach> {
        if !self.ready && self.messages == 0 && self.header_length == 0 {
            let greeting = bytes.get(..MAX_GREETING).unwrap_or(bytes);
            let kind = peer::kind_of(greeting).filter(|kind| *kind != peer::POSTGRES);
            if kind.is_some() {
                return Err(Breach::OtherProtocol(kind));
            }
        }
        while let Some((&first, rest)) = bytes.split_first() {
            if self.body_left == 0 {
                if let Some(place) = self.header.get_mut(self.header_length) {
                    *place = first;
                }
                self.header_length += 1;
                bytes = rest;
                if self.header_length == self.header.len() {
                    self.begin()?;
                }
                continue;
            }
            let length =
                usize::try_from(self.body_left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (body, rest) = bytes.split_at(length);
            for byte in body {
                let Some(place) = self.beginning.get_mut(self.beginning_length) else {
                    break;
                };
                *place = *byte;
                self.beginning_length += 1;
            }
            if self.header.starts_with(b"S") {
                self.name_parameter(body);
            }
            self.body_left -= u64::try_from(length).unwrap_or(self.body_left);
            bytes = rest;
            if self.body_left == 0 {
                self.end()?;
            }
        }
        Ok(())
    }

    /// Type and length of a message are known.
    fn begin(&mut self) -> Result<(), Breach> {
        let [tag, length @ ..] = self.header;
        // The length counts itself.
        let body = u32::from_be_bytes(length).checked_sub(4);
        let known = if self.ready {
            tag.is_ascii_alphanumeric()
        } else {
            b"RSKNEZv".contains(&tag)
        };
        let Some(body) = body.filter(|_| known) else {
            return Err(Breach::OtherProtocol(None));
        };
        self.body_left = u64::from(body);
        self.beginning_length = 0;
        self.messages += 1;
        self.bytes = (self.bytes).saturating_add(self.body_left + 5);
        if tag == b'A' {
            self.notifications += 1;
            self.notification_bytes += self.body_left;
        }
        if self.bytes > MAX_ANSWER_BYTES
            || self.messages > MAX_ANSWER_MESSAGES
            || self.notifications > MAX_NOTIFICATIONS
            || self.notification_bytes > MAX_NOTIFICATION_BYTES
            || (tag == b'S' && self.body_left > MAX_PARAMETER_BYTES)
        {
            return Err(Breach::TooLarge);
        }
        if body == 0 {
            self.end()?;
        }
        Ok(())
    }

    /// A message is complete.
    fn end(&mut self) -> Result<(), Breach> {
        self.header_length = 0;
        let [tag, ..] = self.header;
        match tag {
            b'Z' => {
                self.ready = true;
                (self.bytes, self.messages) = (0, 0);
            }
            b'K' if !self.ready => {
                let backend = i32::from_be_bytes(self.beginning);
                self.seen.backend.store(backend, Ordering::Relaxed);
            }
            b'R' => self.log_in(u32::from_be_bytes(self.beginning))?,
            b'S' => {
                let name = std::mem::take(&mut self.parameter);
                self.parameters.insert(name);
                if self.parameters.len() > MAX_PARAMETERS {
                    return Err(Breach::TooLarge);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes what belongs to the name of a reported setting, which ends with a NUL.
    fn name_parameter(&mut self, body: &[u8]) {
        if self.parameter.last() != Some(&0) {
            let name = body.split_inclusive(|byte| *byte == 0).next();
            self.parameter.extend_from_slice(name.unwrap_or_default());
        }
    }

    /// The server asks to log in (PostgreSQL's documentation, Message Formats: Authentication…), or is content.
    fn log_in(&mut self, code: u32) -> Result<(), Breach> {
        let methods = self.methods;
        let refused = match code {
            0 if !self.asked && !methods.none => Some(("no password at all", "none")),
            3 if !methods.password => Some(("the password in clear text", "password")),
            5 if !methods.md5 => Some(("the password as an MD5 sum", "md5")),
            10 if !methods.scram => Some(("a SCRAM exchange", "scram-sha-256")),
            _ => None,
        };
        self.asked = true;
        refused.map_or(Ok(()), |(asked, option)| Err(Breach::Method(asked, option)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ALL: AuthMethods = AuthMethods {
        none: true,
        password: true,
        md5: true,
        scram: true,
    };

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    fn ready() -> Guard {
        let mut guard = Guard::new(ALL, Seen::default());
        guard.look(&message(b'R', &[0; 4])).unwrap();
        guard.look(&message(b'Z', b"I")).unwrap();
        guard
    }

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let seen = Seen::default();
        let mut whole = message(b'R', &[0, 0, 0, 0]);
        whole.extend(message(b'S', b"server_version\09.5\0"));
        whole.extend(message(b'K', &[0, 0, 0x30, 0x39, 1, 2, 3, 4]));
        whole.extend(message(b'Z', b"I"));
        whole.extend(message(b'n', b""));
        whole.extend(message(b'C', b"SELECT 1\0"));
        for size in [1, 2, 3, 7, whole.len()] {
            let mut guard = Guard::new(ALL, seen.clone());
            for part in whole.chunks(size) {
                assert_eq!(guard.look(part), Ok(()), "{size}");
            }
            assert_eq!(seen.backend(), 12_345);
            seen.backend.store(0, Ordering::Relaxed);
        }
    }

    /// An answer to a query may begin as a greeting of another server does.
    #[test]
    fn only_the_first_bytes_of_a_connection_are_a_greeting() {
        let mut guard = ready();
        let parameter = message(b'C', b"SET\0\0\0");
        assert_eq!(parameter.get(4), Some(&0x0a));
        assert_eq!(guard.look(&parameter), Ok(()));
    }

    #[test]
    fn only_allowed_methods_log_in() {
        let none = AuthMethods {
            none: false,
            password: false,
            md5: false,
            scram: false,
        };
        for (code, allowed, what) in [
            (0, AuthMethods { none: true, ..none }, "no password"),
            (
                3,
                AuthMethods {
                    password: true,
                    ..none
                },
                "clear text",
            ),
            (5, AuthMethods { md5: true, ..none }, "MD5"),
            (
                10,
                AuthMethods {
                    scram: true,
                    ..none
                },
                "SCRAM",
            ),
        ] {
            let body = [0, 0, 0, code, 1, 2, 3, 4];
            let mut guard = Guard::new(none, Seen::default());
            let breach = guard.look(&message(b'R', &body)).unwrap_err();
            assert!(breach.to_string().contains(what), "{breach}");
            // It does not go on.
            assert_eq!(guard.look(b""), Err(breach));
            let mut guard = Guard::new(allowed, Seen::default());
            guard.look(&message(b'R', &body)).unwrap();
            // What follows on the proof is no log-in without one.
            guard.look(&message(b'R', &[0; 4])).unwrap();
        }
    }

    #[test]
    fn a_message_that_announces_one_byte_too_many_is_refused_before_it_is_there() {
        let most = u32::try_from(MAX_ANSWER_BYTES).unwrap();
        let announce = |length: u32| {
            let header = [&[b'D'][..], &(length - 1).to_be_bytes()].concat();
            ready().look(&header)
        };
        assert_eq!(announce(most), Ok(()));
        assert_eq!(announce(most + 1), Err(Breach::TooLarge));
        assert_eq!(announce(u32::MAX), Err(Breach::TooLarge));
    }

    #[test]
    fn an_answer_of_many_small_messages_ends_as_well_and_the_next_one_begins_again() {
        let mut guard = ready();
        let row = message(b'D', b"\0\0");
        for _ in 0..2 {
            for _ in 1..MAX_ANSWER_MESSAGES {
                guard.look(&row).unwrap();
            }
            guard.look(&message(b'Z', b"I")).unwrap();
        }
        for _ in 0..MAX_ANSWER_MESSAGES {
            guard.look(&row).unwrap();
        }
        assert_eq!(guard.look(&row), Err(Breach::TooLarge));

        let mut guard = ready();
        for _ in 0..MAX_NOTIFICATIONS {
            guard.look(&message(b'A', &[0; 6])).unwrap();
            guard.look(&message(b'Z', b"I")).unwrap();
        }
        let breach = guard.look(&message(b'A', &[0; 6]));
        assert_eq!(breach, Err(Breach::TooLarge));
    }

    /// The driver keeps them for as long as the connection lasts, which may be years.
    #[test]
    fn what_the_driver_keeps_is_bounded_over_all_answers() {
        let report =
            |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
        let mut guard = ready();
        // However often a pooler reports what it sets for each transaction, and however it is cut.
        for n in 0..3 * MAX_PARAMETERS {
            for byte in report("search_path", &format!("s{n}")) {
                guard.look(&[byte]).unwrap();
            }
            guard.look(&message(b'Z', b"I")).unwrap();
        }
        for n in 1..MAX_PARAMETERS {
            guard.look(&report(&format!("n{n}"), "v")).unwrap();
            guard.look(&message(b'Z', b"I")).unwrap();
        }
        assert_eq!(guard.look(&report("one more", "v")), Err(Breach::TooLarge));

        let most = usize::try_from(MAX_PARAMETER_BYTES).unwrap();
        let value = "v".repeat(most - 3);
        assert_eq!(ready().look(&report("n", &value)), Ok(()));
        let longer = report("nn", &value);
        assert_eq!(ready().look(&longer), Err(Breach::TooLarge));

        let mut guard = ready();
        let notification = message(b'A', &vec![0; 1 << 20]);
        for _ in 0..8 {
            guard.look(&notification).unwrap();
            guard.look(&message(b'Z', b"I")).unwrap();
        }
        let breach = guard.look(&message(b'A', &[0; 1]));
        assert_eq!(breach, Err(Breach::TooLarge));
    }

    #[test]
    fn other_servers_are_named() {
        for (greeting, said) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "a web server (HTTP)"),
            (b"\x5b\0\0\0\x0a5.5.5-10.11.6-MariaDB\0", "MariaDB"),
            (
                b"welcome to this service",
                "not as a PostgreSQL server does",
            ),
            (b"R\0\0\0\x02", "not as a PostgreSQL server does"),
        ] {
            let breach = Guard::new(ALL, Seen::default()).look(greeting).unwrap_err();
            assert!(breach.to_string().contains(said), "{breach}");
        }
    }
}
