//! Microsoft SQL Server as a destination: against the server that `DBSYNC_TEST_SQLSERVER` names, else against the TDS
//! test server; what only that can play (failures, TLS, the Browser) always against it.

use std::path::Path;
use std::time::{Duration, Instant};

use dbsync2::destination::sql::sqlserver::SqlServerSink;
use dbsync2::destination::sql::url::{Encryption, SqlServerUrl};
use dbsync2::destination::sql::{Sink, StoredContact, Target};
use dbsync2::error::{Error, ErrorKind, Result};
use dbsync2::net::tls::Roots;
use dbsync2::tables::schema::{ColumnKind, Schema, Table};

use crate::sink_rows::{HOSTILE_NAMES, add, empty, odd_texts, one, schema};
use crate::support::database::{Database, fresh_database};
use crate::support::servers::{Kind, certificates};
use crate::support::sqlserver::{SqlServerClient, parsed};
use crate::support::tds::TdsServer;
use crate::support::tds::options::{Options, Rights, User, Version};
use crate::support::tds::wire::prelogin::Encryption as Offer;

mod connection;
mod errors;
mod tables;
mod values;

fn fresh() -> Database {
    fresh_database(Kind::SqlServer)
}

fn open(url: &str) -> Result<SqlServerSink> {
    SqlServerSink::open(&parsed(url), &Roots::load(None)?)
}

/// A sink of a fresh database with these tables.
fn prepared(database: &Database, schema: &Schema) -> SqlServerSink {
    let mut sink = open(&database.url).unwrap();
    assert_eq!(sink.prepare(schema).unwrap(), []);
    sink.index(schema).unwrap();
    sink
}

fn value(database: &Database, sql: &str) -> Option<String> {
    let mut rows = database.query(sql);
    assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
    rows.remove(0).remove(0)
}

/// The type of a column, such as `nvarchar(-1)` for `nvarchar(max)`, or `decimal(38,10)`.
fn column_type(database: &Database, table: &str, column: &str) -> String {
    let mut rows = database.query(&format!(
        "SELECT DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE \
         FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{table}' AND COLUMN_NAME = '{column}'"
    ));
    assert_eq!(rows.len(), 1, "{table}.{column}");
    match rows.remove(0).as_slice() {
        [Some(name), Some(length), ..] => format!("{name}({length})"),
        [Some(name), None, Some(precision), Some(scale)] if name == "decimal" => {
            format!("{name}({precision},{scale})")
        }
        [Some(name), ..] => name.clone(),
        other => panic!("{other:?}"),
    }
}

// From here on, what only the TDS test server can play.

fn tds(options: Options) -> (TdsServer, String) {
    let server = TdsServer::start(options);
    let url = format!("{}?encrypt=false", server.url());
    (server, url)
}

fn small() -> (Schema, dbsync2::tables::batch::Batch) {
    let schema = schema(&[]);
    let batch = one(&schema, Table::Contacts, &[("$id", Some("C1"))]);
    (schema, batch)
}

fn assert_transient(error: Error) {
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
}

fn setup_error(url: &SqlServerUrl, roots: &Roots) -> String {
    let error = SqlServerSink::open(url, roots).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    error.to_string()
}
