//! T-SQL expressions and conditions as SQLite's, with the types that SQL Server would give them.

use std::collections::HashMap;

use rusqlite::Connection;

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Expr, Name, Order};
use super::super::wire::types::SqlType;
use super::super::wire::values::Value;
use super::catalogue::{self, Place, Table, same_name};
use super::functions::{SharedState, lock};
use super::server_functions::Facts;
use super::system_views;

/// What stands for a variable or parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    pub kind: SqlType,
    pub value: Value,
}

pub type Variables = HashMap<String, Variable>;

/// An expression of SQLite and what is known of it.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub sql: String,
    pub kind: SqlType,
    /// The bare word NULL, which has no type of its own.
    pub is_null: bool,
    pub nullable: bool,
    /// The table that it is a column of.
    pub table: Option<String>,
    /// By COLLATE.
    pub exact: bool,
}

impl Rendered {
    pub fn new(sql: impl Into<String>, kind: SqlType) -> Self {
        Rendered {
            sql: sql.into(),
            kind,
            is_null: false,
            nullable: true,
            table: None,
            exact: false,
        }
    }
}

/// A table or subquery in FROM.
#[derive(Debug, Clone)]
pub struct ScopeTable {
    /// The alias or table name that columns may be qualified with.
    pub alias: String,
    /// In SQLite.
    pub stored_alias: String,
    pub columns: Vec<ScopeColumn>,
    /// Set where it is a table.
    pub table: Option<Table>,
}

#[derive(Debug, Clone)]
pub struct ScopeColumn {
    pub name: String,
    pub stored: String,
    pub kind: SqlType,
    pub nullable: bool,
}

/// What a statement is rendered with.
pub struct Renderer<'a> {
    pub connection: &'a Connection,
    pub shared: &'a SharedState,
    pub facts: &'a Facts,
    pub variables: &'a Variables,
    /// The innermost last.
    pub scopes: Vec<Vec<ScopeTable>>,
    pub aliases: usize,
    pub aggregates_allowed: bool,
}

impl<'a> Renderer<'a> {
    pub fn new(
        connection: &'a Connection,
        shared: &'a SharedState,
        facts: &'a Facts,
        variables: &'a Variables,
    ) -> Self {
        Renderer {
            connection,
            shared,
            facts,
            variables,
            scopes: Vec::new(),
            aliases: 0,
            aggregates_allowed: false,
        }
    }

    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("a{}", self.aliases)
    }

    /// The table of this name, or error 208.
    pub fn table(&self, name: &Name) -> Result<Table> {
        let unknown = || SqlError::no_such_object(&name.display());
        if let Some(database) = &name.database {
            let expected = if name.is_temporary() {
                "tempdb"
            } else {
                &self.facts.database
            };
            if !same_name(database, expected) && !same_name(database, "tempdb") {
                return Err(unknown());
            }
        }
        let in_tempdb = name
            .database
            .as_deref()
            .is_some_and(|d| same_name(d, "tempdb"));
        let place = if name.is_temporary() || in_tempdb {
            Place::Temp
        } else {
            Place::Main
        };
        let schema = name.schema.as_deref().unwrap_or("dbo");
        if let Some(view) = system_views::find(place, schema, &name.object) {
            return Ok(view);
        }
        if !same_name(schema, "dbo") {
            return Err(unknown());
        }
        catalogue::find(self.connection, place, &name.object)
            .map_err(|e| SqlError::beyond_this_server(&e.to_string()))?
            .ok_or_else(unknown)
    }

    /// `value` as this type.
    pub fn cast(&self, value: &Rendered, to: SqlType, style: &str) -> String {
        if value.is_null || value.kind == to {
            return value.sql.clone();
        }
        let mut shared = lock(self.shared);
        let (from, to) = (shared.type_number(value.kind), shared.type_number(to));
        format!("tsql_convert({}, {from}, {to}, {style})", value.sql)
    }

    /// As [`Renderer::cast`] for a comparison or a result of mixed types, where a text's length does not matter.
    pub fn widen(&self, value: &Rendered, to: SqlType) -> String {
        if value.kind.is_text() && to.is_text() {
            return value.sql.clone();
        }
        self.cast(value, to, "0")
    }

    /// An expression to sort, group or tell apart by.
    pub fn sortable(&mut self, expression: &Expr) -> Result<String> {
        let value = self.expression(expression)?;
        if matches!(value.kind, SqlType::Text | SqlType::NText) {
            return Err(not_sortable());
        }
        Ok(format!("{}{}", value.sql, collate(&value)))
    }

    pub fn order(&mut self, order: &[Order]) -> Result<String> {
        let mut parts = Vec::new();
        for item in order {
            let by = self.sortable(&item.by)?;
            parts.push(format!(
                "{by}{}",
                if item.descending { " DESC" } else { "" }
            ));
        }
        Ok(parts.join(", "))
    }
}

/// What may not be sorted, grouped or told apart by.
pub fn not_sortable() -> SqlError {
    SqlError::new(
        306,
        16,
        "The text, ntext, and image data types cannot be compared or sorted, except when using IS NULL or LIKE operator.",
    )
}

/// The collation clause that a value of this type is compared with.
pub fn collate(value: &Rendered) -> &'static str {
    match value.kind {
        _ if value.kind.is_exact_decimal() => " COLLATE tsql_decimal",
        _ if !value.kind.is_text() => "",
        _ if value.exact => " COLLATE tsql_exact",
        _ => " COLLATE tsql",
    }
}

/// A text in SQLite's quotes; NUL can't stand in a statement.
pub fn quote(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    if quoted.contains('\0') {
        format!("({})", quoted.replace('\0', "'||char(0)||'"))
    } else {
        quoted
    }
}

pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:e}"),
        Value::Text(text) => quote(text),
        Value::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("x'{digits}'")
        }
    }
}
