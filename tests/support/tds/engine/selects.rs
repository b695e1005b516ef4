//! SELECT.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Body, From, Name, Query, Source, Statement};
use super::super::wire::answer::Answer;
use super::super::wire::tokens::command;
use super::super::wire::types::SqlType;
use super::super::wire::values::Value;
use super::functions::value;
use super::session::Session;
use super::table_definitions::access;
use super::transactions::Access;

impl Session {
    pub fn select(&mut self, query: &Query, answer: &mut Answer<'_>) -> Result<()> {
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
