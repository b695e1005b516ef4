//! Campaign fields and the keys of documents as columns of the contacts table: names, kinds, collisions, limits.

use std::collections::{HashMap, HashSet};

use md5::{Digest, Md5};

use super::schema::{Column, ColumnKind, Schema, Table};

/// How many custom fields become columns (`--fields`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldLimit {
    /// The first fields of the campaign's list, up to this number.
    First(usize),
    /// All that the database can hold.
    All,
}

/// How a database compares and limits the names of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// The longest name, in `unit`s.
    pub longest: usize,
    /// What `longest` counts.
    pub unit: NameUnit,
    /// Whether names that differ only in case are the same column.
    pub ignores_case: bool,
}

impl Naming {
    /// Names that the database may take for the same give the same.
    pub fn folded(&self, name: &str) -> String {
        if self.ignores_case {
            name.chars().map(folded_char).collect()
        } else {
            name.to_owned()
        }
    }

    /// A name for a key whose own name is taken or doesn't fit: as much of it as fits, and a suffix that depends on the
    /// key alone, so that it is the same after every restart.
    pub fn distinct(&self, key: &str) -> String {
        let room = self.longest.saturating_sub(SUFFIX_LENGTH);
        let mut stem = String::new();
        for c in key.chars() {
            let before = stem.len();
            stem.push(if fits_in_a_name(c, self.unit) { c } else { '_' });
            if length(&stem, self.unit) > room {
                stem.truncate(before);
                break;
            }
        }
        format!("{stem}_{}", hash(key))
    }
}

/// Characters of what is put behind a name to make it distinct.
const SUFFIX_LENGTH: usize = 9;

fn hash(key: &str) -> String {
    Md5::digest(key.as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a name is one that [`Naming::distinct`] gave to a key that fits as it is.
fn is_distinct_name(name: &str) -> bool {
    name.rsplit_once('_')
        .is_some_and(|(key, suffix)| hash(key) == suffix)
}

/// What the length of a name is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameUnit {
    /// UTF-8 bytes.
    Bytes,
    /// Characters of the Basic Multilingual Plane; others can't stand in a name there.
    BmpCharacters,
}

/// A custom field of the campaign, as far as its column is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomField {
    /// The key in contact documents.
    pub key: String,
    /// Whether the campaign calls it a number.
    pub is_number: bool,
}

impl CustomField {
    fn kind(&self) -> ColumnKind {
        if self.is_number {
            ColumnKind::Number
        } else {
            ColumnKind::Text
        }
    }
}

/// Where the value of a document's key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Into this column of the contacts table.
    Column(usize, ColumnKind),
    /// Nowhere: a deleted field, one beyond `--fields`, or one that the database can't hold.
    Ignored,
}

/// More columns than any of the databases can hold; beyond it, keys are ignored.
const MAX_COLUMNS: usize = 2000;

/// Columns that every table of PostgreSQL has without being asked; no other may be called so.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// The most keys of documents that are remembered.
const MAX_KEYS: usize = 20_000;

/// The contacts table of one run: which key of a document goes into which column.
///
/// It only grows while the program runs, so that rows read with an earlier layout still fit.
#[derive(Debug, Clone)]
pub struct Layout {
    schema: Schema,
    slots: HashMap<String, Slot>,
    taken: HashSet<String>,
    naming: Naming,
    limit: FieldLimit,
    custom: usize,
}

impl Layout {
    /// The system columns only. `existing` are the columns that the contacts table has already: those that begin
    /// with `$` are taken over, as earlier documents carried them.
    pub fn new(prefix: &str, naming: Naming, limit: FieldLimit, existing: &[String]) -> Self {
        let schema = Schema::new(prefix);
        let mut layout = Layout {
            schema: schema.clone(),
            slots: HashMap::new(),
            taken: HashSet::new(),
            naming,
            limit,
            custom: 0,
        };
        for (index, column) in schema.table(Table::Contacts).columns.iter().enumerate() {
            layout.taken.insert(layout.folded(&column.name));
            layout
                .slots
                .insert(column.name.clone(), Slot::Column(index, column.kind));
        }
        // The column is ours: it holds the time of writing. A document's own `$changed` must not reach it.
        layout.ignore("$changed");
        layout.ignore("$task_log");
        // Those with a suffix of ours come back with their keys.
        let takes_over = |name: &&String| name.starts_with('$') && !is_distinct_name(name);
        for name in existing.iter().filter(takes_over) {
            layout.add_system_key(name);
        }
        layout
    }

    /// The tables with all columns known so far.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Where a key's value goes; `None` for a key never seen. When so many keys were seen that no campaign can mean
    /// them, further ones are ignored.
    pub fn slot(&self, key: &str) -> Option<Slot> {
        let full = self.slots.len() >= MAX_KEYS;
        self.slots
            .get(key)
            .copied()
            .or(full.then_some(Slot::Ignored))
    }

