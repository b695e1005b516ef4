//! The five tables: names, columns, kinds, keys and indexes, written down once.
//!
//! Names and order are those of the vendor's client 1.15.0, so that existing reports go on working;
//! `wait_time_sec` comes from a newer version of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One of the five tables; `as usize`-free through [`Table::index`].
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row per contact.
    #[default]
    Contacts,
    /// One row per transaction of a contact.
    Transactions,
    /// One row per phone connection of a transaction.
    Connections,
    /// One row per recording of a connection.
    Recordings,
    /// One row per inbound call.
    InboundCalls,
}

impl Table {
    /// All tables, in the order in which they are written.
    pub const ALL: [Table; 5] = [
        Table::Contacts,
        Table::Transactions,
        Table::Connections,
        Table::Recordings,
        Table::InboundCalls,
    ];

    /// Position in [`Table::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Table::Contacts => 0,
            Table::Transactions => 1,
            Table::Connections => 2,
            Table::Recordings => 3,
            Table::InboundCalls => 4,
        }
    }

    /// The name behind the table prefix.
    pub const fn suffix(self) -> &'static str {
        match self {
            Table::Contacts => "contacts",
            Table::Transactions => "transactions",
            Table::Connections => "connections",
            Table::Recordings => "recordings",
            Table::InboundCalls => "inbound_calls",
        }
    }

    /// The primary key column, always the first column.
    pub const fn key(self) -> &'static str {
        match self {
            Table::Contacts => "$id",
            _ => "id",
        }
    }

    /// Columns that get an index of their own, besides the primary key. Each inner list is one index.
    pub const fn indexes(self) -> &'static [&'static [&'static str]] {
        match self {
            Table::Contacts => &[],
            Table::Transactions => &[&["contact_id"], &["fired"]],
            Table::Connections => &[&["contact_id"], &["transaction_id"], &["fired"]],
            Table::Recordings => &[&["contact_id"], &["connection_id"]],
            Table::InboundCalls => &[&["contact_id"], &["started"]],
        }
    }
}

/// What a column holds; each database chooses its type for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// An id: up to 100 characters, compared exactly, can be indexed.
    Key,
    /// A short text that is indexed as a time is: up to 100 characters (`fired`, `started` of inbound calls).
    Time,
    /// Text of any length.
    Text,
    /// A decimal number of any size; values arrive as plain decimal text such as `-12.5`, never with an exponent.
    Number,
    /// Values arrive as `1` or `0`.
    Bool,
}

/// One column as we want it; the database's real type may differ and is the sink's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name in the database, unquoted.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// One table as we want it. The first column is the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Which table.
    pub table: Table,
    /// Full name with prefix, unquoted.
    pub name: String,
    /// Columns in order. While running, columns are only ever added at the end.
    pub columns: Vec<Column>,
}

impl TableSchema {
    /// Position of a column by its name.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == column)
    }
}

/// All five tables, in the order of [`Table::ALL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    tables: [Arc<TableSchema>; 5],
}

impl Schema {
    /// The tables with this prefix; contacts have the system columns only, custom fields are added by
    /// [`Schema::with_contact_columns`].
    pub fn new(prefix: &str) -> Self {
        Schema {
            tables: Table::ALL.map(|table| {
                Arc::new(TableSchema {
                    table,
                    name: format!("{prefix}{}", table.suffix()),
                    columns: columns(table)
                        .iter()
                        .map(|(name, kind)| Column {
                            name: (*name).to_owned(),
                            kind: *kind,
                        })
                        .collect(),
                })
            }),
        }
    }

    /// The same tables with these columns behind the system columns of contacts.
    #[must_use]
    pub fn with_contact_columns(&self, more: impl IntoIterator<Item = Column>) -> Self {
        let mut schema = self.clone();
        let [contacts, ..] = &mut schema.tables;
        Arc::make_mut(contacts).columns.extend(more);
        schema
    }

