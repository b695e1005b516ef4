//! INSERT, UPDATE and DELETE as SQLite's statements.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Condition, Expr, From, InsertSource, Name, Source, Statement};
use super::super::wire::types::SqlType;
use super::assignments::{
    check_assignable, check_count, first_then_rest, named_columns, row_overhead,
};
use super::catalogue::{Column, Table, same_name};
use super::functions::{Target, lock};
use super::render::{Rendered, Renderer};
use super::session::Session;

/// A write as SQLite's statement, and the rows it is made of.
pub struct Write {
    pub table: Table,
    pub sql: String,
    /// A SELECT of the new values, as `v1`, `v2` …, and the columns they are for.
    pub source: String,
    pub columns: Vec<i64>,
}

impl Session {
    pub fn render_write(&self, statement: &Statement) -> Result<Write> {
        let mut renderer = self.renderer();
        match statement {
            Statement::Insert {
                table,
                columns,
                source,
            } => self.render_insert(&mut renderer, table, columns, source),
            Statement::Update {
                target,
                set,
                from,
                condition,
            } => self.render_update(
                &mut renderer,
                target,
                set,
                from.as_ref(),
                condition.as_ref(),
            ),
            Statement::Delete {
                target,
                from,
                condition,
            } => {
                let (table, rows) = self.target_rows(
                    &mut renderer,
                    target,
                    from.as_ref(),
                    condition.as_ref(),
                    |_, _| Ok(Vec::new()),
                )?;
                Ok(Write {
                    sql: format!("DELETE FROM {} WHERE rowid IN ({rows})", table.stored),
                    source: String::new(),
                    columns: Vec::new(),
                    table,
                })
            }
            _ => unreachable!("these are the three"),
        }
    }

    fn render_insert(
        &self,
        renderer: &mut Renderer<'_>,
        table: &Name,
        columns: &[String],
        source: &InsertSource,
    ) -> Result<Write> {
        let table = renderer.table(table)?;
        let named = named_columns(&table, columns)?;
        let mut sources: Vec<Vec<Rendered>> = Vec::new();
        let mut from_query = None;
        match source {
            InsertSource::Values(rows) => {
                for row in rows {
                    check_count(named.len(), row.len(), true)?;
                    let mut values = Vec::new();
                    for value in row {
                        values.push(match value {
                            Some(value) => renderer.expression(value)?,
                            None => renderer.expression(&Expr::Null)?,
                        });
                    }
                    sources.push(values);
                }
            }
            InsertSource::Defaults => sources.push(Vec::new()),
            InsertSource::Query(query) => {
                let query = renderer.query(query)?;
                check_count(named.len(), query.columns.len(), false)?;
                let values = (1..)
                    .zip(&query.columns)
                    .map(|(at, column)| Rendered::new(format!("s.o{at}"), column.kind))
                    .collect();
                sources.push(values);
                from_query = Some(query.sql);
            }
        }
        // Columns that are not named become NULL, which has to be allowed.
        let named = if *source == InsertSource::Defaults {
            Vec::new()
        } else {
            named
        };
        let unnamed: Vec<&Column> = table
            .columns
            .iter()
            .filter(|column| !column.nullable && named.iter().all(|n| n.id != column.id))
            .collect();
        let targets: Vec<usize> = {
            let mut shared = lock(&self.shared);
            named
                .iter()
                .chain(unnamed.iter().copied())
                .zip(first_then_rest(row_overhead(&table)))
                .map(|(column, row_overhead)| {
                    shared.target_number(Target {
                        row_overhead,
                        ..self.target(&table, column, false)
                    })
                })
                .collect()
        };
        let mut rows = Vec::new();
        for values in &sources {
            let mut items = Vec::new();
            let null = Rendered {
                is_null: true,
                ..Rendered::new("NULL", SqlType::Int)
            };
            let padded = values
                .iter()
                .chain(std::iter::repeat_n(&null, unnamed.len()));
            let all = named.iter().chain(unnamed.iter().copied());
            for (value, (column, target)) in padded.zip(all.zip(&targets)) {
                check_assignable(value, column.kind)?;
                let kind = if value.is_null {
                    column.kind
                } else {
                    value.kind
                };
                let from = lock(&self.shared).type_number(kind);
                items.push(format!("tsql_store({}, {from}, {target})", value.sql));
            }
            // SQLite has no row without columns.
            if items.is_empty() {
                items.push("NULL".to_owned());
            }
            rows.push(items);
        }
        let columns: Vec<i64> = named
            .iter()
            .map(|c| c.id)
            .chain(unnamed.iter().map(|c| c.id))
            .collect();
        let mut stored: Vec<String> = columns.iter().map(|id| format!("c{id}")).collect();
        if stored.is_empty() {
            stored.push(table.columns[0].stored_name());
        }
        let source = match from_query {
            Some(query) => {
                let items: Vec<String> = (1..)
                    .zip(rows.concat())
                    .map(|(at, item)| format!("{item} AS v{at}"))
                    .collect();
                format!("SELECT {} FROM ({query}) AS s", items.join(", "))
            }
            None => {
                let names: Vec<String> = (1..=stored.len())
                    .map(|at| format!("column{at} AS v{at}"))
                    .collect();
                let rows: Vec<String> = rows
                    .iter()
                    .map(|items| format!("({})", items.join(", ")))
                    .collect();
                format!(
                    "SELECT {} FROM (VALUES {})",
                    names.join(", "),
                    rows.join(", ")
                )
            }
        };
        Ok(Write {
            sql: format!(
                "INSERT INTO {}({}) {source}",
                table.stored,
                stored.join(", ")
            ),
            source,
            columns,
            table,
        })
    }

