//! SQLite as a destination.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dbsync2::destination::sql::sqlite::SqliteSink;
use dbsync2::destination::sql::{Sink, StoredContact};
use dbsync2::error::ErrorKind;
use dbsync2::tables::schema::{ColumnKind, Table};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::sink_rows::{HOSTILE_NAMES, add, empty, odd_texts, one, schema};

mod file;
mod tables;
mod values;

/// A directory of its own for each test, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("dbsync2-sqlite-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("out.db")
    }

    fn reader(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn value(conn: &Connection, sql: &str) -> Value {
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}
