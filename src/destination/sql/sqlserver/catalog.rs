//! A table as it really is.

use super::column::{Described, Holds};
use super::driver::{Connection, Values};
use super::{ANSWER, failure, statement};
use crate::destination::sql::columns;
use crate::destination::sql::dialect::SQLSERVER;
use crate::tables::schema::TableSchema;

/// A table of the current database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RealTable {
    pub(super) is_view: bool,
    /// The schema it is in.
    pub(super) schema: String,
    pub(super) columns: Vec<RealColumn>,
    pub(super) indexes: Vec<Index>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RealColumn {
    pub(super) name: String,
    /// Such as `nvarchar(100)`.
    pub(super) declared: String,
    pub(super) holds: Holds,
    pub(super) nullable: bool,
    pub(super) computed: bool,
    /// Of texts; empty for others, and where the server does not say.
    pub(super) collation: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    id: String,
    pub(super) unique: bool,
    pub(super) columns: Vec<String>,
}

/// Reads a table; `None` if no table has this name.
pub(super) fn read(
    connection: &mut Connection,
    table: &str,
) -> tiberius::Result<Option<RealTable>> {
    let found = connection.query(&statement::object_type(table), ANSWER)?;
    let Some(found) = found.first() else {
        return Ok(None);
    };
    let mut real = RealTable {
        is_view: text(found, 0).trim_end() != "U",
        schema: text(found, 1).to_owned(),
        columns: Vec::new(),
        indexes: Vec::new(),
    };
    for row in connection.query(&statement::columns(table), ANSWER)? {
        let number = |at| text(&row, at).parse().unwrap_or(0);
        let described = Described {
            name: text(&row, 1),
            length: text(&row, 2).parse().unwrap_or(0),
            precision: number(3),
            scale: number(4),
        };
        real.columns.push(RealColumn {
            name: text(&row, 0).to_owned(),
            declared: described.declared(),
            holds: described.holds(),
            nullable: text(&row, 5) == "1",
            computed: text(&row, 6) == "1",
            collation: text(&row, 7).to_owned(),
        });
    }
    let names = optional(connection, &statement::column_names(&real.schema, table))?;
    if names.len() == real.columns.len() {
        for (column, name) in real.columns.iter_mut().zip(&names) {
            text(name, 0).clone_into(&mut column.name);
        }
    }
    for row in connection.query(&statement::indexes(table), ANSWER)? {
        let column = text(&row, 2).to_owned();
        match real.indexes.last_mut() {
            Some(index) if index.id == text(&row, 0) => index.columns.push(column),
            _ => real.indexes.push(Index {
                id: text(&row, 0).to_owned(),
                unique: text(&row, 1) == "1",
                columns: vec![column],
            }),
        }
    }
    if !real.indexes.iter().any(|index| index.unique) {
        let key = optional(connection, &statement::primary_key(&real.schema, table))?;
        let columns: Vec<String> = key.iter().map(|row| text(row, 0).to_owned()).collect();
        if !columns.is_empty() {
            real.indexes.push(Index {
                id: String::new(),
                unique: true,
                columns,
            });
        }
    }
    Ok(Some(real))
}

/// The rows of a query that the server need not know.
pub(super) fn optional(connection: &mut Connection, sql: &str) -> tiberius::Result<Vec<Values>> {
    match connection.query(sql, ANSWER) {
        Err(e) if failure::is_refusal(&e) => Ok(Vec::new()),
        outcome => outcome,
    }
}

/// A value of a row; empty for NULL.
pub(super) fn text(row: &Values, column: usize) -> &str {
    row.get(column)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}

impl RealColumn {
    /// Whether `a` and `A` are the same in it, by the name of its collation, such as `Latin1_General_CI_AS`.
    pub(super) fn ignores_case(&self) -> bool {
        self.collation.to_uppercase().contains("_CI")
    }
}

impl RealTable {
    /// For each column of the schema, the position of the one that holds it.
    pub(super) fn assigned(&self, schema: &TableSchema) -> Vec<Option<usize>> {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        columns::assign(&schema.columns, &names, SQLSERVER.naming)
    }

    /// The column of this name; SQL Server compares names without case, as a rule.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| same(&column.name, name))
    }

    /// Whether some index keeps the values of this column apart.
    pub(super) fn is_unique(&self, column: &str) -> bool {
        self.indexes.iter().any(|index| {
            index.unique && matches!(index.columns.as_slice(), [only] if same(only, column))
        })
    }

    /// Unique indexes over other columns.
    pub(super) fn has_other_unique(&self, key: &str) -> bool {
        self.indexes
            .iter()
            .any(|index| index.unique && !index.columns.iter().any(|column| same(column, key)))
    }

    /// Whether some index begins with these columns.
    pub(super) fn has_index(&self, columns: &[&str]) -> bool {
        self.indexes.iter().any(|index| {
            index.columns.len() >= columns.len()
                && index.columns.iter().zip(columns).all(|(a, b)| same(a, b))
        })
    }

    /// Whether some index holds this column.
    pub(super) fn is_indexed(&self, column: &str) -> bool {
        self.indexes
            .iter()
            .flat_map(|index| &index.columns)
            .any(|name| same(name, column))
    }
}

pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}
