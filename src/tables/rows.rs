//! One contact or inbound call → rows of the tables: ids, parents, placeholders.
//!
//! Ids and skipped rows follow the vendor's client 1.15.0 (see [`tables`](super)), so that both write the same rows.

mod remarks;
mod room;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::batch::Batch;
use super::fields::{Layout, Slot};
use super::filter::Filter;
use super::ids::{connection_id, hash, transaction_ids};
use super::numbers::plain_decimal;
use super::schema::{ColumnKind, Table, columns};
use crate::source::fields::MAX_FIELD_NAME;
use crate::source::json::{LISTS, Object, Value};
pub use remarks::{Oddity, Remarks, Unread};
use room::MemoryBudget;

/// Third-party legs nested deeper than this are left out: no call has so many, a hostile document might.
const DEEPEST_LEG: usize = 32;

/// The most unknown keys that are kept of one answer.
const MAX_UNKNOWN_KEYS: usize = 20_000;

/// Turns documents into rows under one layout and filter.
#[derive(Debug, Clone, Copy)]
pub struct RowMaker<'a> {
    /// Columns of the contacts table.
    pub layout: &'a Layout,
    /// Which transactions are stored.
    pub filter: &'a Filter,
    /// What `$changed` becomes: UTC, RFC 3339 with seconds and `Z`.
    pub stamp: &'a str,
}

