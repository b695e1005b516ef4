//! Creating missing indexes, without blocking those who write.

use md5::{Digest, Md5};
use postgres::Client;
use postgres::types::Type;

use super::catalog::{self, Relation};
use super::connect::Session;
use super::define::LONGEST_NAME;
use crate::error::{ErrorKind, Result};
use crate::sink::MissingIndex;
use crate::sink::dialect::POSTGRES;
use crate::tables::schema::TableSchema;

/// Creates the indexes that the table lacks. Those that can't be made are added to `missing`.
///
/// # Errors
/// [`Transient`](ErrorKind::Transient) only.
pub(super) fn indexes(
    client: &mut Client,
    session: &Session,
    wanted: &TableSchema,
    relation: &Relation,
    missing: &mut Vec<MissingIndex>,
) -> Result<()> {
    let server = &session.server;
    let tried = format!("cannot read the indexes of table {}", relation.quoted());
    let columns = catalog::columns(client, relation).map_err(|e| server.error(&e, &tried, ""))?;
    let present = catalog::indexes(client, relation).map_err(|e| server.error(&e, &tried, ""))?;
    let number = |name: &&str| {
        columns
            .iter()
            .find(|column| column.name == *name)
            .map(|column| column.number)
    };
    let lacking: Vec<&'static [&'static str]> = (wanted.table.indexes().iter().copied())
        .filter(|names| {
            let numbers: Option<Vec<i16>> = names.iter().map(number).collect();
            numbers.is_some_and(|numbers| {
                !present
                    .iter()
                    .any(|i| i.serves && i.columns.starts_with(&numbers))
            })
        })
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    // An index that another instance is making looks like one that an interrupted instance left behind; only the
    // holder of this lock, which ends with the session, may tell and drop it. The number is our own, of no meaning.
    let lock = "SELECT pg_try_advisory_lock(1684106339, $1::oid::int8::bit(32)::int)";
    let row = client
        .query_typed_one(lock, &[(&relation.oid, Type::OID)])
        .map_err(|e| server.error(&e, &tried, ""))?;
    if !row.try_get(0).unwrap_or(false) {
        log::info!(
            "another instance is making the indexes of table {}",
            relation.quoted()
        );
        return Ok(());
    }
    let made = lacking.iter().try_for_each(|names| {
        let name = index_name(&relation.name, names);
        let leftover = present
            .iter()
            .any(|index| index.name == name && !index.valid);
        let make = || make_index(client, relation, &name, names, leftover);
        session.patience.while_rebuilding(make).or_else(|e| {
            let tried = format!(
                "cannot create index {} on table {}",
                POSTGRES.quote(&name),
                relation.quoted()
            );
            let error = server.error(
                &e,
                &tried,
                &format!(
                    "ALTER TABLE {} OWNER TO \"{}\"",
                    relation.quoted(),
                    server.user
                ),
            );
            // A lock that others hold for long must not keep the program from starting.
            if error.kind() == ErrorKind::Transient && (e.is_closed() || e.as_db_error().is_none())
            {
                return Err(error);
            }
            missing.push(MissingIndex {
                table: wanted.table,
                columns: names,
                reason: error.to_string(),
            });
            Ok(())
        })
    });
    let unlock = "SELECT pg_advisory_unlock(1684106339, $1::oid::int8::bit(32)::int)";
    if made.is_ok() {
        client
            .query_typed(unlock, &[(&relation.oid, Type::OID)])
            .map_err(|e| server.error(&e, &tried, ""))?;
    }
    made
}

fn make_index(
    client: &mut Client,
    relation: &Relation,
    name: &str,
    columns: &[&str],
    leftover: bool,
) -> std::result::Result<(), postgres::Error> {
    let (table, quoted) = (relation.quoted(), POSTGRES.quote(name));
    if leftover {
        client.batch_execute(&format!(
            "DROP INDEX CONCURRENTLY {}.{quoted}",
            POSTGRES.quote(&relation.schema)
        ))?;
    }
    let filled = client
        .query_typed_one(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), &[])?
        .try_get(0)?;
    // CONCURRENTLY blocks nobody who writes, but partitioned tables don't know it.
    let concurrently = if filled && relation.kind == "r" {
        "CONCURRENTLY "
    } else {
        ""
    };
    if filled {
        log::info!("creating index {quoted} on table {table}: this may take minutes");
    }
    let columns: Vec<String> = columns
        .iter()
        .map(|column| POSTGRES.quote(column))
        .collect();
    client.batch_execute(&format!(
        "CREATE INDEX {concurrently}{quoted} ON {table} ({})",
        columns.join(", ")
    ))
}

/// `{table}_{columns}_idx`; too long a name is cut, with a hash of all of it.
fn index_name(table: &str, columns: &[&str]) -> String {
    let full = format!("{table}_{}_idx", columns.join("_"));
    if full.len() <= LONGEST_NAME {
        return full;
    }
    let hash: String = Md5::digest(full.as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut end = LONGEST_NAME - hash.len() - 1;
    while !full.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{hash}", full.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_short_and_distinct() {
        assert_eq!(
            index_name("dfire_connections", &["contact_id"]),
            "dfire_connections_contact_id_idx"
        );
        let long = "ä".repeat(30);
        let (a, b) = (
            index_name(&long, &["contact_id"]),
            index_name(&long, &["connection_id"]),
        );
        assert!(a.len() <= 63 && b.len() <= 63, "{a} {b}");
        assert_ne!(a, b);
        assert!(a.starts_with("äää"));
    }
}
