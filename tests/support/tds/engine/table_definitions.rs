//! CREATE, ALTER, DROP and TRUNCATE.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{ColumnDefinition, Key, Name};
use super::super::wire::answer::Answer;
use super::super::wire::types::SqlType;
use super::catalogue::{self, Column, Index, Place, Table, same_name, stored_name};
use super::functions::lock;
use super::session::Session;
use super::transactions::Access;

const MOST_COLUMNS: usize = 1024;
const LONGEST_ROW: i64 = 8060;
const MOST_KEY_COLUMNS: usize = 16;
/// Of temporary tables, whose names get a number of the server's own at their end.
const LONGEST_TEMPORARY_NAME: usize = 116;

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
    fn alterable(&self, name: &Name) -> Result<Table> {
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

    fn catalogue<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
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
        } else if name.object.encode_utf16().count() > LONGEST_TEMPORARY_NAME {
            return Err(SqlError::new(
                193,
                15,
                format!(
                    "The object or column name starting with '{}' is too long. The maximum length is {LONGEST_TEMPORARY_NAME} characters.",
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
        // SQLite wants a column; this one is nobody's.
        self.sqlite(&format!("CREATE TABLE {}(filler)", table.stored))?;
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
        if table.columns.len() + columns.len() > MOST_COLUMNS {
            return Err(SqlError::new(
                1702,
                16,
                format!(
                    "{} TABLE failed because column '{}' in table '{}' exceeds the maximum of {MOST_COLUMNS} columns.",
                    if new { "CREATE" } else { "ALTER" },
                    columns[MOST_COLUMNS - table.columns.len()].name,
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
                id: table.columns.iter().map(|c| c.id).max().unwrap_or(0) + 1,
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
            self.add_stored_column(table, &column)?;
            self.catalogue(catalogue::put_column(
                &self.connection,
                table.place,
                table.id,
                &column,
            ))?;
            table.columns.push(column);
        }
        check_row_size(table)?;
        for key in columns.iter().filter_map(|c| c.key.as_ref()).chain(keys) {
            self.add_key(table, key, answer)?;
        }
        Ok(())
    }

    fn add_stored_column(&self, table: &Table, column: &Column) -> Result<()> {
        let collation = stored_collation(column.kind);
        self.sqlite(&format!(
            "ALTER TABLE {} ADD COLUMN {} {collation}",
            table.stored,
            column.stored_name()
        ))
    }

    fn has_rows(&self, table: &Table) -> Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", table.stored);
        self.catalogue(self.connection.query_row(&sql, [], |row| row.get(0)))
    }

    fn add_key(&mut self, table: &mut Table, key: &Key, answer: &mut Answer<'_>) -> Result<()> {
        if key.primary && table.indexes.iter().any(|index| index.primary) {
            return Err(SqlError::new(
                8110,
                16,
                format!(
                    "Cannot add multiple PRIMARY KEY constraints to table '{}'.",
                    table.name
                ),
            ));
        }
        let prefix = if key.primary { "PK" } else { "UQ" };
        let name = key.name.clone().unwrap_or_else(|| {
            let start: String = table.name.chars().take(9).collect();
            format!(
                "{prefix}__{start}__{:08X}{:08X}",
                table.id.wrapping_mul(0x9E37_79B1) & 0xffff_ffff,
                table.indexes.len() + 1
            )
        });
        if key.primary {
            for column in &key.columns {
                if table.column(column).is_some_and(|column| column.nullable) {
                    return Err(SqlError::new(
                        8111,
                        16,
                        format!(
                            "Cannot define PRIMARY KEY constraint on nullable column in table '{}'.",
                            table.name
                        ),
                    ));
                }
            }
        }
        self.add_index(table, name, &key.columns, true, key.primary, true, answer)
    }

    #[allow(clippy::too_many_arguments, reason = "the properties of an index")]
    fn add_index(
        &mut self,
        table: &mut Table,
        name: String,
        columns: &[String],
        unique: bool,
        primary: bool,
        constraint: bool,
        answer: &mut Answer<'_>,
    ) -> Result<()> {
        if columns.len() > MOST_KEY_COLUMNS {
            return Err(SqlError::new(
                1904,
                16,
                format!(
                    "The index '{name}' on table '{}' has {} columns in the key list. The maximum limit for index key column list is {MOST_KEY_COLUMNS}.",
                    table.name,
                    columns.len()
                ),
            ));
        }
        let id = if primary {
            1
        } else {
            table
                .indexes
                .iter()
                .map(|index| index.id)
                .max()
                .unwrap_or(1)
                .max(1)
                + 1
        };
        let longest = self.facts.version.longest_key(primary);
        let mut ids = Vec::new();
        let (mut fixed, mut most) = (0_i64, 0_i64);
        for column in columns {
            let column = table.column(column).ok_or_else(|| {
                SqlError::new(
                    1911,
                    16,
                    format!("Column name '{column}' does not exist in the target table or view."),
                )
            })?;
            if column.kind.is_large() {
                return Err(SqlError::new(
                    1919,
                    16,
                    format!(
                        "Column '{}' in table '{}' is of a type that is invalid for use as a key column in an index.",
                        column.name, table.name
                    ),
                ));
            }
            if ids.contains(&column.id) {
                return Err(SqlError::new(
                    1909,
                    16,
                    format!(
                        "Cannot use duplicate column names in index. Column name '{}' listed more than once.",
                        column.name
                    ),
                ));
            }
            ids.push(column.id);
            most += column.kind.max_length();
            if column.kind.is_fixed() {
                fixed += column.kind.max_length();
            }
        }
        let limit = i64::try_from(longest).expect("900 or 1700");
        if fixed > limit {
            return Err(SqlError::new(
                1944,
                16,
                format!(
                    "Index '{name}' was not created. This index has a key length of at least {fixed} bytes. The maximum permissible key length is {limit} bytes."
                ),
            ));
        }
        if most > limit {
            let warning = SqlError::new(
                1945,
                0,
                format!(
                    "Warning! The maximum key length is {limit} bytes. The index '{name}' has maximum length of {most} bytes. For some combination of large values, the insert/update operation will fail."
                ),
            );
            answer.message(&warning, 1);
            self.check_present_keys(table, &ids, &name, longest)?;
        }
        let index = Index {
            id,
            name,
            unique,
            primary,
            constraint,
            columns: ids,
        };
        let stored: Vec<String> = index.columns.iter().map(|id| format!("c{id}")).collect();
        let sql = format!(
            "CREATE {} INDEX {}.i{}_{} ON t{}({})",
            if unique { "UNIQUE" } else { "" },
            table.place.name(),
            table.id,
            index.id,
            table.id,
            stored.join(", ")
        );
        if let Err(error) = self.connection.execute_batch(&sql) {
            if error.to_string().contains("UNIQUE constraint failed") {
                return Err(SqlError::new(
                    1505,
                    16,
                    format!(
                        "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name 'dbo.{}' and the index name '{}'.",
                        table.name, index.name
                    ),
                ));
            }
            return Err(self.refusal(&error));
        }
        self.catalogue(catalogue::add_index(
            &self.connection,
            table.place,
            table.id,
            &index,
        ))?;
        table.indexes.push(index);
        Ok(())
    }

    fn check_present_keys(
        &self,
        table: &Table,
        ids: &[i64],
        name: &str,
        longest: usize,
    ) -> Result<()> {
        let lengths: Vec<String> = ids
            .iter()
            .map(|id| format!("2 * coalesce(length(c{id}), 0)"))
            .collect();
        let sql = format!("SELECT max({}) FROM {}", lengths.join(" + "), table.stored);
        let most: Option<i64> =
            self.catalogue(self.connection.query_row(&sql, [], |row| row.get(0)))?;
        match most.map(usize::try_from) {
            Some(Ok(most)) if most > longest => Err(SqlError::new(
                1946,
                16,
                format!(
                    "Operation failed. The index entry of length {most} bytes for the index '{name}' exceeds the maximum length of {longest} bytes."
                ),
            )),
            _ => Ok(()),
        }
    }

    pub fn create_index(
        &mut self,
        name: &str,
        table: &Name,
        columns: &[String],
        unique: bool,
        answer: &mut Answer<'_>,
    ) -> Result<()> {
        let mut found = self.alterable(table).map_err(|error| match error.number {
            4902 => SqlError {
                number: 1088,
                ..error
            },
            _ => error,
        })?;
        if found
            .indexes
            .iter()
            .any(|index| same_name(&index.name, name))
        {
            return Err(SqlError::new(
                1913,
                16,
                format!(
                    "The operation failed because an index or statistics with name '{name}' already exists on table '{}'.",
                    table.display()
                ),
            ));
        }
        self.add_index(
            &mut found,
            name.to_owned(),
            columns,
            unique,
            false,
            false,
            answer,
        )
    }

    pub fn drop_index(&mut self, name: &str, table: &Name) -> Result<()> {
        let unknown = || {
            SqlError::new(
                3701,
                11,
                format!(
                    "Cannot drop the index '{}.{name}', because it does not exist or you do not have permission.",
                    table.display()
                ),
            )
        };
        let table = self.alterable(table).map_err(|_| unknown())?;
        let index = table
            .indexes
            .iter()
            .find(|index| same_name(&index.name, name))
            .ok_or_else(unknown)?;
        if index.constraint {
            return Err(SqlError::new(
                3723,
                16,
                format!(
                    "An explicit DROP INDEX is not allowed on index '{}.{name}'. It is being used for PRIMARY KEY constraint enforcement.",
                    table.name
                ),
            ));
        }
        self.sqlite(&format!(
            "DROP INDEX {}.i{}_{}",
            table.place.name(),
            table.id,
            index.id
        ))?;
        self.catalogue(catalogue::remove_index(
            &self.connection,
            table.place,
            table.id,
            index.id,
        ))
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

    pub fn alter_column(&mut self, name: &Name, definition: &ColumnDefinition) -> Result<()> {
        let table = self.alterable(name)?;
        let old = table.column(&definition.name).cloned().ok_or_else(|| {
            SqlError::new(
                4924,
                16,
                format!("ALTER TABLE ALTER COLUMN failed because column '{}' does not exist in table '{}'.", definition.name, table.name),
            )
        })?;
        let new = Column {
            kind: definition.kind,
            // Nothing said means NULL, whatever it was before.
            nullable: definition.nullable.unwrap_or(true),
            ..old.clone()
        };
        for index in table
            .indexes
            .iter()
            .filter(|index| index.columns.contains(&old.id))
        {
            let widens = std::mem::discriminant(&old.kind) == std::mem::discriminant(&new.kind)
                && !old.kind.is_fixed()
                && new.kind.capacity() >= old.kind.capacity()
                && new.kind.capacity().is_some()
                && new.nullable == old.nullable;
            if index.primary || !widens {
                let what = if index.constraint { "object" } else { "index" };
                return Err(SqlError::new(
                    5074,
                    16,
                    format!(
                        "The {what} '{}' is dependent on column '{}'.",
                        index.name, old.name
                    ),
                ));
            }
        }
        let legacy = |kind| matches!(kind, SqlType::Text | SqlType::NText);
        if legacy(new.kind) || (legacy(old.kind) && !(new.kind.is_text() && new.kind.is_large())) {
            return Err(SqlError::new(
                4927,
                16,
                format!(
                    "Cannot alter column '{}' to be data type {}.",
                    old.name,
                    new.kind.name()
                ),
            ));
        }
        let mut altered = table.clone();
        for column in &mut altered.columns {
            if column.id == old.id {
                *column = new.clone();
            }
        }
        check_row_size(&altered)?;
        let (from, target) = {
            let mut shared = lock(&self.shared);
            (
                shared.type_number(old.kind),
                shared.target_number(self.target(&altered, &new, true)),
            )
        };
        let stored = new.stored_name();
        if stored_collation(old.kind) == stored_collation(new.kind) {
            self.sqlite(&format!(
                "UPDATE {} SET {stored} = tsql_store({stored}, {from}, {target})",
                table.stored
            ))?;
        } else {
            self.sqlite(&format!(
                "ALTER TABLE {} RENAME COLUMN {stored} TO former",
                table.stored
            ))?;
            self.add_stored_column(&table, &new)?;
            self.sqlite(&format!(
                "UPDATE {} SET {stored} = tsql_store(former, {from}, {target})",
                table.stored
            ))?;
            self.sqlite(&format!("ALTER TABLE {} DROP COLUMN former", table.stored))?;
        }
        self.catalogue(catalogue::put_column(
            &self.connection,
            table.place,
            table.id,
            &new,
        ))
    }
}

fn stored_collation(kind: SqlType) -> &'static str {
    if kind.is_text() {
        "COLLATE tsql"
    } else if kind.is_exact_decimal() {
        "COLLATE tsql_decimal"
    } else {
        ""
    }
}

/// Columns of fixed length must fit into a row of 8,060 bytes, NULL or not.
fn check_row_size(table: &Table) -> Result<()> {
    let count = i64::try_from(table.columns.len()).expect("at most 1024");
    let fixed: i64 = table
        .columns
        .iter()
        .filter(|c| c.kind.is_fixed())
        .map(|c| c.kind.max_length())
        .sum();
    let overhead = 6 + (count + 7) / 8;
    if fixed + overhead > LONGEST_ROW {
        return Err(SqlError::new(
            1701,
            16,
            format!(
                "Creating or altering table '{}' failed because the minimum row size would be {}, including {overhead} bytes of internal overhead. This exceeds the maximum allowable table row size of {LONGEST_ROW} bytes.",
                table.name,
                fixed + overhead
            ),
        ));
    }
    Ok(())
}
