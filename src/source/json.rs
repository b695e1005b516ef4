//! JSON as the API sends it: objects with unparsed values, so that nothing is reformatted or lost on the way.
//!
//! A contact's document has several levels of objects, and almost all of its text stands on the lowest. So it is walked
//! through once, into a flat list of nodes in which whole subtrees can be skipped, with one allocation per document. Only
//! the lists that rows are made of are walked into; what else is nested stays one node.

mod walk;

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The keys of the lists that can be read element by element.
pub const LISTS: [&str; 5] = [
    "$task_log",
    "transactions",
    "connections",
    "recordings",
    "third_party_connections",
];

/// A JSON object with everything in it.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

/// A value, or a key, which is followed by its value.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Its place in the text: strings and keys without their quotes.
    start: u32,
    end: u32,
    /// The node behind it and everything in it.
    next: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    Text,
    /// A string with backslashes.
    EscapedText,
    Array,
    Object,
    /// Elements of a list, one behind the other, that are no objects: `start` is their number.
    Others,
}

/// An object of a [`Document`].
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    text: &'a str,
    /// Those of its keys and values, and of all that is in them.
    nodes: &'a [Node],
    /// Number of the first one in the document.
    first: u32,
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

impl<'a> Document<'a> {
    /// Walks through an object; `None` for any other value.
    pub fn of(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        let nodes = walk::nodes(text);
        match nodes.first() {
            Some(root) if root.kind == Kind::Object => Some(Document { text, nodes }),
            _ => None,
        }
    }

    /// The same for any text; `None` for what is no JSON as well.
    pub fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(Document::of)
    }

    /// The object.
    pub fn root(&self) -> Object<'_> {
        Object {
            text: self.text,
            nodes: self.nodes.get(1..).unwrap_or_default(),
            first: 1,
        }
    }
}

impl<'a> Object<'a> {
    /// The value of a key; [`Value::Null`] where there is none. Of several equal keys the last one counts.
    pub fn get(&self, key: &str) -> Value<'a> {
        self.find(key)
            .map_or(Value::Null, |node| node.value(self.text))
    }

    /// All keys and values in order, repeated keys included.
    pub fn entries(&self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> {
        let text = self.text;
        self.pairs()
            .map(move |(key, value, _)| (key.string(text), value.value(text)))
    }

    /// All keys in order, repeated ones included.
    pub fn keys(&self) -> impl Iterator<Item = Cow<'a, str>> {
        let text = self.text;
        self.pairs().map(move |(key, ..)| key.string(text))
    }

    /// All keys and values as the document writes them, strings and keys with their quotes and escapes.
    pub fn as_written(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let text = self.text;
        self.pairs()
            .map(move |(key, value, _)| (key.written(text), value.written(text)))
    }

    /// Bytes of the text that the object stands in.
    pub fn length_of_document(&self) -> usize {
        self.text.len()
    }

    /// The objects in the list under `key`. Elements of other types are left out; anything but an array is empty.
    pub fn objects(&self, key: &str) -> impl Iterator<Item = Object<'a>> + use<'a> {
        self.elements(key).flatten().map(|(object, _)| object)
    }

    /// The elements of the list under `key`, which is one of `$task_log`, `transactions`, `connections`, `recordings` and
    /// `third_party_connections`: objects, each as the document writes it as well; `None` for anything else.
    pub fn elements(
        &self,
        key: &str,
    ) -> impl Iterator<Item = Option<(Object<'a>, &'a str)>> + use<'a> {
        let object = *self;
        let found = self.pairs().filter(|(k, ..)| k.is(self.text, key)).last();
        let (mut at, end) = match found {
            Some((_, list, at)) if list.kind == Kind::Array => (at + 1, list.next),
            _ => (0, 0),
        };
        let mut others = 0;
        std::iter::from_fn(move || {
            if others > 0 {
                others -= 1;
                return Some(None);
            }
            let element = object.node(at).filter(|_| at < end)?;
            let inside = at + 1;
            at = element.next;
            if element.kind == Kind::Others {
                others = element.start.saturating_sub(1);
                return Some(None);
            }
            let inner = Object {
                text: object.text,
                nodes: object.range(inside, element.next),
                first: inside,
            };
            Some(Some((inner, element.raw(object.text))))
        })
    }

    /// What stands under `key` where a list belongs, as the document writes it; `None` for a list, and for `null`, `""` and
    /// no such key, which hold nothing.
    pub fn no_list(&self, key: &str) -> Option<&'a str> {
        let node = self.find(key)?;
        let is_list_or_nothing = match node.kind {
            Kind::Array | Kind::Null => true,
            Kind::Text => node.raw(self.text).is_empty(),
            _ => false,
        };
        (!is_list_or_nothing).then(|| node.written(self.text))
    }

    /// The list under `key`, as the document writes it, where not all of its elements are objects.
    pub fn mixed_list(&self, key: &str) -> Option<&'a str> {
        let is_mixed = self.elements(key).any(|element| element.is_none());
        (self.find(key).filter(|_| is_mixed)).map(|node| node.raw(self.text))
    }

    fn find(&self, key: &str) -> Option<Node> {
        self.pairs()
            .filter(|(k, ..)| k.is(self.text, key))
            .last()
            .map(|(_, value, _)| value)
    }

    /// Keys and values, and the numbers of the latter's nodes.
    fn pairs(&self) -> impl Iterator<Item = (Node, Node, u32)> + use<'a> {
        let object = *self;
        let mut at = self.first;
        std::iter::from_fn(move || {
            let (key, value) = (object.node(at)?, object.node(at + 1)?);
            let of_value = at + 1;
            at = value.next;
            Some((key, value, of_value))
        })
    }

    fn node(&self, number: u32) -> Option<Node> {
        self.nodes
            .get(index(number.checked_sub(self.first)?))
            .copied()
    }

    fn range(&self, from: u32, to: u32) -> &'a [Node] {
        let first = self.first;
        self.nodes
            .get(index(from.saturating_sub(first))..index(to.saturating_sub(first)))
            .unwrap_or_default()
    }
}

