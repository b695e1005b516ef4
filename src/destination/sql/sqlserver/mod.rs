//! Microsoft SQL Server as a destination, from version 2008 on, and what is compatible with it.
//!
//! A batch is loaded in bulk into temporary tables of texts, one per table and connection. Then, in one transaction,
//! the rows that are there are updated from them and the others inserted; the server converts the texts to the types
//! that the columns really have. Before that, columns that are too narrow for a value of the batch are widened.
//!
//! Numbers: a new number column is a `decimal(38,10)`. A value that it does not hold exactly makes it a decimal with
//! more places behind the point, or, where what is stored leaves no room for them, a text column. No digit is lost.
//!
//! Keys: SQL Server compares texts without trailing blanks, and without case unless the database's collation says
//! otherwise. Of rows whose keys are equal to it, the last one written counts.

mod catalog;
mod column;
mod connect;
mod driver;
mod failure;
mod handshake;
mod prelogin;
mod prepare;
mod privileges;
mod stage;
mod statement;
mod transport;
mod widen;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tiberius::error::Error as DriverError;

use self::catalog::{RealColumn, RealTable};
use self::driver::Connection;
use super::said::Said;
use super::url::SqlServerUrl;
use super::{
    CheckLine, MAX_DDL_LOCK_WAIT, MissingColumn, MissingIndex, PresentRow, Sink, StoredContact,
};
use crate::error::{Error, ErrorKind, Result};
use crate::net::tls::Roots;
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{ColumnKind, Schema, Table, TableSchema};
use crate::text;

/// How long the server may take for one answer while rows are written.
const ANSWER: Duration = Duration::from_secs(300);

/// How long it may take to rebuild or to go through a large table.
const REBUILD: Duration = Duration::from_secs(6 * 3600);

/// How long to wait for a lock that another session holds.
const LOCK: Duration = Duration::from_secs(60);

/// A connection to SQL Server.
pub struct SqlServerSink {
    connection: Connection,
    url: SqlServerUrl,
    roots: Roots,
    /// How long to wait for locks of other sessions.
    lock: Duration,
    /// In words, such as `Microsoft SQL Server 2019 …`.
    version: String,
    /// Empty where the server does not say.
    temporary_collation: String,
    tables: Vec<Prepared>,
    /// The staging tables that there are: number of columns, and collation of the key.
    stages: HashMap<Table, (usize, Option<String>)>,
    /// Columns that could not be widened.
    unwidened: HashMap<(Table, String), Unwidened>,
    pub(super) said: Said,
}

/// One table, ready to be written.
struct Prepared {
    schema: Arc<TableSchema>,
    real: RealTable,
    /// The key first.
    columns: Vec<Written>,
}

/// A column that is written.
struct Written {
    /// In the rows.
    position: usize,
    /// In the real table.
    real: usize,
    kind: ColumnKind,
}

impl SqlServerSink {
    /// Connects to the first host of the URL that lets us in.
    ///
    /// # Errors
    /// [`Setup`](ErrorKind::Setup) if the log-in, the database or the server's certificate is refused,
    /// [`Transient`](ErrorKind::Transient) if no host answers.
    pub fn open(url: &SqlServerUrl, roots: &Roots) -> Result<Self> {
        Self::open_waiting(url, roots, LOCK)
    }

    /// As [`SqlServerSink::open`], with a time to wait for locks of other sessions, in milliseconds from 1.
    pub fn open_waiting(url: &SqlServerUrl, roots: &Roots, lock: Duration) -> Result<Self> {
        let mut sink = SqlServerSink {
            connection: Connection::open(url, roots)?,
            url: url.clone(),
            roots: roots.clone(),
            lock,
            version: String::new(),
            temporary_collation: String::new(),
            tables: Vec::new(),
            stages: HashMap::new(),
            unwidened: HashMap::new(),
            said: Said::default(),
        };
        sink.begin_session()?;
        Ok(sink)
    }

