//! The true rows of a contact, by the rules of the tables; the answer that a client is measured by.

use std::collections::BTreeMap;

use super::document::{Connection, Contact, Fields, Recording, Transaction, Value};
use super::fields::Field;
use super::ids::md5_hex;
use super::numbers::normalise;

/// Column name (the API's) → value; `None`, or no such column, is NULL.
pub type Row = BTreeMap<String, Option<String>>;

/// Primary key → row.
pub type Rows = BTreeMap<String, Row>;

/// Which transactions have rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterMode {
    /// All.
    All,
    /// `updates_only`
    UpdatesOnly,
    /// `hi_updates_only`
    HiUpdatesOnly,
}

/// What a client was told to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthFilter {
    /// `--fm`
    pub mode: FilterMode,
    /// `--fp`
    pub prefixes: Vec<String>,
    /// How many custom fields are columns.
    pub fields: usize,
}

impl Default for TruthFilter {
    fn default() -> Self {
        TruthFilter {
            mode: FilterMode::All,
            prefixes: Vec::new(),
            fields: 100,
        }
    }
}

/// The rows of the five tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// By `$id`.
    pub contacts: Rows,
    /// By `id`, as the following ones.
    pub transactions: Rows,
    /// Connections.
    pub connections: Rows,
    /// Recordings.
    pub recordings: Rows,
    /// Inbound calls.
    pub inbound_calls: Rows,
}

impl Truth {
    /// The tables with their names (without prefix).
    pub fn tables(&self) -> [(&'static str, &Rows); 5] {
        [
            ("contacts", &self.contacts),
            ("transactions", &self.transactions),
            ("connections", &self.connections),
            ("recordings", &self.recordings),
            ("inbound_calls", &self.inbound_calls),
        ]
    }

    /// Number of rows per table.
    pub fn counts(&self) -> [usize; 5] {
        self.tables().map(|(_, rows)| rows.len())
    }

    /// Adds the rows of another one.
    ///
    /// # Panics
    /// If a key occurs in both: the simulator promises that none does.
    pub fn extend(&mut self, other: Truth) {
        let tables = [
            (&mut self.contacts, other.contacts),
            (&mut self.transactions, other.transactions),
            (&mut self.connections, other.connections),
            (&mut self.recordings, other.recordings),
            (&mut self.inbound_calls, other.inbound_calls),
        ];
        for (rows, more) in tables {
            for (key, row) in more {
                insert(rows, key, row);
            }
        }
    }
}

fn insert(rows: &mut Rows, key: String, row: Row) {
    let old = rows.insert(key.clone(), row);
    assert!(old.is_none(), "the key {key} occurs twice");
}

/// System columns of contacts, apart from those that only some documents have.
const CONTACT: [&str; 21] = [
    "$id",
    "$md5",
    "$ref",
    "$version",
    "$campaign_id",
    "$task_id",
    "$task",
    "$status",
    "$status_detail",
    "$created_date",
    "$entry_date",
    "$owner",
    "$follow_up_date",
    "$phone",
    "$timezone",
    "$caller_id",
    "$source",
    "$comment",
    "$error",
    "$recording",
    "$recording_url",
];
const TRANSACTION: [&str; 13] = [
    "task_id",
    "task",
    "status",
    "status_detail",
    "fired",
    "user",
    "user_loginName",
    "user_branch",
    "user_tenantAlias",
    "actor",
    "type",
    "result",
    "trigger",
];
const TRANSACTION_NUMBERS: [&str; 4] = [
    "pause_time_sec",
    "edit_time_sec",
    "wrapup_time_sec",
    "wait_time_sec",
];
const CONNECTION: [&str; 22] = [
    "transfer_target_address",
    "call_uuid",
    "global_call_uuid",
    "task_id",
    "phone",
    "user",
    "actor",
    "hangup_party",
    "dialerdomain",
    "fired",
    "started",
    "initiated",
    "connected",
    "disconnected",
    "ended",
    "remote_number",
    "line_number",
    "technology",
    "result",
    "call_initiated",
    "call_connected",
    "call_disconnected",
];
const RECORDING: [&str; 4] = ["started", "stopped", "filename", "location"];

/// A value in a text column.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Missing | Value::Empty | Value::Null => None,
        Value::Bool(yes) => Some(if *yes { "1" } else { "0" }.to_owned()),
        Value::Number(token) => Some(token.to_string()),
        Value::String(text) => (!text.is_empty()).then(|| text.to_string()),
        Value::Json(json) => Some(json.to_string()),
    }
}

