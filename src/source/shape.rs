//! What an answer looks like, for messages: its form without its values.

use serde_json::value::RawValue;

use super::json::{Document, Object};
use crate::text;

/// Keys that are named.
const MAX_KEYS: usize = 10;

/// Characters of a text whose form is shown.
const MAX_CHARS: usize = 100;

/// A value without its content: a text with `9` for each digit and `a` for each letter, an object by its keys.
pub fn shape(value: &RawValue) -> String {
    match Document::of(value) {
        Some(document) => format!("an object with {}", keys(&document.root())),
        None => of_text(value.get()),
    }
}

/// A text with `9` for each digit and `a` for each letter.
pub fn of_text(value: &str) -> String {
    let masked: String = value
        .chars()
        .take(MAX_CHARS)
        .map(|c| match c {
            c if c.is_numeric() => '9',
            c if c.is_alphabetic() => 'a',
            c => c,
        })
        .collect();
    let more = if value.chars().nth(MAX_CHARS).is_some() {
        "…"
    } else {
        ""
    };
    text::foreign(&(masked + more))
}

/// The keys of an object.
pub fn keys(object: &Object<'_>) -> String {
    let mut keys = object.keys();
    let named: Vec<String> = keys
        .by_ref()
        .take(MAX_KEYS)
        .map(|key| text::foreign(&key))
        .collect();
    match (named.is_empty(), keys.next()) {
        (true, _) => "no keys".to_owned(),
        (_, None) => format!("the keys {}", text::foreign(&named.join(", "))),
        (_, Some(_)) => format!("the keys {}, and others", text::foreign(&named.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_form_is_shown_and_no_value() {
        for (json, wanted) in [
            (
                r#""2024-03-05T09:15:42.468Z0217|ab0|MÜLLER""#,
                r#""9999-99-99a99:99:99.999a9999|aa9|aaaaaa""#,
            ),
            (
                r#"{"contactId":"secret","n":{"a":1}}"#,
                "an object with the keys contactId, n",
            ),
            ("{}", "an object with no keys"),
            ("[1, null]", "[9, aaaa]"),
        ] {
            assert_eq!(shape(serde_json::from_str(json).unwrap()), wanted);
        }
        assert_eq!(of_text(&"x".repeat(101)), "a".repeat(100) + "…");
        let many: Vec<String> = (0..11).map(|n| format!("\"k{n}\":1")).collect();
        let many = format!("{{{}}}", many.join(","));
        let shown = shape(serde_json::from_str(&many).unwrap());
        assert!(shown.ends_with("k9, and others"), "{shown}");
    }
}