impl RowMaker<'_> {
    /// Appends a contact with its transactions, connections and recordings to the batch.
    ///
    /// A document without `$id` gives no row.
    ///
    /// # Errors
    /// What is wrong with a document whose rows would take many times its own size. Some of them may have been appended.
    pub fn contact(
        &self,
        contact: &Object<'_>,
        batch: &mut Batch,
        remarks: &mut Remarks,
    ) -> Result<(), String> {
        let Some(id) = contact.get("$id").to_text() else {
            return Ok(());
        };
        let room = MemoryBudget::of(contact, batch);
        batch.begin_unit();
        let rows = batch.rows_mut(Table::Contacts);
        rows.begin();
        for (key, value) in contact.entries() {
            match self.layout.slot(&key) {
                Some(Slot::Column(column, kind)) => {
                    match cell(&value, kind) {
                        Ok(Some(text)) => rows.set(column, &text),
                        Ok(None) => rows.set_null(column),
                        Err(reason) => {
                            rows.set_null(column);
                            remarks.note(&id, &key, reason);
                        }
                    };
                }
                Some(Slot::Ignored) => {}
                None if key.len() > MAX_FIELD_NAME => {
                    remarks.note(
                        &id,
                        "(too long)",
                        "the name of a field is longer than 1000 bytes, left out",
                    );
                }
                None if remarks.unknown_keys.len() < MAX_UNKNOWN_KEYS => {
                    remarks.unknown_keys.push(key.into_owned());
                }
                None => {}
            }
        }
        if let Some(changed) = self
            .layout
            .schema()
            .table(Table::Contacts)
            .position("$changed")
        {
            rows.set(changed, self.stamp);
        }
        let transactions = || {
            contact
                .objects("$task_log")
                .flat_map(|entry| entry.objects("transactions"))
        };
        room.has(
            batch,
            batch
                .rows(Table::Transactions)
                .bytes_of(transactions().count()),
        )?;
        let transactions: Vec<Object<'_>> = transactions().collect();
        remarks.list(&id, contact, "$task_log");
        for entry in contact.objects("$task_log") {
            remarks.list(&id, &entry, "transactions");
        }
        let ids = transaction_ids(&id, &transactions);
        if ids.iter().all(Option::is_none) {
            remarks.without_transactions.push(id.to_string());
        }
        for (transaction_id, transaction) in ids.iter().zip(&transactions) {
            match transaction_id {
                Some(transaction_id) if self.filter.passes(transaction) => {
                    room.has(batch, 0)?;
                    self.transaction(&id, transaction_id, transaction, room, batch, remarks)?;
                }
                Some(_) => {}
                None => remarks.note(&id, "fired", "a transaction without it, left out"),
            }
        }
        if remarks.is_incomplete(&id)
            && let Some(md5) = (self.layout.schema().table(Table::Contacts)).position("$md5")
        {
            // A stored one means that everything of this version is there.
            batch.rows_mut(Table::Contacts).set_null(md5);
        }
        Ok(())
    }

    fn transaction(
        &self,
        contact_id: &str,
        id: &str,
        transaction: &Object<'_>,
        room: MemoryBudget,
        batch: &mut Batch,
        remarks: &mut Remarks,
    ) -> Result<(), String> {
        self.row(
            Table::Transactions,
            transaction,
            &[("id", Some(id)), ("contact_id", Some(contact_id))],
            batch,
            remarks,
        );
        remarks.list(contact_id, transaction, "connections");
        self.connections(
            transaction.objects("connections"),
            Parent {
                contact_id,
                transaction_id: id,
                connection_id: None,
                depth: 0,
            },
            room,
            batch,
            remarks,
        )
    }

    fn connections<'d>(
        &self,
        calls: impl Iterator<Item = Object<'d>>,
        parent: Parent<'_>,
        room: MemoryBudget,
        batch: &mut Batch,
        remarks: &mut Remarks,
    ) -> Result<(), String> {
        let mut previous: Option<String> = None;
        for call in calls {
            let call = &call;
            let id = connection_id(call, parent.transaction_id);
            let before = std::mem::replace(&mut previous, id.clone());
            let Some(id) = id else {
                remarks.connections_left_out += usize::from(self.is_of_an_earlier_day(call));
                remarks.note(
                    parent.contact_id,
                    "connections",
                    "a connection without id and fired, left out",
                );
                continue;
            };
            // Still running or incomplete: it comes again, complete, with its legs and recordings.
            if call.get("disconnected").to_text().is_none() {
                remarks.connections_left_out += usize::from(self.is_of_an_earlier_day(call));
                continue;
            }
            remarks.connections += 1;
            let is_transfer = call.get("technology").to_text().as_deref() == Some("transfer");
            let parent_id =
                parent
                    .connection_id
                    .or(if is_transfer { before.as_deref() } else { None });
            let third_party = if is_true(&call.get("isThirdPartyConnection")) {
                "1"
            } else {
                "0"
            };
            let known = [
                ("id", Some(id.as_str())),
                ("parent_connection_id", parent_id),
                ("transaction_id", Some(parent.transaction_id)),
                ("contact_id", Some(parent.contact_id)),
                ("isThirdPartyConnection", Some(third_party)),
            ];
            room.has(batch, 0)?;
            self.row(Table::Connections, call, &known, batch, remarks);
            remarks.list(parent.contact_id, call, "recordings");
            for recording in call.objects("recordings") {
                room.has(batch, 0)?;
                self.recording(parent.contact_id, &id, &recording, batch, remarks);
            }
            remarks.list(parent.contact_id, call, "third_party_connections");
            if parent.depth < DEEPEST_LEG {
                let legs = call.objects("third_party_connections");
                let leg = Parent {
                    connection_id: Some(&id),
                    depth: parent.depth + 1,
                    ..parent
                };
                self.connections(legs, leg, room, batch, remarks)?;
            } else {
                remarks.note(
                    parent.contact_id,
                    "third_party_connections",
                    "nested too deep, left out",
                );
            }
        }
        Ok(())
    }

    /// Whether a connection, which may still be running, is not one of today; one without a time never is.
    fn is_of_an_earlier_day(&self, call: &Object<'_>) -> bool {
        let time = ["fired", "started"]
            .iter()
            .find_map(|key| call.get(key).to_text());
        time.is_none_or(|time| time.get(..10) < self.stamp.get(..10))
    }

    fn recording(
        &self,
        contact_id: &str,
        connection_id: &str,
        recording: &Object<'_>,
        batch: &mut Batch,
        remarks: &mut Remarks,
    ) {
        let started = recording.get("started").to_text().unwrap_or_default();
        let without_location = hash(&[connection_id, &started]);
        let id = match recording.get("location") {
            Value::Null => without_location,
            // The old client hashes an empty location as it stands; both forms are placeholders for the real one.
            Value::Text(location) if location.is_empty() => {
                batch.placeholders.push(without_location);
                hash(&[connection_id])
            }
            location => {
                batch.placeholders.push(without_location);
                batch.placeholders.push(hash(&[connection_id]));
                hash(&[connection_id, &location.to_text().unwrap_or_default()])
            }
        };
        let known = [
            ("id", Some(id.as_str())),
            ("contact_id", Some(contact_id)),
            ("connection_id", Some(connection_id)),
        ];
        self.row(Table::Recordings, recording, &known, batch, remarks);
    }

    /// Appends an inbound call to the batch; false where it has no id and gives no row.
    pub fn inbound_call(
        &self,
        call: &Object<'_>,
        batch: &mut Batch,
        remarks: &mut Remarks,
    ) -> bool {
        let Some(id) = call.get("id").to_text() else {
            return false;
        };
        batch.begin_unit();
        // Names of the API → names of the table. The API's own `started` … would be overwritten, as the old client does.
        let renamed: Vec<(&str, Option<Cow<'_, str>>)> = [
            ("remote_number", "calling_number"),
            ("line_number", "called_number"),
            ("started", "call_time"),
            ("connected", "connect_time"),
            ("disconnected", "hangup_time"),
        ]
        .into_iter()
        .map(|(column, key)| (column, call.get(key).to_text()))
        .collect();
        let known: Vec<(&str, Option<&str>)> = renamed
            .iter()
            .map(|(column, text)| (*column, text.as_deref()))
            .chain([("id", Some(&*id))])
            .collect();
        self.row(Table::InboundCalls, call, &known, batch, remarks);
        true
    }

    /// Appends one row of a table with fixed columns: `known` values first, then those of the document.
    fn row(
        &self,
        table: Table,
        document: &Object<'_>,
        known: &[(&str, Option<&str>)],
        batch: &mut Batch,
        remarks: &mut Remarks,
    ) {
        let rows = batch.rows_mut(table);
        rows.begin();
        for (key, value) in document.entries() {
            let Some((column, kind)) = place(table, &key) else {
                // The fields of a contact may be called anything.
                if let Value::Nested(json) = value
                    && may_hold_rows(table)
                    && !(LISTS.contains(&&*key) || key == "data")
                {
                    remarks.unknown(contact_of(known), &key, json);
                }
                continue;
            };
            if known.iter().any(|(known, _)| *known == key) {
                continue;
            }
            match cell(&value, kind) {
                Ok(Some(text)) => rows.set(column, &text),
                Ok(None) => rows.set_null(column),
                Err(reason) => {
                    rows.set_null(column);
                    remarks.note(contact_of(known), &key, reason);
                }
            }
        }
        let known = known
            .iter()
            .copied()
            .chain([("$changed", Some(self.stamp))]);
        for (name, value) in known {
            if let (Some((column, _)), Some(value)) = (place(table, name), value) {
                rows.set(column, value);
            }
        }
    }
}

