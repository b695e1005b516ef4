//! A client of MySQL's protocol: log-in, statements as text, rows as text, bulk loading.
//!
//! Our own, as the drivers there are limit neither the time nor the bytes of a log-in, panic on broken packets, and leave
//! it to the server in which form the password is sent. All that this program needs of one is here.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::auth::{self, Credentials, Step};
use super::failure::Failure;
use super::payload::{self, Answer, Done, Payload};
use super::wire::{MAX_SHORT_ANSWER, Patience, Wire};
use crate::destination::sql::MAX_VALUES;

/// Bytes of one packet of [`Client::load`], as MySQL's own clients send them.
const LOAD_PACKET: usize = 16 * 1024;

/// Packets of one log-in.
const MAX_LOGIN_STEPS: usize = 10;

/// A row: `None` is NULL.
pub(super) type TextRow = Vec<Option<String>>;

// Capabilities.
const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const LOCAL_FILES: u32 = 1 << 7;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

/// `utf8mb4_general_ci`: every server since 2010 knows it.
const UTF8MB4: u8 = 45;

/// In the status: a backslash in a literal is one.
const NO_BACKSLASH_ESCAPES: u16 = 1 << 9;

/// In the status: another answer follows.
const MORE_RESULTS: u16 = 1 << 3;

// Commands.
const QUIT: u8 = 1;
const QUERY: u8 = 3;

/// As whom to log in.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) database: &'a str,
    /// To encrypt with.
    pub(super) tls: Option<Tls>,
    /// Whether the server is this machine, or the address allows to trust any.
    pub(super) trusted: bool,
}

/// How to encrypt.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server: ServerName<'static>,
    /// Whether the server's certificate is verified.
    pub(super) verifies: bool,
    /// Whether to go away rather than go on without.
    pub(super) needed: bool,
}

/// What an answer may be at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// A connection that is logged in.
pub(super) struct Client {
    wire: Wire,
    status: u16,
    usable: bool,
}

impl Client {
    /// Logs in over a fresh connection.
    pub(super) fn log_in(mut wire: Wire, login: &Login<'_>) -> Result<Self, Failure> {
        let packet = wire.receive()?;
        let greeting = payload::greeting(&packet)?;
        let needed = PROTOCOL_41 | SECURE_CONNECTION;
        if greeting.capabilities & needed != needed {
            return Err(Failure::Protocol(
                "the server is older than MySQL 4.1, or speaks another protocol",
            ));
        }
        let mut capabilities = greeting.capabilities
            & (LONG_PASSWORD
                | LONG_FLAG
                | LOCAL_FILES
                | PROTOCOL_41
                | TRANSACTIONS
                | SECURE_CONNECTION
                | PLUGIN_AUTH);
        if !login.database.is_empty() {
            capabilities |= CONNECT_WITH_DB;
        }
        let has_tls = greeting.capabilities & SSL != 0;
        if let Some(tls) = login.tls.as_ref().filter(|tls| tls.needed || has_tls) {
            if !has_tls {
                return Err(Failure::NoTls);
            }
            capabilities |= SSL;
            wire.send(&opening(capabilities))?;
            wire.encrypt(Arc::clone(&tls.config), tls.server.clone())?;
        }
        let credentials = Credentials {
            password: login.password,
            encrypted: wire.is_encrypted(),
            verified: login.tls.as_ref().is_some_and(|tls| tls.verifies) && wire.is_encrypted(),
            socket: wire.is_unix(),
            trusted: login.trusted,
        };
        let (mut attempt, proof) = auth::begin(&credentials, greeting.method, &greeting.nonce);
        let mut response = opening(capabilities);
        for text in [login.user, login.database] {
            if text.contains('\0') {
                return Err(Failure::Protocol("names hold no NUL character"));
            }
        }
        response.extend_from_slice(login.user.as_bytes());
        response.push(0);
        response.push(u8::try_from(proof.len()).unwrap_or(0));
        response.extend_from_slice(&proof);
        if capabilities & CONNECT_WITH_DB != 0 {
            response.extend_from_slice(login.database.as_bytes());
            response.push(0);
        }
        if capabilities & PLUGIN_AUTH != 0 {
            response.extend_from_slice(attempt.method());
            response.push(0);
        }
        wire.send(&response)?;
        for _ in 0..MAX_LOGIN_STEPS {
            let packet = wire.receive()?;
            match packet.first() {
                Some(0) => {
                    return match payload::answer(&packet)? {
                        Answer::Done(done) => Ok(Client {
                            wire,
                            status: done.status,
                            usable: true,
                        }),
                        _ => Err(UNEXPECTED),
                    };
                }
                Some(0xff) => return Err(Failure::Server(payload::error(&packet))),
                _ => match attempt.step(&credentials, &packet)? {
                    Step::Send(answer) => wire.send(&answer)?,
                    Step::Wait => {}
                },
            }
        }
        Err(UNEXPECTED)
    }

