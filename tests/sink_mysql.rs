//! MySQL and MariaDB as a destination, against the server that `DBSYNC_TEST_MYSQL` names.
//!
//! The URL is that of an account with all privileges, such as `mysql://user:password@127.0.0.1:3306/test`. The server
//! must run on this machine and have TLS, with a certificate for its host.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use dbsync2::error::{Error, ErrorKind, Result};
use dbsync2::sink::mysql::MysqlSink;
use dbsync2::sink::url::{DatabaseUrl, Host, MysqlUrl, Servers, TlsMode};
use dbsync2::sink::{Sink, StoredContact};
use dbsync2::tables::schema::{ColumnKind, Table};
use dbsync2::tls::Roots;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

use crate::sink_rows::{HOSTILE_NAMES, add, empty, odd_texts, one, schema};
use crate::support::proxy::Proxy;
use crate::support::servers::certificates;

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
            dbsync2::cli::settings::Secret::new("pw")
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

/// As a server does whose disk or machine stands still, or a firewall that has forgotten the connection.
#[test]
fn a_connection_on_which_nothing_comes_any_more_is_given_up() {
    let mut db = Database::new("standstill");
    let schema = schema(&[]);
    let proxy = Proxy::start(&host().name, host().port);
    for tls in [TlsMode::Disable, TlsMode::Require] {
        let url = MysqlUrl {
            servers: Servers::Tcp(vec![Host {
                name: "127.0.0.1".to_owned(),
                port: proxy.port(),
            }]),
            tls,
            ..db.url()
        };
        let roots = Roots::load(None).unwrap();
        let seconds = Duration::from_secs;
        let mut sink = MysqlSink::open_waiting(&url, &roots, seconds(1), seconds(2)).unwrap();
        sink.prepare(&schema).unwrap();
        let row = |id| one(&schema, Table::Contacts, &[("$id", Some(id))]);
        sink.write(&row("A")).unwrap();
        proxy.silence();
        let error = sink.write(&row("B")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        assert!(
            error
                .to_string()
                .contains("no answer within the time limit"),
            "{error}"
        );
        drop(sink);
        let mut sink = open(&url).unwrap();
        sink.prepare(&schema).unwrap();
        sink.write(&row("B")).unwrap();
        let table = &schema.table(Table::Contacts).name;
        let ids = db.rows(&format!("SELECT `$id` FROM {table} ORDER BY 1"));
        assert_eq!(ids, ["A", "B"]);
        db.run(&format!("DELETE FROM {table}"));
    }
}

#[test]
fn every_text_comes_back_and_later_rows_replace_earlier_ones() {
    let mut db = Database::new("texts");
    let schema = schema(&[("note", ColumnKind::Text), ("other", ColumnKind::Text)]);
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let texts = odd_texts();
    let mut batch = empty(&schema);
    for (i, text) in texts.iter().enumerate() {
        let id = format!("id{i}");
        let row = [
            ("$id", Some(id.as_str())),
            ("note", Some(text.as_str())),
            ("other", Some("set")),
        ];
        add(&mut batch, &schema, Table::Contacts, &row);
    }
    sink.write(&batch).unwrap();
    for (i, text) in texts.iter().enumerate() {
        let found = db.rows(&format!(
            "SELECT note FROM dfire_contacts WHERE `$id` = 'id{i}'"
        ));
        assert_eq!(found, [text.as_str()]);
    }
    sink.write(&one(
        &schema,
        Table::Contacts,
        &[("$id", Some("id2")), ("other", Some("new"))],
    ))
    .unwrap();
    assert_eq!(
        db.rows("SELECT note, other FROM dfire_contacts WHERE `$id` = 'id2'"),
        ["NULL|new"]
    );
    assert_eq!(
        db.rows("SELECT count(*) FROM dfire_contacts"),
        [texts.len().to_string()]
    );
}

#[test]
fn new_rows_are_loaded_and_those_that_are_there_after_all_are_replaced() {
    let mut db = Database::new("load");
    let schema = schema(&[("note", ColumnKind::Text), ("n", ColumnKind::Number)]);
    db.sink().prepare(&schema).unwrap();
    // Without UPDATE the server refuses the statement that replaces rows.
    let url = db.user("load", "SELECT, INSERT, DELETE, CREATE, ALTER, INDEX");
    let mut sink = open(&url).unwrap();
    sink.prepare(&schema).unwrap();
    let texts = odd_texts();
    let new = |from: usize, to: usize, note: &dyn Fn(usize) -> String| {
        let mut new = empty(&schema);
        for i in from..to {
            let (id, note) = (format!("id{i}"), note(i));
            let row = [
                ("$id", Some(id.as_str())),
                ("note", Some(note.as_str())),
                ("n", Some("-12.5")),
            ];
            add(&mut new, &schema, Table::Contacts, &row);
            let row = [("id", Some(id.as_str())), ("isHI", Some("1"))];
            add(&mut new, &schema, Table::Transactions, &row);
        }
        new.is_new = true;
        new
    };
    sink.write(&new(0, texts.len(), &|i| texts[i].clone()))
        .unwrap();
    for (i, text) in texts.iter().enumerate() {
        let found = db.rows(&format!(
            "SELECT note FROM dfire_contacts WHERE `$id` = 'id{i}'"
        ));
        assert_eq!(found, [text.as_str()]);
    }
    let sql = "SELECT n = -12.5, `$status`, isHI, revoked FROM dfire_contacts \
               JOIN dfire_transactions ON id = `$id` WHERE `$id` = 'id3'";
    assert_eq!(db.rows(sql), ["1|NULL|1|NULL"]);

    // One of them is there: everything is undone, and written by statements, for which the privilege lacks …
    let (last, end) = (texts.len() - 1, texts.len() + 5);
    let later = new(last, end, &|i| format!("later {i}"));
    sink.write(&later).unwrap_err();
    let count = "SELECT count(*) FROM dfire_contacts WHERE note LIKE 'later %'";
    assert_eq!(db.rows(count), ["0"]);
    // … and where it doesn't, all are there.
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    sink.write(&later).unwrap();
    assert_eq!(db.rows(count), ["6"]);
    assert_eq!(
        db.rows("SELECT count(*) FROM dfire_transactions"),
        [end.to_string()]
    );

    db.run("SET GLOBAL local_infile = OFF");
    let outcome = sink.write(&new(100, 105, &|i| format!("later {i}")));
    db.run("SET GLOBAL local_infile = ON");
    outcome.unwrap();
    assert_eq!(db.rows(count), ["11"]);
}

#[test]
fn ids_that_differ_in_case_are_two() {
    let mut db = Database::new("case");
    let schema = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let mut batch = empty(&schema);
    for (id, md5) in [("abc", "m1"), ("ABC", "m2")] {
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some(id)), ("$md5", Some(md5))],
        );
    }
    sink.write(&batch).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, `$md5` FROM dfire_contacts ORDER BY 1"),
        ["ABC|m2", "abc|m1"]
    );
    assert_eq!(
        sink.stored(&["abc"]).unwrap(),
        [StoredContact {
            id: "abc".to_owned(),
            md5: Some("m1".to_owned()),
            changed: None
        }]
    );
}

