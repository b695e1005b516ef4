//! The connection in use: statements with our settings, whether it is one session or a pooler's many.

use std::time::Duration;

use postgres::types::{ToSql, Type};
use postgres::{Client, Error, Row, Transaction};

use super::error::Server;
use super::patience::Patience;
use crate::destination::sql::MAX_DDL_LOCK_WAIT;

/// Values of a statement, and their types.
pub(super) type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// What was found about the server.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) server: Server,
    pub(super) version: String,
    /// `server_version_num`, such as 150004.
    pub(super) version_number: i32,
    pub(super) encrypted: bool,
    pub(super) patience: Patience,
    /// Behind a pooler: what each transaction begins with, as settings of a session would stay there for others.
    pub(super) settings: Option<String>,
    /// The server may end a transaction before it has got these settings.
    pub(super) hasty: bool,
}

impl Session {
    /// Whether a pooler is between us and the server, so that each transaction may meet another session.
    pub(super) fn is_pooled(&self) -> bool {
        self.settings.is_some()
    }

    /// Begins a transaction with our settings.
    pub(super) fn begin<'a>(&self, client: &'a mut Client) -> Result<Transaction<'a>, Error> {
        let Some(settings) = &self.settings else {
            return client.transaction();
        };
        if self.hasty {
            // In one message. A statement that fails takes the settings back, but for those from before a savepoint. That the
            // driver begins the same transaction again is but a warning in the server's log.
            let begin = format!("BEGIN;{settings}SAVEPOINT dbsync2");
            if let Err(error) = client.batch_execute(&begin) {
                let _ = client.batch_execute("ROLLBACK");
                return Err(error);
            }
            return client.transaction();
        }
        let mut transaction = client.transaction()?;
        transaction.batch_execute(settings)?;
        Ok(transaction)
    }

    /// The rows of one statement.
    pub(super) fn query(
        &self,
        client: &mut Client,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        if !self.is_pooled() {
            return client.query_typed(sql, parameters);
        }
        let mut transaction = self.begin(client)?;
        let rows = transaction.query_typed(sql, parameters)?;
        transaction.commit()?;
        Ok(rows)
    }

    /// The first row of a statement that has one.
    pub(super) fn query_one(
        &self,
        client: &mut Client,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Row, Error> {
        if !self.is_pooled() {
            return client.query_typed_one(sql, parameters);
        }
        let mut transaction = self.begin(client)?;
        let row = transaction.query_typed_one(sql, parameters)?;
        transaction.commit()?;
        Ok(row)
    }

    /// Runs one statement; the number of its rows.
    pub(super) fn execute(
        &self,
        client: &mut Client,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<u64, Error> {
        if !self.is_pooled() {
            return client.execute_typed(sql, parameters);
        }
        let mut transaction = self.begin(client)?;
        let rows = transaction.execute_typed(sql, parameters)?;
        transaction.commit()?;
        Ok(rows)
    }

    /// Changes tables in one transaction. It waits for a lock no longer than others, who queue behind it, may be kept
    /// waiting; what it does then may take hours.
    pub(super) fn change<T, E: From<Error>>(
        &self,
        client: &mut Client,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.patience.while_rebuilding(|| {
            let mut transaction = self.begin(client)?;
            transaction.batch_execute(&lock_timeout("SET LOCAL", MAX_DDL_LOCK_WAIT))?;
            let done = work(&mut transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }
}

/// The statement that limits waiting for a lock.
pub(super) fn lock_timeout(set: &str, limit: Duration) -> String {
    format!("{set} lock_timeout = {}", limit.as_millis().max(1))
}

/// Whether a statement gave up waiting for a lock that others hold.
pub(super) fn is_lock_wait(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == "55P03")
}
