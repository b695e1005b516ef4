//! Settings of a role that would change results or break what we do.

use super::*;

/// Each with a value that does harm.
const HARMFUL: [&str; 21] = [
    "statement_timeout = 300",
    "lock_timeout = 1",
    "idle_in_transaction_session_timeout = 300",
    "idle_session_timeout = 300",
    "transaction_timeout = 300",
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
        sink.distrust_after("2024-03-05T09:15:41Z").unwrap(),
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
