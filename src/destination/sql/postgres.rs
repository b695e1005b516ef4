//! PostgreSQL as a destination.

mod catalog;
mod check;
mod connect;
mod define;
mod error;
mod fit;
mod guard;
mod index;
mod load;
mod negotiate;
mod patience;
mod probe;
mod session;
mod settings;
mod transaction;
mod upsert;
mod views;
mod widen;

use std::sync::Arc;
use std::time::Duration;

use ::postgres::Client;
use ::postgres::types::Type;

use super::dialect::POSTGRES;
use super::load::Loading;
use super::said::Said;
use super::url::PostgresUrl;
use super::{CheckLine, MissingColumn, MissingIndex, PresentRow, Sink, StoredContact};
use crate::error::{Error, ErrorKind, Result};
use crate::net::tls::Roots;
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::{Schema, Table, TableSchema};
use patience::ANSWER;
use session::{Parameters, Session};
use transaction::{fill, key_is_one_of, prepared};
use upsert::{Upsert, without_nul};
use widen::{Narrow, Stuck, widen};

/// What fails at the end of a batch; of a rehearsal it is the same, as it fails for the same.
const COMMITTING: &str = "cannot commit a batch";

/// One connection to a PostgreSQL server, version 9.5 or later.
///
/// Tables are looked for on the search path, and created in its first schema.
pub struct PostgresSink {
    client: Client,
    session: Session,
    tables: [Option<Upsert>; 5],
    /// Columns that can't be widened now, so that it is not tried for each row.
    stuck: Stuck,
    pub(super) said: Said,
    loading: Loading,
}

impl PostgresSink {
    /// Connects.
    ///
    /// # Errors
    /// [`Setup`](ErrorKind::Setup) where the admin has to mend something (password, database, certificate,
    /// read-only server), [`Transient`](ErrorKind::Transient) where the server can't be reached now.
    pub fn open(url: &PostgresUrl, roots: &Roots) -> Result<Self> {
        Self::open_within(url, roots, ANSWER)
    }

    /// As [`PostgresSink::open`], with the time that the server may be silent while a statement runs.
    ///
    /// # Errors
    /// As [`PostgresSink::open`].
    pub fn open_within(url: &PostgresUrl, roots: &Roots, answer: Duration) -> Result<Self> {
        let (client, session) = connect::connect(url, roots, answer)?;
        Ok(PostgresSink {
            client,
            session,
            tables: [const { None }; 5],
            stuck: Stuck::default(),
            said: Said::default(),
            loading: Loading::default(),
        })
    }

    /// Reads the real columns of a table and makes the statement for them.
    fn plan(&mut self, wanted: &Arc<TableSchema>, relation: catalog::Relation) -> Result<()> {
        let server = &self.session.server;
        let failed = |e| {
            server.error(
                &e,
                &format!("cannot read the columns of table {}", relation.quoted()),
                "",
            )
        };
        let columns =
            catalog::columns(&mut self.client, &self.session, &relation).map_err(failed)?;
        let indexes =
            catalog::indexes(&mut self.client, &self.session, &relation).map_err(failed)?;
        define::require_unique_key(server, wanted, &relation, &columns, &indexes)?;
        for column in columns
            .iter()
            .filter(|c| !c.writable && wanted.position(&c.name).is_some())
        {
            let name = POSTGRES.quote(&column.name);
            let text = format!(
                "column {name} of table {} is made by the server and left alone",
                relation.quoted()
            );
            self.said.warn(&text);
        }
        let upsert = Upsert::new(wanted, relation, &columns);
        if let Some(slot) = self.tables.get_mut(wanted.table.index()) {
            *slot = Some(upsert);
        }
        Ok(())
    }