impl Node {
    fn raw(self, text: &str) -> &str {
        text.get(index(self.start)..index(self.end))
            .unwrap_or_default()
    }

    /// With the quotes of a string.
    fn written(self, text: &str) -> &str {
        match self.kind {
            Kind::Text | Kind::EscapedText => text
                .get(index(self.start.saturating_sub(1))..index(self.end.saturating_add(1)))
                .unwrap_or_default(),
            _ => self.raw(text),
        }
    }

    fn is(self, text: &str, key: &str) -> bool {
        match self.kind {
            Kind::EscapedText => self.string(text) == key,
            _ => self.raw(text) == key,
        }
    }

    fn string(self, text: &str) -> Cow<'_, str> {
        let raw = self.raw(text);
        if self.kind == Kind::EscapedText
            && let Ok(unescaped) = serde_json::from_str(&format!("\"{raw}\""))
        {
            return Cow::Owned(unescaped);
        }
        Cow::Borrowed(raw)
    }

    fn value(self, text: &str) -> Value<'_> {
        match self.kind {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number => Value::Number(self.raw(text)),
            Kind::Text | Kind::EscapedText => Value::Text(self.string(text)),
            Kind::Array | Kind::Object | Kind::Others => Value::Nested(self.raw(text)),
        }
    }
}

fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl<'a> Value<'a> {
    /// What a text column holds of this value, by the rule of the vendor's client: `None` for
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

/// Hands out the elements of a JSON array, unparsed, one by one.
///
/// # Errors
/// Where `text` is no JSON array; some elements may have been handed out.
pub fn each_element<'a>(
    text: &'a str,
    each: impl FnMut(&'a RawValue),
) -> Result<(), serde_json::Error> {
    struct Elements<F>(F);
    impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(element) = seq.next_element::<&'de RawValue>()? {
                (self.0)(element);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::Deserializer::deserialize_seq(&mut reader, Elements(each))?;
    reader.end()
}

/// Hands out the keys of a JSON object with their values, unparsed, one by one.
///
/// # Errors
/// Where `text` is no JSON object; some values may have been handed out.
pub fn each_value<'a>(
    text: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a RawValue),
) -> Result<(), serde_json::Error> {
    struct Values<F>(F);
    impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Values<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                (self.0)(key, value);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::Deserializer::deserialize_map(&mut reader, Values(each))?;
    reader.end()
}

/// JSON text without the blanks between its tokens.
pub fn compact(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut out = String::new();
    let (mut begin, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = walk::end_of_string(bytes, at + 1).0 + 1,
            b' ' | b'\n' | b'\r' | b'\t' => {
                if out.capacity() == 0 {
                    out.reserve(json.len());
                }
                out.push_str(json.get(begin..at).unwrap_or_default());
                at += 1;
                begin = at;
            }
            _ => at += 1,
        }
    }
    if begin == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(json.get(begin..).unwrap_or_default());
    Cow::Owned(out)
}

/// Whether there is anything for [`mend_surrogates`] to look at.
pub fn may_hold_surrogates(json: &str) -> bool {
    json.contains("\\ud") || json.contains("\\uD")
}

/// Replaces each escaped lone surrogate (`\ud800` without its partner) by `\ufffd`.
///
/// JSON allows them, Unicode text can't hold them, and one of them would make the whole answer unreadable.
/// Returns whether anything was replaced.
pub fn mend_surrogates(json: &mut String) -> bool {
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
mod tests;
