//! Creating what is missing: tables and columns.

use std::collections::HashSet;

use postgres::Client;

use super::catalog::{self, DbColumn, Relation};
use super::error::{Server, explain};
use super::session::{Session, is_lock_wait};
use crate::destination::sql::MAX_DDL_LOCK_WAIT;
use crate::destination::sql::dialect::POSTGRES;
use crate::destination::sql::said::Said;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::schema::{Column, TableSchema};

/// PostgreSQL's limits.
const MAX_COLUMNS: usize = 1600;
pub(super) const MAX_NAME: usize = 63;

/// The table with this name; if no table has it, the one whose name is the same in lower case, as the old
/// client did not quote table names.
pub(super) fn locate(
    client: &mut Client,
    session: &Session,
    name: &str,
) -> Result<Option<Relation>> {
    let mut find = |name: &str| {
        catalog::find(client, session, name).map_err(|e| {
            session
                .server
                .error(&e, &format!("cannot look for table \"{name}\""), "")
        })
    };
    let lower = name.to_ascii_lowercase();
    match find(name)? {
        None if lower != name => find(&lower),
        found => Ok(found),
    }
}

/// What is wrong with a table's name, if anything: PostgreSQL would cut it, and two tables might become one.
pub(super) fn name_problem(name: &str) -> Option<String> {
    (name.len() > MAX_NAME).then(|| {
        format!(
            "the table name \"{name}\" is longer than PostgreSQL's {MAX_NAME} bytes (choose a shorter prefix with --tp)"
        )
    })
}

/// Finds the table, or creates it with its key and as many columns as a table can have.
pub(super) fn table(
    client: &mut Client,
    session: &Session,
    wanted: &TableSchema,
    said: &Said,
) -> Result<Relation> {
    let name = &wanted.name;
    if let Some(problem) = name_problem(name) {
        return Err(Error::setup(problem));
    }
    let relation = match locate(client, session, name)? {
        Some(relation) => relation,
        None => {
            create(client, session, wanted)?;
            locate(client, session, name)?.ok_or_else(|| {
                Error::transient(format!(
                    "table \"{name}\" in PostgreSQL at {}: created, but gone again",
                    session.server.address
                ))
            })?
        }
    };
    if relation.name != *name {
        said.warn(&format!(
            "table {} is used for \"{name}\", which does not exist",
            relation.quoted()
        ));
    }
    if !matches!(relation.kind.as_str(), "r" | "p") {
        return Err(Error::setup(format!(
            "{} in PostgreSQL at {} is a view or a foreign table, not a table (rename it, or choose another prefix with --tp)",
            relation.quoted(),
            session.server.address
        )));
    }
    Ok(relation)
}

fn create(client: &mut Client, session: &Session, wanted: &TableSchema) -> Result<()> {
    let name = POSTGRES.quote(&wanted.name);
    let columns: Vec<String> = wanted
        .columns
        .iter()
        .take(MAX_COLUMNS)
        .map(definition)
        .collect();
    let key = POSTGRES.quote(wanted.table.key());
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {name} ({}, PRIMARY KEY ({key}))",
        columns.join(", ")
    );
    let server = &session.server;
    match session.change(client, |transaction| transaction.batch_execute(&sql)) {
        Ok(()) => {
            log::info!("created table {name}");
            Ok(())
        }
        // Another instance was faster: IF NOT EXISTS does not help those who start in the same instant.
        Err(e) if matches!(sqlstate(&e), "23505" | "42P07" | "42710") => Ok(()),
        Err(e) => {
            let grant = format!(
                "GRANT USAGE, CREATE ON SCHEMA {} TO \"{}\"",
                current_schema(client, session),
                server.user
            );
            Err(server.error(&e, &format!("cannot create table {name}"), &grant))
        }
    }
}

/// The schema that new tables go to, quoted; `…` where it can't be found out.
fn current_schema(client: &mut Client, session: &Session) -> String {
    let row = session.query_one(client, "SELECT current_schema()::text", &[]);
    let schema: Option<String> = row.ok().and_then(|row| row.try_get(0).ok());
    schema.map_or_else(|| "…".to_owned(), |schema| POSTGRES.quote(&schema))
}

fn definition(column: &Column) -> String {
    format!(
        "{} {}",
        POSTGRES.quote(&column.name),
        POSTGRES.column_type(column.kind)
    )
}

/// A column that could not be added, and why.
pub(super) struct Failed {
    pub(super) column: String,
    pub(super) reason: String,
}

