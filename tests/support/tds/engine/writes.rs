//! INSERT, UPDATE, DELETE and bulk loads.

use rusqlite::params_from_iter;

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Condition, Expr, From, InsertSource, Name, Source, Statement};
use super::super::wire::answer::Answer;
use super::super::wire::tokens::command;
use super::super::wire::types::SqlType;
use super::super::wire::values::Value;
use super::catalogue::{Column, Place, Table, same_name};
use super::functions::{self, Target, lock, stored};
use super::render::{Rendered, Renderer};
use super::session::Session;
use super::transactions::Access;

/// Where the rows of a bulk load go.
#[derive(Debug, Clone)]
pub struct BulkTarget {
    pub table: Table,
    /// In the order of the statement, with the types it named.
    pub columns: Vec<(Column, SqlType)>,
}

/// A write as SQLite's statement, and the rows it is made of.
struct Write {
    table: Table,
    sql: String,
    /// A SELECT of the new values, as `v1`, `v2` …, and the columns they are for.
    source: String,
    columns: Vec<i64>,
}

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

    fn run_write(&mut self, write: &Write) -> Result<u64> {
        match self.connection.execute(&write.sql, []) {
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
        let stored_key: Vec<String> = key.iter().map(|id| format!("c{id}")).collect();
        let list = values.join(", ");
        let sql = format!(
            "WITH source AS ({}) SELECT {list} FROM source GROUP BY {list} HAVING count(*) > 1 UNION ALL \
             SELECT {list} FROM source WHERE ({list}) IN (SELECT {} FROM {}) LIMIT 1",
            write.source,
            stored_key.join(", "),
            write.table.stored
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

    fn render_write(&self, statement: &Statement) -> Result<Write> {
        let mut renderer = self.renderer();
        match statement {
            Statement::Insert {
                table,
                columns,
                source,
            } => self.render_insert(&mut renderer, table, columns, source),
            Statement::Update {
                target,
                set,
                from,
                condition,
            } => self.render_update(
                &mut renderer,
                target,
                set,
                from.as_ref(),
                condition.as_ref(),
            ),
            Statement::Delete {
                target,
                from,
                condition,
            } => {
                let (table, rows) = self.target_rows(
                    &mut renderer,
                    target,
                    from.as_ref(),
                    condition.as_ref(),
                    |_, _| Ok(Vec::new()),
                )?;
                Ok(Write {
                    sql: format!("DELETE FROM {} WHERE rowid IN ({rows})", table.stored),
                    source: String::new(),
                    columns: Vec::new(),
                    table,
                })
            }
            _ => unreachable!("these are the three"),
        }
    }

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
        }
    }

    fn store(&self, value: &Rendered, target: Target) -> Result<String> {
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

    // ---- INSERT -------------------------------------------------------------------------------------------------

    fn render_insert(
        &self,
        renderer: &mut Renderer<'_>,
        table: &Name,
        columns: &[String],
        source: &InsertSource,
    ) -> Result<Write> {
        let table = renderer.table(table)?;
        let named = named_columns(&table, columns)?;
        let mut sources = Vec::new();
        match source {
            InsertSource::Values(rows) => {
                for row in rows {
                    check_count(named.len(), row.len(), true)?;
                    let mut values = Vec::new();
                    for value in row {
                        values.push(match value {
                            Some(value) => renderer.expression(value)?,
                            None => renderer.expression(&Expr::Null)?,
                        });
                    }
                    sources.push((values, String::new()));
                }
            }
            InsertSource::Defaults => sources.push((Vec::new(), String::new())),
            InsertSource::Query(query) => {
                let query = renderer.query(query)?;
                check_count(named.len(), query.columns.len(), false)?;
                let values = (1..)
                    .zip(&query.columns)
                    .map(|(at, column)| Rendered::new(format!("s.o{at}"), column.kind))
                    .collect();
                sources.push((values, format!(" FROM ({}) AS s", query.sql)));
            }
        }
        // Columns that are not named become NULL, which has to be allowed.
        let named = if *source == InsertSource::Defaults {
            Vec::new()
        } else {
            named
        };
        let unnamed: Vec<&Column> = table
            .columns
            .iter()
            .filter(|column| !column.nullable && named.iter().all(|n| n.id != column.id))
            .collect();
        let targets: Vec<usize> = {
            let mut shared = lock(&self.shared);
            named
                .iter()
                .chain(unnamed.iter().copied())
                .map(|column| shared.target_number(self.target(&table, column, false)))
                .collect()
        };
        let mut rows = Vec::new();
        for (values, from) in &sources {
            let mut items = Vec::new();
            let null = Rendered {
                is_null: true,
                ..Rendered::new("NULL", SqlType::Int)
            };
            let padded = values
                .iter()
                .chain(std::iter::repeat_n(&null, unnamed.len()));
            let all = named.iter().chain(unnamed.iter().copied());
            for ((at, value), (column, target)) in (1..).zip(padded).zip(all.zip(&targets)) {
                check_assignable(value, column.kind)?;
                let kind = if value.is_null {
                    column.kind
                } else {
                    value.kind
                };
                let from = lock(&self.shared).type_number(kind);
                items.push(format!(
                    "tsql_store({}, {from}, {target}) AS v{at}",
                    value.sql
                ));
            }
            rows.push(format!(
                "SELECT {}{from}",
                if items.is_empty() {
                    "NULL AS v1".to_owned()
                } else {
                    items.join(", ")
                }
            ));
        }
        let columns: Vec<i64> = named
            .iter()
            .map(|c| c.id)
            .chain(unnamed.iter().map(|c| c.id))
            .collect();
        let mut stored: Vec<String> = columns.iter().map(|id| format!("c{id}")).collect();
        if stored.is_empty() {
            stored.push(table.columns[0].stored_name());
        }
        // SQLite allows 500 terms of a compound SELECT, so more rows than that are nested.
        let halves: Vec<String> = rows
            .chunks(400)
            .map(|part| {
                if rows.len() > 400 {
                    format!("SELECT * FROM ({})", part.join(" UNION ALL "))
                } else {
                    part.join(" UNION ALL ")
                }
            })
            .collect();
        let source = halves.join(" UNION ALL ");
        Ok(Write {
            sql: format!(
                "INSERT INTO {}({}) {source}",
                table.stored,
                stored.join(", ")
            ),
            source,
            columns,
            table,
        })
    }

    // ---- UPDATE and DELETE ----------------------------------------------------------------------------------------

    fn render_update(
        &self,
        renderer: &mut Renderer<'_>,
        target: &Name,
        set: &[(String, Expr)],
        from: Option<&From>,
        condition: Option<&Condition>,
    ) -> Result<Write> {
        let mut columns = Vec::new();
        let (table, rows) = self.target_rows(renderer, target, from, condition, |renderer, table| {
            let mut items = Vec::new();
            for (name, value) in set {
                let column = table.column(name).ok_or_else(|| SqlError::no_such_column(name))?;
                if columns.contains(&column.id) {
                    return Err(SqlError::new(264, 16, format!("The column name '{name}' is specified more than once in the SET clause or column list of an INSERT.")));
                }
                columns.push(column.id);
                let value = renderer.expression(value)?;
                items.push(self.store(&value, self.target(table, column, true))?);
            }
            Ok(items)
        })?;
        let assignments: Vec<String> = (1..)
            .zip(&columns)
            .map(|(at, id)| format!("c{id} = u.v{at}"))
            .collect();
        Ok(Write {
            sql: format!(
                "UPDATE {} AS written SET {} FROM ({rows}) AS u WHERE written.rowid = u.row",
                table.stored,
                assignments.join(", ")
            ),
            source: rows,
            columns,
            table,
        })
    }

    /// The table and a SELECT of the rows to change: `row` is their number, `v1` … are the given values.
    fn target_rows(
        &self,
        renderer: &mut Renderer<'_>,
        target: &Name,
        from: Option<&From>,
        condition: Option<&Condition>,
        values: impl FnOnce(&mut Renderer<'_>, &Table) -> Result<Vec<String>>,
    ) -> Result<(Table, String)> {
        renderer.scopes.push(Vec::new());
        let alone = From {
            first: Source::Table {
                name: target.clone(),
                alias: None,
            },
            joins: Vec::new(),
        };
        let mut sql = renderer.from(from.unwrap_or(&alone))?;
        let position = |renderer: &Renderer<'_>| {
            let scope = renderer.scopes.last().expect("it was pushed");
            scope
                .iter()
                .position(|source| same_name(&source.alias, &target.object))
        };
        if position(renderer).is_none() {
            // UPDATE t … FROM s: t is joined to s by the condition alone.
            sql += &format!(", {}", renderer.from(&alone)?);
        }
        let at = position(renderer).expect("it is there now");
        let source = renderer.scopes.last().expect("it was pushed")[at].clone();
        let table = source
            .table
            .ok_or_else(|| SqlError::beyond_this_server("writing to a derived table"))?;
        let mut items = Vec::new();
        for (at, value) in (1..).zip(values(renderer, &table)?) {
            items.push(format!(", {value} AS v{at}"));
        }
        let condition = match condition {
            Some(condition) => format!(" WHERE {}", renderer.condition(condition)?),
            None => String::new(),
        };
        renderer.scopes.pop();
        let rows = format!(
            "SELECT {}.rowid AS row{} FROM {sql}{condition}",
            source.stored_alias,
            items.concat()
        );
        Ok((table, rows))
    }

    // ---- bulk load --------------------------------------------------------------------------------------------------

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
                .map(|(column, _)| session.target(table, column, false))
                .collect();
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
                    values.push(stored(functions::store(value, *kind, target)?));
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

fn duplicate_key(table: &Table, database: &str, key: &[i64], found: &[Value]) -> SqlError {
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

fn named_columns(table: &Table, names: &[String]) -> Result<Vec<Column>> {
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

fn check_count(columns: usize, values: usize, of_values: bool) -> Result<()> {
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
fn check_assignable(value: &Rendered, to: SqlType) -> Result<()> {
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
