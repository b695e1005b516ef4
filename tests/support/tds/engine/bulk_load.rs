//! Bulk loads: rows straight into a table.

use rusqlite::params_from_iter;

use super::super::error::{Result, SqlError};
use super::super::language::ast::Name;
use super::super::wire::answer::Answer;
use super::super::wire::types::SqlType;
use super::super::wire::values::Value;
use super::assignments::{first_then_rest, row_overhead};
use super::catalogue::{Column, Place, Table};
use super::functions::{self, Target, stored};
use super::session::Session;
use super::transactions::Access;
use super::writes::duplicate_key;

/// Where the rows of a bulk load go.
#[derive(Debug, Clone)]
pub struct BulkTarget {
    pub table: Table,
    /// In the order of the statement, with the types it named.
    pub columns: Vec<(Column, SqlType)>,
}

impl Session {
    /// INSERT BULK: the rows follow in a message of their own.
    pub fn begin_bulk_load(&mut self, name: &Name, columns: &[(String, SqlType)]) -> Result<()> {
        let table = self.renderer().table(name)?;
        self.check_right_to_write(&table, "INSERT")?;
        let columns = columns
            .iter()
            .map(|(name, kind)| {
                let column = table
                    .column(name)
                    .ok_or_else(|| SqlError::no_such_column(name))?;
                Ok((column.clone(), *kind))
            })
            .collect::<Result<Vec<_>>>()?;
        self.bulk = Some(BulkTarget { table, columns });
        Ok(())
    }

    /// Puts the rows into the table; `next` gives them, `None` at the end.
    pub fn bulk_load(
        &mut self,
        bulk: &BulkTarget,
        kinds: &[SqlType],
        answer: &mut Answer<'_>,
        next: &mut dyn FnMut() -> Result<Option<Vec<Value>>>,
    ) -> Result<u64> {
        let access = if bulk.table.place == Place::Temp {
            Access::Temporary
        } else {
            Access::Write
        };
        self.atomically(access, answer, |session, _| {
            let table = &bulk.table;
            let unnamed = table.columns.iter().filter(|column| {
                !column.nullable && bulk.columns.iter().all(|(named, _)| named.id != column.id)
            });
            let targets: Vec<Target> = bulk
                .columns
                .iter()
                .zip(first_then_rest(row_overhead(table)))
                .map(|((column, _), row_overhead)| Target {
                    row_overhead,
                    ..session.target(table, column, false)
                })
                .collect();
            let mut size = functions::RowSize::default();
            let missing: Vec<Target> = unnamed
                .map(|column| session.target(table, column, false))
                .collect();
            let names: Vec<String> = bulk
                .columns
                .iter()
                .map(|(column, _)| column.stored_name())
                .collect();
            let places: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
            let sql = format!(
                "INSERT INTO {}({}) VALUES ({})",
                table.stored,
                names.join(", "),
                places.join(", ")
            );
            let mut insert = session
                .connection
                .prepare(&sql)
                .map_err(|error| session.refusal(&error))?;
            let mut rows = 0;
            while let Some(row) = next()? {
                if let Some(missing) = missing.first() {
                    functions::store(Value::Null, missing.kind, missing)?;
                }
                let mut values = Vec::with_capacity(row.len());
                for ((value, kind), target) in row.into_iter().zip(kinds).zip(&targets) {
                    let value = functions::store(value, *kind, target)?;
                    size.add(&value, target)?;
                    values.push(stored(value));
                }
                if let Err(error) = insert.execute(params_from_iter(&values)) {
                    let key: Vec<i64> = table
                        .indexes
                        .iter()
                        .find(|index| index.unique)
                        .map(|index| index.columns.clone())
                        .unwrap_or_default();
                    let found: Vec<Value> = key
                        .iter()
                        .filter_map(|id| {
                            bulk.columns.iter().position(|(column, _)| column.id == *id)
                        })
                        .filter_map(|at| values.get(at))
                        .map(|value| functions::value(value.into()))
                        .collect();
                    return Err(if error.to_string().contains("UNIQUE constraint failed") {
                        duplicate_key(table, &session.facts.database, &key, &found)
                    } else {
                        session.refusal(&error)
                    });
                }
                rows += 1;
            }
            Ok(rows)
        })
    }
}
