//! CHECK constraints, looked at for each row that a statement writes. A rollback does not bring them back or take them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Condition, Name};
use super::catalogue::{Place, same_name};
use super::render::{ScopeColumn, ScopeTable};
use super::render_writes::Write;
use super::session::Session;

/// Those of all databases.
#[derive(Debug, Default)]
pub struct Checks(Mutex<Vec<Check>>);

#[derive(Debug, Clone)]
struct Check {
    database: String,
    /// `object_id` of its table.
    table: i64,
    name: String,
    condition: Condition,
}

impl Checks {
    fn list(&self) -> MutexGuard<'_, Vec<Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a constraint of the name `throw_50001` ends with: it is looked at for UPDATE only, as a trigger of that would be.
const OF_UPDATE: &str = "_update";

/// What is no trigger, but refuses rows as one does that throws: a constraint of the name `throw_50001`.
fn thrown_by(name: &str) -> Option<i32> {
    let number = name.strip_prefix("throw_")?;
    number
        .strip_suffix(OF_UPDATE)
        .unwrap_or(number)
        .parse()
        .ok()
}

impl Session {
    /// The values of the first row that does not fulfil a condition.
    fn refused_values(&self, source: &str, condition: &str) -> Result<String> {
        let sql = format!("SELECT n.* FROM ({source}) AS n WHERE NOT {condition} LIMIT 1");
        let values = |row: &rusqlite::Row<'_>| {
            let count = row.as_ref().column_count();
            (0..count)
                .map(|at| {
                    let value = row.get_ref(at)?;
                    let text = value.as_bytes().map(String::from_utf8_lossy);
                    Ok(text.map_or_else(|_| format!("{value:?}"), |text| text.into_owned()))
                })
                .collect::<rusqlite::Result<Vec<String>>>()
        };
        self.connection
            .query_row(&sql, [], values)
            .map(|values| format!("not this row: {}", values.join(", ")))
            .map_err(|error| self.refusal(&error))
    }

    pub fn add_check(&mut self, table: &Name, name: &str, condition: &Condition) -> Result<()> {
        let table = self.alterable(table)?;
        self.store.checks.list().push(Check {
            database: self.facts.database.clone(),
            table: table.id,
            name: name.to_owned(),
            condition: condition.clone(),
        });
        Ok(())
    }

    /// ALTER TABLE … DROP CONSTRAINT: a condition or a key.
    pub fn drop_constraint(&mut self, table: &Name, name: &str) -> Result<()> {
        let table = self.alterable(table)?;
        let key =
            (table.indexes.iter()).find(|index| index.constraint && same_name(&index.name, name));
        if let Some(key) = key {
            return self.remove_index(&table, key);
        }
        let database = &self.facts.database;
        let mut checks = self.store.checks.list();
        let before = checks.len();
        checks.retain(|check| {
            check.database != *database || check.table != table.id || !same_name(&check.name, name)
        });
        if checks.len() == before {
            return Err(SqlError::new(
                3728,
                16,
                format!("'{name}' is not a constraint."),
            ));
        }
        Ok(())
    }

    /// Error 547 where a row that is written does not fulfil a condition. Columns that the statement does not write
    /// have fulfilled it before.
    pub fn check_rows(&self, write: &Write) -> Result<()> {
        if write.table.place == Place::Temp || write.columns.is_empty() {
            return Ok(());
        }
        let checks: Vec<Check> = (self.store.checks.list().iter())
            .filter(|check| check.database == self.facts.database && check.table == write.table.id)
            .filter(|check| !check.name.ends_with(OF_UPDATE) || write.sql.starts_with("UPDATE"))
            .cloned()
            .collect();
        for check in checks {
            let mut renderer = self.renderer();
            let columns = (1..).zip(&write.columns).filter_map(|(at, id)| {
                let column = write.table.columns.iter().find(|column| column.id == *id)?;
                Some(ScopeColumn {
                    name: column.name.clone(),
                    stored: format!("v{at}"),
                    kind: column.kind,
                    nullable: column.nullable,
                })
            });
            renderer.scopes.push(vec![ScopeTable {
                alias: "n".to_owned(),
                stored_alias: "n".to_owned(),
                columns: columns.collect(),
                table: None,
            }]);
            let condition = match renderer.condition(&check.condition) {
                Ok(condition) => condition,
                Err(error) if error.number == 207 => continue,
                Err(error) => return Err(error),
            };
            let sql = format!(
                "SELECT EXISTS(SELECT 1 FROM ({}) AS n WHERE NOT {condition})",
                write.source
            );
            let violated: bool = self
                .connection
                .query_row(&sql, [], |row| row.get(0))
                .map_err(|error| self.refusal(&error))?;
            if violated {
                if let Some(number) = thrown_by(&check.name) {
                    return Err(SqlError::new(
                        number,
                        16,
                        self.refused_values(&write.source, &condition)?,
                    ));
                }
                return Err(SqlError::new(
                    547,
                    16,
                    format!(
                        "The INSERT statement conflicted with the CHECK constraint \"{}\". The conflict occurred in database \"{}\", table \"dbo.{}\".",
                        check.name, self.facts.database, write.table.name
                    ),
                ));
            }
        }
        Ok(())
    }
}
