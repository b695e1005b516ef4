//! MySQL and MariaDB as a destination.
//!
//! Each batch is one transaction of multi-row `INSERT … ON DUPLICATE KEY UPDATE`, sent as text, or for new contacts of
//! `LOAD DATA LOCAL INFILE` where the server allows it. Before it, columns that are too narrow for a value of the batch
//! are widened, which may take hours for a large table where an answer to an ordinary statement may not. Everything
//! happens on one connection: of several hosts, another could lead to another server.

mod auth;
mod catalog;
mod client;
mod column;
mod connect;
mod failure;
mod literal;
mod load;
mod payload;
mod prepare;
mod privileges;
mod probe;
mod row;
mod settings;
mod widen;
mod wire;
mod write;

use std::time::Duration;

use self::catalog::RealTable;
use self::client::Expected;
use self::connect::{ANSWER, Limits, Session};
use self::failure::Failure;
use self::payload::Done;
use self::widen::Unwidened;
use super::load::Loading;
use super::said::Said;
use super::url::MysqlUrl;
use super::{CheckLine, MAX_SAMPLE, MissingColumn, MissingIndex, PresentRow, Sink, StoredContact};
use crate::error::{Error, ErrorKind, Result};
use crate::net::tls::Roots;
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{ColumnKind, Schema, Table, TableSchema};
use write::Writer;

/// How long to wait for a lock that another session holds.
const LOCK: Duration = Duration::from_secs(60);

/// Ids per query.
const IDS_PER_QUERY: usize = 500;

/// Bytes of the answer to such a query: checksums and times are short.
const MAX_STORED: usize = 16 << 20;

/// A connection to MySQL or MariaDB.
pub struct MysqlSink {
    session: Session,
    lost: bool,
    tables: Vec<Prepared>,
    unwidened: Unwidened,
    pub(super) said: Said,
    writer: Writer,
    loading: Loading,
}

/// What [`Sink::distrust_after`] and [`Sink::distrust`] do.
const MARKING: &str = "marking contacts for a fresh look";

/// One table, ready to be written.
struct Prepared {
    table: Table,
    name: String,
    real: RealTable,
    columns: Vec<Written>,
    head: String,
    tail: String,
    load: String,
}

/// A column that is written.
struct Written {
    /// In the rows.
    position: usize,
    /// In the real table.
    real: usize,
    kind: ColumnKind,
}

impl MysqlSink {
    /// Connects to the first host of the URL that can be written to.
    ///
    /// # Errors
    /// [`Setup`](ErrorKind::Setup) if the log-in, the database or the server's certificate is refused,
    /// [`Transient`](ErrorKind::Transient) if no host answers or all are read-only.
    pub fn open(url: &MysqlUrl, roots: &Roots) -> Result<Self> {
        Self::open_waiting(url, roots, LOCK, ANSWER)
    }

    /// As [`MysqlSink::open`], with a time to wait for locks of other sessions, in whole seconds from 1, and for one
    /// answer of the server.
    ///
    /// # Errors
    /// As [`MysqlSink::open`].
    pub fn open_waiting(
        url: &MysqlUrl,
        roots: &Roots,
        lock: Duration,
        answer: Duration,
    ) -> Result<Self> {
        let session = connect::connect(url, roots, Limits { answer, lock })?;
        log::info!(
            "connected to MySQL {} at {}, {}",
            session.version,
            session.place,
            session.encryption()
        );
        Ok(MysqlSink {
            session,
            lost: false,
            tables: Vec::new(),
            unwidened: Unwidened::default(),
            said: Said::default(),
            writer: Writer::default(),
            loading: Loading::default(),
        })
    }

    /// Turns an error of the client into ours; a connection that broke, or whose server refuses for its state, is not
    /// used again.
    fn failed(&mut self, doing: &str, e: &Failure, otherwise: ErrorKind) -> Error {
        self.lost |= failure::is_lost(e) || failure::is_for_state(e);
        failure::statement(&self.session.place, doing, e, otherwise)
    }

    /// Runs a statement that writes rows and returns none.
    fn run(&mut self, doing: &str, sql: &str) -> Result<Done> {
        self.session.run(sql).map_err(|e| self.refused(doing, &e))
    }

    /// Turns an error of a statement that writes rows into ours.
    fn refused(&mut self, doing: &str, e: &Failure) -> Error {
        self.lost |= failure::is_lost(e);
        let name = failure::named(e).filter(|name| !self.lost && self.has(name));
        failure::write(&self.session.place, doing, e, name)
    }

