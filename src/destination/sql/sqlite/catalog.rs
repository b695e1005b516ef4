//! Tables, columns and indexes of a SQLite file: what is there, and adding what is missing.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::failure::{failure, is_busy};
use super::{Prepared, Storage};
use crate::destination::sql::dialect::SQLITE;
use crate::destination::sql::{MissingColumn, MissingIndex};
use crate::error::{Error, Result};
use crate::tables::schema::{Column, ColumnKind, TableSchema};
use crate::text;

/// A column as the file has it.
pub(super) struct RealColumn {
    pub(super) name: String,
    /// Whether SQLite turns numbers that are put here into texts: "TEXT affinity".
    is_text: bool,
    generated: bool,
}

/// The columns of a table; none if there is no such table.
pub(super) fn columns(conn: &Connection, table: &str) -> rusqlite::Result<Vec<RealColumn>> {
    conn.prepare("SELECT name, type, hidden FROM pragma_table_xinfo(?1)")?
        .query_map([table], |row| {
            let declared = row.get::<_, String>(1)?.to_ascii_uppercase();
            let has = |word| declared.contains(word);
            Ok(RealColumn {
                name: row.get(0)?,
                is_text: !has("INT") && (has("CHAR") || has("CLOB") || has("TEXT")),
                generated: row.get::<_, i64>(2)? != 0,
            })
        })?
        .collect()
}

/// The column with this name; SQLite compares ASCII letters without case.
pub(super) fn find<'a>(columns: &'a [RealColumn], name: &str) -> Option<&'a RealColumn> {
    columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
}

/// Creates what is missing of one table. Columns that SQLite refuses are added to `missing`, as are all where the file is
/// `locked`.
pub(super) fn prepare(
    tx: &Transaction<'_>,
    path: &Path,
    table: &TableSchema,
    locked: Option<&Error>,
    missing: &mut Vec<MissingColumn>,
) -> Result<Prepared> {
    let failed = |e: rusqlite::Error| failure(path, &format!("preparing table {}", table.name), &e);
    let name = SQLITE.quote(&table.name);
    let mut real = columns(tx, &table.name).map_err(failed)?;
    if real.is_empty() {
        if let Some(locked) = locked {
            return Err(locked.clone());
        }
        create(tx, &name, table).map_err(failed)?;
        real = columns(tx, &table.name).map_err(failed)?;
    }
    if find(&real, table.table.key()).is_none() {
        return Err(Error::setup(format!(
            "the table {} of the SQLite database {} has no column {}: another program made it \
             (choose another table prefix with --tp)",
            table.name,
            path.display(),
            table.table.key()
        )));
    }
    for column in &table.columns {
        let reason = match find(&real, &column.name) {
            Some(column) if column.generated => "it is a generated column".to_owned(),
            Some(_) => continue,
            None if locked.is_some() => locked.map(Error::to_string).unwrap_or_default(),
            None => match tx.execute(&add_column(&name, column), []) {
                Ok(_) => continue,
                Err(e) if refused(&e) => text::foreign(&e.to_string()),
                Err(e) => return Err(failed(e)),
            },
        };
        missing.push(MissingColumn {
            table: table.table,
            column: column.name.clone(),
            reason,
        });
    }
    let real = columns(tx, &table.name).map_err(failed)?;
    let prepared = prepared(table, name, &real);
    // Preparing it once finds a key without a unique index, and a view in place of the table.
    if let Err(e) = tx.prepare(&prepared.upsert)
        && !is_of_trigger(&e)
    {
        return Err(Error::setup(format!(
            "cannot write to the table {} of the SQLite database {}: {} \
             (another program made it: choose another table prefix with --tp)",
            table.name,
            path.display(),
            text::foreign(&e.to_string())
        )));
    }
    Ok(prepared)
}

/// Whether a trigger of the table uses something that is not there: that is found out, and waited for, when rows are
/// written.
fn is_of_trigger(e: &rusqlite::Error) -> bool {
    matches!(e, rusqlite::Error::SqlInputError { msg, .. } | rusqlite::Error::SqliteFailure(_, Some(msg))
        if msg.starts_with("no such "))
}

/// Whether SQLite refused a statement for what it says, not for the state of the file. A name with a NUL character
/// ends the statement in the middle.
fn refused(e: &rusqlite::Error) -> bool {
    matches!(e.sqlite_error_code(), None | Some(ErrorCode::Unknown))
}

fn definition(column: &Column) -> String {
    format!(
        "{} {}",
        SQLITE.quote(&column.name),
        SQLITE.column_type(column.kind)
    )
}

fn add_column(table: &str, column: &Column) -> String {
    format!("ALTER TABLE {table} ADD COLUMN {}", definition(column))
}

