//! MySQL and MariaDB as a destination, against the server that `DBSYNC_TEST_MYSQL` names.
//!
//! The URL is that of an account with all privileges, such as `mysql://user:password@127.0.0.1:3306/test`. The server
//! must run on this machine and have TLS, with a certificate for its host.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use dbsync2::destination::sql::mysql::MysqlSink;
use dbsync2::destination::sql::url::{DatabaseUrl, Host, MysqlUrl, Servers, TlsMode};
use dbsync2::destination::sql::{Sink, StoredContact};
use dbsync2::error::{Error, ErrorKind, Result};
use dbsync2::net::tls::Roots;
use dbsync2::tables::schema::{ColumnKind, Table};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

use crate::sink_rows::{HOSTILE_NAMES, add, empty, odd_texts, one, schema};
use crate::support::proxy::Proxy;
use crate::support::servers::certificates;

mod connection;
mod held;
mod limits;
mod methods;
mod old_tables;
mod settings;
mod silent;
mod tables;
mod tls;
mod unique;
mod values;

fn server() -> MysqlUrl {
    let url = std::env::var("DBSYNC_TEST_MYSQL")
        .expect("DBSYNC_TEST_MYSQL must name a MySQL server, such as mysql://user:password@127.0.0.1:3306/test");
    match DatabaseUrl::parse(&url) {
        Ok(DatabaseUrl::Mysql(url)) => url,
        other => panic!("DBSYNC_TEST_MYSQL is no MySQL URL: {other:?}"),
    }
}

fn host() -> Host {
    match server().servers {
        Servers::Tcp(hosts) => hosts[0].clone(),
        Servers::Socket { .. } => panic!("DBSYNC_TEST_MYSQL must name a host and port"),
    }
}

/// A database of its own for each test, dropped at the end, and a connection to look into it.
struct Database {
    name: String,
    conn: Conn,
    users: Vec<String>,
}

impl Database {
    fn new(test: &str) -> Self {
        let url = server();
        let opts = OptsBuilder::new()
            .ip_or_hostname(Some(host().name))
            .tcp_port(host().port)
            .user(Some(&url.user))
            .pass(Some(url.password.reveal()))
            .prefer_socket(false);
        let mut conn = Conn::new(opts).expect("the server of DBSYNC_TEST_MYSQL");
        let name = format!("dbsync_test_{test}_{}", std::process::id());
        conn.query_drop(format!("DROP DATABASE IF EXISTS {name}"))
            .unwrap();
        conn.query_drop(format!("CREATE DATABASE {name}")).unwrap();
        conn.select_db(&name).unwrap();
        conn.query_drop("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
            .unwrap();
        Database {
            name,
            conn,
            users: Vec::new(),
        }
    }

    fn url(&self) -> MysqlUrl {
        MysqlUrl {
            database: self.name.clone(),
            ..server()
        }
    }

    fn sink(&self) -> MysqlSink {
        open(&self.url()).unwrap()
    }

    /// A user who may do `grant` on this database, and nothing else.
    fn user(&mut self, suffix: &str, grant: &str) -> MysqlUrl {
        let user = format!("dbs_{suffix}_{}", std::process::id());
        self.run(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'pw'"));
        self.run(&format!("GRANT {grant} ON {}.* TO {user}@'%'", self.name));
        self.users.push(user.clone());
        let password = server().password;
        let password = if password.reveal() == "pw" {
            password
        } else {
            dbsync2::net::secret::Secret::new("pw")
        };
        MysqlUrl {
            user,
            password,
            ..self.url()
        }
    }

    fn run(&mut self, sql: &str) {
        self.conn
            .query_drop(sql)
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// All rows, values joined with `|`.
    fn rows(&mut self, sql: &str) -> Vec<String> {
        let rows: Vec<mysql::Row> = self
            .conn
            .query(sql)
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        rows.into_iter()
            .map(|row| {
                let values = row.unwrap().into_iter().map(|value| match value {
                    mysql::Value::NULL => "NULL".to_owned(),
                    mysql::Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
                    other => other.as_sql(false),
                });
                values.collect::<Vec<_>>().join("|")
            })
            .collect()
    }

    fn column_type(&mut self, table: &str, column: &str) -> String {
        self.rows(&format!(
            "SELECT COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' AND COLUMN_NAME = '{column}'"
        ))
        .concat()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self
            .conn
            .query_drop(format!("DROP DATABASE IF EXISTS {}", self.name));
        for user in &self.users {
            let _ = self
                .conn
                .query_drop(format!("DROP USER IF EXISTS {user}@'%'"));
        }
    }
}

fn open(url: &MysqlUrl) -> Result<MysqlSink> {
    MysqlSink::open(url, &Roots::load(None).unwrap())
}

fn open_error(url: &MysqlUrl) -> Error {
    open(url).err().expect("refused")
}

/// What a server says that makes the client's library panic: a greeting, then, in answer to the log-in, that the password
/// is wanted under a public key, and a key that is none.
pub fn greeting_and_a_key_that_is_none() -> Vec<u8> {
    let mut body = b"\x0a8.0.36\0\x01\0\0\0abcdefgh\0".to_vec();
    // CLIENT_PROTOCOL_41 and CLIENT_SECURE_CONNECTION, utf8, autocommit, CLIENT_PLUGIN_AUTH, 21 bytes of scramble.
    body.extend(b"\x00\x82\x21\x02\x00\x08\x00\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2_password\0");
    let mut packets = Vec::new();
    for (sequence, body) in [
        (0, &body[..]),
        (2, b"\x01\x04"),
        (4, b"\x01-----BEGIN NONSENSE-----"),
    ] {
        packets.extend([u8::try_from(body.len()).unwrap(), 0, 0, sequence]);
        packets.extend(body);
    }
    packets
}
