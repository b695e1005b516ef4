//! The few procedures there are.

use std::thread;
use std::time::{Duration, Instant};

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Argument, Name};
use super::super::language::tokens::Tokens;
use super::super::wire::answer::Answer;
use super::super::wire::tokens::command;
use super::super::wire::types::SqlType;
use super::super::wire::values::Value;
use super::convert::convert;
use super::render::{Variable, Variables};
use super::session::{Flow, Session};
use super::transactions::Access;

impl Session {
    pub fn call(
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
        arguments: &[super::super::requests::Parameter],
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
                let declared = super::super::language::calls::parameters(&text("@params", 1))?;
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
            "sp_rename" => {
                if argument("@objtype", 2).is_some() {
                    return Err(SqlError::beyond_this_server(
                        "other names than those of tables",
                    ));
                }
                let table = Tokens::cut(&text("@objname", 0))?.object_name()?;
                let new = text("@newname", 1);
                self.atomically(Access::Write, answer, |session, _| {
                    session.rename_table(&table, &new)
                })?;
                let caution = "Caution: Changing any part of an object name could break scripts and stored procedures.";
                answer.message(&SqlError::new(15_477, 10, caution), 1);
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
