//! Standard Webhooks headers (<https://www.standardwebhooks.com>): an id per version of a transaction, and a signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::digest::{digest, push_hex};

/// What keys begin with, as the specification wants it.
const PREFIX: &str = "whsec_";

/// The keys that requests are signed with, all of them each time, so that a receiver can change from one to the next.
#[derive(Clone, Default)]
pub struct Signer {
    keys: Vec<hmac::Key>,
}

impl Signer {
    /// Reads keys, separated by blanks: `whsec_` and Base64.
    ///
    /// # Errors
    /// What is wrong with the first wrong one, by its number and without its text.
    pub fn read(keys: &str) -> Result<Signer, String> {
        let keys = keys
            .split_whitespace()
            .zip(1..)
            .map(|(text, number)| {
                text.strip_prefix(PREFIX)
                    .and_then(|text| STANDARD.decode(text).ok())
                    .filter(|key| !key.is_empty())
                    .map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key))
                    .ok_or_else(|| format!("key {number} is not {PREFIX} and Base64 behind it"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Signer { keys })
    }

    /// The header `webhook-signature`: one signature per key. `None` without keys.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> Option<String> {
        let begin = format!("{id}.{timestamp}.");
        let signatures: Vec<String> = self
            .keys
            .iter()
            .map(|key| {
                let mut context = hmac::Context::with_key(key);
                context.update(begin.as_bytes());
                context.update(body.as_bytes());
                format!("v1,{}", STANDARD.encode(context.sign()))
            })
            .collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

/// The header `webhook-id` of a version of a transaction: the same over all attempts and restarts.
///
/// `content` is the digest of this version. The version delivered before goes into it, so that a transaction that changes back is not taken for a repetition.
pub fn webhook_id(
    campaign: &str,
    contact_id: &str,
    key_part: &str,
    before: u32,
    content: [u8; 16],
) -> String {
    let parts = [
        campaign.as_bytes(),
        contact_id.as_bytes(),
        key_part.as_bytes(),
        &before.to_le_bytes(),
        &content,
    ];
    let mut id = String::with_capacity(36);
    id.push_str("msg_");
    push_hex(&mut id, &digest(&parts));
    id
}

/// The header `Authorization` for a user and a password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of the Standard Webhooks specification and of its reference libraries.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn sign(keys: &str) -> Option<String> {
        Signer::read(keys).unwrap().sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        )
    }

    #[test]
    fn the_example_of_the_specification_is_met() {
        assert_eq!(sign(KEY).as_deref(), Some(SIGNATURE));
        assert_eq!(sign(" "), None);
    }

    #[test]
    fn each_key_signs() {
        let both = sign(&format!("whsec_AAAA\n {KEY}")).unwrap();
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(second, SIGNATURE);
        assert_eq!(first, sign("whsec_AAAA").unwrap());
    }

    #[test]
    fn wrong_keys_are_named_by_number() {
        for (keys, number) in [
            ("SECRET", 1),
            ("whsec_", 1),
            ("whsec_AAAA whsec_!SECRET!", 2),
        ] {
            let problem = Signer::read(keys).err().unwrap();
            assert!(
                problem.starts_with(&format!("key {number} ")) && !problem.contains("SECRET"),
                "{problem}"
            );
        }
    }

    #[test]
    fn ids_differ_by_version_and_transaction() {
        let id = |contact, part, before, content: &str| {
            webhook_id("C", contact, part, before, digest(&[content.as_bytes()]))
        };
        let first = id("A", "T1", 0, "x");
        assert_eq!(first, id("A", "T1", 0, "x"));
        assert_eq!(first.len(), 36);
        for other in [
            id("B", "T1", 0, "x"),
            id("A", "T2", 0, "x"),
            id("A", "T1", 1, "x"),
            id("A", "T1", 0, "y"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn basic_authentication_is_that_of_rfc_7617() {
        assert_eq!(
            basic("Aladdin", "open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }
}
