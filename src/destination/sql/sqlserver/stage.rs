//! Writing a batch: all rows into staging tables, then from there into the tables in one transaction.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use super::column::{Holds, Shortage, measure};
use super::widen::{read_again, shortages, widen};
use super::{ANSWER, Prepared, SqlServerSink, catalog, failure, statement};
use crate::destination::sql::NUL_SIGN;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::batch::{Batch, Row, Rows};
use crate::tables::schema::Table;

/// UTF-16 units of the longest text that the driver loads in bulk: it takes the 65,535 that stands for "no limit" in
/// the description of an nvarchar(max) for a limit in bytes.
const MAX_LOADED: usize = 32_767;

/// UTF-16 units of the longest key that a staging table takes.
const MAX_KEY: usize = 450;

/// Writes a batch; what passes by itself is tried once more at once.
pub(super) fn write(sink: &mut SqlServerSink, batch: &Batch) -> Result<()> {
    widen(sink, batch)?;
    let tables = std::mem::take(&mut sink.tables);
    let first = transaction(sink, &tables, batch);
    sink.tables = tables;
    let Err(Failed { error, code }) = first else {
        return Ok(());
    };
    recover(sink);
    if failure::TRUNCATION.contains(&code) {
        // The column was narrowed since we looked.
        read_again(sink)?;
        widen(sink, batch)?;
    } else if !failure::DUPLICATE.contains(&code) {
        return Err(error);
    }
    // Another session was faster, which the update sees now. If the server finds two keys of the batch equal that we
    // take for different, this fails again, and the batch is split until they are apart.
    log::debug!("a batch is written once more after: {error}");
    let tables = std::mem::take(&mut sink.tables);
    let second = transaction(sink, &tables, batch);
    sink.tables = tables;
    second.map_err(|Failed { error, .. }| {
        recover(sink);
        error
    })
}

/// An error with the server's number.
struct Failed {
    error: Error,
    code: u32,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, code: 0 }
    }
}

/// Leaves no transaction and no staged rows behind. Where that fails, the connection is of no use any more.
fn recover(sink: &mut SqlServerSink) {
    let mut statements = vec![statement::ROLLBACK.to_owned()];
    statements.extend(
        sink.stages
            .keys()
            .map(|table| statement::clear_stage(*table)),
    );
    for sql in statements {
        if sink.connection.is_lost() {
            return;
        }
        if sink.connection.query(&sql, ANSWER).is_err() {
            sink.connection.give_up();
        }
    }
}

fn transaction(
    sink: &mut SqlServerSink,
    tables: &[Prepared],
    batch: &Batch,
) -> std::result::Result<(), Failed> {
    let mut staged = Vec::new();
    for table in tables {
        let rows = batch.rows(table.schema.table);
        if !rows.is_empty() {
            check(table, rows)?;
            create(sink, table)?;
            load(sink, table, rows)?;
            staged.push(table);
        }
    }
    run(sink, "beginning a transaction", statement::BEGIN)?;
    let recordings = (tables.iter()).find(|table| table.schema.table == Table::Recordings);
    if let Some(table) = recordings {
        for ids in batch.placeholders.chunks(statement::IDS) {
            let sql = statement::delete(&table.schema, ids.iter().map(String::as_str));
            run(sink, "deleting placeholders of recordings", &sql)?;
        }
    }
    for table in staged {
        let doing = format!("{}{}", failure::WRITING, table.schema.name);
        let [update, insert] = statement::upsert(&table.schema, &table.real_columns());
        if !batch.only_adds_to(table.schema.table) {
            run(sink, &doing, &update)?;
        }
        run(sink, &doing, &insert)?;
        verify(sink, table, &doing)?;
        run(sink, &doing, &statement::clear_stage(table.schema.table))?;
    }
    if batch.is_rehearsal {
        recover(sink);
        return Ok(());
    }
    run(sink, "committing a batch", statement::COMMIT)
}

/// Refuses what the server left out without a word: a unique index with IGNORE_DUP_KEY does so, and some triggers.
fn verify(
    sink: &mut SqlServerSink,
    table: &Prepared,
    doing: &str,
) -> std::result::Result<(), Failed> {
    let sql = statement::left_out(&table.schema, &table.real_columns());
    let rows = (sink.connection.query(&sql, ANSWER)).map_err(|e| Failed {
        error: sink.failed(doing, &e, ErrorKind::Transient),
        code: failure::code(&e),
    })?;
    match rows.first().map(|row| catalog::text(row, 0)) {
        Some("0") | None => Ok(()),
        Some(count) => Err(Error::data(format!(
            "SQL Server at {}: {doing}: {count} rows were left out without an error, by a unique index with \
             IGNORE_DUP_KEY = ON or by a trigger of the table (make it a plain index, or let the trigger raise an error)",
            sink.connection.place
        ))
        .into()),
    }
}

fn run(sink: &mut SqlServerSink, doing: &str, sql: &str) -> std::result::Result<(), Failed> {
    match sink.connection.query(sql, ANSWER) {
        Ok(_) => Ok(()),
        Err(e) => Err(Failed {
            error: failure::write(&sink.connection.place, doing, &e),
            code: failure::code(&e),
        }),
    }
}