#[test]
fn numbers_stay_exact_as_far_as_mysql_can() {
    let mut db = Database::new("numbers");
    let schema = schema(&[("n", ColumnKind::Number), ("b", ColumnKind::Bool)]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let nines = "9".repeat(35);
    let zeros = "0".repeat(30);
    for (given, stored) in [
        ("0", format!("0.{zeros}")),
        ("-12.5", format!("-12.5{}", "0".repeat(29))),
        (nines.as_str(), format!("{nines}.{zeros}")),
        (
            &format!("{nines}.{}", "1".repeat(30)),
            format!("{nines}.{}", "1".repeat(30)),
        ),
        (
            &format!("0.{}49999", "1".repeat(30)),
            format!("0.{}", "1".repeat(30)),
        ),
        (
            &format!("-0.{}5", "1".repeat(30)),
            format!("-0.{}2", "1".repeat(29)),
        ),
        (&format!("{}7", "0".repeat(80)), format!("7.{zeros}")),
    ] {
        let row = [("$id", Some("a")), ("n", Some(given)), ("b", Some("1"))];
        sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
        assert_eq!(
            db.rows("SELECT n, b FROM dfire_contacts"),
            [format!("{stored}|1")],
            "{given}"
        );
    }
}

/// Both ways to write: as a statement, and by the bulk loader.
#[test]
fn a_number_that_no_type_holds_makes_its_column_one_for_texts() {
    for bulk in [false, true] {
        let mut db = Database::new(&format!("long_numbers_{bulk}"));
        let schema = schema(&[("n", ColumnKind::Number), ("m", ColumnKind::Number)]);
        let mut sink = db.sink();
        sink.prepare(&schema).unwrap();
        let mut write = |id: &str, n: Option<&str>| {
            let row = [("$id", Some(id)), ("n", n), ("m", Some("0.5"))];
            let mut batch = one(&schema, Table::Contacts, &row);
            batch.is_new = bulk;
            sink.write(&batch).unwrap();
        };
        write("a", Some("100"));
        write("b", Some("-12.50"));
        write("c", Some("0"));
        write("d", None);
        let long = format!("-{}.{}", "12345".repeat(80), "6789".repeat(20));
        write("e", Some(&long));
        write("f", Some("0.25"));
        assert_eq!(
            db.rows("SELECT `$id`, n, m + 0 FROM dfire_contacts ORDER BY `$id`"),
            [
                ("a", "100"),
                ("b", "-12.5"),
                ("c", "0"),
                ("d", "NULL"),
                ("e", &long),
                ("f", "0.25")
            ]
            .map(|(id, n)| format!("{id}|{n}|0.5{}", "0".repeat(29)))
        );
        let types = ["n", "m"].map(|name| db.column_type("dfire_contacts", name));
        assert!(types[0].starts_with("longtext|YES|utf8mb4"), "{}", types[0]);
        assert_eq!(types[1], "decimal(65,30)|YES|NULL");
    }
}

/// The tables as the vendor's client 1.15.0 makes them.
fn old_tables(db: &mut Database) {
    let string = "varchar(50)";
    let mut contacts = vec![format!("`$id` {string} NOT NULL")];
    for name in ["$md5", "$ref", "$version", "$status", "$phone", "$changed"] {
        contacts.push(format!("`{name}` {string}"));
    }
    contacts.extend(
        [
            "`$comment` text",
            "`$recording` varchar(100)",
            "`n` numeric",
            "`t` text",
            "`Old` text",
        ]
        .map(str::to_owned),
    );
    db.run(&format!(
        "CREATE TABLE dfire_contacts ({}, PRIMARY KEY (`$id`), INDEX `$id|$md5` (`$id`, `$md5`)) CHARACTER SET utf16",
        contacts.join(", ")
    ));
    db.run(
        "CREATE TABLE dfire_transactions (`id` varchar(50) NOT NULL, `contact_id` varchar(50), `fired` varchar(50), \
         `edit_time_sec` numeric, `isHI` boolean, `user` varchar(50), PRIMARY KEY (id)) CHARACTER SET utf16",
    );
    db.run("INSERT INTO dfire_contacts (`$id`, `$ref`, `$phone`, n, Old) VALUES ('old1', 'äö', '+49', 7, 'mine')");
}

#[test]
fn tables_of_the_old_client_are_used_and_widened_where_needed() {
    let mut db = Database::new("takeover");
    old_tables(&mut db);
    let schema = schema(&[
        ("n", ColumnKind::Number),
        ("t", ColumnKind::Text),
        ("new", ColumnKind::Text),
    ]);
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let small = [
        ("$id", Some("a")),
        ("$ref", Some("ä🎉")),
        ("$phone", Some("123")),
        ("n", Some("12")),
        ("new", Some("new")),
    ];
    sink.write(&one(&schema, Table::Contacts, &small)).unwrap();
    assert_eq!(
        db.column_type("dfire_contacts", "$ref"),
        "varchar(50)|YES|utf16_general_ci"
    );
    assert_eq!(
        db.column_type("dfire_contacts", "n"),
        "decimal(10,0)|YES|NULL"
    );

    let (id, md5, long) = ("k".repeat(60), "m".repeat(60), "ü🎉".repeat(40_000));
    let large = [
        ("$id", Some(id.as_str())),
        ("$md5", Some(&md5)),
        ("$ref", Some(&long)),
        ("$comment", Some(&long)),
        ("n", Some("12345678901.5")),
    ];
    sink.write(&one(&schema, Table::Contacts, &large)).unwrap();
    let times = [
        ("id", Some("t1")),
        ("contact_id", Some("a")),
        ("edit_time_sec", Some("1.25")),
        ("isHI", Some("1")),
        ("wait_time_sec", Some("0.5")),
    ];
    sink.write(&one(&schema, Table::Transactions, &times))
        .unwrap();
    assert_eq!(
        db.column_type("dfire_contacts", "$id"),
        "varchar(191)|NO|utf8mb4_bin"
    );
    assert!(
        db.column_type("dfire_contacts", "$md5")
            .starts_with("varchar(191)|YES|utf8mb4")
    );
    assert!(
        db.column_type("dfire_contacts", "$ref")
            .starts_with("longtext|YES|utf8mb4")
    );
    assert!(
        db.column_type("dfire_contacts", "$comment")
            .starts_with("longtext|YES|utf8mb4")
    );
    assert_eq!(
        db.column_type("dfire_contacts", "n"),
        "decimal(65,30)|YES|NULL"
    );
    // What has room keeps its type.
    assert_eq!(
        db.column_type("dfire_contacts", "$phone"),
        "varchar(50)|YES|utf16_general_ci"
    );
    assert_eq!(
        db.rows(&format!(
            "SELECT `$md5`, `$ref`, `$comment`, n + 0 FROM dfire_contacts WHERE `$id` = '{id}'"
        )),
        [format!(
            "{md5}|{long}|{long}|12345678901.5{}",
            "0".repeat(29)
        )]
    );
    assert_eq!(
        db.rows("SELECT `$ref`, `$phone`, round(n), Old, new FROM dfire_contacts WHERE `$id` IN ('a', 'old1') ORDER BY `$id`"),
        ["ä🎉|123|12|NULL|new", "äö|+49|7|mine|NULL"]
    );
    assert_eq!(
        db.rows(
            "SELECT round(edit_time_sec, 2), isHI, round(wait_time_sec, 2) FROM dfire_transactions"
        ),
        ["1.25|1|0.50"]
    );
    assert_eq!(sink.stored(&["a"]).unwrap()[0].id, "a");
    sink.write(&one(
        &schema,
        Table::Contacts,
        &[
            ("$id", Some("a")),
            ("$md5", Some("x")),
            ("$changed", Some("2024")),
        ],
    ))
    .unwrap();
    assert_eq!(sink.distrust_after("2023").unwrap(), 2);
}

#[test]
fn a_field_that_changed_its_type_and_a_narrow_encoding() {
    let mut db = Database::new("retyped");
    db.run(
        "CREATE TABLE dfire_contacts (`$id` varchar(50) CHARACTER SET ascii NOT NULL PRIMARY KEY, n decimal(10,0), \
         i int, d double, l varchar(100) CHARACTER SET latin1, u varchar(100) CHARACTER SET utf8mb3)",
    );
    db.run("INSERT INTO dfire_contacts (`$id`, n, l) VALUES ('old', 5, 'ä')");
    let fields = ["n", "i", "d", "l", "u"].map(|name| {
        (
            name,
            if name == "i" || name == "d" {
                ColumnKind::Number
            } else {
                ColumnKind::Text
            },
        )
    });
    let schema = schema(&fields);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let row = [
        ("$id", Some("Ä")),
        ("n", Some("0049")),
        ("i", Some("3000000000")),
        ("d", Some("0.12345678901234567890")),
        ("l", Some("東")),
        ("u", Some("🎉")),
    ];
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, n, round(i), round(d, 20), l, u FROM dfire_contacts ORDER BY n"),
        [
            "Ä|0049|3000000000|0.12345678901234567890|東|🎉",
            "old|5|NULL|NULL|ä|NULL"
        ]
    );
    assert_eq!(
        db.column_type("dfire_contacts", "$id"),
        "varchar(50)|NO|utf8mb4_bin"
    );
}

