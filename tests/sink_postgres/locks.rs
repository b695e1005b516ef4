//! Locks of others: nobody is kept waiting for long, and we go on without what they keep us from.

use std::time::{Duration, Instant};

use super::*;

/// Somebody who reads a table in a transaction that stays open.
fn reader(db: &Database, table: &str) -> Client {
    let mut client = db.client();
    client
        .batch_execute(&format!("BEGIN; SELECT count(*) FROM {table}"))
        .unwrap();
    client
}

/// Reads again and again until told to end; returns the longest wait.
fn readers(db: &Database, table: &'static str, work: impl FnOnce()) -> Duration {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut client = db.client();
    std::thread::scope(|scope| {
        let longest = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let begin = Instant::now();
                client
                    .batch_execute(&format!("SELECT count(*) FROM {table}"))
                    .unwrap();
                longest = longest.max(begin.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
            longest
        });
        work();
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        longest.join().unwrap()
    })
}

/// What waits of 2 s may take on a busy machine.
const SHORT: Duration = Duration::from_secs(20);

#[test]
fn a_column_that_others_keep_us_from_adding_is_missing_for_now() {
    let mut db = Database::new("lockadd");
    let schema = Schema::new("l_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    let more =
        schema.with_contact_columns([column("a", ColumnKind::Text), column("b", ColumnKind::Text)]);
    let open = reader(&db, "l_contacts");
    let begin = Instant::now();
    let mut missing = Vec::new();
    let longest = readers(&db, "l_contacts", || missing = sink.prepare(&more).unwrap());
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    let columns: Vec<&str> = missing
        .iter()
        .map(|missing| missing.column.as_str())
        .collect();
    assert_eq!(columns, ["a", "b"]);
    assert!(
        missing[0].reason.contains("hold a lock"),
        "{}",
        missing[0].reason
    );
    // Rows are written without it, while the reader is still there.
    write_contact(
        &mut sink,
        &more,
        &[("$id", "A"), ("a", "x"), ("$phone", "1")],
    )
    .unwrap();
    assert_eq!(
        db.value("SELECT \"$phone\" FROM l_contacts").as_deref(),
        Some("1")
    );
    drop(open);
    assert_eq!(sink.prepare(&more).unwrap(), vec![]);
    write_contact(&mut sink, &more, &[("$id", "A"), ("a", "x")]).unwrap();
    assert_eq!(db.value("SELECT a FROM l_contacts").as_deref(), Some("x"));
    // Our statements wait for locks as before.
    let limit = "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'";
    assert_eq!(db.value(limit).as_deref(), Some("0"));
}

#[test]
fn a_column_that_others_keep_us_from_widening_sets_rows_aside_without_waiting_for_each() {
    let mut db = Database::new("lockwiden");
    db.run("CREATE TABLE l_contacts (\"$id\" varchar(50) PRIMARY KEY, v varchar(3)); CREATE VIEW report AS SELECT v FROM l_contacts");
    let schema = Schema::new("l_").with_contact_columns([column("v", ColumnKind::Text)]);
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    for locked in ["l_contacts", "report"] {
        let open = reader(&db, locked);
        let begin = Instant::now();
        for _ in 0..100 {
            let error =
                write_contact(&mut sink, &schema, &[("$id", "A"), ("v", "abcdef")]).unwrap_err();
            assert_error(&error, ErrorKind::Data, &["\"v\""]);
        }
        write_contact(&mut sink, &schema, &[("$id", "B"), ("v", "abc")]).unwrap();
        assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
        drop(open);
        sink = db.open();
        sink.prepare(&schema).unwrap();
    }
    write_contact(&mut sink, &schema, &[("$id", "A"), ("v", "abcdef")]).unwrap();
    assert_eq!(
        db.value("SELECT string_agg(v, ',' ORDER BY v) FROM report")
            .as_deref(),
        Some("abc,abcdef")
    );
}

fn indexes(db: &mut Database) -> Vec<(String, bool)> {
    let rows = db.rows(
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisprimary ORDER BY 1",
    );
    rows.into_iter()
        .map(|mut row| (row.remove(0).unwrap(), row[0].as_deref() == Some("t")))
        .collect()
}

#[test]
fn indexes_that_others_keep_us_from_making_are_missing_for_now_and_leave_nothing_behind() {
    let mut db = Database::new("lockindex");
    let schema = Schema::new("i_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    for table in [Table::Transactions, Table::Connections, Table::Recordings] {
        let mut rows = batch(&schema);
        add(
            &mut rows,
            &schema,
            table,
            &[("id", "A"), ("contact_id", "B")],
        );
        sink.write(&rows).unwrap();
    }
    // An old snapshot: an index made beside writers can't be finished before it ends.
    let mut old = db.client();
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class")
        .unwrap();
    let begin = Instant::now();
    let mut missing = Vec::new();
    let longest = readers(&db, "i_transactions", || {
        missing = sink.index(&schema).unwrap()
    });
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    assert_eq!(missing.len(), 9, "{missing:?}");
    assert!(
        missing
            .iter()
            .all(|missing| missing.reason.contains("hold a lock"))
    );
    assert_eq!(indexes(&mut db), []);
    // The connection goes on, and waits for locks as long as before.
    write_contact(&mut sink, &schema, &[("$id", "A")]).unwrap();
    drop(old);
    assert_eq!(sink.index(&schema).unwrap(), []);
    let made = indexes(&mut db);
    assert_eq!(made.len(), 9, "{made:?}");
    assert!(made.iter().all(|(_, valid)| *valid), "{made:?}");
    assert_eq!(
        db.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1684106339 AND objid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)").as_deref(),
        Some("0")
    );
}