    fn begin_session(&mut self) -> Result<()> {
        let all = statement::SETTINGS.join("\n");
        match self.connection.query(&all, ANSWER) {
            Ok(_) => {}
            // What is compatible with SQL Server may not know all of them, and then sets none.
            Err(e) if failure::is_refusal(&e) => {
                for setting in statement::SETTINGS {
                    self.fact(setting)?;
                }
            }
            Err(e) => return Err(self.failed("setting up the session", &e, ErrorKind::Transient)),
        }
        self.fact(&statement::lock_timeout(self.lock))?;
        self.version = self.fact(statement::VERSION)?;
        self.temporary_collation = self.fact(statement::TEMPORARY_COLLATION)?;
        log::info!(
            "connected to {} at {}, {}",
            self.version,
            self.connection.place,
            self.connection.encryption
        );
        Ok(())
    }

    /// Begins again with a new connection, where the old one may be out of step.
    fn reconnect(&mut self) -> Result<()> {
        self.connection = Connection::open(&self.url, &self.roots)?;
        self.stages.clear();
        self.begin_session()
    }

    /// Runs statements that change tables or add indexes, one transaction where the first begins it. They wait for
    /// locks only for [`MAX_DDL_LOCK_WAIT`].
    fn define(&mut self, statements: &[String]) -> tiberius::Result<()> {
        let short = statement::lock_timeout(self.lock.min(MAX_DDL_LOCK_WAIT));
        let mut outcome = self.connection.query(&short, ANSWER).map(drop);
        for sql in statements {
            if outcome.is_ok() {
                outcome = self.connection.query(sql, REBUILD).map(drop);
            }
        }
        if !self.connection.is_lost() {
            let usual = statement::lock_timeout(self.lock);
            self.connection.query(statement::ROLLBACK, REBUILD)?;
            self.connection.query(&usual, ANSWER)?;
        }
        outcome
    }

    /// The first line of a single value; empty where the server knows no such thing.
    fn fact(&mut self, sql: &str) -> Result<String> {
        match self.connection.query(sql, ANSWER) {
            Ok(rows) => Ok(rows
                .first()
                .and_then(|row| catalog::text(row, 0).lines().next())
                .map(text::foreign)
                .unwrap_or_default()),
            Err(e) if failure::is_refusal(&e) => Ok(String::new()),
            Err(e) => Err(self.failed("looking at the server", &e, ErrorKind::Transient)),
        }
    }

    fn run(&mut self, doing: &str, sql: &str, limit: Duration) -> Result<()> {
        match self.connection.query(sql, limit) {
            Ok(_) => Ok(()),
            Err(e) => Err(self.failed(doing, &e, ErrorKind::Transient)),
        }
    }

    /// Turns an error of the driver into ours.
    fn failed(&self, doing: &str, e: &DriverError, otherwise: ErrorKind) -> Error {
        failure::statement(&self.connection.place, doing, e, otherwise)
    }

    fn prepared(&self, table: Table) -> Result<&Prepared> {
        let mut tables = self.tables.iter();
        tables.find(|t| t.schema.table == table).ok_or_else(|| {
            Error::setup("the tables of the SQL Server database are not prepared yet")
        })
    }

    fn contacts(&self) -> Result<String> {
        self.table(Table::Contacts)
    }

    /// The name of a table that was prepared.
    fn table(&self, table: Table) -> Result<String> {
        self.prepared(table).map(|t| t.schema.name.clone())
    }

    /// Whether the table of contacts has the column of the campaign.
    fn tells_campaigns(&self) -> Result<bool> {
        let columns = self.prepared(Table::Contacts)?.real_columns();
        Ok((columns.iter()).any(|column| column.name.eq_ignore_ascii_case("$campaign_id")))
    }

