//! The limits of SQL Server.

use super::{NONE, errors, ordinary, value};
use crate::support::tds::TdsServer;
use crate::support::tds::options::{Options, Version};

#[test]
fn a_table_has_at_most_1024_columns() {
    let server = ordinary();
    let columns = |count: usize| {
        (1..=count)
            .map(|n| format!("c{n} nvarchar(max)"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(
        errors(&server, &format!("CREATE TABLE t ({})", columns(1025))),
        [1702]
    );
    assert_eq!(
        errors(&server, &format!("CREATE TABLE t ({})", columns(1024))),
        NONE
    );
    assert_eq!(errors(&server, "ALTER TABLE t ADD more int"), [1702]);
}

#[test]
fn a_row_has_at_most_8060_bytes_in_its_page() {
    let server = ordinary();
    assert_eq!(
        errors(&server, "CREATE TABLE t (a nchar(4000), b nchar(100))"),
        [1701]
    );
    assert_eq!(
        errors(&server, "CREATE TABLE t (a nchar(3900), b nchar(100))"),
        NONE
    );
    assert_eq!(errors(&server, "ALTER TABLE t ADD c nchar(100)"), [1701]);
    // Long values move out of the row, but each leaves 24 bytes.
    let columns: Vec<String> = (1..=400).map(|n| format!("c{n} nvarchar(max)")).collect();
    server.execute(&format!("CREATE TABLE wide ({})", columns.join(", ")));
    let insert = |count: usize| {
        let names: Vec<String> = (1..=count).map(|n| format!("c{n}")).collect();
        let values = vec!["N'more than twelve characters'"; count];
        format!(
            "INSERT INTO wide ({}) VALUES ({})",
            names.join(", "),
            values.join(", ")
        )
    };
    assert_eq!(errors(&server, &insert(300)), NONE);
    assert_eq!(errors(&server, &insert(301)), [511]);
    assert_eq!(
        value(&server, "SELECT COUNT(*) FROM wide").as_deref(),
        Some("1")
    );
}

#[test]
fn keys_have_at_most_900_bytes() {
    let server = ordinary();
    assert_eq!(
        errors(&server, "CREATE TABLE t (id nvarchar(max) PRIMARY KEY)"),
        [1919]
    );
    assert_eq!(
        errors(&server, "CREATE TABLE t (id nchar(451) PRIMARY KEY)"),
        [1944]
    );
    assert_eq!(
        errors(
            &server,
            "CREATE TABLE t (id nvarchar(500) NOT NULL PRIMARY KEY, note nvarchar(1000), large nvarchar(max))"
        ),
        NONE
    );
    assert_eq!(
        errors(&server, "INSERT INTO t (id) VALUES (REPLICATE(N'x', 450))"),
        NONE
    );
    assert_eq!(
        errors(&server, "INSERT INTO t (id) VALUES (REPLICATE(N'x', 451))"),
        [1946]
    );
    assert_eq!(errors(&server, "CREATE INDEX i ON t (large)"), [1919]);
    assert_eq!(errors(&server, "CREATE INDEX i ON t (note)"), NONE);
    assert_eq!(
        errors(&server, "UPDATE t SET note = REPLICATE(N'x', 850)"),
        NONE
    );
    assert_eq!(
        errors(&server, "UPDATE t SET note = REPLICATE(N'x', 851)"),
        [1946]
    );
    let old = TdsServer::start(Options {
        version: Version::V2008R2,
        ..Options::default()
    });
    old.execute("CREATE TABLE t (id int, note nvarchar(1000)) CREATE INDEX i ON t (note)");
    assert_eq!(
        errors(&old, "INSERT INTO t VALUES (1, REPLICATE(N'x', 450))"),
        NONE
    );
    assert_eq!(
        errors(&old, "INSERT INTO t VALUES (1, REPLICATE(N'x', 451))"),
        [1946]
    );
}

#[test]
fn values_has_at_most_1000_rows() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int)");
    let insert = |rows: usize| format!("INSERT INTO t VALUES {}", vec!["(1)"; rows].join(", "));
    assert_eq!(errors(&server, &insert(1000)), NONE);
    assert_eq!(errors(&server, &insert(1001)), [10_738]);
    assert_eq!(
        value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("1000")
    );
}

#[test]
fn types_and_names_have_their_limits() {
    let server = ordinary();
    let long = "x".repeat(128);
    let cases = [
        ("CREATE TABLE t (a nvarchar(4001))".to_owned(), 2717),
        ("CREATE TABLE t (a varchar(8001))".to_owned(), 2717),
        ("CREATE TABLE t (a nvarchar(0))".to_owned(), 1001),
        ("CREATE TABLE t (a decimal(39, 1))".to_owned(), 2750),
        ("CREATE TABLE t (a decimal(5, 6))".to_owned(), 192),
        ("CREATE TABLE t (a text(5))".to_owned(), 2716),
        (format!("CREATE TABLE [{long}x] (a int)"), 103),
        (format!("SELECT 1 AS {long}x"), 103),
        (format!("CREATE TABLE #{} (a int)", &long[..116]), 193),
        ("CREATE TABLE t (id int NULL PRIMARY KEY)".to_owned(), 8111),
        (
            "CREATE TABLE t (id int PRIMARY KEY, n int PRIMARY KEY)".to_owned(),
            8110,
        ),
    ];
    for (sql, number) in cases {
        assert_eq!(errors(&server, &sql), [number], "{sql}");
    }
    assert_eq!(
        errors(&server, &format!("CREATE TABLE [{long}] ([{long}] int)")),
        NONE
    );
}

#[test]
fn texts_keep_to_their_columns() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id nvarchar(3), v varchar(3), c nchar(3))");
    // Two UTF-16 units each.
    assert_eq!(
        errors(&server, "INSERT INTO t (id) VALUES (N'😀😀')"),
        [2628]
    );
    assert_eq!(errors(&server, "INSERT INTO t (id) VALUES (N'a😀')"), NONE);
    let recorded = server.attempt("INSERT INTO t (id) VALUES (N'abcd')");
    assert_eq!(
        recorded.errors[0].message,
        "String or binary data would be truncated in table 'dbsync_test.dbo.t', column 'id'. Truncated value: 'abc'."
    );
    // Blanks at the end are lost in silence; what the code page lacks becomes a question mark; nchar is padded.
    server.execute("DELETE FROM t INSERT INTO t VALUES (N'abc   ', N'ä€中', N'x')");
    assert_eq!(
        server.query("SELECT id + N'|', v, c + N'|' FROM t"),
        [[
            Some("abc|".to_owned()),
            Some("ä€?".to_owned()),
            Some("x  |".to_owned())
        ]]
    );
}

