//! Loading the rows of a new batch by `LOAD DATA LOCAL INFILE`, about twice as fast as statements.
//!
//! No file is read: the driver asks a closure for the contents, and has none to ask outside [`send`], whatever the server
//! wants. With `LOCAL` the server skips or changes what it can't store, with a warning instead of an error; so a warning
//! undoes everything, as does a row that was skipped because its key is there already.

use std::collections::BTreeMap;
use std::io::Write;

use mysql::LocalInfileHandler;
use mysql::prelude::Queryable;

use super::connect::guarded;
use super::row::{LINE, Numbers, push_row};
use super::write::{STATEMENT, begin, narrow, report, run};
use super::{MysqlSink, Prepared, failure};
use crate::error::{ErrorKind, Result};
use crate::sink::dialect::MYSQL;
use crate::tables::batch::{Batch, Rows};

/// Error numbers of servers (and of proxies before them) that don't load from clients: not allowed in three versions,
/// no such statement, not supported.
const NOT_FROM_CLIENTS: [u16; 5] = [1148, 3948, 4166, 1064, 1235];

/// What came of loading.
enum Loaded {
    Everything,
    /// Some row was skipped or changed, or refused.
    NotAll,
    /// The server doesn't load from clients (`local_infile` is off).
    Refused,
}

/// Loads a batch in one transaction; false where that fails and nothing of it is left.
pub(super) fn transaction(
    sink: &mut MysqlSink,
    tables: &[Prepared],
    batch: &Batch,
) -> Result<bool> {
    begin(sink, tables, batch)?;
    for table in tables {
        match rows(sink, table, batch.rows(table.table))? {
            Loaded::Everything => continue,
            Loaded::NotAll => sink.loading.met_a_row(),
            Loaded::Refused => sink.loading.refused(),
        }
        log::debug!(
            "rows of table {} can't be loaded, they are written by statements",
            table.name
        );
        run(sink, "undoing what was loaded", "ROLLBACK")?;
        return Ok(false);
    }
    run(sink, "committing a batch", "COMMIT")?;
    Ok(true)
}

fn rows(sink: &mut MysqlSink, table: &Prepared, rows: &Rows) -> Result<Loaded> {
    let narrow = narrow(table, rows);
    let mut numbers: BTreeMap<usize, Numbers> = BTreeMap::new();
    let mut lines = String::new();
    let mut count = 0;
    for row in rows.iter() {
        let before = lines.len();
        push_row(&mut lines, &LINE, table, row, &narrow, &mut numbers)?;
        // Whether the server takes so long a line, statements find out, and say so.
        if lines.len() - before > sink.session.max_packet / 2 {
            return Ok(Loaded::NotAll);
        }
        count += 1;
        if lines.len() >= STATEMENT {
            match send(sink, table, std::mem::take(&mut lines), count)? {
                Loaded::Everything => count = 0,
                other => return Ok(other),
            }
        }
    }
    if count > 0 {
        match send(sink, table, lines, count)? {
            Loaded::Everything => {}
            other => return Ok(other),
        }
    }
    for (column, count) in numbers {
        report(sink, table, column, &count);
    }
    Ok(Loaded::Everything)
}

/// Loads so many lines.
fn send(sink: &mut MysqlSink, table: &Prepared, lines: String, count: u64) -> Result<Loaded> {
    let conn = &mut sink.session.conn;
    conn.set_local_infile_handler(Some(LocalInfileHandler::new(move |_, out| {
        out.write_all(lines.as_bytes())
    })));
    let outcome = guarded(|| conn.query_drop(&table.load));
    conn.set_local_infile_handler(None);
    match outcome {
        Ok(()) if conn.affected_rows() == count && conn.warnings() == 0 => Ok(Loaded::Everything),
        Ok(()) => Ok(Loaded::NotAll),
        Err(e) if failure::is_lost(&e) => Err(sink.failed(
            &format!("loading into {}", table.name),
            &e,
            ErrorKind::Transient,
        )),
        Err(mysql::Error::MySqlError(e)) if NOT_FROM_CLIENTS.contains(&e.code) => {
            Ok(Loaded::Refused)
        }
        Err(_) => Ok(Loaded::NotAll),
    }
}

/// The statement that loads lines into these columns.
pub(super) fn statement(table: &str, columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|name| MYSQL.quote(name)).collect();
    format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4 ({})",
        MYSQL.quote(table),
        columns.join(", ")
    )
}