#[test]
fn a_renamed_table_keeps_its_indexes_and_the_new_one_gets_its_own() {
    let mut db = Database::new("rename");
    let schema = Schema::new("r_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    assert_eq!(sink.index(&schema).unwrap(), []);
    db.run("ALTER TABLE r_transactions RENAME TO transactions_2025");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    assert_eq!(sink.index(&schema).unwrap(), []);
    for table in ["r_transactions", "transactions_2025"] {
        let columns = db.rows(&format!(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
             WHERE i.indrelid = '{table}'::regclass AND i.indisvalid ORDER BY 1"
        ));
        assert_eq!(
            columns.concat(),
            ["contact_id", "fired", "id"].map(|c| Some(c.to_owned())),
            "{table}"
        );
    }
    let all = indexes(&mut db).len();
    assert_eq!(sink.index(&schema).unwrap(), []);
    assert_eq!(indexes(&mut db).len(), all);
}

#[test]
fn an_index_that_somebody_else_is_making_is_not_dropped() {
    let mut db = Database::new("theirindex");
    let schema = Schema::new("t_");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    assert_eq!(sink.index(&schema).unwrap(), []);
    // It waits for the writer, and is not valid until then.
    let mut writer = db.client();
    writer
        .batch_execute("BEGIN; INSERT INTO t_transactions (id) VALUES ('A')")
        .unwrap();
    let mut theirs = db.client();
    std::thread::scope(|scope| {
        let making = scope.spawn(move || {
            theirs.batch_execute("CREATE INDEX CONCURRENTLY theirs_idx ON t_transactions (fired)")
        });
        let begin = Instant::now();
        while !indexes(&mut db)
            .iter()
            .any(|(name, valid)| name == "theirs_idx" && !valid)
        {
            assert!(begin.elapsed() < SHORT, "not begun");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(sink.index(&schema).unwrap(), []);
        writer.batch_execute("COMMIT").unwrap();
        making.join().unwrap().unwrap();
    });
    assert!(indexes(&mut db).contains(&("theirs_idx".to_owned(), true)));
}