/// Creates a table, with its key alone if SQLite refuses a column.
fn create(tx: &Transaction<'_>, name: &str, table: &TableSchema) -> rusqlite::Result<()> {
    let mut definitions: Vec<String> = table.columns.iter().map(definition).collect();
    if let Some(key) = definitions.first_mut() {
        key.push_str(" NOT NULL PRIMARY KEY");
    }
    let sql = |columns: &[String]| format!("CREATE TABLE {name} ({})", columns.join(", "));
    match tx.execute(&sql(&definitions), []) {
        Err(e) if refused(&e) => {
            definitions.truncate(1);
            tx.execute(&sql(&definitions), [])
        }
        other => other,
    }
    .map(drop)
}

/// Creates the indexes that no other index can stand in for. An index that SQLite refuses is added to `missing`, as is one
/// for which there is no room: it sorts in temporary files.
pub(super) fn create_indexes(
    conn: &mut Connection,
    table: &TableSchema,
    missing: &mut Vec<MissingIndex>,
) -> rusqlite::Result<()> {
    let real = columns(conn, &table.name)?;
    // Each alone, so that others who write need not wait for all of them.
    for wanted in lacking(conn, table, &real)? {
        // One program that holds the file for long is waited for once.
        if let Some(locked) = missing.iter().find(|index| index.reason == LOCKED) {
            let reason = locked.reason.clone();
            missing.push(MissingIndex {
                table: table.table,
                columns: wanted,
                reason,
            });
            continue;
        }
        let columns: Vec<String> = wanted.iter().map(|c| SQLITE.quote(c)).collect();
        let sql = format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} ({})",
            SQLITE.quote(&format!("{}_{}", table.name, wanted.join("_"))),
            SQLITE.quote(&table.name),
            columns.join(", ")
        );
        let made = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(|tx| tx.execute(&sql, []).and_then(|_| tx.commit()));
        match made {
            Err(e) if is_busy(&e) => missing.push(MissingIndex {
                table: table.table,
                columns: wanted,
                reason: LOCKED.to_owned(),
            }),
            Err(e) if refused(&e) || is_without_room(&e) => missing.push(MissingIndex {
                table: table.table,
                columns: wanted,
                reason: format!("{e} (SQLITE_TMPDIR may name a directory with room)"),
            }),
            other => other?,
        }
    }
    Ok(())
}

/// Why an index is not made while another program writes.
const LOCKED: &str = "another program holds the file";

/// Whether there is no directory for temporary files, or none with room.
fn is_without_room(e: &rusqlite::Error) -> bool {
    matches!(
        e.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)
    )
}

/// The indexes that the table lacks.
fn lacking(
    conn: &Connection,
    table: &TableSchema,
    real: &[RealColumn],
) -> rusqlite::Result<Vec<&'static [&'static str]>> {
    let existing: Vec<Vec<String>> = conn
        .prepare("SELECT name FROM pragma_index_list(?1) WHERE partial = 0")?
        .query_map([&table.name], |row| row.get::<_, String>(0))?
        .map(|index| {
            conn.prepare("SELECT coalesce(name, '') FROM pragma_index_info(?1) ORDER BY seqno")?
                .query_map([index?], |row| row.get::<_, String>(0))?
                .collect()
        })
        .collect::<rusqlite::Result<_>>()?;
    let is_covered = |wanted: &[&str]| {
        existing.iter().any(|index| {
            index.len() >= wanted.len()
                && index
                    .iter()
                    .zip(wanted)
                    .all(|(a, b)| a.eq_ignore_ascii_case(b))
        })
    };
    Ok((table.table.indexes().iter().copied())
        .filter(|wanted| !is_covered(wanted) && wanted.iter().all(|c| find(real, c).is_some()))
        .collect())
}

fn prepared(table: &TableSchema, name: String, real: &[RealColumn]) -> Prepared {
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for (position, column) in table.columns.iter().enumerate() {
        let Some(real) = find(real, &column.name).filter(|real| !real.generated) else {
            continue;
        };
        let is_number = matches!(column.kind, ColumnKind::Number | ColumnKind::Bool);
        let storage = if is_number && !real.is_text {
            Storage::Number
        } else {
            Storage::Text
        };
        columns.push((position, storage));
        names.push(SQLITE.quote(&column.name));
    }
    let updates: Vec<String> = names
        .iter()
        .skip(1)
        .map(|c| format!("{c} = excluded.{c}"))
        .collect();
    let conflict = if updates.is_empty() {
        "NOTHING".to_owned()
    } else {
        format!("UPDATE SET {}", updates.join(", "))
    };
    let insert = format!(
        // ABORT, as the table's constraints may name what would delete other rows, or leave this one out.
        "INSERT OR ABORT INTO {name} ({}) VALUES ({})",
        names.join(", "),
        super::placeholders(names.len()),
    );
    Prepared {
        table: table.table,
        upsert: format!(
            "{insert} ON CONFLICT ({}) DO {conflict}",
            SQLITE.quote(table.table.key())
        ),
        insert,
        name,
        plain_name: table.name.clone(),
        names,
        columns,
    }
}
