//! Keys and indexes.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Key, Name};
use super::super::wire::answer::Answer;
use super::catalogue::{self, Index, Table, same_name};
use super::session::Session;

const MAX_KEY_COLUMNS: usize = 16;

impl Session {
    pub fn add_key(&mut self, table: &mut Table, key: &Key, answer: &mut Answer<'_>) -> Result<()> {
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
        let unique = (true, false);
        self.add_index(table, name, &key.columns, unique, key.primary, true, answer)
    }

    #[allow(clippy::too_many_arguments, reason = "the properties of an index")]
    fn add_index(
        &mut self,
        table: &mut Table,
        name: String,
        columns: &[String],
        (unique, ignores): (bool, bool),
        primary: bool,
        constraint: bool,
        answer: &mut Answer<'_>,
    ) -> Result<()> {
        if columns.len() > MAX_KEY_COLUMNS {
            return Err(SqlError::new(
                1904,
                16,
                format!(
                    "The index '{name}' on table '{}' has {} columns in the key list. The maximum limit for index key column list is {MAX_KEY_COLUMNS}.",
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
            ignores,
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
        unique: (bool, bool),
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
        self.remove_index(&table, index)
    }

    pub fn remove_index(&self, table: &Table, index: &Index) -> Result<()> {
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
}
