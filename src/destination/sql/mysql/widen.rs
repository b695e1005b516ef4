//! Widening columns that are too narrow for a value of a batch.
//!
//! Where the server refuses, or somebody holds the table, the rows that don't fit are refused, until it is tried again
//! after a pause that grows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::catalog::RealTable;
use super::column::{Holds, Shortage, WIDEST, measure, wider};
use super::{MysqlSink, Prepared, failure};
use crate::destination::sql::dialect::MYSQL;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{ColumnKind, Table};

/// How long a column that could not be widened stays as it is: at first, and at most.
const MIN_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// Columns that could not be widened, and until when it is not tried again.
#[derive(Default)]
pub(super) struct Unwidened(HashMap<(Table, String), (Instant, Duration)>);

impl Unwidened {
    fn is_paused(&self, table: Table, column: &str) -> bool {
        self.0
            .get(&(table, column.to_owned()))
            .is_some_and(|(until, _)| Instant::now() < *until)
    }

    /// Notes another failure; returns the pause that follows.
    fn failed(&mut self, table: Table, column: &str) -> Duration {
        let key = (table, column.to_owned());
        let pause = self
            .0
            .get(&key)
            .map_or(MIN_PAUSE, |(_, last)| (*last * 2).min(MAX_PAUSE));
        self.0.insert(key, (Instant::now() + pause, pause));
        pause
    }
}

/// A column to be widened.
struct Change {
    column: String,
    old: String,
    new: String,
    modify: String,
    /// Numbers become texts, with needless zeros.
    trims: bool,
}

/// Widens the columns that are too narrow for a value of the batch, as far as they can be.
pub(super) fn widen(sink: &mut MysqlSink, batch: &Batch) -> Result<()> {
    let mut altered = false;
    for at in 0..sink.tables.len() {
        let Some(table) = sink.tables.get(at) else {
            continue;
        };
        let (id, name) = (table.table, table.name.clone());
        let (changes, refusals) = changes(table, batch.rows(id), |column| {
            sink.unwidened.is_paused(id, column)
        });
        for (column, reason) in refusals {
            give_up(sink, id, &name, &column, &reason);
        }
        if !changes.is_empty() {
            altered |= alter(sink, id, &name, changes)?;
        }
    }
    if altered {
        read_again(sink)?;
    }
    Ok(())
}

/// What to do about the shortages of a table: changes, and columns that no change can help, with the reason.
fn changes(
    table: &Prepared,
    rows: &Rows,
    given_up: impl Fn(&str) -> bool,
) -> (Vec<Change>, Vec<(String, String)>) {
    let (mut changes, mut refusals) = (Vec::new(), Vec::new());
    for (at, shortage) in shortages(table, rows) {
        let Some((written, real)) = table
            .columns
            .get(at)
            .and_then(|w| Some((w, table.real.columns.get(w.real)?)))
        else {
            continue;
        };
        if given_up(&real.name) {
            continue;
        }
        match wider(
            &real.holds,
            shortage,
            table.real.indexed(&real.name, written.kind),
        ) {
            Err(reason) => {
                refusals.push((real.name.clone(), format!("{} ({})", reason, real.declared)))
            }
            Ok(new) => changes.push(Change {
                modify: format!(
                    "MODIFY COLUMN {} {new} {}",
                    MYSQL.quote(&real.name),
                    if real.nullable { "NULL" } else { "NOT NULL" }
                ),
                column: real.name.clone(),
                old: real.declared.clone(),
                trims: real.holds.pads() && !new.starts_with(MYSQL.types.number),
                new,
            }),
        }
    }
    (changes, refusals)
}

