//! Somebody else who keeps everybody from writing to the contacts table, or from altering it.

use std::time::Duration;

use mysql::prelude::Queryable;

use super::database::Database;
use super::servers::Kind;
use super::sqlserver::SqlServerClient;

/// A connection that holds the table; gone with it.
pub enum Locked {
    Postgres(Box<postgres::Client>),
    Mysql(mysql::Conn),
    Sqlite(rusqlite::Connection),
    SqlServer(Box<SqlServerClient>),
}

impl Locked {
    /// Takes the lock.
    ///
    /// # Errors
    /// Where somebody else has it for longer than some seconds, or there is no table yet.
    pub fn new(database: &Database) -> Result<Locked, String> {
        let text = |error: &dyn ToString| error.to_string();
        match database.kind {
            Kind::Postgres => {
                let mut client = postgres::Client::connect(&database.url, postgres::NoTls)
                    .map_err(|e| text(&e))?;
                client
                    .batch_execute(
                        "SET lock_timeout = '10s'; BEGIN; \
                         LOCK TABLE dfire_contacts IN ACCESS EXCLUSIVE MODE",
                    )
                    .map_err(|e| text(&e))?;
                Ok(Locked::Postgres(Box::new(client)))
            }
            Kind::Mysql => {
                let options = mysql::Opts::from_url(&database.url).map_err(|e| text(&e))?;
                let mut client = mysql::Conn::new(options).map_err(|e| text(&e))?;
                for sql in [
                    "SET lock_wait_timeout = 10",
                    "LOCK TABLES dfire_contacts WRITE",
                ] {
                    client.query_drop(sql).map_err(|e| text(&e))?;
                }
                Ok(Locked::Mysql(client))
            }
            Kind::Sqlite => {
                let path = database.url.strip_prefix("sqlite:").unwrap();
                let client = rusqlite::Connection::open(path).map_err(|e| text(&e))?;
                client
                    .busy_timeout(Duration::from_secs(30))
                    .and_then(|()| client.execute_batch("BEGIN EXCLUSIVE"))
                    .map_err(|e| text(&e))?;
                Ok(Locked::Sqlite(client))
            }
            Kind::SqlServer => {
                let mut client = SqlServerClient::connect(&database.url)?;
                client.run("SET LOCK_TIMEOUT 10000")?;
                client.run(
                    "BEGIN TRANSACTION; DELETE FROM dfire_contacts WITH (TABLOCKX) WHERE [$id] = ''",
                )?;
                Ok(Locked::SqlServer(Box::new(client)))
            }
        }
    }

    /// Reads the table in a transaction that stays open: rows can be written, and the table can't be altered.
    ///
    /// # Errors
    /// As [`Locked::new`].
    pub fn reading(database: &Database) -> Result<Locked, String> {
        let text = |error: &dyn ToString| error.to_string();
        match database.kind {
            Kind::Postgres => {
                let mut client = postgres::Client::connect(&database.url, postgres::NoTls)
                    .map_err(|e| text(&e))?;
                client
                    .batch_execute("BEGIN; SELECT count(*) FROM dfire_contacts")
                    .map_err(|e| text(&e))?;
                Ok(Locked::Postgres(Box::new(client)))
            }
            Kind::Mysql => {
                let options = mysql::Opts::from_url(&database.url).map_err(|e| text(&e))?;
                let mut client = mysql::Conn::new(options).map_err(|e| text(&e))?;
                for sql in ["BEGIN", "SELECT count(*) FROM dfire_contacts"] {
                    client.query_drop(sql).map_err(|e| text(&e))?;
                }
                Ok(Locked::Mysql(client))
            }
            kind => panic!("a reader of {kind:?} keeps others from writing"),
        }
    }

    /// Gives it back.
    pub fn release(self) {
        match self {
            Locked::Postgres(mut client) => client.batch_execute("COMMIT").unwrap(),
            Locked::Mysql(mut client) => {
                client.query_drop("UNLOCK TABLES").unwrap();
                client.query_drop("COMMIT").unwrap();
            }
            Locked::Sqlite(client) => client.execute_batch("ROLLBACK").unwrap(),
            Locked::SqlServer(mut client) => client.run("ROLLBACK TRANSACTION").unwrap(),
        }
    }
}
