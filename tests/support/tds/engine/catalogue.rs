//! What tables there are: the server's own catalogue, kept in SQLite beside the tables so that a rollback undoes it.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::wire::types::{Length, SqlType};

/// Where a table lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The database; the name is SQLite's.
    Main,
    /// tempdb: the session's own.
    Temp,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Place::Main => "main",
            Place::Temp => "temp",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// `column_id`, counted from 1 and never given twice.
    pub id: i64,
    pub name: String,
    pub kind: SqlType,
    pub nullable: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    pub id: i64,
    pub name: String,
    pub unique: bool,
    /// A row whose key is there already is left out without an error.
    pub ignores: bool,
    pub primary: bool,
    /// Made by a constraint.
    pub constraint: bool,
    /// `column_id`s.
    pub columns: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub place: Place,
    pub id: i64,
    pub name: String,
    /// Its name in SQLite.
    pub stored: String,
    /// One of the server's own views.
    pub system: bool,
    pub columns: Vec<Column>,
    pub indexes: Vec<Index>,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|column| same_name(&column.name, name))
    }

    /// As messages quote it.
    pub fn full_name(&self, database: &str) -> String {
        match self.place {
            Place::Main => format!("{database}.dbo.{}", self.name),
            Place::Temp => format!("tempdb.dbo.{}", self.name),
        }
    }
}

impl Column {
    pub fn stored_name(&self) -> String {
        format!("c{}", self.id)
    }
}

/// What the table of this number is called in SQLite.
pub fn stored_name(place: Place, id: i64) -> String {
    format!("{}.t{id}", place.name())
}

/// Names are compared as texts are: without case.
pub fn same_name(left: &str, right: &str) -> bool {
    super::collation::compare(left, right).is_eq()
}

/// The catalogue's tables, empty.
pub fn create(connection: &Connection, place: Place) -> rusqlite::Result<()> {
    let place = place.name();
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {place}.tds_objects(object_id INTEGER PRIMARY KEY AUTOINCREMENT,
           name TEXT NOT NULL COLLATE tsql UNIQUE, columns_made INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f','now')));
         CREATE TABLE IF NOT EXISTS {place}.tds_columns(object_id INTEGER NOT NULL, column_id INTEGER NOT NULL,
           name TEXT NOT NULL COLLATE tsql, type TEXT NOT NULL, length INTEGER NOT NULL, precision INTEGER NOT NULL,
           scale INTEGER NOT NULL, nullable INTEGER NOT NULL, PRIMARY KEY(object_id, column_id));
         CREATE TABLE IF NOT EXISTS {place}.tds_indexes(object_id INTEGER NOT NULL, index_id INTEGER NOT NULL,
           name TEXT NOT NULL COLLATE tsql, uniq INTEGER NOT NULL, prim INTEGER NOT NULL, cons INTEGER NOT NULL,
           PRIMARY KEY(object_id, index_id));
         CREATE TABLE IF NOT EXISTS {place}.tds_index_columns(object_id INTEGER NOT NULL, index_id INTEGER NOT NULL,
           position INTEGER NOT NULL, column_id INTEGER NOT NULL, PRIMARY KEY(object_id, index_id, position));"
    ))
}