    /// Adds the rows that a statement selects.
    fn read_rows(&mut self, table: Table, sql: &str, most: usize, into: &mut Rows) -> Result<()> {
        let expected = Expected {
            rows: most,
            bytes: MAX_SAMPLE,
        };
        let found = self
            .session
            .rows(sql, expected)
            .map_err(|e| self.failed("reading stored rows", &e, ErrorKind::Transient))?;
        for row in found {
            let columns = &self.prepared(table)?.columns;
            into.push_texts(columns.iter().map(|column| column.position), &row);
        }
        Ok(())
    }

    /// The keys that a statement selects.
    fn keys(&mut self, sql: &str, most: usize) -> Result<Vec<String>> {
        let expected = Expected {
            rows: most,
            bytes: MAX_STORED,
        };
        let found = self
            .session
            .rows(sql, expected)
            .map_err(|e| self.failed("looking for rows", &e, ErrorKind::Transient))?;
        let keys = found.into_iter().filter_map(|row| row.into_iter().next());
        Ok(keys.flatten().collect())
    }

    /// Whether the database has a column, key or constraint of this name.
    fn has(&mut self, name: &str) -> bool {
        matches!(self.session.catalogue(&probe::names(name)), Ok(found) if !found.is_empty())
    }

    fn check_connection(&self) -> Result<()> {
        if self.lost {
            return Err(Error::transient(format!(
                "MySQL at {}: the connection was lost",
                self.session.place
            )));
        }
        Ok(())
    }

    fn prepared(&self, table: Table) -> Result<&Prepared> {
        self.check_connection()?;
        (self.tables.iter())
            .find(|prepared| prepared.table == table)
            .ok_or_else(|| Error::setup("the tables of the MySQL database are not prepared yet"))
    }

    fn contacts(&self) -> Result<String> {
        self.table(Table::Contacts)
    }

    /// The quoted name of a table that was prepared.
    fn table(&self, table: Table) -> Result<String> {
        self.prepared(table)
            .map(|t| super::dialect::MYSQL.quote(&t.name))
    }
}

impl Prepared {
    fn new(schema: &TableSchema, real: RealTable, missing: &[MissingColumn]) -> Self {
        let is_missing = |name: &str| {
            missing
                .iter()
                .any(|m| m.table == schema.table && m.column == name)
        };
        let columns: Vec<Written> = (schema.columns.iter().zip(real.assigned(schema)))
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
        let names: Vec<&str> = columns
            .iter()
            .filter_map(|c| real.columns.get(c.real))
            .map(|c| c.name.as_str())
            .collect();
        let (head, tail) = literal::upsert(&schema.name, &names);
        let load = load::statement(&schema.name, &names);
        Prepared {
            table: schema.table,
            name: schema.name.clone(),
            real,
            columns,
            head,
            tail,
            load,
        }
    }
}

impl Sink for MysqlSink {
    fn alive(&mut self) -> Result<()> {
        self.check_connection()?;
        self.run("asking for an answer", "DO 1").map(|_| ())
    }

    fn columns(&mut self, table: &TableSchema) -> Result<Vec<String>> {
        let real = catalog::read(&mut self.session, &table.name)
            .map_err(|e| self.failed("reading the catalogue", &e, ErrorKind::Transient))?;
        Ok(real.map_or_else(Vec::new, |real| {
            real.columns.into_iter().map(|column| column.name).collect()
        }))
    }

    fn prepare(&mut self, schema: &Schema) -> Result<Vec<MissingColumn>> {
        self.check_connection()?;
        let mut missing = Vec::new();
        let mut tables = Vec::new();
        for table in schema.tables() {
            let real = prepare::table(self, table, &mut missing);
            tables.push(Prepared::new(table, real?, &missing));
        }
        self.tables = tables;
        Ok(missing)
    }

