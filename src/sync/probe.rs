//! Tells a table that takes no rows, or none of a kind, from a row that it does not take.

use crate::destination::sql::Sink;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::batch::{Batch, Row, Rows};
use crate::tables::schema::{ColumnKind, Schema, Table, TableSchema};

/// Stored rows that are tried: some of them may be of the kind that the table refuses since yesterday.
const MAX_SAMPLES: usize = 20;

/// Bytes of them after which no more are read: each may be as long as a document of Dialfire.
const MAX_SAMPLE_BYTES: usize = 8 << 20;

/// Columns of which another value is tried alone.
const MAX_COLUMNS: usize = 50;

/// Rows that fail for what may pass, such as a lock: each may take a minute.
const MAX_WAITS: usize = 2;

/// Before anything was written.
const LONG_AGO: &str = "1970-01-01T00:00:00Z";

/// What a table refuses, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All rows.
    All,
    /// Other values of rows that it holds.
    Changes,
    /// Rows that it does not hold yet.
    New,
}

/// A row that was refused, alone.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: &'a str,
    /// Why.
    pub reason: &'a Error,
}

/// What the table of a refused row refuses, whatever it is, and why; `None` where it takes rows of both kinds, or where
/// nothing tells.
///
/// Rows that it holds are written once more as they are, then those that are near to the refused one (see [`Near`]), and
/// copies of them are added under other keys. Where none of these is taken, other rows that are to be written are tried,
/// then copies with other values, as a trigger may refuse all copies for values that are there; and where all were refused
/// for the values of another row, a row with nothing but a key. All of it is undone. A table that takes the rows that it
/// holds, but refuses new ones for the same reason as the row, takes no new rows.
///
/// # Errors
/// What kept this from being found out.
pub fn refuses(
    sink: &mut dyn Sink,
    schema: &Schema,
    refused: Refused<'_>,
    others: &[Row<'_>],
) -> Result<Option<(Extent, Error)>> {
    let Refused { table, key, reason } = refused;
    let Some(keys) = readable(sink.sample(table, MAX_SAMPLES + 1))? else {
        return Ok(None);
    };
    let Some(stored) = stored_rows(sink, schema, table, &keys)? else {
        return Ok(None);
    };
    let mut rehearsal = Rehearsal {
        sink,
        schema,
        table,
        reason,
        waits: 0,
        same: false,
        only_twins: true,
    };
    let samples: Vec<Row<'_>> = (stored.iter())
        .filter(|row| row.key() != key)
        .take(MAX_SAMPLES)
        .collect();
    let mut changes = None;
    for row in &samples {
        changes = rehearsal.write(row.key(), Some(*row), false).err();
        if changes.is_none() || rehearsal.is_over() {
            break;
        }
    }
    // These may be protected, such as those of an old campaign in a shared table: nearer ones tell more.
    let near = match &changes {
        Some(_) => Near::read(rehearsal.sink, schema, refused, others)?,
        None => Near::default(),
    };
    rehearsal.waits = 0;
    for row in near.changes(others, key) {
        if rehearsal.is_over() {
            break;
        }
        if rehearsal.write(row.key(), Some(row), false).is_ok() {
            changes = None;
            break;
        }
    }
    (rehearsal.waits, rehearsal.same) = (0, false);
    let copies = (near.rows.iter().take(MAX_SAMPLES)).chain(samples.iter().copied());
    let copies = copies.map(|row| (other_key(row.key()), Some(row)));
    let mut taken = rehearsal.first_taken(copies);
    let only_twins = rehearsal.only_twins;
    if taken.is_none() {
        let new = not_stored(rehearsal.sink, table, key, others)?;
        let new = new.into_iter().map(|row| (row.key().to_owned(), Some(row)));
        taken = rehearsal.first_taken(new);
    }
    let pattern = near.rows.iter().next().or(samples.first().copied());
    let changed = pattern.map(|row| other_values(schema.table(table), row));
    if taken.is_none() {
        let copies = changed.iter().flat_map(Rows::iter);
        taken = rehearsal.first_taken(copies.map(|row| (other_key(row.key()), Some(row))));
    }
    // A copy has the unique values of a row that is there.
    if taken.is_none() && only_twins {
        taken = rehearsal.first_taken([(other_key(key), None)].into_iter());
    }
    match (changes, taken) {
        (Some(error), Some(_)) => Ok(Some((Extent::Changes, error))),
        (Some(error), None) if error.kind() == ErrorKind::Transient => Err(error),
        (Some(error), None) => Ok(Some((Extent::All, error))),
        // Nothing is stored, or nothing can be read: whether it could be changed, the statement alone tells.
        (None, Some((key, row))) if samples.is_empty() => {
            rehearsal.same = false;
            let error = rehearsal.write(&key, row, false).err();
            Ok(error
                .filter(|_| rehearsal.same)
                .map(|error| (Extent::Changes, error)))
        }
        (None, None) if rehearsal.same && samples.is_empty() => {
            Ok(Some((Extent::All, reason.clone())))
        }
        (None, None) if rehearsal.same => Ok(Some((Extent::New, reason.clone()))),
        (None, _) => Ok(None),
    }
}

/// Stored rows that are near to a refused one: its own version, those that others of its batch are to replace, and contacts
/// of its campaign.
#[derive(Default)]
struct Near {
    rows: Rows,
}

impl Near {
    /// Reads them; what can't be read is left out.
    fn read(
        sink: &mut dyn Sink,
        schema: &Schema,
        refused: Refused<'_>,
        others: &[Row<'_>],
    ) -> Result<Self> {
        let Refused { table, key, .. } = refused;
        let of_table = schema.table(table);
        let mut keys = vec![key.to_owned()];
        let others_of_batch = others
            .iter()
            .map(|row| row.key())
            .filter(|other| *other != key);
        keys.extend(others_of_batch.take(MAX_SAMPLES).map(str::to_owned));
        let campaign = (of_table.position("$campaign_id"))
            .and_then(|at| others.iter().find_map(|row| row.get(at)))
            .filter(|_| table == Table::Contacts);
        if let Some(campaign) = campaign {
            let of_campaign = sink.trusted_after(LONG_AGO, campaign, "", MAX_SAMPLES);
            keys.extend(readable(of_campaign)?.unwrap_or_default());
        }
        keys.sort_unstable();
        keys.dedup();
        let rows = stored_rows(sink, schema, table, &keys)?;
        Ok(rows.map_or_else(Near::default, |rows| Near { rows }))
    }

    /// What may be written in their places: those of the batch as they are to be, all others, and last the refused one, as
    /// they are.
    fn changes<'r>(&'r self, others: &'r [Row<'r>], key: &'r str) -> impl Iterator<Item = Row<'r>> {
        let of_batch = |stored: &str| others.iter().find(|row| row.key() == stored).copied();
        let (own, rest): (Vec<Row<'_>>, Vec<Row<'_>>) =
            self.rows.iter().partition(|row| row.key() == key);
        let rest = rest.into_iter();
        rest.take(MAX_SAMPLES)
            .map(move |row| of_batch(row.key()).unwrap_or(row))
            .chain(own)
    }
}

/// Some of the rows beside the one of this key, of those that the table does not hold: adding what is there adds nothing,
/// which proves nothing.
fn not_stored<'r>(
    sink: &mut dyn Sink,
    table: Table,
    key: &str,
    others: &[Row<'r>],
) -> Result<Vec<Row<'r>>> {
    let others: Vec<Row<'_>> = (others.iter().copied())
        .filter(|row| row.key() != key)
        .take(MAX_SAMPLES)
        .collect();
    if others.is_empty() {
        return Ok(others);
    }
    let keys: Vec<&str> = others.iter().map(|row| row.key()).collect();
    let Some(stored) = readable(sink.present(table, &keys, &[]))? else {
        return Ok(Vec::new());
    };
    let is_stored = |row: &Row<'_>| {
        let key = row.key();
        stored
            .iter()
            .any(|there| there.key.eq_ignore_ascii_case(key))
    };
    Ok(others.into_iter().filter(|row| !is_stored(row)).collect())
}

