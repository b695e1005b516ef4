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

/// What the table refuses, whatever it is, and why; `None` where it takes rows of both kinds, or where nothing tells.
///
/// Rows that it holds are written once more as they are, and copies of them under other keys; to an empty table, a row
/// with nothing but a key. All of it is undone. `key` and `reason` are those of the row that was refused: a table that
/// takes the rows that it holds, but refuses new ones for the same reason, takes no new rows.
///
/// # Errors
/// What kept this from being found out.
pub fn refuses(
    sink: &mut dyn Sink,
    schema: &Schema,
    table: Table,
    key: &str,
    reason: &Error,
) -> Result<Option<(Extent, Error)>> {
    let mut stored = Rows::new(schema.table(table).columns.len());
    match sink.sample(table, MAX_SAMPLES + 1, &mut stored) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::Setup | ErrorKind::Data) => {
            log::debug!("whether the table takes other rows can't be found out: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let samples: Vec<Row<'_>> = (stored.iter())
        .filter(|row| row.key() != key)
        .take(MAX_SAMPLES)
        .collect();
    let mut waits = 0;
    let mut changes = None;
    for row in &samples {
        let Err(error) = rehearse(sink, schema, table, row.key(), Some(*row)) else {
            changes = None;
            break;
        };
        waits += usize::from(error.kind() == ErrorKind::Transient);
        changes = Some(error);
        if waits >= MAX_WAITS {
            break;
        }
    }
    let (mut waits, mut same, mut taken, mut only_twins) = (0, false, false, true);
    for row in &samples {
        let Err(error) = rehearse(sink, schema, table, &other_key(row.key()), Some(*row)) else {
            taken = true;
            break;
        };
        same |= !error.is_of_row() && error.message() == reason.message();
        only_twins &= error.is_of_row();
        waits += usize::from(error.kind() == ErrorKind::Transient);
        if waits >= MAX_WAITS {
            break;
        }
    }
    // A copy has the unique values of a row that is there.
    if !taken && only_twins {
        match rehearse(sink, schema, table, &other_key(key), None) {
            Ok(()) => taken = true,
            Err(error) => same |= !error.is_of_row() && error.message() == reason.message(),
        }
    }
    match changes {
        Some(error) if taken => Ok(Some((Extent::Changes, error))),
        Some(error) if error.kind() == ErrorKind::Transient => Err(error),
        Some(error) => Ok(Some((Extent::All, error))),
        None if taken || !same => Ok(None),
        None if samples.is_empty() => Ok(Some((Extent::All, reason.clone()))),
        None => Ok(Some((Extent::New, reason.clone()))),
    }
}

/// Writes one row under this key, with the other values of `row`, and undoes it.
fn rehearse(
    sink: &mut dyn Sink,
    schema: &Schema,
    table: Table,
    key: &str,
    row: Option<Row<'_>>,
) -> Result<()> {
    let mut batch = Batch::for_schema(schema);
    batch.begin_unit();
    batch.is_rehearsal = true;
    let rows = batch.rows_mut(table);
    rows.begin();
    for (column, value) in row.into_iter().flat_map(|row| row.values()).enumerate() {
        if let Some(value) = value {
            rows.set(column, value);
        }
    }
    rows.set(0, key);
    sink.write(&batch)
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
