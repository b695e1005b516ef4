//! The file: locked, replaced, killed, impossible to open; its log.

use super::*;

fn opening_error(path: &Path) -> String {
    let error = SqliteSink::open(path).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    error.to_string()
}

#[test]
fn a_locked_file_is_waited_for_and_then_passing_trouble() {
    let place = Place::new("locked");
    let schema = schema(&[]);
    let mut sink = SqliteSink::open_waiting(&place.file(), Duration::from_millis(50)).unwrap();
    sink.prepare(&schema).unwrap();
    let other = place.reader();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = one(&schema, Table::Contacts, &[("$id", Some("a"))]);
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(
        error.to_string().contains("another program holds the file"),
        "{error}"
    );
    other.execute_batch("COMMIT").unwrap();
    sink.write(&batch).unwrap();
}

#[test]
fn a_file_that_is_replaced_or_a_table_that_is_dropped_is_passing_trouble() {
    let place = Place::new("replaced");
    let schema = schema(&[]);
    let batch = one(&schema, Table::Contacts, &[("$id", Some("a"))]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    place
        .reader()
        .execute_batch("DROP TABLE dfire_contacts")
        .unwrap();
    assert_eq!(sink.write(&batch).unwrap_err().kind(), ErrorKind::Transient);
    std::fs::rename(place.file(), place.0.join("moved.db")).unwrap();
    let error = sink.write(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(
        error.to_string().contains("moved, deleted or replaced"),
        "{error}"
    );
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&batch).unwrap();
    assert_eq!(
        value(&place.reader(), "SELECT \"$id\" FROM dfire_contacts"),
        text("a")
    );
}

#[test]
fn the_log_is_long_only_while_a_first_copy_is_written() {
    let place = Place::new("log");
    let schema = schema(&[("note", ColumnKind::Text)]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    let text = "x".repeat(100_000);
    let mut number = 0;
    let mut write = |sink: &mut SqliteSink| {
        for _ in 0..10 {
            let mut batch = empty(&schema);
            for _ in 0..20 {
                number += 1;
                let id = number.to_string();
                let row = [("$id", Some(id.as_str())), ("note", Some(text.as_str()))];
                add(&mut batch, &schema, Table::Contacts, &row);
            }
            sink.write(&batch).unwrap();
        }
    };
    let megabytes = |file: &str| std::fs::metadata(place.0.join(file)).unwrap().len() >> 20;
    // 20 MB, of which nothing is in its place yet.
    write(&mut sink);
    assert!(megabytes("out.db-wal") >= 19 && megabytes("out.db") == 0);
    sink.index(&schema).unwrap();
    // From then on all but the last 4 MB is.
    write(&mut sink);
    let (file, log) = (megabytes("out.db"), megabytes("out.db-wal"));
    assert!(file >= 32 && log < 30, "{file} MB, log {log} MB");
    sink.prepare(&schema).unwrap();
    for _ in 0..6 {
        write(&mut sink);
    }
    // 120 MB more, and the log is as long as it may be.
    let log = megabytes("out.db-wal");
    assert!((60..80).contains(&log), "log {log} MB");
    drop(sink);
    assert!(!place.0.join("out.db-wal").exists());
    let count = value(&place.reader(), "SELECT count(*) FROM dfire_contacts");
    assert_eq!(count, Value::Integer(1600));
}

#[test]
fn a_committed_batch_survives_a_killed_process() {
    let place = Place::new("durable");
    let schema = schema(&[]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&schema).unwrap();
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("a"))]))
        .unwrap();
    // What a killed process leaves behind is the state of the files now, copied while the sink is open.
    for end in ["", "-wal"] {
        std::fs::copy(
            place.0.join(format!("out.db{end}")),
            place.0.join(format!("copy.db{end}")),
        )
        .unwrap();
    }
    let copy = Connection::open(place.0.join("copy.db")).unwrap();
    assert_eq!(
        value(&copy, "SELECT \"$id\" FROM dfire_contacts"),
        text("a")
    );
    assert_eq!(value(&copy, "PRAGMA journal_mode"), text("wal"));
}

#[test]
fn what_cannot_be_opened_is_explained() {
    let place = Place::new("opening");
    assert!(opening_error(&place.0.join("no/such/x.db")).contains("does not exist (create it"));
    assert!(opening_error(&place.0).contains("it is a directory"));
    assert!(opening_error(Path::new("/proc/dbsync2.db")).contains("may not write there"));
    std::fs::write(
        place.file(),
        "this is a text file, and long enough to be one".repeat(100),
    )
    .unwrap();
    assert!(opening_error(&place.file()).contains("file is not a database (check the file name"));
}

/// Where SQLite can't do away with the log of a file that is gone.
#[test]
fn a_log_without_its_file_is_named() {
    let place = Place::new("orphan");
    std::fs::create_dir(place.0.join("out.db-wal")).unwrap();
    let message = opening_error(&place.file());
    assert!(message.contains("disk I/O error"), "{message}");
    assert!(message.contains("out.db-wal and "), "{message}");
    std::fs::remove_dir(place.0.join("out.db-wal")).unwrap();
    SqliteSink::open(&place.file()).unwrap();
}

/// Another program writes for long: we go on without the new column and the indexes, and make them later.
#[test]
fn a_locked_file_delays_columns_and_indexes_only() {
    let place = Place::new("delayed");
    let before = schema(&[]);
    let after = schema(&[("later", ColumnKind::Text)]);
    let mut sink = SqliteSink::open(&place.file()).unwrap();
    sink.prepare(&before).unwrap();
    let other = place.reader();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begin = std::time::Instant::now();
    let missing = sink.prepare(&after).unwrap();
    let columns: Vec<_> = missing.iter().map(|m| m.column.as_str()).collect();
    assert_eq!(columns, ["later"]);
    let indexes = sink.index(&after).unwrap();
    assert!(indexes.len() > 5, "{indexes:?}");
    // Two waits of two seconds, not one per index.
    assert!(begin.elapsed() < Duration::from_secs(12));
    other.execute_batch("COMMIT").unwrap();
    let values = [("$id", Some("C1")), ("later", Some("x"))];
    sink.write(&one(&after, Table::Contacts, &values)).unwrap();
    assert_eq!(sink.prepare(&after).unwrap(), []);
    assert_eq!(sink.index(&after).unwrap(), []);
    sink.write(&one(&after, Table::Contacts, &values)).unwrap();
    assert_eq!(
        value(&place.reader(), "SELECT later FROM dfire_contacts"),
        text("x")
    );
    // Without its tables there is nothing to go on with.
    let place = Place::new("delayed-tables");
    let mut sink = SqliteSink::open_waiting(&place.file(), Duration::from_millis(50)).unwrap();
    sink.prepare(&before).unwrap();
    let other = place.reader();
    other
        .execute_batch("DROP TABLE dfire_contacts; BEGIN IMMEDIATE")
        .unwrap();
    let error = sink.prepare(&before).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
}