/// The rows with these keys, as far as they are short enough together; `None` where the database refuses that. Each is read
/// alone: where some are long, all of them would be more than an answer may have.
fn stored_rows(
    sink: &mut dyn Sink,
    schema: &Schema,
    table: Table,
    keys: &[String],
) -> Result<Option<Rows>> {
    let mut rows = Rows::new(schema.table(table).columns.len());
    for key in keys {
        if rows.bytes() >= MAX_SAMPLE_BYTES {
            break;
        }
        if readable(sink.rows(table, &[key], &mut rows))?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(rows))
}

/// What was read; `None` where the database refuses that.
fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), ErrorKind::Setup | ErrorKind::Data) => {
            log::debug!("whether the table takes other rows can't be found out: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Rows that are written and undone, and what came of them.
struct Rehearsal<'a> {
    sink: &'a mut dyn Sink,
    schema: &'a Schema,
    table: Table,
    reason: &'a Error,
    /// Those that failed for what may pass.
    waits: usize,
    /// Whether one was refused for the reason.
    same: bool,
    /// Whether all that were added were refused for the values of another row.
    only_twins: bool,
}

impl<'a> Rehearsal<'a> {
    /// Whether enough of them failed for what may pass.
    fn is_over(&self) -> bool {
        self.waits >= MAX_WAITS
    }

    /// The first of these rows that can be added.
    fn first_taken<'r>(
        &mut self,
        rows: impl Iterator<Item = (String, Option<Row<'r>>)>,
    ) -> Option<(String, Option<Row<'r>>)> {
        for (key, row) in rows {
            if self.is_over() {
                break;
            }
            match self.write(&key, row, true) {
                Ok(()) => return Some((key, row)),
                Err(error) => self.only_twins &= error.is_of_row(),
            }
        }
        None
    }

    /// Writes one row under this key, with the other values of `row`, and undoes it.
    fn write(&mut self, key: &str, row: Option<Row<'_>>, only_adds: bool) -> Result<()> {
        let mut batch = Batch::for_schema(self.schema);
        batch.begin_unit();
        batch.is_rehearsal = true;
        batch.only_adds = [only_adds; 5];
        let rows = batch.rows_mut(self.table);
        rows.begin();
        for (column, value) in row.into_iter().flat_map(|row| row.values()).enumerate() {
            if let Some(value) = value {
                rows.set(column, value);
            }
        }
        rows.set(0, key);
        let done = self.sink.write(&batch);
        if let Err(error) = &done {
            self.waits += usize::from(error.kind() == ErrorKind::Transient);
            self.same |= !error.is_of_row() && error.message() == self.reason.message();
        }
        done
    }
}

/// Copies of a row with other values of the same form: one that has others in all columns that may have any, and for each of
/// the first of these columns one that has another one there. What a row belongs to stays: it may be that which is refused.
fn other_values(schema: &TableSchema, row: Row<'_>) -> Rows {
    let may_have_any = |at: usize| {
        let column = schema.columns.get(at);
        column.is_some_and(|column| {
            matches!(column.kind, ColumnKind::Text | ColumnKind::Number)
                && !column.name.ends_with("_id")
        })
    };
    let columns: Vec<usize> = (1..schema.columns.len())
        .filter(|at| row.get(*at).is_some() && may_have_any(*at))
        .collect();
    let mut copies = Rows::new(schema.columns.len());
    let mut copy = |changed: &[usize]| {
        copies.begin();
        for (at, value) in row.values().enumerate() {
            match value {
                Some(value) if changed.contains(&at) => copies.set(at, &other_key(value)),
                Some(value) => copies.set(at, value),
                None => {}
            }
        }
    };
    copy(&columns);
    for column in columns.iter().take(MAX_COLUMNS) {
        copy(&[*column]);
    }
    copies
}

/// Another key of the same form, which nothing has.
fn other_key(key: &str) -> String {
    let other = |c: char| match c {
        '0'..='9' => rotated(c, '0', 10, 7),
        'a'..='f' => rotated(c, 'a', 6, 5),
        'A'..='F' => rotated(c, 'A', 6, 5),
        'g'..='z' => rotated(c, 'g', 20, 13),
        'G'..='Z' => rotated(c, 'G', 20, 13),
        other => other,
    };
    key.chars().map(other).collect()
}

fn rotated(c: char, first: char, count: u32, by: u32) -> char {
    let place = u32::from(c).saturating_sub(u32::from(first));
    char::from_u32(u32::from(first) + (place + by) % count).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_other_values_and_belong_to_the_same() {
        let schema = Schema::new("t_");
        let table = schema.table(Table::Transactions);
        let at = |name| table.position(name).unwrap_or_default();
        let (contact, task, user) = (at("contact_id"), at("task"), at("user"));
        let mut rows = Rows::new(table.columns.len());
        rows.begin();
        for (column, value) in [(0, "k"), (contact, "c1"), (task, "abc"), (user, "2024")] {
            rows.set(column, value);
        }
        let copies = other_values(table, rows.row(0));
        let values = |column: usize| -> Vec<Option<&str>> {
            copies.iter().map(|row| row.get(column)).collect()
        };
        assert_eq!(values(0), [Some("k"); 3]);
        assert_eq!(values(contact), [Some("c1"); 3]);
        assert_eq!(
            values(task).iter().filter(|v| **v == Some("fab")).count(),
            2
        );
        assert_eq!(
            values(user).iter().filter(|v| **v == Some("9791")).count(),
            2
        );
    }

    #[test]
    fn another_key_has_the_same_form() {
        assert_eq!(other_key("a1-F9_gZ ä"), "f8-E6_tS ä");
        assert_ne!(other_key("00ff"), "00ff");
    }
}
