//! How the password is proved, by the methods that servers ask for, and what is not done for anybody.
//!
//! A server chooses the method. So whoever can answer in its place could ask for the password itself: in plain text, or
//! encrypted with a key of his own. Neither is sent where others can listen, unless the address allows it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mysql_common::packets::AuthPlugin;

use super::failure::Failure;
use super::payload::Payload;

const NATIVE: &[u8] = b"mysql_native_password";
const CACHING_SHA2: &[u8] = b"caching_sha2_password";
const SHA256: &[u8] = b"sha256_password";
const ED25519: &[u8] = b"client_ed25519";
const CLEAR: &[u8] = b"mysql_clear_password";
const OLD: &[u8] = b"mysql_old_password";

/// Bytes of a challenge that count, by method.
const CHALLENGE: usize = 20;
const ED25519_CHALLENGE: usize = 32;

/// How a server's key is asked for.
const ASK_FOR_KEY: u8 = 2;
const ASK_FOR_KEY_SHA256: u8 = 1;

/// What the password may be sent over.
pub(super) struct Credentials<'a> {
    pub(super) password: &'a str,
    pub(super) encrypted: bool,
    /// Encrypted, and the server's certificate verified.
    pub(super) verified: bool,
    pub(super) socket: bool,
    /// The server is this machine, or the address allows to trust any.
    pub(super) trusted: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Vec<u8>),
    Wait,
}

/// A log-in under way.
pub(super) struct Attempt {
    method: Vec<u8>,
    challenge: Vec<u8>,
    asked_for_key: bool,
}

/// Begins as the server proposes; returns the proof that goes with the name of the user.
pub(super) fn begin(
    credentials: &Credentials<'_>,
    proposed: &[u8],
    challenge: &[u8],
) -> (Attempt, Vec<u8>) {
    // Other methods than these two come by a later request.
    let method = if proposed == CACHING_SHA2 {
        CACHING_SHA2
    } else {
        NATIVE
    };
    let attempt = Attempt {
        method: method.to_vec(),
        challenge: challenge.to_vec(),
        asked_for_key: false,
    };
    let proof = attempt.proof(credentials, CHALLENGE);
    (attempt, proof)
}

impl Attempt {
    pub(super) fn method(&self) -> &[u8] {
        &self.method
    }

    /// Answers a packet that is neither the end of the log-in nor an error.
    pub(super) fn step(
        &mut self,
        credentials: &Credentials<'_>,
        packet: &[u8],
    ) -> Result<Step, Failure> {
        let mut payload = Payload::new(packet);
        match payload.byte()? {
            0xfe => {
                let method = payload.until_nul();
                self.method = if method.is_empty() { OLD } else { method }.to_vec();
                self.challenge = payload.rest().to_vec();
                self.asked_for_key = false;
                self.first_answer(credentials).map(Step::Send)
            }
            1 => self.more(credentials, payload.rest()),
            2 => Err(Failure::Method(
                "the account needs a second factor, which this program does not have".to_owned(),
            )),
            _ => Err(Failure::Protocol(
                "the server's answer to the log-in is not one",
            )),
        }
    }

    /// The answer to a change of the method.
    fn first_answer(&mut self, credentials: &Credentials<'_>) -> Result<Vec<u8>, Failure> {
        match self.method.as_slice() {
            NATIVE | CACHING_SHA2 => Ok(self.proof(credentials, CHALLENGE)),
            ED25519 => Ok(self.proof(credentials, ED25519_CHALLENGE)),
            SHA256 if credentials.password.is_empty() => Ok(vec![0]),
            SHA256 if credentials.is_private() => Ok(terminated(credentials.password)),
            SHA256 => self.ask_for_key(credentials, ASK_FOR_KEY_SHA256),
            CLEAR if credentials.verified || credentials.socket || credentials.trusted => {
                Ok(terminated(credentials.password))
            }
            CLEAR => Err(refusal(CLEAR, "the password itself")),
            other => Err(Failure::Method(format!(
                "the account logs in by {}, which this program does not know (let it use {})",
                name(other),
                "caching_sha2_password, ed25519 or mysql_native_password"
            ))),
        }
    }

    /// More data of the method that is under way.
    fn more(&mut self, credentials: &Credentials<'_>, data: &[u8]) -> Result<Step, Failure> {
        match (self.method.as_slice(), data) {
            (CACHING_SHA2, [3]) => Ok(Step::Wait),
            (CACHING_SHA2, [4]) if credentials.is_private() => {
                Ok(Step::Send(terminated(credentials.password)))
            }
            (CACHING_SHA2, [4]) => self.ask_for_key(credentials, ASK_FOR_KEY).map(Step::Send),
            (CACHING_SHA2 | SHA256, key) if self.asked_for_key => {
                self.encrypted(credentials, key).map(Step::Send)
            }
            _ => Err(Failure::Protocol(
                "the server's answer to the log-in is not one",
            )),
        }
    }

    /// Without TLS the password goes under a key that the server sends: whose it is, nobody knows.
    fn ask_for_key(&mut self, credentials: &Credentials<'_>, ask: u8) -> Result<Vec<u8>, Failure> {
        if !credentials.trusted {
            return Err(refusal(
                &self.method,
                "the password, under a key that nothing vouches for",
            ));
        }
        self.asked_for_key = true;
        Ok(vec![ask])
    }

