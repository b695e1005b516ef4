//! Giving columns types that hold what a batch brings.

use super::catalog::RealTable;
use super::column::{ANYTHING, Holds, Numeric, Shortage, measure, wider};
use super::{Prepared, REBUILD, SqlServerSink, catalog, failure, statement};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::Table;

/// A column to be widened.
struct Change {
    /// In the real table.
    real: usize,
    /// The types that will do, the best first.
    types: Vec<String>,
}

/// Widens the columns that are too narrow for a value of the batch. Where the server refuses, the rows are refused
/// later, one by one.
pub(super) fn widen(sink: &mut SqlServerSink, batch: &Batch) -> Result<()> {
    let mut altered = false;
    for at in 0..sink.tables.len() {
        let Some(table) = sink.tables.get(at) else {
            continue;
        };
        let (changes, refusals) = changes(sink, table, batch.rows(table.schema.table));
        let (id, name) = (table.schema.table, table.schema.name.clone());
        for (column, reason) in refusals {
            give_up(sink, id, &name, column, &reason);
        }
        for change in changes {
            altered |= alter(sink, at, &change)?;
        }
    }
    if altered {
        read_again(sink)?;
    }
    Ok(())
}

/// What to do about the shortages of a table: changes, and columns that no change can help, with the reason.
fn changes(
    sink: &SqlServerSink,
    table: &Prepared,
    rows: &Rows,
) -> (Vec<Change>, Vec<(String, String)>) {
    let (mut changes, mut refusals) = (Vec::new(), Vec::new());
    for (at, shortage) in shortages(table, rows) {
        let Some((number, real)) = table
            .columns
            .get(at)
            .and_then(|written| Some((written.real, table.real.columns.get(written.real)?)))
        else {
            continue;
        };
        if (sink.unwidened).contains(&(table.schema.table, real.name.clone())) {
            continue;
        }
        match wider(&real.holds, shortage, table.real.is_indexed(&real.name)) {
            Ok(types) => changes.push(Change {
                real: number,
                types,
            }),
            Err(reason) => {
                refusals.push((real.name.clone(), format!("{reason} ({})", real.declared)));
            }
        }
    }
    (changes, refusals)
}

/// What the columns lack for these rows: position among the written columns, and shortage.
pub(super) fn shortages(table: &Prepared, rows: &Rows) -> Vec<(usize, Shortage)> {
    let mut found = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        let Some(real) = table.real.columns.get(column.real) else {
            continue;
        };
        if real.holds == ANYTHING {
            continue;
        }
        let mut shortage = Shortage::default();
        for row in rows.iter() {
            if let Some(value) = row.get(column.position) {
                measure(&real.holds, column.kind, value, &mut shortage);
            }
        }
        if !shortage.is_none() {
            found.push((at, shortage));
        }
    }
    found
}

/// Changes one column, to the first type that the server does not refuse. Returns whether it was changed.
fn alter(sink: &mut SqlServerSink, table: usize, change: &Change) -> Result<bool> {
    let Some((schema, column)) = sink.tables.get(table).and_then(|table| {
        let column = table.real.columns.get(change.real)?;
        Some((table.schema.clone(), column.clone()))
    }) else {
        return Ok(false);
    };
    let doing = format!("widening a column of {}", schema.name);
    let mut reason = "there is no wider type".to_owned();
    for new in &change.types {
        let mut statements = vec![statement::alter_column(&schema.name, &column, new)];
        let was_decimal = matches!(column.holds, Holds::Number(Numeric::Decimal { .. }));
        if was_decimal && new.starts_with("nvarchar") {
            statements.insert(0, statement::BEGIN.to_owned());
            statements.push(statement::trim_decimals(&schema.name, &column.name));
            statements.push(statement::COMMIT.to_owned());
        }
        let mut outcome = Ok(());
        for sql in statements {
            if outcome.is_ok() {
                outcome = sink.connection.query(&sql, REBUILD).map(drop);
            }
        }
        match outcome {
            Ok(()) => {
                log::info!(
                    "widened the column {}.{} from {} to {new}",
                    schema.name,
                    column.name,
                    column.declared
                );
                return Ok(true);
            }
            Err(e) => {
                let error = sink.failed(&doing, &e, ErrorKind::Setup);
                if !failure::is_refusal(&e) {
                    return Err(error);
                }
                sink.run("undoing a change", statement::ROLLBACK, REBUILD)?;
                reason = error.to_string();
            }
        }
    }
    give_up(sink, schema.table, &schema.name, column.name, &reason);
    Ok(false)
}

fn give_up(sink: &mut SqlServerSink, table: Table, name: &str, column: String, reason: &str) {
    log::warn!(
        "the column {name}.{column} is too narrow and can't be widened, rows that don't fit are set aside: {reason}"
    );
    sink.unwidened.insert((table, column));
}

/// Reads the types anew: they are as the server made them, not as we asked.
pub(super) fn read_again(sink: &mut SqlServerSink) -> Result<()> {
    let same = |a: &RealTable, b: &RealTable| {
        a.columns.len() == b.columns.len()
            && a.columns
                .iter()
                .zip(&b.columns)
                .all(|(a, b)| a.name == b.name)
    };
    for at in 0..sink.tables.len() {
        let Some(name) = sink.tables.get(at).map(|table| table.schema.name.clone()) else {
            continue;
        };
        let real = catalog::read(&mut sink.connection, &name)
            .map_err(|e| sink.failed("reading the columns", &e, ErrorKind::Transient))?;
        match (sink.tables.get_mut(at), real) {
            (Some(table), Some(real)) if same(&table.real, &real) => table.real = real,
            _ => {
                return Err(Error::transient(format!(
                    "SQL Server at {}: the table {name} was changed by another program: it is prepared anew",
                    sink.connection.place
                )));
            }
        }
    }
    Ok(())
}