    /// Looks at the values of a batch; widens the columns that they don't fit into.
    fn make_room(&mut self, batch: &Batch, table: Table) -> Result<()> {
        let upsert = prepared(&self.tables, table)?;
        let (wanted, relation) = (Arc::clone(&upsert.wanted), upsert.relation.clone());
        let findings: Vec<_> = upsert.survey(batch.rows(table));
        let mut narrow = Vec::new();
        for (target, finding) in upsert.targets.iter().zip(findings) {
            let name = POSTGRES.quote(&target.name);
            if finding.nuls > 0 && self.said.is_new(&format!("NUL {table:?} {name}")) {
                log::warn!(
                    "column {name} of table {}: {} values hold NUL characters, which PostgreSQL can't store: replaced by ␀",
                    relation.quoted(),
                    finding.nuls
                );
            }
            if let Some(to) = finding.wider {
                narrow.push(Narrow {
                    column: target.name.clone(),
                    class: target.class,
                    to,
                });
            }
        }
        let (held, free): (Vec<Narrow>, Vec<Narrow>) =
            (narrow.into_iter()).partition(|narrow| self.stuck.holds(table, &narrow.column));
        let mut stuck: Vec<String> = held.into_iter().map(|narrow| narrow.column).collect();
        let tried = free.len();
        let refused = self.widen_what_can_be(table, &relation, free)?;
        // Casts have to be those of the new types.
        if refused.len() < tried {
            self.plan(&wanted, relation.clone())?;
        }
        stuck.extend(refused);
        match stuck.first() {
            None => Ok(()),
            Some(column) => Err(Error::of_row(format!(
                "a value does not fit into column {} of table {}, which can't be widened now",
                POSTGRES.quote(column),
                relation.quoted()
            ))),
        }
    }

    /// Widens the columns, all together, else each of them that can be; returns the others.
    fn widen_what_can_be(
        &mut self,
        table: Table,
        relation: &catalog::Relation,
        columns: Vec<Narrow>,
    ) -> Result<Vec<String>> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let Err(error) = widen(&mut self.client, &self.session, relation, &columns) else {
            return Ok(Vec::new());
        };
        let mut refused = Vec::new();
        match error.kind() {
            ErrorKind::Transient => return Err(error),
            // It is one of them that can't be.
            ErrorKind::Setup if columns.len() > 1 => {
                for narrow in columns {
                    refused.extend(self.widen_what_can_be(table, relation, vec![narrow])?);
                }
            }
            _ => {
                self.said.warn(error.message());
                for narrow in columns {
                    self.stuck.add(table, &narrow.column);
                    refused.push(narrow.column);
                }
            }
        }
        Ok(refused)
    }
}

impl PostgresSink {
    /// Why a table can't be read, and what to grant.
    fn cannot_read(&self, e: &postgres::Error, table: &str) -> Error {
        let server = &self.session.server;
        let grant = format!("GRANT SELECT ON {table} TO \"{}\"", server.user);
        server.error(e, &format!("cannot read table {table}"), &grant)
    }

    /// Why checksums can't be taken away.
    fn cannot_mark(&self, e: &postgres::Error, table: &str) -> Error {
        let server = &self.session.server;
        let grant = format!("GRANT SELECT, UPDATE ON {table} TO \"{}\"", server.user);
        server.write_error(e, &format!("cannot update table {table}"), &grant)
    }
}

impl Sink for PostgresSink {
    fn alive(&mut self) -> Result<()> {
        let server = &self.session.server;
        self.client
            .simple_query("SELECT 1")
            .map(drop)
            .map_err(|e| server.error(&e, "cannot ask for an answer", ""))
    }

    fn columns(&mut self, table: &TableSchema) -> Result<Vec<String>> {
        let server = &self.session.server;
        let Some(relation) = define::locate(&mut self.client, &self.session, &table.name)? else {
            return Ok(Vec::new());
        };
        let columns =
            catalog::columns(&mut self.client, &self.session, &relation).map_err(|e| {
                server.error(
                    &e,
                    &format!("cannot read the columns of table \"{}\"", table.name),
                    "",
                )
            })?;
        Ok(columns.into_iter().map(|column| column.name).collect())
    }

