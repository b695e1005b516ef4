//! Tables of the vendor's client are taken over as they are, and encrypted connections are checked.

use std::path::Path;

use crate::support::compare::{assert_equal, assert_holds};
use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::{Kind, certificates, private_server_with_certificate};
use crate::support::simulator::{Config, Simulator, TlsFiles, TruthFilter, Which};

/// Columns of the old client's tables: name and kind.
const CONTACTS: &str = "$id S,$md5 S,$ref S,$version S,$campaign_id S,$task_id S,$task S,$status S,\
    $status_detail T,$created_date S,$entry_date S,$owner S,$follow_up_date S,$phone S,$timezone S,\
    $caller_id S,$source S,$comment X,$error S,$recording T,$recording_url T,$changed S";
const TRANSACTIONS: &str = "id S,contact_id S,task_id S,task S,status S,status_detail T,fired S,\
    pause_time_sec N,edit_time_sec N,wrapup_time_sec N,user S,user_loginName S,user_branch S,\
    user_tenantAlias S,actor S,type S,result S,trigger S,isHI B,revoked B,$changed S";
const CONNECTIONS: &str = "id S,parent_connection_id S,transfer_target_address S,call_uuid S,\
    global_call_uuid T,transaction_id S,task_id S,contact_id S,phone S,user S,actor S,hangup_party S,\
    isThirdPartyConnection S,dialerdomain S,fired S,started S,initiated S,connected S,disconnected S,\
    ended S,duration N,remote_number S,line_number S,technology S,result S,code N,call_initiated S,\
    call_connected S,call_disconnected S,$changed S";
const RECORDINGS: &str =
    "id S,contact_id S,connection_id S,started S,stopped S,filename T,location T,$changed S";
const INBOUND: &str = "id S,line_id S,campaign_id S,task_id S,task_name S,contact_id S,remote_number S,\
    line_number S,started S,connected S,disconnected S,user S,state S,connectable_time S,\
    disposition S,dispatch_error B,$changed S";

/// The old client's statement for a table; the custom fields stand behind the contacts' own columns.
fn create(
    kind: Kind,
    prefix: &str,
    table: &str,
    columns: &str,
    custom: &[(String, bool)],
) -> String {
    let mysql = kind == Kind::Mysql;
    let sql_server = kind == Kind::SqlServer;
    let quote = |name: &str| kind.quote(name);
    let mut parts: Vec<String> = columns
        .split(',')
        .map(|column| {
            let (name, sort) = column.trim().split_once(' ').unwrap();
            let sort = match (sort, mysql) {
                ("S" | "N", _) if sql_server => "nvarchar(50)",
                // Without a length: one character.
                ("T", _) if sql_server => "nvarchar",
                ("B", _) if sql_server => "bit",
                ("S", _) => "varchar(50)",
                ("T", true) => "varchar(100)",
                ("T", false) => "varchar",
                ("X", _) => "text",
                ("N", _) => "numeric",
                _ => "boolean",
            };
            format!("{} {sort}", quote(name))
        })
        .collect();
    let key = if table == "contacts" { "$id" } else { "id" };
    parts[0].push_str(" NOT NULL");
    for (name, is_number) in custom {
        let sort = match is_number {
            true if sql_server => "nvarchar(50)",
            true => "numeric",
            false => "text",
        };
        parts.push(format!("{} {sort}", quote(name)));
    }
    parts.push(format!("PRIMARY KEY ({})", quote(key)));
    if mysql && table == "contacts" {
        parts.push("INDEX `$id|$md5` (`$id`, `$md5`)".to_owned());
    }
    let end = if mysql { " CHARACTER SET utf16" } else { "" };
    // Table names were never quoted: PostgreSQL folds an upper-case prefix.
    format!("CREATE TABLE {prefix}{table} ({}){end}", parts.join(", "))
}

/// Fills a database as the old client has left it, with rows of contacts whose checksums are up to date, though not all
/// of their columns and none of their transactions are.
fn old_tables(sim: &Simulator, database: &Database, prefix: &str) {
    let quote = |name: &str| database.kind.quote(name);
    let mut custom: Vec<(String, bool)> = Vec::new();
    for field in sim.fields().iter().take(12) {
        let known = |known: &(String, bool)| known.0.to_lowercase() == field.name.to_lowercase();
        let plain = field.name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain && !field.name.is_empty() && !custom.iter().any(known) {
            custom.push((field.name.clone(), field.is_number()));
        }
    }
    assert!(custom.len() > 3, "{custom:?}");
    for (table, columns, custom) in [
        ("contacts", CONTACTS, custom.as_slice()),
        ("transactions", TRANSACTIONS, &[]),
        ("connections", CONNECTIONS, &[]),
        ("recordings", RECORDINGS, &[]),
        ("inbound_calls", INBOUND, &[]),
    ] {
        database.execute(&create(database.kind, prefix, table, columns, custom));
    }
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    for (id, row) in truth.contacts.iter().take(40) {
        let Some(Some(md5)) = row.get("$md5") else {
            continue;
        };
        database.execute(&format!(
            "INSERT INTO {prefix}contacts ({}, {}, {}, {}) \
             VALUES ('{id}', '{md5}', 'old', '2024-12-24T08:00:00Z')",
            quote("$id"),
            quote("$md5"),
            quote("$phone"),
            quote("$changed")
        ));
    }
    let id = truth.transactions.keys().next().unwrap();
    database.execute(&format!(
        "INSERT INTO {prefix}transactions (id, status, {}, edit_time_sec) VALUES ('{id}', 'old', {}, 7)",
        quote("isHI"),
        if database.kind == Kind::SqlServer { "1" } else { "true" }
    ));
}

