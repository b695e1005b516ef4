//! JSON as the API sends it: objects with unparsed values, so that nothing is reformatted or lost on the way.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object: keys in the order of the document, values unparsed.
#[derive(Debug, Clone, Default)]
pub struct Object<'a> {
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// One value of an object. Numbers keep the digits that the document has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`, or no such key.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as the document writes it.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// An array or an object as the document writes it.
    Nested(&'a str),
}

impl<'a> Object<'a> {
    /// Reads one object.
    ///
    /// # Errors
    /// Where `text` is no JSON object.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The unparsed value of a key. Of several equal keys the last one counts.
    pub fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.entries
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, value)| *value)
    }

    /// The value of a key; [`Value::Null`] where there is none.
    pub fn get(&self, key: &str) -> Value<'a> {
        self.raw(key)
            .map_or(Value::Null, |raw| Value::of(raw.get()))
    }

    /// All keys and unparsed values in order, repeated keys included.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_ref(), *value))
    }

    /// The objects in the array under `key`. Elements of other types are left out; anything but an array is empty.
    pub fn objects(&self, key: &str) -> Vec<Object<'a>> {
        self.raw(key).map_or_else(Vec::new, |raw| {
            elements(raw.get())
                .unwrap_or_default()
                .into_iter()
                .filter_map(|element| Object::parse(element.get()).ok())
                .collect()
        })
    }
}

impl<'a> Value<'a> {
    /// Reads one value from its JSON text.
    pub fn of(json: &'a str) -> Value<'a> {
        let json = json.trim_ascii();
        match json.as_bytes().first() {
            None | Some(b'n') => Value::Null,
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'{' | b'[') => Value::Nested(json),
            Some(b'"') => match json.get(1..json.len().saturating_sub(1)) {
                Some(plain) if !plain.contains('\\') => Value::Text(Cow::Borrowed(plain)),
                _ => match serde_json::from_str::<String>(json) {
                    Ok(text) => Value::Text(Cow::Owned(text)),
                    Err(_) => Value::Null,
                },
            },
            Some(_) => Value::Number(json),
        }
    }

    /// What a text column holds of this value, by the old client's rule (EXISTING-CLIENT.md 1.3): `None` for
    /// null and the empty string, `1`/`0` for booleans, JSON text for arrays and objects, numbers as written.
    pub fn to_text(&self) -> Option<Cow<'a, str>> {
        match self {
            Value::Null => None,
            Value::Bool(true) => Some(Cow::Borrowed("1")),
            Value::Bool(false) => Some(Cow::Borrowed("0")),
            Value::Number(digits) => Some(Cow::Borrowed(digits)),
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) => Some(text.clone()),
            Value::Nested(json) => Some(compact(json)),
        }
    }
}

/// The elements of a JSON array, unparsed.
///
/// # Errors
/// Where `text` is no JSON array.
pub fn elements(text: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
    struct Elements;
    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element::<&'de RawValue>()? {
                elements.push(element);
            }
            Ok(elements)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let elements = serde::Deserializer::deserialize_seq(&mut reader, Elements)?;
    reader.end()?;
    Ok(elements)
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(48);
                while let Some(Key(key)) = map.next_key()? {
                    entries.push((key, map.next_value::<&'de RawValue>()?));
                }
                Ok(entries)
            }
        }
        deserializer
            .deserialize_map(Entries)
            .map(|entries| Object { entries })
    }
}

/// A key, borrowed from the document where it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyText;
        impl<'de> Visitor<'de> for KeyText {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(KeyText).map(Key)
    }
}

/// JSON text without the blanks between its tokens.
pub fn compact(json: &str) -> Cow<'_, str> {
    let mut in_string = false;
    let mut escaped = false;
    let mut keep = |c: char| {
        let blank = !in_string && matches!(c, ' ' | '\n' | '\r' | '\t');
        if escaped {
            escaped = false;
        } else if in_string && c == '\\' {
            escaped = true;
        } else if c == '"' {
            in_string = !in_string;
        }
        !blank
    };
    if json
        .bytes()
        .any(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t'))
    {
        Cow::Owned(json.chars().filter(|c| keep(*c)).collect())
    } else {
        Cow::Borrowed(json)
    }
}

