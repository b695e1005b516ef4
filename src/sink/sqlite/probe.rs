//! What is asked about tables: to tell one that takes no rows from a row that it does not take, and which of its rows count.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::Prepared;
use crate::tables::batch::Rows;

/// Adds stored rows, as texts.
pub(super) fn sample(
    conn: &Connection,
    table: &Prepared,
    most: usize,
    into: &mut Rows,
) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT {} FROM {} LIMIT {most}",
        table.names.join(", "),
        table.name
    );
    let mut statement = conn.prepare(&sql)?;
    let mut found = statement.query([])?;
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