    fn prepare(&mut self, schema: &Schema) -> Result<Vec<MissingColumn>> {
        let mut missing = Vec::new();
        for wanted in schema.tables() {
            let relation = define::table(&mut self.client, &self.session, wanted, &self.said)?;
            let failed =
                define::missing_columns(&mut self.client, &self.session, wanted, &relation)?;
            missing.extend(failed.into_iter().map(|failed| MissingColumn {
                table: wanted.table,
                column: failed.column,
                reason: failed.reason,
            }));
            self.plan(wanted, relation)?;
        }
        Ok(missing)
    }

    fn index(&mut self, schema: &Schema) -> Result<Vec<MissingIndex>> {
        let (mut missing, mut blocked) = (Vec::new(), None);
        for wanted in schema.tables() {
            let relation = prepared(&self.tables, wanted.table)?.relation.clone();
            index::indexes(
                &mut self.client,
                &self.session,
                wanted,
                &relation,
                &mut blocked,
                &mut missing,
            )?;
        }
        Ok(missing)
    }

    fn stored(&mut self, ids: &[&str]) -> Result<Vec<StoredContact>> {
        let upsert = prepared(&self.tables, Table::Contacts)?;
        let table = upsert.relation.quoted();
        let text = |name: &str| match upsert.target(name) {
            Some(_) => format!("{}::text", POSTGRES.quote(name)),
            None => "NULL::text".to_owned(),
        };
        let key = Table::Contacts.key();
        let sql = format!(
            "SELECT {}, {}, {} FROM {table} WHERE {}",
            text(key),
            text("$md5"),
            text("$changed"),
            key_is_one_of(upsert)
        );
        let ids: Vec<_> = ids.iter().map(|id| without_nul(id)).collect();
        let rows = self
            .session
            .query(&mut self.client, &sql, &[(&ids, Type::TEXT_ARRAY)])
            .map_err(|e| self.cannot_read(&e, &table))?;
        rows.iter()
            .map(|row| {
                Ok(StoredContact {
                    id: row.try_get(0)?,
                    md5: row.try_get(1)?,
                    changed: row.try_get(2)?,
                })
            })
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| self.cannot_read(&e, &table))
    }

    fn present(
        &mut self,
        table: Table,
        keys: &[&str],
        columns: &[&str],
    ) -> Result<Vec<PresentRow>> {
        let upsert = prepared(&self.tables, table)?;
        let relation = upsert.relation.quoted();
        let sql = format!(
            "SELECT {}::text{} FROM {relation} WHERE {}",
            POSTGRES.quote(table.key()),
            PresentRow::selected(columns, |column| POSTGRES.quote(column)),
            key_is_one_of(upsert)
        );
        let keys: Vec<_> = keys.iter().map(|key| without_nul(key)).collect();
        self.session
            .query(&mut self.client, &sql, &[(&keys, Type::TEXT_ARRAY)])
            .and_then(|rows| {
                let mut found = Vec::with_capacity(rows.len());
                for row in &rows {
                    let values = (0..=columns.len()).map(|at| row.try_get(at));
                    found.extend(PresentRow::read(
                        values.collect::<std::result::Result<Vec<_>, _>>()?,
                    ));
                }
                Ok(found)
            })
            .map_err(|e| self.cannot_read(&e, &relation))
    }

    fn count(&mut self, table: Table, limit: u32) -> Result<u32> {
        let relation = prepared(&self.tables, table)?.relation.quoted();
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {relation} LIMIT {limit}) AS few");
        self.session
            .query_one(&mut self.client, &sql, &[])
            .and_then(|row| row.try_get::<_, i64>(0))
            .map(|count| u32::try_from(count).unwrap_or(0))
            .map_err(|e| self.cannot_read(&e, &relation))
    }

    fn distrust_after(&mut self, stamp: &str, campaign: &str) -> Result<u64> {
        let upsert = prepared(&self.tables, Table::Contacts)?;
        let Some(condition) = probe::trusted_after(upsert) else {
            return Ok(0);
        };
        let table = upsert.relation.quoted();
        let sql = format!("UPDATE {table} SET \"$md5\" = NULL WHERE {condition}");
        self.session
            .execute(
                &mut self.client,
                &sql,
                &[(&stamp, Type::TEXT), (&campaign, Type::TEXT)],
            )
            .map_err(|e| self.cannot_mark(&e, &table))
    }

    fn trusted_after(
        &mut self,
        stamp: &str,
        campaign: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>> {
        let upsert = prepared(&self.tables, Table::Contacts)?;
        let Some(condition) = probe::trusted_after(upsert) else {
            return Ok(Vec::new());
        };
        let table = upsert.relation.quoted();
        let sql = format!(
            "SELECT \"$id\"::text FROM {table} WHERE {condition} AND \"$id\"::text > $3::text \
             ORDER BY \"$id\"::text LIMIT {most}"
        );
        self.session
            .query(
                &mut self.client,
                &sql,
                &[
                    (&stamp, Type::TEXT),
                    (&campaign, Type::TEXT),
                    (&after, Type::TEXT),
                ],
            )
            .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
            .map_err(|e| self.cannot_read(&e, &table))
    }

    fn distrust(&mut self, ids: &[&str]) -> Result<u64> {
        let upsert = prepared(&self.tables, Table::Contacts)?;
        let table = upsert.relation.quoted();
        let sql = format!(
            "UPDATE {table} SET \"$md5\" = NULL WHERE {}",
            key_is_one_of(upsert)
        );
        let ids: Vec<_> = ids.iter().map(|id| without_nul(id)).collect();
        self.session
            .execute(&mut self.client, &sql, &[(&ids, Type::TEXT_ARRAY)])
            .map_err(|e| self.cannot_mark(&e, &table))
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let filled: Vec<Table> = Table::ALL
            .into_iter()
            .filter(|table| !batch.rows(*table).is_empty())
            .collect();
        for table in &filled {
            self.make_room(batch, *table)?;
        }
        let server = &self.session.server;
        let failed = |e| server.error(&e, "cannot start a transaction", "");
        let mut transaction = self.session.begin(&mut self.client).map_err(failed)?;
        let loading = &mut self.loading;
        match fill(
            &mut transaction,
            &self.tables,
            server,
            batch,
            &filled,
            loading,
        ) {
            Ok(()) if batch.is_rehearsal => {
                probe::undo(transaction).map_err(|e| server.write_error(&e, COMMITTING, ""))
            }
            Ok(()) => transaction
                .commit()
                .map_err(|e| server.write_error(&e, COMMITTING, "")),
            Err(error) => {
                // Where this fails too, the connection is gone, and with it the transaction.
                let _ = transaction.rollback();
                Err(error)
            }
        }
    }

    fn sample(&mut self, table: Table, most: usize) -> Result<Vec<String>> {
        let relation = prepared(&self.tables, table)?.relation.quoted();
        let key = POSTGRES.quote(table.key());
        let sql =
            format!("SELECT {key}::text FROM {relation} WHERE {key} IS NOT NULL LIMIT {most}");
        self.session
            .query(&mut self.client, &sql, &[])
            .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
            .map_err(|e| self.cannot_read(&e, &relation))
    }

    fn rows(&mut self, table: Table, keys: &[&str], rows: &mut Rows) -> Result<()> {
        let upsert = prepared(&self.tables, table)?;
        let condition = key_is_one_of(upsert);
        let keys: Vec<_> = keys.iter().map(|key| without_nul(key)).collect();
        let keys: &Parameters<'_> = &[(&keys, Type::TEXT_ARRAY)];
        probe::rows(
            &mut self.client,
            &self.session,
            upsert,
            &condition,
            keys,
            rows,
        )
        .map_err(|e| self.cannot_read(&e, &upsert.relation.quoted()))
    }

    fn triggers(&mut self, table: Table) -> Result<Vec<String>> {
        let upsert = prepared(&self.tables, table)?;
        probe::triggers(&mut self.client, &self.session, &upsert.relation).map_err(|e| {
            let tried = format!(
                "cannot read the triggers of table {}",
                upsert.relation.quoted()
            );
            self.session.server.error(&e, &tried, "")
        })
    }

    fn check(&mut self, schema: &Schema) -> Result<Vec<CheckLine>> {
        check::check(&mut self.client, &self.session, schema)
    }
}
