//! What is asked about tables, to tell one that takes no rows from a row that it does not take, and which of its rows count,
//! as statements. No I/O.

use super::Prepared;
use super::literal::{list, push_text};
use crate::destination::sql::dialect::MYSQL;
use crate::error::{Error, Result};

/// The keys of stored rows that are to be written once more.
///
/// # Errors
/// [`Setup`](crate::error::ErrorKind::Setup) where that could not be undone.
pub(super) fn sample(table: &Prepared, most: usize) -> Result<String> {
    if !table.real.engine.eq_ignore_ascii_case("InnoDB") {
        return Err(Error::setup(format!(
            "the engine {} of table {} may know no transactions",
            table.real.engine, table.name
        )));
    }
    Ok(format!(
        "SELECT {} FROM {} LIMIT {most}",
        MYSQL.quote(table.table.key()),
        MYSQL.quote(&table.name)
    ))
}

/// Stored rows with these keys, with the columns that are written.
pub(super) fn rows_of(table: &Prepared, keys: &[&str]) -> String {
    let names: Vec<String> = (table.columns.iter())
        .filter_map(|column| table.real.columns.get(column.real))
        .map(|real| MYSQL.quote(&real.name))
        .collect();
    format!(
        "SELECT {} FROM {} WHERE {} IN {}",
        names.join(","),
        MYSQL.quote(&table.name),
        MYSQL.quote(table.table.key()),
        list(keys.iter().copied())
    )
}

/// The condition of contacts with a checksum that were written later than `stamp` or at no known time, in this campaign or
/// in none.
pub(super) fn trusted_after(table: &Prepared, stamp: &str, campaign: &str) -> String {
    let mut sql = "`$md5` IS NOT NULL AND (`$changed` IS NULL OR \
                   CONVERT(`$changed` USING utf8mb4) COLLATE utf8mb4_bin > "
        .to_owned();
    push_text(&mut sql, stamp);
    sql.push(')');
    let mut written =
        (table.columns.iter()).filter_map(|column| table.real.columns.get(column.real));
    if written.any(|column| column.name.eq_ignore_ascii_case("$campaign_id")) {
        sql.push_str(
            " AND (`$campaign_id` IS NULL OR CONVERT(`$campaign_id` USING utf8mb4) COLLATE utf8mb4_bin = ",
        );
        push_text(&mut sql, campaign);
        sql.push(')');
    }
    sql
}

/// Whether a contact comes after this one in the order of the database.
pub(super) fn is_after(id: &str) -> String {
    let mut sql = "`$id` > ".to_owned();
    push_text(&mut sql, id);
    sql
}

/// A row for each column, key and constraint of this name.
pub(super) fn names(name: &str) -> String {
    let mut text = String::new();
    push_text(&mut text, name);
    let of = |view: &str, column: &str| {
        format!(
            "SELECT 1 FROM information_schema.{view} WHERE TABLE_SCHEMA = DATABASE() AND {column} = {text}"
        )
    };
    [
        of("COLUMNS", "COLUMN_NAME"),
        of("STATISTICS", "INDEX_NAME"),
        of("TABLE_CONSTRAINTS", "CONSTRAINT_NAME"),
    ]
    .join(" UNION ALL ")
}

/// The names of a table's triggers.
pub(super) fn triggers(table: &str) -> String {
    let mut sql = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
                   WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = "
        .to_owned();
    push_text(&mut sql, table);
    sql.push_str(" ORDER BY 1");
    sql
}
