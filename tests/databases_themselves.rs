//! The databases that the other tests write to are their own, and are read back truly.

use std::collections::{BTreeMap, HashSet};

use crate::support::database::{Database, fresh_database, plain_decimal};
use crate::support::servers::{self, Kind};

/// All values of one column, in order.
fn column(database: &Database, sql: &str) -> Vec<String> {
    database
        .query(sql)
        .into_iter()
        .map(|mut row| row.remove(0).unwrap())
        .collect()
}

#[test]
fn each_database_is_empty_and_its_own() {
    for kind in Kind::ALL {
        let first = fresh_database(kind);
        let second = fresh_database(kind);
        for database in [&first, &second] {
            database.execute("CREATE TABLE t (id varchar(100) PRIMARY KEY)");
            assert_eq!(database.dump("t"), BTreeMap::new(), "{kind:?}");
        }
        first.execute("INSERT INTO t VALUES ('a'); INSERT INTO t VALUES ('b')");
        assert_eq!(
            column(&first, "SELECT id FROM t ORDER BY id"),
            ["a", "b"],
            "{kind:?}"
        );
        assert_eq!(second.dump("t").len(), 0, "{kind:?}");
    }
}

#[test]
fn a_refused_statement_is_a_failure_even_behind_a_good_one() {
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            database.execute("CREATE TABLE t (id int); INSERT INTO no_such VALUES (1)")
        }));
        let message = *outcome
            .expect_err("it was accepted")
            .downcast::<String>()
            .unwrap();
        assert!(message.contains("no_such"), "{kind:?}: {message}");
    }
}

