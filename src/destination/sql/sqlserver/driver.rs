//! The one place where anything waits asynchronously: the driver behind calls that return when they are done.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::TryStreamExt;
use tiberius::error::{Error as DriverError, IoErrorKind};
use tiberius::{ColumnData, QueryItem, TokenRow};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::connect::{self, Driver, LoggedIn};
use super::transport::Budget;
use crate::destination::sql::url::SqlServerUrl;
use crate::destination::sql::{MAX_SAMPLE, MAX_VALUES};
use crate::error::{Error, Result};
use crate::net::tls::Roots;

/// A row of a result, each value as text.
pub(super) type Values = Vec<Option<String>>;

/// Bytes of one answer: each of our questions has an answer that is much shorter.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Rows of one answer, likewise.
const MAX_ROWS: usize = 10_000;

/// A connection. Each call ends within its time limit; after an error of the connection itself, all further calls
/// fail at once.
pub(super) struct Connection {
    runtime: Runtime,
    client: Driver,
    /// Such as `db.example:1433`.
    pub(super) place: String,
    /// What is encrypted, in words.
    pub(super) encryption: &'static str,
    budget: Budget,
    lost: bool,
}

impl Connection {
    /// Connects as [`connect::connect`] says.
    pub(super) fn open(url: &SqlServerUrl, roots: &Roots) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| Error::transient(format!("cannot open sockets: {e}")))?;
        let LoggedIn {
            client,
            place,
            encryption,
            budget,
        } = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(connect::connect(url, roots))
        }))
        .unwrap_or_else(|_| {
            Err(Error::transient(
                "cannot log in to SQL Server: its answer is not a valid TDS message",
            ))
        })?;
        Ok(Connection {
            runtime,
            client,
            place,
            encryption,
            budget,
            lost: false,
        })
    }

    /// Whether the connection can't be used any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// From now on all calls fail.
    pub(super) fn give_up(&mut self) {
        self.lost = true;
    }

    /// Runs a batch of statements; returns the rows of its first result.
    pub(super) fn query(&mut self, sql: &str, limit: Duration) -> tiberius::Result<Vec<Values>> {
        self.query_up_to(sql, limit, MAX_ANSWER)
    }

    /// The same for a query that returns stored rows as they are, of which each may be long.
    pub(super) fn query_stored(
        &mut self,
        sql: &str,
        limit: Duration,
    ) -> tiberius::Result<Vec<Values>> {
        self.query_up_to(sql, limit, MAX_SAMPLE)
    }

    fn query_up_to(
        &mut self,
        sql: &str,
        limit: Duration,
        bytes: usize,
    ) -> tiberius::Result<Vec<Values>> {
        self.within(limit, bytes, async |client| {
            let mut answer = client.simple_query(sql).await?;
            let (mut rows, mut values) = (Vec::new(), 0_usize);
            while let Some(item) = answer.try_next().await? {
                match item {
                    QueryItem::Row(row) if row.result_index() == 0 => {
                        if rows.len() == MAX_ROWS {
                            return Err(io_error(
                                IoErrorKind::InvalidData,
                                "the server's answer has more rows than any that SQL Server gives",
                            ));
                        }
                        values = values.saturating_add(row.len());
                        if values > MAX_VALUES {
                            return Err(io_error(
                                IoErrorKind::InvalidData,
                                "the server's answer has more values than were asked for",
                            ));
                        }
                        rows.push(row.into_iter().map(text).collect());
                    }
                    _ => {}
                }
            }
            Ok(rows)
        })
    }

    /// Runs a statement; returns the number of rows it changed. Temporary tables that it makes vanish with it.
    pub(super) fn execute(&mut self, sql: &str, limit: Duration) -> tiberius::Result<u64> {
        self.within(limit, MAX_ANSWER, async |client| {
            Ok(client.execute(sql, &[]).await?.total())
        })
    }

    /// Loads rows of texts into a table; `table` and `columns` are quoted. Returns the number of rows. After any error the
    /// connection is of no use: the server may have an answer left to give.
    pub(super) fn load<'a, R>(
        &mut self,
        table: &str,
        columns: &[String],
        rows: impl Iterator<Item = R>,
        limit: Duration,
    ) -> tiberius::Result<u64>
    where
        R: Iterator<Item = Option<Cow<'a, str>>>,
    {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let loaded = self.within(limit, MAX_ANSWER, async |client| {
            let mut load = client.bulk_insert_columns(table, &columns).await?;
            for values in rows {
                let mut row = TokenRow::with_capacity(columns.len());
                for value in values {
                    row.push(ColumnData::String(value));
                }
                load.send(row).await?;
            }
            Ok(load.finalize().await?.total())
        });
        self.lost |= loaded.is_err();
        loaded
    }

    fn within<T>(
        &mut self,
        limit: Duration,
        bytes: usize,
        work: impl AsyncFnOnce(&mut Driver) -> tiberius::Result<T>,
    ) -> tiberius::Result<T> {
        if self.lost {
            return Err(io_error(
                IoErrorKind::NotConnected,
                "the connection was lost",
            ));
        }
        let Connection {
            runtime,
            client,
            budget,
            ..
        } = self;
        budget.allow(bytes);
        // The driver asserts some things about the server's answers.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async { timeout(limit, work(client)).await })
        }));
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(io_error(
                IoErrorKind::TimedOut,
                "no answer within the time limit",
            )),
            Err(_) => Err(io_error(
                IoErrorKind::InvalidData,
                "the server's answer is not a valid TDS message",
            )),
        };
        if let Err(e) = &outcome {
            self.lost = ends_connection(e);
        }
        outcome
    }
}

fn io_error(kind: IoErrorKind, message: &str) -> DriverError {
    DriverError::Io {
        kind,
        message: message.to_owned(),
    }
}

/// Whether an error leaves the connection unusable: all but those that the server reports and goes on after.
fn ends_connection(e: &DriverError) -> bool {
    !matches!(e, DriverError::Server(server) if server.class() < 20)
}

/// A value of the types that our queries return.
fn text(value: ColumnData<'static>) -> Option<String> {
    match value {
        ColumnData::String(text) => text.map(Cow::into_owned),
        ColumnData::U8(number) => number.map(|n| n.to_string()),
        ColumnData::I16(number) => number.map(|n| n.to_string()),
        ColumnData::I32(number) => number.map(|n| n.to_string()),
        ColumnData::I64(number) => number.map(|n| n.to_string()),
        ColumnData::Bit(bit) => bit.map(|bit| u8::from(bit).to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_anything_but_a_report_of_the_server_nothing_more_is_read_from_it() {
        for e in [
            io_error(IoErrorKind::TimedOut, "no answer within the time limit"),
            DriverError::Protocol("half an answer".into()),
            DriverError::BulkInput("half a row".into()),
            DriverError::Utf8,
        ] {
            assert!(ends_connection(&e), "{e}");
        }
    }
}
