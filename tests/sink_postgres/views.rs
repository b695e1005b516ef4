//! Views of the users on columns that have to become wider.

use super::*;
use crate::support::compare::assert_equal;
use crate::support::database::fresh_database;
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Simulator, TruthFilter};

/// A table as narrow as the vendor's, only more so.
fn narrow(db: &mut Database) -> Schema {
    db.run(
        "CREATE TABLE v_contacts (\"$id\" varchar(50) PRIMARY KEY, \"$phone\" varchar(3), a varchar(3), i integer); \
         INSERT INTO v_contacts VALUES ('old', '123', 'abc', 7)",
    );
    Schema::new("v_").with_contact_columns([
        column("a", ColumnKind::Text),
        column("i", ColumnKind::Number),
    ])
}

/// Writes a value that no column is wide enough for.
fn write_wide(sink: &mut PostgresSink, schema: &Schema) -> Result<(), Error> {
    let values = [
        ("$id", "new"),
        ("$phone", "+49 30 123"),
        ("a", "abcdef"),
        ("i", "8"),
    ];
    write_contact(sink, schema, &values)
}

/// Everything that can be told of the views of the schema, but for their texts and oids.
fn traits(db: &mut Database) -> Vec<Vec<Option<String>>> {
    let schema = db.schema.clone();
    db.rows(&format!(
        "SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), array_to_string(c.reloptions, ','), \
                (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(COALESCE(c.relacl, acldefault('r', c.relowner))) x), \
                obj_description(c.oid, 'pg_class'), \
                (SELECT string_agg(concat_ws(':', a.attname, pg_get_expr(d.adbin, d.adrelid), \
                                             col_description(c.oid, a.attnum), \
                                             (SELECT string_agg(x::text, '+' ORDER BY x::text) FROM unnest(a.attacl) x)), \
                                   ',' ORDER BY a.attnum) \
                 FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
                 WHERE a.attrelid = c.oid AND a.attnum > 0) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname LIKE '{schema}%' AND c.relkind = 'v' ORDER BY 1, 2"
    ))
}