    /// The same tables; this column of contacts holds something else.
    #[must_use]
    pub fn with_contact_kind(&self, column: usize, kind: ColumnKind) -> Self {
        let mut schema = self.clone();
        let [contacts, ..] = &mut schema.tables;
        if let Some(column) = Arc::make_mut(contacts).columns.get_mut(column) {
            column.kind = kind;
        }
        schema
    }

    /// One table.
    pub fn table(&self, table: Table) -> &Arc<TableSchema> {
        let [
            contacts,
            transactions,
            connections,
            recordings,
            inbound_calls,
        ] = &self.tables;
        match table {
            Table::Contacts => contacts,
            Table::Transactions => transactions,
            Table::Connections => connections,
            Table::Recordings => recordings,
            Table::InboundCalls => inbound_calls,
        }
    }

    /// All tables in the order of [`Table::ALL`].
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.tables.iter()
    }
}

/// The fixed columns of a table, in order, key first.
pub fn columns(table: Table) -> &'static [(&'static str, ColumnKind)] {
    use ColumnKind::{Bool, Key, Number, Text, Time};
    match table {
        Table::Contacts => &[
            ("$id", Key),
            ("$md5", Text),
            ("$ref", Text),
            ("$version", Text),
            ("$campaign_id", Text),
            ("$task_id", Text),
            ("$task", Text),
            ("$status", Text),
            ("$status_detail", Text),
            ("$created_date", Text),
            ("$entry_date", Text),
            ("$owner", Text),
            ("$follow_up_date", Text),
            ("$phone", Text),
            ("$timezone", Text),
            ("$caller_id", Text),
            ("$source", Text),
            ("$comment", Text),
            ("$error", Text),
            ("$recording", Text),
            ("$recording_url", Text),
            ("$changed", Text),
        ],
        Table::Transactions => &[
            ("id", Key),
            ("contact_id", Key),
            ("task_id", Text),
            ("task", Text),
            ("status", Text),
            ("status_detail", Text),
            ("fired", Time),
            ("pause_time_sec", Number),
            ("edit_time_sec", Number),
            ("wrapup_time_sec", Number),
            ("wait_time_sec", Number),
            ("user", Text),
            ("user_loginName", Text),
            ("user_branch", Text),
            ("user_tenantAlias", Text),
            ("actor", Text),
            ("type", Text),
            ("result", Text),
            ("trigger", Text),
            ("isHI", Bool),
            ("revoked", Bool),
            ("$changed", Text),
        ],
        Table::Connections => &[
            ("id", Key),
            ("parent_connection_id", Key),
            ("transfer_target_address", Text),
            ("call_uuid", Text),
            ("global_call_uuid", Text),
            ("transaction_id", Key),
            ("task_id", Text),
            ("contact_id", Key),
            ("phone", Text),
            ("user", Text),
            ("actor", Text),
            ("hangup_party", Text),
            ("isThirdPartyConnection", Text),
            ("dialerdomain", Text),
            ("fired", Time),
            ("started", Text),
            ("initiated", Text),
            ("connected", Text),
            ("disconnected", Text),
            ("ended", Text),
            ("duration", Number),
            ("remote_number", Text),
            ("line_number", Text),
            ("technology", Text),
            ("result", Text),
            ("code", Number),
            ("call_initiated", Text),
            ("call_connected", Text),
            ("call_disconnected", Text),
            ("$changed", Text),
        ],
        Table::Recordings => &[
            ("id", Key),
            ("contact_id", Key),
            ("connection_id", Key),
            ("started", Text),
            ("stopped", Text),
            ("filename", Text),
            ("location", Text),
            ("$changed", Text),
        ],
        Table::InboundCalls => &[
            ("id", Key),
            ("line_id", Text),
            ("campaign_id", Text),
            ("task_id", Text),
            ("task_name", Text),
            ("contact_id", Key),
            ("remote_number", Text),
            ("line_number", Text),
            ("started", Time),
            ("connected", Text),
            ("disconnected", Text),
            ("user", Text),
            ("state", Text),
            ("connectable_time", Text),
            ("disposition", Text),
            ("dispatch_error", Bool),
            ("$changed", Text),
        ],
    }
}