    /// Adds the rows that a statement selects.
    fn read_rows(&mut self, table: Table, sql: &str, into: &mut Rows) -> Result<()> {
        let found = (self.connection.query_stored(sql, ANSWER))
            .map_err(|e| self.failed("reading stored rows", &e, ErrorKind::Transient))?;
        for row in found {
            let columns = &self.prepared(table)?.columns;
            into.push_texts(columns.iter().map(|column| column.position), &row);
        }
        Ok(())
    }

    /// The keys that a statement selects.
    fn keys(&mut self, sql: &str) -> Result<Vec<String>> {
        let rows = (self.connection.query(sql, ANSWER))
            .map_err(|e| self.failed("looking for rows", &e, ErrorKind::Transient))?;
        let keys = rows.into_iter().filter_map(|row| row.into_iter().next());
        Ok(keys.flatten().collect())
    }

    /// Takes checksums away.
    fn mark(&mut self, sql: &str) -> Result<u64> {
        let doing = "marking contacts for a fresh look";
        (self.connection.execute(sql, REBUILD))
            .map_err(|e| failure::write(&self.connection.place, doing, &e))
    }
}

/// When to try again to widen a column.
struct Unwidened {
    not_before: Instant,
    pause: Duration,
}

impl Prepared {
    fn new(schema: &Arc<TableSchema>, real: RealTable, missing: &[MissingColumn]) -> Self {
        let is_missing = |name: &str| {
            missing
                .iter()
                .any(|m| m.table == schema.table && m.column == name)
        };
        let columns = (schema.columns.iter().zip(real.assigned(schema)))
            .enumerate()
            .filter(|(_, (column, _))| !is_missing(&column.name))
            .filter_map(|(position, (column, real))| {
                Some(Written {
                    position,
                    real: real?,
                    kind: column.kind,
                })
            })
            .collect();
        Prepared {
            schema: Arc::clone(schema),
            real,
            columns,
        }
    }

    /// The real columns that are written, in the order of `columns`.
    fn real_columns(&self) -> Vec<&RealColumn> {
        self.columns
            .iter()
            .filter_map(|written| self.real.columns.get(written.real))
            .collect()
    }
}

impl Sink for SqlServerSink {
    fn alive(&mut self) -> Result<()> {
        self.connection
            .query("SELECT 1", ANSWER)
            .map(drop)
            .map_err(|e| self.failed("asking for an answer", &e, ErrorKind::Transient))
    }

    fn columns(&mut self, table: &TableSchema) -> Result<Vec<String>> {
        let real = catalog::read(&mut self.connection, &table.name)
            .map_err(|e| self.failed("reading the catalogue", &e, ErrorKind::Transient))?;
        Ok(real.map_or_else(Vec::new, |real| {
            real.columns.into_iter().map(|column| column.name).collect()
        }))
    }

    fn prepare(&mut self, schema: &Schema) -> Result<Vec<MissingColumn>> {
        let mut missing = Vec::new();
        let mut tables = Vec::new();
        for table in schema.tables() {
            let real = prepare::table(self, table, &mut missing)?;
            tables.push(Prepared::new(table, real, &missing));
        }
        self.tables = tables;
        Ok(missing)
    }

    fn index(&mut self, schema: &Schema) -> Result<Vec<MissingIndex>> {
        self.contacts()?;
        let mut missing = Vec::new();
        let mut tables = std::mem::take(&mut self.tables);
        let made = schema.tables().try_for_each(|table| {
            let prepared = tables.iter_mut().find(|t| t.schema.table == table.table);
            prepared.map_or(Ok(()), |t| {
                prepare::index(self, table, &mut t.real, &mut missing)
            })
        });
        self.tables = tables;
        made.map(|()| missing)
    }

    fn stored(&mut self, ids: &[&str]) -> Result<Vec<StoredContact>> {
        let contacts = self.contacts()?;
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(statement::IDS) {
            let sql = statement::stored(&contacts, ids.iter().copied());
            let rows = (self.connection.query(&sql, ANSWER))
                .map_err(|e| self.failed("reading stored contacts", &e, ErrorKind::Transient))?;
            found.extend(rows.into_iter().map(StoredContact::of_texts));
        }
        Ok(found)
    }