#[test]
fn without_the_privilege_to_widen_only_the_rows_that_need_it_are_refused() {
    let mut db = Database::new("noalter");
    let full = schema(&[("note", ColumnKind::Text)]);
    db.run("CREATE TABLE dfire_contacts (`$id` varchar(50) NOT NULL PRIMARY KEY, note varchar(5), n decimal(5,1))");
    let schema = schema(&[("note", ColumnKind::Text), ("n", ColumnKind::Number)]);
    db.sink().prepare(&full).unwrap();
    let url = db.user("noalter", "SELECT, INSERT, UPDATE, DELETE, CREATE");
    let mut sink = open(&url).unwrap();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    for (column, value) in [
        ("note", "secret value"),
        ("n", "1.25"),
        ("n", "123456"),
        ("$id", &"x".repeat(51)),
    ] {
        let mut batch = one(
            &schema,
            Table::Contacts,
            &[("$id", Some("good")), ("note", Some("short"))],
        );
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some("bad")), (column, Some(value))],
        );
        let error = sink.write(&batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("the column {column} (")),
            "{error}"
        );
        assert!(
            column == "$id" || !error.to_string().contains(value),
            "{error}"
        );
        assert_eq!(db.rows("SELECT count(*) FROM dfire_contacts"), ["0"]);
    }
    let missing = sink
        .prepare(&crate::sink_rows::schema(&[("more", ColumnKind::Text)]))
        .unwrap();
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (missing[0].table, missing[0].column.as_str()),
        (Table::Contacts, "more")
    );
    assert!(
        missing[0]
            .reason
            .contains("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX"),
        "{}",
        missing[0].reason
    );
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("good"))]))
        .unwrap();
    assert_eq!(db.rows("SELECT `$id` FROM dfire_contacts"), ["good"]);
}