/// A value in a number column.
pub fn number(value: &Value) -> Option<String> {
    match value {
        Value::Number(token) => normalise(token),
        Value::String(text) => normalise(text.trim_matches(' ')),
        _ => None,
    }
}

/// A value in a bool column.
pub fn boolean(value: &Value) -> Option<String> {
    match value {
        Value::Bool(yes) => Some(if *yes { "1" } else { "0" }.to_owned()),
        _ => None,
    }
}

fn texts(row: &mut Row, fields: &Fields, columns: &[&str]) {
    for column in columns {
        row.insert((*column).to_owned(), text(fields.get(column)));
    }
}

/// The rows of one contact; `custom` are the fields that the campaign's list shows, deleted ones included.
pub fn of_contact(contact: &Contact, filter: &TruthFilter, custom: &[Field]) -> Truth {
    let mut truth = Truth::default();
    let mut row = Row::new();
    texts(&mut row, &contact.fields, &CONTACT);
    for (name, _) in &contact.fields.0 {
        if name.starts_with('$') && name != "$changed" {
            row.insert(name.to_string(), text(contact.fields.get(name)));
        }
    }
    for field in custom.iter().filter(|f| !f.deleted).take(filter.fields) {
        let value = contact.fields.get(&field.name);
        let cell = if field.is_number() {
            number(value)
        } else {
            text(value)
        };
        row.insert(field.name.clone(), cell);
    }
    truth.contacts.insert(contact.id().to_owned(), row);

    let transactions: Vec<&Transaction> = contact
        .log
        .elements()
        .flatten()
        .flat_map(|entry| entry.transactions.elements().flatten())
        .collect();
    for (at, transaction) in transactions.iter().enumerate() {
        let Value::String(fired) = transaction.fields.get("fired") else {
            continue;
        };
        let order = |at: usize, t: &Transaction| (sequence(t), at);
        let is_first = transactions.iter().enumerate().all(|(other, t)| {
            t.fields.get("fired") != transaction.fields.get("fired")
                || order(at, transaction) <= order(other, t)
        });
        let id = if is_first {
            md5_hex(&[contact.id(), fired])
        } else {
            md5_hex(&[contact.id(), fired, &sequence(transaction).to_string()])
        };
        if passes(transaction, filter) {
            add_transaction(&mut truth, contact.id(), id, transaction);
        }
    }
    truth
}

fn sequence(transaction: &Transaction) -> i64 {
    match transaction.fields.get("sequence_nr") {
        Value::Number(token) => token.parse().unwrap_or(i64::MAX),
        _ => i64::MAX,
    }
}

/// The local filter: a missing value passes, but `hi` needs a user.
fn passes(transaction: &Transaction, filter: &TruthFilter) -> bool {
    let cell = |name: &str| text(transaction.fields.get(name));
    let is_update = cell("type").is_none_or(|t| t == "update");
    let is_human = cell("user").is_some() && cell("status_detail").as_deref() != Some("$assigned");
    let mode = match filter.mode {
        FilterMode::All => true,
        FilterMode::UpdatesOnly => is_update,
        FilterMode::HiUpdatesOnly => is_update && is_human,
    };
    mode && (filter.prefixes.is_empty()
        || cell("task").is_none_or(|task| filter.prefixes.iter().any(|p| task.starts_with(p))))
}

