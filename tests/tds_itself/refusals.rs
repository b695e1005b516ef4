//! What SQL Server 2008 does not take, with the number of its refusal.

use super::{NONE, errors, ordinary};
use crate::support::tds::TdsServer;
use crate::support::tds::options::{Options, Version};

#[test]
fn other_databases_sql_and_newer_t_sql_are_refused() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id nvarchar(20) NOT NULL PRIMARY KEY, n int)");
    let cases = [
        ("SELECT id FROM t LIMIT 5", 102),
        ("SELECT `id` FROM t", 102),
        (
            "SELECT id FROM t ORDER BY id OFFSET 0 ROWS FETCH NEXT 5 ROWS ONLY",
            102,
        ),
        ("INSERT INTO t VALUES (N'x', 1) ON CONFLICT DO NOTHING", 156),
        (
            "INSERT INTO t VALUES (N'x', 1) ON DUPLICATE KEY UPDATE n = 1",
            156,
        ),
        ("INSERT INTO t VALUES (N'x', 1) RETURNING id", 102),
        ("REPLACE INTO t VALUES (N'x', 1)", 102),
        ("CREATE TABLE IF NOT EXISTS u (id int)", 156),
        ("CREATE INDEX IF NOT EXISTS i ON t (n)", 156),
        ("DROP TABLE IF EXISTS t", 156),
        ("ALTER TABLE t ADD COLUMN x int", 156),
        ("ALTER TABLE t ADD x int AFTER id", 102),
        ("ALTER TABLE t MODIFY x int", 102),
        ("CREATE TABLE u (id longtext)", 2715),
        ("CREATE TABLE u (id boolean)", 2715),
        (
            "MERGE t USING t AS s ON 1 = 1 WHEN MATCHED THEN DELETE;",
            156,
        ),
        ("SELECT TRY_CONVERT(int, N'1')", 195),
        ("SELECT TRY_CAST(N'1' AS int)", 195),
        ("SELECT IIF(1 = 1, 1, 2)", 195),
        ("SELECT CONCAT(N'a', N'b')", 195),
        ("SELECT STRING_AGG(id, N',') FROM t", 195),
        ("SELECT * FROM STRING_SPLIT(N'a,b', N',')", 208),
        ("SELECT * FROM OPENJSON(N'[]')", 208),
        ("SELECT now()", 195),
        ("SELECT 1 WHERE 1", 102),
        ("SELECT id FROM t WHERE id", 102),
        ("SELECT id = 1 = 1 FROM t", 102),
        ("SELECT true", 207),
        ("SELECT id || N'x' FROM t", 102),
        ("UPDATE t SET n = 1 LIMIT 1", 102),
        ("BEGIN; SELECT 1; COMMIT", 102),
        ("START TRANSACTION", 102),
        ("SELEC 1", 102),
        ("SELECT 'a", 105),
        ("SELECT [] FROM t", 1038),
        ("THROW 50000, N'x', 1", 102),
        ("DECLARE @a int DECLARE @a int", 134),
        ("SELECT @a", 137),
    ];
    for (sql, number) in cases {
        assert_eq!(errors(&server, sql), [number], "{sql}");
    }
}

#[test]
fn a_batch_with_a_syntax_error_does_nothing_at_all() {
    let server = ordinary();
    assert_eq!(errors(&server, "CREATE TABLE t (id int) SELEC 1"), [102]);
    assert_eq!(errors(&server, "SELECT * FROM t"), [208]);
}

#[test]
fn unknown_and_duplicate_names_are_refused() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id nvarchar(20) NOT NULL PRIMARY KEY, [Größe] int) CREATE INDEX i ON t ([Größe])");
    let cases = [
        ("SELECT * FROM u", 208),
        ("SELECT * FROM other.t", 208),
        ("SELECT * FROM elsewhere.dbo.t", 208),
        ("SELECT nothing FROM t", 207),
        ("SELECT x.id FROM t", 4104),
        ("SELECT id FROM t a JOIN t b ON a.id = b.id", 209),
        ("SELECT a.id FROM t a JOIN t a ON 1 = 1", 1011),
        ("INSERT INTO t (id, nothing) VALUES (N'x', 1)", 207),
        ("INSERT INTO t (id, ID) VALUES (N'x', N'y')", 264),
        ("INSERT INTO t (id) VALUES (N'x', 1)", 110),
        ("INSERT INTO t (id, [größe]) VALUES (N'x')", 109),
        ("UPDATE t SET nothing = 1", 207),
        ("CREATE TABLE T (id int)", 2714),
        ("CREATE TABLE u (a int, A int)", 2705),
        ("ALTER TABLE t ADD [GRÖSSE] int, [gRÖßE] int", 2705),
        ("ALTER TABLE u ADD x int", 4902),
        ("CREATE INDEX I ON t (id)", 1913),
        ("CREATE INDEX j ON t (nothing)", 1911),
        ("DROP TABLE u", 3701),
        ("DROP INDEX nothing ON t", 3701),
        ("TRUNCATE TABLE u", 4701),
        ("CREATE TABLE other.u (id int)", 2760),
        ("EXEC sp_nothing", 2812),
        ("USE elsewhere", 911),
        ("SELECT id, COUNT(*) FROM t", 8120),
    ];
    for (sql, number) in cases {
        assert_eq!(errors(&server, sql), [number], "{sql}");
    }
}

