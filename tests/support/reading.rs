//! Reads JSON documents back into the simulator's model: with the tokens of numbers, the order of keys, and
//! keys that stand there twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::simulator::document::{
    Connection, Contact, Entry, Fields, Item, List, Recording, Style, Transaction, Value,
};

/// The keys and raw values of an object.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// An object's plain values, and the raw JSON of the keys that hold lists.
fn split<'a, const N: usize>(
    json: &'a str,
    lists: [&str; N],
) -> Option<(Fields, [Option<&'a str>; N])> {
    let object: Object<'a> = serde_json::from_str(json).ok()?;
    let mut fields = Fields::default();
    let mut found = [None; N];
    for (name, raw) in object.0 {
        match lists.iter().position(|list| *list == name) {
            Some(at) => found[at] = Some(raw.get()),
            None => fields.push(name, value(raw.get())),
        }
    }
    Some((fields, found))
}

fn value(json: &str) -> Value {
    match json.as_bytes()[0] {
        b'n' => Value::Null,
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'"' => Value::text(serde_json::from_str::<String>(json).unwrap()),
        b'[' | b'{' => Value::Json(json.to_owned().into()),
        _ => Value::Number(json.to_owned().into()),
    }
}

fn list<T>(json: Option<&str>, read: fn(&str) -> Option<T>) -> List<T> {
    let Some(json) = json else {
        return List::Missing;
    };
    if json == "null" {
        return List::Null;
    }
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(items) => List::Items(
            items
                .into_iter()
                .map(|raw| read(raw.get()).map_or(Item::Junk("?"), Item::Object))
                .collect(),
        ),
        Err(_) => List::Junk("?"),
    }
}

/// A contact document.
pub fn contact(json: &str) -> Option<Contact> {
    let (fields, [log]) = split(json, ["$task_log"])?;
    Some(Contact {
        fields,
        log: list(log, entry),
        style: Style::default(),
    })
}

fn entry(json: &str) -> Option<Entry> {
    let (fields, [transactions]) = split(json, ["transactions"])?;
    Some(Entry {
        fields,
        transactions: list(transactions, transaction),
    })
}

fn transaction(json: &str) -> Option<Transaction> {
    let (fields, [connections]) = split(json, ["connections"])?;
    Some(Transaction {
        fields,
        connections: list(connections, connection),
    })
}

fn connection(json: &str) -> Option<Connection> {
    let (fields, [recordings, third_party]) =
        split(json, ["recordings", "third_party_connections"])?;
    Some(Connection {
        fields,
        recordings: list(recordings, |json| {
            fields_of(json).map(|fields| Recording { fields })
        }),
        third_party: list(third_party, connection),
    })
}

/// An object of plain values, such as an inbound call.
pub fn fields_of(json: &str) -> Option<Fields> {
    split(json, []).map(|(fields, [])| fields)
}

/// The contact documents of an answer; `None` for an element that is none.
pub fn contacts(json: &str) -> Vec<Option<Contact>> {
    let documents: Vec<&RawValue> = serde_json::from_str(json).unwrap();
    documents
        .into_iter()
        .map(|raw| contact(raw.get()))
        .collect()
}
