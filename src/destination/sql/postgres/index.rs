//! Creating missing indexes, without blocking those who write.

use postgres::Client;
use postgres::types::Type;

use super::catalog::{self, Index, Relation};
use super::define::locked;
use super::session::{Session, is_lock_wait, lock_timeout};
use crate::destination::sql::dialect::POSTGRES;
use crate::destination::sql::{MAX_DDL_LOCK_WAIT, MissingIndex};
use crate::error::{ErrorKind, Result};
use crate::tables::schema::TableSchema;

/// Rows from which on an index takes long enough to be announced.
const MANY_ROWS: i64 = 100_000;

/// First half of the advisory lock's key, the table is the other: a number of our own, of no meaning.
const LOCK: i32 = 1_684_106_339;

type Columns = &'static [&'static str];

/// The indexes of one table that are to be made, and how.
struct Work<'a> {
    session: &'a Session,
    relation: &'a Relation,
    /// Without keeping others from writing. Partitioned tables don't know that, and neither does a transaction, which a
    /// pooler's settings need.
    concurrently: bool,
}

/// Creates the indexes that the table lacks. Those that can't be made now are added to `missing`. After one of them met
/// with a lock, `blocked` says so, and the others are left for the next time, too: each wait keeps others waiting.
///
/// # Errors
/// [`Transient`](ErrorKind::Transient) only.
pub(super) fn indexes(
    client: &mut Client,
    session: &Session,
    wanted: &TableSchema,
    relation: &Relation,
    blocked: &mut Option<String>,
    missing: &mut Vec<MissingIndex>,
) -> Result<()> {
    let server = &session.server;
    let tried = format!("cannot read the indexes of table {}", relation.quoted());
    let failed = |e| server.error(&e, &tried, "");
    let columns = catalog::columns(client, session, relation).map_err(failed)?;
    let present = catalog::indexes(client, session, relation).map_err(failed)?;
    let numbers = |names: Columns| -> Option<Vec<i16>> {
        let number = |name: &&str| {
            let column = columns.iter().find(|column| column.name == *name);
            column.map(|column| column.number)
        };
        names.iter().map(number).collect()
    };
    let wanted_indexes = wanted.table.indexes().iter().copied();
    let leftovers: Vec<&Index> = (present.iter())
        .filter(|index| {
            let mut ours = wanted_indexes.clone().filter_map(numbers);
            is_leftover(index) && ours.any(|numbers| numbers == index.columns)
        })
        .collect();
    let lacking: Vec<Columns> = wanted_indexes
        .filter(|names| {
            numbers(names).is_some_and(|numbers| {
                !(present.iter()).any(|i| i.serves && i.columns.starts_with(&numbers))
            })
        })
        .collect();
    if lacking.is_empty() && leftovers.is_empty() {
        return Ok(());
    }
    let mut leave = |names: Columns, reason: String| {
        missing.push(MissingIndex {
            table: wanted.table,
            columns: names,
            reason,
        });
    };
    if let Some(reason) = blocked {
        lacking
            .iter()
            .for_each(|names| leave(names, reason.clone()));
        return Ok(());
    }
    // An index that another instance is making looks like one that an interrupted instance left behind; only the
    // holder of this lock, which ends with the session, may tell and drop it. Transactions take one of their own.
    if !session.is_pooled() && !lock(client, session, relation).map_err(failed)? {
        log::info!(
            "another instance is making the indexes of table {}",
            relation.quoted()
        );
        return Ok(());
    }
    let rows = rows(client, session, relation);
    if rows.as_ref().is_err_and(is_lock_wait) {
        *blocked = Some(locked());
    }
    let work = Work {
        session,
        relation,
        concurrently: !session.is_pooled() && relation.kind == "r" && !matches!(rows, Ok(0)),
    };
    if !lacking.is_empty() && rows.is_ok_and(|rows| rows > MANY_ROWS) {
        log::info!(
            "creating {} indexes on table {}: this may take minutes",
            lacking.len(),
            relation.quoted()
        );
    }
    let made = work.all(client, &leftovers, &lacking, blocked, &mut leave);
    if made.is_ok() && !session.is_pooled() {
        let unlock = "SELECT pg_advisory_unlock($1, $2)";
        session
            .query(
                client,
                unlock,
                &[(&LOCK, Type::INT4), (&key(relation), Type::INT4)],
            )
            .map_err(failed)?;
    }
    made
}

/// Whether nobody can use the index, and its name is one that PostgreSQL chose.
fn is_leftover(index: &Index) -> bool {
    let name = index.name.trim_end_matches(|c: char| c.is_ascii_digit());
    !index.valid && !index.is_being_made && name.ends_with("_idx")
}

fn key(relation: &Relation) -> i32 {
    i32::from_ne_bytes(relation.oid.to_ne_bytes())
}