    fn present(
        &mut self,
        table: Table,
        keys: &[&str],
        columns: &[&str],
    ) -> Result<Vec<PresentRow>> {
        let sql = statement::present(
            &self.table(table)?,
            table.key(),
            keys.iter().copied(),
            columns,
        );
        let rows = (self.connection.query(&sql, ANSWER))
            .map_err(|e| self.failed("looking for rows", &e, ErrorKind::Transient))?;
        Ok(rows.into_iter().filter_map(PresentRow::read).collect())
    }

    fn count(&mut self, table: Table, limit: u32) -> Result<u32> {
        let sql = statement::count(&self.table(table)?, limit);
        let rows = (self.connection.query(&sql, ANSWER))
            .map_err(|e| self.failed("counting rows", &e, ErrorKind::Transient))?;
        let count = rows.into_iter().flatten().next().flatten();
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    fn distrust_after(&mut self, stamp: &str, campaign: &str) -> Result<u64> {
        let campaign = self.tells_campaigns()?.then_some(campaign);
        let sql = statement::distrust_after(&self.contacts()?, stamp, campaign);
        self.mark(&sql)
    }

    fn trusted_after(
        &mut self,
        stamp: &str,
        campaign: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>> {
        let campaign = self.tells_campaigns()?.then_some(campaign);
        let sql = statement::trusted_after(&self.contacts()?, stamp, campaign, after, most);
        self.keys(&sql)
    }

    fn distrust(&mut self, ids: &[&str]) -> Result<u64> {
        let mut marked = 0;
        for ids in ids.chunks(statement::IDS) {
            let sql = statement::distrust(&self.contacts()?, ids.iter().copied());
            marked += self.mark(&sql)?;
        }
        Ok(marked)
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.contacts()?;
        stage::write(self, batch)
    }

    fn sample(&mut self, table: Table, most: usize) -> Result<Vec<String>> {
        let sql = statement::sample(&self.table(table)?, table.key(), most);
        self.keys(&sql)
    }

    fn rows(&mut self, table: Table, keys: &[&str], into: &mut Rows) -> Result<()> {
        let prepared = self.prepared(table)?;
        let columns = prepared.real_columns();
        let sql = statement::rows(&prepared.schema, &columns, keys.iter().copied());
        self.read_rows(table, &sql, into)
    }

    fn triggers(&mut self, table: Table) -> Result<Vec<String>> {
        let sql = statement::triggers(&self.prepared(table)?.schema.name);
        let found = (self.connection.query(&sql, ANSWER))
            .map_err(|e| self.failed("reading the catalogue", &e, ErrorKind::Transient))?;
        Ok(found.into_iter().flatten().flatten().collect())
    }

    fn check(&mut self, schema: &Schema) -> Result<Vec<CheckLine>> {
        let line = |subject: &str, outcome: String| CheckLine {
            subject: subject.to_owned(),
            outcome: Ok(outcome),
        };
        let mut lines = vec![
            line(
                "database",
                format!("{} at {}", self.version, self.connection.place),
            ),
            line("encryption", self.connection.encryption.to_owned()),
        ];
        for table in schema.tables() {
            let real = catalog::read(&mut self.connection, &table.name)
                .map_err(|e| self.failed("reading the catalogue", &e, ErrorKind::Transient))?;
            let outcome =
                match real {
                    None => Ok("will be created".to_owned()),
                    Some(real) => prepare::usable(self, table, &real).map(|()| {
                        match prepare::absent(table, &real).count() {
                            0 => "present".to_owned(),
                            n => format!("present, {n} columns will be added"),
                        }
                    }),
                };
            lines.push(CheckLine {
                subject: format!("table {}", table.name),
                outcome: outcome.map_err(|e| e.to_string()),
            });
        }
        lines.extend(widen::check(self, schema)?);
        lines.extend(privileges::check(self, schema)?);
        Ok(lines)
    }
}
