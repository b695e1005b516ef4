//! SQLite as a destination: one file, one transaction per batch.
//!
//! The file is in WAL mode, so that readers never wait for us and a killed process loses no committed batch, with
//! `synchronous=FULL`, so that neither does a power failure: the checkpoint moves only after the commit.

mod catalog;
mod failure;
mod probe;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params_from_iter};

use self::failure::{failure, is_busy, lack_of_room, opening, refusal};
use super::decimal::Decimal;
use super::dialect::SQLITE;
use super::said::Said;
use super::{
    CheckLine, MAX_DDL_LOCK_WAIT, MissingColumn, MissingIndex, PresentRow, Sink, StoredContact,
};
use crate::error::{Error, Result};
use crate::files;
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{Schema, Table, TableSchema};

/// How long to wait for another program that writes to the file.
const BUSY: Duration = Duration::from_secs(60);

/// Parameters per statement in `IN (…)` lists; SQLite allows 32,766.
const IDS_PER_QUERY: usize = 500;

/// Memory for pages of the file, in KiB, which is SQLite's usual one: keys come in no order, so each batch touches pages
/// all over the file, and twice as much memory saves no time.
const CACHE: i64 = 2048;

/// The same while indexes are made: sorting takes as much again.
const CACHE_WHILE_SORTING: i64 = 1024;

/// So many pages of 4 KiB may wait in the log until they are copied to their places, while a first copy is written: most
/// batches touch the same pages again, which are then copied once for many batches.
const LOG_OF_FIRST_COPY: u32 = 16_384;

/// The same afterwards, SQLite's usual one: the file itself is never far behind.
const LOG: u32 = 1000;

/// Endings of the files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A SQLite file that is open.
pub struct SqliteSink {
    conn: Connection,
    path: PathBuf,
    /// The same without links.
    file: PathBuf,
    /// What others could do with the file.
    doubts: Vec<String>,
    /// How long to wait for other writers.
    busy: Duration,
    identity: Option<Identity>,
    created: bool,
    tables: Vec<Prepared>,
}

/// One table, ready to be written.
struct Prepared {
    table: Table,
    /// Quoted.
    name: String,
    plain_name: String,
    /// Of the columns that are written, quoted.
    names: Vec<String>,
    upsert: String,
    /// The same without what is done about keys that are there.
    insert: String,
    /// Position in the rows, and how the value is stored, for each parameter of `upsert`.
    columns: Vec<(usize, Storage)>,
}

/// How a value is handed to SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// As it is.
    Text,
    /// As an integer or a double where that is exact.
    Number,
}

