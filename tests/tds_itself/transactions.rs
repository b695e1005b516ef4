//! Rollback undoes, whoever asks for it.

use super::{NONE, errors, ordinary, value};

#[test]
fn rollback_undoes_rows_tables_and_columns() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int) INSERT INTO t VALUES (1)");
    server.execute(
        "BEGIN TRAN INSERT INTO t VALUES (2) ALTER TABLE t ADD n int CREATE TABLE u (id int) CREATE INDEX i ON t (id) ROLLBACK",
    );
    assert_eq!(server.query("SELECT * FROM t"), [[Some("1".to_owned())]]);
    assert_eq!(errors(&server, "SELECT * FROM u"), [208]);
    assert_eq!(
        value(
            &server,
            "SELECT COUNT(*) FROM sys.indexes WHERE name = N'i'"
        )
        .as_deref(),
        Some("0")
    );
}

#[test]
fn a_failed_statement_undoes_itself_alone() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    // Without XACT_ABORT the batch and its transaction go on.
    assert_eq!(
        errors(
            &server,
            "BEGIN TRAN INSERT INTO t VALUES (1) INSERT INTO t VALUES (2), (1) INSERT INTO t VALUES (3) COMMIT"
        ),
        [2627]
    );
    assert_eq!(
        value(&server, "SELECT SUM(id) FROM t").as_deref(),
        Some("4")
    );
}

#[test]
fn xact_abort_undoes_the_transaction_and_ends_the_batch() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    assert_eq!(
        errors(
            &server,
            "SET XACT_ABORT ON BEGIN TRAN INSERT INTO t VALUES (1) INSERT INTO t VALUES (1) COMMIT INSERT INTO t VALUES (9)"
        ),
        [2627]
    );
    assert_eq!(
        value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("0")
    );
}

#[test]
fn a_conversion_error_undoes_the_transaction_by_itself() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    assert_eq!(
        errors(
            &server,
            "BEGIN TRAN INSERT INTO t VALUES (1) INSERT INTO t VALUES (N'x') COMMIT"
        ),
        [245]
    );
    assert_eq!(
        value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("0")
    );
}

#[test]
fn try_and_catch_tell_the_error() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    let recorded = server.attempt(
        "SET XACT_ABORT ON
         BEGIN TRY BEGIN TRAN INSERT INTO t VALUES (1) INSERT INTO t VALUES (1) COMMIT END TRY
         BEGIN CATCH
           DECLARE @n int, @s int
           SELECT @n = ERROR_NUMBER(), @s = XACT_STATE()
           IF @@TRANCOUNT > 0 ROLLBACK
           SELECT @n, @s, @@TRANCOUNT, COUNT(*) FROM t
         END CATCH",
    );
    assert_eq!(recorded.errors, []);
    use crate::support::tds::wire::values::Value::Int;
    assert_eq!(recorded.rows, [[Int(2627), Int(-1), Int(0), Int(0)]]);
}

#[test]
fn unbalanced_ends_are_refused() {
    let server = ordinary();
    assert_eq!(errors(&server, "COMMIT"), [3902]);
    assert_eq!(errors(&server, "ROLLBACK"), [3903]);
    assert_eq!(errors(&server, "IF @@TRANCOUNT > 0 ROLLBACK"), NONE);
    assert_eq!(
        value(&server, "BEGIN TRAN BEGIN TRAN COMMIT SELECT @@TRANCOUNT").as_deref(),
        Some("1")
    );
}

#[test]
fn temporary_tables_are_the_sessions_own() {
    let server = ordinary();
    server.execute("CREATE TABLE #t (id int) INSERT INTO #t VALUES (1)");
    assert_eq!(errors(&server, "SELECT * FROM #t"), [208]);
    assert_eq!(
        errors(&server, "CREATE TABLE #t (id int) CREATE TABLE #T (id int)"),
        [2714]
    );
    assert_eq!(
        value(
            &server,
            "SELECT TOP 0 1 AS a INTO #n SELECT COUNT(*) FROM #n"
        )
        .as_deref(),
        Some("0")
    );
}

#[test]
fn update_and_delete_count_their_rows() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int, n int) INSERT INTO t VALUES (1, 1), (2, 1), (3, 2)");
    assert_eq!(
        value(
            &server,
            "UPDATE t SET n = n + 1 WHERE n = 1 SELECT @@ROWCOUNT"
        )
        .as_deref(),
        Some("2")
    );
    assert_eq!(
        value(
            &server,
            "DELETE FROM t WHERE id IN (SELECT id FROM t WHERE n = 2) SELECT @@ROWCOUNT"
        )
        .as_deref(),
        Some("3")
    );
}
