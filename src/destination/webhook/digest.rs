//! Checksums by which transactions and their versions are known.

use ring::digest::{Context, SHA256};

/// Checksum of several texts, half of their SHA-256; where one ends and the next begins counts.
pub fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut sum = Context::new(&SHA256);
    for part in parts {
        // The same on all processors.
        sum.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        sum.update(part);
    }
    let sum = sum.finish();
    sum.as_ref().first_chunk().copied().unwrap_or_default()
}

/// The key of a transaction in the ledger.
pub fn key(contact_id: &str, key_part: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest(&[contact_id.as_bytes(), key_part.as_bytes()]);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The version of a transaction as the ledger keeps it: never 0, which stands for none.
pub fn version(text: &str) -> u32 {
    short(digest(&[text.as_bytes()]))
}

/// As [`version`], from the digest of a text.
pub fn short([a, b, c, d, ..]: [u8; 16]) -> u32 {
    u32::from_le_bytes([a, b, c, d]).max(1)
}

/// Appends lower-case hexadecimal digits.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_between_texts_count() {
        assert_ne!(key("AB", "C"), key("A", "BC"));
        assert_eq!(key("A", "B"), key("A", "B"));
        assert_ne!(version("1"), version("2"));
        let mut text = String::from("x");
        push_hex(&mut text, &[0, 0xab]);
        assert_eq!(text, "x00ab");
    }
}
