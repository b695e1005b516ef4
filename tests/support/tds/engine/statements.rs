//! Each statement on its own.

use std::thread;
use std::time::{Duration, Instant};

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Condition, Expr, Located, Statement};
use super::super::wire::answer::Answer;
use super::super::wire::tokens::{Change, command};
use super::super::wire::types::{Length, SqlType};
use super::super::wire::values::Value;
use super::convert::convert;
use super::render::{Variable, Variables};
use super::session::{Flow, Session};
use super::table_definitions::access;
use super::transactions::Access;

impl Session {
    pub fn execute(&mut self, statement: &Statement, answer: &mut Answer<'_>) -> Result<Flow> {
        match statement {
            Statement::Select(query) => self.select(query, answer)?,
            Statement::Insert { .. } | Statement::Update { .. } | Statement::Delete { .. } => {
                self.write(statement, answer)?;
            }
            Statement::CreateTable {
                table,
                columns,
                keys,
            } => {
                self.define(access(table), answer, |session, answer| {
                    session.create_table(table, columns, keys, answer)
                })?;
            }
            Statement::AddColumns {
                table,
                columns,
                keys,
            } => {
                self.define(access(table), answer, |session, answer| {
                    session.add_columns(table, columns, keys, answer)
                })?;
            }
            Statement::AlterColumn { table, column } => {
                self.define(access(table), answer, |session, _| {
                    session.alter_column(table, column)
                })?;
            }
            Statement::AddCheck {
                table,
                name,
                condition,
            } => {
                self.define(access(table), answer, |session, _| {
                    session.add_check(table, name, condition)
                })?;
            }
            Statement::DropConstraint { table, name } => {
                self.define(access(table), answer, |session, _| {
                    session.drop_constraint(table, name)
                })?;
            }
            Statement::DropColumns { table, names } => {
                self.define(access(table), answer, |session, _| {
                    session.drop_columns(table, names)
                })?;
            }
            Statement::CreateIndex {
                name,
                table,
                columns,
                unique,
                ignores,
            } => {
                self.define(access(table), answer, |session, answer| {
                    session.create_index(name, table, columns, (*unique, *ignores), answer)
                })?;
            }
            Statement::DropTables(tables) => {
                for table in tables {
                    self.define(access(table), answer, |session, _| {
                        session.drop_table(table)
                    })?;
                }
            }
            Statement::DropIndex { name, table } => {
                self.define(access(table), answer, |session, _| {
                    session.drop_index(name, table)
                })?;
            }
            Statement::Truncate(table) => {
                self.define(access(table), answer, |session, _| session.truncate(table))?;
            }
            Statement::Begin => {
                self.begin(answer)?;
                answer.done(command::OTHER, None, false);
            }
            Statement::Commit => {
                self.commit(answer)?;
                answer.done(command::OTHER, None, false);
            }
            Statement::Rollback => {
                self.roll_back_asked(answer)?;
                answer.done(command::OTHER, None, false);
            }
            Statement::If {
                condition,
                then,
                otherwise,
            } => {
                return if self.holds(condition, answer)? {
                    Ok(self.statement(then, answer))
                } else {
                    Ok(otherwise
                        .as_ref()
                        .map_or(Flow::Next, |otherwise| self.statement(otherwise, answer)))
                };
            }
            Statement::Block(statements) => return Ok(self.statements(statements, answer)),
            Statement::Try { body, catch } => return Ok(self.try_block(body, catch, answer)),
            Statement::Declare(variables) => {
                for (name, kind, initial) in variables {
                    if self.variables.contains_key(name) {
                        return Err(SqlError::new(
                            134,
                            15,
                            format!(
                                "The variable name '{name}' has already been declared. Variable names must be unique within a query batch or stored procedure."
                            ),
                        ));
                    }
                    self.variables.insert(
                        name.clone(),
                        Variable {
                            kind: *kind,
                            value: Value::Null,
                        },
                    );
                    if let Some(initial) = initial {
                        self.assign(name, initial, answer)?;
                    }
                }
            }
            Statement::SetVariable(name, value) => self.assign(name, value, answer)?,
            Statement::SetOption(option, rest) => {
                self.set_option(option, rest)?;
                answer.done(command::OTHER, None, false);
            }
            Statement::Print(message) => {
                let text = self.text(message)?;
                answer.message(&SqlError::new(0, 0, text), 1);
                answer.done(command::OTHER, None, false);
            }
            Statement::RaiseError {
                message,
                class,
                state,
            } => {
                let message = self.text(message)?;
                let number = |value: Value| match value {
                    Value::Int(number) => u8::try_from(number).unwrap_or(16),
                    _ => 16,
                };
                let class = number(self.constant(class)?);
                let state = number(self.constant(state)?);
                let error = SqlError {
                    number: 50_000,
                    class,
                    state,
                    message,
                };
                if class > 10 {
                    return Err(error);
                }
                answer.message(&error, 1);
            }
            Statement::Execute {
                result,
                procedure,
                arguments,
            } => {
                return self.call(result.as_deref(), procedure, arguments, answer);
            }
            Statement::ExecuteText(text) => {
                let text = self.text(text)?;
                return Ok(match self.run(&text, Variables::new(), answer) {
                    Flow::Close => Flow::Close,
                    _ => Flow::Next,
                });
            }
            Statement::Use(database) => self.use_database(database, answer)?,
            Statement::Return => return Ok(Flow::End),
            Statement::WaitFor(delay) => self.wait(delay, answer)?,
            Statement::InsertBulk { table, columns } => {
                self.begin_bulk_load(table, columns)?;
                answer.done(command::OTHER, None, false);
            }
        }
        Ok(Flow::Next)
    }