#[test]
fn columns_with_hostile_names_are_added_to_an_existing_table() {
    let mut db = Database::new("names");
    let mut sink = db.sink();
    sink.prepare(&schema(&[])).unwrap();
    let mut fields: Vec<_> = HOSTILE_NAMES
        .iter()
        .map(|name| (*name, ColumnKind::Text))
        .collect();
    let impossible = ["party 🎉", "nul\0", "blank ", "Order", "$ID"];
    fields.extend(impossible.map(|name| (name, ColumnKind::Text)));
    let schema = schema(&fields);
    let missing = sink.prepare(&schema).unwrap();
    let mut names: Vec<&str> = missing.iter().map(|m| m.column.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["$ID", "Order", "blank ", "nul\0", "party 🎉"]);
    let mut row = vec![("$id", Some("a"))];
    row.extend(HOSTILE_NAMES.iter().map(|name| (*name, Some(*name))));
    row.extend(impossible.map(|name| (name, Some("lost"))));
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    for name in HOSTILE_NAMES {
        let sql = format!("SELECT `{}` FROM dfire_contacts", name.replace('`', "``"));
        assert_eq!(db.rows(&sql), [name]);
    }
    // The same for a table that is created with them.
    db.run("DROP TABLE dfire_contacts");
    assert_eq!(
        sink.write(&one(&schema, Table::Contacts, &row))
            .unwrap_err()
            .kind(),
        ErrorKind::Transient
    );
    sink.prepare(&schema).unwrap();
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(db.rows("SELECT `order` FROM dfire_contacts"), ["order"]);
}

