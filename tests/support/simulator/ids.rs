//! Ids: contact ids that tell their number back without a table, and texts in the shape of md5 sums and UUIDs.

use md5::{Digest, Md5};

use super::random::{mix, pair, unmix};

/// The 32 symbols of Dialfire's ids.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The id of contact number `index`: its number, scrambled by a bijection, and a check over it.
pub fn contact_id(seed: u64, index: u32) -> String {
    let scrambled = mix(u64::from(index) ^ mix(seed));
    let mut bits = (u128::from(scrambled) << 15) | u128::from(pair(scrambled, seed) & 0x7fff);
    let mut text = [0; 16];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The number of the contact with this id; `None` for an id that was never given.
pub fn contact_index(seed: u64, id: &str) -> Option<u32> {
    if id.len() != 16 {
        return None;
    }
    let mut bits = 0u128;
    for symbol in id.bytes() {
        let value = ALPHABET.iter().position(|s| *s == symbol)?;
        bits = (bits << 5) | value as u128;
    }
    let index = u32::try_from(unmix((bits >> 15) as u64) ^ mix(seed)).ok()?;
    (contact_id(seed, index) == id).then_some(index)
}

/// Any 16-character id.
pub fn object_id(hash: u64) -> String {
    contact_id(hash, 7)
}

/// 32 hex digits that look like an md5 sum.
pub fn checksum(a: u64, b: u64) -> String {
    let mut text = String::with_capacity(32);
    push_hex(&mut text, pair(a, b), 16);
    push_hex(&mut text, pair(b, a ^ 0x5555), 16);
    text
}

/// A UUID-like text.
pub fn uuid(hash: u64) -> String {
    let more = mix(hash);
    let mut text = String::with_capacity(36);
    push_hex(&mut text, hash >> 32, 8);
    text.push('-');
    push_hex(&mut text, hash >> 16, 4);
    text.push_str("-4");
    push_hex(&mut text, hash, 3);
    text.push_str("-8");
    push_hex(&mut text, more >> 52, 3);
    text.push('-');
    push_hex(&mut text, more, 12);
    text
}

fn push_hex(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) & 15;
        text.push(char::from_digit(digit as u32, 16).unwrap_or('0'));
    }
}

/// Lower-case hex md5 of the parts, one behind the other.
pub fn md5_hex(parts: &[&str]) -> String {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    let mut text = String::with_capacity(32);
    for byte in hasher.finalize() {
        push_hex(&mut text, u64::from(byte), 2);
    }
    text
}
