//! What is asked about tables: to tell one that takes no rows from a row that it does not take, and which of its rows count.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi, params_from_iter};

use super::Prepared;
use crate::destination::sql::dialect::SQLITE;
use crate::tables::batch::Rows;

/// The keys of some stored rows.
pub(super) fn sample(
    conn: &Connection,
    table: &Prepared,
    most: usize,
) -> rusqlite::Result<Vec<String>> {
    let key = SQLITE.quote(table.table.key());
    let sql = format!(
        "SELECT CAST({key} AS TEXT) FROM {} WHERE {key} IS NOT NULL LIMIT {most}",
        table.name
    );
    conn.prepare(&sql)?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Adds stored rows, as texts: those for which the condition holds with these values.
pub(super) fn rows(
    conn: &Connection,
    table: &Prepared,
    condition: &str,
    values: &[&str],
    into: &mut Rows,
) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT {} FROM {} WHERE {condition}",
        table.names.join(", "),
        table.name
    );
    let mut statement = conn.prepare(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    while let Some(row) = found.next()? {
        into.begin();
        for (at, (position, _)) in table.columns.iter().enumerate() {
            match row.get_ref(at)? {
                ValueRef::Null => {}
                ValueRef::Integer(number) => into.set(*position, &number.to_string()),
                ValueRef::Real(number) => into.set(*position, &number.to_string()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    into.set(*position, &String::from_utf8_lossy(bytes));
                }
            }
        }
    }
    Ok(())
}

/// Fails as a commit would where a row of this key refers to a row that is not there: SQLite looks at deferred constraints
/// when it commits, and not before.
pub(super) fn look_at_deferred(
    conn: &Connection,
    table: &Prepared,
    key: &str,
) -> rusqlite::Result<()> {
    let is_on: bool = conn.query_row("PRAGMA foreign_keys", [], |row| row.get(0))?;
    if !is_on {
        return Ok(());
    }
    let mut constraints: BTreeMap<i64, (String, Vec<String>, Vec<String>)> = BTreeMap::new();
    // A constraint that names no columns of the other table means its primary key.
    let sql = "SELECT f.id, f.\"table\", f.\"from\", coalesce(f.\"to\", (SELECT name FROM pragma_table_info(f.\"table\") \
               WHERE pk = f.seq + 1)) FROM pragma_foreign_key_list(?1) AS f ORDER BY f.id, f.seq";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([&table.plain_name])?;
    while let Some(row) = rows.next()? {
        let (parent, from): (String, String) = (row.get(1)?, row.get(2)?);
        if let Some(to) = row.get::<_, Option<String>>(3)? {
            let (from, to) = (SQLITE.quote(&from), SQLITE.quote(&to));
            let (_, given, same) = (constraints.entry(row.get(0)?))
                .or_insert_with(|| (parent, Vec::new(), Vec::new()));
            given.push(format!("c.{from} IS NOT NULL"));
            same.push(format!("p.{to} = c.{from}"));
        }
    }
    let own = SQLITE.quote(table.table.key());
    for (parent, given, same) in constraints.into_values() {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM {} AS c WHERE c.{own} = ?1 AND {} \
             AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {}))",
            table.name,
            given.join(" AND "),
            SQLITE.quote(&parent),
            same.join(" AND ")
        );
        if conn.query_row(&sql, [key], |row| row.get(0))? {
            return Err(rusqlite::Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_CONSTRAINT_FOREIGNKEY),
                Some("FOREIGN KEY constraint failed".to_owned()),
            ));
        }
    }
    Ok(())
}

/// The condition of contacts with a checksum that were written later than `?1` or at no known time, in the campaign `?2` or
/// in none.
pub(super) fn trusted_after(table: &Prepared) -> String {
    let campaign = if table.names.iter().any(|name| name == "\"$campaign_id\"") {
        "(\"$campaign_id\" IS NULL OR \"$campaign_id\" = ?2)"
    } else {
        "?2 <> ''"
    };
    format!("\"$md5\" IS NOT NULL AND (\"$changed\" IS NULL OR \"$changed\" > ?1) AND {campaign}")
}

/// The names of a table's triggers.
pub(super) fn triggers(conn: &Connection, table: &Prepared) -> rusqlite::Result<Vec<String>> {
    conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1) ORDER BY name",
    )?
    .query_map([&table.plain_name], |row| row.get(0))?
    .collect()
}