#[test]
fn views_are_dropped_and_made_again_as_they_were() {
    let mut db = Database::new("views");
    let schema = narrow(&mut db);
    let other = format!("{}_reports", db.schema);
    // Those who may grant on, and one who is granted to: roles of a name that has to be quoted.
    let roles = ["Chief \"x\"", "deputy", "reader"].map(|name| format!("{}_{name}", db.schema));
    let quoted = roles
        .clone()
        .map(|role| format!("\"{}\"", role.replace('"', "\"\"")));
    let [chief, deputy, reader] = &quoted;
    db.run(&format!(
        "DROP SCHEMA IF EXISTS {other} CASCADE; CREATE SCHEMA {other}; \
         DROP ROLE IF EXISTS {chief}; DROP ROLE IF EXISTS {deputy}; DROP ROLE IF EXISTS {reader}; \
         CREATE ROLE {chief}; CREATE ROLE {deputy}; CREATE ROLE {reader}; \
         GRANT ALL ON SCHEMA {other}, {schema} TO {chief}, {deputy}; GRANT SELECT ON v_contacts TO {chief}; \
         CREATE FUNCTION {other}.masked(text) RETURNS text LANGUAGE sql AS $$ SELECT left($1, 2) || '…' $$",
        schema = db.schema
    ));
    db.run(&format!(
        "CREATE VIEW numbers (id, \"Nummer\", length) WITH (security_barrier = true) AS \
           SELECT \"$id\", \"$phone\", length(\"$phone\") FROM v_contacts WHERE \"$phone\" <> '' OR \"$phone\" IS NULL; \
         ALTER VIEW numbers RENAME COLUMN length TO \"Länge\"; \
         ALTER VIEW numbers ALTER COLUMN \"Nummer\" SET DEFAULT 'it''s \\'; \
         COMMENT ON VIEW numbers IS 'it''s a \\ comment'; COMMENT ON COLUMN numbers.\"Nummer\" IS 'called'; \
         CREATE VIEW {other}.upon AS SELECT n.*, {other}.masked(n.\"Nummer\") AS mask FROM {schema}.numbers n; \
         CREATE VIEW {other}.upon_that AS SELECT u.id, n.\"Nummer\", c.a FROM {other}.upon u \
           JOIN {schema}.numbers n USING (id) JOIN {schema}.v_contacts c ON c.\"$id\" = u.id; \
         CREATE VIEW checked WITH (check_option = local) AS SELECT \"$id\", a FROM v_contacts WHERE a <> 'no'; \
         CREATE RECURSIVE VIEW steps (n, a) AS SELECT 1, max(a)::varchar FROM v_contacts \
           UNION ALL SELECT n + 1, a FROM steps WHERE n < 3; \
         CREATE VIEW apart AS SELECT i FROM v_contacts",
        schema = db.schema
    ));
    db.run(&format!(
        "ALTER VIEW {other}.upon OWNER TO {chief}; \
         GRANT SELECT ON numbers TO {chief} WITH GRANT OPTION; GRANT SELECT (\"Nummer\") ON numbers TO {reader}; \
         GRANT SELECT ON checked TO PUBLIC; GRANT INSERT, UPDATE ON checked TO {deputy} WITH GRANT OPTION; \
         REVOKE ALL ON apart FROM CURRENT_USER; \
         SET ROLE {chief}; GRANT SELECT ON {schema}.numbers TO {deputy} WITH GRANT OPTION; \
         GRANT SELECT ON {other}.upon TO {reader}; \
         SET ROLE {deputy}; GRANT SELECT ON {schema}.numbers TO {reader}; GRANT INSERT ({a}) ON {schema}.checked TO {reader}; \
         RESET ROLE; \
         ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT DELETE ON TABLES TO {reader}",
        schema = db.schema,
        a = "a"
    ));
    if db
        .value("SELECT current_setting('server_version_num')::int >= 150000")
        .as_deref()
        == Some("t")
    {
        db.run("ALTER VIEW checked SET (security_invoker = true)");
    }
    let before = traits(&mut db);
    assert_eq!(before.len(), 6, "{before:?}");
    let select = format!(
        "SELECT u.*, t.\"Nummer\", t.a, s.a FROM {other}.upon u JOIN {other}.upon_that t USING (id), steps s \
         WHERE s.n = 3 ORDER BY 1"
    );
    let rows = db.rows(&select);

    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_wide(&mut sink, &schema).unwrap();
    for (name, kind) in [("$phone", "text"), ("a", "text"), ("i", "integer")] {
        assert_eq!(
            db.column_type("v_contacts", name).as_deref(),
            Some(kind),
            "{name}"
        );
    }
    assert_eq!(traits(&mut db), before);
    let text = |text: &str| Some(text.to_owned());
    let new = [
        "new",
        "+49 30 123",
        "10",
        "+4…",
        "+49 30 123",
        "abcdef",
        "abcdef",
    ]
    .map(text);
    let mut expected = vec![new.to_vec()];
    expected.extend(rows.into_iter().map(|mut row| {
        row[6] = text("abcdef");
        row
    }));
    assert_eq!(db.rows(&select), expected);
    // The views do what they did: the check option, the default, the grants.
    db.admin
        .batch_execute("INSERT INTO checked VALUES ('x', 'no')")
        .expect_err("checked");
    db.run("INSERT INTO numbers (id) VALUES ('default')");
    assert_eq!(
        db.value("SELECT \"$phone\" FROM v_contacts WHERE \"$id\" = 'default'"),
        text("it's \\")
    );
    // The view over another column is the same one still.
    write_contact(&mut sink, &schema, &[("$id", "new"), ("i", "0.5")]).unwrap();
    assert_eq!(
        db.column_type("v_contacts", "i").as_deref(),
        Some("numeric")
    );
    assert_eq!(traits(&mut db), before);
    db.run(&format!(
        "DROP SCHEMA {other} CASCADE; DROP VIEW checked, numbers, steps, apart; DROP OWNED BY {chief}, {deputy}, {reader}; DROP ROLE {chief}, {deputy}, {reader}"
    ));
}

/// The statements that make something which keeps a column narrow, and how it is named.
const OBSTACLES: [(&str, &str); 9] = [
    (
        "CREATE MATERIALIZED VIEW m AS SELECT \"$phone\" FROM v_contacts",
        "materialized view \"SCHEMA\".\"m\"",
    ),
    (
        "CREATE VIEW v AS SELECT \"$phone\" AS p FROM v_contacts; CREATE MATERIALIZED VIEW m AS SELECT p FROM v",
        "materialized view \"SCHEMA\".\"m\"",
    ),
    (
        "CREATE VIEW v AS SELECT \"$phone\" FROM v_contacts; \
         CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING",
        "view \"SCHEMA\".\"v\", which has rules",
    ),
    (
        "CREATE VIEW v AS SELECT \"$phone\" FROM v_contacts; \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER t INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f()",
        "view \"SCHEMA\".\"v\", which has triggers",
    ),
    (
        "CREATE VIEW v AS SELECT \"$phone\" FROM v_contacts; \
         CREATE FUNCTION f(x v) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "view \"SCHEMA\".\"v\", on which function f(v) depends",
    ),
    (
        "CREATE VIEW v AS SELECT \"$phone\" FROM v_contacts; CREATE TABLE t (rows v[])",
        "view \"SCHEMA\".\"v\", on which column rows of table t depends",
    ),
    (
        "CREATE TABLE log (p text); \
         CREATE RULE r AS ON DELETE TO v_contacts DO ALSO INSERT INTO log VALUES (OLD.\"$phone\")",
        "rule \"r\" on \"SCHEMA\".\"v_contacts\"",
    ),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER t BEFORE UPDATE OF \"$phone\" ON v_contacts FOR EACH ROW EXECUTE FUNCTION f()",
        "trigger t on table v_contacts",
    ),
    (
        "ALTER TABLE v_contacts ADD COLUMN g text GENERATED ALWAYS AS (\"$phone\" || '!') STORED",
        "column g of table v_contacts",
    ),
];

