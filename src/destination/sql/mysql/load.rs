//! Loading the rows of a new batch by `LOAD DATA LOCAL INFILE`, about twice as fast as statements.
//!
//! No file is read, whatever the server asks for. With `LOCAL` the server skips or changes what it can't store, with a warning instead of an error; so a warning
//! undoes everything, as does a row that was skipped because its key is there already.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::failure::Failure;
use super::row::{LINE, push_row};
use super::widen::narrow;
use super::write::{begin, report};
use super::{MysqlSink, Prepared, failure};
use crate::destination::sql::dialect::MYSQL;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::batch::{Batch, Rows};

/// Error numbers of servers (and of proxies before them) that don't load from clients: not allowed in three versions,
/// no such statement, not supported.
const NOT_FROM_CLIENTS: [u16; 5] = [1148, 3948, 4166, 1064, 1235];

/// Bytes that are written down before they are handed over.
const PIECE: usize = 128 * 1024;

/// Pieces that may wait to be sent.
const PIECES: usize = 2;

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
        sink.run("undoing what was loaded", "ROLLBACK")?;
        return Ok(false);
    }
    sink.run("committing a batch", "COMMIT")?;
    Ok(true)
}

/// Loads the rows of one table, which are written down in a thread of its own while the server takes what is ready.
fn rows(sink: &mut MysqlSink, table: &Prepared, rows: &Rows) -> Result<Loaded> {
    if rows.is_empty() {
        return Ok(Loaded::Everything);
    }
    // Whether the server takes a longer line, statements find out, and say so.
    let longest = sink.session.max_packet / 2;
    let (ready, pieces) = sync_channel(PIECES);
    let (sent, built) = thread::scope(|scope| {
        let builder = scope.spawn(move || build(table, rows, longest, &ready));
        let sent = send(sink, table, pieces);
        (sent, builder.join())
    });
    let built = built.map_err(|_| {
        Error::transient(format!(
            "an internal error while rows for {} were written down (see the log)",
            table.name
        ))
    })?;
    let sent = sent?;
    let Some(built) = built? else {
        return Ok(Loaded::NotAll);
    };
    let loaded = match sent {
        Some((affected, warnings)) if affected == built.rows && warnings == 0 => Loaded::Everything,
        Some(_) => Loaded::NotAll,
        None => return Ok(Loaded::Refused),
    };
    if matches!(loaded, Loaded::Everything) {
        for column in built.rounded {
            report(sink, table, column);
        }
    }
    Ok(loaded)
}

/// What was written down.
struct Built {
    rows: u64,
    rounded: BTreeSet<usize>,
}

/// Writes the rows down, piece by piece; nothing where a line is too long or nobody takes the pieces any more.
fn build(
    table: &Prepared,
    rows: &Rows,
    longest: usize,
    ready: &SyncSender<String>,
) -> Result<Option<Built>> {
    let narrow = narrow(table, rows);
    let mut rounded = BTreeSet::new();
    let mut lines = String::with_capacity(PIECE + PIECE / 4);
    let mut count = 0;
    for row in rows.by_key() {
        let before = lines.len();
        push_row(&mut lines, &LINE, table, row, &narrow, &mut rounded)?;
        if lines.len() - before > longest {
            return Ok(None);
        }
        count += 1;
        if lines.len() >= PIECE {
            let next = String::with_capacity(PIECE + PIECE / 4);
            if ready.send(std::mem::replace(&mut lines, next)).is_err() {
                return Ok(None);
            }
        }
    }
    if !lines.is_empty() && ready.send(lines).is_err() {
        return Ok(None);
    }
    Ok(Some(Built {
        rows: count,
        rounded,
    }))
}

/// Sends the pieces as they become ready; returns the number of rows that were taken and of warnings, or nothing where
/// the server does not load from clients, and zero rows where it refuses these.
fn send(
    sink: &mut MysqlSink,
    table: &Prepared,
    pieces: Receiver<String>,
) -> Result<Option<(u64, u16)>> {
    // With it goes the receiver of the pieces: whoever builds them sees that nobody takes them any more.
    match sink.session.load(&table.load, pieces.into_iter()) {
        Ok(done) => Ok(Some((done.affected, done.warnings))),
        Err(e) if failure::is_lost(&e) || failure::is_for_state(&e) => Err(sink.failed(
            &format!("loading into {}", table.name),
            &e,
            ErrorKind::Transient,
        )),
        Err(Failure::Server(e)) if NOT_FROM_CLIENTS.contains(&e.code) => Ok(None),
        Err(_) => Ok(Some((0, 0))),
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