fn add_transaction(truth: &mut Truth, contact: &str, id: String, transaction: &Transaction) {
    let mut row = Row::new();
    texts(&mut row, &transaction.fields, &TRANSACTION);
    for column in TRANSACTION_NUMBERS {
        row.insert(column.to_owned(), number(transaction.fields.get(column)));
    }
    for column in ["isHI", "revoked"] {
        row.insert(column.to_owned(), boolean(transaction.fields.get(column)));
    }
    row.insert("id".to_owned(), Some(id.clone()));
    row.insert("contact_id".to_owned(), Some(contact.to_owned()));
    insert(&mut truth.transactions, id.clone(), row);
    let mut before = None;
    for connection in transaction.connections.elements() {
        let own = connection.and_then(|c| connection_id(&id, c));
        if let Some(connection) = connection {
            let is_transfer =
                text(connection.fields.get("technology")).as_deref() == Some("transfer");
            let parent = before.filter(|_| is_transfer);
            add_connection(truth, contact, &id, parent, connection);
        }
        before = own;
    }
}

fn connection_id(transaction: &str, connection: &Connection) -> Option<String> {
    text(connection.fields.get("id")).or_else(|| {
        let fired = text(connection.fields.get("fired"))?;
        Some(md5_hex(&[transaction, &fired]))
    })
}

fn add_connection(
    truth: &mut Truth,
    contact: &str,
    transaction: &str,
    parent: Option<String>,
    connection: &Connection,
) {
    let Some(id) = connection_id(transaction, connection) else {
        return;
    };
    if text(connection.fields.get("disconnected")).is_none() {
        return;
    }
    let mut row = Row::new();
    texts(&mut row, &connection.fields, &CONNECTION);
    for column in ["duration", "code"] {
        row.insert(column.to_owned(), number(connection.fields.get(column)));
    }
    let third = text(connection.fields.get("isThirdPartyConnection"));
    let third = matches!(third.as_deref(), Some("1" | "true"));
    row.insert(
        "isThirdPartyConnection".to_owned(),
        Some(if third { "1" } else { "0" }.to_owned()),
    );
    row.insert("id".to_owned(), Some(id.clone()));
    row.insert("parent_connection_id".to_owned(), parent);
    row.insert("transaction_id".to_owned(), Some(transaction.to_owned()));
    row.insert("contact_id".to_owned(), Some(contact.to_owned()));
    insert(&mut truth.connections, id.clone(), row);
    for recording in connection.recordings.elements().flatten() {
        add_recording(truth, contact, &id, recording);
    }
    for leg in connection.third_party.elements().flatten() {
        add_connection(truth, contact, transaction, Some(id.clone()), leg);
    }
}

fn add_recording(truth: &mut Truth, contact: &str, connection: &str, recording: &Recording) {
    let id = match recording.fields.get("location") {
        Value::String(location) => md5_hex(&[connection, location]),
        _ => {
            let started = text(recording.fields.get("started")).unwrap_or_default();
            md5_hex(&[connection, &started])
        }
    };
    let mut row = Row::new();
    texts(&mut row, &recording.fields, &RECORDING);
    row.insert("id".to_owned(), Some(id.clone()));
    row.insert("contact_id".to_owned(), Some(contact.to_owned()));
    row.insert("connection_id".to_owned(), Some(connection.to_owned()));
    insert(&mut truth.recordings, id, row);
}

/// The row of an inbound call.
pub fn of_inbound(call: &Fields) -> Row {
    let mut row = Row::new();
    texts(
        &mut row,
        call,
        &[
            "id",
            "line_id",
            "campaign_id",
            "task_id",
            "task_name",
            "contact_id",
            "user",
            "state",
            "connectable_time",
            "disposition",
        ],
    );
    for (name, column) in [
        ("calling_number", "remote_number"),
        ("called_number", "line_number"),
        ("call_time", "started"),
        ("connect_time", "connected"),
        ("hangup_time", "disconnected"),
    ] {
        row.insert(column.to_owned(), text(call.get(name)));
    }
    row.insert(
        "dispatch_error".to_owned(),
        boolean(call.get("dispatch_error")),
    );
    row
}
