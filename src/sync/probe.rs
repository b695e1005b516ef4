//! Tells a table that takes no rows, or none of a kind, from a row that it does not take.

use crate::error::{Error, ErrorKind, Result};
use crate::sink::Sink;
use crate::tables::batch::{Batch, Row, Rows};
use crate::tables::schema::{Schema, Table};

/// Stored rows that are tried: some of them may be of the kind that the table refuses since yesterday.
const MAX_SAMPLES: usize = 20;

/// Rows that fail for what may pass, such as a lock: each may take a minute.
const MAX_WAITS: usize = 2;

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
/// Rows that it holds are written once more as they are, and copies of them are added under other keys. Where none of
/// these is taken, other rows that are to be written are tried, and a row with nothing but a key. All of it is undone. A
/// table that takes the rows that it holds, but refuses new ones for the same reason as the row, takes no new rows.
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
    let mut stored = Rows::new(schema.table(table).columns.len());
    match sink.sample(table, MAX_SAMPLES + 1, &mut stored) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::Setup | ErrorKind::Data) => {
            log::debug!("whether the table takes other rows can't be found out: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
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
    (rehearsal.waits, rehearsal.same) = (0, false);
    let copies = (samples.iter()).map(|row| (other_key(row.key()), Some(*row)));
    let mut taken = rehearsal.first_taken(copies);
    let only_twins = rehearsal.only_twins;
    if taken.is_none() {
        let others = others.iter().filter(|row| row.key() != key);
        let others = others.map(|row| (row.key().to_owned(), Some(*row)));
        taken = rehearsal.first_taken(others.take(MAX_SAMPLES));
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
    fn another_key_has_the_same_form() {
        assert_eq!(other_key("a1-F9_gZ ä"), "f8-E6_tS ä");
        assert_ne!(other_key("00ff"), "00ff");
    }
}