#[test]
fn a_dropped_database_is_gone_in_spite_of_open_transactions() {
    let database = fresh_database(Kind::Postgres);
    database.execute("CREATE TABLE t (id int)");
    let name = column(&database, "SELECT current_database()").remove(0);
    let mut client = postgres::Client::connect(&database.url, postgres::NoTls).unwrap();
    client
        .batch_execute("BEGIN; INSERT INTO t VALUES (1)")
        .unwrap();
    drop(database);
    client.batch_execute("COMMIT").unwrap_err();
    let mut server = postgres::Client::connect(&servers::postgres_url(), postgres::NoTls).unwrap();
    let left = server
        .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .unwrap();
    assert_eq!(left.len(), 0);

    use mysql::prelude::Queryable;
    let database = fresh_database(Kind::Mysql);
    database.execute("CREATE TABLE t (id int)");
    let name = column(&database, "SELECT database()").remove(0);
    let mut client = mysql::Conn::new(mysql::Opts::from_url(&database.url).unwrap()).unwrap();
    client.query_drop("BEGIN").unwrap();
    client.query_drop("INSERT INTO t VALUES (1)").unwrap();
    drop(database);
    client.query_drop("COMMIT").unwrap_err();
    let mut server =
        mysql::Conn::new(mysql::Opts::from_url(&servers::mysql_url()).unwrap()).unwrap();
    let left: Vec<String> = server
        .query(format!("SHOW DATABASES LIKE '{name}'"))
        .unwrap();
    assert_eq!(left, Vec::<String>::new());

    let database = fresh_database(Kind::Sqlite);
    database.execute("CREATE TABLE t (id int)");
    let path = database.url.strip_prefix("sqlite:").unwrap().to_owned();
    assert!(std::path::Path::new(&path).exists());
    drop(database);
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn a_dump_is_the_same_text_for_every_kind() {
    let types = [
        (
            Kind::Postgres,
            "text",
            "numeric",
            "double precision",
            "boolean",
            "TRUE",
        ),
        (
            Kind::Mysql,
            "longtext",
            "decimal(65,30)",
            "double",
            "boolean",
            "TRUE",
        ),
        (Kind::Sqlite, "TEXT", "", "REAL", "BOOLEAN", "1"),
        (
            Kind::SqlServer,
            "nvarchar(max)",
            "decimal(38,10)",
            "float",
            "bit",
            "1",
        ),
    ];
    let mut dumps = Vec::new();
    for (kind, text, number, float, bool, yes) in types {
        let database = fresh_database(kind);
        let key = match kind {
            Kind::Mysql => "varchar(100) COLLATE utf8mb4_bin PRIMARY KEY",
            Kind::Postgres | Kind::Sqlite => "varchar(100) PRIMARY KEY",
            // As a key it would take k1 and K1 for the same.
            Kind::SqlServer => "nvarchar(100)",
        };
        let unicode = if kind == Kind::SqlServer { "N" } else { "" };
        let quote = |name: &str| kind.quote(name);
        let (id, note) = (quote("$id"), quote("odd 'näme"));
        database.execute(&format!(
            "CREATE TABLE {} ({id} {key}, {note} {text}, n {number}, f {float}, b {bool})",
            quote("odd 'table")
        ));
        database.execute(&format!(
            "INSERT INTO {} VALUES ('k1', {unicode}'0012.50 ☎ 𝄞', {}, 2.5e20, {yes}), ('K1', '', NULL, -0.125, NULL), ('k2', NULL, 0, NULL, NULL)",
            quote("odd 'table"),
            // SQLite keeps exact digits only as text.
            if kind == Kind::Sqlite { "'-98765432109876543210.120'" } else { "-98765432109876543210.120" },
        ));
        dumps.push(database.dump("odd 'table"));
    }
    let row = |key: &str, note: Option<&str>, n: Option<&str>, f: Option<&str>, b: Option<&str>| {
        let values = [
            ("$id", Some(key)),
            ("odd 'näme", note),
            ("n", n),
            ("f", f),
            ("b", b),
        ];
        let row = values.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        (key.to_owned(), BTreeMap::from(row))
    };
    let expected = BTreeMap::from([
        row(
            "k1",
            Some("0012.50 ☎ 𝄞"),
            Some("-98765432109876543210.12"),
            Some("250000000000000000000"),
            Some("1"),
        ),
        row("K1", Some(""), None, Some("-0.125"), None),
        row("k2", None, Some("0"), None, None),
    ]);
    for dump in dumps {
        assert_eq!(dump, expected);
    }
}

#[test]
fn bytes_that_are_no_text_are_told_from_text() {
    for (kind, bytes) in [(Kind::Mysql, "blob"), (Kind::Sqlite, "BLOB")] {
        let database = fresh_database(kind);
        database.execute(&format!(
            "CREATE TABLE t (id int, b {bytes}); INSERT INTO t VALUES (1, x'ff00')"
        ));
        assert_eq!(
            database.dump("t")["1"]["b"].as_deref(),
            Some("x'ff00'"),
            "{kind:?}"
        );
    }
    let database = fresh_database(Kind::Mysql);
    database.execute("CREATE TABLE t (id int, b bit(10)); INSERT INTO t VALUES (1, 513)");
    assert_eq!(database.dump("t")["1"]["b"].as_deref(), Some("513"));
}

#[test]
#[should_panic(expected = "t holds the key a twice")]
fn a_key_that_stands_twice_is_a_failure() {
    let database = fresh_database(Kind::Sqlite);
    database.execute("CREATE TABLE t (id TEXT); INSERT INTO t VALUES ('a'), ('a')");
    database.dump("t");
}

#[test]
fn a_large_table_is_read_row_by_row() {
    let fill = [
        (
            Kind::Postgres,
            "INSERT INTO t SELECT n, 'text ' || n FROM generate_series(1, 5000) n",
        ),
        (
            Kind::Mysql,
            "INSERT INTO t SELECT seq, concat('text ', seq) FROM seq_1_to_5000",
        ),
        (
            Kind::Sqlite,
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 5000) INSERT INTO t SELECT n, 'text ' || n FROM s",
        ),
    ];
    for (kind, fill) in fill {
        let database = fresh_database(kind);
        database.execute("CREATE TABLE t (id int PRIMARY KEY, x text)");
        database.execute(fill);
        let mut seen = HashSet::new();
        database.for_each_row("t", |key, row| {
            assert_eq!(row["id"].as_deref(), Some(key));
            assert_eq!(row["x"], Some(format!("text {key}")));
            assert!(seen.insert(key.to_owned()), "{kind:?}: {key} came twice");
        });
        assert_eq!(seen.len(), 5000, "{kind:?}");
    }
}

#[test]
fn numbers_have_one_spelling() {
    let spellings = [
        ("0", "0"),
        ("-0.00", "0"),
        ("007", "7"),
        ("+1.50", "1.5"),
        (".5", "0.5"),
        ("100", "100"),
        ("-12.340", "-12.34"),
        ("1e3", "1000"),
        ("1.25E+2", "125"),
        ("12.5e-4", "0.00125"),
        ("-2.5e20", "-250000000000000000000"),
        (
            "1234567890123456789012345678901234567890.10",
            "1234567890123456789012345678901234567890.1",
        ),
        ("NaN", "NaN"),
        ("", ""),
        ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("12 34", "12 34"),
        ("1e", "1e"),
    ];
    for (text, expected) in spellings {
        assert_eq!(plain_decimal(text), expected, "{text}");
    }
}
