//! MySQL and MariaDB as a destination.
//!
//! Each batch is one transaction of multi-row `INSERT … ON DUPLICATE KEY UPDATE`, sent as text, or for new contacts of
//! `LOAD DATA LOCAL INFILE` where the server allows it. Before it, columns
//! that are too narrow for a value of the batch are widened over a second connection, which may take hours for a
//! large table where an answer to an ordinary statement may not.

mod catalog;
mod column;
mod connect;
mod failure;
mod literal;
mod load;
mod prepare;
mod privileges;
mod probe;
mod row;
mod write;

use std::collections::HashSet;
use std::time::Duration;

use mysql::prelude::Queryable;

use self::catalog::RealTable;
use self::connect::{ANSWER, Limits, REBUILD, Session, guarded, rows};
use super::load::Loading;
use super::url::MysqlUrl;
use super::{CheckLine, MissingColumn, MissingIndex, Sink, StoredContact};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{ColumnKind, Schema, Table, TableSchema};
use crate::tls::Roots;
use write::Writer;

/// How long to wait for a lock that another session holds.
const LOCK: Duration = Duration::from_secs(60);

/// Ids per query.
const IDS_PER_QUERY: usize = 500;

/// A connection to MySQL or MariaDB.
pub struct MysqlSink {
    url: MysqlUrl,
    roots: Roots,
    lock: Duration,
    session: Session,
    /// For statements that may take hours; opened when needed.
    rebuilding: Option<Session>,
    lost: bool,
    tables: Vec<Prepared>,
    /// Columns that could not be widened, and that this was logged for.
    unwidened: HashSet<(Table, String)>,
    /// Columns whose numbers were rounded, and that this was logged for.
    rounded: HashSet<(Table, String)>,
    writer: Writer,
    loading: Loading,
}

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
    /// TLS trusts the certificates of `roots`. The driver can't leave out the compiled-in web roots: with
    /// `--ca-file` it trusts both.
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
            url: url.clone(),
            roots: roots.clone(),
            lock,
            session,
            rebuilding: None,
            lost: false,
            tables: Vec::new(),
            unwidened: HashSet::new(),
            rounded: HashSet::new(),
            writer: Writer::default(),
            loading: Loading::default(),
        })
    }

    /// Turns an error of the driver into ours; a connection that broke is not used again.
    fn failed(&mut self, doing: &str, e: &mysql::Error, otherwise: ErrorKind) -> Error {
        self.lost |= failure::is_lost(e);
        failure::statement(&self.session.place, doing, e, otherwise)
    }

    /// The same for a statement of [`MysqlSink::alter`], which has its own connection.
    fn altering_failed(&self, doing: &str, e: &mysql::Error) -> Error {
        failure::statement(&self.session.place, doing, e, ErrorKind::Setup)
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

    /// Runs a statement that may take hours.
    fn alter(&mut self, sql: &str) -> mysql::Result<()> {
        if self.rebuilding.is_none() {
            // An account may be allowed one connection only.
            self.rebuilding = connect::connect(
                &self.url,
                &self.roots,
                Limits {
                    answer: REBUILD,
                    lock: self.lock,
                },
            )
            .ok();
        }
        let outcome = self
            .rebuilding
            .as_mut()
            .unwrap_or(&mut self.session)
            .query(sql);
        if matches!(&outcome, Err(e) if failure::is_lost(e)) {
            self.lost |= self.rebuilding.take().is_none();
        }
        outcome
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

impl Session {
    fn query(&mut self, sql: &str) -> mysql::Result<()> {
        guarded(|| self.conn.query_drop(sql))
    }

    fn encryption(&self) -> String {
        self.cipher
            .as_ref()
            .map_or("not encrypted".to_owned(), |cipher| {
                format!("encrypted with {cipher}")
            })
    }
}

impl Prepared {
    fn new(schema: &TableSchema, real: RealTable, missing: &[MissingColumn]) -> Self {
        let is_missing = |name: &str| {
            missing
                .iter()
                .any(|m| m.table == schema.table && m.column == name)
        };
        let columns: Vec<Written> = schema
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !is_missing(&column.name))
            .filter_map(|(position, column)| {
                Some(Written {
                    position,
                    real: real.position(&column.name)?,
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
        self.session
            .query("DO 1")
            .map_err(|e| self.failed("asking for an answer", &e, ErrorKind::Transient))
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
        self.rebuilding = None;
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
        self.rebuilding = None;
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
            let rows = rows(&mut self.session.conn, &sql)
                .map_err(|e| self.failed("reading stored contacts", &e, ErrorKind::Transient))?;
            found.extend(rows.into_iter().map(|row| {
                let mut values = row.into_iter();
                StoredContact {
                    id: values.next().flatten().unwrap_or_default(),
                    md5: values.next().flatten(),
                    changed: values.next().flatten(),
                }
            }));
        }
        Ok(found)
    }

    fn present(&mut self, table: Table, keys: &[&str]) -> Result<Vec<String>> {
        let key = super::dialect::MYSQL.quote(table.key());
        let sql = format!(
            "SELECT {key} FROM {} WHERE {key} IN {}",
            self.table(table)?,
            literal::list(keys.iter().copied())
        );
        let rows = rows(&mut self.session.conn, &sql)
            .map_err(|e| self.failed("looking for rows", &e, ErrorKind::Transient))?;
        Ok(rows
            .into_iter()
            .filter_map(|row| row.into_iter().next().flatten())
            .collect())
    }

    fn count(&mut self, table: Table, limit: u32) -> Result<u32> {
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT {limit}) AS few",
            self.table(table)?
        );
        let rows = rows(&mut self.session.conn, &sql)
            .map_err(|e| self.failed("counting rows", &e, ErrorKind::Transient))?;
        let count = rows.into_iter().flatten().next().flatten();
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    fn distrust_after(&mut self, stamp: &str) -> Result<u64> {
        let mut sql = format!(
            "UPDATE {} SET `$md5` = NULL WHERE `$md5` IS NOT NULL \
             AND (`$changed` IS NULL OR CONVERT(`$changed` USING utf8mb4) COLLATE utf8mb4_bin > ",
            self.contacts()?
        );
        literal::push_text(&mut sql, stamp);
        sql.push(')');
        self.session.query(&sql).map_err(|e| {
            self.failed(
                "marking contacts for a fresh look",
                &e,
                ErrorKind::Transient,
            )
        })?;
        Ok(self.session.conn.affected_rows())
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.contacts()?;
        write::widen(self, batch)?;
        let mut writer = std::mem::take(&mut self.writer);
        let outcome = writer.write(self, batch);
        self.writer = writer;
        if outcome.is_err() && !self.lost && self.session.query("ROLLBACK").is_err() {
            self.lost = true;
        }
        outcome
    }

    fn sample(&mut self, table: Table, most: usize, into: &mut Rows) -> Result<()> {
        let sql = probe::sample(self.prepared(table)?, most)?;
        let found = rows(&mut self.session.conn, &sql)
            .map_err(|e| self.failed("reading stored rows", &e, ErrorKind::Transient))?;
        for row in found {
            into.begin();
            for (value, column) in row.iter().zip(&self.prepared(table)?.columns) {
                if let Some(text) = value {
                    into.set(column.position, text);
                }
            }
        }
        Ok(())
    }

    fn triggers(&mut self, table: Table) -> Result<Vec<String>> {
        let sql = probe::triggers(&self.prepared(table)?.name);
        let found = rows(&mut self.session.conn, &sql)
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
        for table in schema.tables() {
            let real = catalog::read(&mut self.session, &table.name)
                .map_err(|e| self.failed("reading the catalogue", &e, ErrorKind::Transient))?;
            let outcome = match real {
                None => Ok("will be created".to_owned()),
                Some(real) => prepare::usable(self, table, &real).map(|()| {
                    match table
                        .columns
                        .iter()
                        .filter(|c| real.position(&c.name).is_none())
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