#[test]
fn what_can_not_be_made_again_keeps_the_column_as_it_is_and_is_named() {
    for (nth, (obstacle, name)) in OBSTACLES.into_iter().enumerate() {
        let mut db = Database::new(&format!("obstacle{nth}"));
        let schema = narrow(&mut db);
        let name = name.replace("SCHEMA", &db.schema);
        db.run(obstacle);
        let before = traits(&mut db);
        let mut sink = db.open();
        sink.prepare(&schema).unwrap();
        let lines = sink.check(&schema).unwrap();
        let line = lines
            .iter()
            .find(|line| line.subject == "views on v_contacts");
        let said = line
            .unwrap_or_else(|| panic!("{obstacle}: {lines:?}"))
            .outcome
            .clone()
            .unwrap();
        assert!(said.contains(&name), "{obstacle}: {said}");
        let error = write_wide(&mut sink, &schema).unwrap_err();
        assert_error(&error, ErrorKind::Data, &["\"$phone\"", "does not fit"]);
        assert_eq!(
            db.column_type("v_contacts", "$phone").as_deref(),
            Some("character varying(3)"),
            "{obstacle}"
        );
        assert_eq!(traits(&mut db), before, "{obstacle}");
        // The other one is wide enough, and rows that fit are written.
        assert_eq!(
            db.column_type("v_contacts", "a").as_deref(),
            Some("text"),
            "{obstacle}"
        );
        write_contact(
            &mut sink,
            &schema,
            &[("$id", "B"), ("$phone", "1"), ("a", "abcdef")],
        )
        .unwrap();
        assert_eq!(
            db.value("SELECT a FROM v_contacts WHERE \"$id\" = 'B'")
                .as_deref(),
            Some("abcdef")
        );
    }
}

#[test]
fn a_view_whose_text_fits_no_wider_column_keeps_it_as_it_is() {
    let mut db = Database::new("viewtext");
    let schema = narrow(&mut db);
    db.run("CREATE VIEW v AS SELECT i / 2 AS half, \"$phone\" FROM v_contacts");
    let before = db.value("SELECT pg_get_viewdef('v'::regclass)");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    // As a text it can't be divided any more.
    let error = write_contact(&mut sink, &schema, &[("$id", "A"), ("i", "x")]).unwrap_err();
    assert_error(&error, ErrorKind::Data, &["\"i\""]);
    assert_eq!(db.value("SELECT pg_get_viewdef('v'::regclass)"), before);
    assert_eq!(
        db.column_type("v_contacts", "i").as_deref(),
        Some("integer")
    );
    // A wider number can.
    write_contact(&mut sink, &schema, &[("$id", "A"), ("$phone", "12345")]).unwrap();
    assert_eq!(
        db.column_type("v_contacts", "$phone").as_deref(),
        Some("text")
    );
}

#[test]
fn views_of_others_are_left_alone_unless_we_are_of_their_role() {
    let mut db = Database::new("viewowner");
    let schema = narrow(&mut db);
    let group = format!("{}_group", db.schema);
    let other = db
        .role("other", "GRANT USAGE, CREATE ON SCHEMA SCHEMA_NAME TO ROLE")
        .user;
    let url = db.role("owner", "GRANT USAGE, CREATE ON SCHEMA SCHEMA_NAME TO ROLE");
    let us = url.user.clone();
    db.run(&format!(
        "DROP ROLE IF EXISTS {group}; CREATE ROLE {group}; GRANT USAGE, CREATE ON SCHEMA {schema} TO {group}; \
         GRANT {group} TO {us}; ALTER TABLE v_contacts OWNER TO {us}; GRANT SELECT ON v_contacts TO {other}, {group}; \
         CREATE VIEW theirs AS SELECT \"$phone\" FROM v_contacts; ALTER VIEW theirs OWNER TO {other}; \
         CREATE VIEW of_group AS SELECT a FROM v_contacts; ALTER VIEW of_group OWNER TO {group}",
        schema = db.schema
    ));
    db.roles.push(group.clone());
    let mut sink = PostgresSink::open(&url, &roots()).unwrap();
    sink.prepare(&schema).unwrap();
    let lines = sink.check(&schema).unwrap();
    let line = lines
        .iter()
        .find(|line| line.subject == "views on v_contacts")
        .unwrap();
    let said = line.outcome.clone().unwrap();
    assert!(
        said.contains(&format!(
            "view \"{}\".\"theirs\" of role \"{other}\"",
            db.schema
        )),
        "{said}"
    );
    assert!(!said.contains("of_group"), "{said}");
    let before = traits(&mut db);
    write_wide(&mut sink, &schema).unwrap_err();
    assert_eq!(traits(&mut db), before);
    assert_eq!(db.column_type("v_contacts", "a").as_deref(), Some("text"));
    assert_eq!(
        db.column_type("v_contacts", "$phone").as_deref(),
        Some("character varying(3)")
    );
}

