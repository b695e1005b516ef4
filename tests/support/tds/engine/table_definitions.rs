//! CREATE, ALTER, DROP and TRUNCATE.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{ColumnDefinition, Key, Name};
use super::super::wire::answer::Answer;
use super::super::wire::types::SqlType;
use super::catalogue::{self, Column, Place, Table, same_name, stored_name};
use super::session::Session;
use super::transactions::Access;

const MAX_COLUMNS: usize = 1024;

const MAX_ROW: i64 = 8060;

/// Of temporary tables, whose names get a number of the server's own at their end.
const MAX_TEMPORARY_NAME: usize = 116;

pub fn access(name: &Name) -> Access {
    if name.is_temporary() {
        Access::Temporary
    } else {
        Access::Write
    }
}

impl Session {
    fn place(&self, name: &Name) -> Result<Place> {
        if name.is_temporary() {
            if name.object.starts_with("##") {
                return Err(SqlError::beyond_this_server("global temporary tables"));
            }
            return Ok(Place::Temp);
        }
        if let Some(schema) = &name.schema
            && !same_name(schema, "dbo")
        {
            return Err(SqlError::new(
                2760,
                16,
                format!(
                    "The specified schema name \"{schema}\" either does not exist or you do not have permission to use it."
                ),
            ));
        }
        Ok(Place::Main)
    }

    /// The table of an ALTER or the like, which this user may change.
    pub fn alterable(&self, name: &Name) -> Result<Table> {
        let unknown = || {
            SqlError::new(
                4902,
                16,
                format!(
                    "Cannot find the object \"{}\" because it does not exist or you do not have permissions.",
                    name.display()
                ),
            )
        };
        let table = self.renderer().table(name).map_err(|_| unknown())?;
        if table.system {
            return Err(unknown());
        }
        if table.place == Place::Main {
            if !self.facts.rights.alter {
                return Err(SqlError::new(
                    1088,
                    16,
                    format!(
                        "Cannot find the object \"{}\" because it does not exist or you do not have permissions.",
                        name.display()
                    ),
                ));
            }
            self.check_writable()?;
        }
        Ok(table)
    }

