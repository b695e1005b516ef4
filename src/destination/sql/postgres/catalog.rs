//! What the database has: tables on the search path, their columns and indexes.

use postgres::types::Type;
use postgres::{Client, Error, Row};

use super::fit::Class;
use super::session::Session;
use crate::destination::sql::dialect::POSTGRES;

/// Columns, and indexes, of one table that are read: PostgreSQL has at most 1,600 columns, and tables have fewer indexes.
const LIMIT: &str = "LIMIT 10000";

/// A relation that the search path finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// `pg_class.relkind`: `r` table, `p` partitioned table, `v` view and so on.
    pub(super) kind: String,
}

impl Relation {
    /// Schema and name, quoted.
    pub(super) fn quoted(&self) -> String {
        format!(
            "{}.{}",
            POSTGRES.quote(&self.schema),
            POSTGRES.quote(&self.name)
        )
    }
}

/// A column as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DbColumn {
    pub(super) name: String,
    /// `pg_attribute.attnum`
    pub(super) number: i16,
    /// The type's name without length, to cast texts to: a cast to a type with a length would cut.
    pub(super) cast: String,
    pub(super) class: Class,
    /// False for columns whose values the server makes.
    pub(super) writable: bool,
    /// Whether only the same texts count as equal: not so under `citext`, `char(n)`, or a collation that ignores case.
    pub(super) exact: bool,
}

/// An index, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    /// Numbers of the key columns in order; 0 is an expression.
    pub(super) columns: Vec<i16>,
    /// Whether `ON CONFLICT` can use it: unique, valid, checked at once, without a condition.
    pub(super) arbitrates: bool,
    /// Whether queries can use it: valid, without a condition.
    pub(super) serves: bool,
    pub(super) valid: bool,
    /// Somebody works on the table's indexes now, so that one that is not valid may still become so.
    pub(super) is_being_made: bool,
}

/// The relation that an unqualified, quoted `name` means in this session.
pub(super) fn find(
    client: &mut Client,
    session: &Session,
    name: &str,
) -> Result<Option<Relation>, Error> {
    let rows = session.query(
        client,
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = $1::text::name AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
           AND pg_catalog.pg_table_is_visible(c.oid) LIMIT 1",
        &[(&name, Type::TEXT)],
    )?;
    rows.first()
        .map(|row| {
            Ok(Relation {
                oid: row.try_get(0)?,
                schema: row.try_get(1)?,
                name: row.try_get(2)?,
                kind: row.try_get(3)?,
            })
        })
        .transpose()
}

/// The columns of a relation in order.
pub(super) fn columns(
    client: &mut Client,
    session: &Session,
    relation: &Relation,
) -> Result<Vec<DbColumn>, Error> {
    // attgenerated came with 12, attidentity with 10: through to_jsonb they are just missing before.
    let sql = format!(
        "SELECT a.attname::text, a.attnum, pg_catalog.format_type(a.atttypid, -1), \
                CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, \
                CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, t.typcategory::text, \
                COALESCE(to_jsonb(a) ->> 'attgenerated', '') = '' AND COALESCE(to_jsonb(a) ->> 'attidentity', '') <> 'a', \
                CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END IN (25, 1043) AND NOT EXISTS ( \
                    SELECT 1 FROM pg_catalog.pg_collation l \
                    WHERE l.oid = a.attcollation AND to_jsonb(l) ->> 'collisdeterministic' = 'false') \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum {LIMIT}"
    );
    let rows = session.query(client, &sql, &[(&relation.oid, Type::OID)])?;
    let column = |row: Row| {
        let category: String = row.try_get(5)?;
        Ok(DbColumn {
            name: row.try_get(0)?,
            number: row.try_get(1)?,
            cast: row.try_get(2)?,
            class: Class::from_catalog(row.try_get(3)?, row.try_get(4)?, &category),
            writable: row.try_get(6)?,
            exact: row.try_get(7)?,
        })
    };
    rows.into_iter().map(column).collect()
}

/// The indexes of a relation.
pub(super) fn indexes(
    client: &mut Client,
    session: &Session,
    relation: &Relation,
) -> Result<Vec<Index>, Error> {
    // indnkeyatts came with 11; before, all columns are key columns.
    let sql = format!(
        "SELECT c.relname::text, \
                (i.indkey::int2[])[0:COALESCE((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts) - 1], \
                i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL, \
                i.indisvalid AND i.indpred IS NULL, i.indisvalid, \
                NOT i.indisvalid AND EXISTS ( \
                    SELECT 1 FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.relation = i.indrelid \
                    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
                    AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()) \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 {LIMIT}"
    );
    let rows = session.query(client, &sql, &[(&relation.oid, Type::OID)])?;
    let index = |row: Row| {
        Ok(Index {
            name: row.try_get(0)?,
            columns: row.try_get(1)?,
            arbitrates: row.try_get(2)?,
            serves: row.try_get(3)?,
            valid: row.try_get(4)?,
            is_being_made: row.try_get(5)?,
        })
    };
    rows.into_iter().map(index).collect()
}
