//! Databases of one test each, and what is stored in them, as text that compares equal across the four kinds.

use std::collections::BTreeMap;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use mysql::consts::ColumnType;
use mysql::prelude::Queryable;
use postgres::types::Type;
use postgres::{NoTls, SimpleQueryMessage};
use rusqlite::types::ValueRef;

use super::servers::{Kind, PrivateServer, mysql_url, postgres_url, sqlserver_url};
use super::sqlserver::{SqlServerClient, address, parsed};
use super::tds::TdsServer;
use super::tds::options::Options;
use super::temp::TempDir;

mod stream;

pub use stream::{OnRow, plain_decimal};
use stream::{stream_mysql, stream_postgres, stream_sqlite};

/// A row by column name; `None` is NULL. Numbers are plain decimals without needless zeros, booleans `1` and `0`.
pub type Row = BTreeMap<String, Option<String>>;

/// A table by the values of its first column.
pub type Dump = BTreeMap<String, Row>;

/// A database; one made by [`fresh_database`] vanishes when dropped, together with the connections to it.
pub struct Database {
    pub kind: Kind,
    /// The address as the program takes it.
    pub url: String,
    created: Option<Created>,
    _dir: Option<TempDir>,
    server: Option<TdsServer>,
}

/// What is to be dropped with a [`Database`].
struct Created {
    name: String,
    /// The server's own database, to do it from.
    server_url: String,
}

/// An empty database that no other test knows.
pub fn fresh_database(kind: Kind) -> Database {
    let server_url = match kind {
        Kind::Postgres => postgres_url(),
        Kind::Mysql => mysql_url(),
        Kind::SqlServer => match sqlserver_url() {
            Some(url) => url,
            None => {
                let server = TdsServer::start(Options::default());
                return Database {
                    kind,
                    url: format!("{}?encrypt=false", server.url()),
                    created: None,
                    _dir: None,
                    server: Some(server),
                };
            }
        },
        Kind::Sqlite => {
            let dir = TempDir::new();
            let url = format!("sqlite:{}/test.db", dir.path().display());
            return Database {
                kind,
                url,
                created: None,
                _dir: Some(dir),
                server: None,
            };
        }
    };
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("dbsync_test_{}_{number}", process::id());
    let url = match kind {
        Kind::SqlServer => {
            let server = parsed(&server_url);
            address(&server, &server.hosts[0], &name)
        }
        _ => {
            let (server, _) = server_url
                .rsplit_once('/')
                .expect("a database address ends with /name");
            format!("{server}/{name}")
        }
    };
    // An earlier process of the same number may have been killed before it could drop its databases.
    drop_database(kind, &server_url, &name).unwrap();
    run(kind, &server_url, &format!("CREATE DATABASE {name}")).unwrap();
    Database {
        kind,
        url,
        created: Some(Created { name, server_url }),
        _dir: None,
        server: None,
    }
}

impl PrivateServer {
    /// Its database.
    pub fn database(&self) -> Database {
        Database::at(self.kind, self.url.clone())
    }
}

impl Database {
    /// A database that is there, and stays.
    pub fn at(kind: Kind, url: String) -> Database {
        Database {
            kind,
            url,
            created: None,
            _dir: None,
            server: None,
        }
    }

    /// Whether somebody stands before a lock of SQL Server.
    pub fn somebody_waits_in_sql_server(&self) -> bool {
        match &self.server {
            Some(server) => server.controls().waiting() > 0,
            None => !self
                .query("SELECT session_id FROM sys.dm_exec_requests WHERE blocking_session_id <> 0")
                .is_empty(),
        }
    }

    /// The shared server's own database, to make and drop others from.
    pub fn of_server(kind: Kind) -> Database {
        let url = match kind {
            Kind::Postgres => postgres_url(),
            Kind::Mysql => mysql_url(),
            Kind::Sqlite | Kind::SqlServer => panic!("{kind:?} has no server of its own"),
        };
        Database {
            kind,
            url,
            created: None,
            _dir: None,
            server: None,
        }
    }

    /// Runs statements, separated by semicolons.
    pub fn execute(&self, sql: &str) {
        run(self.kind, &self.url, sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
    }

    /// The rows of a SELECT, values in the order of its columns.
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut rows = Vec::new();
        self.stream(sql, &mut |_, values| rows.push(values))
            .unwrap_or_else(|e| panic!("{e}: {sql}"));
        rows
    }

    /// A whole table, by its first column.
    pub fn dump(&self, table: &str) -> Dump {
        let mut dump = Dump::new();
        self.for_each_row(table, |key, row| {
            if dump.insert(key.to_owned(), row).is_some() {
                panic!("{table} holds the key {key} twice");
            }
        });
        dump
    }

