//! Settings of a role that would change results or break what we do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::connection::answering;
use super::*;
use crate::support::compare::assert_equal;
use crate::support::database::fresh_database;
use crate::support::program::Program;
use crate::support::servers::{Kind, pooler};
use crate::support::simulator::{Config, Simulator, TruthFilter};

/// Each with a value that does harm.
const HARMFUL: [&str; 21] = [
    "statement_timeout = 1",
    "lock_timeout = 1",
    "idle_in_transaction_session_timeout = 1",
    "idle_session_timeout = 1",
    "transaction_timeout = 1",
    "default_transaction_isolation = serializable",
    "default_transaction_deferrable = on",
    "default_transaction_read_only = on",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = sql_standard",
    "timezone = 'Asia/Kathmandu'",
    "standard_conforming_strings = off",
    "backslash_quote = off",
    "array_nulls = off",
    "transform_null_equals = on",
    "xmloption = document",
    "row_security = off",
    "exit_on_error = on",
    "client_min_messages = error",
    "client_encoding = 'LATIN1'",
    "quote_all_identifiers = on",
];

#[test]
fn no_setting_of_a_role_stands_in_our_way() {
    let mut db = Database::new("settings");
    let version: u32 = db
        .value("SHOW server_version_num")
        .unwrap()
        .parse()
        .unwrap();
    let url = db.role("user", "GRANT USAGE, CREATE ON SCHEMA SCHEMA_NAME TO ROLE");
    for (nth, setting) in HARMFUL.into_iter().enumerate() {
        if setting.starts_with("transaction_timeout") && version < 170_000
            || setting.starts_with("idle_session_timeout") && version < 140_000
        {
            continue;
        }
        db.run(&format!(
            "ALTER ROLE {} RESET ALL; ALTER ROLE {} SET {setting}",
            url.user, url.user
        ));
        works(&mut db, &url, &format!("s{nth}_"), setting);
    }
    // All that can be at once.
    db.run(&format!("ALTER ROLE {} RESET ALL", url.user));
    for setting in [
        "default_transaction_read_only = on",
        "standard_conforming_strings = off",
        "exit_on_error = on",
    ] {
        db.run(&format!("ALTER ROLE {} SET {setting}", url.user));
    }
    works(&mut db, &url, "all_", "all of them");
}

/// Everything that a run may do: tables, rows, a refused row, a wider column under a view, an index.
fn works(db: &mut Database, url: &PostgresUrl, prefix: &str, setting: &str) {
    let schema = Schema::new(prefix).with_contact_columns([column("x", ColumnKind::Text)]);
    let contacts = format!("{prefix}contacts");
    let user = &url.user;
    let mut sink = PostgresSink::open(url, &roots()).unwrap_or_else(|e| panic!("{setting}: {e}"));
    assert_eq!(sink.prepare(&schema).unwrap(), vec![], "{setting}");
    db.run(&format!(
        "ALTER TABLE {contacts} ALTER COLUMN \"$ref\" TYPE varchar(3), ALTER COLUMN x TYPE timestamptz USING NULL, \
           ADD CHECK (\"$status\" <> 'bad'), ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY p ON {contacts} USING (true); \
         CREATE FUNCTION {prefix}slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END'; \
         CREATE TRIGGER slow AFTER INSERT ON {prefix}recordings FOR EACH STATEMENT EXECUTE FUNCTION {prefix}slow(); \
         CREATE VIEW {prefix}report AS SELECT \"$ref\" FROM {contacts} WHERE \"$ref\" = NULL::text OR true; \
         ALTER VIEW {prefix}report OWNER TO {user}"
    ));
    let mut sink = PostgresSink::open(url, &roots()).unwrap_or_else(|e| panic!("{setting}: {e}"));
    sink.prepare(&schema).unwrap();
    let text = "it's \\ NULL {a} Zoë";
    let mut new = batch(&schema);
    for id in ["A", "NULL", "null", "B"] {
        let values = [
            ("$id", id),
            ("$comment", text),
            ("x", "2024-03-05T09:15:42Z"),
            ("$ref", "abcdef"),
            ("$md5", "m"),
            ("$changed", "2024-03-05T09:15:42Z"),
        ];
        add(&mut new, &schema, Table::Contacts, &values);
    }
    add(&mut new, &schema, Table::Recordings, &[("id", "R")]);
    new.is_new = true;
    sink.write(&new)
        .unwrap_or_else(|e| panic!("{setting}: {e}"));
    new.is_new = false;
    sink.write(&new)
        .unwrap_or_else(|e| panic!("{setting}: {e}"));
    let error = write_contact(&mut sink, &schema, &[("$id", "C"), ("$status", "bad")]).unwrap_err();
    assert_error(&error, ErrorKind::Data, &[]);
    // Longer than the pauses that would end the session.
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(sink.index(&schema).unwrap(), [], "{setting}");
    let mut stored = sink.stored(&["A", "NULL", "C"]).unwrap();
    stored.sort_by(|a, b| a.id.cmp(&b.id));
    let ids: Vec<&str> = stored.iter().map(|contact| contact.id.as_str()).collect();
    assert_eq!(ids, ["A", "NULL"], "{setting}");
    assert_eq!(
        sink.distrust_after("2024-03-05T09:15:41Z", "camp").unwrap(),
        4,
        "{setting}"
    );
    let rows = db.rows(&format!(
        "SELECT \"$id\", \"$comment\", x AT TIME ZONE 'UTC', \"$ref\", \"$md5\" FROM {contacts} ORDER BY \"$id\" COLLATE \"C\""
    ));
    let row = |id: &str| {
        [
            Some(id),
            Some(text),
            Some("2024-03-05 09:15:42"),
            Some("abcdef"),
            None,
        ]
        .map(|v| v.map(str::to_owned))
        .to_vec()
    };
    assert_eq!(rows, ["A", "B", "NULL", "null"].map(row), "{setting}");
    assert_eq!(
        db.column_type(&contacts, "$ref").as_deref(),
        Some("text"),
        "{setting}"
    );
    assert_eq!(
        db.value(&format!("SELECT count(*) FROM {prefix}report"))
            .as_deref(),
        Some("4"),
        "{setting}"
    );
}

