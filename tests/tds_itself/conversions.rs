//! Values from one type into another.

use super::{NONE, errors, ordinary, value};

#[test]
fn conversions_give_what_sql_server_gives() {
    let server = ordinary();
    let cases = [
        ("CAST(N'' AS int)", "0"),
        ("CAST(N' -12 ' AS int)", "-12"),
        ("CAST(12.9 AS int)", "12"),
        ("CAST(N'12.345' AS decimal(10,2))", "12.35"),
        ("CAST(N'-12.345' AS decimal(10,2))", "-12.35"),
        (
            "CAST(12345678901234567890123456789012345678 AS decimal(38,0))",
            "12345678901234567890123456789012345678",
        ),
        ("CAST(N'' AS float)", "0"),
        ("CAST(N'1.5e3' AS float)", "1500"),
        ("CAST(N'TRUE' AS bit)", "1"),
        ("CAST(5 AS bit)", "1"),
        ("CAST(N'0' AS bit)", "0"),
        ("CAST(1234567.0E0 AS nvarchar(20))", "1.23457e+006"),
        ("CAST(0.1E0 AS nvarchar(20))", "0.1"),
        ("CAST(1.50 AS nvarchar(20))", "1.50"),
        ("CAST(N'abcdef' AS nvarchar(3))", "abc"),
        ("CONVERT(nvarchar(5), 12)", "12"),
        (
            "CONVERT(datetime2(3), N'2026-01-31T12:30:59.1234567')",
            "2026-01-31 12:30:59.123",
        ),
        (
            "CONVERT(nvarchar(30), CONVERT(datetime2(0), N'2026-01-31 12:30'), 126)",
            "2026-01-31T12:30:00",
        ),
        ("N'a' + N'b'", "ab"),
        ("1 + N'2'", "3"),
        ("7 / 2", "3"),
        ("LEN(N'ab  ')", "2"),
        ("DATALENGTH(N'ab  ')", "8"),
        ("ISNULL(NULL, N'x')", "x"),
        ("COALESCE(NULL, NULL, 3)", "3"),
        ("NULLIF(3, 4)", "3"),
        ("CASE WHEN N'a' = N'A ' THEN 1 ELSE 0 END", "1"),
        ("CASE WHEN N'a' LIKE N'[A-C]' THEN 1 ELSE 0 END", "1"),
        ("CASE WHEN 2.50 > 2.5 THEN 1 ELSE 0 END", "0"),
        ("CASE WHEN 10.0 > 9 THEN 1 ELSE 0 END", "1"),
        ("CASE WHEN N'10' > 9 THEN 1 ELSE 0 END", "1"),
        ("QUOTENAME(N'a]b')", "[a]]b]"),
        ("SUBSTRING(N'abcdef', 2, 3)", "bcd"),
        ("'中'", "?"),
        ("N'中'", "中"),
        ("SERVERPROPERTY('ProductVersion')", "15.0.2000.5"),
        ("DB_NAME()", "dbsync_test"),
    ];
    for (expression, expected) in cases {
        let found = value(&server, &format!("SELECT {expression}"));
        assert_eq!(found.as_deref(), Some(expected), "{expression}");
    }
}

#[test]
fn impossible_conversions_have_their_numbers() {
    let server = ordinary();
    let cases = [
        ("CAST(N'abc' AS int)", 245),
        ("CAST(N'1.5' AS int)", 245),
        ("CAST(N'abc' AS bit)", 245),
        ("CAST(N'abc' AS bigint)", 8114),
        ("CAST(N'abc' AS decimal(10,2))", 8114),
        ("CAST(N'' AS decimal(10,2))", 8114),
        ("CAST(N'1e5' AS decimal(10,2))", 8114),
        ("CAST(N'abc' AS float)", 8114),
        ("CAST(N'inf' AS float)", 8114),
        ("CAST(N'99999999999' AS int)", 248),
        ("CAST(N'123456789.1' AS decimal(10,2))", 8115),
        ("CAST(3000000000 AS int)", 8115),
        ("CAST(N'2026-02-30' AS datetime2)", 241),
        ("CAST(N'soon' AS datetime2)", 241),
        ("1 / 0", 8134),
        ("CAST(CAST(N'1' AS ntext) AS int)", 529),
        (
            "CASE WHEN CAST(N'1' AS ntext) = N'1' THEN 1 ELSE 0 END",
            402,
        ),
    ];
    for (expression, number) in cases {
        assert_eq!(
            errors(&server, &format!("SELECT {expression}")),
            [number],
            "{expression}"
        );
    }
}

