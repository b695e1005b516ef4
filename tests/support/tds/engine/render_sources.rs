//! FROM: tables, subqueries and joins, and the columns that they bring into scope.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{From, JoinKind, Source};
use super::super::wire::tokens::ResultColumn;
use super::catalogue::same_name;
use super::render::{Rendered, Renderer, ScopeColumn, ScopeTable};

impl Renderer<'_> {
    pub fn all_columns(
        &self,
        table: Option<&str>,
        columns: &mut Vec<ResultColumn>,
        items: &mut Vec<Rendered>,
    ) -> Result<()> {
        let mut any = false;
        for source in self.scopes.last().expect("a scope was pushed") {
            if table.is_some_and(|table| !same_name(table, &source.alias)) {
                continue;
            }
            any = true;
            for column in &source.columns {
                let mut value = Rendered::new(
                    format!("{}.{}", source.stored_alias, column.stored),
                    column.kind,
                );
                value.nullable = column.nullable;
                value.table = source.table.as_ref().map(|table| table.name.clone());
                columns.push(result_column(column.name.clone(), &value));
                items.push(value);
            }
        }
        match table {
            _ if any => Ok(()),
            Some(table) => Err(SqlError::new(
                107,
                15,
                format!(
                    "The column prefix '{table}' does not match with a table name or alias name used in the query."
                ),
            )),
            None => Err(SqlError::new(263, 16, "Must specify table to select from.")),
        }
    }

    /// Renders FROM and fills the innermost scope.
    pub fn from(&mut self, from: &From) -> Result<String> {
        let mut sql = self.source(&from.first, false)?;
        for join in &from.joins {
            let word = match join.kind {
                JoinKind::Inner => "JOIN",
                JoinKind::Left => "LEFT JOIN",
                JoinKind::Cross => "CROSS JOIN",
            };
            sql += &format!(
                " {word} {}",
                self.source(&join.source, join.kind == JoinKind::Left)?
            );
            if let Some(on) = &join.on {
                sql += &format!(" ON {}", self.condition(on)?);
            }
        }
        Ok(sql)
    }

    fn source(&mut self, source: &Source, outer: bool) -> Result<String> {
        let stored_alias = self.alias();
        let (sql, entry) = match source {
            Source::Table { name, alias } => {
                let table = self.table(name)?;
                let columns = table
                    .columns
                    .iter()
                    .map(|column| ScopeColumn {
                        name: column.name.clone(),
                        stored: column.stored_name(),
                        kind: column.kind,
                        nullable: column.nullable || outer,
                    })
                    .collect();
                let sql = format!("{} AS {stored_alias}", table.stored);
                let alias = alias.clone().unwrap_or_else(|| name.object.clone());
                (
                    sql,
                    ScopeTable {
                        alias,
                        stored_alias,
                        columns,
                        table: Some(table),
                    },
                )
            }
            Source::Derived {
                query,
                alias,
                columns,
            } => {
                // A derived table does not see its neighbours.
                let hidden = self.scopes.pop();
                let rendered = self.query(query);
                self.scopes.extend(hidden);
                let rendered = rendered?;
                if !columns.is_empty() && columns.len() != rendered.columns.len() {
                    return Err(SqlError::new(
                        8158,
                        16,
                        format!(
                            "'{alias}' has more columns than were specified in the column list."
                        ),
                    ));
                }
                let mut scope_columns = Vec::new();
                for (at, column) in rendered.columns.iter().enumerate() {
                    let name = columns
                        .get(at)
                        .cloned()
                        .unwrap_or_else(|| column.name.clone());
                    if name.is_empty() {
                        return Err(SqlError::new(
                            8155,
                            16,
                            format!(
                                "No column name was specified for column {} of '{alias}'.",
                                at + 1
                            ),
                        ));
                    }
                    scope_columns.push(ScopeColumn {
                        name,
                        stored: format!("o{}", at + 1),
                        kind: column.kind,
                        nullable: column.nullable || outer,
                    });
                }
                let sql = format!("({}) AS {stored_alias}", rendered.sql);
                (
                    sql,
                    ScopeTable {
                        alias: alias.clone(),
                        stored_alias,
                        columns: scope_columns,
                        table: None,
                    },
                )
            }
        };
        let scope = self.scopes.last_mut().expect("a scope was pushed");
        if scope
            .iter()
            .any(|other| same_name(&other.alias, &entry.alias))
        {
            return Err(SqlError::new(
                1011,
                16,
                format!(
                    "The correlation name '{}' is specified multiple times in a FROM clause.",
                    entry.alias
                ),
            ));
        }
        scope.push(entry);
        Ok(sql)
    }
}

pub fn result_column(name: String, value: &Rendered) -> ResultColumn {
    ResultColumn {
        name,
        kind: value.kind,
        nullable: value.nullable,
        table: value.table.clone(),
    }
}