/// The contact among the `known` values of a row, or what the row is called.
fn contact_of<'k>(known: &[(&str, Option<&'k str>)]) -> &'k str {
    (known.iter().find(|(name, _)| *name == "contact_id"))
        .or(known.last())
        .and_then(|(_, id)| *id)
        .unwrap_or_default()
}

/// Whether the documents of a table's rows hold those of others.
fn may_hold_rows(table: Table) -> bool {
    matches!(table, Table::Transactions | Table::Connections)
}

/// Whether a contact's document holds a transaction that gives a row, whatever the filter says.
pub fn has_transactions(id: &str, contact: &Object<'_>) -> bool {
    let transactions: Vec<Object<'_>> = contact
        .objects("$task_log")
        .flat_map(|entry| entry.objects("transactions"))
        .collect();
    transaction_ids(id, &transactions)
        .iter()
        .any(Option::is_some)
}

/// Where a fixed column stands in its table, and what it holds.
fn place(table: Table, name: &str) -> Option<(usize, ColumnKind)> {
    type Places = HashMap<&'static str, (usize, ColumnKind)>;
    static PLACES: LazyLock<[Places; 5]> = LazyLock::new(|| {
        Table::ALL.map(|table| {
            let columns = columns(table).iter().enumerate();
            columns
                .map(|(column, (name, kind))| (*name, (column, *kind)))
                .collect()
        })
    });
    PLACES.get(table.index())?.get(name).copied()
}

/// Where a connection hangs.
#[derive(Clone, Copy)]
struct Parent<'a> {
    contact_id: &'a str,
    transaction_id: &'a str,
    /// The enclosing connection of a third-party leg.
    connection_id: Option<&'a str>,
    depth: usize,
}

/// What a column of this kind holds of a value; the error says why it holds nothing.
fn cell<'v>(value: &Value<'v>, kind: ColumnKind) -> Result<Option<Cow<'v, str>>, &'static str> {
    let Some(text) = value.to_text() else {
        return Ok(None);
    };
    match kind {
        ColumnKind::Key | ColumnKind::Time | ColumnKind::Text => Ok(Some(text)),
        ColumnKind::Number if matches!(value, Value::Bool(_)) => Err("no number, stored as NULL"),
        ColumnKind::Number => match plain_decimal(&text) {
            Some(number) => Ok(Some(Cow::Owned(number))),
            None if text.trim().is_empty() => Ok(None),
            None => Err("no number, stored as NULL"),
        },
        ColumnKind::Bool => match truth(&text) {
            Some(true) => Ok(Some(Cow::Borrowed("1"))),
            Some(false) => Ok(Some(Cow::Borrowed("0"))),
            None => Err("neither true nor false, stored as NULL"),
        },
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "true" | "True" | "TRUE" | "yes" => Some(true),
        "0" | "false" | "False" | "FALSE" | "no" => Some(false),
        _ => None,
    }
}

fn is_true(value: &Value<'_>) -> bool {
    value
        .to_text()
        .and_then(|text| truth(&text))
        .unwrap_or(false)
}

#[cfg(test)]
mod tests;
