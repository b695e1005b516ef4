//! ALTER TABLE … ALTER COLUMN.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{ColumnDefinition, Name};
use super::super::wire::types::SqlType;
use super::catalogue::{self, Column};
use super::functions::lock;
use super::session::Session;
use super::table_definitions::{check_row_size, stored_collation};

impl Session {
    pub fn alter_column(&mut self, name: &Name, definition: &ColumnDefinition) -> Result<()> {
        let table = self.alterable(name)?;
        if self.options.compatible && definition.nullable.is_some() {
            return Err(SqlError::new(
                33_557_097,
                16,
                "'NULL in ALTER TABLE ALTER COLUMN' is not currently supported",
            ));
        }
        let old = table.column(&definition.name).cloned().ok_or_else(|| {
            SqlError::new(
                4924,
                16,
                format!("ALTER TABLE ALTER COLUMN failed because column '{}' does not exist in table '{}'.", definition.name, table.name),
            )
        })?;
        let new = Column {
            kind: definition.kind,
            // Nothing said means NULL, whatever it was before; but what is only compatible leaves it as it was.
            nullable: (definition.nullable).unwrap_or(!self.options.compatible || old.nullable),
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
