//! Giving columns types that hold what a batch brings.

use std::time::{Duration, Instant};

use super::catalog::{RealColumn, RealTable, same, text};
use super::column::{ANYTHING, Holds, Numeric, Shortage, measure, wider};
use super::driver::Values;
use super::statement::PrimaryKey;
use super::{ANSWER, Prepared, SqlServerSink, Unwidened, catalog, failure, statement};
use crate::destination::sql::CheckLine;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{Schema, Table};

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
        let blocked = (sink.unwidened).get(&(table.schema.table, real.name.clone()));
        if blocked.is_some_and(|blocked| Instant::now() < blocked.not_before) {
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
    let key = primary_key(sink, table, &column)?;
    let mut reason = "there is no wider type".to_owned();
    // Where NOT NULL is not said, what is compatible with SQL Server keeps it; SQL Server itself then refuses the key.
    let ways: &[bool] = if column.nullable {
        &[false]
    } else {
        &[true, false]
    };
    let variants = (change.types.iter()).flat_map(|new| ways.iter().map(move |way| (new, *way)));
    for (new, not_null) in variants {
        let was_decimal = matches!(column.holds, Holds::Number(Numeric::Decimal { .. }));
        let mut statements = vec![statement::BEGIN.to_owned()];
        statements.extend((key.as_ref()).map(|key| statement::drop_primary_key(&schema.name, key)));
        statements.push(statement::alter_column(
            &schema.name,
            &column,
            new,
            not_null,
        ));
        if was_decimal && new.starts_with("nvarchar") {
            statements.push(statement::trim_decimals(&schema.name, &column.name));
        }
        statements.extend((key.as_ref()).map(|key| statement::add_primary_key(&schema.name, key)));
        statements.push(statement::COMMIT.to_owned());
        match sink.define(&statements) {
            Ok(()) => {
                log::info!(
                    "widened the column {}.{} from {} to {new}",
                    schema.name,
                    column.name,
                    column.declared
                );
                sink.unwidened.remove(&(schema.table, column.name));
                refresh_views(sink, &schema.name)?;
                return Ok(true);
            }
            Err(e) => {
                let error = sink.failed(&doing, &e, ErrorKind::Setup);
                if !failure::is_refusal(&e) && failure::code(&e) != failure::LOCK_TIMEOUT {
                    return Err(error);
                }
                reason = match DEPENDENT.contains(&failure::code(&e)) {
                    true => format!("{error}; {BOUND}"),
                    false => error.to_string(),
                };
                if failure::code(&e) == failure::LOCK_TIMEOUT {
                    break;
                }
            }
        }
    }
    give_up(sink, schema.table, &schema.name, column.name, &reason);
    Ok(false)
}

/// The primary key that a column belongs to: with it no column changes its type, so it is taken away and made again.
fn primary_key(
    sink: &mut SqlServerSink,
    table: usize,
    column: &RealColumn,
) -> Result<Option<PrimaryKey>> {
    let Some(prepared) = sink.tables.get(table) else {
        return Ok(None);
    };
    if !prepared.real.is_indexed(&column.name) {
        return Ok(None);
    }
    let (schema, name) = (prepared.real.schema.clone(), prepared.schema.name.clone());
    let read = |sink: &mut SqlServerSink, sql: &str| {
        catalog::optional(&mut sink.connection, sql)
            .map_err(|e| sink.failed("reading the primary key", &e, ErrorKind::Transient))
    };
    let parts = read(sink, &statement::primary_key(&schema, &name))?;
    let Some(first) = parts.first() else {
        return Ok(None);
    };
    let columns: Vec<String> = parts.iter().map(|part| text(part, 0).to_owned()).collect();
    if !columns.iter().any(|name| same(name, &column.name)) {
        return Ok(None);
    }
    let mut key = PrimaryKey {
        name: text(first, 1).to_owned(),
        columns,
        clustered: true,
        options: Vec::new(),
        filegroup: None,
    };
    if let [row] = read(sink, &statement::primary_key_options(&name))?.as_slice() {
        key.clustered = text(row, 0) != "2";
        if !matches!(text(row, 1), "" | "0") {
            key.options.push(format!("FILLFACTOR = {}", text(row, 1)));
        }
        for (at, usual, option) in [
            (2, "0", "PAD_INDEX = ON"),
            (3, "0", "IGNORE_DUP_KEY = ON"),
            (4, "1", "ALLOW_ROW_LOCKS = OFF"),
            (5, "1", "ALLOW_PAGE_LOCKS = OFF"),
        ] {
            if !text(row, at).is_empty() && text(row, at) != usual {
                key.options.push(option.to_owned());
            }
        }
        key.filegroup = Some(text(row, 6).to_owned()).filter(|name| !name.is_empty());
    }
    Ok(Some(key))
}

