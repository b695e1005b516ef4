//! The first line of a file that holds a secret, in the encodings that editors and shells write.

use std::path::Path;

use super::arguments::Value;
use crate::error::Result;
use crate::files::input;

/// Bytes that are read of such a file; the line must end within them.
const MAX_BYTES: usize = 64 * 1024;

/// Reads the first line of a file that a flag names: UTF-8, or UTF-16 with a byte order mark, as PowerShell's `>`
/// writes it. Blanks around it are removed.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage), without quoting from the file.
pub fn read(value: &Value, path: &Path) -> Result<String> {
    let bytes = input::read_line(path, MAX_BYTES)
        .map_err(|error| value.wrong(&format!("cannot read this file: {error}")))?;
    first_line(&bytes).map_err(|problem| value.wrong(problem))
}

/// The line, or what is wrong with the file.
fn first_line(bytes: &[u8]) -> std::result::Result<String, &'static str> {
    let text = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return Err("this file is UTF-32; save it as UTF-8");
        }
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
        _ => utf8(bytes)?,
    };
    let line = text.trim();
    if line.is_empty() {
        return Err("the first line of this file is empty");
    }
    if line.contains('\0') {
        return Err(
            "the first line of this file holds NUL characters: it is not plain text, or UTF-16 without a byte order \
             mark; save it as UTF-8",
        );
    }
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(
            "the first line of this file holds a control character; save it as plain text with one line",
        );
    }
    Ok(line.to_owned())
}

const TOO_LONG: &str = "the first line of this file is longer than 64 KiB";

fn utf8(bytes: &[u8]) -> std::result::Result<String, &'static str> {
    let end = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => end,
        None if bytes.len() >= MAX_BYTES - 3 => return Err(TOO_LONG),
        None => bytes.len(),
    };
    let line = bytes.get(..end).unwrap_or_default();
    String::from_utf8(line.to_vec())
        .map_err(|_| "the first line of this file is not UTF-8; save it as UTF-8")
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> std::result::Result<String, &'static str> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    let line = match units.iter().position(|unit| *unit == u16::from(b'\n')) {
        Some(end) => units.get(..end).unwrap_or_default(),
        None if bytes.len() >= MAX_BYTES - 3 => return Err(TOO_LONG),
        None if !rest.is_empty() => return Err("this file is UTF-16 that ends within a character"),
        None => &units,
    };
    String::from_utf16(line).map_err(|_| "the first line of this file is not valid UTF-16")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn every_encoding_of_editors_and_shells_is_read() {
        for text in ["TOKEN", "TOKEN\n", "TOKEN\r\n", " TOKEN \r\nsecond ä€𝄞\r\n"] {
            let marked = format!("\u{feff}{text}");
            for bytes in [
                text.as_bytes().to_vec(),
                marked.clone().into_bytes(),
                utf16(&marked, u16::to_le_bytes),
                utf16(&marked, u16::to_be_bytes),
            ] {
                assert_eq!(first_line(&bytes), Ok("TOKEN".to_owned()), "{bytes:?}");
            }
        }
        // A newline's byte within a character does not end the line.
        let password = "pässw\u{10a}\u{a0d}rd𝄞";
        let bytes = utf16(&format!("\u{feff}{password}\r\n"), u16::to_le_bytes);
        assert_eq!(first_line(&bytes), Ok(password.to_owned()));
        // What follows the first line need not be text.
        assert_eq!(first_line(b"TOKEN\n\xff\0"), Ok("TOKEN".to_owned()));
    }

    #[test]
    fn everything_else_gets_a_sentence() {
        let empty = "the first line of this file is empty";
        let nul = "the first line of this file holds NUL characters: it is not plain text, or UTF-16 without a byte \
                   order mark; save it as UTF-8";
        for (bytes, problem) in [
            (Vec::new(), empty),
            (b"\xef\xbb\xbf\r\nTOKEN".to_vec(), empty),
            (b"\xff\xfe".to_vec(), empty),
            (utf16("TOKEN\r\n", u16::to_le_bytes), nul),
            (b"TO\0KEN".to_vec(), nul),
            (
                b"TO\x07KEN\n".to_vec(),
                "the first line of this file holds a control character; save it as plain text with one line",
            ),
            (
                b"TOKEN\rmore\r".to_vec(),
                "the first line of this file holds a control character; save it as plain text with one line",
            ),
            (
                b"p\xe4ss\n".to_vec(),
                "the first line of this file is not UTF-8; save it as UTF-8",
            ),
            (
                b"\xff\xfe\0\0T\0\0\0".to_vec(),
                "this file is UTF-32; save it as UTF-8",
            ),
            (
                b"\xff\xfeT\0O".to_vec(),
                "this file is UTF-16 that ends within a character",
            ),
            (
                b"\xff\xfe\0\xd8T\0".to_vec(),
                "the first line of this file is not valid UTF-16",
            ),
            (vec![b'x'; MAX_BYTES], TOO_LONG),
        ] {
            assert_eq!(first_line(&bytes), Err(problem), "{bytes:?}");
        }
    }
}
