//! What concerns web services on the command line: keys, headers, and a warning.

use std::path::Path;

use super::arguments::{Value, Values};
use super::first_line;
use super::parse::{chosen, given, optional, secret};
use super::settings::Mode;
use crate::error::Result;
use crate::net::secret::Secret;

/// Headers that the program sets itself, or that belong to the transport.
const RESERVED: [&str; 7] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
];

/// The keys that requests are signed with; empty if none are given.
pub fn keys(values: &Values) -> Result<Secret> {
    let (direct, file) = ("webhook-secret", "webhook-secret-file");
    if given(values, direct).is_none() && given(values, file).is_none() {
        return Ok(Secret::new(""));
    }
    secret(values, direct, file, "the keys").map(|(_, text)| Secret::new(text))
}

/// The headers of `--header`, one per line.
pub fn headers(values: &Values) -> Result<Vec<(String, Secret)>> {
    let read = |value: &Value| {
        value
            .text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| header(value, line))
            .collect()
    };
    Ok(optional(values, "header", read)?.unwrap_or_default())
}

fn header(value: &Value, line: &str) -> Result<(String, Secret)> {
    let (name, text) = line
        .split_once(':')
        .map(|(name, text)| (name.trim(), text.trim()))
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(is_token))
        .ok_or_else(|| value.wrong("'Name: value' is expected, or 'Name: @FILE'"))?;
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("webhook-") {
        return Err(value.wrong(&format!("{name} can't be set: the program does so itself")));
    }
    let text = match text.strip_prefix('@') {
        Some(path) => first_line::read(value, Path::new(path))
            .map_err(|error| error.context(format!("{name} from {path}")))?,
        None => text.to_owned(),
    };
    if text.chars().any(char::is_control) {
        return Err(value.wrong(&format!("the value of {name} holds a control character")));
    }
    Ok((name.to_owned(), Secret::new(text)))
}

/// The files that `--header` names behind `@`.
pub fn files_of_headers(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.split_once(':')?.1.trim().strip_prefix('@'))
}

/// Whether a byte may be part of a header's name (RFC 9110, token).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Posting without encryption is allowed, but unwise.
pub fn warning(values: &Values, mode: Mode, url: &str) -> Option<String> {
    let value = chosen(values, "url", "url-file", "").ok()?;
    let begin = url.get(..7)?;
    let is_plain = begin.eq_ignore_ascii_case("http://");
    (is_plain && matches!(mode, Mode::Webhook | Mode::Replay)).then(|| {
        format!(
            "{} is http, not https: everyone on the way can read the contacts",
            value.name()
        )
    })
}
