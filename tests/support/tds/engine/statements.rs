//! Each statement on its own.

use std::thread;
use std::time::{Duration, Instant};

use super::super::error::{Result, SqlError};
use super::super::language::ast::{
    Argument, Body, Condition, Expr, From, Located, Name, Query, Source, Statement,
};
use super::super::wire::answer::Answer;
use super::super::wire::tokens::{Change, command};
use super::super::wire::types::{Length, SqlType};
use super::super::wire::values::Value;
use super::convert::convert;
use super::functions::value;
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
            Statement::CreateIndex {
                name,
                table,
                columns,
                unique,
            } => {
                self.define(access(table), answer, |session, answer| {
                    session.create_index(name, table, columns, *unique, answer)
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

    fn select(&mut self, query: &Query, answer: &mut Answer<'_>) -> Result<()> {
        let access = if reads_temporary_only(query) {
            Access::Temporary
        } else {
            Access::Read
        };
        if let Body::Select(select) = &query.body
            && let Some(into) = &select.into
        {
            return self.select_into(query, into, answer);
        }
        let (rows, last, assigned) = self.atomically(access, answer, |session, answer| {
            let rendered = session.renderer().query(query)?;
            let shows = rendered.assigned.is_empty();
            if shows {
                answer.columns(&rendered.columns);
            }
            let mut rows = 0_u64;
            let mut last: Option<Vec<Value>> = None;
            if !session.settings.format_only {
                let mut statement = session
                    .connection
                    .prepare(&rendered.sql)
                    .map_err(|error| session.refusal(&error))?;
                let mut found = statement
                    .query([])
                    .map_err(|error| session.refusal(&error))?;
                while let Some(row) = found.next().map_err(|error| session.refusal(&error))? {
                    let mut values = Vec::with_capacity(rendered.columns.len());
                    for at in 0..rendered.columns.len() {
                        values.push(value(
                            row.get_ref(at).map_err(|error| session.refusal(&error))?,
                        ));
                    }
                    rows += 1;
                    if shows {
                        answer.row(&rendered.columns, &values);
                    } else {
                        last = Some(values);
                    }
                    if rows.is_multiple_of(256) && answer.is_interrupted() {
                        return Err(SqlError::interrupted());
                    }
                }
            }
            let kinds: Vec<SqlType> = rendered.columns.iter().map(|column| column.kind).collect();
            let assigned: Vec<(String, SqlType)> =
                rendered.assigned.into_iter().zip(kinds).collect();
            Ok((rows, last, assigned))
        })?;
        if assigned.is_empty() {
            self.counted(command::SELECT, rows, answer);
            return Ok(());
        }
        for ((name, kind), value) in assigned.iter().zip(last.unwrap_or_default()) {
            self.set_variable(name, *kind, value)?;
        }
        self.facts.rows = i64::try_from(rows).unwrap_or(i64::MAX);
        Ok(())
    }

    /// `SELECT … INTO new_table`
    fn select_into(&mut self, query: &Query, into: &Name, answer: &mut Answer<'_>) -> Result<()> {
        use super::super::language::ast::{ColumnDefinition, InsertSource};
        let mut plain = query.clone();
        if let Body::Select(select) = &mut plain.body {
            select.into = None;
        }
        let rows = self.atomically(access(into), answer, |session, answer| {
            let columns = session.renderer().query(&plain)?.columns;
            let mut definitions = Vec::new();
            for (at, column) in columns.iter().enumerate() {
                if column.name.is_empty() {
                    return Err(SqlError::new(1038, 15, format!("An object or column name is missing or empty. For SELECT INTO statements, verify each column has a name. (column {})", at + 1)));
                }
                definitions.push(ColumnDefinition {
                    name: column.name.clone(),
                    kind: column.kind,
                    nullable: Some(column.nullable),
                    key: None,
                });
            }
            session.create_table(into, &definitions, &[], answer)?;
            let insert = Statement::Insert {
                table: into.clone(),
                columns: Vec::new(),
                source: InsertSource::Query(Box::new(plain.clone())),
            };
            session.write_within(&insert)
        })?;
        self.counted(command::INSERT, rows, answer);
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

    fn evaluate(&self, expression: &Expr) -> Result<(SqlType, Value)> {
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

    // ---- procedures -------------------------------------------------------------------------------------------------

    fn call(
        &mut self,
        result: Option<&str>,
        procedure: &Name,
        arguments: &[(Option<String>, Argument)],
        answer: &mut Answer<'_>,
    ) -> Result<Flow> {
        let mut values = Vec::new();
        for (name, argument) in arguments {
            let value = match argument {
                Argument::Value(value) => self.evaluate(value)?,
                Argument::Output(_) => {
                    return Err(SqlError::beyond_this_server("OUTPUT parameters"));
                }
            };
            values.push((name.clone(), value));
        }
        let status = self.procedure(&procedure.object, &values, answer)?;
        if let Some(result) = result {
            self.set_variable(result, SqlType::Int, Value::Int(status))?;
        }
        answer.put(|out| {
            super::super::wire::tokens::return_status(out, i32::try_from(status).unwrap_or(0))
        });
        answer.done(command::OTHER, None, false);
        Ok(Flow::Next)
    }

    /// Runs one of the few procedures there are; returns its status.
    pub fn procedure(
        &mut self,
        name: &str,
        arguments: &[(Option<String>, (SqlType, Value))],
        answer: &mut Answer<'_>,
    ) -> Result<i64> {
        // Clients leave the @ out, as the specification allows.
        let is_called = |name: &Option<String>, wanted: &str| {
            name.as_deref()
                .is_some_and(|name| name.trim_start_matches('@') == wanted.trim_start_matches('@'))
        };
        let argument = |wanted: &str, position: usize| -> Option<&Value> {
            let by_name = arguments.iter().find(|(name, _)| is_called(name, wanted));
            let unnamed = || arguments.get(position).filter(|(name, _)| name.is_none());
            by_name.or_else(unnamed).map(|(_, (_, value))| value)
        };
        let text = |wanted: &str, position: usize| match argument(wanted, position) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        match name.to_lowercase().as_str() {
            "sp_getapplock" => {
                let resource = text("@resource", 0);
                let timeout = match argument("@locktimeout", 3) {
                    Some(Value::Int(number)) => *number,
                    _ => self.facts.lock_timeout,
                };
                if !text("@lockowner", 2).eq_ignore_ascii_case("session") {
                    return Err(SqlError::beyond_this_server(
                        "application locks of a transaction",
                    ));
                }
                let start = Instant::now();
                loop {
                    if self.store.lock(&resource, self.facts.session) {
                        return Ok(i64::from(start.elapsed() > Duration::from_millis(2)));
                    }
                    if answer.is_interrupted() {
                        return Err(SqlError::interrupted());
                    }
                    if u64::try_from(timeout)
                        .is_ok_and(|t| start.elapsed() >= Duration::from_millis(t))
                    {
                        return Ok(-1);
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            }
            "sp_releaseapplock" => {
                let resource = text("@resource", 0);
                if self.store.unlock(&resource, self.facts.session) {
                    Ok(0)
                } else {
                    Err(SqlError::new(
                        1223,
                        16,
                        format!(
                            "Cannot release the application lock (Database Principal: 'public', Resource: '{resource}') because it is not currently held."
                        ),
                    ))
                }
            }
            "sp_executesql" => {
                let statement = text("@stmt", 0);
                let mut variables = Variables::new();
                let declared = super::super::language::statements::parameters(&text("@params", 1))?;
                for (at, (name, kind)) in declared.into_iter().enumerate() {
                    let given = arguments
                        .iter()
                        .find(|(given, _)| is_called(given, &name))
                        .or(arguments.get(at + 2));
                    let Some((_, (from, value))) = given else {
                        return Err(SqlError::new(
                            8178,
                            16,
                            format!(
                                "The parameterized query expects the parameter '{name}', which was not supplied."
                            ),
                        ));
                    };
                    let value = convert(value.clone(), *from, kind, 0)?;
                    variables.insert(name, Variable { kind, value });
                }
                self.run(&statement, variables, answer);
                Ok(0)
            }
            _ => Err(SqlError {
                state: 62,
                ..SqlError::new(
                    2812,
                    16,
                    format!("Could not find stored procedure '{name}'."),
                )
            }),
        }
    }
}

/// Whether the query is a plain look at tables of tempdb.
fn reads_temporary_only(query: &Query) -> bool {
    let Body::Select(select) = &query.body else {
        return false;
    };
    let temporary =
        |source: &Source| matches!(source, Source::Table { name, .. } if name.is_temporary());
    let plain = |from: &From| {
        temporary(&from.first) && from.joins.iter().all(|join| temporary(&join.source))
    };
    match &select.from {
        Some(from) => plain(from) && select.condition.is_none(),
        // OBJECT_ID and the like look at the catalogue.
        None => false,
    }
}
