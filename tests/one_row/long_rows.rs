//! Rows so long that only a few of them fit into one answer: what is refused of one says nothing of its table.

use super::*;

/// The table is shared with a campaign of long rows, and ours are long, too.
fn one_row_among_long_ones(kind: Kind) {
    let sim = still(40);
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let [id, campaign, comment, md5] =
        ["$id", "$campaign_id", "$comment", "$md5"].map(|name| kind.quote(name));
    // Twenty of them are more than an answer may have.
    let long = match kind {
        Kind::Postgres => "repeat('x', 900000)",
        Kind::SqlServer => "REPLICATE(CONVERT(nvarchar(max), N'x'), 900000)",
        _ => "repeat('x', 1800000)",
    };
    database.execute(match kind {
        Kind::Postgres => "TRUNCATE dfire_contacts",
        _ => "DELETE FROM dfire_contacts",
    });
    for number in 10..35 {
        database.execute(&format!(
            "INSERT INTO dfire_contacts ({id}, {campaign}, {comment}) VALUES ('!{number}', 'archived', {long})"
        ));
    }
    program.succeed("db_init");
    database.execute(&format!(
        "UPDATE dfire_contacts SET {md5} = 'stale', {comment} = {long} WHERE {campaign} <> 'archived'"
    ));
    // Where those of the other campaign are protected, ours are tried.
    if kind != Kind::SqlServer {
        let old = format!("OLD.{campaign} = 'archived'");
        database.execute(&trigger_fails_where(kind, "archived", "UPDATE", &old));
    }
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let victim = truth.contacts.keys().nth(truth.contacts.len() / 3).unwrap();
    refuse(&database, "contacts", victim);
    // There a constraint is for columns that are changed, and a key never is.
    if kind == Kind::SqlServer {
        database.execute(&format!(
            "DELETE FROM dfire_contacts WHERE {id} = '{victim}'"
        ));
    }

    let ended = program.run("db_init");
    let log = program.log();
    assert_eq!(ended.code, Some(5), "{}\n{log}", ended.stdout);
    assert!(
        !log.contains("takes no") && !log.contains("refuses changes"),
        "{log}"
    );
    let rejected = rejected_rows(&program);
    assert_eq!(rejected.len(), 1, "{kind:?}");
    assert_eq!(rejected[0]["key"], **victim);

    accept(&database, "contacts");
    program.succeed("db_update");
    database.execute(&format!(
        "DELETE FROM dfire_contacts WHERE {campaign} = 'archived'"
    ));
    assert_equal(&sim, &TruthFilter::default(), &database);
}

#[test]
fn one_row_among_long_ones_with_postgresql() {
    one_row_among_long_ones(Kind::Postgres);
}

#[test]
fn one_row_among_long_ones_with_mariadb() {
    one_row_among_long_ones(Kind::Mysql);
}

#[test]
fn one_row_among_long_ones_with_sql_server() {
    one_row_among_long_ones(Kind::SqlServer);
}
