//! Writing a batch: all rows in one transaction.

use std::collections::BTreeSet;

use super::failure::{self, Failure};
use super::literal::{self, list};
use super::row::{LITERALS, push_row};
use super::widen::narrow;
use super::{IDS_PER_QUERY, MysqlSink, Prepared, load};
use crate::destination::sql::dialect::MYSQL;
use crate::error::{Error, Result};
use crate::tables::batch::{Batch, Rows};
use crate::tables::schema::Table;

/// Bytes of one statement. More than this saves no time; a single row may take as much as the server allows.
const STATEMENT: usize = 1 << 20;

/// Bytes of a packet that are not the statement's text.
const PACKET_MARGIN: usize = 1024;

/// The statement being built; its memory is kept from batch to batch.
#[derive(Default)]
pub(super) struct Writer {
    sql: String,
}

impl Writer {
    pub(super) fn write(&mut self, sink: &mut MysqlSink, batch: &Batch) -> Result<()> {
        // The one thing that our escaping relies on, and that a proxy between us and the server could lose.
        if sink.session.client.no_backslash_escapes() {
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
            let tail = match batch.only_adds_to(table.table) {
                true => "",
                false => table.tail.as_str(),
            };
            self.rows(sink, table, tail, batch.rows(table.table))?;
        }
        let end = if batch.is_rehearsal {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        sink.run("ending a batch", end).map(|_| ())
    }

    fn rows(
        &mut self,
        sink: &mut MysqlSink,
        table: &Prepared,
        tail: &str,
        rows: &Rows,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let most = sink
            .session
            .max_packet
            .saturating_sub(tail.len() + PACKET_MARGIN);
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
                self.send(sink, table, tail, &doing)?;
                self.sql.push_str(&table.head);
                self.sql.push_str(&last);
            }
            if self.sql.len() > most {
                return Err(Error::of_row(format!(
                    "MySQL at {}: {doing}: the row has more bytes than max_allowed_packet ({} bytes) lets through (raise it \
                     on the server)",
                    sink.session.place, sink.session.max_packet
                )));
            }
        }
        self.send(sink, table, tail, &doing)?;
        for column in rounded {
            report(sink, table, column);
        }
        Ok(())
    }

    fn send(
        &mut self,
        sink: &mut MysqlSink,
        table: &Prepared,
        tail: &str,
        doing: &str,
    ) -> Result<()> {
        self.sql.push_str(tail);
        let outcome = sink.session.run(&self.sql);
        self.sql.clear();
        // One huge row must not cost its memory for ever.
        self.sql.shrink_to(2 * STATEMENT);
        match outcome {
            Ok(_) => Ok(()),
            Err(Failure::Server(e)) if literal::is_guard(&e) => {
                let indexes: Vec<&str> = table
                    .real
                    .other_unique(table.table.key())
                    .map(|index| index.name.as_str())
                    .collect();
                Err(Error::of_row(format!(
                    "MySQL at {}: {doing}: another row has the same values in a unique index{} (drop the index, or make \
                     it a plain one)",
                    sink.session.place,
                    match indexes.as_slice() {
                        [] => String::new(),
                        names => format!(", {}", names.join(" or ")),
                    }
                )))
            }
            Err(e) => {
                let error = sink.refused(doing, &e);
                let mut unique = table.real.other_unique(table.table.key());
                // The server looked at an index of this table, and not a trigger at another table.
                let is_ours = failure::code(&e) == 1062
                    && failure::named(&e)
                        .is_some_and(|name| unique.any(|index| index.name == name));
                Err(if is_ours {
                    error.because_of_row()
                } else {
                    error
                })
            }
        }
    }
}

/// Begins a batch's transaction, and deletes the placeholders in it.
pub(super) fn begin(sink: &mut MysqlSink, tables: &[Prepared], batch: &Batch) -> Result<()> {
    sink.run("beginning a transaction", "START TRANSACTION")?;
    for table in tables.iter().filter(|t| t.table == Table::Recordings) {
        for ids in batch.placeholders.chunks(IDS_PER_QUERY) {
            let ids = list(ids.iter().map(String::as_str));
            let sql = format!("DELETE FROM {} WHERE id IN {ids}", MYSQL.quote(&table.name));
            sink.run("deleting placeholders of recordings", &sql)?;
        }
    }
    Ok(())
}

/// Says that numbers were rounded, once per column.
pub(super) fn report(sink: &mut MysqlSink, table: &Prepared, column: usize) {
    let Some(real) = table.real.columns.get(column) else {
        return;
    };
    sink.said.warn(&format!(
        "{}.{}: numbers with more than 30 decimals are rounded to 30, the most that MySQL has",
        table.name, real.name
    ));
}