/// Refuses what the server would refuse or change in a way that does not name the row.
fn check(table: &Prepared, rows: &Rows) -> Result<()> {
    let refused = |what: &str| Error::of_row(format!("table {}: {what}", table.schema.name));
    for row in rows.iter() {
        if row.key().len() > MAX_KEY && row.key().encode_utf16().count() > MAX_KEY {
            return Err(refused("no key of SQL Server can hold the key"));
        }
    }
    for (at, _) in shortages(table, rows) {
        let Some((column, real)) = table
            .columns
            .get(at)
            .and_then(|written| Some((written, table.real.columns.get(written.real)?)))
        else {
            continue;
        };
        for row in rows.iter() {
            let mut shortage = Shortage::default();
            if let Some(value) = row.get(column.position) {
                measure(&real.holds, column.kind, value, &mut shortage);
            }
            if !shortage.is_none() && real.holds != Holds::Other {
                let what = format!(
                    "the column {} ({}) can't be widened, and can't hold the value",
                    real.name, real.declared
                );
                return Err(refused(&what));
            }
        }
    }
    Ok(())
}

/// Creates the staging table of a table, unless there is one that fits.
fn create(sink: &mut SqlServerSink, table: &Prepared) -> Result<()> {
    let id = table.schema.table;
    let key = table
        .real_columns()
        .first()
        .map(|key| key.collation.clone());
    let collation = key.filter(|name| {
        !name.is_empty()
            && *name != sink.temporary_collation
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let wanted = (table.columns.len(), collation);
    if sink.stages.get(&id) == Some(&wanted) {
        return Ok(());
    }
    let doing = format!("making the staging table of {}", table.schema.name);
    if sink.stages.remove(&id).is_some() {
        sink.run(&doing, &statement::drop_stage(id), ANSWER)?;
    }
    let sql = statement::create_stage(id, wanted.0, wanted.1.as_deref());
    match sink.connection.query(&sql, ANSWER) {
        // What is compatible with SQL Server may call a collation by a name that it does not take.
        Err(e) if wanted.1.is_some() && failure::is_refusal(&e) => {
            log::debug!("{}", sink.failed(&doing, &e, ErrorKind::Setup));
            let sql = statement::create_stage(id, wanted.0, None);
            sink.run(&doing, &sql, ANSWER)?;
        }
        outcome => {
            outcome.map_err(|e| sink.failed(&doing, &e, ErrorKind::Transient))?;
        }
    }
    sink.stages.insert(id, wanted);
    Ok(())
}

/// Loads the rows into the staging table; of those with equal keys, the last.
fn load(
    sink: &mut SqlServerSink,
    table: &Prepared,
    rows: &Rows,
) -> std::result::Result<(), Failed> {
    let stage = statement::stage(table.schema.table);
    let columns = statement::staged_columns(table.columns.len());
    let ignores_case = (table.real_columns().first()).is_some_and(|key| key.ignores_case());
    let last: HashMap<Cow<'_, str>, usize> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| (folded(row.key(), ignores_case), at))
        .collect();
    let aside = RefCell::new(Aside::default());
    let kept = rows
        .iter()
        .enumerate()
        .filter(|(at, row)| last.get(&folded(row.key(), ignores_case)) == Some(at))
        .map(|(number, row)| values(table, number, row, &aside));
    let outcome = sink.connection.load(&stage, &columns, kept, ANSWER);
    let aside = aside.into_inner();
    for at in aside.replaced {
        let real = table
            .columns
            .get(at)
            .and_then(|c| table.real.columns.get(c.real));
        let Some(column) = real.map(|real| real.name.clone()) else {
            continue;
        };
        sink.said.warn(&format!(
            "column {column} of table {}: NUL characters are replaced by ␀",
            table.schema.name
        ));
    }
    let doing = format!("loading rows for {}", table.schema.name);
    if let Err(e) = outcome {
        let failed = Failed {
            error: failure::write(&sink.connection.place, &doing, &e),
            code: failure::code(&e),
        };
        // What answers may still be on their way is anybody's guess.
        if failed.error.kind() != ErrorKind::Transient {
            sink.reconnect()?;
        }
        return Err(failed);
    }
    for (number, at) in aside.long {
        let row = rows.row(number);
        let position = table.columns.get(at).map(|column| column.position);
        if let Some(text) = position.and_then(|position| row.get(position)) {
            let sql = statement::stage_text(table.schema.table, at, row.key(), &storable(text));
            run(sink, &doing, &sql)?;
        }
    }
    Ok(())
}

/// What is to be done about values beside loading them.
#[derive(Default)]
struct Aside {
    /// Columns in which NUL characters were replaced.
    replaced: BTreeSet<usize>,
    /// Row and column of texts too long to be loaded in bulk; NULL is loaded in their place.
    long: Vec<(usize, usize)>,
}

/// A row in the order of the staging table's columns.
fn values<'a>(
    table: &'a Prepared,
    number: usize,
    row: Row<'a>,
    aside: &'a RefCell<Aside>,
) -> impl Iterator<Item = Option<Cow<'a, str>>> + use<'a> {
    let columns = table.columns.iter().enumerate();
    columns.map(move |(at, column)| {
        let text = storable(row.get(column.position)?);
        if matches!(text, Cow::Owned(_)) {
            aside.borrow_mut().replaced.insert(at);
        }
        if text.len() > MAX_LOADED && text.encode_utf16().count() > MAX_LOADED {
            aside.borrow_mut().long.push((number, at));
            return None;
        }
        Some(text)
    })
}

fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', NUL_SIGN))
    } else {
        Cow::Borrowed(text)
    }
}

/// A key as SQL Server compares it: blanks at the end never count, case by the collation. What else a collation takes
/// for equal is left to the server to refuse.
fn folded(key: &str, ignores_case: bool) -> Cow<'_, str> {
    let key = key.trim_end_matches(' ');
    if ignores_case && (key.chars()).any(|c| !c.is_ascii() || c.is_ascii_uppercase()) {
        Cow::Owned(key.to_lowercase())
    } else {
        Cow::Borrowed(key)
    }
}
