//! What the database holds of rows that are to be written: a row that is there as it is needs no change.

use std::collections::HashMap;

use super::writer::{MAX_ATTEMPTS_OF_PARTS, Writer};
use crate::destination::sql::NUL_SIGN;
use crate::destination::sql::decimal::Decimal;
use crate::error::Result;
use crate::tables::batch::{Row, Rows};
use crate::tables::schema::{ColumnKind, Schema, Table, TableSchema};

/// Rows that are asked for together.
const KEYS_PER_QUERY: usize = 50;

/// The time of writing, which differs each time.
const STAMP: &str = "$changed";

/// Stored rows of some tables.
#[derive(Debug, Default)]
pub struct StoredRows {
    rows: [Rows; 5],
    places: HashMap<(Table, String), usize>,
}

impl StoredRows {
    /// Reads those of these keys that a table holds. Where their values can't be read, they count as others.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn add(
        &mut self,
        writer: &mut Writer,
        schema: &Schema,
        table: Table,
        keys: &[&str],
    ) -> Result<()> {
        let columns = schema.table(table).columns.len();
        for keys in keys.chunks(KEYS_PER_QUERY) {
            let rows = match read(writer, table, columns, keys, 1)? {
                Ok(rows) => rows,
                // Long ones may be too much for one answer.
                Err(_) => {
                    let mut rows = Rows::new(columns);
                    for key in keys {
                        rows.append(&one(writer, table, columns, key)?);
                    }
                    rows
                }
            };
            if let Some(all) = self.rows.get_mut(table.index()) {
                if all.columns() != columns {
                    *all = Rows::new(columns);
                }
                for row in rows.iter() {
                    self.places.insert((table, row.key().to_owned()), all.len());
                    all.push(row);
                }
            }
        }
        Ok(())
    }

    /// The row of this key, if the table holds it.
    pub fn find(&self, table: Table, key: &str) -> Option<Row<'_>> {
        let place = self.places.get(&(table, key.to_owned()))?;
        Some(self.rows.get(table.index())?.row(*place))
    }
}

/// The row of this key, if the table holds it; nothing but the key where its values can't be read.
fn one(writer: &mut Writer, table: Table, columns: usize, key: &str) -> Result<Rows> {
    let error = match read(writer, table, columns, &[key], MAX_ATTEMPTS_OF_PARTS)? {
        Ok(rows) => return Ok(rows),
        Err(error) => error,
    };
    log::debug!("a stored row can't be compared with a new one: {error}");
    let mut rows = Rows::new(columns);
    for row in writer.run(|sink| sink.present(table, &[key], &[]))? {
        rows.begin();
        rows.set(0, &row.key);
    }
    Ok(rows)
}

fn read(
    writer: &mut Writer,
    table: Table,
    columns: usize,
    keys: &[&str],
    patience: u32,
) -> Result<Result<Rows>> {
    writer.attempt(Some(patience), |sink| {
        let mut rows = Rows::new(columns);
        sink.rows(table, keys, &mut rows).map(|()| rows)
    })
}

/// Whether a stored row holds all that is to be written, apart from the time of writing.
pub fn is_same(schema: &TableSchema, new: Row<'_>, stored: Row<'_>) -> bool {
    (schema.columns.iter().enumerate()).all(|(at, column)| {
        column.name == STAMP
            || match (new.get(at), stored.get(at)) {
                (None, None) => true,
                (Some(new), Some(stored)) => is_same_value(column.kind, new, stored),
                _ => false,
            }
    })
}

/// Databases have their own way of writing numbers and truth.
fn is_same_value(kind: ColumnKind, new: &str, stored: &str) -> bool {
    let plain = |text| match text {
        "t" | "true" => "1",
        "f" | "false" => "0",
        other => other,
    };
    new == stored
        || (new.contains('\0') && new.replace('\0', NUL_SIGN) == stored)
        || match kind {
            ColumnKind::Number => {
                Decimal::parse(new).is_some_and(|number| Some(number) == Decimal::parse(stored))
            }
            ColumnKind::Bool => plain(new) == plain(stored),
            ColumnKind::Key | ColumnKind::Time | ColumnKind::Text => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_may_be_written_in_another_way() {
        use ColumnKind::{Bool, Number, Text};
        for (kind, new, stored, same) in [
            (Text, "a", "a", true),
            (Text, "12.5", "12.50", false),
            (Text, "a\0b", "a\u{2400}b", true),
            (Text, "a\0b", "ab", false),
            (Number, "12.5", "12.500000", true),
            (Number, "12.5", "12.6", false),
            (Number, "-0", "0.0", true),
            (Number, "x", "y", false),
            (Bool, "1", "true", true),
            (Bool, "0", "f", true),
            (Bool, "1", "0", false),
        ] {
            assert_eq!(is_same_value(kind, new, stored), same, "{new} {stored}");
        }
    }

    #[test]
    fn only_the_time_of_writing_may_differ() {
        let schema = Schema::new("t_");
        let contacts = schema.table(Table::Contacts);
        let row = |values: &[(&str, &str)]| {
            let mut rows = Rows::new(contacts.columns.len());
            rows.begin();
            for (column, value) in values {
                if let Some(at) = contacts.position(column) {
                    rows.set(at, value);
                }
            }
            rows
        };
        let new = row(&[("$id", "a"), ("$md5", "m"), ("$changed", "2024")]);
        let earlier = row(&[("$id", "a"), ("$md5", "m"), ("$changed", "2023")]);
        let other = row(&[("$id", "a"), ("$md5", "n"), ("$changed", "2024")]);
        let fuller = row(&[("$id", "a"), ("$md5", "m"), ("$phone", "1")]);
        assert!(is_same(contacts, new.row(0), earlier.row(0)));
        assert!(!is_same(contacts, new.row(0), other.row(0)));
        assert!(!is_same(contacts, new.row(0), fuller.row(0)));
        assert!(!is_same(contacts, fuller.row(0), new.row(0)));
    }
}