/// The table of this name.
pub fn find(connection: &Connection, place: Place, name: &str) -> rusqlite::Result<Option<Table>> {
    let schema = place.name();
    let found: Option<(i64, String)> = connection
        .prepare_cached(&format!(
            "SELECT object_id, name FROM {schema}.tds_objects WHERE name = ?1"
        ))?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, name)) = found else {
        return Ok(None);
    };
    let columns = connection
        .prepare_cached(&format!(
            "SELECT column_id, name, type, length, precision, scale, nullable
             FROM {schema}.tds_columns WHERE object_id = ?1 ORDER BY column_id"
        ))?
        .query_map([id], |row| {
            Ok(Column {
                id: row.get(0)?,
                name: row.get(1)?,
                kind: kind(
                    &row.get::<_, String>(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                ),
                nullable: row.get(6)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut indexes: Vec<Index> = connection
        .prepare_cached(&format!(
            "SELECT index_id, name, uniq, prim, cons FROM {schema}.tds_indexes WHERE object_id = ?1 ORDER BY index_id"
        ))?
        .query_map([id], |row| {
            Ok(Index {
                id: row.get(0)?,
                name: row.get(1)?,
                unique: row.get(2)?,
                ignores: row.get::<_, i64>(2)? == 2,
                primary: row.get(3)?,
                constraint: row.get(4)?,
                columns: Vec::new(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    for index in &mut indexes {
        index.columns = connection
            .prepare_cached(&format!(
                "SELECT column_id FROM {schema}.tds_index_columns WHERE object_id = ?1 AND index_id = ?2 ORDER BY position"
            ))?
            .query_map([id, index.id], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
    }
    Ok(Some(Table {
        place,
        id,
        stored: stored_name(place, id),
        system: false,
        name,
        columns,
        indexes,
    }))
}

/// Notes a new table without columns; returns its id.
pub fn add_table(connection: &Connection, place: Place, name: &str) -> rusqlite::Result<i64> {
    let place = place.name();
    connection.execute(
        &format!("INSERT INTO {place}.tds_objects(name) VALUES (?1)"),
        [name],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Gives a table another name.
pub fn rename_table(connection: &Connection, table: &Table, name: &str) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE {}.tds_objects SET name = ?2 WHERE object_id = ?1",
        table.place.name()
    );
    (connection.execute(&sql, params![table.id, name])).map(drop)
}

/// The `column_id` of the column that is made next: none of one that was dropped.
pub fn next_column(connection: &Connection, place: Place, table: i64) -> rusqlite::Result<i64> {
    let sql = format!(
        "UPDATE {}.tds_objects SET columns_made = columns_made + 1 WHERE object_id = ?1 RETURNING columns_made",
        place.name()
    );
    connection.query_row(&sql, [table], |row| row.get(0))
}

pub fn remove_column(connection: &Connection, table: &Table, column: i64) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM {}.tds_columns WHERE object_id = ?1 AND column_id = ?2",
        table.place.name()
    );
    connection.execute(&sql, [table.id, column]).map(drop)
}

/// Notes a column; an existing one of the same id is replaced.
pub fn put_column(
    connection: &Connection,
    place: Place,
    table: i64,
    column: &Column,
) -> rusqlite::Result<()> {
    let (precision, scale) = precision_and_scale(column.kind);
    connection
        .execute(
            &format!(
                "REPLACE INTO {}.tds_columns VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                place.name()
            ),
            params![
                table,
                column.id,
                column.name,
                column.kind.name(),
                column.kind.max_length(),
                precision,
                scale,
                column.nullable
            ],
        )
        .map(drop)
}

pub fn add_index(
    connection: &Connection,
    place: Place,
    table: i64,
    index: &Index,
) -> rusqlite::Result<()> {
    let place = place.name();
    connection.execute(
        &format!("INSERT INTO {place}.tds_indexes VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
        params![
            table,
            index.id,
            index.name,
            i64::from(index.unique) + i64::from(index.ignores),
            index.primary,
            index.constraint
        ],
    )?;
    for (position, column) in (1_i64..).zip(&index.columns) {
        connection.execute(
            &format!("INSERT INTO {place}.tds_index_columns VALUES (?1, ?2, ?3, ?4)"),
            params![table, index.id, position, column],
        )?;
    }
    Ok(())
}

pub fn remove_index(
    connection: &Connection,
    place: Place,
    table: i64,
    index: i64,
) -> rusqlite::Result<()> {
    let place = place.name();
    for part in ["tds_indexes", "tds_index_columns"] {
        connection.execute(
            &format!("DELETE FROM {place}.{part} WHERE object_id = ?1 AND index_id = ?2"),
            [table, index],
        )?;
    }
    Ok(())
}

pub fn remove_table(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    let place = table.place.name();
    for part in [
        "tds_objects",
        "tds_columns",
        "tds_indexes",
        "tds_index_columns",
    ] {
        connection.execute(
            &format!("DELETE FROM {place}.{part} WHERE object_id = ?1"),
            [table.id],
        )?;
    }
    Ok(())
}

/// `precision` and `scale` of `sys.columns`.
fn precision_and_scale(kind: SqlType) -> (u8, u8) {
    match kind {
        SqlType::Bit => (1, 0),
        SqlType::TinyInt => (3, 0),
        SqlType::SmallInt => (5, 0),
        SqlType::Int => (10, 0),
        SqlType::BigInt => (19, 0),
        SqlType::Real => (24, 0),
        SqlType::Float => (53, 0),
        SqlType::Decimal(precision, scale) | SqlType::Numeric(precision, scale) => {
            (precision, scale)
        }
        SqlType::Date => (10, 0),
        SqlType::DateTime => (23, 3),
        SqlType::DateTime2(scale) => (if scale == 0 { 19 } else { 20 + scale }, scale),
        _ => (0, 0),
    }
}

fn kind(name: &str, length: i64, precision: u8, scale: u8) -> SqlType {
    let bytes = u16::try_from(length).unwrap_or(0);
    let characters = |each| {
        if length < 0 {
            Length::Max
        } else {
            Length::Limited(bytes / each)
        }
    };
    match name {
        "bit" => SqlType::Bit,
        "tinyint" => SqlType::TinyInt,
        "smallint" => SqlType::SmallInt,
        "int" => SqlType::Int,
        "bigint" => SqlType::BigInt,
        "real" => SqlType::Real,
        "float" => SqlType::Float,
        "decimal" => SqlType::Decimal(precision, scale),
        "numeric" => SqlType::Numeric(precision, scale),
        "nvarchar" => SqlType::NVarchar(characters(2)),
        "nchar" => SqlType::NChar(bytes / 2),
        "varchar" => SqlType::Varchar(characters(1)),
        "char" => SqlType::Char(bytes),
        "text" => SqlType::Text,
        "ntext" => SqlType::NText,
        "varbinary" => SqlType::Varbinary(characters(1)),
        "date" => SqlType::Date,
        "datetime" => SqlType::DateTime,
        "datetime2" => SqlType::DateTime2(scale),
        other => unreachable!("the catalogue names a type {other}"),
    }
}