#[test]
fn hundreds_of_custom_columns_and_as_many_as_the_server_takes() {
    let mut db = Database::new("many");
    let names: Vec<String> = (0..1100).map(|i| format!("f{i}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema(&fields[..300])).unwrap(), []);
    let schema300 = schema(&fields[..300]);
    let mut row = vec![("$id", Some("a"))];
    row.extend(fields[..300].iter().map(|(name, _)| (*name, Some(*name))));
    sink.write(&one(&schema300, Table::Contacts, &row)).unwrap();
    assert_eq!(db.rows("SELECT f0, f299 FROM dfire_contacts"), ["f0|f299"]);
    // InnoDB ends at 1,017 columns; 22 are our own.
    let all = schema(&fields);
    let missing = sink.prepare(&all).unwrap();
    assert_eq!(missing.len(), 1100 - 995);
    assert_eq!(missing[0].column, "f995");
    sink.write(&one(
        &all,
        Table::Contacts,
        &[("$id", Some("b")), ("f994", Some("last"))],
    ))
    .unwrap();
    assert_eq!(
        db.rows("SELECT f994 FROM dfire_contacts WHERE `$id` = 'b'"),
        ["last"]
    );
}

#[test]
fn a_row_too_large_for_a_page_is_refused_and_no_other() {
    let mut db = Database::new("page");
    let names: Vec<String> = (0..400).map(|i| format!("f{i}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let value = "v".repeat(38);
    let mut row = vec![("$id", Some("a"))];
    row.extend(fields.iter().map(|(name, _)| (*name, Some(value.as_str()))));
    let error = sink
        .write(&one(&schema, Table::Contacts, &row))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(
        error.to_string().contains("too large for a page of InnoDB"),
        "{error}"
    );
    sink.write(&one(&schema, Table::Contacts, &row[..100]))
        .unwrap();
    assert_eq!(db.rows("SELECT count(*) FROM dfire_contacts"), ["1"]);
}

#[test]
fn tables_of_the_same_name_in_another_database_are_none_of_ours() {
    let mut other = Database::new("other");
    other.run("CREATE TABLE dfire_contacts (`$id` varchar(5) NOT NULL PRIMARY KEY, theirs text)");
    other.run("CREATE TABLE dfire_recordings (id varchar(5) NOT NULL PRIMARY KEY, INDEX (id))");
    let mut db = Database::new("mine");
    let schema = schema(&[("theirs", ColumnKind::Number)]);
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let row = [("$id", Some("longer than five")), ("theirs", Some("1"))];
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, round(theirs) FROM dfire_contacts"),
        ["longer than five|1"]
    );
    assert_eq!(other.rows("SELECT count(*) FROM dfire_contacts"), ["0"]);
    assert!(
        other
            .column_type("dfire_contacts", "$id")
            .starts_with("varchar(5)|")
    );
}

#[test]
fn indexes_are_made_once_and_not_where_another_serves() {
    let mut db = Database::new("indexes");
    db.run(
        "CREATE TABLE dfire_connections (id varchar(50) NOT NULL PRIMARY KEY, contact_id text, fired varchar(50), \
         INDEX theirs (FIRED, id))",
    );
    let schema = schema(&[]);
    let sql = "SELECT TABLE_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
               WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME <> 'PRIMARY' ORDER BY 1, 2, INDEX_NAME";
    let index = |db: &Database| {
        let mut sink = db.sink();
        sink.prepare(&schema).unwrap();
        sink.index(&schema).unwrap();
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| index(&db));
        }
    });
    let first = db.rows(sql);
    index(&db);
    assert_eq!(db.rows(sql), first);
    assert_eq!(
        first,
        [
            "dfire_connections|contact_id|40",
            "dfire_connections|fired|NULL",
            "dfire_connections|id|NULL",
            "dfire_connections|transaction_id|NULL",
            "dfire_inbound_calls|contact_id|NULL",
            "dfire_inbound_calls|started|NULL",
            "dfire_recordings|connection_id|NULL",
            "dfire_recordings|contact_id|NULL",
            "dfire_transactions|contact_id|NULL",
            "dfire_transactions|fired|NULL",
        ]
    );
}

