//! Which privileges are missing, as the server itself sees it.

use super::{ANSWER, SqlServerSink, catalog, failure, statement};
use crate::destination::sql::CheckLine;
use crate::error::{ErrorKind, Result};
use crate::tables::schema::Schema;

/// Asks for each privilege; those on tables where there is the table, else those on the schema.
pub(super) fn check(sink: &mut SqlServerSink, schema: &Schema) -> Result<Vec<CheckLine>> {
    let mut lines = Vec::new();
    let (mut there, mut lacking) = (Vec::new(), false);
    for table in schema.tables() {
        let found = (sink.connection).query(&statement::object_type(&table.name), ANSWER);
        let found =
            found.map_err(|e| sink.failed("looking for a table", &e, ErrorKind::Transient))?;
        match found.is_empty() {
            true => lacking = true,
            false => there.push(table.name.as_str()),
        }
    }
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        let mut denied = Vec::new();
        for table in &there {
            let sql = statement::permission_on_table(table, privilege);
            if !has(sink, &sql)? {
                denied.push(*table);
            }
        }
        // A table that is not there yet is what its schema will allow.
        if lacking && !has(sink, &statement::permission_on_schema(privilege))? {
            denied.push("the schema that the tables are made in");
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
    let alter = statement::permission_on_schema("ALTER");
    for (privilege, sql, advice) in [
        (
            "CREATE TABLE",
            statement::PERMISSION_TO_CREATE,
            "GRANT CREATE TABLE TO this user",
        ),
        (
            "ALTER",
            alter.as_str(),
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

/// NULL says nothing of privileges, but that the server can't answer. One that does not know the question denies nothing.
fn has(sink: &mut SqlServerSink, sql: &str) -> Result<bool> {
    match sink.connection.query(sql, ANSWER) {
        Ok(rows) => Ok((rows.first()).is_none_or(|row| catalog::text(row, 0) != "0")),
        Err(e) if failure::is_refusal(&e) => Ok(true),
        Err(e) => Err(sink.failed("asking for privileges", &e, ErrorKind::Transient)),
    }
}