    /// Adds columns for the campaign's fields in their order, up to the limit of `--fields`; returns how many were
    /// new. `existing` are the columns of the contacts table in the database: of fields that differ only in case,
    /// the one that is spelt like an existing column keeps its plain name, else the first.
    pub fn add_fields(&mut self, fields: &[CustomField], existing: &[String]) -> usize {
        let mut new: Vec<&CustomField> = Vec::new();
        let mut keys = HashSet::new();
        for field in fields {
            if self.is_placed(&field.key)
                || field.key.starts_with('$')
                || keys.contains(field.key.as_str())
            {
                continue;
            }
            match self.limit {
                FieldLimit::First(most) if self.custom >= most => self.ignore(&field.key),
                _ => {
                    self.custom += 1;
                    keys.insert(field.key.as_str());
                    new.push(field);
                }
            }
        }
        let count = new.len();
        let (spelt_alike, others): (Vec<_>, Vec<_>) = new
            .into_iter()
            .partition(|field| existing.contains(&field.key));
        for field in spelt_alike.into_iter().chain(others) {
            self.place(&field.key, field.kind());
        }
        count
    }

    /// Fields that have a column and another type by now; returns how many. The column in the database stays: it is
    /// widened when a value needs it.
    pub fn retype_fields(&mut self, fields: &[CustomField]) -> usize {
        let mut count = 0;
        for (nth, field) in fields.iter().enumerate() {
            let is_first = fields.iter().take(nth).all(|other| other.key != field.key);
            if let Some(Slot::Column(index, kind)) = self.slots.get(&field.key).copied()
                && kind != field.kind()
                && is_first
                && !field.key.starts_with('$')
            {
                let slot = Slot::Column(index, field.kind());
                self.slots.insert(field.key.clone(), slot);
                self.schema = self.schema.with_contact_kind(index, field.kind());
                count += 1;
            }
        }
        count
    }

    /// Adds a text column for a `$…` key that a document showed; false where the key is known.
    pub fn add_system_key(&mut self, key: &str) -> bool {
        let new = !self.slots.contains_key(key);
        if new {
            self.place(key, ColumnKind::Text);
        }
        new
    }

    /// From now on the key's value goes nowhere, and the key counts as known.
    pub fn ignore(&mut self, key: &str) {
        self.slots.insert(key.to_owned(), Slot::Ignored);
    }

    /// The keys of all custom fields that have a column, in a fixed order: what the rows depend on besides the
    /// documents.
    pub fn custom_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self
            .slots
            .keys()
            .map(String::as_str)
            .filter(|key| !key.starts_with('$') && self.is_placed(key))
            .collect();
        keys.sort_unstable();
        keys
    }

    fn is_placed(&self, key: &str) -> bool {
        matches!(self.slots.get(key), Some(Slot::Column(..)))
    }

    fn place(&mut self, key: &str, kind: ColumnKind) {
        let index = self.schema.table(Table::Contacts).columns.len();
        if index >= MAX_COLUMNS {
            self.ignore(key);
            return;
        }
        let name = if is_name(key, self.naming) && !self.taken.contains(&self.folded(key)) {
            key.to_owned()
        } else {
            self.naming.distinct(key)
        };
        self.taken.insert(self.folded(&name));
        self.schema = self.schema.with_contact_columns([Column { name, kind }]);
        self.slots.insert(key.to_owned(), Slot::Column(index, kind));
    }

    fn folded(&self, name: &str) -> String {
        self.naming.folded(name)
    }
}

/// Characters that some database takes for the same give the same. Databases fold character by character, so that `ς` is
/// `σ` and `İ` is `i`; to fold more than one of them does costs a suffix, to fold less would cost the column.
fn folded_char(c: char) -> char {
    let mut upper = c.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(only), None) => only,
        _ => c,
    };
    upper.to_lowercase().next().unwrap_or(upper)
}

/// Whether a key can stand as the name of a column as it is.
fn is_name(key: &str, naming: Naming) -> bool {
    !key.is_empty()
        && length(key, naming.unit) <= naming.longest
        && key.chars().all(|c| fits_in_a_name(c, naming.unit))
        && !key.ends_with(char::is_whitespace)
        // Only PostgreSQL tells names apart by case.
        && (naming.ignores_case || !SYSTEM_COLUMNS.contains(&key))
}

fn length(name: &str, unit: NameUnit) -> usize {
    match unit {
        NameUnit::Bytes => name.len(),
        NameUnit::BmpCharacters => name.chars().count(),
    }
}

fn fits_in_a_name(c: char, unit: NameUnit) -> bool {
    !c.is_control() && (unit == NameUnit::Bytes || u32::from(c) <= 0xFFFF)
}

#[cfg(test)]
mod tests;
