//! The PostgreSQL sink against a real server, each test in a schema of its own.

use std::path::PathBuf;

use dbsync2::destination::sql::postgres::PostgresSink;
use dbsync2::destination::sql::url::{DatabaseUrl, Host, PostgresUrl, Servers, TlsMode};
use dbsync2::destination::sql::{Sink, StoredContact};
use dbsync2::error::{Error, ErrorKind};
use dbsync2::net::secret::Secret;
use dbsync2::net::tls::Roots;
use dbsync2::tables::batch::Batch;
use dbsync2::tables::schema::{Column, ColumnKind, Schema, Table};
use postgres::{Client, NoTls, SimpleQueryMessage};

mod connection;
mod foreign;
mod hosts;
mod keys;
mod locks;
mod login;
mod pooled;
mod privileges;
mod refused;
mod settings;
mod tables;
mod values;
mod views;

fn server() -> PostgresUrl {
    let url = std::env::var("DBSYNC_TEST_POSTGRES").expect(
        "DBSYNC_TEST_POSTGRES must hold the URL of a throwaway server (scripts/test.sh starts one)",
    );
    match DatabaseUrl::parse(&url).expect("DBSYNC_TEST_POSTGRES") {
        DatabaseUrl::Postgres(url) => url,
        _ => panic!("DBSYNC_TEST_POSTGRES is no PostgreSQL URL"),
    }
}

fn certificate(name: &str) -> PathBuf {
    let directory = std::env::var("DBSYNC_TEST_CERTIFICATES").expect(
        "DBSYNC_TEST_CERTIFICATES must name the directory with ca.pem, other-ca.pem and server.pem of the \
         server of DBSYNC_TEST_POSTGRES (scripts/test.sh makes them)",
    );
    PathBuf::from(directory).join(name)
}

fn roots() -> Roots {
    Roots::load(None).unwrap()
}

fn host(url: &PostgresUrl) -> Host {
    match &url.servers {
        Servers::Tcp(hosts) => hosts[0].clone(),
        Servers::Socket { .. } => panic!("DBSYNC_TEST_POSTGRES must name a host"),
    }
}

/// A schema, and roles, that end with the test.
struct Database {
    url: PostgresUrl,
    admin: Client,
    schema: String,
    roles: Vec<String>,
}

impl Database {
    fn new(test: &str) -> Self {
        let mut url = server();
        let schema = format!("t_{}_{test}", std::process::id());
        let mut config = postgres::Config::new();
        let at = host(&url);
        config.host(&at.name).port(at.port).dbname(&url.database);
        config
            .user(&url.user)
            .password(url.password.reveal())
            .notice_callback(|_| {});
        let mut admin = config
            .connect(NoTls)
            .expect("DBSYNC_TEST_POSTGRES must answer");
        admin
            .batch_execute(&format!(
                "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET search_path = {schema}"
            ))
            .unwrap();
        url.options = Some(format!("-csearch_path={schema}"));
        url.tls = TlsMode::Disable;
        Database {
            url,
            admin,
            schema,
            roles: Vec::new(),
        }
    }

    fn open(&self) -> PostgresSink {
        PostgresSink::open(&self.url, &roots()).unwrap()
    }

    fn run(&mut self, sql: &str) {
        self.admin
            .batch_execute(sql)
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// Another connection, in the same schema.
    fn client(&self) -> Client {
        let mut config = postgres::Config::new();
        let at = host(&self.url);
        config
            .host(&at.name)
            .port(at.port)
            .dbname(&self.url.database)
            .user(&self.url.user)
            .password(self.url.password.reveal())
            .options(&format!("-csearch_path={}", self.schema));
        config.connect(NoTls).unwrap()
    }

    /// All rows as text; `None` is NULL.
    fn rows(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = self
            .admin
            .simple_query(sql)
            .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|i| row.get(i).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    }

    /// The one value of the one row.
    fn value(&mut self, sql: &str) -> Option<String> {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0][0].clone()
    }

    fn column_type(&mut self, table: &str, column: &str) -> Option<String> {
        let schema = self.schema.clone();
        let rows = self.rows(&format!(
            "SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             WHERE c.relnamespace = '{schema}'::regnamespace AND c.relname = '{table}' AND a.attname = '{column}'"
        ));
        rows.into_iter().next().and_then(|mut row| row.remove(0))
    }

    /// A role with the given privileges on this schema; the URL to log in as it.
    fn role(&mut self, name: &str, grants: &str) -> PostgresUrl {
        let role = format!("{}_{name}", self.schema);
        let database = self.url.database.clone();
        self.run(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'pw'"
        ));
        self.roles.push(role.clone());
        self.run(&format!("GRANT CONNECT ON DATABASE {database} TO {role}"));
        self.run(
            &grants
                .replace("ROLE", &role)
                .replace("SCHEMA_NAME", &self.schema),
        );
        let mut url = self.url.clone();
        url.user = role;
        url.password = Secret::new("pw");
        url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self
            .admin
            .batch_execute(&format!("DROP SCHEMA {} CASCADE", self.schema));
        for role in &self.roles {
            let _ = self
                .admin
                .batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
        }
    }
}

fn batch(schema: &Schema) -> Batch {
    Batch::new(Table::ALL.map(|table| schema.table(table).columns.len()))
}

/// Appends a row; columns that are not named are NULL.
fn add(batch: &mut Batch, schema: &Schema, table: Table, values: &[(&str, &str)]) {
    let rows = batch.rows_mut(table);
    rows.begin();
    for (column, value) in values {
        rows.set(schema.table(table).position(column).expect(column), value);
    }
}

fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
    }
}

/// Writes one contact.
fn write_contact(
    sink: &mut PostgresSink,
    schema: &Schema,
    values: &[(&str, &str)],
) -> Result<(), Error> {
    let mut batch = batch(schema);
    add(&mut batch, schema, Table::Contacts, values);
    sink.write(&batch)
}

fn refused(result: Result<PostgresSink, Error>) -> Error {
    result.err().expect("refused")
}

fn assert_error(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}
