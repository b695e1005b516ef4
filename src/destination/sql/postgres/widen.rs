//! Making columns wider where a value does not fit, with the views that depend on them, or saying once why that can't be.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use postgres::types::Type;
use postgres::{Client, Transaction};

use super::catalog::Relation;
use super::error::explain;
use super::fit::{Class, Wider};
use super::session::{Session, is_lock_wait, lock_timeout};
use super::views::{self, Dependents};
use crate::destination::sql::MAX_DDL_LOCK_WAIT;
use crate::destination::sql::dialect::POSTGRES;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::schema::Table;
use crate::text;

/// A column that could not be widened is tried again after a minute, then after twice as long each time.
const MIN_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A column that is too narrow, and what it has to become.
#[derive(Debug, Clone)]
pub(super) struct Narrow {
    pub(super) column: String,
    pub(super) class: Class,
    pub(super) to: Wider,
}

/// The columns that could not be widened.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    columns: HashMap<(Table, String), Pause>,
}

#[derive(Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Stuck {
    /// Whether it is too early to try again.
    pub(super) fn holds(&self, table: Table, column: &str) -> bool {
        let key = (table, column.to_owned());
        (self.columns.get(&key)).is_some_and(|pause| Instant::now() < pause.until)
    }

    /// It could not be widened.
    pub(super) fn add(&mut self, table: Table, column: &str) {
        let key = (table, column.to_owned());
        let length = (self.columns.get(&key)).map_or(MIN_PAUSE, |pause| {
            pause.length.saturating_mul(2).min(MAX_PAUSE)
        });
        let until = Instant::now() + length;
        self.columns.insert(key, Pause { until, length });
    }
}

/// Why columns stay as they are.
enum Refusal {
    /// The server said so.
    Server(postgres::Error),
    /// Something of the users' would be lost.
    Obstacles(Vec<String>),
    /// This view could not be made again as it was.
    View(String, Option<postgres::Error>),
}

impl From<postgres::Error> for Refusal {
    fn from(error: postgres::Error) -> Self {
        Refusal::Server(error)
    }
}

/// Widens columns of one table, all or none of them.
///
/// # Errors
/// [`Setup`](ErrorKind::Setup) where nothing was changed, with what prevents it and what to do, and
/// [`Data`](ErrorKind::Data) where others hold a lock for long; [`Transient`](ErrorKind::Transient) where the connection
/// is lost.
pub(super) fn widen(
    client: &mut Client,
    session: &Session,
    relation: &Relation,
    columns: &[Narrow],
) -> Result<()> {
    let table = relation.quoted();
    let changed = session.change(client, |transaction| {
        change(transaction, session, relation, columns)
    });
    let names: Vec<String> = (columns.iter())
        .map(|narrow| POSTGRES.quote(&narrow.column))
        .collect();
    match changed {
        Ok(views) => {
            for (narrow, name) in columns.iter().zip(&names) {
                log::warn!(
                    "column {name} of table {table} was too narrow for a value: it is now {}",
                    type_of(narrow.to)
                );
            }
            if !views.is_empty() {
                log::warn!(
                    "views that depend on table {table} were dropped for that and made again as they were: {}",
                    views.join(", ")
                );
            }
            Ok(())
        }
        Err(refusal) => Err(error(session, relation, columns, &names, refusal)),
    }
}

fn error(
    session: &Session,
    relation: &Relation,
    columns: &[Narrow],
    names: &[String],
    refusal: Refusal,
) -> Error {
    let (server, table) = (&session.server, relation.quoted());
    let cannot = format!(
        "cannot widen {} {} of table {table}",
        if names.len() == 1 {
            "column"
        } else {
            "columns"
        },
        names.join(", ")
    );
    let what = format!("{cannot} in PostgreSQL at {}", server.address);
    let set_aside = "rows with values that don't fit are set aside until then";
    let remedy = || {
        let clauses: Vec<String> = (columns.iter().zip(names))
            .map(|(narrow, name)| format!("ALTER COLUMN {name} TYPE {}", type_of(narrow.to)))
            .collect();
        format!(
            "drop what is named here, run ALTER TABLE {table} {}, and make it again",
            clauses.join(", ")
        )
    };
    match refusal {
        Refusal::Server(e) if is_lock_wait(&e) => Error::data(format!(
            "{what}: others have held a lock on it, or on a view that depends on it, for more than {} s; {set_aside}",
            MAX_DDL_LOCK_WAIT.as_secs()
        )),
        Refusal::Server(e) => match e.as_db_error() {
            None => server.error(&e, &cannot, ""),
            Some(db) => {
                let grant = format!("ALTER TABLE {table} OWNER TO \"{}\"", server.user);
                let (kind, reason) = explain(db, &grant);
                let detail = db.detail().map(text::foreign).unwrap_or_default();
                let kind = match kind {
                    ErrorKind::Transient => ErrorKind::Transient,
                    _ => ErrorKind::Setup,
                };
                // What depends on the column is named in the detail of these.
                let detail = match db.code().code() {
                    "0A000" | "2BP01" => format!(": {detail} ({})", remedy()),
                    _ => String::new(),
                };
                Error::new(kind, format!("{what}: {reason}{detail}; {set_aside}"))
            }
        },
        Refusal::Obstacles(obstacles) => Error::setup(format!(
            "{what}, as it is needed by {}; {set_aside} ({})",
            obstacles.join(", "),
            remedy()
        )),
        Refusal::View(view, e) => {
            let reason = e
                .as_ref()
                .and_then(postgres::Error::as_db_error)
                .map_or_else(
                    || "it would not be as it was".to_owned(),
                    |db| text::foreign(db.message()),
                );
            Error::setup(format!(
                "{what}, as view {view} depends on it and could not be made again: {reason}; {set_aside} ({})",
                remedy()
            ))
        }
    }
}