    /// How long the server may take from now on.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.wire.set_patience(patience);
    }

    /// Whether the session's sql_mode makes a backslash one in literals.
    pub(super) fn no_backslash_escapes(&self) -> bool {
        self.status & NO_BACKSLASH_ESCAPES != 0
    }

    /// The cipher; `None` if the connection is not encrypted.
    pub(super) fn cipher(&self) -> Option<&'static str> {
        self.wire.cipher()
    }

    /// Runs a statement that returns no rows, or whose rows don't matter.
    pub(super) fn run(&mut self, sql: &str) -> Result<Done, Failure> {
        let few = Expected {
            rows: 1,
            bytes: MAX_SHORT_ANSWER,
        };
        self.exchange(|client| client.query(sql, few).map(|(done, _)| done))
    }

    /// The rows of a statement, as text.
    pub(super) fn rows(&mut self, sql: &str, expected: Expected) -> Result<Vec<TextRow>, Failure> {
        self.exchange(|client| client.query(sql, expected).map(|(_, rows)| rows))
    }

    /// Runs `LOAD DATA LOCAL` with these lines. No file is read, whatever the server asks for.
    pub(super) fn load(
        &mut self,
        sql: &str,
        lines: impl Iterator<Item = String>,
    ) -> Result<Done, Failure> {
        self.exchange(|client| {
            client.begin(sql, MAX_SHORT_ANSWER)?;
            match payload::answer(&client.wire.receive()?)? {
                Answer::File => {}
                Answer::Done(done) => return Ok(done),
                Answer::Columns(_) => return Err(UNEXPECTED),
            }
            for lines in lines {
                client.wire.send_pieces(lines.as_bytes(), LOAD_PACKET)?;
            }
            client.wire.send(&[])?;
            match payload::answer(&client.wire.receive()?)? {
                Answer::Done(done) => Ok(done),
                _ => Err(UNEXPECTED),
            }
        })
    }

    /// A connection on which anything but a refusal came is not used again.
    fn exchange<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if !self.usable {
            return Err(Failure::Io(std::io::ErrorKind::NotConnected.into()));
        }
        let outcome = work(self);
        if matches!(&outcome, Err(e) if !matches!(e, Failure::Server(_))) {
            self.usable = false;
            self.wire.close();
        }
        outcome
    }

    fn begin(&mut self, sql: &str, budget: usize) -> Result<(), Failure> {
        let mut command = Vec::with_capacity(sql.len() + 1);
        command.push(QUERY);
        command.extend_from_slice(sql.as_bytes());
        self.wire.begin(budget);
        self.wire.send(&command)
    }

    fn query(&mut self, sql: &str, expected: Expected) -> Result<(Done, Vec<TextRow>), Failure> {
        self.begin(sql, expected.bytes.saturating_add(MAX_SHORT_ANSWER))?;
        let columns = match payload::answer(&self.wire.receive()?)? {
            Answer::Done(done) => return self.done(done).map(|done| (done, Vec::new())),
            Answer::Columns(columns) => columns,
            Answer::File => return Err(Failure::Protocol("the server asks for a file")),
        };
        for _ in 0..columns {
            self.wire.receive()?;
        }
        payload::end(&self.wire.receive()?)?.ok_or(UNEXPECTED)?;
        let (mut rows, mut values) = (Vec::new(), 0_u64);
        loop {
            let packet = self.wire.receive()?;
            if let Some(done) = payload::end(&packet)? {
                return self.done(done).map(|done| (done, rows));
            }
            if rows.len() >= expected.rows {
                return Err(Failure::Protocol(
                    "the server returns more rows than were asked for",
                ));
            }
            values = values.saturating_add(columns);
            if usize::try_from(values).map_or(true, |values| values > MAX_VALUES) {
                return Err(Failure::Protocol(
                    "the server returns more values than were asked for",
                ));
            }
            let mut row = Payload::new(&packet);
            rows.push(
                (0..columns)
                    .map(|_| {
                        let value = row.value()?;
                        Ok(value.map(text))
                    })
                    .collect::<Result<_, Failure>>()?,
            );
        }
    }

    fn done(&mut self, done: Done) -> Result<Done, Failure> {
        self.status = done.status;
        if done.status & MORE_RESULTS != 0 {
            return Err(UNEXPECTED);
        }
        Ok(done)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.usable {
            self.wire.begin(0);
            self.wire
                .set_patience(Patience::Each(std::time::Duration::from_secs(1)));
            // The server notices without it, too, but counts an aborted connection.
            let _ = self.wire.send(&[QUIT]);
        }
    }
}

const UNEXPECTED: Failure = Failure::Protocol("the server's answer is not one to what was asked");

/// A value as text. What is not UTF-8 in it becomes no longer than it was.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    text
}

/// What the requests for TLS and for a log-in begin with.
fn opening(capabilities: u32) -> Vec<u8> {
    let mut opening = capabilities.to_le_bytes().to_vec();
    opening.extend_from_slice(&(1u32 << 24).to_le_bytes());
    opening.push(UTF8MB4);
    opening.extend_from_slice(&[0; 23]);
    opening
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn text_is_never_longer_than_what_was_sent() {
        assert_eq!(text("Größe 😀".as_bytes()), "Größe 😀");
        assert_eq!(text(b"a\xffb\xf0\x9f\x98c\xc3"), "a?b?c?");
        assert_eq!(text(&[0xff; 1000]), "?".repeat(1000));
    }
}
