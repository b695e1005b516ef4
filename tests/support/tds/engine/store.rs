//! The databases: SQLite files in a directory that vanishes with the server, one connection per session.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::super::super::temp::TempDir;
use super::catalogue::{self, Place, same_name};
use super::checks::Checks;
use super::functions::{self, SharedState};
use super::system_views;

pub struct Store {
    directory: TempDir,
    databases: Vec<String>,
    compatible: bool,
    /// One connection per database: the last one to close would lock the others out while it tidies up.
    kept_open: Mutex<Vec<Connection>>,
    /// Application locks: resource and the session that holds it.
    application_locks: Mutex<Vec<(String, u16)>>,
    pub checks: Checks,
}

impl Store {
    pub fn new(databases: &[String], compatible: bool) -> Self {
        let store = Store {
            directory: TempDir::new(),
            databases: databases.to_vec(),
            compatible,
            kept_open: Mutex::new(Vec::new()),
            application_locks: Mutex::new(Vec::new()),
            checks: Checks::default(),
        };
        for database in &store.databases {
            let shared = SharedState::default();
            let connection = store
                .connect(database, &shared)
                .expect("a new SQLite database");
            connection
                .execute_batch("PRAGMA journal_mode = WAL")
                .expect("SQLite can write ahead");
            catalogue::create(&connection, Place::Main).expect("a new catalogue");
            system_views::create(&connection, Place::Main, database, compatible)
                .expect("new views");
            connection
                .execute_batch("CREATE TABLE main.tds_lock(taken INTEGER); INSERT INTO main.tds_lock VALUES (0)")
                .expect("a new table");
            store
                .kept_open
                .lock()
                .expect("nobody else has it yet")
                .push(connection);
        }
        store
    }

    /// The database's name as it was created.
    pub fn database(&self, name: &str) -> Option<&str> {
        self.databases
            .iter()
            .map(String::as_str)
            .find(|known| same_name(known, name))
    }

    /// A session's connection, tempdb included.
    pub fn open(&self, database: &str, shared: &SharedState) -> rusqlite::Result<Connection> {
        let connection = self.connect(database, shared)?;
        catalogue::create(&connection, Place::Temp)?;
        system_views::create(&connection, Place::Temp, "tempdb", self.compatible)?;
        // From here on waiting is the session's business, which has to look for attention signals meanwhile.
        connection.busy_timeout(Duration::ZERO)?;
        Ok(connection)
    }

    fn connect(&self, database: &str, shared: &SharedState) -> rusqlite::Result<Connection> {
        let at = self
            .databases
            .iter()
            .position(|known| known == database)
            .expect("a known database");
        let connection = Connection::open(self.directory.path().join(format!("{at}.db")))?;
        // The last session to go may be tidying up the files.
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA case_sensitive_like = ON;
             PRAGMA wal_autocheckpoint = 10000",
        )?;
        connection.set_prepared_statement_cache_capacity(64);
        functions::register(&connection, shared)?;
        Ok(connection)
    }

    /// Takes an application lock, unless another session holds it.
    pub fn lock(&self, resource: &str, session: u16) -> bool {
        let mut locks = self.locks();
        let free = locks
            .iter()
            .all(|(held, by)| held != resource || *by == session);
        if free {
            locks.push((resource.to_owned(), session));
        }
        free
    }

    /// Gives one back; whether it was held.
    pub fn unlock(&self, resource: &str, session: u16) -> bool {
        let mut locks = self.locks();
        let found = locks
            .iter()
            .position(|(held, by)| held == resource && *by == session);
        if let Some(at) = found {
            locks.remove(at);
        }
        found.is_some()
    }

    pub fn unlock_all(&self, session: u16) {
        self.locks().retain(|(_, by)| *by != session);
    }

    fn locks(&self) -> std::sync::MutexGuard<'_, Vec<(String, u16)>> {
        self.application_locks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Whether SQLite says that another session has the lock.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

pub type SharedStore = Arc<Store>;
