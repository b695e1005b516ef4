//! INSERT, UPDATE, DELETE and bulk loads.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{From, InsertSource, Name, Source, Statement};
use super::super::wire::answer::Answer;
use super::super::wire::tokens::command;
use super::super::wire::values::Value;
use super::catalogue::{Place, Table, same_name};
use super::functions::{self, lock};
use super::render_writes::Write;
use super::session::Session;
use super::transactions::Access;

impl Session {
    pub fn write(&mut self, statement: &Statement, answer: &mut Answer<'_>) -> Result<()> {
        let (name, what, code) = match statement {
            Statement::Insert { table, .. } => {
                (self.written(table, None), "INSERT", command::INSERT)
            }
            Statement::Update { target, from, .. } => (
                self.written(target, from.as_ref()),
                "UPDATE",
                command::UPDATE,
            ),
            Statement::Delete { target, from, .. } => (
                self.written(target, from.as_ref()),
                "DELETE",
                command::DELETE,
            ),
            _ => unreachable!("these are the three"),
        };
        let access = if name.is_temporary() {
            self.access_of_temporary(statement)
        } else {
            Access::Write
        };
        let rows = self.atomically(access, answer, |session, _| {
            let write = session.render_write(statement)?;
            session.check_right_to_write(&write.table, what)?;
            session.run_write(&write)
        })?;
        self.counted(code, rows, answer);
        Ok(())
    }

    fn access_of_temporary(&self, statement: &Statement) -> Access {
        match statement {
            Statement::Insert {
                source: InsertSource::Values(_) | InsertSource::Defaults,
                ..
            }
            | Statement::Delete {
                from: None,
                condition: None,
                ..
            } => Access::Temporary,
            _ => Access::Read,
        }
    }

    /// The table that is written to, where the statement may call it by an alias.
    fn written(&self, target: &Name, from: Option<&From>) -> Name {
        let alias_of = |source: &Source| match source {
            Source::Table {
                name,
                alias: Some(alias),
            } if target.schema.is_none() && same_name(alias, &target.object) => Some(name.clone()),
            _ => None,
        };
        from.and_then(|from| {
            alias_of(&from.first)
                .or_else(|| from.joins.iter().find_map(|join| alias_of(&join.source)))
        })
        .unwrap_or_else(|| target.clone())
    }

    /// Whether names are right, before anything runs.
    pub fn check_write_names(&self, statement: &Statement) -> Result<()> {
        if matches!(
            statement,
            Statement::Insert { .. } | Statement::Update { .. } | Statement::Delete { .. }
        ) {
            let checked = self.render_write(statement).map(drop);
            lock(&self.shared).clear();
            return checked;
        }
        Ok(())
    }

    pub fn check_right_to_write(&self, table: &Table, what: &str) -> Result<()> {
        if table.system {
            return Err(SqlError::new(
                259,
                16,
                "Ad hoc updates to system catalogs are not allowed.",
            ));
        }
        if table.place == Place::Temp {
            return Ok(());
        }
        if !self.facts.rights.write {
            return Err(SqlError {
                state: 5,
                ..SqlError::new(
                    229,
                    14,
                    format!(
                        "The {what} permission was denied on the object '{}', database '{}', schema 'dbo'.",
                        table.name, self.facts.database
                    ),
                )
            });
        }
        self.check_writable()
    }

    pub fn check_writable(&self) -> Result<()> {
        if self.facts.read_only {
            return Err(SqlError::new(
                3906,
                16,
                format!(
                    "Failed to update database \"{}\" because the database is read-only.",
                    self.facts.database
                ),
            ));
        }
        Ok(())
    }

    /// An INSERT inside something that is atomic already.
    pub fn write_within(&mut self, statement: &Statement) -> Result<u64> {
        let write = self.render_write(statement)?;
        self.check_right_to_write(&write.table, "INSERT")?;
        self.run_write(&write)
    }

    pub fn run_write(&mut self, write: &Write) -> Result<u64> {
        self.check_rows(write)?;
        let mut sql = write.sql.clone();
        if write.table.indexes.iter().any(|index| index.ignores) {
            sql = sql.replacen("INSERT INTO", "INSERT OR IGNORE INTO", 1);
        }
        match self.connection.execute(&sql, []) {
            Ok(rows) => Ok(rows as u64),
            Err(error) => Err(self.write_refusal(&error, write)),
        }
    }

    fn write_refusal(&self, error: &rusqlite::Error, write: &Write) -> SqlError {
        let text = error.to_string();
        if let Some(failed) = text.split("UNIQUE constraint failed: ").nth(1)
            && lock(&self.shared).take_error().is_none()
        {
            let columns: Vec<i64> = failed
                .split(", ")
                .filter_map(|column| {
                    let digits = column.split(".c").nth(1)?;
                    digits
                        .split(|c: char| !c.is_ascii_digit())
                        .next()?
                        .parse()
                        .ok()
                })
                .collect();
            return self.duplicate(write, &columns);
        }
        self.refusal(error)
    }

    /// Error 2627 or 2601 with the key that is there twice.
    fn duplicate(&self, write: &Write, key: &[i64]) -> SqlError {
        let values: Vec<String> = key
            .iter()
            .filter_map(|id| write.columns.iter().position(|column| column == id))
            .map(|at| format!("v{}", at + 1))
            .collect();
        let list = values.join(", ");
        let equal: Vec<String> = values
            .iter()
            .zip(key)
            .map(|(value, id)| format!("{value} COLLATE tsql = c{id}"))
            .collect();
        let collated: Vec<String> = values
            .iter()
            .map(|value| format!("{value} COLLATE tsql"))
            .collect();
        let sql = format!(
            "WITH source AS ({}) SELECT {list} FROM source GROUP BY {} HAVING count(*) > 1 UNION ALL \
             SELECT {list} FROM source WHERE EXISTS (SELECT 1 FROM {} WHERE {}) LIMIT 1",
            write.source,
            collated.join(", "),
            write.table.stored,
            equal.join(" AND ")
        );
        let found = self
            .connection
            .query_row(&sql, [], |row| {
                (0..values.len())
                    .map(|at| Ok(functions::value(row.get_ref(at)?)))
                    .collect::<rusqlite::Result<Vec<Value>>>()
            })
            .unwrap_or_default();
        duplicate_key(&write.table, &self.facts.database, key, &found)
    }
}

pub fn duplicate_key(table: &Table, database: &str, key: &[i64], found: &[Value]) -> SqlError {
    let values: Vec<String> = found
        .iter()
        .map(|value| match value {
            Value::Null => "<NULL>".to_owned(),
            Value::Text(text) => text.clone(),
            other => super::render::literal(other),
        })
        .collect();
    let value = values.join(", ");
    let object = match table.place {
        Place::Main => format!("dbo.{}", table.name),
        Place::Temp => table.full_name(database),
    };
    let index = table
        .indexes
        .iter()
        .find(|index| index.unique && index.columns == key);
    match index {
        Some(index) if index.constraint => SqlError::new(
            2627,
            14,
            format!(
                "Violation of {} KEY constraint '{}'. Cannot insert duplicate key in object '{object}'. The duplicate key value is ({value}).",
                if index.primary { "PRIMARY" } else { "UNIQUE" },
                index.name
            ),
        ),
        _ => SqlError::new(
            2601,
            14,
            format!(
                "Cannot insert duplicate key row in object '{object}' with unique index '{}'. The duplicate key value is ({value}).",
                index.map_or("", |index| index.name.as_str())
            ),
        ),
    }
}
