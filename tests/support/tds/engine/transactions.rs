//! Transactions: T-SQL's over SQLite's. A transaction locks the whole database as soon as it looks at it.

use std::thread;
use std::time::{Duration, Instant};

use super::super::error::{Result, SqlError};
use super::super::wire::answer::Answer;
use super::super::wire::tokens::Change;
use super::functions::lock;
use super::session::Session;
use super::store::is_busy;

/// What a statement touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The session's own tables at most.
    Temporary,
    Read,
    Write,
}

impl Session {
    pub fn begin(&mut self, answer: &mut Answer<'_>) -> Result<()> {
        if self.transaction.is_none() {
            self.sqlite("BEGIN")?;
            self.transactions_begun += 1;
            let descriptor = u64::from(self.facts.session) << 32 | self.transactions_begun;
            self.transaction = Some(descriptor);
            self.locked = false;
            answer.change(&Change::Began(descriptor));
        }
        self.facts.transactions += 1;
        Ok(())
    }

    pub fn commit(&mut self, answer: &mut Answer<'_>) -> Result<()> {
        let Some(descriptor) = self.transaction else {
            return Err(SqlError::new(
                3902,
                16,
                "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.",
            ));
        };
        if self.facts.doomed {
            return Err(SqlError::new(
                3930,
                16,
                "The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.",
            ));
        }
        self.facts.transactions -= 1;
        if self.facts.transactions == 0 {
            self.sqlite("COMMIT")?;
            self.transaction = None;
            answer.change(&Change::Committed(descriptor));
        }
        Ok(())
    }

    /// ROLLBACK as a statement.
    pub fn roll_back_asked(&mut self, answer: &mut Answer<'_>) -> Result<()> {
        if self.transaction.is_none() {
            return Err(SqlError::new(
                3903,
                16,
                "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
            ));
        }
        self.roll_back(answer);
        Ok(())
    }

    /// Undoes the open transaction, if there is one.
    pub fn roll_back(&mut self, answer: &mut Answer<'_>) {
        if let Some(descriptor) = self.transaction.take() {
            // SQLite may have ended it already, after an error of its own.
            let _ = self.sqlite("ROLLBACK");
            self.facts.transactions = 0;
            self.facts.doomed = false;
            answer.change(&Change::RolledBack(descriptor));
        }
    }

    /// Runs something that is done wholly or not at all.
    pub fn atomically<T>(
        &mut self,
        access: Access,
        answer: &mut Answer<'_>,
        run: impl FnOnce(&mut Self, &mut Answer<'_>) -> Result<T>,
    ) -> Result<T> {
        if access == Access::Write {
            if self.facts.doomed {
                return Err(SqlError::new(
                    3930,
                    16,
                    "The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.",
                ));
            }
            if !self.spares_failures
                && let Some(number) = self.controls.take_failure()
            {
                return Err(SqlError::asked_for(number));
            }
        }
        if self.transaction.is_some() {
            if access != Access::Temporary && !self.locked {
                self.wait_for("UPDATE main.tds_lock SET taken = 0", answer)?;
                self.locked = true;
            }
            self.sqlite("SAVEPOINT statement")?;
            let result = run(self, answer);
            if result.is_err() {
                self.sqlite("ROLLBACK TO statement")?;
            }
            self.sqlite("RELEASE statement")?;
            return result;
        }
        let begin = if access == Access::Write {
            "BEGIN IMMEDIATE"
        } else {
            "BEGIN"
        };
        self.wait_for(begin, answer)?;
        match run(self, answer) {
            Ok(done) => {
                self.sqlite("COMMIT")?;
                Ok(done)
            }
            Err(error) => {
                self.sqlite("ROLLBACK")?;
                Err(error)
            }
        }
    }

    /// Runs a statement that needs a lock, for as long as LOCK_TIMEOUT allows.
    fn wait_for(&mut self, sql: &str, answer: &mut Answer<'_>) -> Result<()> {
        let start = Instant::now();
        let patience = u64::try_from(self.facts.lock_timeout)
            .ok()
            .map(Duration::from_millis);
        let mut waiting = None;
        loop {
            match self.connection.execute_batch(sql) {
                Ok(()) => return Ok(()),
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(self.refusal(&error)),
            }
            waiting.get_or_insert_with(|| self.controls.wait());
            if answer.is_interrupted() {
                return Err(SqlError::interrupted());
            }
            if patience.is_some_and(|patience| start.elapsed() >= patience) {
                return Err(SqlError {
                    state: 56,
                    ..SqlError::asked_for(1222)
                });
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn sqlite(&self, sql: &str) -> Result<()> {
        self.connection
            .execute_batch(sql)
            .map_err(|error| self.refusal(&error))
    }

    /// What an error of SQLite means: usually one that a function of ours has left.
    pub fn refusal(&self, error: &rusqlite::Error) -> SqlError {
        if let Some(own) = lock(&self.shared).take_error() {
            return own;
        }
        SqlError::beyond_this_server(&format!("what SQLite calls \"{error}\""))
    }
}
