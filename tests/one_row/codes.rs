//! Whatever the code: one contact among many is refused, all others are copied, and its values stay where they belong.

use super::*;

/// How a trigger refuses one contact. `{}` is its phone number.
struct Refusal {
    name: &'static str,
    statement: String,
}

fn refusal(name: &'static str, statement: impl Into<String>) -> Refusal {
    Refusal {
        name,
        statement: statement.into(),
    }
}

/// All that PL/pgSQL can fill with values, and what it does not raise itself.
fn in_postgresql() -> Vec<Refusal> {
    let codes = [
        "PT403", "MY001", "ZZ001", "P0001", "XX000", "XX001", "42501", "42883", "42P01", "55000",
        "55P03", "0A000", "57014", "57P01", "40001", "40P01", "53200", "53100", "25006", "08006",
        "3F000", "28000", "23505", "23514", "22001", "54000", "F0000", "HV000", "72000",
    ];
    let mut refusals: Vec<Refusal> = (codes.into_iter())
        .map(|code| {
            refusal(
                code,
                format!(
                    "RAISE EXCEPTION 'number %', NEW.\"$phone\" USING ERRCODE = '{code}', DETAIL = NEW.\"$phone\", \
                     HINT = NEW.\"$phone\", TABLE = NEW.\"$phone\", COLUMN = NEW.\"$phone\", \
                     CONSTRAINT = NEW.\"$phone\", SCHEMA = NEW.\"$phone\", DATATYPE = NEW.\"$phone\""
                ),
            )
        })
        .collect();
    refusals.extend([
        refusal("a conversion", "PERFORM ('x' || NEW.\"$phone\")::integer"),
        refusal(
            "a name",
            "EXECUTE format('SELECT * FROM %I', NEW.\"$phone\")",
        ),
        refusal("no such function", "PERFORM gone(NEW.\"$phone\")"),
        refusal("division", "PERFORM 1 / 0"),
        refusal(
            "the end of the session",
            "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)",
        ),
        refusal(
            "a long text",
            "RAISE EXCEPTION '%', repeat(NEW.\"$phone\", 2000000)",
        ),
    ]);
    refusals
}

fn in_mariadb() -> Vec<Refusal> {
    let numbers = [
        ("45000", 1644),
        ("99001", 30001),
        ("42000", 1142),
        ("42S02", 1146),
        ("42S22", 1054),
        ("HY000", 1205),
        ("40001", 1213),
        ("HY000", 1290),
        ("HY000", 1364),
        ("22001", 1406),
        ("23000", 1062),
        ("23000", 4025),
        ("HY000", 1030),
        ("HY000", 1114),
        ("HY000", 1180),
        ("HY000", 1197),
        ("HY000", 1105),
        ("70100", 1317),
        ("70100", 1927),
        ("08S01", 1053),
        ("HY000", 2013),
        ("08S01", 1047),
        ("HY000", 9999),
        ("28000", 1045),
        ("01000", 1265),
    ];
    let mut refusals: Vec<Refusal> = (numbers.into_iter())
        .filter(|(state, _)| !state.starts_with("01"))
        .map(|(state, number)| {
            refusal(
                "",
                format!(
                    "SET @text = CONCAT('Data too long for column ''', NEW.`$phone`, ''' at row 1'); \
                     SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = @text"
                ),
            )
        })
        .collect();
    refusals.extend([
        refusal(
            "a key",
            "SET @text = CONCAT('Duplicate entry ''x'' for key ''', NEW.`$phone`, ''''); \
             SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1062, MESSAGE_TEXT = @text",
        ),
        refusal(
            "a constraint",
            "SET @text = CONCAT('CONSTRAINT `', NEW.`$phone`, '` failed for `a`.`b`'); \
             SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 4025, MESSAGE_TEXT = @text",
        ),
        refusal(
            "a function",
            "SET @text = EXTRACTVALUE('<a/>', CONCAT('//', NEW.`$phone`, '(')); \
             SET NEW.`$id` = CAST(CONCAT('x', NEW.`$phone`) AS DATE)",
        ),
    ]);
    refusals
}

