//! What reading documents brings besides rows, without any of their values.

use crate::dialfire::json::{Document, Object, Value};
use crate::dialfire::shape;

/// What [`Oddity`]s repeat of an id.
const LONGEST_ID_SHOWN: usize = 100;

/// The most oddities that are kept of one answer.
const MOST_ODDITIES: usize = 1000;

/// What a document held that no row could take as it is. Never contains the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// Id of the contact or inbound call.
    pub id: String,
    /// What was odd, such as `field "Anzahl": no number, stored as NULL`.
    pub what: String,
}

/// What reading one document brought besides its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Keys of the contact that the layout doesn't know.
    pub unknown_keys: Vec<String>,
    /// What was odd.
    pub oddities: Vec<Oddity>,
    /// Contacts of which something is stored that is not all, as a part could not be read: their rows have no `$md5`.
    pub incomplete: Vec<Oddity>,
    /// Contacts whose documents hold no transaction that gives a row, whatever the filter says.
    pub without_transactions: Vec<String>,
}

impl Remarks {
    /// Adds those of another document.
    pub fn append(&mut self, other: Remarks) {
        self.unknown_keys.extend(other.unknown_keys);
        self.oddities.extend(other.oddities);
        self.incomplete.extend(other.incomplete);
        self.without_transactions.extend(other.without_transactions);
    }

    /// Takes note of what stands under a key where a list belongs, if it holds something; of a contact once.
    pub(super) fn no_list(&mut self, contact_id: &str, object: &Object<'_>, key: &str) {
        let Some(text) = object.no_list(key) else {
            return;
        };
        // Of the history nothing may stand anywhere else. Below it stand stranger things for none.
        let is_of_history = matches!(key, "$task_log" | "transactions");
        if self.is_incomplete(contact_id) || !(is_of_history || holds_something(text)) {
            return;
        }
        let shape = serde_json::from_str(text).map_or_else(|_| shape::of_text(text), shape::shape);
        self.incomplete.push(Oddity {
            id: contact_id.to_owned(),
            what: format!("\"{key}\" is no list but {shape}"),
        });
    }

    /// Whether a part of this contact, the last one that was read, could not be read.
    pub(super) fn is_incomplete(&self, contact_id: &str) -> bool {
        (self.incomplete.last()).is_some_and(|last| last.id == contact_id)
    }

    pub(super) fn note(&mut self, id: &str, field: &str, what: &str) {
        let what = match self.oddities.len() {
            MOST_ODDITIES => "more was odd than is listed".to_owned(),
            listed if listed > MOST_ODDITIES => return,
            _ => format!("field \"{field}\": {what}"),
        };
        self.oddities.push(Oddity {
            id: id.chars().take(LONGEST_ID_SHOWN).collect(),
            what,
        });
    }
}

/// Whether something that is no list holds what its elements would: an object with a value, or a text with JSON.
fn holds_something(text: &str) -> bool {
    match Document::parse(text) {
        Some(object) => (object.root().entries()).any(|(_, value)| value != Value::Null),
        None => ["\"[", "\"{"].iter().any(|begin| text.starts_with(begin)),
    }
}