impl SqliteSink {
    /// Opens the file, or creates it empty; its directory must exist.
    ///
    /// # Errors
    /// [`Setup`](crate::error::ErrorKind::Setup) if it can't be opened or is no database.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_waiting(path, BUSY)
    }

    /// As [`SqliteSink::open`], with a time to wait for other writers.
    pub fn open_waiting(path: &Path, busy: Duration) -> Result<Self> {
        let created = !path.exists();
        let (real, doubts) = match files::database(path, &BESIDE) {
            Err(error) if files::is_refusal(&error) => {
                return Err(Error::setup(format!(
                    "cannot open the SQLite database {}: {error}",
                    path.display()
                )));
            }
            // SQLite meets the same, and it is explained below.
            Err(_) => (path.to_owned(), Vec::new()),
            Ok(found) => found,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn =
            Connection::open_with_flags(&real, flags).map_err(|e| opening(path, &real, &e))?;
        conn.busy_timeout(busy)
            .and_then(|()| conn.pragma_update(None, "synchronous", "FULL"))
            // What a build of SQLite may have set otherwise, and what would make rows vanish or refuse good ones.
            .and_then(|()| conn.pragma_update(None, "recursive_triggers", "OFF"))
            .and_then(|()| conn.pragma_update(None, "ignore_check_constraints", "OFF"))
            .and_then(|()| conn.pragma_update(None, "legacy_alter_table", "OFF"))
            .and_then(|()| set_cache(&conn, CACHE))
            .and_then(|()| conn.query_row("PRAGMA schema_version", [], |_| Ok(())))
            .map_err(|e| opening(path, &real, &e))?;
        if conn.is_readonly("main").unwrap_or(false) {
            return Err(Error::setup(format!(
                "cannot open the SQLite database {}: this user may only read it (check its owner and mode)",
                path.display()
            )));
        }
        Ok(SqliteSink {
            identity: Identity::of(path),
            conn,
            path: path.to_owned(),
            file: real,
            doubts,
            busy,
            created,
            tables: Vec::new(),
        })
    }

    /// Warns of what others could do with the file, unless that was said before.
    pub(super) fn warn(&self, said: &Said) {
        for doubt in &self.doubts {
            said.warn(&format!("SQLite database {}: {doubt}", self.path.display()));
        }
    }

    fn table(&self, table: Table) -> Result<&Prepared> {
        self.tables
            .iter()
            .find(|t| t.table == table)
            .ok_or_else(|| Error::setup("the tables of the SQLite database are not prepared yet"))
    }

    /// Whether the file can grow, and its log: a transaction does not show it before its end.
    fn try_room(&self) -> std::result::Result<(), String> {
        match lack_of_room(&self.file) {
            Some(why) => Err(format!("SQLite database {}: {why}", self.path.display())),
            None => Ok(()),
        }
    }

    /// Takes checksums away.
    fn mark(&self, sql: &str, values: impl rusqlite::Params) -> Result<u64> {
        self.check_file()?;
        self.conn
            .execute(sql, values)
            .map(|rows| u64::try_from(rows).unwrap_or(u64::MAX))
            .map_err(|e| {
                let doing = "marking contacts for a fresh look";
                refusal(&self.conn, &self.path, doing, &e)
            })
    }

    /// SQLite goes on writing to a file that was deleted or replaced, where nobody finds the rows.
    fn check_file(&self) -> Result<()> {
        if Identity::of(&self.path) == self.identity {
            return Ok(());
        }
        Err(Error::transient(format!(
            "the SQLite database {} was moved, deleted or replaced while open: it is opened again",
            self.path.display()
        )))
    }
}

impl Sink for SqliteSink {
    fn alive(&mut self) -> Result<()> {
        self.check_file()?;
        // Reads the file's first page.
        self.conn
            .query_row("PRAGMA schema_version", [], |_| Ok(()))
            .map_err(|e| failure(&self.path, "asking for an answer", &e))
    }

    fn columns(&mut self, table: &TableSchema) -> Result<Vec<String>> {
        let columns = catalog::columns(&self.conn, &table.name);
        columns
            .map(|columns| columns.into_iter().map(|column| column.name).collect())
            .map_err(|e| failure(&self.path, "reading the columns of a table", &e))
    }

    fn prepare(&mut self, schema: &Schema) -> Result<Vec<MissingColumn>> {
        self.check_file()?;
        let path = &self.path;
        let failed = |e: rusqlite::Error| failure(path, "preparing tables", &e);
        // Where WAL is impossible (some network file systems) SQLite keeps the old mode, which is durable as well.
        let mode: String = self
            .conn
            .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
            .map_err(failed)?;
        if mode != "wal" {
            log::info!(
                "SQLite keeps the journal mode {mode} for {}",
                path.display()
            );
        }
        // Readers can keep the log from being reused; after them it shrinks to this size again.
        self.conn
            .query_row("PRAGMA journal_size_limit=67108864", [], |_| Ok(()))
            .and_then(|()| set_log(&self.conn, LOG_OF_FIRST_COPY))
            .map_err(failed)?;
        let (mut missing, mut tables) = (Vec::new(), Vec::new());
        let conn = &self.conn;
        conn.busy_timeout(self.busy.min(MAX_DDL_LOCK_WAIT))
            .map_err(failed)?;
        // Where another program writes, we go on with the tables as they are.
        let immediate = TransactionBehavior::Immediate;
        let (tx, locked) = match Transaction::new_unchecked(conn, immediate) {
            Ok(tx) => (tx, None),
            Err(e) if is_busy(&e) => {
                let locked = failed(e);
                let reading = TransactionBehavior::Deferred;
                let tx = Transaction::new_unchecked(conn, reading).map_err(failed)?;
                (tx, Some(locked))
            }
            Err(e) => return Err(failed(e)),
        };
        let prepared = schema.tables().try_for_each(|table| {
            let prepared = catalog::prepare(&tx, path, table, locked.as_ref(), &mut missing)?;
            tables.push(prepared);
            Ok(())
        });
        // What could be made stays, whatever the rest.
        let end = tx.commit().and_then(|()| conn.busy_timeout(self.busy));
        prepared.and(end.map_err(failed))?;
        self.tables = tables;
        self.created = false;
        Ok(missing)
    }