fn in_sqlite() -> Vec<Refusal> {
    vec![
        refusal(
            "fail",
            "SELECT RAISE(FAIL, 'number ' || NEW.\"$phone\" || ' no')",
        ),
        refusal(
            "abort",
            "SELECT RAISE(ABORT, 'no such table: ' || NEW.\"$phone\")",
        ),
        refusal(
            "rollback",
            "SELECT RAISE(ROLLBACK, 'CHECK constraint failed: ' || NEW.\"$phone\")",
        ),
        refusal("a function", "SELECT json_extract('{}', NEW.\"$phone\")"),
        refusal(
            "a search",
            "SELECT count(*) FROM words WHERE words MATCH '\"' || NEW.\"$phone\" || '\" : x'",
        ),
    ]
}

fn in_sql_server() -> Vec<Refusal> {
    [
        "50000",
        "50001",
        "2147483647",
        "33557097",
        "99998",
        "245",
        "8114",
        "3609",
        "208",
        "1205",
        "1222",
        "229",
        "18456",
        "4060",
        "9002",
        "3906",
        "512",
        "8134",
        "2627",
        "2601",
    ]
    .into_iter()
    .map(|number| refusal(number, number))
    .collect()
}

/// A trigger that refuses each of these contacts in its way.
fn refuse_each(database: &Database, refusals: &[Refusal], contacts: &[String]) {
    let cases = |quote: &str| -> String {
        (refusals.iter().zip(contacts))
            .map(|(refusal, contact)| {
                format!(
                    "IF NEW.{quote}$id{quote} = '{contact}' THEN {}; END IF; ",
                    refusal.statement
                )
            })
            .collect()
    };
    match database.kind {
        Kind::Postgres => database.execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON dfire_contacts FOR EACH ROW EXECUTE PROCEDURE refuse()",
            cases("\"")
        )),
        Kind::Mysql => database.execute(&format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON dfire_contacts FOR EACH ROW BEGIN {} END",
            cases("`")
        )),
        Kind::Sqlite => {
            database.execute("CREATE VIRTUAL TABLE words USING fts5(word)");
            for (number, (refusal, contact)) in refusals.iter().zip(contacts).enumerate() {
                database.execute(&format!(
                    "CREATE TRIGGER refuse{number} BEFORE INSERT ON dfire_contacts WHEN NEW.\"$id\" = '{contact}' \
                     BEGIN {}; END",
                    refusal.statement
                ));
            }
        }
        Kind::SqlServer => {
            for (refusal, contact) in refusals.iter().zip(contacts) {
                database.execute(&format!(
                    "ALTER TABLE dfire_contacts WITH NOCHECK ADD CONSTRAINT throw_{} CHECK ([$id] <> '{contact}')",
                    refusal.statement
                ));
            }
        }
    }
}

