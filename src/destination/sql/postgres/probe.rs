//! What is asked about tables: to tell one that takes no rows from a row that it does not take, and which of its rows count.

use postgres::types::Type;
use postgres::{Client, Error, Transaction};

use super::catalog::Relation;
use super::fit::Class;
use super::session::{Parameters, Session};
use super::upsert::Upsert;
use crate::destination::sql::dialect::POSTGRES;
use crate::tables::batch::Rows;

/// Adds stored rows, as texts: those for which the condition holds.
pub(super) fn rows(
    client: &mut Client,
    session: &Session,
    upsert: &Upsert,
    condition: &str,
    parameters: &Parameters<'_>,
    into: &mut Rows,
) -> Result<(), Error> {
    let texts: Vec<String> = (upsert.targets.iter())
        .map(|target| format!("{}::text", POSTGRES.quote(&target.name)))
        .collect();
    let sql = format!(
        "SELECT {} FROM {} WHERE {condition}",
        texts.join(", "),
        upsert.relation.quoted()
    );
    for row in session.query(client, &sql, parameters)? {
        into.begin();
        for (at, target) in upsert.targets.iter().enumerate() {
            if let Some(text) = row.try_get::<_, Option<&str>>(at)? {
                into.set(target.source, text);
            }
        }
    }
    Ok(())
}

/// The condition of contacts with a checksum that were written later than `$1` or at no known time, in the campaign `$2` or
/// in none; `None` where the table holds no checksums.
pub(super) fn trusted_after(upsert: &Upsert) -> Option<String> {
    upsert.target("$md5")?;
    let mut condition = "\"$md5\" IS NOT NULL".to_owned();
    if let Some(target) = upsert.target("$changed") {
        let changed = POSTGRES.quote("$changed");
        let comparison = match target.class {
            // Stamps sort as bytes; the database's own collation may do otherwise.
            Class::Text(_) => format!("{changed}::text COLLATE \"C\" > $1::text"),
            _ => format!("{changed} > $1::text::{}", target.cast),
        };
        condition.push_str(&format!(" AND ({changed} IS NULL OR {comparison})"));
    }
    if upsert.target("$campaign_id").is_some() {
        let campaign = POSTGRES.quote("$campaign_id");
        condition.push_str(&format!(
            " AND ({campaign} IS NULL OR {campaign}::text = $2::text)"
        ));
    }
    Some(condition)
}

/// The names of a table's triggers that are switched on.
pub(super) fn triggers(
    client: &mut Client,
    session: &Session,
    relation: &Relation,
) -> Result<Vec<String>, Error> {
    let rows = session.query(
        client,
        "SELECT tgname::text FROM pg_catalog.pg_trigger \
         WHERE tgrelid = $1 AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1 LIMIT 1000",
        &[(&relation.oid, Type::OID)],
    )?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Ends the transaction of a rehearsal, after what would happen at its commit.
pub(super) fn undo(mut transaction: Transaction<'_>) -> Result<(), Error> {
    transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?;
    transaction.rollback()
}