#[test]
fn altering_a_column_keeps_to_the_rules() {
    let server = ordinary();
    server.execute(
        "CREATE TABLE t (id nvarchar(20) NOT NULL PRIMARY KEY, n nvarchar(50) NOT NULL, i nvarchar(10), old text)
         CREATE INDEX x ON t (i) INSERT INTO t VALUES (N'a', N'12', N'z', 'o')",
    );
    assert_eq!(
        errors(
            &server,
            "ALTER TABLE t ALTER COLUMN id nvarchar(100) NOT NULL"
        ),
        [5074]
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ALTER COLUMN i nvarchar(max)"),
        [5074]
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ALTER COLUMN i nvarchar(20)"),
        NONE
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ALTER COLUMN nothing int"),
        [4924]
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ALTER COLUMN n nvarchar(1)"),
        [2628]
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ALTER COLUMN old int"),
        [4927]
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ALTER COLUMN old nvarchar(max)"),
        NONE
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ALTER COLUMN n decimal(10,2)"),
        NONE
    );
    assert_eq!(
        server.query("SELECT n, old FROM t"),
        [[Some("12".to_owned()), Some("o".to_owned())]]
    );
    // NOT NULL was not said again.
    assert_eq!(errors(&server, "UPDATE t SET n = NULL"), NONE);
    assert_eq!(
        errors(
            &server,
            "ALTER TABLE t ALTER COLUMN n decimal(10,2) NOT NULL"
        ),
        [515]
    );
    assert_eq!(
        errors(&server, "ALTER TABLE t ADD more int NOT NULL"),
        [4901]
    );
    assert_eq!(
        errors(
            &server,
            "ALTER TABLE t ADD more int, another nvarchar(5) NULL"
        ),
        NONE
    );
}

