//! Whatever an admin has set for all sessions, everything is written as it is.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::support::compare::assert_equal;
use crate::support::database::Database as AnyDatabase;
use crate::support::program::Program;
use crate::support::servers::{Kind, PrivateServer, private_server};
use crate::support::simulator::{Config, Simulator, TruthFilter};

/// What admins may set, one by one. Those of a line are set together.
const GLOBALS: &[&str] = &[
    "max_statement_time = 0",
    "sql_safe_updates = 1",
    "max_statement_time = 0.001",
    "sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,NO_ZERO_DATE,NO_ZERO_IN_DATE'",
    "sql_mode = 'EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION'",
    "sql_mode = 'ORACLE'",
    "sql_mode = 'MAXDB'",
    "sql_mode = ''",
    "autocommit = 0",
    "completion_type = 'CHAIN'",
    "completion_type = 'RELEASE'",
    "unique_checks = 0",
    "foreign_key_checks = 0",
    "tx_isolation = 'SERIALIZABLE'",
    "tx_isolation = 'READ-COMMITTED'",
    "tx_read_only = 1",
    "sql_select_limit = 1",
    "max_join_size = 1, sql_big_selects = 0",
    "max_sort_length = 64",
    "sql_notes = 0, max_error_count = 0",
    "lc_messages = 'de_DE'",
    "idle_transaction_timeout = 1, idle_write_transaction_timeout = 1",
    "max_session_mem_used = 8192",
    "alter_algorithm = 'INSTANT'",
    "alter_algorithm = 'COPY'",
    "old_mode = 'NO_DUP_KEY_WARNINGS_WITH_IGNORE'",
    "system_versioning_asof = '2001-01-01 00:00:00'",
    "enforce_storage_engine = 'InnoDB'",
    "innodb_strict_mode = 1",
    "time_zone = '+13:00'",
    "character_set_server = 'latin1', character_set_client = 'latin1', character_set_connection = 'latin1', character_set_results = 'latin1'",
    "collation_server = 'utf8mb4_general_ci', collation_connection = 'utf8mb4_turkish_ci'",
    "init_connect = 'SET sql_mode = ''ANSI_QUOTES,NO_BACKSLASH_ESCAPES'', autocommit = 0, NAMES latin1'",
    "wait_timeout = 1, net_read_timeout = 1, net_write_timeout = 1",
    "lock_wait_timeout = 1, innodb_lock_wait_timeout = 1",
    "group_concat_max_len = 4, div_precision_increment = 0",
    "low_priority_updates = 1, sql_auto_is_null = 1, big_tables = 1",
    "bulk_insert_buffer_size = 0, tmp_table_size = 1024, max_heap_table_size = 16384",
    "query_cache_type = 'ON'",
    "default_storage_engine = 'Aria'",
    "check_constraint_checks = 0",
    "explicit_defaults_for_timestamp = 0",
];

/// An account without the right to change what is global, as `init_connect` is for such ones only.
fn plain_account(server: &PrivateServer) -> String {
    let admin = AnyDatabase::at(Kind::Mysql, server.url.clone());
    for sql in [
        "CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'pw'",
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON dbsync_test.* TO plain@'127.0.0.1'",
    ] {
        admin.execute(sql);
    }
    format!("mysql://plain:pw@127.0.0.1:{}/dbsync_test", server.port())
}

fn parsed(url: &str) -> MysqlUrl {
    match DatabaseUrl::parse(url) {
        Ok(DatabaseUrl::Mysql(url)) => url,
        other => panic!("{other:?}"),
    }
}

/// Sets these variables, and returns what sets them back.
fn set(admin: &mut Conn, globals: &str) -> Vec<String> {
    let mut back = Vec::new();
    // Commas within quotes part nothing.
    let mut quoted = false;
    let parts = globals.split(|c| {
        quoted ^= c == '\'';
        c == ',' && !quoted
    });
    for part in parts {
        let (name, value) = part.trim().split_once(" = ").unwrap();
        let old: Option<String> = admin
            .query_first(format!("SELECT @@global.{name}"))
            .unwrap()
            .unwrap_or_else(|| panic!("{name}"));
        let old = match old {
            None => "NULL".to_owned(),
            Some(old) if old == "DEFAULT" => old,
            Some(old)
                if !old.is_empty() && old.bytes().all(|b| b.is_ascii_digit() || b == b'.') =>
            {
                old
            }
            Some(old) => format!("'{}'", old.replace('\'', "''")),
        };
        back.push(format!("SET GLOBAL {name} = {old}"));
        admin
            .query_drop(format!("SET GLOBAL {name} = {value}"))
            .unwrap_or_else(|e| panic!("{name} = {value}: {e}"));
    }
    back
}

/// Values that modes could change.
const TEXTS: [&str; 8] = [
    "",
    "\\",
    "it's \"quoted\" `so` \\' \\n",
    "Zoë – 東京 🎉",
    "0000-00-00",
    "trailing  ",
    "a || b",
    "İstanbul ı",
];

