//! Making the database's tables what the schema wants: tables, columns, indexes.

use std::sync::Arc;

use super::catalog::{self, RealTable};
use super::column::Holds;
use super::{ANSWER, REBUILD, SqlServerSink, failure, statement};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{MissingColumn, MissingIndex};
use crate::tables::schema::{Column, TableSchema};

/// A table has as many columns as SQL Server allows.
const TOO_MANY_COLUMNS: u32 = 1702;

/// A column of this name is there.
const COLUMN_EXISTS: u32 = 2705;

/// An index of this name is there: 1913 says SQL Server, 2714 what is compatible with it.
const INDEX_EXISTS: [u32; 2] = [1913, 2714];

/// Characters of an index's name.
const LONGEST_NAME: usize = 128;

/// Creates what is missing of one table. Columns that the server refuses are added to `missing`.
pub(super) fn table(
    sink: &mut SqlServerSink,
    table: &Arc<TableSchema>,
    missing: &mut Vec<MissingColumn>,
) -> Result<RealTable> {
    let mut real = match read(sink, table)? {
        Some(real) => real,
        None => {
            create(sink, table)?;
            read_existing(sink, table)?
        }
    };
    usable(sink, table, &real)?;
    let absent = |real: &RealTable| -> Vec<Column> {
        let columns = table.columns.iter();
        columns
            .filter(|column| real.position(&column.name).is_none())
            .cloned()
            .collect()
    };
    let wanted = absent(&real);
    if !wanted.is_empty() {
        let refused = add(sink, table, &wanted)?;
        real = read_existing(sink, table)?;
        for column in absent(&real) {
            let reason = refused.iter().find(|(name, _)| *name == column.name);
            missing.push(MissingColumn {
                table: table.table,
                reason: reason.map_or_else(
                    || "it is not there after it was added".to_owned(),
                    |(_, reason)| reason.clone(),
                ),
                column: column.name,
            });
        }
    }
    for column in real.columns.iter().filter(|column| column.computed) {
        if let Some(wanted) = (table.columns.iter()).find(|c| real_is(&real, c, &column.name)) {
            missing.push(MissingColumn {
                table: table.table,
                column: wanted.name.clone(),
                reason: "the server computes it".to_owned(),
            });
        }
    }
    Ok(real)
}

/// Creates the indexes of one table that was prepared, and notes that it has them.
pub(super) fn index(
    sink: &mut SqlServerSink,
    table: &TableSchema,
    real: &mut RealTable,
    missing: &mut Vec<MissingIndex>,
) -> Result<()> {
    if create_indexes(sink, table, real, missing)? {
        *real = read_existing(sink, table)?;
    }
    Ok(())
}

fn real_is(real: &RealTable, column: &Column, name: &str) -> bool {
    real.position(&column.name)
        .and_then(|at| real.columns.get(at))
        .is_some_and(|found| found.name == name)
}

fn read(sink: &mut SqlServerSink, table: &TableSchema) -> Result<Option<RealTable>> {
    catalog::read(&mut sink.connection, &table.name).map_err(|e| {
        sink.failed(
            &format!("reading the columns of {}", table.name),
            &e,
            ErrorKind::Transient,
        )
    })
}

fn read_existing(sink: &mut SqlServerSink, table: &TableSchema) -> Result<RealTable> {
    read(sink, table)?.ok_or_else(|| {
        Error::setup(format!(
            "SQL Server at {}: the table {} is not there after it was created",
            sink.connection.place, table.name
        ))
    })
}

/// Whether rows can be replaced in this table.
pub(super) fn usable(sink: &SqlServerSink, table: &TableSchema, real: &RealTable) -> Result<()> {
    let key = table.table.key();
    let problem = if real.is_view {
        "is no table".to_owned()
    } else if real.position(key).is_none() {
        format!("has no column {key}")
    } else if !real.is_unique(key) {
        format!("has no primary key on {key}")
    } else {
        if real.has_other_unique(key) {
            log::warn!(
                "table {}: a unique index that is not on {key} may refuse rows: drop it, or make it a plain index",
                table.name
            );
        }
        return Ok(());
    };
    Err(Error::setup(format!(
        "SQL Server at {}: the table {} {problem}: another program made it (choose another table prefix with --tp)",
        sink.connection.place, table.name
    )))
}