/// Whatever is sent takes so long to either side: much longer than the limits that are set here.
const WAY: Duration = Duration::from_millis(10);

/// Another port of the same server, at some distance.
fn far_away(port: u16) -> u16 {
    fn carry(mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            std::thread::sleep(WAY);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
    answering("127.0.0.1", move |client| {
        let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| carry(&client, &server));
            carry(&server, &client);
        });
    })
}

/// Limits of a millisecond, those that this version has.
fn limits(version: u32) -> impl Iterator<Item = &'static str> {
    let limits = [
        ("statement_timeout", 0),
        ("lock_timeout", 0),
        ("idle_in_transaction_session_timeout", 0),
        ("idle_session_timeout", 140_000),
        ("transaction_timeout", 170_000),
    ];
    let known = limits
        .into_iter()
        .filter(move |(_, since)| version >= *since);
    known.map(|(name, _)| name)
}

#[test]
fn limits_of_a_millisecond_end_no_session_of_a_server_that_is_far_away() {
    let mut db = Database::new("hasty");
    let version = db.value("SHOW server_version_num").unwrap();
    let version: u32 = version.parse().unwrap();
    let mut url = db.role("user", "GRANT USAGE, CREATE ON SCHEMA SCHEMA_NAME TO ROLE");
    let port = far_away(host(&url).port);
    url.servers = Servers::Tcp(vec![Host {
        name: "127.0.0.1".to_owned(),
        port,
    }]);
    // Each alone, as one that ends the session hides the others.
    for (nth, limit) in limits(version).enumerate() {
        db.run(&format!(
            "ALTER ROLE {} RESET ALL; ALTER ROLE {} SET {limit} = 1",
            url.user, url.user
        ));
        works(&mut db, &url, &format!("h{nth}_"), limit);
    }
    for limit in limits(version) {
        db.run(&format!("ALTER ROLE {} SET {limit} = 1", url.user));
    }
    works(&mut db, &url, "all_", "all limits");
    // What the address says is kept.
    let options = format!("{} -clock_timeout=7s", url.options.clone().unwrap());
    url.options = Some(options);
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    sink.prepare(&Schema::new("last_")).unwrap();
    assert_eq!(
        db.value("SELECT count(*) FROM last_contacts").as_deref(),
        Some("0")
    );
}

#[test]
fn limits_of_a_millisecond_end_no_transaction_behind_a_pooler() {
    let database = fresh_database(Kind::Postgres);
    let server = match DatabaseUrl::parse(&database.url).unwrap() {
        DatabaseUrl::Postgres(url) => url,
        _ => panic!("{}", database.url),
    };
    let pooler = pooler(far_away(host(&server).port));
    let sim = Simulator::start(Config {
        contacts: 60,
        daily_share: 3.0,
        long_texts: false,
        ..Config::default()
    });
    let url = database.url.replace(
        &format!("127.0.0.1:{}/", host(&server).port),
        &format!("127.0.0.1:{}/", pooler.port()),
    );
    assert_ne!(url, database.url);
    let program = Program::new(&sim, &url);
    let name = &server.database;
    let version = database.query("SELECT current_setting('server_version_num')");
    let version: u32 = version[0][0].as_deref().unwrap().parse().unwrap();
    // A session that may not be idle at all no pooler can keep, nor use from afar.
    for limit in limits(version).filter(|limit| *limit != "idle_session_timeout") {
        database.execute(&format!("ALTER DATABASE {name} SET {limit} = 1"));
    }
    program.succeed("db_init");
    sim.advance(Duration::from_secs(3 * 3600));
    program.succeed_once();
    let log = program.log();
    assert!(log.contains("through a connection pooler"), "{log}");
    assert!(!log.contains("[ERROR]"), "{log}");
    // A row that is refused takes back what its transaction had set, while the server waits for the end of it.
    let DatabaseUrl::Postgres(pooled) = DatabaseUrl::parse(&url).unwrap() else {
        panic!("{url}");
    };
    let schema = Schema::new("refused_");
    let mut sink = PostgresSink::open(&pooled, &roots()).unwrap();
    sink.prepare(&schema).unwrap();
    database.execute(
        "SET statement_timeout = 0; ALTER TABLE refused_contacts ADD CHECK (\"$status\" <> 'bad')",
    );
    let error = write_contact(&mut sink, &schema, &[("$id", "C"), ("$status", "bad")]).unwrap_err();
    assert_error(&error, ErrorKind::Data, &[]);
    write_contact(&mut sink, &schema, &[("$id", "D")]).unwrap();
    Database::new("reset").run(&format!("ALTER DATABASE {name} RESET ALL"));
    assert_equal(&sim, &TruthFilter::default(), &database);
}