/// Adds the columns that the table lacks; returns those that could not be added now.
pub(super) fn missing_columns(
    client: &mut Client,
    session: &Session,
    wanted: &TableSchema,
    relation: &Relation,
) -> Result<Vec<Failed>> {
    let server = &session.server;
    let tried = format!("cannot read the columns of table {}", relation.quoted());
    let present =
        catalog::columns(client, session, relation).map_err(|e| server.error(&e, &tried, ""))?;
    let missing = missing(wanted, &present);
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let tried = format!("cannot add columns to table {}", relation.quoted());
    let mut hopeless: Option<String> = None;
    match add(client, session, relation, &missing) {
        Ok(()) => return Ok(Vec::new()),
        Err(e) if is_lock_wait(&e) => hopeless = Some(locked()),
        Err(e) => {
            let error = server.error(&e, &tried, "");
            if error.kind() == ErrorKind::Transient {
                return Err(error);
            }
        }
    }
    let mut failed = Vec::new();
    for column in missing {
        let reason = match &hopeless {
            Some(reason) => reason.clone(),
            None => match add(client, session, relation, &[column]) {
                Ok(()) => continue,
                Err(e) if sqlstate(&e) == "42701" => continue,
                Err(e) => {
                    let owner = format!(
                        "ALTER TABLE {} OWNER TO \"{}\"",
                        relation.quoted(),
                        server.user
                    );
                    let error = server.error(&e, &tried, &owner);
                    let waited = is_lock_wait(&e);
                    if error.kind() == ErrorKind::Transient && !waited {
                        return Err(error);
                    }
                    let reason = match e.as_db_error() {
                        _ if waited => locked(),
                        Some(db) => explain(db, &owner).1,
                        None => error.to_string(),
                    };
                    // No lock, no privilege, or no room: the next column fares no better.
                    if waited || matches!(sqlstate(&e), "42501" | "54011") {
                        hopeless = Some(reason.clone());
                    }
                    reason
                }
            },
        };
        failed.push(Failed {
            column: column.name.clone(),
            reason,
        });
    }
    Ok(failed)
}

/// The reason of what others kept us from by a lock.
pub(super) fn locked() -> String {
    format!(
        "others hold a lock on the table for more than {} s (a transaction that was left open? See pg_locks)",
        MAX_DDL_LOCK_WAIT.as_secs()
    )
}

/// The columns that the table lacks.
pub(super) fn missing<'a>(wanted: &'a TableSchema, present: &[DbColumn]) -> Vec<&'a Column> {
    let names: HashSet<&str> = present.iter().map(|column| column.name.as_str()).collect();
    wanted
        .columns
        .iter()
        .filter(|column| !names.contains(column.name.as_str()))
        .collect()
}

fn add(
    client: &mut Client,
    session: &Session,
    relation: &Relation,
    columns: &[&Column],
) -> std::result::Result<(), postgres::Error> {
    let clauses: Vec<String> = columns
        .iter()
        .map(|column| format!("ADD COLUMN {}", definition(column)))
        .collect();
    let sql = format!("ALTER TABLE {} {}", relation.quoted(), clauses.join(", "));
    session.change(client, |transaction| transaction.batch_execute(&sql))?;
    log::info!(
        "added {} columns to table {}",
        columns.len(),
        relation.quoted()
    );
    Ok(())
}

/// Makes sure that `ON CONFLICT` works.
pub(super) fn require_unique_key(
    server: &Server,
    wanted: &TableSchema,
    relation: &Relation,
    columns: &[DbColumn],
    indexes: &[catalog::Index],
) -> Result<()> {
    let key = wanted.table.key();
    let number = columns
        .iter()
        .find(|column| column.name == key && column.writable)
        .map(|column| column.number);
    if number.is_some_and(|number| {
        indexes
            .iter()
            .any(|index| index.arbitrates && index.columns == [number])
    }) {
        return Ok(());
    }
    let (table, key) = (relation.quoted(), POSTGRES.quote(key));
    Err(Error::setup(format!(
        "table {table} in PostgreSQL at {} has no primary key or unique index on column {key} alone, so rows could not \
         be replaced (make one: ALTER TABLE {table} ADD PRIMARY KEY ({key}); or choose another prefix with --tp)",
        server.address
    )))
}

/// The SQLSTATE of an error the server reported; empty for others.
pub(super) fn sqlstate(error: &postgres::Error) -> &str {
    error.code().map_or("", |code| code.code())
}