/// Views with `SELECT *` or computed columns know the types of their columns from when they were made.
fn refresh_views(sink: &mut SqlServerSink, table: &str) -> Result<()> {
    let mut views: Vec<String> = Vec::new();
    let mut open = vec![statement::quote(table)];
    while let Some(object) = open.pop() {
        for (schema, name) in dependents(sink, &object, false)? {
            let view = format!("{}.{}", statement::quote(&schema), statement::quote(&name));
            if !views.contains(&view) && views.len() < MAX_VIEWS {
                views.push(view.clone());
                open.push(view);
            }
        }
    }
    for view in views {
        let sql = statement::refresh_view(&view);
        if let Err(e) = sink.connection.query(&sql, ANSWER) {
            let error = sink.failed("refreshing a view", &e, ErrorKind::Setup);
            if !failure::is_refusal(&e) {
                return Err(error);
            }
            log::warn!(
                "the view {view} shows a widened column as it was until sp_refreshview is run: {error}"
            );
        }
    }
    Ok(())
}

/// Views that are looked at after a column was widened.
const MAX_VIEWS: usize = 200;

/// Schema and name of what refers to an object; nothing where the server does not say.
fn dependents(
    sink: &mut SqlServerSink,
    object: &str,
    bound: bool,
) -> Result<Vec<(String, String)>> {
    let rows = catalog::optional(&mut sink.connection, &statement::dependents(object, bound))
        .map_err(|e| sink.failed("looking for views", &e, ErrorKind::Transient))?;
    let name = |row: &Values, at| text(row, at).to_owned();
    Ok(rows
        .iter()
        .map(|row| (name(row, 0), name(row, 1)))
        .collect())
}

/// What keeps columns of our tables as they are.
pub(super) fn check(sink: &mut SqlServerSink, schema: &Schema) -> Result<Vec<CheckLine>> {
    let mut lines = Vec::new();
    for table in schema.tables() {
        let bound = dependents(sink, &statement::quote(&table.name), true)?;
        if bound.is_empty() {
            continue;
        }
        let names: Vec<String> = bound.iter().map(|(a, b)| format!("{a}.{b}")).collect();
        lines.push(CheckLine {
            subject: format!("columns of {}", table.name),
            outcome: Ok(format!(
                "those used by {} cannot be widened: {BOUND}",
                names.join(", ")
            )),
        });
    }
    Ok(lines)
}

/// Something depends on the column, or the table's key on another table's.
const DEPENDENT: [u32; 4] = [3725, 4922, 4928, 5074];

/// What to do about views WITH SCHEMABINDING, computed columns and constraints.
const BOUND: &str = "a row that does not fit is set aside (take away SCHEMABINDING, the computed column or the \
    constraint, let the next value widen the column, and make it again)";

/// Pauses until a column is tried again.
const MIN_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(3600);

fn give_up(sink: &mut SqlServerSink, table: Table, name: &str, column: String, reason: &str) {
    sink.said.warn(&format!(
        "the column {name}.{column} is too narrow and can't be widened now, rows that don't fit are set aside: {reason}"
    ));
    let before = sink.unwidened.get(&(table, column.clone()));
    let pause = before.map_or(MIN_PAUSE, |before| (before.pause * 2).min(MAX_PAUSE));
    let blocked = Unwidened {
        not_before: Instant::now() + pause,
        pause,
    };
    sink.unwidened.insert((table, column), blocked);
}

/// Reads the types again: they are as the server made them, not as we asked.
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
                    "SQL Server at {}: the table {name} was changed by another program: it is prepared again",
                    sink.connection.place
                )));
            }
        }
    }
    Ok(())
}