fn lock(
    client: &mut Client,
    session: &Session,
    relation: &Relation,
) -> std::result::Result<bool, postgres::Error> {
    let lock = "SELECT pg_try_advisory_lock($1, $2)";
    session
        .query_one(
            client,
            lock,
            &[(&LOCK, Type::INT4), (&key(relation), Type::INT4)],
        )?
        .try_get(0)
}

/// The number of rows, as far as it matters.
fn rows(
    client: &mut Client,
    session: &Session,
    relation: &Relation,
) -> std::result::Result<i64, postgres::Error> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {}) AS counted",
        relation.quoted(),
        MANY_ROWS + 1
    );
    session.change(client, |transaction| {
        transaction.query_typed_one(&sql, &[])?.try_get(0)
    })
}

impl Work<'_> {
    fn all(
        &self,
        client: &mut Client,
        leftovers: &[&Index],
        lacking: &[Columns],
        blocked: &mut Option<String>,
        leave: &mut dyn FnMut(Columns, String),
    ) -> Result<()> {
        let (server, table) = (&self.session.server, self.relation.quoted());
        let grant = format!("ALTER TABLE {table} OWNER TO \"{}\"", server.user);
        for index in leftovers {
            if blocked.is_some() {
                break;
            }
            match self.run(client, &self.drop(&index.name)) {
                Ok(_) => log::info!(
                    "dropped an unfinished index {} of table {table}",
                    index.name
                ),
                Err(e) if is_lock_wait(&e) => *blocked = Some(locked()),
                Err(e) if e.as_db_error().is_none() => {
                    let tried = format!("cannot drop an unfinished index of table {table}");
                    return Err(server.error(&e, &tried, &grant));
                }
                // It does no harm but that it takes room.
                Err(e) => log::debug!("an unfinished index of table {table} stays: {e}"),
            }
        }
        for names in lacking {
            if let Some(reason) = blocked {
                leave(names, reason.clone());
                continue;
            }
            let columns: Vec<String> = names.iter().map(|name| POSTGRES.quote(name)).collect();
            let concurrently = if self.concurrently {
                "CONCURRENTLY "
            } else {
                ""
            };
            // Without a name, PostgreSQL chooses one that is free: indexes keep theirs when their table is renamed.
            let create = format!(
                "CREATE INDEX {concurrently}ON {table} ({})",
                columns.join(", ")
            );
            match self.run(client, &create) {
                Ok(true) => {}
                Ok(false) => leave(names, "another instance is making it".to_owned()),
                Err(e) if is_lock_wait(&e) => {
                    self.drop_unfinished(client);
                    leave(names, locked());
                    *blocked = Some(locked());
                }
                Err(e) => {
                    let tried = format!(
                        "cannot create an index on {} of table {table}",
                        columns.join(", ")
                    );
                    let error = server.error(&e, &tried, &grant);
                    if error.kind() == ErrorKind::Transient
                        && (e.is_closed() || e.as_db_error().is_none())
                    {
                        return Err(error);
                    }
                    leave(names, error.to_string());
                }
            }
        }
        Ok(())
    }

    fn drop(&self, index: &str) -> String {
        let concurrently = if self.concurrently {
            "CONCURRENTLY "
        } else {
            ""
        };
        format!(
            "DROP INDEX {concurrently}{}.{}",
            POSTGRES.quote(&self.relation.schema),
            POSTGRES.quote(index)
        )
    }

    /// Runs one statement that waits for no lock for long; false where another instance is at it.
    fn run(&self, client: &mut Client, sql: &str) -> std::result::Result<bool, postgres::Error> {
        if self.concurrently {
            client.batch_execute(&lock_timeout("SET", MAX_DDL_LOCK_WAIT))?;
            let done = (self.session.patience).while_rebuilding(|| client.batch_execute(sql));
            let back = client.batch_execute(super::settings::LOCK_TIMEOUT_BACK);
            return done.and(back).map(|()| true);
        }
        self.session.change(client, |transaction| {
            if self.session.is_pooled() {
                let lock = "SELECT pg_try_advisory_xact_lock($1, $2)";
                let key = key(self.relation);
                let row = transaction
                    .query_typed_one(lock, &[(&LOCK, Type::INT4), (&key, Type::INT4)])?;
                if !row.try_get::<_, bool>(0)? {
                    return Ok(false);
                }
            }
            transaction.batch_execute(sql).map(|()| true)
        })
    }

    /// Drops what an interrupted `CREATE INDEX CONCURRENTLY` has left. What can't be dropped now is met again by the next
    /// attempt.
    fn drop_unfinished(&self, client: &mut Client) {
        if !self.concurrently {
            return;
        }
        let present = catalog::indexes(client, self.session, self.relation).unwrap_or_default();
        for index in present.iter().filter(|index| is_leftover(index)) {
            if let Err(e) = self.run(client, &self.drop(&index.name)) {
                log::debug!("an unfinished index stays for now: {e}");
            }
        }
    }
}