#[test]
fn two_instances_may_add_columns_at_the_same_time() {
    let mut db = Database::new("racing");
    db.sink().prepare(&schema(&[])).unwrap();
    let names: Vec<String> = (0..30).map(|i| format!("f{i}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let backwards: Vec<_> = fields.iter().rev().copied().collect();
    let results = std::thread::scope(|scope| {
        [&fields, &backwards, &fields, &backwards]
            .map(|fields| scope.spawn(|| db.sink().prepare(&schema(fields))))
            .map(|thread| thread.join().unwrap())
    });
    for result in results {
        assert_eq!(result, Ok(Vec::new()));
    }
    let sql = "SELECT count(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND COLUMN_NAME LIKE 'f_' \
               AND TABLE_NAME = 'dfire_contacts'";
    assert_eq!(db.rows(sql), ["10"]);
}

#[test]
fn placeholders_go_and_a_refused_row_takes_its_batch_with_it() {
    let mut db = Database::new("whole");
    let schema = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let mut batch = empty(&schema);
    for id in ["keep", "temp'1"] {
        add(&mut batch, &schema, Table::Recordings, &[("id", Some(id))]);
    }
    sink.write(&batch).unwrap();
    db.run(
        "CREATE TRIGGER no_bad BEFORE INSERT ON dfire_inbound_calls FOR EACH ROW \
         IF NEW.id = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'hush: bad'; END IF",
    );
    let mut batch = one(&schema, Table::Recordings, &[("id", Some("final"))]);
    batch.placeholders.push("temp'1".to_owned());
    let mut bad = batch.clone();
    add(
        &mut bad,
        &schema,
        Table::InboundCalls,
        &[("id", Some("bad"))],
    );
    let error = sink.write(&bad).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(
        error
            .to_string()
            .contains("writing to dfire_inbound_calls: a trigger refused the row"),
        "{error}"
    );
    assert!(!error.to_string().contains("hush"), "{error}");
    let ids = "SELECT id FROM dfire_recordings ORDER BY id";
    assert_eq!(db.rows(ids), ["keep", "temp'1"]);
    // Nor does the next batch bring in what was refused.
    sink.write(&one(&schema, Table::Recordings, &[("id", Some("other"))]))
        .unwrap();
    assert_eq!(db.rows(ids), ["keep", "other", "temp'1"]);
    sink.write(&batch).unwrap();
    assert_eq!(db.rows(ids), ["final", "keep", "other"]);
}

#[test]
fn stored_contacts_and_distrust() {
    let db = Database::new("stored");
    let schema = schema(&[]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let mut batch = empty(&schema);
    for (id, md5, changed) in [
        ("early", Some("m1"), Some("2024-01-01T00:00:00Z")),
        ("it's \\ late", Some("m2"), Some("2024-01-02T00:00:00Z")),
        ("none", Some("m3"), None),
    ] {
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some(id)), ("$md5", md5), ("$changed", changed)],
        );
    }
    sink.write(&batch).unwrap();
    let stored = |sink: &mut MysqlSink| -> Vec<(String, Option<String>, Option<String>)> {
        let others: Vec<String> = (0..1200).map(|i| format!("x{i}")).collect();
        let mut ids: Vec<&str> = others.iter().map(String::as_str).collect();
        ids.extend(["early", "it's \\ late", "none"]);
        let mut found = sink.stored(&ids).unwrap();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
            .into_iter()
            .map(|c| (c.id, c.md5, c.changed))
            .collect()
    };
    let row = |id: &str, md5: Option<&str>, changed: Option<&str>| {
        (
            id.to_owned(),
            md5.map(str::to_owned),
            changed.map(str::to_owned),
        )
    };
    let early = row("early", Some("m1"), Some("2024-01-01T00:00:00Z"));
    let late = Some("2024-01-02T00:00:00Z");
    assert_eq!(
        stored(&mut sink),
        [
            early.clone(),
            row("it's \\ late", Some("m2"), late),
            row("none", Some("m3"), None)
        ]
    );
    assert_eq!(sink.distrust_after("2024-01-01T00:00:00Z").unwrap(), 2);
    assert_eq!(
        stored(&mut sink),
        [
            early,
            row("it's \\ late", None, late),
            row("none", None, None)
        ]
    );
    assert_eq!(sink.distrust_after("2024-01-01T00:00:00Z").unwrap(), 0);
}

#[test]
fn a_killed_connection_is_passing_trouble_and_a_new_one_works() {
    let mut db = Database::new("killed");
    let schema = schema(&[]);
    let batch = one(&schema, Table::Contacts, &[("$id", Some("a"))]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let name = db.name.clone();
    let sql = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND ID <> CONNECTION_ID()"
    );
    for id in db.rows(&sql) {
        // One that is about to end anyway may be gone by now.
        let _ = db.conn.query_drop(format!("KILL {id}"));
    }
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    // A connection that broke is never used again.
    let error = sink.write(&batch).unwrap_err();
    assert!(
        error.to_string().contains("the connection was lost"),
        "{error}"
    );
    assert_eq!(
        sink.stored(&["a"]).unwrap_err().kind(),
        ErrorKind::Transient
    );
    assert_eq!(
        sink.prepare(&schema).unwrap_err().kind(),
        ErrorKind::Transient
    );
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(db.rows("SELECT `$id` FROM dfire_contacts"), ["a"]);
}

#[test]
fn a_lock_of_another_session_is_passing_trouble() {
    let mut db = Database::new("locked");
    let schema = schema(&[]);
    let roots = Roots::load(None).unwrap();
    let mut sink = MysqlSink::open_waiting(
        &db.url(),
        &roots,
        Duration::from_secs(1),
        Duration::from_secs(300),
    )
    .unwrap();
    sink.prepare(&schema).unwrap();
    let batch = one(
        &schema,
        Table::Contacts,
        &[("$id", Some("a")), ("$md5", Some("new"))],
    );
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("a"))]))
        .unwrap();
    db.run("BEGIN");
    db.run("UPDATE dfire_contacts SET `$ref` = 'held'");
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(
        error.to_string().contains("Lock wait timeout exceeded"),
        "{error}"
    );
    // Widening waits for the same session.
    let wide = "w".repeat(120);
    let error = sink
        .write(&one(&schema, Table::Transactions, &[("id", Some(&wide))]))
        .map(|()| "written");
    assert_eq!(error, Ok("written"));
    db.run("UPDATE dfire_transactions SET actor = 'held'");
    let wider = "w".repeat(200);
    let error = sink
        .write(&one(&schema, Table::Transactions, &[("id", Some(&wider))]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    db.run("COMMIT");
    sink.write(&batch).unwrap();
    sink.write(&one(&schema, Table::Transactions, &[("id", Some(&wider))]))
        .unwrap();
    assert_eq!(db.rows("SELECT `$md5` FROM dfire_contacts"), ["new"]);
    assert_eq!(
        db.rows("SELECT length(id) FROM dfire_transactions ORDER BY 1"),
        ["120", "200"]
    );
}

#[test]
fn log_in_errors_say_what_to_do() {
    let mut db = Database::new("login");
    let place = host().to_string();
    let wrong = MysqlUrl {
        password: dbsync2::cli::settings::Secret::new("hush"),
        ..db.url()
    };
    let error = open_error(&wrong);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot log in to MySQL at {place} as \"{}\": user or password rejected (check --url)",
            wrong.user
        )
    );
    let nowhere = MysqlUrl {
        database: "dbsync_no_such".to_owned(),
        ..db.url()
    };
    let error = open_error(&nowhere);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error
            .to_string()
            .contains("there is no database dbsync_no_such (check --url"),
        "{error}"
    );
    let outside = MysqlUrl {
        database: "mysql".to_owned(),
        ..db.user("login", "SELECT")
    };
    let error = open_error(&outside);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error
            .to_string()
            .contains("no access to the database mysql (check its name in --url, or: GRANT"),
        "{error}"
    );
    let mut reader = open(&MysqlUrl {
        database: db.name.clone(),
        ..outside
    })
    .unwrap();
    let error = reader.prepare(&schema(&[])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error.to_string().contains("CREATE command denied"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX"),
        "{error}"
    );
}

