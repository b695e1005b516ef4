//! JSON by hand, into a byte buffer.

use super::config::EmptyAs;
use super::document::{
    Connection, Contact, Entry, Fields, Item, List, Recording, Style, Transaction, Value,
};

/// Writes documents.
#[derive(Debug)]
pub struct Writer {
    /// What was written.
    pub out: Vec<u8>,
    empty_as: EmptyAs,
    ascii: bool,
    spaced: bool,
}

impl Writer {
    /// A writer with an empty buffer.
    pub fn new(empty_as: EmptyAs) -> Self {
        Writer {
            out: Vec::new(),
            empty_as,
            ascii: false,
            spaced: false,
        }
    }

    /// Writes as this style says from now on.
    pub fn set_style(&mut self, style: Style) {
        (self.ascii, self.spaced) = (style.ascii, style.spaced);
    }

    /// Raw JSON.
    pub fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        self.out.push(b'"');
        if self.ascii {
            self.ascii_text(text);
        } else {
            let bytes = text.as_bytes();
            let mut from = 0;
            for (at, byte) in bytes.iter().enumerate() {
                if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
                    continue;
                }
                self.out.extend_from_slice(&bytes[from..at]);
                self.escape(*byte);
                from = at + 1;
            }
            self.out.extend_from_slice(&bytes[from..]);
        }
        self.out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw("\\\""),
            b'\\' => self.raw("\\\\"),
            b'\n' => self.raw("\\n"),
            b'\r' => self.raw("\\r"),
            b'\t' => self.raw("\\t"),
            _ => self.unit(u16::from(byte)),
        }
    }

    fn unit(&mut self, unit: u16) {
        self.raw(&format!("\\u{unit:04X}"));
    }

    fn ascii_text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '"' | '\\' | '\0'..='\x1f' => self.escape(c as u8),
                '/' => self.raw("\\/"),
                ' '..='~' => self.out.push(c as u8),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.unit(*unit);
                    }
                }
            }
        }
    }

    /// A value; nothing for a missing one.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Missing => {}
            Value::Empty if self.empty_as == EmptyAs::Text => self.raw("\"\""),
            Value::Empty | Value::Null => self.raw("null"),
            Value::Bool(true) => self.raw("true"),
            Value::Bool(false) => self.raw("false"),
            Value::Number(token) => self.raw(token),
            Value::String(text) => self.string(text),
            Value::Json(json) => self.raw(json),
        }
    }

    fn is_written(&self, value: &Value) -> bool {
        match value {
            Value::Missing => false,
            Value::Empty => self.empty_as != EmptyAs::Missing,
            _ => true,
        }
    }

    fn key(&mut self, first: &mut bool, name: &str) {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
        if self.spaced {
            self.raw("\n\t ");
        }
        self.string(name);
        self.raw(if self.spaced { " : " } else { ":" });
    }

    fn pairs(&mut self, first: &mut bool, fields: &[(super::document::Text, Value)]) {
        for (name, value) in fields {
            if self.is_written(value) {
                self.key(first, name);
                self.value(value);
            }
        }
    }

    fn list<T>(&mut self, first: &mut bool, name: &str, list: &List<T>, write: fn(&mut Self, &T)) {
        match list {
            List::Missing => {}
            List::Null => {
                self.key(first, name);
                self.raw("null");
            }
            List::Junk(json) => {
                self.key(first, name);
                self.raw(json);
            }
            List::Items(items) => {
                self.key(first, name);
                self.out.push(b'[');
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        self.out.push(b',');
                    }
                    match item {
                        Item::Object(object) => write(self, object),
                        Item::Junk(json) => self.raw(json),
                    }
                }
                self.out.push(b']');
            }
        }
    }

    /// An object of plain values.
    pub fn fields(&mut self, fields: &Fields) {
        self.out.push(b'{');
        self.pairs(&mut true, &fields.0);
        self.out.push(b'}');
    }

    /// A contact document, in its own style.
    pub fn contact(&mut self, contact: &Contact) {
        self.set_style(contact.style);
        let before = contact.style.log_position.min(contact.fields.0.len());
        let (head, tail) = contact.fields.0.split_at(before);
        self.out.push(b'{');
        let mut first = true;
        self.pairs(&mut first, head);
        self.list(&mut first, "$task_log", &contact.log, Writer::entry);
        self.pairs(&mut first, tail);
        self.out.push(b'}');
        self.set_style(Style::default());
    }

    fn entry(&mut self, entry: &Entry) {
        self.out.push(b'{');
        let mut first = true;
        self.list(
            &mut first,
            "transactions",
            &entry.transactions,
            Writer::transaction,
        );
        self.pairs(&mut first, &entry.fields.0);
        self.out.push(b'}');
    }

    /// A transaction.
    pub fn transaction(&mut self, transaction: &Transaction) {
        // The connections stand before some of the keys that their rows need.
        let before = transaction.fields.0.len() / 2;
        let (head, tail) = transaction.fields.0.split_at(before);
        self.out.push(b'{');
        let mut first = true;
        self.pairs(&mut first, head);
        self.list(
            &mut first,
            "connections",
            &transaction.connections,
            Writer::connection,
        );
        self.pairs(&mut first, tail);
        self.out.push(b'}');
    }

    fn connection(&mut self, connection: &Connection) {
        let before = match &connection.recordings {
            List::Items(items) if items.len() > 1 => 0,
            _ => connection.fields.0.len(),
        };
        let (head, tail) = connection.fields.0.split_at(before);
        self.out.push(b'{');
        let mut first = true;
        self.pairs(&mut first, head);
        self.list(
            &mut first,
            "recordings",
            &connection.recordings,
            |writer, recording: &Recording| writer.fields(&recording.fields),
        );
        self.list(
            &mut first,
            "third_party_connections",
            &connection.third_party,
            Writer::connection,
        );
        self.pairs(&mut first, tail);
        self.out.push(b'}');
    }
}
