//! What reading documents brings besides rows, without any of their values.

use crate::source::json::{Document, Object, Value, each_element};
use crate::source::shape;
use crate::text;

/// What [`Oddity`]s repeat of an id.
const MAX_ID_SHOWN: usize = 100;

/// The most oddities that are kept of one answer.
const MAX_ODDITIES: usize = 1000;

/// What a document held that no row could take as it is. Never contains the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// Id of the contact or inbound call.
    pub id: String,
    /// What was odd, such as `field "Anzahl": no number, stored as NULL`.
    pub what: String,
}

/// What could not be read of a contact. Never contains the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Id of the contact.
    pub id: String,
    /// Where it is, one of few texts.
    pub place: &'static str,
    /// What is wrong with it.
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
    pub incomplete: Vec<Unread>,
    /// Contacts whose documents hold no transaction that gives a row, whatever the filter says.
    pub without_transactions: Vec<String>,
    /// Connections that became rows.
    pub connections: usize,
    /// Connections of earlier days that were left out, as they have not ended or nothing names them.
    pub connections_left_out: usize,
}

impl Remarks {
    /// Adds those of another document.
    pub fn append(&mut self, other: Remarks) {
        self.unknown_keys.extend(other.unknown_keys);
        self.oddities.extend(other.oddities);
        self.incomplete.extend(other.incomplete);
        self.without_transactions.extend(other.without_transactions);
        self.connections += other.connections;
        self.connections_left_out += other.connections_left_out;
    }

    /// Takes note of a list that is not one, or not one of objects, if it holds something; of a contact once.
    pub(super) fn list(&mut self, contact_id: &str, object: &Object<'_>, key: &'static str) {
        if self.is_incomplete(contact_id) {
            return;
        }
        // Of the history nothing may be written in any other way. Where others have none, stranger things mean so.
        let is_of_history = matches!(key, "$task_log" | "transactions");
        let problem = match object.no_list(key) {
            Some(text) if is_of_history || holds_something(text) => {
                Some(format!("\"{key}\" is no list but {}", shape_of(text)))
            }
            Some(_) => None,
            None => (object.mixed_list(key))
                .and_then(wrong_element)
                .map(|wrong| format!("\"{key}\" is a list {wrong}")),
        };
        if let Some(problem) = problem {
            self.incomplete(contact_id, key, problem);
        }
    }

    /// Takes note of a list that seems to be one of connections or recordings, under a key that is not known.
    pub(super) fn unknown(&mut self, contact_id: &str, key: &str, json: &str) {
        if !self.is_incomplete(contact_id) && is_like_connections_or_recordings(json) {
            let shape = shape_of(json);
            let key = text::foreign(key);
            self.incomplete(
                contact_id,
                "another key",
                format!("\"{key}\" is not known and looks like connections or recordings: {shape}"),
            );
        }
    }

    fn incomplete(&mut self, contact_id: &str, place: &'static str, what: String) {
        self.incomplete.push(Unread {
            id: contact_id.to_owned(),
            place,
            what,
        });
    }

    /// Whether a part of this contact, the last one that was read, could not be read.
    pub(super) fn is_incomplete(&self, contact_id: &str) -> bool {
        (self.incomplete.last()).is_some_and(|last| last.id == contact_id)
    }

    pub(super) fn note(&mut self, id: &str, field: &str, what: &str) {
        let what = match self.oddities.len() {
            MAX_ODDITIES => "more was odd than is listed".to_owned(),
            listed if listed > MAX_ODDITIES => return,
            _ => format!("field \"{field}\": {what}"),
        };
        self.oddities.push(Oddity {
            id: id.chars().take(MAX_ID_SHOWN).collect(),
            what,
        });
    }
}

fn shape_of(json: &str) -> String {
    serde_json::from_str(json).map_or_else(|_| shape::of_text(json), shape::shape)
}

/// Whether something that is no list may hold what its elements would.
fn holds_something(json: &str) -> bool {
    match Document::parse(json) {
        Some(object) => (object.root().entries()).any(|(_, value)| value != Value::Null),
        None => !is_nothing(json),
    }
}

/// Whether an element of a list, or what is written in its place, means that there is none.
fn is_nothing(json: &str) -> bool {
    matches!(json, "null" | "false" | "0" | "\"\"" | "[]" | "{}")
}

/// What is wrong with a list of which not all elements are objects; `None` where the others are nothing.
fn wrong_element(list: &str) -> Option<String> {
    let (mut objects, mut wrong) = (0, None);
    let read = each_element(list, |element| match element.get() {
        json if json.starts_with('{') => objects += 1,
        "null" | "\"\"" | "[]" => {}
        _ => {
            wrong.get_or_insert(element);
        }
    });
    match wrong {
        Some(element) => Some(format!(
            "with elements that are no objects, such as {}",
            shape::shape(element)
        )),
        None => (read.is_err() || objects == 0).then(|| "of nothing but null".to_owned()),
    }
}

/// Keys by which connections and recordings are known, whatever the key is that they are written under.
const KEYS_OF_CONNECTIONS: [&str; 7] = [
    "call_uuid",
    "global_call_uuid",
    "connected",
    "disconnected",
    "hangup_party",
    "remote_number",
    "line_number",
];
const KEYS_OF_RECORDINGS: [&str; 4] = ["location", "filename", "callnumber", "stopped"];

fn is_like_connections_or_recordings(json: &str) -> bool {
    let mut is_like = false;
    let mut look = |element: &str| {
        if let Some(document) = Document::parse(element).filter(|_| !is_like) {
            let keys: Vec<_> = document.root().keys().collect();
            let known = |names: &[&str]| keys.iter().filter(|key| names.contains(&&***key)).count();
            is_like = known(&KEYS_OF_CONNECTIONS) > 1 || known(&KEYS_OF_RECORDINGS) > 1;
        }
    };
    match json.starts_with('[') {
        // What can't be read as a list holds none.
        true => drop(each_element(json, |element| look(element.get()))),
        false => look(json),
    }
    is_like
}