    fn index(&mut self, schema: &Schema) -> Result<Vec<MissingIndex>> {
        self.check_file()?;
        let SqliteSink {
            conn, path, busy, ..
        } = self;
        let failed = |e: rusqlite::Error| failure(path, "making indexes", &e);
        set_cache(conn, CACHE_WHILE_SORTING)
            .and_then(|()| conn.busy_timeout((*busy).min(MAX_DDL_LOCK_WAIT)))
            .map_err(failed)?;
        let mut missing = Vec::new();
        let mut tables = schema.tables();
        let made = tables.try_for_each(|table| catalog::create_indexes(conn, table, &mut missing));
        set_cache(conn, CACHE)
            .and_then(|()| set_log(conn, LOG))
            .and_then(|()| conn.busy_timeout(*busy))
            .and(made)
            .map_err(failed)?;
        Ok(missing)
    }

    fn stored(&mut self, ids: &[&str]) -> Result<Vec<StoredContact>> {
        self.check_file()?;
        let table = self.table(Table::Contacts)?;
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_PER_QUERY) {
            let sql = format!(
                // With the table before them, as a name that is no column is a text otherwise.
                "SELECT d.\"$id\", d.\"$md5\", d.\"$changed\" FROM {} AS d WHERE d.\"$id\" IN ({})",
                table.name,
                placeholders(ids.len())
            );
            let mut read = || -> rusqlite::Result<()> {
                let mut statement = self.conn.prepare(&sql)?;
                let mut rows = statement.query(params_from_iter(ids))?;
                while let Some(row) = rows.next()? {
                    let text = |i| -> rusqlite::Result<Option<String>> {
                        Ok(row
                            .get_ref(i)?
                            .as_str_or_null()
                            .unwrap_or(None)
                            .map(str::to_owned))
                    };
                    found.push(StoredContact {
                        id: text(0)?.unwrap_or_default(),
                        md5: text(1)?,
                        changed: text(2)?,
                    });
                }
                Ok(())
            };
            read().map_err(|e| failure(&self.path, "reading stored contacts", &e))?;
        }
        Ok(found)
    }

    fn present(
        &mut self,
        table: Table,
        keys: &[&str],
        columns: &[&str],
    ) -> Result<Vec<PresentRow>> {
        self.check_file()?;
        let key = SQLITE.quote(table.key());
        let sql = format!(
            // With the table before it, as a name that is no column is a text otherwise.
            "SELECT {key}{} FROM {} AS d WHERE {key} IN ({})",
            PresentRow::selected(columns, |column| format!("d.{}", SQLITE.quote(column))),
            self.table(table)?.name,
            placeholders(keys.len())
        );
        let read = || -> rusqlite::Result<Vec<PresentRow>> {
            let mut statement = self.conn.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(keys))?;
            let mut found = Vec::with_capacity(keys.len());
            while let Some(row) = rows.next()? {
                let values = (0..=columns.len()).map(|at| row.get(at));
                found.extend(PresentRow::read(
                    values.collect::<rusqlite::Result<Vec<_>>>()?,
                ));
            }
            Ok(found)
        };
        read().map_err(|e| failure(&self.path, "looking for rows", &e))
    }

    fn count(&mut self, table: Table, limit: u32) -> Result<u32> {
        self.check_file()?;
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {limit})",
            self.table(table)?.name
        );
        self.conn
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|e| failure(&self.path, "counting rows", &e))
    }

    fn distrust_after(&mut self, stamp: &str, campaign: &str) -> Result<u64> {
        let table = self.table(Table::Contacts)?;
        let sql = format!(
            "UPDATE {} SET \"$md5\" = NULL WHERE {}",
            table.name,
            probe::trusted_after(table)
        );
        self.mark(&sql, [stamp, campaign])
    }

    fn trusted_after(
        &mut self,
        stamp: &str,
        campaign: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>> {
        self.check_file()?;
        let table = self.table(Table::Contacts)?;
        let sql = format!(
            "SELECT \"$id\" FROM {} WHERE {} AND \"$id\" > ?3 ORDER BY \"$id\" LIMIT {most}",
            table.name,
            probe::trusted_after(table)
        );
        let read = || -> rusqlite::Result<Vec<String>> {
            self.conn
                .prepare(&sql)?
                .query_map([stamp, campaign, after], |row| row.get(0))?
                .collect()
        };
        read().map_err(|e| failure(&self.path, "looking for rows", &e))
    }

    fn distrust(&mut self, ids: &[&str]) -> Result<u64> {
        let mut marked = 0;
        for ids in ids.chunks(IDS_PER_QUERY) {
            let sql = format!(
                "UPDATE {} SET \"$md5\" = NULL WHERE \"$id\" IN ({})",
                self.table(Table::Contacts)?.name,
                placeholders(ids.len())
            );
            marked += self.mark(&sql, params_from_iter(ids))?;
        }
        Ok(marked)
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.check_file()?;
        self.table(Table::Contacts)?;
        let SqliteSink {
            conn, path, tables, ..
        } = self;
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| failure(path, "beginning a transaction", &e))?;
        let failed = |doing: &str, e: rusqlite::Error| refusal(&tx, path, doing, &e);
        for table in tables.iter() {
            if table.table == Table::Recordings {
                for ids in batch.placeholders.chunks(IDS_PER_QUERY) {
                    let sql = format!(
                        "DELETE FROM {} WHERE id IN ({})",
                        table.name,
                        placeholders(ids.len())
                    );
                    tx.execute(&sql, params_from_iter(ids))
                        .map_err(|e| failed("deleting placeholders of recordings", e))?;
                }
            }
            let doing = format!("writing to table {}", table.name);
            let sql = match batch.only_adds_to(table.table) {
                true => &table.insert,
                false => &table.upsert,
            };
            let left_out =
                put_in(&tx, table, sql, batch.rows(table.table)).map_err(|e| failed(&doing, e))?;
            if left_out > 0 {
                return Err(Error::data(format!(
                    "SQLite database {}: {doing}: a trigger left out {left_out} rows without an error (let it raise one)",
                    path.display()
                )));
            }
        }
        let end = if batch.is_rehearsal {
            let mut tables = tables.iter();
            let looked = tables.try_for_each(|table| {
                let mut rows = batch.rows(table.table).iter();
                rows.try_for_each(|row| probe::look_at_deferred(&tx, table, row.key()))
            });
            looked.and(tx.rollback())
        } else {
            tx.commit()
        };
        end.map_err(|e| refusal(conn, path, "committing a batch", &e))
    }

    fn sample(&mut self, table: Table, most: usize) -> Result<Vec<String>> {
        probe::sample(&self.conn, self.table(table)?, most)
            .map_err(|e| failure(&self.path, "reading stored rows", &e))
    }

    fn rows(&mut self, table: Table, keys: &[&str], rows: &mut Rows) -> Result<()> {
        let (key, count) = (SQLITE.quote(table.key()), keys.len());
        let condition = format!("{key} IN ({})", placeholders(count));
        probe::rows(&self.conn, self.table(table)?, &condition, keys, rows)
            .map_err(|e| failure(&self.path, "reading stored rows", &e))
    }

    fn triggers(&mut self, table: Table) -> Result<Vec<String>> {
        probe::triggers(&self.conn, self.table(table)?)
            .map_err(|e| failure(&self.path, "reading the catalogue", &e))
    }

    fn check(&mut self, schema: &Schema) -> Result<Vec<CheckLine>> {
        let mut lines = vec![CheckLine {
            subject: "database".to_owned(),
            outcome: Ok(format!(
                "SQLite {}, {}",
                rusqlite::version(),
                self.path.display()
            )),
        }];
        let writable = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(Transaction::rollback);
        lines.push(CheckLine {
            subject: "write access".to_owned(),
            outcome: match (writable, self.try_room()) {
                (Ok(()), room) => room.map(|()| "granted".to_owned()),
                (Err(e), _) => Err(failure(&self.path, "trying a transaction", &e).to_string()),
            },
        });
        if !self.doubts.is_empty() {
            lines.push(CheckLine {
                subject: "other users".to_owned(),
                outcome: Ok(self.doubts.join("; ")),
            });
        }
        for table in schema.tables() {
            let columns = catalog::columns(&self.conn, &table.name)
                .map_err(|e| failure(&self.path, "reading the catalogue", &e))?;
            let missing = table
                .columns
                .iter()
                .filter(|c| catalog::find(&columns, &c.name).is_none())
                .count();
            lines.push(CheckLine {
                subject: format!("table {}", table.name),
                outcome: Ok(match (columns.is_empty(), missing) {
                    (true, _) => "will be created".to_owned(),
                    (false, 0) => "present".to_owned(),
                    (false, n) => format!("present, {n} columns will be added"),
                }),
            });
        }
        // The file that opening made was for this look only.
        if self.created && std::fs::metadata(&self.file).is_ok_and(|file| file.len() == 0) {
            let _ = std::fs::remove_file(&self.file);
        }
        Ok(lines)
    }
}