#[test]
fn a_column_that_the_same_batch_adds_is_unknown_to_it() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int)");
    assert_eq!(
        errors(&server, "ALTER TABLE t ADD n int; UPDATE t SET n = 1"),
        [207]
    );
    // Nothing of the batch ran.
    assert_eq!(errors(&server, "SELECT n FROM t"), [207]);
    server.execute("ALTER TABLE t ADD n int");
    server.execute("UPDATE t SET n = 1");
}

#[test]
fn keys_compare_without_case_and_blanks_at_the_end() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id nvarchar(20) NOT NULL CONSTRAINT PK_t PRIMARY KEY); INSERT INTO t VALUES (N'Äbc')");
    for key in ["äBC", "Äbc  ", "Äbc"] {
        let recorded = server.attempt(&format!("INSERT INTO t VALUES (N'{key}')"));
        assert_eq!(recorded.errors.len(), 1, "{key}");
        assert_eq!(recorded.errors[0].number, 2627);
        assert_eq!(
            recorded.errors[0].message,
            format!(
                "Violation of PRIMARY KEY constraint 'PK_t'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is ({key})."
            )
        );
    }
    assert_eq!(
        errors(&server, "INSERT INTO t VALUES (N'Abc'), (N' Äbc')"),
        NONE
    );
    assert_eq!(
        errors(&server, "INSERT INTO t SELECT N'x' UNION ALL SELECT N'X '"),
        [2627]
    );
    server.execute("CREATE TABLE u (id int, n int) CREATE UNIQUE INDEX i ON u (n) INSERT INTO u VALUES (1, 1), (2, 2)");
    assert_eq!(errors(&server, "UPDATE u SET n = 2 WHERE id = 1"), [2601]);
    assert_eq!(
        super::value(&server, "SELECT COUNT(*) FROM t WHERE id = N'ÄBC '").as_deref(),
        Some("1")
    );
    assert_eq!(
        super::value(
            &server,
            "SELECT COUNT(*) FROM t WHERE id = N'ÄBC' COLLATE Latin1_General_BIN2"
        )
        .as_deref(),
        Some("0")
    );
}

#[test]
fn what_a_user_may_not_do_is_refused() {
    use crate::support::tds::options::{Rights, User};
    let reader = User {
        name: "reader".to_owned(),
        password: "secret".to_owned(),
        rights: Rights::read_only(),
    };
    let server = TdsServer::start(Options {
        users: vec![reader],
        ..Options::default()
    });
    server.execute("CREATE TABLE t (id int)");
    let cases = [
        ("SELECT * FROM t", vec![]),
        (
            "CREATE TABLE #t (id int) INSERT INTO #t VALUES (1) DROP TABLE #t",
            vec![],
        ),
        ("INSERT INTO t VALUES (1)", vec![229]),
        ("UPDATE t SET id = 1", vec![229]),
        ("DELETE FROM t", vec![229]),
        ("TRUNCATE TABLE t", vec![1088]),
        ("ALTER TABLE t ADD n int", vec![1088]),
        ("CREATE INDEX i ON t (id)", vec![1088]),
        ("CREATE TABLE u (id int)", vec![262]),
        ("DROP TABLE t", vec![3701]),
    ];
    for (sql, numbers) in cases {
        assert_eq!(
            server
                .attempt_as(0, sql)
                .errors
                .iter()
                .map(|e| e.number)
                .collect::<Vec<_>>(),
            numbers,
            "{sql}"
        );
    }
    let may = |permission: &str| {
        server
            .attempt_as(
                0,
                &format!("SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', '{permission}')"),
            )
            .rows
    };
    use crate::support::tds::wire::values::Value;
    assert_eq!(may("CREATE TABLE"), [[Value::Int(0)]]);
    assert_eq!(may("SELECT"), [[Value::Int(1)]]);
}

#[test]
fn a_read_only_database_takes_no_writes() {
    let server = TdsServer::start(Options {
        read_only: true,
        ..Options::default()
    });
    server.execute("CREATE TABLE t (id int)");
    for sql in [
        "INSERT INTO t VALUES (1)",
        "DELETE FROM t",
        "CREATE TABLE u (id int)",
        "ALTER TABLE t ADD n int",
    ] {
        assert_eq!(server.attempt_as(0, sql).errors[0].number, 3906, "{sql}");
    }
}

#[test]
fn the_versions_differ_where_real_ones_do() {
    for (version, truncation, banner) in [
        (Version::V2008R2, 8152, "Microsoft SQL Server 2008 R2"),
        (Version::V2016, 8152, "Microsoft SQL Server 2016"),
        (Version::V2019, 2628, "Microsoft SQL Server 2019"),
    ] {
        let server = TdsServer::start(Options {
            version,
            ..Options::default()
        });
        server.execute("CREATE TABLE t (id nvarchar(3))");
        assert_eq!(
            errors(&server, "INSERT INTO t VALUES (N'abcd')"),
            [truncation]
        );
        assert!(
            super::value(&server, "SELECT @@VERSION")
                .unwrap()
                .starts_with(banner)
        );
    }
}