    fn render_update(
        &self,
        renderer: &mut Renderer<'_>,
        target: &Name,
        set: &[(String, Expr)],
        from: Option<&From>,
        condition: Option<&Condition>,
    ) -> Result<Write> {
        let mut columns = Vec::new();
        let (table, rows) = self.target_rows(renderer, target, from, condition, |renderer, table| {
            let mut items = Vec::new();
            for (name, value) in set {
                let column = table.column(name).ok_or_else(|| SqlError::no_such_column(name))?;
                if columns.contains(&column.id) {
                    return Err(SqlError::new(264, 16, format!("The column name '{name}' is specified more than once in the SET clause or column list of an INSERT.")));
                }
                columns.push(column.id);
                let value = renderer.expression(value)?;
                items.push(self.store(&value, self.target(table, column, true))?);
            }
            Ok(items)
        })?;
        let assignments: Vec<String> = (1..)
            .zip(&columns)
            .map(|(at, id)| format!("c{id} = u.v{at}"))
            .collect();
        Ok(Write {
            sql: format!(
                "UPDATE {} AS written SET {} FROM ({rows}) AS u WHERE written.rowid = u.row",
                table.stored,
                assignments.join(", ")
            ),
            source: rows,
            columns,
            table,
        })
    }

    /// The table and a SELECT of the rows to change: `row` is their number, `v1` … are the given values.
    fn target_rows(
        &self,
        renderer: &mut Renderer<'_>,
        target: &Name,
        from: Option<&From>,
        condition: Option<&Condition>,
        values: impl FnOnce(&mut Renderer<'_>, &Table) -> Result<Vec<String>>,
    ) -> Result<(Table, String)> {
        renderer.scopes.push(Vec::new());
        let alone = From {
            first: Source::Table {
                name: target.clone(),
                alias: None,
            },
            joins: Vec::new(),
        };
        let mut sql = renderer.from(from.unwrap_or(&alone))?;
        let position = |renderer: &Renderer<'_>| {
            let scope = renderer.scopes.last().expect("it was pushed");
            scope
                .iter()
                .position(|source| same_name(&source.alias, &target.object))
        };
        if position(renderer).is_none() {
            // UPDATE t … FROM s: t is joined to s by the condition alone.
            sql += &format!(", {}", renderer.from(&alone)?);
        }
        let at = position(renderer).expect("it is there now");
        let source = renderer.scopes.last().expect("it was pushed")[at].clone();
        let table = source
            .table
            .ok_or_else(|| SqlError::beyond_this_server("writing to a derived table"))?;
        let mut items = Vec::new();
        for (at, value) in (1..).zip(values(renderer, &table)?) {
            items.push(format!(", {value} AS v{at}"));
        }
        let condition = match condition {
            Some(condition) => format!(" WHERE {}", renderer.condition(condition)?),
            None => String::new(),
        };
        renderer.scopes.pop();
        let rows = format!(
            "SELECT {}.rowid AS row{} FROM {sql}{condition}",
            source.stored_alias,
            items.concat()
        );
        Ok((table, rows))
    }
}
