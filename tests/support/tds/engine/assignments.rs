//! What may be assigned to which column.

use super::super::error::{Result, SqlError};
use super::super::wire::types::SqlType;
use super::catalogue::{Column, Table};
use super::functions::{Target, lock};
use super::render::Rendered;
use super::session::Session;

impl Session {
    pub fn target(&self, table: &Table, column: &Column, is_update: bool) -> Target {
        let key = table
            .indexes
            .iter()
            .filter(|index| index.columns.contains(&column.id))
            .map(|index| {
                (
                    index.name.clone(),
                    self.facts.version.longest_key(index.id == 1),
                )
            })
            .min_by_key(|(_, longest)| *longest);
        Target {
            table: table.full_name(&self.facts.database),
            column: column.name.clone(),
            kind: column.kind,
            nullable: column.nullable,
            key,
            explains_truncation: self.facts.version.explains_truncation(),
            is_update,
            row_overhead: None,
        }
    }

    pub fn store(&self, value: &Rendered, target: Target) -> Result<String> {
        check_assignable(value, target.kind)?;
        let mut shared = lock(&self.shared);
        let kind = if value.is_null {
            target.kind
        } else {
            value.kind
        };
        let from = shared.type_number(kind);
        let at = shared.target_number(target);
        Ok(format!("tsql_store({}, {from}, {at})", value.sql))
    }
}

pub fn named_columns(table: &Table, names: &[String]) -> Result<Vec<Column>> {
    if names.is_empty() {
        return Ok(table.columns.clone());
    }
    let mut columns: Vec<Column> = Vec::new();
    for name in names {
        let column = table
            .column(name)
            .ok_or_else(|| SqlError::no_such_column(name))?;
        if columns.iter().any(|other| other.id == column.id) {
            return Err(SqlError::new(
                264,
                16,
                format!(
                    "The column name '{name}' is specified more than once in the SET clause or column list of an INSERT. A column cannot be assigned more than one value in the same clause. Modify the clause to make sure that a column is updated only once. If this statement updates or inserts columns into a view, column aliasing can conceal the duplication in your code."
                ),
            ));
        }
        columns.push(column.clone());
    }
    Ok(columns)
}

pub fn check_count(columns: usize, values: usize, of_values: bool) -> Result<()> {
    let (number, message) = match (columns.cmp(&values), of_values) {
        (std::cmp::Ordering::Equal, _) => return Ok(()),
        (std::cmp::Ordering::Greater, true) => (
            109,
            "There are more columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.",
        ),
        (std::cmp::Ordering::Less, true) => (
            110,
            "There are fewer columns in the INSERT statement than values specified in the VALUES clause. The number of values in the VALUES clause must match the number of columns specified in the INSERT statement.",
        ),
        (std::cmp::Ordering::Greater, false) => (
            120,
            "The select list for the INSERT statement contains fewer items than the insert list. The number of SELECT values must match the number of INSERT columns.",
        ),
        (std::cmp::Ordering::Less, false) => (
            121,
            "The select list for the INSERT statement contains more items than the insert list. The number of SELECT values must match the number of INSERT columns.",
        ),
    };
    Err(SqlError::new(number, 15, message))
}

/// What is converted without being asked to.
pub fn check_assignable(value: &Rendered, to: SqlType) -> Result<()> {
    let allowed = value.is_null
        || match (value.kind, to) {
            (from, to) if from.is_text() && to.is_text() => true,
            (SqlType::Text | SqlType::NText, _) => false,
            (from, SqlType::Text | SqlType::NText) => from.is_text(),
            (SqlType::Varbinary(_), SqlType::Varbinary(_)) => true,
            (SqlType::Varbinary(_), _) | (_, SqlType::Varbinary(_)) => false,
            (from, to) if to.is_time() => from.is_text() || from.is_time(),
            (from, to) if from.is_time() => to.is_text(),
            _ => true,
        };
    if allowed {
        Ok(())
    } else {
        Err(SqlError::new(
            206,
            16,
            format!(
                "Operand type clash: {} is incompatible with {}",
                value.kind.name(),
                to.name()
            ),
        ))
    }
}

/// The first column of a row carries what the row takes besides.
pub fn first_then_rest(overhead: usize) -> impl Iterator<Item = Option<usize>> {
    std::iter::once(Some(overhead)).chain(std::iter::repeat(None))
}

/// Header, map of NULLs and the ends of the columns of variable length.
pub fn row_overhead(table: &Table) -> usize {
    let variable = table
        .columns
        .iter()
        .filter(|column| !column.kind.is_fixed())
        .count();
    6 + table.columns.len().div_ceil(8) + if variable == 0 { 0 } else { 2 + 2 * variable }
}