/// Makes the changes: together, as each may rebuild the table, and one by one if the server refuses that.
/// Returns whether any was made.
fn alter(sink: &mut MysqlSink, table: Table, name: &str, changes: Vec<Change>) -> Result<bool> {
    let sql = |changes: &[&Change]| {
        let modify: Vec<&str> = changes.iter().map(|c| c.modify.as_str()).collect();
        format!("ALTER TABLE {} {}", MYSQL.quote(name), modify.join(", "))
    };
    let all: Vec<&Change> = changes.iter().collect();
    let attempts = if all.len() > 1 {
        vec![all.clone()]
    } else {
        Vec::new()
    };
    let attempts = attempts
        .into_iter()
        .chain(all.iter().map(|change| vec![*change]));
    let mut altered = false;
    for attempt in attempts {
        match sink.session.alter(&sql(&attempt)) {
            Ok(_) => {
                altered = true;
                for Change {
                    column, old, new, ..
                } in &attempt
                {
                    log::info!("widened the column {name}.{column} from {old} to {new}");
                }
                for change in attempt.iter().filter(|change| change.trims) {
                    trim(sink, name, &change.column);
                }
                if attempt.len() == changes.len() {
                    break;
                }
            }
            Err(e) => {
                let doing = format!("widening columns of {name}");
                let error = sink.failed(&doing, &e, ErrorKind::Setup);
                let held = failure::is_held(&e);
                if !held && !failure::is_refusal(&e) {
                    return Err(error);
                }
                if held {
                    // The others would wait for the same lock.
                    for change in &changes {
                        give_up(sink, table, name, &change.column, failure::HELD);
                    }
                    break;
                }
                if let [change] = attempt.as_slice() {
                    give_up(sink, table, name, &change.column, &error.to_string());
                }
            }
        }
    }
    Ok(altered)
}

/// `12.500000000000000000000000000000` becomes `12.5`, as later numbers are stored. Without that they are still the same
/// numbers.
fn trim(sink: &mut MysqlSink, table: &str, column: &str) {
    let (name, quoted) = (MYSQL.quote(table), MYSQL.quote(column));
    let sql = format!(
        "UPDATE {name} SET {quoted} = TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {quoted})) WHERE {quoted} LIKE '%.%'"
    );
    if let Err(e) = sink.session.alter(&sql) {
        let doing = format!("shortening the numbers of {table}");
        let error = sink.failed(&doing, &e, ErrorKind::Setup);
        log::warn!("the numbers stored in {table}.{column} keep all their decimals: {error}");
    }
}

fn give_up(sink: &mut MysqlSink, table: Table, name: &str, column: &str, reason: &str) {
    let pause = sink.unwidened.failed(table, column);
    sink.said.warn(&format!(
        "the column {name}.{column} is too narrow and can't be widened now, rows that don't fit are set aside, next attempt \
         in {} min: {reason}",
        pause.as_secs() / 60
    ));
}

/// Reads the types again: they are as the server made them, not as we asked.
fn read_again(sink: &mut MysqlSink) -> Result<()> {
    let names: Vec<String> = sink.tables.iter().map(|t| t.name.clone()).collect();
    for (at, name) in names.into_iter().enumerate() {
        let real = super::catalog::read(&mut sink.session, &name)
            .map_err(|e| sink.failed("reading the columns", &e, ErrorKind::Transient))?;
        let table = sink.tables.get_mut(at);
        let same = |a: &RealTable, b: &RealTable| {
            a.columns.len() == b.columns.len()
                && a.columns
                    .iter()
                    .zip(&b.columns)
                    .all(|(a, b)| a.name == b.name)
        };
        match (table, real) {
            (Some(table), Some(real)) if same(&table.real, &real) => table.real = real,
            _ => {
                return Err(Error::transient(format!(
                    "MySQL at {}: the table {name} was changed by another program: it is prepared again",
                    sink.session.place
                )));
            }
        }
    }
    Ok(())
}

/// What the columns lack for these rows: position among the written columns, and shortage.
fn shortages(table: &Prepared, rows: &Rows) -> Vec<(usize, Shortage)> {
    let mut found = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        let Some(real) = table.real.columns.get(column.real) else {
            continue;
        };
        let mut shortage = Shortage::default();
        // Contact ids are in capitals. Should others appear, the old client's tables would take them for the same.
        let tells_case =
            table.table == Table::Contacts && column.kind == ColumnKind::Key && real.folds_case;
        for row in rows.iter() {
            if let Some(value) = row.get(column.position) {
                measure(&real.holds, column.kind, value, &mut shortage);
                shortage.case |= tells_case && value.bytes().any(|b| b.is_ascii_lowercase());
            }
        }
        // The widest number type takes what it can; further decimals are rounded.
        if real.holds == Holds::Number(WIDEST) {
            shortage.number = false;
        }
        if !shortage.is_none() {
            found.push((at, shortage));
        }
    }
    found
}

/// Which columns can't hold some value of these rows.
pub(super) fn narrow(table: &Prepared, rows: &Rows) -> Vec<bool> {
    let lacking = shortages(table, rows);
    (0..table.columns.len())
        .map(|at| lacking.iter().any(|(column, _)| *column == at))
        .collect()
}