/// Sets the memory for pages, in KiB.
fn set_cache(conn: &Connection, size: i64) -> rusqlite::Result<()> {
    conn.pragma_update(None, "cache_size", -size)
}

/// Sets how long the log may become, in pages.
fn set_log(conn: &Connection, pages: u32) -> rusqlite::Result<()> {
    conn.query_row(
        &format!("PRAGMA wal_autocheckpoint={pages}"),
        [],
        |_| Ok(()),
    )
}

/// Puts all rows of one table in; the statement is prepared once per batch. Returns how many are not there then.
fn put_in(
    tx: &Transaction<'_>,
    table: &Prepared,
    sql: &str,
    rows: &Rows,
) -> rusqlite::Result<usize> {
    let mut left_out = 0;
    if rows.is_empty() {
        return Ok(left_out);
    }
    let mut statement = tx.prepare(sql)?;
    for row in rows.by_key() {
        for (parameter, (column, storage)) in (1..).zip(&table.columns) {
            let value = match (row.get(*column), storage) {
                (None, _) => ValueRef::Null,
                (Some(text), Storage::Text) => ValueRef::Text(text.as_bytes()),
                (Some(text), Storage::Number) => number(text),
            };
            statement.raw_bind_parameter(parameter, ToSqlOutput::Borrowed(value))?;
        }
        // A row that is a key alone, and is there, needs no change.
        let changes = statement.raw_execute()?;
        left_out += usize::from(changes == 0 && table.columns.len() > 1);
    }
    Ok(left_out)
}

/// The number a text stands for, as SQLite can hold it exactly; else the text itself.
fn number(text: &str) -> ValueRef<'_> {
    let Some(decimal) = Decimal::parse(text) else {
        return ValueRef::Text(text.as_bytes());
    };
    if decimal.fraction.is_empty()
        && let Ok(integer) = text.split('.').next().unwrap_or_default().parse()
    {
        return ValueRef::Integer(integer);
    }
    match text.parse() {
        Ok(real) if decimal.fits_double(text) => ValueRef::Real(real),
        _ => ValueRef::Text(text.as_bytes()),
    }
}

fn placeholders(count: usize) -> String {
    let mut list = "?,".repeat(count);
    list.pop();
    list
}

/// Which file a path leads to, beyond its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path)
            .ok()
            .map(|file| Identity(file.dev(), file.ino()))
    }

    /// Elsewhere the system keeps an open file from being deleted.
    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        path.exists().then_some(Identity(0, 0))
    }
}
