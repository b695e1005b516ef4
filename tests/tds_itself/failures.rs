//! The server fails when a test wants it to, and keeps what was committed.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::wire::Client;
use super::{NONE, errors, ordinary, value};

#[test]
fn an_error_asked_for_hits_the_next_writes_of_clients() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int)");
    server.fail_next(1205, 2);
    let mut client = Client::log_in(&server);
    client.batch("SELECT * FROM t").expect("no write");
    client
        .batch("CREATE TABLE #s (id int) INSERT INTO #s VALUES (1)")
        .expect("no permanent table");
    assert_eq!(
        client.batch("BEGIN TRAN INSERT INTO t VALUES (1)"),
        Err(vec![1205])
    );
    // The victim's transaction is gone.
    assert_eq!(client.batch("COMMIT"), Err(vec![3902]));
    assert_eq!(client.batch("INSERT INTO t VALUES (1)"), Err(vec![1205]));
    client
        .batch("INSERT INTO t VALUES (1)")
        .expect("the failures are used up");
    assert_eq!(
        value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("1")
    );
}

#[test]
fn a_lost_connection_undoes_its_transaction() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int)");
    let mut client = Client::log_in(&server);
    client
        .batch("BEGIN TRAN INSERT INTO t VALUES (1)")
        .expect("it may");
    drop(client);
    let mut client = Client::log_in(&server);
    client
        .batch("BEGIN TRAN INSERT INTO t VALUES (2)")
        .expect("the lock is free again");
    server.drop_connections();
    assert!(client.batch("COMMIT").is_err());
    server.execute("INSERT INTO t VALUES (3)");
    assert_eq!(server.query("SELECT id FROM t"), [[Some("3".to_owned())]]);
}

#[test]
fn a_lock_is_waited_for_as_long_as_lock_timeout_says() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int)");
    let mut holder = Client::log_in(&server);
    holder
        .batch("BEGIN TRAN INSERT INTO t VALUES (1)")
        .expect("nobody else is there");
    assert_eq!(
        errors(&server, "SET LOCK_TIMEOUT 50 INSERT INTO t VALUES (2)"),
        [1222]
    );
    let waiting = thread::scope(|scope| {
        let waiting = scope.spawn(|| errors(&server, "INSERT INTO t VALUES (3)"));
        holder.batch("COMMIT").expect("it may");
        waiting.join().expect("it does not panic")
    });
    assert_eq!(waiting, NONE);
    assert_eq!(
        value(&server, "SELECT SUM(id) FROM t").as_deref(),
        Some("4")
    );
}

#[test]
fn an_application_lock_is_held_by_one_session() {
    let server = ordinary();
    let lock = "DECLARE @r int EXEC @r = sp_getapplock @Resource = N'dbsync', @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = 0 IF @r < 0 RAISERROR('taken', 16, 1)";
    let mut first = Client::log_in(&server);
    first.batch(lock).expect("it is free");
    assert_eq!(errors(&server, lock), [50_000]);
    first
        .batch("EXEC sp_releaseapplock @Resource = N'dbsync', @LockOwner = N'Session'")
        .expect("it is held");
    let mut second = Client::log_in(&server);
    second.batch(lock).expect("it is free");
    drop(second);
    let give_up = Instant::now() + Duration::from_secs(10);
    while errors(&server, lock) != NONE {
        assert!(Instant::now() < give_up, "the lock outlives its session");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_stopped_server_keeps_its_data() {
    let mut server = ordinary();
    server.execute("CREATE TABLE t (id int) INSERT INTO t VALUES (1)");
    let mut client = Client::log_in(&server);
    server.stop();
    assert!(client.batch("SELECT 1").is_err());
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.start_again();
    Client::log_in(&server)
        .batch("INSERT INTO t VALUES (2)")
        .expect("it runs again");
    assert_eq!(
        value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("2")
    );
}

#[test]
fn fatal_errors_close_the_connection() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int)");
    server.fail_next(6005, 1);
    let mut client = Client::log_in(&server);
    assert_eq!(client.batch("INSERT INTO t VALUES (1)"), Err(vec![6005]));
    assert!(client.batch("SELECT 1").is_err());
}
