//! Which privileges are missing, found by statements that the server answers but that cannot change anything.
//!
//! Grants are no reliable source: they hold patterns, roles and levels. A server checks the privilege before
//! anything else, so that a statement that is bound to fail afterwards tells them apart.

use super::connect::Session;
use super::failure::{self, Failure};
use crate::destination::sql::CheckLine;
use crate::destination::sql::dialect::MYSQL;
use crate::error::{ErrorKind, Result};
use crate::tables::schema::{Schema, TableSchema};

/// A column and index that no table has.
const NOWHERE: &str = "dbsync2_no_such_thing";

/// One statement per privilege; it succeeds without a row, or fails for a table, column or index that is not there.
fn attempts(table: &TableSchema) -> [(&'static str, String); 7] {
    let name = MYSQL.quote(&table.name);
    let key = MYSQL.quote(table.table.key());
    [
        ("SELECT", format!("SELECT {key} FROM {name} WHERE 1 = 0")),
        (
            "INSERT",
            format!("INSERT INTO {name} ({key}) SELECT {key} FROM {name} WHERE 1 = 0"),
        ),
        (
            "UPDATE",
            format!("UPDATE {name} SET {key} = {key} WHERE 1 = 0"),
        ),
        ("DELETE", format!("DELETE FROM {name} WHERE 1 = 0")),
        // A table can't have the same column twice.
        (
            "CREATE",
            format!("CREATE TABLE {name} ({NOWHERE} int, {NOWHERE} int)"),
        ),
        ("ALTER", format!("ALTER TABLE {name} DROP COLUMN {NOWHERE}")),
        ("INDEX", format!("DROP INDEX {NOWHERE} ON {name}")),
    ]
}

/// Tries each privilege on each table.
pub(super) fn check(session: &mut Session, schema: &Schema) -> Result<Vec<CheckLine>> {
    let mut denied: Vec<(&'static str, Vec<String>)> = Vec::new();
    for table in schema.tables() {
        for (at, (privilege, sql)) in attempts(table).into_iter().enumerate() {
            if denied.len() <= at {
                denied.push((privilege, Vec::new()));
            }
            let place = session.place.clone();
            let doing = format!("trying {privilege} on {}", table.name);
            let outcome = session.run(&sql);
            let reason = match &outcome {
                Ok(_) => continue,
                Err(Failure::Server(e))
                    if matches!(e.code, 1050 | 1060 | 1091 | 1146 | 1054 | 1347 | 1290) =>
                {
                    continue;
                }
                Err(e @ Failure::Server(server)) => match server.code {
                    1044 | 1142 | 1143 | 1227 => table.name.clone(),
                    _ => failure::statement(&place, &doing, e, ErrorKind::Setup).to_string(),
                },
                Err(e) => return Err(failure::statement(&place, &doing, e, ErrorKind::Transient)),
            };
            if let Some((_, tables)) = denied.get_mut(at) {
                tables.push(reason);
            }
        }
    }
    Ok(denied
        .into_iter()
        .map(|(privilege, tables)| CheckLine {
            subject: format!("privilege {privilege}"),
            outcome: if tables.is_empty() {
                Ok("granted".to_owned())
            } else {
                Err(format!(
                    "missing on {} (GRANT {} ON the database TO this user)",
                    tables.join(", "),
                    failure::PRIVILEGES
                ))
            },
        })
        .collect())
}