/// Writes, widens, replaces, reads and marks.
fn work(url: &MysqlUrl, name: &str) {
    let fail = |e: Error| -> () { panic!("{name}: {e}") };
    let fields = [("note", ColumnKind::Text), ("n", ColumnKind::Number)];
    let small = schema(&fields[..1]);
    let schema = schema(&fields);
    let mut sink = open(url).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(sink.prepare(&small).unwrap(), [], "{name}");
    assert_eq!(sink.prepare(&schema).unwrap(), [], "{name}");
    for is_new in [true, false, false] {
        let mut batch = empty(&schema);
        for (i, text) in TEXTS.iter().enumerate() {
            let id = format!("id{i}");
            let row = [
                ("$id", Some(id.as_str())),
                ("$md5", Some("m")),
                ("$changed", Some("2024-01-02T00:00:00Z")),
                ("note", Some(*text)),
                ("n", Some("-0.5")),
            ];
            add(&mut batch, &schema, Table::Contacts, &row);
            let row = [("id", Some(id.as_str())), ("location", Some(*text))];
            add(&mut batch, &schema, Table::Recordings, &row);
        }
        batch.is_new = is_new;
        sink.write(&batch).unwrap_or_else(fail);
    }
    assert_eq!(sink.index(&schema).unwrap(), [], "{name}");
    let long = "w".repeat(150);
    let row = [("id", Some(long.as_str())), ("actor", Some("x"))];
    sink.write(&one(&schema, Table::Transactions, &row))
        .unwrap_or_else(fail);
    let ids: Vec<String> = (0..TEXTS.len()).map(|i| format!("id{i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(sink.stored(&ids).unwrap().len(), TEXTS.len(), "{name}");
    assert_eq!(
        sink.distrust_after("2024-01-01T00:00:00Z", "camp").unwrap(),
        8,
        "{name}"
    );
    for line in sink.check(&schema).unwrap() {
        assert!(line.outcome.is_ok(), "{name}: {line:?}");
    }
    sink.alive().unwrap();
}

/// What [`work`] left, seen by a session of before the settings, and taken away.
fn look(conn: &mut Conn, name: &str) {
    for (table, key, column) in [
        ("dfire_contacts", "`$id`", "note"),
        ("dfire_recordings", "id", "location"),
    ] {
        let found: Vec<Option<String>> = conn
            .query(format!("SELECT {column} FROM {table} ORDER BY {key}"))
            .unwrap();
        let found: Vec<Option<&str>> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, TEXTS.map(Some), "{name}");
    }
    let same: Vec<String> = conn
        .query(
            "SELECT concat(count(*), sum(n = -0.5), sum(`$md5` IS NULL)) FROM dfire_contacts \
             UNION ALL SELECT length(id) FROM dfire_transactions",
        )
        .unwrap();
    assert_eq!(same, ["888", "150"], "{name}");
}

#[test]
fn no_setting_of_a_server_changes_or_stops_anything() {
    let server = private_server(Kind::Mysql);
    let plain = plain_account(&server);
    let url = parsed(&plain);
    let admin = parsed(&server.url);
    let opts = OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(server.port())
        .user(Some(&admin.user))
        .pass(Some(admin.password.reveal()))
        .db_name(Some(&admin.database))
        .prefer_socket(false);
    let mut conn = Conn::new(opts).unwrap();
    let mut failed = Vec::new();
    for globals in GLOBALS {
        let back = set(&mut conn, globals);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            work(&url, globals);
            look(&mut conn, globals);
        }));
        for sql in back {
            conn.query_drop(sql).unwrap();
        }
        if outcome.is_err() {
            failed.push(*globals);
        }
        for table in schema(&[]).tables() {
            conn.query_drop(format!("DROP TABLE IF EXISTS {}", table.name))
                .unwrap();
        }
    }
    assert_eq!(failed, [""; 0]);

    // What this user may not change is named, also by the check.
    let back = set(&mut conn, "enforce_storage_engine = 'Aria'");
    let mut sink = open(&url).unwrap();
    let error = sink.prepare(&schema(&[])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
    let named = |text: &str| text.contains("enforce_storage_engine");
    assert!(named(&error.to_string()), "{error}");
    let lines = sink.check(&schema(&[])).unwrap();
    let wrong: Vec<String> = lines.into_iter().filter_map(|l| l.outcome.err()).collect();
    assert!(wrong.len() == 1 && named(&wrong[0]), "{wrong:?}");
    conn.query_drop(&back[0]).unwrap();

    // Many of them together, under the whole program.
    let sim = Simulator::start(Config {
        contacts: 120,
        ..Config::default()
    });
    let mut back = Vec::new();
    for globals in GLOBALS.iter().filter(|globals| {
        [
            "sql_safe",
            "max_statement",
            "completion",
            "unique",
            "tx_",
            "sql_select",
            "init_connect",
            "collation",
            "alter_",
        ]
        .iter()
        .any(|begin| globals.starts_with(begin))
    }) {
        back.extend(set(&mut conn, globals));
    }
    let program = Program::new(&sim, &plain);
    program.succeed("db_init");
    sim.advance(Duration::from_secs(3600));
    program.succeed_once();
    for sql in back.iter().rev() {
        conn.query_drop(sql).unwrap();
    }
    assert_equal(
        &sim,
        &TruthFilter::default(),
        &AnyDatabase::at(Kind::Mysql, server.url.clone()),
    );
}