    fn encrypted(&self, credentials: &Credentials<'_>, key: &[u8]) -> Result<Vec<u8>, Failure> {
        let challenge = self.challenge.get(..CHALLENGE).unwrap_or(&self.challenge);
        let mut password = terminated(credentials.password);
        for (byte, mask) in password.iter_mut().zip(challenge.iter().cycle()) {
            *byte ^= mask;
        }
        // The library takes any key for a valid one.
        catch_unwind(AssertUnwindSafe(|| {
            mysql_common::crypto::encrypt(&password, key)
        }))
        .map_err(|_| Failure::Protocol("the server's public key is not valid"))
    }

    /// The proof of a method that sends one; empty without a password.
    fn proof(&self, credentials: &Credentials<'_>, challenge: usize) -> Vec<u8> {
        let challenge = self.challenge.get(..challenge).unwrap_or(&self.challenge);
        AuthPlugin::from_bytes(&self.method)
            .gen_data(Some(credentials.password), challenge)
            .map(|proof| proof.to_vec())
            .unwrap_or_default()
    }
}

impl Credentials<'_> {
    /// Whether nobody on the way can read what is sent, as far as the address asks for that.
    fn is_private(&self) -> bool {
        self.encrypted || self.socket
    }
}

fn terminated(password: &str) -> Vec<u8> {
    let mut bytes = password.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn refusal(method: &[u8], what: &str) -> Failure {
    Failure::Method(format!(
        "the server asks for {what} ({}), which anybody on the way could read: not sent (use ssl-mode=VERIFY_IDENTITY \
         in --url, or allow it there with allow-unverified-password=true)",
        name(method)
    ))
}

/// A method's name as far as it is one.
fn name(method: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(method)
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(64)
        .collect();
    if text.is_empty() {
        "a method without a name".to_owned()
    } else {
        text
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

    const NONCE: &[u8] = b"abcdefghijklmnopqrst";

    fn credentials(encrypted: bool, verified: bool, trusted: bool) -> Credentials<'static> {
        Credentials {
            password: "secret",
            encrypted,
            verified,
            socket: false,
            trusted,
        }
    }

    fn switch(method: &[u8]) -> Vec<u8> {
        [b"\xfe", method, b"\0", NONCE, b"\0"].concat()
    }

    fn step(credentials: &Credentials<'_>, packets: &[&[u8]]) -> Result<Step, Failure> {
        let (mut attempt, proof) = begin(credentials, CACHING_SHA2, NONCE);
        assert_eq!(proof.len(), 32);
        let mut last = Ok(Step::Wait);
        for packet in packets {
            last = attempt.step(credentials, packet);
            if let Ok(Step::Send(sent)) = &last
                && !credentials.encrypted
                && !credentials.trusted
            {
                assert!(!sent.windows(6).any(|part| part == b"secret"));
            }
        }
        last
    }

    /// Which method may send what over which connection: the table in the README.
    #[test]
    fn the_password_is_sent_to_nobody_who_could_be_anybody() {
        let plain = credentials(false, false, false);
        let local = credentials(false, false, true);
        let tls = credentials(true, false, false);
        let verified = credentials(true, true, false);
        let refused = |outcome: Result<Step, Failure>| match outcome {
            Err(Failure::Method(text)) => text,
            other => panic!("{other:?}"),
        };
        let secret = Ok(Step::Send(b"secret\0".to_vec()));
        let same = |a: Result<Step, Failure>, b: &Result<Step, Failure>| match (a, b) {
            (Ok(a), Ok(b)) => assert_eq!(&a, b),
            other => panic!("{other:?}"),
        };

        for packets in [
            vec![&b"\x01\x04"[..]],
            vec![&switch(CACHING_SHA2)[..], b"\x01\x04"],
            vec![&switch(SHA256)[..]],
        ] {
            let text = refused(step(&plain, &packets));
            assert!(
                text.contains("allow-unverified-password=true") && text.contains("VERIFY_IDENTITY"),
                "{text}"
            );
            same(step(&tls, &packets), &secret);
            let key = if packets[0].ends_with(b"\x04") || packets.len() == 2 {
                ASK_FOR_KEY
            } else {
                ASK_FOR_KEY_SHA256
            };
            same(step(&local, &packets), &Ok(Step::Send(vec![key])));
        }
        for credentials in [&plain, &tls] {
            refused(step(credentials, &[&switch(CLEAR)]));
        }
        for credentials in [&local, &verified] {
            same(step(credentials, &[&switch(CLEAR)]), &secret);
        }
        for method in [
            OLD,
            b"parsec",
            b"auth_gssapi_client",
            b"dialog",
            b"a\x1b[2J",
        ] {
            for credentials in [&plain, &local, &verified] {
                let text = refused(step(credentials, &[&switch(method)]));
                assert!(
                    text.contains("does not know") && !text.contains('\x1b'),
                    "{text}"
                );
            }
        }
        refused(step(&local, &[b"\xfe"]));
    }

    #[test]
    fn challenges_are_answered_over_any_connection() {
        let plain = credentials(false, false, false);
        for (method, length) in [(NATIVE, 20), (CACHING_SHA2, 32), (ED25519, 64)] {
            match step(&plain, &[&switch(method)]) {
                Ok(Step::Send(proof)) => assert_eq!(proof.len(), length),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_key_that_is_none_is_an_error() {
        let local = credentials(false, false, true);
        let outcome = step(&local, &[b"\x01\x04", b"\x01-----BEGIN NONSENSE-----"]);
        assert!(matches!(outcome, Err(Failure::Protocol(_))), "{outcome:?}");
        assert!(step(&local, &[b"\x01-----BEGIN PUBLIC KEY-----"]).is_err());
    }
}