#[test]
fn a_column_that_stays_narrow_costs_each_row_no_more_than_a_look() {
    let mut db = Database::new("viewcost");
    let schema = narrow(&mut db);
    db.run("CREATE MATERIALIZED VIEW m AS SELECT \"$phone\" FROM v_contacts");
    let mut sink = db.open();
    sink.prepare(&schema).unwrap();
    write_wide(&mut sink, &schema).unwrap_err();
    // Whoever holds this lock would be waited for by every attempt.
    let mut reader = db.client();
    reader
        .batch_execute("BEGIN; LOCK TABLE v_contacts IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..200 {
        write_wide(&mut sink, &schema).unwrap_err();
    }
    assert!(begin.elapsed() < std::time::Duration::from_secs(20));
}

/// The whole program: a report of the users' on a column that is too narrow for each number.
#[test]
fn a_report_on_a_narrow_column_survives_a_copy_and_one_that_can_not_is_named_once() {
    let sim = Simulator::start(Config {
        contacts: 200,
        ..Config::default()
    });
    for (kind, made_again) in [("VIEW", true), ("MATERIALIZED VIEW", false)] {
        let database = fresh_database(Kind::Postgres);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        database.execute(&format!(
            "DELETE FROM dfire_contacts; ALTER TABLE dfire_contacts ALTER \"$phone\" TYPE varchar(3); \
             CREATE {kind} report AS SELECT \"$id\", \"$phone\" FROM dfire_contacts"
        ));
        let check = program.run("check").stdout;
        let named = "materialized view \"public\".\"report\"";
        assert_eq!(check.contains(named), !made_again, "{check}");
        let ended = program.run("db_init");
        let log = program.log();
        let said = log
            .lines()
            .filter(|line| line.contains("cannot widen"))
            .count();
        if made_again {
            assert_equal(&sim, &TruthFilter::default(), &database);
            assert_eq!(said, 0, "{log}");
            assert_eq!(ended.code, Some(0), "{}", ended.stdout);
            let rows = database.query("SELECT count(*) FROM report WHERE length(\"$phone\") > 3");
            assert_ne!(rows[0][0].as_deref(), Some("0"));
        } else {
            assert_eq!(said, 1, "{log}");
            let line = log
                .lines()
                .find(|line| line.contains("cannot widen"))
                .unwrap();
            for part in [
                named,
                "set aside",
                "ALTER TABLE",
                "ALTER COLUMN \"$phone\" TYPE text",
            ] {
                assert!(line.contains(part), "{line}");
            }
            // Rows that fit are there, and so are all transactions.
            let truth = sim.truth(
                &TruthFilter::default(),
                &crate::support::simulator::Which::All,
            );
            let narrow = |row: &crate::support::database::Row| {
                let phone = row.get("$phone").cloned().flatten();
                phone.is_none_or(|phone| phone.chars().count() <= 3)
            };
            let fitting = truth.contacts.values().filter(|row| narrow(row)).count();
            assert_eq!(database.dump("dfire_contacts").len(), fitting);
            assert_eq!(
                database.dump("dfire_transactions").len(),
                truth.transactions.len()
            );
        }
    }
}

#[test]
fn a_column_that_stays_narrow_is_named_once_however_often_the_database_is_opened() {
    let sim = Simulator::start(Config {
        contacts: 60,
        daily_share: 3.0,
        ..Config::default()
    });
    let database = fresh_database(Kind::Postgres);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    database.execute(
        "DELETE FROM dfire_contacts; ALTER TABLE dfire_contacts ALTER \"$phone\" TYPE varchar(3); \
         CREATE MATERIALIZED VIEW report AS SELECT \"$id\", \"$phone\" FROM dfire_contacts",
    );
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    let mut refused = 0;
    for _ in 0..3 {
        sim.advance(std::time::Duration::from_secs(3600));
        running.wait_until("further refused rows", |status| {
            status["rejected"].as_u64().unwrap() > refused
        });
        running.wait_rounds(1);
        refused = running.status().unwrap()["rejected"].as_u64().unwrap();
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    running.signal("TERM");
    running.wait(std::time::Duration::from_secs(5));
    let log = program.log();
    assert_eq!(log.matches("cannot widen").count(), 1, "{log}");
}
