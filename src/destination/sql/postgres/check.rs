//! What `--a check` finds out about a PostgreSQL database, changing nothing.

use postgres::Client;
use postgres::types::Type;

use super::catalog::{self, Relation};
use super::define::{locate, missing, name_problem, require_unique_key};
use super::session::Session;
use super::views::Dependents;
use crate::destination::sql::CheckLine;
use crate::destination::sql::dialect::POSTGRES;
use crate::error::Result;
use crate::tables::schema::{Schema, Table, TableSchema};

type Outcome = std::result::Result<String, String>;

pub(super) fn check(
    client: &mut Client,
    session: &Session,
    schema: &Schema,
) -> Result<Vec<CheckLine>> {
    let server = &session.server;
    let encrypted = if session.encrypted {
        "encrypted"
    } else {
        "not encrypted"
    };
    let pooler = if session.is_pooled() {
        ", through a connection pooler"
    } else {
        ""
    };
    let mut lines = vec![CheckLine {
        subject: "connection".to_owned(),
        outcome: Ok(format!(
            "PostgreSQL {} at {}{pooler}, {encrypted}",
            session.version, server.address
        )),
    }];
    let (current, may_create) = namespace(client, session)?;
    let remedy = match &current {
        Some(name) => format!(
            "a superuser or the owner must run: GRANT USAGE, CREATE ON SCHEMA {} TO \"{}\"",
            POSTGRES.quote(name),
            server.user
        ),
        None => "search_path names no schema that exists and may be used: create one, or ALTER ROLE … SET search_path"
            .to_owned(),
    };
    lines.push(CheckLine {
        subject: "schema".to_owned(),
        outcome: match &current {
            Some(name) if may_create => Ok(format!("{name}: new tables can be created")),
            Some(name) => Ok(format!("{name}: new tables can't be created")),
            None => Err(remedy.clone()),
        },
    });
    for wanted in schema.tables() {
        let mut kept_narrow = None;
        let outcome = match name_problem(&wanted.name) {
            Some(problem) => Err(problem),
            None => match locate(client, session, &wanted.name)? {
                None if may_create => Ok("does not exist, will be created".to_owned()),
                None => Err(format!("does not exist and can't be created ({remedy})")),
                Some(relation) => {
                    let outcome = existing(client, session, wanted, &relation)?;
                    if outcome.is_ok() {
                        kept_narrow = obstacles(client, session, wanted, &relation)?;
                    }
                    outcome
                }
            },
        };
        lines.push(CheckLine {
            subject: format!("table {}", wanted.name),
            outcome,
        });
        if let Some(text) = kept_narrow {
            lines.push(CheckLine {
                subject: format!("views on {}", wanted.name),
                outcome: Ok(text),
            });
        }
    }
    Ok(lines)
}

/// The schema that new tables go to, and whether they may.
fn namespace(client: &mut Client, session: &Session) -> Result<(Option<String>, bool)> {
    let failed = |e| session.server.error(&e, "cannot look at the schema", "");
    let sql = "SELECT current_schema()::text, COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)";
    let row = session.query_one(client, sql, &[]).map_err(failed)?;
    Ok((
        row.try_get(0).map_err(failed)?,
        row.try_get(1).map_err(failed)?,
    ))
}

/// What would keep columns of limited length from being widened, if anything. It need never come to that.
fn obstacles(
    client: &mut Client,
    session: &Session,
    wanted: &TableSchema,
    relation: &Relation,
) -> Result<Option<String>> {
    let table = relation.quoted();
    let tried = format!("cannot look for views on table {table}");
    let failed = |e| session.server.error(&e, &tried, "");
    let columns = catalog::columns(client, session, relation).map_err(failed)?;
    let limited: Vec<&str> = (columns.iter())
        .filter(|column| column.writable && !column.class.takes_all())
        .map(|column| column.name.as_str())
        .filter(|name| wanted.position(name).is_some())
        .collect();
    let mut transaction = session.begin(client).map_err(failed)?;
    let found = Dependents::of(&mut transaction, session, relation, &limited).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    if found.obstacles.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "should a value be too long for a column, the column can't be widened while these are there, and the row is set \
         aside: {}",
        found.obstacles.join(", ")
    )))
}

fn existing(
    client: &mut Client,
    session: &Session,
    wanted: &TableSchema,
    relation: &Relation,
) -> Result<Outcome> {
    let server = &session.server;
    let table = relation.quoted();
    let failed = |e| server.error(&e, &format!("cannot look at table {table}"), "");
    if !matches!(relation.kind.as_str(), "r" | "p") {
        return Ok(Err(format!(
            "{table} is a view or a foreign table, not a table"
        )));
    }
    let mut needed = vec!["SELECT", "INSERT", "UPDATE"];
    if wanted.table == Table::Recordings {
        needed.push("DELETE");
    }
    let lacking = session
        .query(
            client,
            "SELECT p FROM unnest($1::text[]) AS p WHERE NOT has_table_privilege($2, p)",
            &[(&needed, Type::TEXT_ARRAY), (&relation.oid, Type::OID)],
        )
        .map_err(failed)?;
    let lacking: Vec<String> = lacking
        .iter()
        .map(|row| row.try_get(0))
        .collect::<std::result::Result<_, _>>()
        .map_err(failed)?;
    if !lacking.is_empty() {
        let lacking = lacking.join(", ");
        return Ok(Err(format!(
            "privilege {lacking} is missing (the owner must run: GRANT {lacking} ON {table} TO \"{}\")",
            server.user
        )));
    }
    let columns = catalog::columns(client, session, relation).map_err(failed)?;
    let indexes = catalog::indexes(client, session, relation).map_err(failed)?;
    if let Err(error) = require_unique_key(server, wanted, relation, &columns, &indexes) {
        return Ok(Err(error.to_string()));
    }
    let missing = missing(wanted, &columns).len();
    if missing == 0 {
        return Ok(Ok(format!("exists, {} columns", columns.len())));
    }
    let owner = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = $1";
    let row = session
        .query_one(client, owner, &[(&relation.oid, Type::OID)])
        .map_err(failed)?;
    if row.try_get(0).map_err(failed)? {
        return Ok(Ok(format!("exists, {missing} columns will be added")));
    }
    Ok(Err(format!(
        "{missing} columns are missing, which only the owner can add (the owner must run: ALTER TABLE {table} OWNER TO \"{}\")",
        server.user
    )))
}
