//! What the database has of our tables: columns with their real types, and indexes.

use super::column::{Holds, Indexed};
use super::connect::{Session, text};
use super::failure::Failure;
use super::literal::push_text;
use crate::destination::sql::columns;
use crate::destination::sql::dialect::MYSQL;
use crate::tables::schema::ColumnKind;
use crate::tables::schema::TableSchema;

/// A table as it is.
pub(super) struct RealTable {
    pub(super) columns: Vec<RealColumn>,
    pub(super) indexes: Vec<Index>,
    /// `BASE TABLE` or `VIEW`.
    pub(super) table_type: String,
    pub(super) engine: String,
}

/// A column as it is.
pub(super) struct RealColumn {
    pub(super) name: String,
    /// As in DDL, such as `varchar(50)`, with the character set of texts.
    pub(super) declared: String,
    pub(super) holds: Holds,
    /// Whether `a` and `A` are the same in it.
    pub(super) folds_case: bool,
    pub(super) nullable: bool,
    pub(super) generated: bool,
}

/// An index as it is.
pub(super) struct Index {
    pub(super) name: String,
    pub(super) unique: bool,
    /// Column, and how many characters of it are indexed if not all.
    pub(super) parts: Vec<(String, Option<u64>)>,
}

/// Reads a table of the current database; `None` if no table has this name.
pub(super) fn read(session: &mut Session, table: &str) -> Result<Option<RealTable>, Failure> {
    let mut name = String::new();
    push_text(&mut name, table);
    let here = if session.fold_tables {
        format!("TABLE_SCHEMA = DATABASE() AND LOWER(TABLE_NAME) = LOWER({name})")
    } else {
        format!("TABLE_SCHEMA = DATABASE() AND TABLE_NAME = {name}")
    };
    // The catalogue may compare names without case where tables that differ only in case are two.
    let fold = session.fold_tables;
    let is_same = |found: &str| fold || found == table;
    let found = session.catalogue(&format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {here}"
    ))?;
    let Some(found) = found.iter().find(|row| is_same(text(row, 0))) else {
        return Ok(None);
    };
    let mut real = RealTable {
        columns: Vec::new(),
        indexes: Vec::new(),
        table_type: text(found, 1).to_owned(),
        engine: text(found, 2).to_owned(),
    };
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_MAXIMUM_LENGTH, \
         NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_SET_NAME, EXTRA, COLLATION_NAME \
         FROM information_schema.COLUMNS WHERE {here} ORDER BY ORDINAL_POSITION"
    );
    for row in session
        .catalogue(&sql)?
        .iter()
        .filter(|row| is_same(text(row, 0)))
    {
        let number = |column| text(row, column).parse().ok();
        let (declared, charset, extra) = (text(row, 3), text(row, 8), text(row, 9).to_uppercase());
        let collation = text(row, 10);
        real.columns.push(RealColumn {
            name: text(row, 1).to_owned(),
            folds_case: !collation.is_empty()
                && !collation.ends_with("_bin")
                && !collation.contains("_cs"),
            holds: Holds::read(
                text(row, 2),
                declared,
                number(5),
                number(6),
                number(7),
                charset,
            ),
            declared: match charset {
                "" => declared.to_owned(),
                charset => format!("{declared} CHARACTER SET {charset}"),
            },
            nullable: text(row, 4) == "YES",
            generated: ["VIRTUAL", "STORED", "PERSISTENT"]
                .iter()
                .any(|word| extra.contains(word)),
        });
    }
    let sql = format!(
        "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART \
         FROM information_schema.STATISTICS WHERE {here} ORDER BY INDEX_NAME, SEQ_IN_INDEX"
    );
    for row in session
        .catalogue(&sql)?
        .iter()
        .filter(|row| is_same(text(row, 0)))
    {
        let part = (text(row, 3).to_owned(), text(row, 4).parse().ok());
        match real.indexes.last_mut() {
            Some(index) if index.name == text(row, 1) => index.parts.push(part),
            _ => real.indexes.push(Index {
                name: text(row, 1).to_owned(),
                unique: text(row, 2) == "0",
                parts: vec![part],
            }),
        }
    }
    Ok(Some(real))
}

impl RealTable {
    /// For each column of the schema, the position of the one that holds it.
    pub(super) fn assigned(&self, schema: &TableSchema) -> Vec<Option<usize>> {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        columns::assign(&schema.columns, &names, MYSQL.naming)
    }

    /// The column of this name; MySQL compares column names without case.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        self.columns
            .iter()
            .position(|column| column.name.to_lowercase() == name)
    }

    /// Whether some index keeps the values of this column apart.
    pub(super) fn is_unique(&self, column: &str) -> bool {
        self.indexes.iter().any(|index| {
            index.unique && matches!(index.parts.as_slice(), [(only, None)] if same(only, column))
        })
    }

    /// Unique indexes over other columns.
    pub(super) fn other_unique(&self, key: &str) -> impl Iterator<Item = &Index> {
        self.indexes.iter().filter(move |index| {
            index.unique && !index.parts.iter().any(|(column, _)| same(column, key))
        })
    }

    /// Whether some index begins with these columns.
    pub(super) fn has_index(&self, columns: &[&str]) -> bool {
        self.indexes.iter().any(|index| {
            index.parts.len() >= columns.len()
                && index
                    .parts
                    .iter()
                    .zip(columns)
                    .all(|((a, _), b)| same(a, b))
        })
    }

    /// How far indexes limit the types that a column can have.
    pub(super) fn indexed(&self, column: &str, kind: ColumnKind) -> Indexed {
        let whole = self
            .indexes
            .iter()
            .flat_map(|index| &index.parts)
            .any(|(name, prefix)| same(name, column) && prefix.is_none());
        match (whole, kind) {
            (false, _) => Indexed::Freely,
            (true, ColumnKind::Key) => Indexed::Key,
            (true, _) => Indexed::Whole,
        }
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}