    fn index(&mut self, schema: &Schema) -> Result<Vec<MissingIndex>> {
        self.contacts()?;
        let mut missing = Vec::new();
        let mut tables = std::mem::take(&mut self.tables);
        let made = schema.tables().try_for_each(|table| {
            let prepared = tables.iter_mut().find(|t| t.table == table.table);
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
        for ids in ids.chunks(IDS_PER_QUERY) {
            let sql = format!(
                "SELECT `$id`, `$md5`, `$changed` FROM {contacts} WHERE `$id` IN {}",
                literal::list(ids.iter().copied())
            );
            let expected = Expected {
                rows: ids.len(),
                bytes: MAX_STORED,
            };
            let rows = self
                .session
                .rows(&sql, expected)
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
        let key = super::dialect::MYSQL.quote(table.key());
        let sql = format!(
            "SELECT {key}{} FROM {} WHERE {key} IN {}",
            PresentRow::selected(columns, |column| super::dialect::MYSQL.quote(column)),
            self.table(table)?,
            literal::list(keys.iter().copied())
        );
        let expected = Expected {
            rows: keys.len(),
            bytes: MAX_STORED,
        };
        let rows = self
            .session
            .rows(&sql, expected)
            .map_err(|e| self.failed("looking for rows", &e, ErrorKind::Transient))?;
        Ok(rows.into_iter().filter_map(PresentRow::read).collect())
    }

    fn count(&mut self, table: Table, limit: u32) -> Result<u32> {
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT {limit}) AS few",
            self.table(table)?
        );
        let rows = self
            .session
            .catalogue(&sql)
            .map_err(|e| self.failed("counting rows", &e, ErrorKind::Transient))?;
        let count = rows.into_iter().flatten().next().flatten();
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    fn distrust_after(&mut self, stamp: &str, campaign: &str) -> Result<u64> {
        let sql = format!(
            "UPDATE {} SET `$md5` = NULL WHERE {}",
            self.contacts()?,
            probe::trusted_after(self.prepared(Table::Contacts)?, stamp, campaign)
        );
        self.run(MARKING, &sql).map(|done| done.affected)
    }

    fn trusted_after(
        &mut self,
        stamp: &str,
        campaign: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT `$id` FROM {} WHERE {} AND {} ORDER BY `$id` LIMIT {most}",
            self.contacts()?,
            probe::trusted_after(self.prepared(Table::Contacts)?, stamp, campaign),
            probe::is_after(after)
        );
        self.keys(&sql, most)
    }

    fn distrust(&mut self, ids: &[&str]) -> Result<u64> {
        let sql = format!(
            "UPDATE {} SET `$md5` = NULL WHERE `$id` IN {}",
            self.contacts()?,
            literal::list(ids.iter().copied())
        );
        self.run(MARKING, &sql).map(|done| done.affected)
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.contacts()?;
        widen::widen(self, batch)?;
        let mut writer = std::mem::take(&mut self.writer);
        let outcome = writer.write(self, batch);
        self.writer = writer;
        if outcome.is_err() && !self.lost && self.session.run("ROLLBACK").is_err() {
            self.lost = true;
        }
        outcome
    }

    fn sample(&mut self, table: Table, most: usize) -> Result<Vec<String>> {
        let sql = probe::sample(self.prepared(table)?, most)?;
        self.keys(&sql, most)
    }

    fn rows(&mut self, table: Table, keys: &[&str], into: &mut Rows) -> Result<()> {
        let sql = probe::rows_of(self.prepared(table)?, keys);
        self.read_rows(table, &sql, keys.len(), into)
    }

    fn triggers(&mut self, table: Table) -> Result<Vec<String>> {
        let sql = probe::triggers(&self.prepared(table)?.name);
        let found = self
            .session
            .catalogue(&sql)
            .map_err(|e| self.failed("reading the catalogue", &e, ErrorKind::Transient))?;
        Ok(found.into_iter().flatten().flatten().collect())
    }

    fn check(&mut self, schema: &Schema) -> Result<Vec<CheckLine>> {
        self.check_connection()?;
        let line = |subject: &str, outcome: String| CheckLine {
            subject: subject.to_owned(),
            outcome: Ok(outcome),
        };
        let session = &self.session;
        let mut lines = vec![
            line(
                "database",
                format!("MySQL {} at {}", session.version, session.place),
            ),
            line("encryption", session.encryption()),
            line(
                "max_allowed_packet",
                format!("{} bytes", session.max_packet),
            ),
        ];
        let engine = "SHOW SESSION VARIABLES LIKE 'enforce_storage_engine'";
        let engine = self
            .session
            .catalogue(engine)
            .map_err(|e| self.failed("reading variables", &e, ErrorKind::Transient))?;
        let engine = engine.first().map_or("", |row| connect::text(row, 1));
        if !engine.is_empty() && !engine.eq_ignore_ascii_case("InnoDB") {
            lines.push(CheckLine {
                subject: "engine".to_owned(),
                outcome: Err(failure::OTHER_ENGINE.to_owned()),
            });
        }
        for table in schema.tables() {
            let real = catalog::read(&mut self.session, &table.name)
                .map_err(|e| self.failed("reading the catalogue", &e, ErrorKind::Transient))?;
            let outcome = match real {
                None => Ok("will be created".to_owned()),
                Some(real) => prepare::usable(self, table, &real).map(|()| {
                    match real
                        .assigned(table)
                        .iter()
                        .filter(|at| at.is_none())
                        .count()
                    {
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
        lines.extend(privileges::check(&mut self.session, schema)?);
        Ok(lines)
    }
}