#[test]
fn check_names_what_is_missing_and_changes_nothing() {
    let mut db = Database::new("check");
    let schema = schema(&[("x", ColumnKind::Text)]);
    let outcome = |url: &MysqlUrl, subject: &str| {
        let lines = open(url).unwrap().check(&schema).unwrap();
        lines
            .into_iter()
            .find(|line| line.subject == subject)
            .expect(subject)
            .outcome
    };
    let limited = db.user("check", "SELECT, INSERT, CREATE");
    let all = db.url();
    for existing in [false, true] {
        if existing {
            db.sink().prepare(&crate::sink_rows::schema(&[])).unwrap();
        }
        for granted in ["SELECT", "INSERT", "CREATE"] {
            assert_eq!(
                outcome(&limited, &format!("privilege {granted}")),
                Ok("granted".to_owned())
            );
        }
        for privilege in ["UPDATE", "DELETE", "ALTER", "INDEX"] {
            let subject = format!("privilege {privilege}");
            let error = outcome(&limited, &subject).unwrap_err();
            assert!(
                error.starts_with("missing on dfire_contacts, dfire_transactions"),
                "{error}"
            );
            assert_eq!(outcome(&all, &subject), Ok("granted".to_owned()));
        }
        let state = if existing {
            "present, 1 columns will be added"
        } else {
            "will be created"
        };
        assert_eq!(outcome(&all, "table dfire_contacts"), Ok(state.to_owned()));
        let count =
            "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
        assert_eq!(db.rows(count), [if existing { "5" } else { "0" }]);
    }
    assert!(
        outcome(&all, "encryption")
            .unwrap()
            .starts_with("encrypted with TLS")
    );
    let plain = MysqlUrl {
        tls: TlsMode::Disable,
        ..db.url()
    };
    assert_eq!(
        outcome(&plain, "encryption"),
        Ok("not encrypted".to_owned())
    );
}

