//! The statements of one batch, in one transaction.

use postgres::Transaction;
use postgres::types::{ToSql, Type};

use super::error::Server;
use super::load;
use super::upsert::{Upsert, without_nul};
use crate::destination::sql::dialect::POSTGRES;
use crate::destination::sql::load::Loading;
use crate::error::{Error, Result};
use crate::tables::batch::Batch;
use crate::tables::schema::Table;

pub(super) fn prepared(tables: &[Option<Upsert>; 5], table: Table) -> Result<&Upsert> {
    let upsert = tables.get(table.index()).and_then(Option::as_ref);
    upsert.ok_or_else(|| Error::transient(format!("table {} is not prepared", table.suffix())))
}

/// The condition that selects the rows whose keys are in `$1`, in a form that the key's index serves.
pub(super) fn key_is_one_of(upsert: &Upsert) -> String {
    let key = upsert.wanted.table.key();
    let cast = upsert
        .target(key)
        .map_or("text", |target| target.cast.as_str());
    let name = POSTGRES.quote(key);
    let exactly = if upsert.has_exact_key() {
        String::new()
    } else {
        format!(" AND {name}::text COLLATE \"C\" = ANY ($1::text[])")
    };
    format!("{name} = ANY ($1::text[]::{cast}[]){exactly}")
}

/// Deletes the placeholders and writes the rows of all filled tables.
pub(super) fn fill(
    transaction: &mut Transaction<'_>,
    tables: &[Option<Upsert>; 5],
    server: &Server,
    batch: &Batch,
    filled: &[Table],
    loading: &mut Loading,
) -> Result<()> {
    if !batch.placeholders.is_empty() {
        let upsert = prepared(tables, Table::Recordings)?;
        let table = upsert.relation.quoted();
        let ids: Vec<_> = batch
            .placeholders
            .iter()
            .map(|id| without_nul(id))
            .collect();
        let sql = format!("DELETE FROM {table} WHERE {}", key_is_one_of(upsert));
        transaction
            .execute_typed(&sql, &[(&ids as &(dyn ToSql + Sync), Type::TEXT_ARRAY)])
            .map_err(|e| {
                let grant = format!("GRANT SELECT, DELETE ON {table} TO \"{}\"", server.user);
                server.write_error(&e, &format!("cannot delete from table {table}"), &grant)
            })?;
    }
    if batch.is_new
        && loading.is_due()
        && load(transaction, tables, server, batch, filled, loading)?
    {
        return Ok(());
    }
    for table in filled {
        let upsert = prepared(tables, *table)?;
        let name = upsert.relation.quoted();
        let adds_only = batch.only_adds_to(*table);
        let left_out = upsert.run(transaction, batch.rows(*table), adds_only);
        let left_out = left_out.map_err(|e| {
            let grant = format!(
                "GRANT SELECT, INSERT, UPDATE ON {name} TO \"{}\"",
                server.user
            );
            server.write_error(&e, &format!("cannot write table {name}"), &grant)
        })?;
        if left_out == 0 {
            continue;
        }
        let refused = format!(
            "cannot write table {name} in PostgreSQL at {}",
            server.address
        );
        return Err(if upsert.has_exact_key() {
            Error::data(format!(
                "{refused}: a trigger left out {left_out} rows without an error (let it raise one)"
            ))
        } else {
            Error::of_row(format!(
                "{refused}: a key counts as equal to that of another row, by the type or the collation of column {}, or a \
                 trigger left rows out",
                POSTGRES.quote(upsert.wanted.table.key())
            ))
        });
    }
    Ok(())
}

/// Loads the rows of a new batch; false where that fails and nothing of it is left.
fn load(
    transaction: &mut Transaction<'_>,
    tables: &[Option<Upsert>; 5],
    server: &Server,
    batch: &Batch,
    filled: &[Table],
    loading: &mut Loading,
) -> Result<bool> {
    let failed = |e| server.write_error(&e, "cannot load new rows", "");
    let mut savepoint = transaction.transaction().map_err(failed)?;
    for table in filled {
        let upsert = prepared(tables, *table)?;
        if let Err(failure) = load::copy(&mut savepoint, upsert, batch.rows(*table)) {
            if failure.is_clash() {
                loading.met_a_row();
            } else {
                loading.refused();
            }
            // Not the reason itself, which may quote a value.
            log::debug!(
                "rows of table {} can't be loaded, they are written by statements",
                upsert.relation.quoted()
            );
            return savepoint.rollback().map(|()| false).map_err(failed);
        }
    }
    savepoint.commit().map(|()| true).map_err(failed)
}