    /// Each row of a table with the value of its first column, in no order, without holding more than some of them.
    pub fn for_each_row(&self, table: &str, mut on_row: impl FnMut(&str, Row)) {
        let undeclared = match self.kind {
            Kind::Sqlite => self
                .query(&format!(
                    "SELECT name FROM pragma_table_info('{}') WHERE type = ''",
                    table.replace('\'', "''")
                ))
                .into_iter()
                .filter_map(|mut row| row.remove(0))
                .collect(),
            _ => Vec::new(),
        };
        self.for_each_row_as_stored(table, |key, mut row| {
            // SQLite's exact numbers are texts in columns without a type.
            for column in &undeclared {
                if let Some(Some(value)) = row.get_mut(column) {
                    *value = plain_decimal(value);
                }
            }
            on_row(key, row);
        });
    }

    /// The same; numbers that SQLite holds as texts are not normalised.
    pub fn for_each_row_as_stored(&self, table: &str, mut on_row: impl FnMut(&str, Row)) {
        self.stream(
            &format!("SELECT * FROM {}", self.kind.quote(table)),
            &mut |columns, values| {
                let key = values[0]
                    .clone()
                    .unwrap_or_else(|| panic!("{table} holds a row without key"));
                on_row(&key, columns.iter().cloned().zip(values).collect());
            },
        )
        .unwrap_or_else(|e| panic!("cannot read {table}: {e}"));
    }

    fn stream(&self, sql: &str, on_row: OnRow<'_>) -> Result<(), String> {
        match self.kind {
            Kind::Postgres => {
                stream_postgres(&self.url, sql, on_row).map_err(|e| postgres_message(&e))
            }
            Kind::Mysql => stream_mysql(&self.url, sql, on_row).map_err(|e| e.to_string()),
            Kind::Sqlite => stream_sqlite(&self.url, sql, on_row).map_err(|e| e.to_string()),
            Kind::SqlServer => SqlServerClient::connect(&self.url)?.stream(sql, on_row),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(Created { name, server_url }) = &self.created {
            let dropped = drop_database(self.kind, server_url, name);
            if let (Err(message), false) = (dropped, std::thread::panicking()) {
                panic!("cannot drop {name}: {message}");
            }
        }
    }
}

impl Kind {
    /// A quoted name.
    pub fn quote(self, name: &str) -> String {
        let (open, close) = match self {
            Kind::Mysql => ("`", "`"),
            Kind::SqlServer => ("[", "]"),
            Kind::Postgres | Kind::Sqlite => ("\"", "\""),
        };
        format!("{open}{}{close}", name.replace(close, &close.repeat(2)))
    }
}

fn run(kind: Kind, url: &str, sql: &str) -> Result<(), String> {
    match kind {
        Kind::Postgres => postgres::Client::connect(url, NoTls)
            .and_then(|mut client| client.batch_execute(sql))
            .map_err(|e| postgres_message(&e)),
        Kind::Mysql => run_mysql(url, sql).map_err(|e| e.to_string()),
        Kind::Sqlite => open_sqlite(url)
            .and_then(|client| client.execute_batch(sql))
            .map_err(|e| e.to_string()),
        Kind::SqlServer => SqlServerClient::connect(url)?.run(sql),
    }
}

fn run_mysql(url: &str, sql: &str) -> Result<(), mysql::Error> {
    let mut client = mysql::Conn::new(mysql::Opts::from_url(url)?)?;
    // The errors of the second and later statements come with their results.
    let mut results = client.query_iter(sql)?;
    while let Some(result) = results.iter() {
        for row in result {
            row?;
        }
    }
    Ok(())
}

fn open_sqlite(url: &str) -> rusqlite::Result<rusqlite::Connection> {
    let client =
        rusqlite::Connection::open(url.strip_prefix("sqlite:").expect("an address of SQLite"))?;
    client.busy_timeout(std::time::Duration::from_secs(30))?;
    Ok(client)
}

fn drop_database(kind: Kind, server_url: &str, name: &str) -> Result<(), String> {
    if kind == Kind::Postgres {
        return run(
            kind,
            server_url,
            &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        );
    }
    if kind == Kind::SqlServer {
        let mut server = SqlServerClient::connect(server_url)?;
        // Ends the sessions in it; what is compatible with SQL Server may not know this.
        let _ = server.run(&format!(
            "IF DB_ID('{name}') IS NOT NULL ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"
        ));
        return server.run(&format!(
            "IF DB_ID('{name}') IS NOT NULL DROP DATABASE {name}"
        ));
    }
    // An open transaction would make DROP DATABASE wait for it.
    let server = Database {
        kind,
        url: server_url.to_owned(),
        created: None,
        _dir: None,
        server: None,
    };
    let connections = format!("SELECT id FROM information_schema.processlist WHERE db = '{name}'");
    server.stream(&connections, &mut |_, id| {
        // It may have ended meanwhile.
        let _ = run(
            kind,
            server_url,
            &format!("KILL {}", id[0].as_deref().unwrap()),
        );
    })?;
    run(kind, server_url, &format!("DROP DATABASE IF EXISTS {name}"))
}

/// The server's own words; the error's text alone is "db error".
fn postgres_message(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |e| format!("{} ({})", e.message(), e.code().code()),
    )
}
