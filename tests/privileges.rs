//! Security: the statements of the README make a user that may do all that is needed, and no GRANT of them is too much.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::time::Duration;

use crate::support::compare::assert_equal;
use crate::support::database::Database;
use crate::support::program::{Program, assert_only_contacts_lost};
use crate::support::servers::{Kind, mysql_url, postgres_url};
use crate::support::simulator::{Config, Simulator, TruthFilter};
use crate::support::temp::TempDir;

/// The user that owns nothing.
const NOBODY: u32 = 65_534;

/// A statement of the README, or the database that `\c` changes to.
enum Step {
    Run(String),
    Connect(String),
}

/// The SQL of a section of "The first real sync": its blocks, with names that no other test has.
fn blocks(section: &str, names: &[(&str, &str)]) -> Vec<Vec<Step>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (_, rest) = readme.split_once("## The first real sync").unwrap();
    let (_, rest) = rest.split_once(&format!("\n### {section}\n")).unwrap();
    let (section, _) = rest.split_once("\n### ").unwrap();
    let blocks = section.split("```sql").skip(1);
    blocks
        .map(|block| {
            let mut sql = block.split("```").next().unwrap().to_owned();
            for (name, replacement) in names {
                sql = sql.replace(name, replacement);
            }
            steps(&sql)
        })
        .collect()
}

fn steps(sql: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut statement = String::new();
    for line in sql.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(database) = line.strip_prefix("\\c ") {
            steps.push(Step::Connect(database.to_owned()));
            continue;
        }
        statement.push_str(line);
        statement.push(' ');
        if line.ends_with(';') {
            steps.push(Step::Run(std::mem::take(&mut statement)));
        }
    }
    assert!(statement.is_empty() && !steps.is_empty(), "{sql}");
    steps
}

/// The address of another database of the same server, as another user if one is given.
fn address(url: &str, user: Option<&str>, database: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (login, place) = rest.rsplit_once('@').unwrap();
    let (host, _) = place.split_once('/').unwrap();
    let login = match user {
        Some(user) => format!("{user}:choose-one"),
        None => login.to_owned(),
    };
    format!("{scheme}://{login}@{host}/{database}")
}

/// Runs statements in the end, whatever came before.
struct Finally<'a>(&'a Database, Vec<String>);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        for sql in &self.1 {
            self.0.execute(sql);
        }
    }
}

/// Everything that the user may have to do: tables, rows, columns that come later, a wider column, an index.
fn does_its_work(url: &str, admin: &Database) {
    let sim = Simulator::start(Config {
        contacts: 40,
        daily_share: 3.0,
        long_texts: false,
        ..Config::default()
    });
    let program = Program::new(&sim, url);
    program.succeed("check");
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), admin);

    // Later fields of the campaign become columns.
    assert!(!has_column(admin, "Nachtrag"));
    sim.advance(Duration::from_secs(2 * 3600));
    program.succeed_once();
    program.succeed("db_init");
    assert!(has_column(admin, "Nachtrag"));
    assert_equal(&sim, &TruthFilter::default(), admin);

    // A column that is too narrow is widened, and an index that is missing is made.
    assert_eq!(indexes_on_fired(admin).len(), 1);
    narrow_and_drop_index(admin);
    assert!(indexes_on_fired(admin).is_empty());
    program.succeed("db_init");
    assert_eq!(indexes_on_fired(admin).len(), 1);
    assert_equal(&sim, &TruthFilter::default(), admin);
    assert_only_contacts_lost(&program.log());
}

fn has_column(admin: &Database, column: &str) -> bool {
    let schema = match admin.kind {
        Kind::Postgres => "current_schema()",
        _ => "database()",
    };
    let found = admin.query(&format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = {schema} \
         AND table_name = 'dfire_contacts' AND column_name = '{column}'"
    ));
    !found.is_empty()
}

fn indexes_on_fired(admin: &Database) -> Vec<String> {
    let found = admin.query(match admin.kind {
        Kind::Postgres => {
            "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() \
             AND tablename = 'dfire_transactions' AND indexdef LIKE '%(fired)'"
        }
        _ => {
            "SELECT index_name FROM information_schema.statistics WHERE table_schema = database() \
             AND table_name = 'dfire_transactions' AND column_name = 'fired'"
        }
    });
    found
        .into_iter()
        .map(|mut row| row.remove(0).unwrap())
        .collect()
}

fn narrow_and_drop_index(admin: &Database) {
    admin.execute("DELETE FROM dfire_contacts");
    let index = indexes_on_fired(admin).remove(0);
    match admin.kind {
        Kind::Postgres => {
            admin.execute("ALTER TABLE dfire_contacts ALTER \"$phone\" TYPE varchar(3)");
            admin.execute(&format!("DROP INDEX \"{index}\""));
        }
        _ => {
            admin.execute("ALTER TABLE dfire_contacts MODIFY `$phone` varchar(3)");
            admin.execute(&format!("DROP INDEX `{index}` ON dfire_transactions"));
        }
    }
}

