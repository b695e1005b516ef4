//! The model of a contact: what it is at one instant. JSON is written from it, and the true rows are derived from it.

use std::borrow::Cow;

/// A name or a text, mostly static.
pub type Text = Cow<'static, str>;

/// The value of a key of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The key isn't there.
    Missing,
    /// Nothing there, written as [`EmptyAs`](super::config::EmptyAs) says.
    Empty,
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, by its token.
    Number(Text),
    /// A string.
    String(Text),
    /// An array or object, as its compact JSON text.
    Json(Text),
}

impl Value {
    /// A string that is known at compile time.
    pub const fn fixed(text: &'static str) -> Self {
        Value::String(Cow::Borrowed(text))
    }

    /// A string.
    pub fn text(text: impl Into<Text>) -> Self {
        Value::String(text.into())
    }

    /// An array or object that is known at compile time.
    pub const fn fixed_json(text: &'static str) -> Self {
        Value::Json(Cow::Borrowed(text))
    }

    /// A whole number.
    pub fn number(number: impl std::fmt::Display) -> Self {
        Value::Number(number.to_string().into())
    }

    /// A number by its token.
    pub const fn token(token: &'static str) -> Self {
        Value::Number(Cow::Borrowed(token))
    }
}

/// Keys and values in the order of the document; of several equal keys the last one counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(pub Vec<(Text, Value)>);

impl Fields {
    /// Appends a key.
    pub fn push(&mut self, name: impl Into<Text>, value: Value) {
        self.0.push((name.into(), value));
    }

    /// The value that counts for a key.
    pub fn get(&self, name: &str) -> &Value {
        self.0
            .iter()
            .rev()
            .find(|(key, value)| key == name && *value != Value::Missing)
            .map_or(&Value::Missing, |(_, value)| value)
    }

    /// Replaces the value of a key where it is, or appends it.
    pub fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.push(name, value),
        }
    }
}

/// A list inside a document, in all the shapes in which it comes.
#[derive(Debug, Clone, PartialEq)]
pub enum List<T> {
    /// The key isn't there.
    Missing,
    /// `null`
    Null,
    /// Something that is no array, as JSON.
    Junk(&'static str),
    /// An array.
    Items(Vec<Item<T>>),
}

/// One element of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<T> {
    /// An object as it should be.
    Object(T),
    /// Something else, as JSON.
    Junk(&'static str),
}

impl<T> List<T> {
    /// An array of objects.
    pub fn of(objects: Vec<T>) -> Self {
        List::Items(objects.into_iter().map(Item::Object).collect())
    }

    /// Its elements; `None` stands for one that is not an object.
    pub fn elements(&self) -> impl Iterator<Item = Option<&T>> {
        let items = match self {
            List::Items(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(|item| match item {
            Item::Object(object) => Some(object),
            Item::Junk(_) => None,
        })
    }
}

/// A contact at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// All keys but `$task_log`.
    pub fields: Fields,
    /// `$task_log`
    pub log: List<Entry>,
    /// How the document is written.
    pub style: Style,
}

impl Contact {
    /// `$id`
    pub fn id(&self) -> &str {
        match self.fields.get("$id") {
            Value::String(id) => id,
            _ => "",
        }
    }
}

/// How a contact's document is written; its content stays the same.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Style {
    /// Position of `$task_log` among the keys.
    pub log_position: usize,
    /// Characters outside ASCII as `\uXXXX`.
    pub ascii: bool,
    /// Blanks and line breaks between tokens.
    pub spaced: bool,
}

/// One visit of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// All keys but `transactions`.
    pub fields: Fields,
    /// `transactions`
    pub transactions: List<Transaction>,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// All keys but `connections`.
    pub fields: Fields,
    /// `connections`
    pub connections: List<Connection>,
}

/// A connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// All keys but `recordings` and `third_party_connections`.
    pub fields: Fields,
    /// `recordings`
    pub recordings: List<Recording>,
    /// `third_party_connections`
    pub third_party: List<Connection>,
}

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// All keys.
    pub fields: Fields,
}
