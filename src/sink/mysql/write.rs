//! Writing a batch: widening columns before it, then all rows in one transaction.

use std::collections::BTreeSet;

use super::catalog::RealTable;
use super::column::{Holds, Shortage, WIDEST, measure, wider};
use super::literal::list;
use super::row::{LITERALS, push_row};
use super::{IDS_PER_QUERY, MysqlSink, Prepared, failure, load};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::dialect::MYSQL;
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{ColumnKind, Table};

/// Bytes of one statement. More than this saves no time; a single row may take as much as the server allows.
const STATEMENT: usize = 1 << 20;

/// Bytes of a packet that are not the statement's text.
const PACKET_MARGIN: usize = 1024;

/// A column to be widened.
struct Change {
    column: String,
    old: String,
    new: String,
    modify: String,
    /// Numbers become texts, with needless zeros.
    trims: bool,
}

/// Widens the columns that are too narrow for a value of the batch. Where the server refuses, the rows are
/// refused later, one by one.
pub(super) fn widen(sink: &mut MysqlSink, batch: &Batch) -> Result<()> {
    let mut altered = false;
    for at in 0..sink.tables.len() {
        let Some(table) = sink.tables.get(at) else {
            continue;
        };
        let (id, name) = (table.table, table.name.clone());
        let (changes, refusals) = changes(table, batch.rows(id), |column| {
            sink.unwidened.contains(&(id, column.to_owned()))
        });
        for (column, reason) in refusals {
            give_up(sink, id, &name, column, &reason);
        }
        if !changes.is_empty() {
            altered |= alter(sink, id, &name, changes)?;
        }
    }
    if altered {
        sink.rebuilding = None;
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
        match sink.alter(&sql(&attempt)) {
            Ok(()) => {
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
                let error = sink.altering_failed(&format!("widening columns of {name}"), &e);
                if !failure::is_refusal(&e) {
                    return Err(error);
                }
                if let [change] = attempt.as_slice() {
                    give_up(sink, table, name, change.column.clone(), &error.to_string());
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
    if let Err(e) = sink.alter(&sql) {
        let error = sink.altering_failed(&format!("shortening the numbers of {table}"), &e);
        log::warn!("the numbers stored in {table}.{column} keep all their decimals: {error}");
    }
}

fn give_up(sink: &mut MysqlSink, table: Table, name: &str, column: String, reason: &str) {
    log::warn!(
        "the column {name}.{column} is too narrow and can't be widened, rows that don't fit are set aside: {reason}"
    );
    sink.unwidened.insert((table, column));
}

/// Reads the types anew: they are as the server made them, not as we asked.
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
                    "MySQL at {}: the table {name} was changed by another program: it is prepared anew",
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

/// The statement being built; its memory is kept from batch to batch.
#[derive(Default)]
pub(super) struct Writer {
    sql: String,
}

impl Writer {
    pub(super) fn write(&mut self, sink: &mut MysqlSink, batch: &Batch) -> Result<()> {
        // The one thing that our escaping relies on, and that a proxy between us and the server could lose.
        if sink.session.conn.no_backslash_escape() {
            sink.lost = true;
            return Err(Error::transient(format!(
                "MySQL at {}: the session lost its sql_mode",
                sink.session.place
            )));
        }
        let tables = std::mem::take(&mut sink.tables);
        let outcome = if batch.is_new && sink.loading.is_due() {
            load::transaction(sink, &tables, batch)
        } else {
            Ok(false)
        };
        let outcome = match outcome {
            Ok(false) => self.transaction(sink, &tables, batch),
            loaded => loaded.map(|_| ()),
        };
        sink.tables = tables;
        outcome
    }

    fn transaction(
        &mut self,
        sink: &mut MysqlSink,
        tables: &[Prepared],
        batch: &Batch,
    ) -> Result<()> {
        begin(sink, tables, batch)?;
        for table in tables {
            self.rows(sink, table, batch.rows(table.table))?;
        }
        let end = if batch.is_rehearsal {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        run(sink, "committing a batch", end)
    }

    fn rows(&mut self, sink: &mut MysqlSink, table: &Prepared, rows: &Rows) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let most = sink
            .session
            .max_packet
            .saturating_sub(table.tail.len() + PACKET_MARGIN);
        let doing = format!("writing to {}", table.name);
        let narrow = narrow(table, rows);
        let mut rounded = BTreeSet::new();
        self.sql.clear();
        for row in rows.by_key() {
            if self.sql.is_empty() {
                self.sql.push_str(&table.head);
            }
            let begun = self.sql.len();
            let is_first = begun == table.head.len();
            if !is_first {
                self.sql.push(',');
            }
            push_row(&mut self.sql, &LITERALS, table, row, &narrow, &mut rounded)?;
            if !is_first && self.sql.len() > most.min(STATEMENT) {
                let last = self.sql.split_off(begun + 1);
                self.sql.truncate(begun);
                self.send(sink, table, &doing)?;
                self.sql.push_str(&table.head);
                self.sql.push_str(&last);
            }
            if self.sql.len() > most {
                return Err(Error::data(format!(
                    "MySQL at {}: {doing}: the row {} has {} bytes, more than max_allowed_packet ({} bytes) lets through \
                     (raise it on the server)",
                    sink.session.place,
                    row.key(),
                    self.sql.len(),
                    sink.session.max_packet
                )));
            }
        }
        self.send(sink, table, &doing)?;
        for column in rounded {
            report(sink, table, column);
        }
        Ok(())
    }

    fn send(&mut self, sink: &mut MysqlSink, table: &Prepared, doing: &str) -> Result<()> {
        self.sql.push_str(&table.tail);
        let outcome = run(sink, doing, &self.sql);
        self.sql.clear();
        // One huge row must not cost its memory for ever.
        self.sql.shrink_to(2 * STATEMENT);
        outcome
    }
}

/// Begins a batch's transaction, and deletes the placeholders in it.
pub(super) fn begin(sink: &mut MysqlSink, tables: &[Prepared], batch: &Batch) -> Result<()> {
    run(sink, "beginning a transaction", "START TRANSACTION")?;
    for table in tables.iter().filter(|t| t.table == Table::Recordings) {
        for ids in batch.placeholders.chunks(IDS_PER_QUERY) {
            let ids = list(ids.iter().map(String::as_str));
            let sql = format!("DELETE FROM {} WHERE id IN {ids}", MYSQL.quote(&table.name));
            run(sink, "deleting placeholders of recordings", &sql)?;
        }
    }
    Ok(())
}

/// Which columns can't hold some value of these rows.
pub(super) fn narrow(table: &Prepared, rows: &Rows) -> Vec<bool> {
    let lacking = shortages(table, rows);
    (0..table.columns.len())
        .map(|at| lacking.iter().any(|(column, _)| *column == at))
        .collect()
}

pub(super) fn run(sink: &mut MysqlSink, doing: &str, sql: &str) -> Result<()> {
    sink.session
        .query(sql)
        .map_err(|e| sink.failed(doing, &e, ErrorKind::Transient))
}

/// Says that numbers were rounded, once per column.
pub(super) fn report(sink: &mut MysqlSink, table: &Prepared, column: usize) {
    let Some(real) = table.real.columns.get(column) else {
        return;
    };
    if sink.rounded.insert((table.table, real.name.clone())) {
        log::warn!(
            "{}.{}: numbers with more than 30 decimals are rounded to 30, the most that MySQL has",
            table.name,
            real.name
        );
    }
}
