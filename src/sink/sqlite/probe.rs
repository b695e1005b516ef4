//! What helps to tell a table that takes no rows from a row that it does not take.

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

/// The names of a table's triggers.
pub(super) fn triggers(conn: &Connection, table: &Prepared) -> rusqlite::Result<Vec<String>> {
    conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1) ORDER BY name",
    )?
    .query_map([&table.plain_name], |row| row.get(0))?
    .collect()
}