    pub fn catalogue<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| self.refusal(&error))
    }

    pub fn create_table(
        &mut self,
        name: &Name,
        columns: &[ColumnDefinition],
        keys: &[Key],
        answer: &mut Answer<'_>,
    ) -> Result<()> {
        let place = self.place(name)?;
        if place == Place::Main && !self.facts.rights.create_table {
            return Err(SqlError::new(
                262,
                14,
                format!(
                    "CREATE TABLE permission denied in database '{}'.",
                    self.facts.database
                ),
            ));
        }
        if place == Place::Main {
            self.check_writable()?;
        } else if name.object.encode_utf16().count() > MAX_TEMPORARY_NAME {
            return Err(SqlError::new(
                193,
                15,
                format!(
                    "The object or column name starting with '{}' is too long. The maximum length is {MAX_TEMPORARY_NAME} characters.",
                    name.object
                ),
            ));
        }
        if self
            .catalogue(catalogue::find(&self.connection, place, &name.object))?
            .is_some()
        {
            return Err(SqlError {
                state: 6,
                ..SqlError::new(
                    2714,
                    16,
                    format!(
                        "There is already an object named '{}' in the database.",
                        name.object
                    ),
                )
            });
        }
        let id = self.catalogue(catalogue::add_table(&self.connection, place, &name.object))?;
        let mut table = Table {
            place,
            id,
            name: name.object.clone(),
            stored: stored_name(place, id),
            system: false,
            columns: Vec::new(),
            indexes: Vec::new(),
        };
        self.add(&mut table, columns, keys, true, answer)
    }

    pub fn add_columns(
        &mut self,
        name: &Name,
        columns: &[ColumnDefinition],
        keys: &[Key],
        answer: &mut Answer<'_>,
    ) -> Result<()> {
        let mut table = self.alterable(name)?;
        self.add(&mut table, columns, keys, false, answer)
    }

    fn add(
        &mut self,
        table: &mut Table,
        columns: &[ColumnDefinition],
        keys: &[Key],
        new: bool,
        answer: &mut Answer<'_>,
    ) -> Result<()> {
        let in_key = |name: &str| {
            keys.iter()
                .chain(columns.iter().filter_map(|c| c.key.as_ref()))
                .any(|key| key.primary && key.columns.iter().any(|c| same_name(c, name)))
        };
        if table.columns.len() + columns.len() > MAX_COLUMNS {
            return Err(SqlError::new(
                1702,
                16,
                format!(
                    "{} TABLE failed because column '{}' in table '{}' exceeds the maximum of {MAX_COLUMNS} columns.",
                    if new { "CREATE" } else { "ALTER" },
                    columns[MAX_COLUMNS - table.columns.len()].name,
                    table.name
                ),
            ));
        }
        for definition in columns {
            if table.column(&definition.name).is_some() {
                return Err(SqlError {
                    state: if new { 3 } else { 4 },
                    ..SqlError::new(
                        2705,
                        16,
                        format!(
                            "Column names in each table must be unique. Column name '{}' in table '{}' is specified more than once.",
                            definition.name, table.name
                        ),
                    )
                });
            }
            if in_key(&definition.name) && definition.nullable == Some(true) {
                return Err(SqlError::new(
                    8111,
                    16,
                    format!(
                        "Cannot define PRIMARY KEY constraint on nullable column in table '{}'.",
                        table.name
                    ),
                ));
            }
            let column = Column {
                id: self.catalogue(catalogue::next_column(
                    &self.connection,
                    table.place,
                    table.id,
                ))?,
                name: definition.name.clone(),
                kind: definition.kind,
                nullable: definition.nullable.unwrap_or(!in_key(&definition.name)),
            };
            if !new && !column.nullable && self.has_rows(table)? {
                return Err(SqlError::new(
                    4901,
                    16,
                    format!(
                        "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, or the column being added is an identity or timestamp column, or alternatively if none of the previous conditions are satisfied the table must be empty to allow addition of this column. Column '{}' cannot be added to non-empty table '{}' because it does not satisfy these conditions.",
                        column.name, table.name
                    ),
                ));
            }
            if !new {
                self.add_stored_column(table, &column)?;
            }
            self.catalogue(catalogue::put_column(
                &self.connection,
                table.place,
                table.id,
                &column,
            ))?;
            table.columns.push(column);
        }
        if new {
            let stored: Vec<String> = table
                .columns
                .iter()
                .map(|column| format!("{} {}", column.stored_name(), stored_collation(column.kind)))
                .collect();
            self.sqlite(&format!(
                "CREATE TABLE {}({})",
                table.stored,
                stored.join(", ")
            ))?;
        }
        check_row_size(table)?;
        for key in columns.iter().filter_map(|c| c.key.as_ref()).chain(keys) {
            self.add_key(table, key, answer)?;
        }
        Ok(())
    }

    pub fn add_stored_column(&self, table: &Table, column: &Column) -> Result<()> {
        let collation = stored_collation(column.kind);
        self.sqlite(&format!(
            "ALTER TABLE {} ADD COLUMN {} {collation}",
            table.stored,
            column.stored_name()
        ))
    }

    pub fn drop_columns(&mut self, name: &Name, columns: &[String]) -> Result<()> {
        let table = self.alterable(name)?;
        for dropped in columns {
            let column = table.column(dropped).ok_or_else(|| {
                SqlError::new(
                    4924,
                    16,
                    format!("ALTER TABLE DROP COLUMN failed because column '{dropped}' does not exist in table '{}'.", table.name),
                )
            })?;
            let index = (table.indexes.iter()).find(|index| index.columns.contains(&column.id));
            if let Some(index) = index {
                let what = if index.constraint { "object" } else { "index" };
                return Err(SqlError::new(
                    5074,
                    16,
                    format!(
                        "The {what} '{}' is dependent on column '{}'.",
                        index.name, column.name
                    ),
                ));
            }
            if table.columns.len() == 1 {
                return Err(SqlError::new(
                    4923,
                    16,
                    format!(
                        "ALTER TABLE DROP COLUMN failed because '{}' is the only data column in table '{}'. A table must have at least one data column.",
                        column.name, table.name
                    ),
                ));
            }
            self.sqlite(&format!(
                "ALTER TABLE {} DROP COLUMN {}",
                table.stored,
                column.stored_name()
            ))?;
            self.catalogue(catalogue::remove_column(
                &self.connection,
                &table,
                column.id,
            ))?;
        }
        Ok(())
    }

    /// sp_rename, of a table.
    pub fn rename_table(&mut self, name: &Name, new: &str) -> Result<()> {
        let table = (self.renderer().table(name).ok())
            .filter(|table| !table.system && table.place == Place::Main && self.facts.rights.alter)
            .ok_or_else(|| {
                SqlError::new(
                    15_225,
                    11,
                    format!(
                        "No item by the name of '{}' could be found in the current database '{}', given that @itemtype was input as '(null)'.",
                        name.display(),
                        self.facts.database
                    ),
                )
            })?;
        self.check_writable()?;
        if self
            .catalogue(catalogue::find(&self.connection, table.place, new))?
            .is_some()
        {
            return Err(SqlError::new(
                15_335,
                11,
                format!(
                    "Error: The new name '{new}' is already in use as a OBJECT name and would cause a duplicate that is not permitted."
                ),
            ));
        }
        self.catalogue(catalogue::rename_table(&self.connection, &table, new))
    }

    fn has_rows(&self, table: &Table) -> Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", table.stored);
        self.catalogue(self.connection.query_row(&sql, [], |row| row.get(0)))
    }

    pub fn drop_table(&mut self, name: &Name) -> Result<()> {
        let unknown = || SqlError {
            state: 5,
            ..SqlError::new(
                3701,
                11,
                format!(
                    "Cannot drop the table '{}', because it does not exist or you do not have permission.",
                    name.display()
                ),
            )
        };
        let table = self.renderer().table(name).map_err(|_| unknown())?;
        if table.system || (table.place == Place::Main && !self.facts.rights.alter) {
            return Err(unknown());
        }
        if table.place == Place::Main {
            self.check_writable()?;
        }
        self.sqlite(&format!("DROP TABLE {}", table.stored))?;
        self.catalogue(catalogue::remove_table(&self.connection, &table))
    }

    pub fn truncate(&mut self, name: &Name) -> Result<()> {
        let table = self.alterable(name).map_err(|error| match error.number {
            4902 => SqlError {
                number: 4701,
                ..error
            },
            _ => error,
        })?;
        self.sqlite(&format!("DELETE FROM {}", table.stored))
    }
}

pub fn stored_collation(kind: SqlType) -> &'static str {
    if kind.is_text() {
        "COLLATE tsql"
    } else if kind.is_exact_decimal() {
        "COLLATE tsql_decimal"
    } else {
        ""
    }
}

/// Columns of fixed length must fit into a row of 8,060 bytes, NULL or not.
pub fn check_row_size(table: &Table) -> Result<()> {
    let count = i64::try_from(table.columns.len()).expect("at most 1024");
    let fixed: i64 = table
        .columns
        .iter()
        .filter(|c| c.kind.is_fixed())
        .map(|c| c.kind.max_length())
        .sum();
    let overhead = 6 + (count + 7) / 8;
    if fixed + overhead > MAX_ROW {
        return Err(SqlError::new(
            1701,
            16,
            format!(
                "Creating or altering table '{}' failed because the minimum row size would be {}, including {overhead} bytes of internal overhead. This exceeds the maximum allowable table row size of {MAX_ROW} bytes.",
                table.name,
                fixed + overhead
            ),
        ));
    }
    Ok(())
}
