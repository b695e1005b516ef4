//! What helps to tell a table that takes no rows from a row that it does not take.

use postgres::types::Type;
use postgres::{Client, Error, Transaction};

use super::catalog::Relation;
use super::session::Session;
use super::upsert::Upsert;
use crate::sink::dialect::POSTGRES;
use crate::tables::batch::Rows;

/// Adds stored rows, as texts.
pub(super) fn sample(
    client: &mut Client,
    session: &Session,
    upsert: &Upsert,
    most: usize,
    into: &mut Rows,
) -> Result<(), Error> {
    let texts: Vec<String> = (upsert.targets.iter())
        .map(|target| format!("{}::text", POSTGRES.quote(&target.name)))
        .collect();
    let sql = format!(
        "SELECT {} FROM {} LIMIT {most}",
        texts.join(", "),
        upsert.relation.quoted()
    );
    for row in session.query(client, &sql, &[])? {
        into.begin();
        for (at, target) in upsert.targets.iter().enumerate() {
            if let Some(text) = row.try_get::<_, Option<&str>>(at)? {
                into.set(target.source, text);
            }
        }
    }
    Ok(())
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