#[test]
fn tables_of_the_old_client_are_taken_over_and_widened() {
    for (kind, prefix, as_stored) in [
        (Kind::Mysql, "", ""),
        (Kind::Mysql, "Dfire_", "Dfire_"),
        (Kind::Postgres, "", ""),
        (Kind::Postgres, "DFIRE_", "dfire_"),
        (Kind::SqlServer, "", ""),
        (Kind::SqlServer, "Dfire_", "Dfire_"),
    ] {
        let sim = Simulator::start(Config {
            contacts: 250,
            daily_share: 1.0,
            ..Config::default()
        });
        let database = fresh_database(kind);
        old_tables(&sim, &database, prefix);
        let program = Program::new(&sim, &database.url).arg("--tp", prefix);
        program.succeed("check");
        program.succeed("db_init");
        let all = TruthFilter::default();
        assert_holds(&sim.truth(&all, &Which::All), &database, as_stored);
        let tables = database.query(match kind {
            Kind::Mysql => "SHOW TABLES",
            Kind::SqlServer => "SELECT name FROM sys.tables",
            _ => "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        });
        assert_eq!(tables.len(), 5, "{tables:?}");
        sim.advance(std::time::Duration::from_secs(12 * 3600));
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        running.signal("TERM");
        running.wait(std::time::Duration::from_secs(5));
        let mut truth = sim.truth(&all, &Which::All);
        let contacts = database.dump(&format!("{as_stored}contacts"));
        let deleted = sim
            .deleted()
            .into_iter()
            .filter(|id| contacts.contains_key(id));
        truth.extend(sim.truth(&all, &Which::Ids(deleted.collect())));
        assert_holds(&truth, &database, as_stored);
    }
}

#[test]
fn the_api_is_read_over_tls_and_its_certificate_is_checked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
    let root = folder.join("ca.pem");
    let sim = Simulator::start(Config {
        contacts: 60,
        tls: Some(TlsFiles {
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        }),
        ..Config::default()
    });
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).arg("--ca-file", root.to_str().unwrap());
    program.succeed("db_init");
    assert_equal(&sim, &TruthFilter::default(), &database);
    // The compiled-in roots know nothing of it, and another authority did not sign it.
    let program = Program::new(&sim, &database.url);
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("certificate"), "{}", ended.stdout);
    let other = certificates().join("other-ca.pem");
    let program = Program::new(&sim, &database.url).arg("--ca-file", other.to_str().unwrap());
    assert_eq!(program.run("db_init").code, Some(1));
}

/// The parameter that asks for encryption with a checked certificate.
fn verified(kind: Kind, url: &str) -> String {
    match kind {
        Kind::Postgres => format!("{url}?sslmode=verify-full"),
        _ => format!("{url}?ssl-mode=VERIFY_IDENTITY"),
    }
}

#[test]
fn databases_are_written_over_tls_and_their_certificates_are_checked() {
    let sim = Simulator::start(Config {
        contacts: 60,
        ..Config::default()
    });
    let ca = certificates().join("ca.pem");
    let other = certificates().join("other-ca.pem");
    for kind in Kind::SERVERS {
        let database = fresh_database(kind);
        // The simulator is read over HTTP: --ca-file concerns the database alone.
        let url = verified(kind, &database.url);
        let program = Program::new(&sim, &url).arg("--ca-file", ca.to_str().unwrap());
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
        let program = Program::new(&sim, &url).arg("--ca-file", other.to_str().unwrap());
        let ended = program.run("db_init");
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(ended.stdout.contains("--ca-file"), "{}", ended.stdout);
    }
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let sim = Simulator::start(Config {
        contacts: 20,
        ..Config::default()
    });
    let ca = certificates().join("ca.pem");
    for kind in Kind::SERVERS {
        let server = private_server_with_certificate(kind, "wrong-host");
        let url = verified(kind, &server.url);
        let program = Program::new(&sim, &url).arg("--ca-file", ca.to_str().unwrap());
        let ended = program.run("db_init");
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(ended.stdout.contains("certificate"), "{}", ended.stdout);
    }
}