fn whatever_the_code(kind: Kind) {
    let refusals = match kind {
        Kind::Postgres => in_postgresql(),
        Kind::Mysql => in_mariadb(),
        Kind::Sqlite => in_sqlite(),
        Kind::SqlServer => in_sql_server(),
    };
    let sim = still(400);
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url)
        .arg("--l", "5")
        .flag("--v")
        .arg("--batch", "40");
    program.succeed("db_init");
    for table in TABLES {
        database.execute(&format!("DELETE FROM dfire_{table}"));
    }
    let mut truth = sim.truth(&TruthFilter::default(), &Which::All);
    // Numbers that are part of nothing else.
    let victims: Vec<(String, String)> = (truth.contacts.iter())
        .filter_map(|(id, row)| Some((id.clone(), row["$phone"].clone()?)))
        .filter(|(_, phone)| phone.len() >= 8)
        .step_by(7)
        .take(refusals.len())
        .collect();
    assert_eq!(victims.len(), refusals.len());
    let ids: Vec<String> = victims.iter().map(|(id, _)| id.clone()).collect();
    refuse_each(&database, &refusals, &ids);

    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}\n{}", ended.stdout, program.log());
    let rejected = rejected_rows(&program);
    for ((id, phone), refusal) in victims.iter().zip(&refusals) {
        truth.contacts.remove(id);
        let line = rejected.iter().find(|line| line["key"] == **id);
        let line = line.unwrap_or_else(|| panic!("{} is not set aside", refusal.name));
        assert_eq!(line["table"], "dfire_contacts");
        assert_eq!(line["row"]["$phone"], **phone);
        assert!(!line["reason"].as_str().unwrap().is_empty());
    }
    assert_eq!(rejected.len(), victims.len());
    assert_holds(&truth, &database, "dfire_");
    let status = std::fs::read_to_string(program.directory().join("status.json")).unwrap();
    for text in [&program.log(), &ended.stdout, &ended.stderr, &status] {
        for (_, phone) in &victims {
            let line = text.lines().find(|line| line.contains(phone.as_str()));
            assert_eq!(line, None, "{phone}");
        }
        assert_eq!(text.lines().find(|line| line.len() > 3000), None);
    }
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["rejected"], victims.len(), "{status}");
    // What was said is kept where the row is.
    let reasons: Vec<&str> = rejected
        .iter()
        .map(|line| line["reason"].as_str().unwrap())
        .collect();
    let whole = victims
        .iter()
        .filter(|(_, phone)| reasons.iter().any(|reason| reason.contains(phone)));
    assert!(whole.count() * 10 > victims.len() * 6, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.chars().count() < 11_000));
}

#[test]
fn whatever_the_code_with_sqlite() {
    whatever_the_code(Kind::Sqlite);
}

#[test]
fn whatever_the_code_with_postgresql() {
    whatever_the_code(Kind::Postgres);
}

#[test]
fn whatever_the_code_with_sql_server() {
    whatever_the_code(Kind::SqlServer);
}

#[test]
fn whatever_the_code_with_mariadb() {
    whatever_the_code(Kind::Mysql);
}

#[test]
fn a_flood_of_refused_rows_is_a_few_lines() {
    let sim = Simulator::start(Config {
        contacts: 100,
        daily_share: 0.0,
        ..Config::default()
    });
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Mysql] {
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        database.execute("DELETE FROM dfire_transactions");
        database.execute("DELETE FROM dfire_contacts");
        database.execute(match kind {
            Kind::Sqlite => {
                "CREATE TRIGGER no BEFORE INSERT ON dfire_transactions WHEN NEW.contact_id <> '' BEGIN SELECT RAISE(ABORT, 'no'); END"
            }
            _ => "ALTER TABLE dfire_transactions ADD CONSTRAINT no CHECK (contact_id = '')",
        });
        if kind == Kind::Sqlite {
            // It takes one, so that it is not the table which is to blame.
            database
                .execute("INSERT INTO dfire_transactions (id, contact_id) VALUES ('first', '')");
        }
        let ended = program.run("db_init");
        assert_eq!(ended.code, Some(5), "{}", ended.stdout);
        let transactions = sim.truth(&TruthFilter::default(), &Which::All).transactions;
        assert_eq!(
            rejected_rows(&program).len(),
            transactions.len(),
            "{kind:?}"
        );
        let refused = |text: &str| {
            text.lines()
                .filter(|line| line.contains("is refused"))
                .count()
        };
        assert_eq!(refused(&ended.stdout), 5, "{kind:?}: {}", ended.stdout);
        assert_eq!(refused(&program.log()), 5, "{kind:?}");
        assert!(ended.stdout.lines().count() < 20, "{}", ended.stdout);
    }
}
