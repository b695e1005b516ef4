//! Percent-decoding of what stands in addresses.

/// Percent-decoding; what is no encoding, or decodes to no UTF-8, stays as it is.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%'
            && let [high, low, behind @ ..] = behind
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high * 16 + low);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_encoding_stays() {
        for (text, decoded) in [
            ("a%20b%c3%a4%2", "a bä%2"),
            ("%zz%+1%", "%zz%+1%"),
            ("%ff", "%ff"),
            ("", ""),
        ] {
            assert_eq!(decode(text), decoded);
        }
    }
}
