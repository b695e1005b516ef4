//! Making the database's tables what the schema wants: tables, columns, indexes.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalog::{self, RealTable};
use super::column::Holds;
use super::{ANSWER, SqlServerSink, failure, statement};
use crate::destination::sql::columns::distinct;
use crate::destination::sql::dialect::SQLSERVER;
use crate::destination::sql::{MissingColumn, MissingIndex};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::schema::{Column, TableSchema};

/// A table has as many columns as SQL Server allows.
const TOO_MANY_COLUMNS: u32 = 1702;

/// A column of this name is there.
const COLUMN_EXISTS: u32 = 2705;

/// An index of this name is there: 1913 says SQL Server, 2714 what is compatible with it.
const INDEX_EXISTS: [u32; 2] = [1913, 2714];

/// Characters of an index's name.
const MAX_NAME: usize = 128;

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
    let mut refused: HashMap<String, Refusal> = HashMap::new();
    // Once under their own names, and once more, where the database takes that name for another's, under a distinct one.
    for as_distinct in [false, true] {
        let wanted: Vec<&Column> = absent(table, &real)
            .filter(|column| !as_distinct || refused.get(&column.name) == Some(&Refusal::Taken))
            .collect();
        if !wanted.is_empty() {
            add(sink, table, &wanted, as_distinct, &mut refused)?;
            real = read_existing(sink, table)?;
        }
    }
    for column in absent(table, &real) {
        missing.push(MissingColumn {
            table: table.table,
            reason: match refused.get(&column.name) {
                Some(Refusal::Reason(reason)) => reason.clone(),
                Some(Refusal::Taken) => {
                    "the server takes its name for that of another column".to_owned()
                }
                None => "it is not there after it was added".to_owned(),
            },
            column: column.name.clone(),
        });
    }
    for (wanted, at) in table.columns.iter().zip(real.assigned(table)) {
        if at
            .and_then(|at| real.columns.get(at))
            .is_some_and(|c| c.computed)
        {
            missing.push(MissingColumn {
                table: table.table,
                column: wanted.name.clone(),
                reason: "the server computes it".to_owned(),
            });
        }
    }
    Ok(real)
}

/// Why a column was not added.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// There is one that the database takes for it.
    Taken,
    Reason(String),
}

/// The columns that the table lacks.
pub(super) fn absent<'a>(
    table: &'a TableSchema,
    real: &RealTable,
) -> impl Iterator<Item = &'a Column> {
    let assigned = real.assigned(table);
    (table.columns.iter().zip(assigned)).filter_map(|(column, at)| at.is_none().then_some(column))
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
        "is not a table".to_owned()
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

/// Adds columns one by one; those that the server refuses are noted. After a lock that was not granted no other is tried.
fn add(
    sink: &mut SqlServerSink,
    table: &TableSchema,
    columns: &[&Column],
    as_distinct: bool,
    refused: &mut HashMap<String, Refusal>,
) -> Result<()> {
    let doing = format!("adding columns to {}", table.name);
    let mut hopeless = None;
    for column in columns {
        if let Some(reason) = &hopeless {
            refused.insert(column.name.clone(), Refusal::clone(reason));
            continue;
        }
        let sql = match as_distinct {
            true => statement::add_column(&table.name, &distinct(column, SQLSERVER.naming)),
            false => statement::add_column(&table.name, column),
        };
        let e = match sink.define(&[sql]) {
            Ok(()) => continue,
            Err(e) => e,
        };
        let code = failure::code(&e);
        let error = sink.failed(&doing, &e, ErrorKind::Setup);
        let reason = match code {
            // Another instance was faster, or there is one of a name that the database takes for the same.
            COLUMN_EXISTS => Refusal::Taken,
            failure::LOCK_TIMEOUT => Refusal::Reason(error.to_string()),
            1088 | 4902 => return Err(error),
            _ if !failure::is_refusal(&e) => return Err(error),
            _ => Refusal::Reason(error.to_string()),
        };
        if matches!(code, TOO_MANY_COLUMNS | failure::LOCK_TIMEOUT) {
            hopeless = Some(reason.clone());
        }
        refused.insert(column.name.clone(), reason);
    }
    Ok(())
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
    let mut locked = None;
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
            .take(MAX_NAME)
            .collect();
        let columns: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let sql = statement::create_index(&name, &table.name, &columns);
        let outcome = match &locked {
            Some(reason) => Err(String::clone(reason)),
            None => match sink.define(&[sql]) {
                // Or another instance was faster.
                Err(e) if INDEX_EXISTS.contains(&failure::code(&e)) => Ok(()),
                Err(e) if failure::code(&e) == failure::LOCK_TIMEOUT => {
                    let reason = sink.failed("adding an index", &e, ErrorKind::Setup);
                    Err(locked.insert(reason.to_string()).clone())
                }
                Err(e) if failure::is_refusal(&e) => {
                    let reason = sink.failed("adding an index", &e, ErrorKind::Setup);
                    Err(reason.to_string())
                }
                Err(e) => return Err(sink.failed("adding an index", &e, ErrorKind::Transient)),
                Ok(()) => {
                    log::info!(
                        "added the index {name} on {}.{}",
                        table.name,
                        wanted.join(", ")
                    );
                    Ok(())
                }
            },
        };
        if let Err(reason) = outcome {
            missing.push(MissingIndex {
                table: table.table,
                columns: wanted,
                reason,
            });
        }
    }
    Ok(any)
}