fn type_of(to: Wider) -> &'static str {
    match to {
        Wider::Numeric => "numeric",
        Wider::Text => "text",
    }
}

/// Returns the names of the views that were made again.
fn change(
    transaction: &mut Transaction<'_>,
    session: &Session,
    relation: &Relation,
    columns: &[Narrow],
) -> std::result::Result<Vec<String>, Refusal> {
    let table = relation.quoted();
    let begin = Instant::now();
    // Readers wait behind the first lock that we hold while we wait for the last: all waits together have one limit.
    let limit = |transaction: &mut Transaction<'_>| {
        let left = MAX_DDL_LOCK_WAIT.saturating_sub(begin.elapsed());
        transaction.batch_execute(&lock_timeout("SET LOCAL", left))
    };
    transaction.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))?;
    let names: Vec<&str> = columns
        .iter()
        .map(|narrow| narrow.column.as_str())
        .collect();
    let found = Dependents::of(transaction, session, relation, &names)?;
    if !found.obstacles.is_empty() {
        return Err(Refusal::Obstacles(found.obstacles));
    }
    for view in &found.views {
        limit(transaction)?;
        views::lock(transaction, view)?;
    }
    limit(transaction)?;
    let path: String = transaction
        .query_typed_one("SELECT pg_catalog.current_setting('search_path')", &[])?
        .try_get(0)?;
    let search = |transaction: &mut Transaction<'_>, path: &str| {
        let sql = "SELECT pg_catalog.set_config('search_path', $1, true)";
        transaction.query_typed(sql, &[(&path, Type::TEXT)])
    };
    // Without one, all names in definitions are qualified. Functions in constraints may rely on it.
    search(transaction, "")?;
    let dropped = views::drop_all(transaction, session, found.views.clone())?;
    search(transaction, &path)?;
    for narrow in columns {
        let name = POSTGRES.quote(&narrow.column);
        // Text columns hold our booleans as 1 and 0.
        let using = match narrow.class {
            Class::Bool => format!(" USING CASE {name} WHEN true THEN '1' WHEN false THEN '0' END"),
            _ => String::new(),
        };
        transaction.batch_execute(&format!(
            "ALTER TABLE {table} ALTER COLUMN {name} TYPE {}{using}",
            type_of(narrow.to)
        ))?;
    }
    search(transaction, "")?;
    for (view, dropped) in found.views.iter().zip(&dropped) {
        match dropped.restore(transaction, session) {
            Ok(true) => {}
            Ok(false) => return Err(Refusal::View(view.name.clone(), None)),
            Err(e) if e.as_db_error().is_some() && !is_lock_wait(&e) => {
                return Err(Refusal::View(view.name.clone(), Some(e)));
            }
            Err(e) => return Err(e.into()),
        }
    }
    search(transaction, &path)?;
    Ok(found.views.into_iter().map(|view| view.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stuck_is_tried_again_after_growing_pauses() {
        let mut stuck = Stuck::default();
        assert!(!stuck.holds(Table::Contacts, "a"));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            stuck.add(Table::Contacts, "a");
            let pause = stuck.columns.values().next();
            pauses.push(pause.map(|pause| pause.length.as_secs() / 60));
        }
        let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(Some);
        assert_eq!(pauses, expected);
        assert!(stuck.holds(Table::Contacts, "a"));
        assert!(!stuck.holds(Table::Recordings, "a"));
    }
}