/// Replaces each escaped lone surrogate (`\ud800` without its partner) by `\ufffd`.
///
/// JSON allows them, Unicode text can't hold them, and one of them would make the whole answer unreadable.
/// Returns whether anything was replaced.
pub fn mend_surrogates(json: &mut String) -> bool {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return false;
    }
    let bytes = json.as_bytes();
    let mut lone = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'\\' {
            at += 1;
            continue;
        }
        match unit(bytes, at) {
            Some(0xD800..=0xDBFF) => {
                if let Some(0xDC00..=0xDFFF) = unit(bytes, at + 6) {
                    at += 12;
                } else {
                    lone.push(at);
                    at += 6;
                }
            }
            Some(0xDC00..=0xDFFF) => {
                lone.push(at);
                at += 6;
            }
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    for start in &lone {
        json.replace_range(*start..*start + 6, "\\ufffd");
    }
    !lone.is_empty()
}

/// The UTF-16 unit of an escape `\uXXXX` that starts at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    match bytes.get(at..at + 6)? {
        [b'\\', b'u', digits @ ..] => {
            let digits = std::str::from_utf8(digits).ok()?;
            if digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                u32::from_str_radix(digits, 16).ok()
            } else {
                None
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn values_keep_what_the_document_wrote() {
        let o = Object::parse(r#"{"a":1e5,"b":"x\ny","c":true,"d":null,"e":[1, "a b" ],"f":"plain","g":12345678901234567890123}"#)
            .unwrap();
        assert_eq!(o.get("a"), Value::Number("1e5"));
        assert_eq!(o.get("b").to_text().unwrap(), "x\ny");
        assert_eq!(o.get("c").to_text().unwrap(), "1");
        assert_eq!(o.get("d"), Value::Null);
        assert_eq!(o.get("e").to_text().unwrap(), r#"[1,"a b"]"#);
        assert!(matches!(o.get("f"), Value::Text(Cow::Borrowed("plain"))));
        assert_eq!(o.get("g").to_text().unwrap(), "12345678901234567890123");
        assert_eq!(o.get("missing"), Value::Null);
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(
            Object::parse(r#"{"a":1,"a":2}"#).unwrap().get("a"),
            Value::Number("2")
        );
    }

    #[test]
    fn objects_leaves_out_what_is_no_object() {
        let o = Object::parse(r#"{"a":[1,{"b":2},null,{"b":3},"x"],"n":null,"s":"text"}"#).unwrap();
        let numbers: Vec<_> = o
            .objects("a")
            .iter()
            .map(|x| x.get("b").to_text().unwrap().into_owned())
            .collect();
        assert_eq!(numbers, ["2", "3"]);
        assert!(
            o.objects("n").is_empty() && o.objects("s").is_empty() && o.objects("none").is_empty()
        );
    }

    #[test]
    fn deep_nesting_is_no_error() {
        let deep = format!(
            "{{\"a\":{}1{},\"b\":2}}",
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert_eq!(Object::parse(&deep).unwrap().get("b"), Value::Number("2"));
    }

    #[test]
    fn elements_refuses_what_is_no_array_or_goes_on_after_it() {
        assert_eq!(elements("[1,{},\"a\"]").unwrap().len(), 3);
        assert!(elements("{}").is_err());
        assert!(elements("[1,2").is_err());
        assert!(elements("[1] x").is_err());
        assert!(elements("").is_err());
    }

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_kept() {
        let mut text = String::from(
            r#"["\ud800","\ud83d\ude42","\\ud800","\udc00x","\uD83D\u0041","\ud800\ud83d\ude42"]"#,
        );
        assert!(mend_surrogates(&mut text));
        assert_eq!(
            text,
            r#"["\ufffd","\ud83d\ude42","\\ud800","\ufffdx","\ufffd\u0041","\ufffd\ud83d\ude42"]"#
        );
        assert!(serde_json::from_str::<Vec<String>>(&text).is_ok());
        let mut untouched = String::from(r#"["\ud83d\ude42"]"#);
        assert!(!mend_surrogates(&mut untouched));
    }
}