#[test]
fn dropping_a_column_and_renaming_a_table_keep_to_the_rules() {
    let server = ordinary();
    server.execute(
        "CREATE TABLE t (id nvarchar(20) NOT NULL PRIMARY KEY, i nvarchar(10), a int, [b c] int)
         CREATE INDEX x ON t (i) INSERT INTO t VALUES (N'k', N'z', 1, 2) CREATE TABLE u (id int)",
    );
    for (statement, wanted) in [
        ("ALTER TABLE t DROP COLUMN id", vec![5074]),
        ("ALTER TABLE t DROP COLUMN i", vec![5074]),
        ("ALTER TABLE t DROP COLUMN nothing", vec![4924]),
        // Wholly or not at all.
        ("ALTER TABLE t DROP COLUMN a, nothing", vec![4924]),
        ("ALTER TABLE t DROP COLUMN [b c]", vec![]),
        ("ALTER TABLE t ADD [b c] int", vec![]),
        ("EXEC sp_rename 'v', 'w'", vec![15_225]),
        ("EXEC sp_rename 't', 'u'", vec![15_335]),
        ("EXEC sp_rename 'dbo.t', 'old t'", vec![]),
        ("SELECT * FROM t", vec![208]),
    ] {
        assert_eq!(errors(&server, statement), wanted, "{statement}");
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        server.query("SELECT * FROM [old t]"),
        [[text("k"), text("z"), text("1"), None]]
    );
    // No number is given twice.
    assert_eq!(
        server.query("SELECT name, column_id FROM sys.columns WHERE object_id = OBJECT_ID(N'[old t]') ORDER BY column_id"),
        [("id", "1"), ("i", "2"), ("a", "3"), ("b c", "5")]
            .map(|(name, id)| [text(name), text(id)])
    );
}

#[test]
fn the_catalogue_tells_what_there_is() {
    let server = ordinary();
    server.execute(
        "CREATE TABLE t ([$id] nvarchar(100) NOT NULL PRIMARY KEY, n decimal(38,10), b bit, m nvarchar(max), x ntext) CREATE INDEX i ON t (b, n)",
    );
    let columns = server.query(
        "SELECT c.name, y.name, c.max_length, c.precision, c.scale, c.is_nullable FROM sys.columns c JOIN sys.types y ON y.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID(N'dbo.t') ORDER BY c.column_id",
    );
    let text: Vec<String> = columns
        .into_iter()
        .map(|row| {
            row.into_iter()
                .map(Option::unwrap)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(
        text,
        [
            "$id nvarchar 200 0 0 0",
            "n decimal 17 38 10 1",
            "b bit 1 1 0 1",
            "m nvarchar -1 0 0 1",
            "x ntext 16 0 0 1"
        ]
    );
    let indexes = server.query(
        "SELECT i.is_primary_key, c.name FROM sys.indexes i JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id JOIN sys.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id WHERE i.object_id = OBJECT_ID(N't') ORDER BY i.index_id, ic.key_ordinal",
    );
    let text: Vec<String> = indexes
        .into_iter()
        .map(|row| {
            row.into_iter()
                .map(Option::unwrap)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(text, ["1 $id", "0 b", "0 n"]);
    assert_eq!(
        value(&server, "SELECT COUNT(*) FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = N'T' AND CHARACTER_MAXIMUM_LENGTH = 100").as_deref(),
        Some("1")
    );
    assert_eq!(
        value(&server, "SELECT COL_LENGTH(N't', N'n')").as_deref(),
        Some("17")
    );
    server.execute("CREATE TABLE #x (id int) IF OBJECT_ID(N'#x') IS NOT NULL RAISERROR('1', 16, 1) IF OBJECT_ID(N'tempdb..#x') IS NULL RAISERROR('2', 16, 1)");
}