#[test]
fn tables_of_other_programs_are_refused() {
    for (name, sql, problem) in [
        (
            "nokey",
            "CREATE TABLE dfire_contacts (name text)",
            "has no column $id",
        ),
        (
            "nounique",
            "CREATE TABLE dfire_contacts (`$id` varchar(50), INDEX (`$id`))",
            "has no primary key on $id",
        ),
        (
            "view",
            "CREATE VIEW dfire_recordings AS SELECT 1 AS id",
            "is a view",
        ),
    ] {
        let mut db = Database::new(name);
        db.run(sql);
        let error = db.sink().prepare(&schema(&[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
        assert!(
            error.to_string().contains(problem) && error.to_string().contains("--tp"),
            "{error}"
        );
    }
}

#[test]
fn tls_is_verified_as_far_as_asked_for() {
    let db = Database::new("tls");
    let ca = certificates().join("ca.pem");
    let right = Roots::load(Some(&ca)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let file = std::env::temp_dir().join(format!("dbsync2-mysql-ca-{}.pem", std::process::id()));
    std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    let wrong = Roots::load(Some(&file)).unwrap();
    let none = Roots::load(None).unwrap();
    let open = |tls, roots: &Roots| {
        MysqlSink::open(&MysqlUrl { tls, ..db.url() }, roots).map(|mut sink| {
            let lines = sink.check(&schema(&[])).unwrap();
            lines.iter().any(|line| {
                line.outcome
                    .as_ref()
                    .is_ok_and(|text| text.starts_with("encrypted"))
            })
        })
    };
    assert_eq!(open(TlsMode::Disable, &none), Ok(false));
    assert_eq!(open(TlsMode::Prefer, &wrong), Ok(true));
    assert_eq!(open(TlsMode::Require, &wrong), Ok(true));
    assert_eq!(open(TlsMode::VerifyCa, &right), Ok(true));
    assert_eq!(open(TlsMode::VerifyFull, &right), Ok(true));
    for (tls, roots) in [
        (TlsMode::VerifyCa, &wrong),
        (TlsMode::VerifyFull, &wrong),
        (TlsMode::VerifyFull, &none),
    ] {
        let error = open(tls, roots).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
        assert!(
            error.to_string().contains("certificate") && error.to_string().contains("--ca-file"),
            "{error}"
        );
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn the_name_in_the_certificate_counts_only_with_verify_full() {
    let db = Database::new("name");
    let ca = certificates().join("ca.pem");
    let roots = Roots::load(Some(&ca)).unwrap();
    // All of 127.0.0.0/8 is this machine, but the certificate names 127.0.0.1 only.
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = host();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = std::net::TcpStream::connect((server.name.as_str(), server.port)).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    let servers = Servers::Tcp(vec![Host {
        name: "127.0.0.2".to_owned(),
        port,
    }]);
    let open = |tls| {
        MysqlSink::open(
            &MysqlUrl {
                tls,
                servers: servers.clone(),
                ..db.url()
            },
            &roots,
        )
        .map(drop)
    };
    assert_eq!(open(TlsMode::VerifyCa), Ok(()));
    let error = open(TlsMode::VerifyFull).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(error.to_string().contains("not valid for"), "{error}");
}

#[test]
fn hosts_are_tried_in_order_and_a_socket_works() {
    let mut db = Database::new("hosts");
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Host {
            name: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        }
    };
    let both = MysqlUrl {
        servers: Servers::Tcp(vec![dead.clone(), host()]),
        ..db.url()
    };
    open(&both).unwrap().prepare(&schema(&[])).unwrap();
    let none = MysqlUrl {
        servers: Servers::Tcp(vec![dead.clone(), dead.clone()]),
        ..db.url()
    };
    let error = open_error(&none);
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert_eq!(
        error
            .to_string()
            .matches(&format!("cannot log in to MySQL at {dead}"))
            .count(),
        2,
        "{error}"
    );
    // Where `localhost` is `::1` first, the server listens at 127.0.0.1 only.
    let named = Host {
        name: "localhost".to_owned(),
        port: host().port,
    };
    open(&MysqlUrl {
        servers: Servers::Tcp(vec![named]),
        ..db.url()
    })
    .unwrap();
    // The socket's path may be relative to the data.
    let path = PathBuf::from(db.rows("SELECT @@datadir").concat())
        .join(db.rows("SELECT @@socket").concat());
    let socket = |path: PathBuf| MysqlUrl {
        servers: Servers::Socket { path, port: 3306 },
        ..db.url()
    };
    open(&socket(path)).unwrap().prepare(&schema(&[])).unwrap();
    let error = open_error(&socket("/nonexistent/my.sock".into()));
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("MySQL at /nonexistent/my.sock"),
        "{error}"
    );
}

/// A greeting of a server, then a packet without content in answer to the log-in: the driver panics there.
pub fn greeting_and_nothing() -> Vec<u8> {
    let mut body = b"\x0a5.7.0\0\x01\0\0\0abcdefgh\0".to_vec();
    // CLIENT_PROTOCOL_41 and CLIENT_SECURE_CONNECTION, utf8, autocommit, CLIENT_PLUGIN_AUTH, 21 bytes of scramble.
    body.extend(b"\x00\x82\x21\x02\x00\x08\x00\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0");
    let mut packets = vec![u8::try_from(body.len()).unwrap(), 0, 0, 0];
    packets.extend(body);
    packets.extend([0, 0, 0, 2]);
    packets
}

#[test]
fn a_server_that_talks_nonsense_is_passing_trouble() {
    for answer in [
        &greeting_and_nothing()[..],
        b"\x00\x00\x00\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x01\x00\x00\x00\x0a",
        b"",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut client, _) = listener.accept().unwrap();
                client.write_all(answer).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = client.read_to_end(&mut Vec::new());
            });
            let servers = Servers::Tcp(vec![Host {
                name: "127.0.0.1".to_owned(),
                port,
            }]);
            open_error(&MysqlUrl {
                servers,
                tls: TlsMode::Disable,
                ..server()
            })
        });
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    }
}

#[test]
fn large_batches_are_split_and_a_row_larger_than_a_packet_is_refused() {
    let mut db = Database::new("packet");
    let schema = schema(&[("note", ColumnKind::Text)]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let most: usize = db
        .rows("SELECT @@max_allowed_packet")
        .concat()
        .parse()
        .unwrap();
    let mut batch = empty(&schema);
    // Quotes count twice; together more than any packet.
    let note = "'".repeat(most / 5);
    for i in 0..7 {
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some(&format!("id{i}"))), ("note", Some(&note))],
        );
    }
    for i in 0..5000 {
        add(
            &mut batch,
            &schema,
            Table::Recordings,
            &[
                ("id", Some(&format!("r{i}"))),
                ("location", Some(&note[..300])),
            ],
        );
    }
    sink.write(&batch).unwrap();
    assert_eq!(
        db.rows("SELECT count(*), min(length(note)), max(length(note)) FROM dfire_contacts"),
        [format!("7|{0}|{0}", most / 5)]
    );
    assert_eq!(
        db.rows("SELECT count(*), min(length(location)) FROM dfire_recordings"),
        ["5000|300"]
    );
    let huge = "'".repeat(most / 2);
    let error = sink
        .write(&one(
            &schema,
            Table::Contacts,
            &[("$id", Some("huge")), ("note", Some(&huge))],
        ))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.to_string().contains("the row huge has")
            && error.to_string().contains("max_allowed_packet"),
        "{error}"
    );
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("next"))]))
        .unwrap();
    assert_eq!(db.rows("SELECT count(*) FROM dfire_contacts"), ["8"]);
}