/// Creates a table, with its key alone if the server refuses a column.
fn create(sink: &mut SqlServerSink, table: &TableSchema) -> Result<()> {
    let all = statement::create_table(table, &table.columns);
    let outcome = match sink.connection.query(&all, ANSWER) {
        // A missing privilege does not go away with fewer columns.
        Err(e) if failure::is_refusal(&e) && !matches!(failure::code(&e), 262 | 2760) => {
            let key = table.columns.get(..1).unwrap_or_default();
            let sql = statement::create_table(table, key);
            sink.connection.query(&sql, ANSWER)
        }
        outcome => outcome,
    };
    outcome.map(drop).map_err(|e| {
        sink.failed(
            &format!("creating table {}", table.name),
            &e,
            ErrorKind::Setup,
        )
    })
}

/// Adds columns one by one; returns the names of those that the server refuses, and why.
fn add(
    sink: &mut SqlServerSink,
    table: &TableSchema,
    columns: &[Column],
) -> Result<Vec<(String, String)>> {
    let doing = format!("adding columns to {}", table.name);
    let mut refused = Vec::new();
    let mut full = None;
    for column in columns {
        if let Some(reason) = &full {
            refused.push((column.name.clone(), String::clone(reason)));
            continue;
        }
        let sql = statement::add_column(&table.name, column);
        match sink.connection.query(&sql, REBUILD) {
            Ok(_) => {}
            // Another instance was faster.
            Err(e) if failure::code(&e) == COLUMN_EXISTS => {}
            Err(e) if failure::is_refusal(&e) => {
                let error = sink.failed(&doing, &e, ErrorKind::Setup);
                if matches!(failure::code(&e), 1088 | 4902) {
                    return Err(error);
                }
                if failure::code(&e) == TOO_MANY_COLUMNS {
                    full = Some(error.to_string());
                }
                refused.push((column.name.clone(), error.to_string()));
            }
            Err(e) => return Err(sink.failed(&doing, &e, ErrorKind::Setup)),
        }
    }
    Ok(refused)
}

/// Creates the indexes that no other can stand in for; returns whether there were any to create. Only lost
/// connections are errors: what can't be made is added to `missing`.
fn create_indexes(
    sink: &mut SqlServerSink,
    table: &TableSchema,
    real: &RealTable,
    missing: &mut Vec<MissingIndex>,
) -> Result<bool> {
    let mut any = false;
    for wanted in table.table.indexes().iter().copied() {
        let columns: Option<Vec<_>> = wanted
            .iter()
            .map(|name| real.columns.get(real.position(name)?))
            .collect();
        let Some(columns) = columns.filter(|_| !real.has_index(wanted)) else {
            continue;
        };
        // Those of the old client may be of types that no index takes.
        if (columns.iter()).any(|c| matches!(c.holds, Holds::Text { limit: None, .. })) {
            log::debug!(
                "no index on {}.{}: texts without a limit can't have any",
                table.name,
                wanted.join(", ")
            );
            continue;
        }
        any = true;
        let name: String = format!("{}_{}", table.name, wanted.join("_"))
            .chars()
            .take(LONGEST_NAME)
            .collect();
        let columns: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let sql = statement::create_index(&name, &table.name, &columns);
        match sink.connection.query(&sql, REBUILD) {
            Ok(_) => log::info!(
                "added the index {name} on {}.{}",
                table.name,
                wanted.join(", ")
            ),
            // Another instance was faster.
            Err(e) if INDEX_EXISTS.contains(&failure::code(&e)) => {}
            Err(e) if failure::is_refusal(&e) => missing.push(MissingIndex {
                table: table.table,
                columns: wanted,
                reason: sink
                    .failed("adding an index", &e, ErrorKind::Setup)
                    .to_string(),
            }),
            Err(e) => return Err(sink.failed("adding an index", &e, ErrorKind::Transient)),
        }
    }
    Ok(any)
}
