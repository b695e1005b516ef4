//! A session: its connection, settings and variables, and the run of a batch.

use std::sync::Arc;

use rusqlite::Connection;

use super::super::controls::Controls;
use super::super::error::{Result, SqlError};
use super::super::language::ast::{Located, Statement};
use super::super::language::statements::batch;
use super::super::options::{Options, Rights};
use super::super::wire::answer::Answer;
use super::super::wire::tokens::command;
use super::super::wire::values::Value;
use super::bulk_load::BulkTarget;
use super::functions::{Shared, SharedState, lock};
use super::render::{Renderer, Variable, Variables};
use super::server_functions::Facts;
use super::store::Store;

/// SET options that matter here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    pub xact_abort: bool,
    pub no_count: bool,
    pub format_only: bool,
}

pub struct Session {
    pub connection: Connection,
    pub shared: SharedState,
    pub store: Arc<Store>,
    pub controls: Arc<Controls>,
    pub options: Arc<Options>,
    pub facts: Facts,
    pub settings: Settings,
    pub variables: Variables,
    /// The open transaction's descriptor.
    pub transaction: Option<u64>,
    pub transactions_begun: u64,
    /// Whether the open transaction holds the database's lock.
    pub locked: bool,
    /// What the bulk load to come is for.
    pub bulk: Option<BulkTarget>,
    /// How many TRY blocks are around.
    pub tries: usize,
    /// The server's own: failures that tests ask for are for others.
    pub spares_failures: bool,
}

/// How a batch goes on after a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Next,
    /// The batch ends.
    End,
    /// The connection ends, too.
    Close,
}

impl Session {
    /// A session in a database that exists.
    pub fn open(
        store: &Arc<Store>,
        controls: &Arc<Controls>,
        options: &Arc<Options>,
        database: &str,
        user: &str,
        application: &str,
        rights: Rights,
    ) -> rusqlite::Result<Self> {
        let shared = SharedState::new(Shared::default().into());
        let connection = store.open(database, &shared)?;
        Ok(Session {
            connection,
            shared,
            store: Arc::clone(store),
            controls: Arc::clone(controls),
            options: Arc::clone(options),
            facts: Facts {
                database: database.to_owned(),
                user: user.to_owned(),
                application: application.to_owned(),
                rights,
                version: options.version,
                read_only: options.read_only,
                compatible: options.compatible,
                session: controls.next_session(),
                transactions: 0,
                doomed: false,
                rows: 0,
                last_error: 0,
                lock_timeout: -1,
                caught: None,
                caught_line: 0,
            },
            settings: Settings::default(),
            variables: Variables::new(),
            transaction: None,
            transactions_begun: 0,
            locked: false,
            bulk: None,
            tries: 0,
            spares_failures: false,
        })
    }

    pub fn renderer(&self) -> Renderer<'_> {
        Renderer::new(&self.connection, &self.shared, &self.facts, &self.variables)
    }

    /// Runs a batch with these variables set.
    pub fn run(&mut self, sql: &str, variables: Variables, answer: &mut Answer<'_>) -> Flow {
        let outer = std::mem::replace(&mut self.variables, variables);
        let flow = match batch(sql).and_then(|statements| {
            self.check_names(&statements)?;
            Ok(statements)
        }) {
            Ok(statements) => self.statements(&statements, answer),
            Err(error) => {
                self.report(&error, 1, answer);
                Flow::End
            }
        };
        self.variables = outer;
        flow
    }

    /// A real server resolves the names of tables that exist before anything of the batch runs: a column that an
    /// earlier statement of the same batch adds is unknown to a later one.
    fn check_names(&mut self, statements: &[Located]) -> Result<()> {
        if statements.len() < 2 || self.transaction.is_some() {
            return Ok(());
        }
        let changes_tables = |located: &Located| {
            matches!(located.statement, Statement::AddColumns { .. })
                || matches!(&located.statement, Statement::If { then, .. } if matches!(then.statement, Statement::AddColumns { .. }))
        };
        if !statements.iter().any(changes_tables) {
            return Ok(());
        }
        for located in statements {
            let mut renderer = self.renderer();
            if let Statement::Select(query) = &located.statement
                && let Err(error) = renderer.query(query)
                && error.number == 207
            {
                return Err(error);
            }
            if let Err(error) = self.check_write_names(&located.statement)
                && error.number == 207
            {
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn statements(&mut self, statements: &[Located], answer: &mut Answer<'_>) -> Flow {
        for located in statements {
            let flow = self.statement(located, answer);
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    /// Runs a statement and reports its error.
    pub fn statement(&mut self, located: &Located, answer: &mut Answer<'_>) -> Flow {
        self.controls.count_statement();
        if answer.is_interrupted() {
            return Flow::End;
        }
        let result = self.execute(&located.statement, answer);
        lock(&self.shared).clear();
        match result {
            Ok(flow) => flow,
            Err(error) if error.is_interruption() => {
                if self.settings.xact_abort {
                    self.roll_back(answer);
                }
                Flow::End
            }
            Err(error) => self.fail(error, located.line, answer),
        }
    }

    /// What an error does to batch and transaction.
    pub fn fail(&mut self, error: SqlError, line: u32, answer: &mut Answer<'_>) -> Flow {
        let raised = error.number == 50_000;
        let aborts = error.aborts_batch() || (self.settings.xact_abort && !raised);
        self.facts.last_error = i64::from(error.number);
        if self.tries > 0 && !error.is_fatal() && !matches!(error.number, 207 | 208) {
            self.facts.doomed = aborts && self.facts.transactions > 0;
            self.facts.caught = Some(error);
            self.facts.caught_line = line;
            return Flow::End;
        }
        self.report(&error, line, answer);
        if error.is_fatal() {
            return Flow::Close;
        }
        if aborts {
            self.roll_back(answer);
            return Flow::End;
        }
        if error.ends_batch() {
            Flow::End
        } else {
            Flow::Next
        }
    }

    pub fn report(&mut self, error: &SqlError, line: u32, answer: &mut Answer<'_>) {
        self.facts.last_error = i64::from(error.number);
        answer.message(error, line);
        answer.done(command::OTHER, None, true);
    }

    /// The end of a statement that counts its rows.
    pub fn counted(&mut self, command: u16, rows: u64, answer: &mut Answer<'_>) {
        self.facts.rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.facts.last_error = 0;
        let shown = if self.settings.no_count {
            None
        } else {
            Some(rows)
        };
        answer.done(command, shown, false);
    }

    pub fn set_variable(
        &mut self,
        name: &str,
        from: super::super::wire::types::SqlType,
        value: Value,
    ) -> Result<()> {
        let Some(variable) = self.variables.get_mut(name) else {
            return Err(SqlError::new(
                137,
                15,
                format!("Must declare the scalar variable \"{name}\"."),
            ));
        };
        let Variable { kind, value: held } = variable;
        *held = super::convert::convert(value, from, *kind, 0)?;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.store.unlock_all(self.facts.session);
    }
}