    fn define(
        &mut self,
        access: Access,
        answer: &mut Answer<'_>,
        run: impl FnOnce(&mut Self, &mut Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        self.atomically(access, answer, run)?;
        self.facts.last_error = 0;
        answer.done(command::OTHER, None, false);
        Ok(())
    }

    fn holds(&mut self, condition: &Condition, answer: &mut Answer<'_>) -> Result<bool> {
        self.atomically(Access::Read, answer, |session, _| {
            let sql = format!(
                "SELECT CASE WHEN {} THEN 1 ELSE 0 END",
                session.renderer().condition(condition)?
            );
            session
                .connection
                .query_row(&sql, [], |row| row.get(0))
                .map_err(|error| session.refusal(&error))
        })
    }

    fn assign(&mut self, name: &str, value: &Expr, answer: &mut Answer<'_>) -> Result<()> {
        let (kind, value) =
            self.atomically(Access::Read, answer, |session, _| session.evaluate(value))?;
        self.set_variable(name, kind, value)
    }

    pub fn evaluate(&self, expression: &Expr) -> Result<(SqlType, Value)> {
        let mut renderer = self.renderer();
        let rendered = renderer.expression(expression)?;
        let value = renderer.constant_value(expression)?;
        Ok((rendered.kind, value))
    }

    fn constant(&self, expression: &Expr) -> Result<Value> {
        self.evaluate(expression).map(|(_, value)| value)
    }

    fn text(&self, expression: &Expr) -> Result<String> {
        let (kind, value) = self.evaluate(expression)?;
        match convert(value, kind, SqlType::NVarchar(Length::Max), 0)? {
            Value::Text(text) => Ok(text),
            _ => Ok(String::new()),
        }
    }

    fn try_block(&mut self, body: &[Located], catch: &[Located], answer: &mut Answer<'_>) -> Flow {
        let outer = self.facts.caught.take();
        self.tries += 1;
        let flow = self.statements(body, answer);
        self.tries -= 1;
        let flow = if self.facts.caught.is_some() {
            self.statements(catch, answer)
        } else {
            flow
        };
        self.facts.caught = outer;
        // A transaction that an error has spoilt does not outlive its batch.
        if self.facts.doomed && self.tries == 0 && flow == Flow::End {
            self.roll_back(answer);
        }
        flow
    }

    fn set_option(&mut self, option: &str, rest: &[String]) -> Result<()> {
        let word = rest.first().map_or("", String::as_str);
        let on = word == "ON";
        match option {
            "XACT_ABORT" => self.settings.xact_abort = on,
            "NOCOUNT" => self.settings.no_count = on,
            "FMTONLY" => self.settings.format_only = on,
            "LOCK_TIMEOUT" => {
                self.facts.lock_timeout = word.parse().map_err(|_| SqlError::syntax_near(word))?;
            }
            // A transaction locks everything here, so all levels are SERIALIZABLE; the others are what clients
            // set at the start of a session, to the values that are fixed here.
            "ROWCOUNT" if word != "0" => return Err(SqlError::beyond_this_server("SET ROWCOUNT")),
            "IMPLICIT_TRANSACTIONS" if on => {
                return Err(SqlError::beyond_this_server("implicit transactions"));
            }
            "QUOTED_IDENTIFIER" if !on => {
                return Err(SqlError::beyond_this_server("double quotes around texts"));
            }
            _ => {}
        }
        Ok(())
    }

    fn use_database(&mut self, name: &str, answer: &mut Answer<'_>) -> Result<()> {
        let unknown = || {
            SqlError::new(
                911,
                16,
                format!(
                    "Database '{name}' does not exist. Make sure that the name is entered correctly."
                ),
            )
        };
        let database = self.store.database(name).ok_or_else(unknown)?.to_owned();
        if database != self.facts.database {
            if self.transaction.is_some() {
                return Err(SqlError::beyond_this_server("USE inside a transaction"));
            }
            let connection = self.store.open(&database, &self.shared);
            self.connection = connection.map_err(|error| self.refusal(&error))?;
        }
        let old = std::mem::replace(&mut self.facts.database, database);
        answer.change(&Change::Database {
            new: &self.facts.database,
            old: &old,
        });
        let message = SqlError {
            number: 5701,
            class: 0,
            state: 1,
            message: format!("Changed database context to '{}'.", self.facts.database),
        };
        answer.message(&message, 1);
        answer.done(command::OTHER, None, false);
        Ok(())
    }

    /// `WAITFOR DELAY 'hh:mm:ss'`
    fn wait(&mut self, delay: &Expr, answer: &mut Answer<'_>) -> Result<()> {
        let text = self.text(delay)?;
        let mut seconds = 0.0;
        for part in text.split(':') {
            let part: f64 = part.parse().map_err(|_| {
                SqlError::new(
                    148,
                    15,
                    format!("Incorrect time syntax in time string '{text}' used with WAITFOR."),
                )
            })?;
            seconds = seconds * 60.0 + part;
        }
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            if answer.is_interrupted() {
                return Err(SqlError::interrupted());
            }
            thread::sleep(Duration::from_millis(2));
        }
        answer.done(command::OTHER, None, false);
        Ok(())
    }
}
