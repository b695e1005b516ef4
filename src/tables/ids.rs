//! Ids that rows get: by the rules of the vendor's clients, so that both write the same rows.

use std::collections::HashMap;

use md5::{Digest, Md5};

use crate::source::json::{Object, Value};

/// The id of a connection: its own, else derived as the vendor's first client did.
pub fn connection_id(call: &Object<'_>, transaction_id: &str) -> Option<String> {
    match call.get("id").to_text() {
        Some(id) => Some(id.into_owned()),
        None => call
            .get("fired")
            .to_text()
            .map(|fired| hash(&[transaction_id, &fired])),
    }
}

/// Ids of a contact's transactions, one per transaction; `None` for those without a `fired` text.
///
/// The id is md5(contact id, fired). Where several transactions share one `fired`, the one with the lowest
/// `sequence_nr` keeps this id, and each later number is hashed in, so that they don't overwrite each other.
pub fn transaction_ids(contact_id: &str, transactions: &[Object<'_>]) -> Vec<Option<String>> {
    let keys: Vec<Option<(String, Option<i64>)>> = transactions
        .iter()
        .map(|transaction| match transaction.get("fired") {
            Value::Text(fired) if !fired.is_empty() => {
                Some((fired.into_owned(), sequence_number(transaction)))
            }
            _ => None,
        })
        .collect();
    let mut lowest: HashMap<&str, Option<i64>> = HashMap::with_capacity(keys.len());
    for (fired, number) in keys.iter().flatten() {
        let first = lowest.entry(fired).or_insert(*number);
        *first = (*first).min(*number);
    }
    keys.iter()
        .map(|key| {
            let (fired, number) = key.as_ref()?;
            Some(match number {
                Some(later) if lowest.get(fired.as_str()) != Some(number) => {
                    hash(&[contact_id, fired, &later.to_string()])
                }
                _ => hash(&[contact_id, fired]),
            })
        })
        .collect()
}

fn sequence_number(transaction: &Object<'_>) -> Option<i64> {
    transaction
        .get("sequence_nr")
        .to_text()
        .and_then(|text| text.trim().parse().ok())
}

/// Lower-case hexadecimal md5 of the texts one behind the other.
pub fn hash(texts: &[&str]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut md5 = Md5::new();
    for text in texts {
        md5.update(text.as_bytes());
    }
    let mut hex = String::with_capacity(32);
    for byte in md5.finalize() {
        for half in [byte >> 4, byte & 15] {
            hex.push(
                DIGITS
                    .get(usize::from(half))
                    .copied()
                    .map_or('0', char::from),
            );
        }
    }
    hex
}