#[test]
fn assignments_convert_or_refuse() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int NOT NULL, d decimal(38,10), b bit, f float, m nvarchar(max), x text, w datetime2)");
    server.execute("CREATE TABLE #s (v nvarchar(max)) INSERT INTO #s VALUES (N'12.5'), (N'-0.00000000005'), (NULL)");
    server.execute("INSERT INTO t (id) VALUES (1)");
    server.execute(
        "INSERT INTO t (id, d, b, f, m, x) VALUES (N'7', N'12.5', N'1', N'2.5', 5, N'ä中')",
    );
    assert_eq!(
        server.query("SELECT d, b, f, m, x FROM t WHERE id = 7"),
        [[
            Some("12.5".into()),
            Some("1".into()),
            Some("2.5".into()),
            Some("5".into()),
            Some("ä?".into())
        ]]
    );
    for (sql, number) in [
        ("INSERT INTO t (d) VALUES (1)", 515),
        ("INSERT INTO t (id) VALUES (NULL)", 515),
        ("UPDATE t SET id = NULL", 515),
        ("UPDATE t SET d = N'x'", 8114),
        ("UPDATE t SET b = N'x'", 245),
        ("UPDATE t SET w = N'x'", 241),
        ("UPDATE t SET w = 5", 206),
        ("UPDATE t SET x = 5", 206),
        ("UPDATE t SET d = x", 206),
        ("SELECT x FROM t ORDER BY x", 306),
        ("SELECT DISTINCT x FROM t", 421),
        ("SELECT 1 FROM t WHERE x = 'a'", 402),
    ] {
        assert_eq!(errors(&server, sql), [number], "{sql}");
    }
    assert_eq!(
        errors(&server, "SELECT 1 FROM t WHERE x LIKE 'a%' OR x IS NULL"),
        NONE
    );
}

#[test]
fn staged_rows_are_converted_on_the_way_into_the_table() {
    let server = ordinary();
    server
        .execute("CREATE TABLE t (id nvarchar(100) NOT NULL PRIMARY KEY, d decimal(38,10), b bit)");
    let recorded = server.attempt(
        "CREATE TABLE #s (id nvarchar(100) NOT NULL PRIMARY KEY, d nvarchar(max), b nvarchar(max))
         INSERT INTO #s VALUES (N'a', N'1.5', N'1'), (N'b', N'-2', N'0'), (N'c', NULL, NULL)
         INSERT INTO t VALUES (N'A', 0, 0)
         SET XACT_ABORT ON
         BEGIN TRAN
         UPDATE d SET d = s.d, b = CONVERT(bit, s.b) FROM t d WITH (UPDLOCK, HOLDLOCK) JOIN #s s ON d.id = s.id
         INSERT INTO t (id, d, b) SELECT s.id, s.d, s.b FROM #s s WHERE NOT EXISTS (SELECT 1 FROM t d WHERE d.id = s.id)
         DELETE d FROM t AS d JOIN #s s ON s.id = d.id WHERE s.id = N'c'
         TRUNCATE TABLE #s
         COMMIT
         SELECT COUNT(*) FROM #s",
    );
    assert_eq!(recorded.errors, []);
    let dump = server.dump("t");
    assert_eq!(dump.keys().collect::<Vec<_>>(), ["A", "b"]);
    assert_eq!(dump["A"]["d"].as_deref(), Some("1.5"));
    assert_eq!(dump["A"]["b"].as_deref(), Some("1"));
    assert_eq!(dump["b"]["d"].as_deref(), Some("-2"));
}