fn run(steps: &[Step], server_url: &str) {
    let mut place = Database::at(Kind::Postgres, server_url.to_owned());
    if server_url.starts_with("mysql") {
        place.kind = Kind::Mysql;
    }
    for step in steps {
        match step {
            Step::Run(sql) => place.execute(sql),
            Step::Connect(name) => place.url = address(server_url, None, name),
        }
    }
}

#[test]
fn the_owner_of_a_postgresql_database_needs_nothing_else() {
    let (user, database) = (
        format!("owner_{}", process::id()),
        format!("owned_{}", process::id()),
    );
    let blocks = blocks("PostgreSQL", &[("dbsync", &user), ("dialfire", &database)]);
    let server = Database::of_server(Kind::Postgres);
    let _finally = Finally(
        &server,
        vec![
            format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            format!("DROP ROLE IF EXISTS {user}"),
        ],
    );
    run(&blocks[0], &postgres_url());
    let admin = Database::at(Kind::Postgres, address(&postgres_url(), None, &database));
    does_its_work(&address(&postgres_url(), Some(&user), &database), &admin);
}

#[test]
fn a_schema_of_its_own_is_enough_in_a_postgresql_database() {
    let (user, schema, database) = (
        format!("guest_{}", process::id()),
        format!("room_{}", process::id()),
        format!("house_{}", process::id()),
    );
    let blocks = blocks(
        "PostgreSQL",
        &[
            ("dbsync", &user),
            ("dialfire", &schema),
            ("reports", &database),
        ],
    );
    let server = Database::of_server(Kind::Postgres);
    let _finally = Finally(
        &server,
        vec![
            format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            format!("DROP ROLE IF EXISTS {user}"),
        ],
    );
    server.execute(&format!("CREATE DATABASE {database}"));
    run(&blocks[1], &postgres_url());
    let admin = address(&postgres_url(), None, &database);
    let admin = Database::at(
        Kind::Postgres,
        format!("{admin}?options=-csearch_path%3D{schema}"),
    );
    does_its_work(&address(&postgres_url(), Some(&user), &database), &admin);
}

#[test]
fn the_grant_for_mysql_is_enough_and_nothing_of_it_is_too_much() {
    let (user, database) = (
        format!("granted_{}", process::id()),
        format!("granted_db_{}", process::id()),
    );
    let blocks = blocks(
        "MySQL and MariaDB",
        &[("dbsync", &user), ("dialfire", &database)],
    );
    let server = Database::of_server(Kind::Mysql);
    let _finally = Finally(
        &server,
        vec![
            format!("DROP DATABASE IF EXISTS {database}"),
            format!("DROP USER IF EXISTS '{user}'@'%'"),
        ],
    );
    run(&blocks[0], &mysql_url());
    let url = address(&mysql_url(), Some(&user), &database);
    let admin = Database::at(Kind::Mysql, address(&mysql_url(), None, &database));
    does_its_work(&url, &admin);

    let grant = blocks[0]
        .iter()
        .find_map(|step| match step {
            Step::Run(sql) => sql.strip_prefix("GRANT "),
            Step::Connect(_) => None,
        })
        .unwrap();
    let (privileges, place) = grant.split_once(" ON ").unwrap();
    let sim = Simulator::start(Config {
        contacts: 1,
        ..Config::default()
    });
    let program = Program::new(&sim, &url);
    for privilege in privileges.split(", ") {
        let revoked = place.replace(" TO ", " FROM ");
        server.execute(&format!("REVOKE {privilege} ON {revoked}"));
        let check = program.run("check");
        let line = check
            .stdout
            .lines()
            .find(|line| line.contains(&format!("privilege {privilege}")))
            .unwrap_or_else(|| panic!("{privilege}: {}", check.stdout));
        assert!(line.contains("missing on"), "{privilege}: {line}");
        assert_eq!(check.code, Some(1), "{privilege}: {}", check.stdout);
        server.execute(&format!("GRANT {privilege} ON {place}"));
    }
    program.succeed("check");
}

/// A process of root becomes one of nobody; who runs the tests as another user shows the same.
#[test]
fn nobody_can_run_it() {
    let directory = TempDir::new();
    let home = directory.path();
    let program = home.join("dbsync2");
    fs::copy(env!("CARGO_BIN_EXE_dbsync2"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let sim = Simulator::start(Config {
        contacts: 20,
        ..Config::default()
    });
    let url = format!("sqlite:{}/test.db", home.display());
    let mut command = Command::new(&program);
    command
        .args(["--a", "db_init", "--c", sim.campaign()])
        .args(["--api-url", &sim.url(), "--url", &url])
        .env_clear()
        .env("HOME", home)
        .env("DBSYNC_CT", sim.token());
    // Root may give a directory away.
    if chown(home, Some(NOBODY), Some(NOBODY)).is_ok() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert_equal(
        &sim,
        &TruthFilter::default(),
        &Database::at(Kind::Sqlite, url),
    );
    assert!(
        said.contains(&format!("{}/.dbsync/logs/", home.display())),
        "{said}"
    );
}
