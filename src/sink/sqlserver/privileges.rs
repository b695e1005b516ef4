//! Which privileges are missing, as the server itself sees it.

use super::{ANSWER, SqlServerSink, catalog, failure, statement};
use crate::error::{ErrorKind, Result};
use crate::sink::CheckLine;
use crate::tables::schema::Schema;

/// Asks for each privilege; those on tables only where there is the table.
pub(super) fn check(sink: &mut SqlServerSink, schema: &Schema) -> Result<Vec<CheckLine>> {
    let mut lines = Vec::new();
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        let mut denied = Vec::new();
        for table in schema.tables() {
            let sql = statement::permission_on_table(&table.name, privilege);
            if !has(sink, &sql)? {
                denied.push(table.name.as_str());
            }
        }
        lines.push(CheckLine {
            subject: format!("privilege {privilege}"),
            outcome: match denied.as_slice() {
                [] => Ok("granted".to_owned()),
                denied => Err(format!(
                    "missing on {} (GRANT {privilege} ON … TO this user)",
                    denied.join(", ")
                )),
            },
        });
    }
    for (privilege, sql, advice) in [
        (
            "CREATE TABLE",
            statement::PERMISSION_TO_CREATE,
            "GRANT CREATE TABLE TO this user",
        ),
        (
            "ALTER",
            statement::PERMISSION_TO_ALTER,
            "GRANT ALTER ON SCHEMA::dbo TO this user, or the schema that its tables are in",
        ),
    ] {
        let granted = has(sink, sql)?;
        lines.push(CheckLine {
            subject: format!("privilege {privilege}"),
            outcome: match granted {
                true => Ok("granted".to_owned()),
                false => Err(format!("missing ({advice})")),
            },
        });
    }
    Ok(lines)
}

/// NULL is the answer for a table that is not there. A server that does not know the question denies nothing.
fn has(sink: &mut SqlServerSink, sql: &str) -> Result<bool> {
    match sink.connection.query(sql, ANSWER) {
        Ok(rows) => Ok((rows.first()).is_none_or(|row| catalog::text(row, 0) != "0")),
        Err(e) if failure::is_refusal(&e) => Ok(true),
        Err(e) => Err(sink.failed("asking for privileges", &e, ErrorKind::Transient)),
    }
}
