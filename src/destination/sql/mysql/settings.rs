//! The rules of a session: what servers and admins can set otherwise, and how it has to be for this program.
//!
//! A server answers which of these variables it knows and how they are set; those that differ are set. Each can be set
//! for all sessions by an admin, by `init_connect`, or by another version's defaults.

use super::client::{Client, Expected, TextRow};
use super::connect::text;
use super::failure::{self, Failure};
use super::literal;

/// A variable of the session.
struct Setting {
    name: &'static str,
    /// As written in `SET`.
    wanted: &'static str,
    /// As the server shows it then.
    shown: &'static str,
}

const fn setting(name: &'static str, wanted: &'static str, shown: &'static str) -> Setting {
    Setting {
        name,
        wanted,
        shown,
    }
}

/// Set first, as even the question for the others may fail by them: limits of time, rows, memory and space.
const FIRST: [&str; 7] = [
    "SET SESSION max_statement_time = 0",
    "SET SESSION max_execution_time = 0",
    "SET SESSION max_session_mem_used = 9223372036854775807",
    "SET SESSION max_tmp_session_space_usage = 0",
    "SET SESSION sql_select_limit = 18446744073709551615",
    // Setting it resets the one behind it.
    "SET SESSION max_join_size = 18446744073709551615",
    "SET SESSION sql_big_selects = 1",
];

/// Without these nothing is written: nothing is cut silently, backslashes escape, each statement stands alone.
const NEEDED: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', \
     autocommit = 1, completion_type = 0, sql_safe_updates = 0, unique_checks = 1, wait_timeout = 28800";

/// The one isolation that works with every format of the binary log; none lets reads wait for writers.
const TRANSACTIONS: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION TRANSACTION READ WRITE",
];

/// In this order.
const SETTINGS: &[Setting] = &[
    // Error texts are read for what they mean.
    setting("lc_messages", "'en_US'", "en_US"),
    // Uploads and answers over slow lines are cut off.
    setting("net_read_timeout", "300", "300"),
    setting("net_write_timeout", "300", "300"),
    // Transactions are ended while the next statement is built.
    setting("idle_transaction_timeout", "0", "0"),
    setting("idle_write_transaction_timeout", "0", "0"),
    setting("idle_readonly_transaction_timeout", "0", "0"),
    // Rows that somebody else wrote meanwhile are errors.
    setting("innodb_snapshot_isolation", "0", "OFF"),
    // Names of indexes are told apart by their first characters only.
    setting("max_sort_length", "1024", "1024"),
    // `IS NULL` finds the last row that was inserted.
    setting("sql_auto_is_null", "0", "OFF"),
    // What LOAD DATA changes is not counted.
    setting("sql_notes", "1", "ON"),
    setting("max_error_count", "64", "64"),
    // Writers wait for readers (engines that lock tables).
    setting("low_priority_updates", "0", "OFF"),
    // Tables are rebuilt for what needs no rebuilding, or not changed at all where they must be rebuilt.
    setting("alter_algorithm", "DEFAULT", "DEFAULT"),
    setting("old_alter_table", "0", "OFF"),
    // `IF EXISTS` is added to everything: what is missing is no error.
    setting("sql_if_exists", "0", "OFF"),
    // Queries see the past.
    setting("system_versioning_asof", "DEFAULT", "DEFAULT"),
    // Tables get another engine than InnoDB.
    setting("enforce_storage_engine", "NULL", ""),
    // Lets a table have more than about 197 text columns; MySQL 8 allows it only with a special privilege.
    setting("innodb_strict_mode", "0", "OFF"),
    // A node of a cluster answers from before what another node was told, or without being part of the cluster.
    setting("wsrep_sync_wait", "3", "3"),
    setting("wsrep_dirty_reads", "0", "OFF"),
    // Tables are changed on one node of a cluster only.
    setting("wsrep_osu_method", "'TOI'", "TOI"),
];

/// What the server is, and what it does.
const FACTS: &[&str] = &[
    "version",
    "max_allowed_packet",
    "lower_case_table_names",
    "read_only",
    "super_read_only",
    "innodb_read_only",
    "wsrep_on",
    "wsrep_reject_queries",
];

/// The server's variables, by names in lower case.
pub(super) struct Variables(Vec<TextRow>);

impl Variables {
    /// The value as the server shows it; empty if it does not know the variable.
    pub(super) fn get(&self, name: &str) -> &str {
        let row = self.0.iter().find(|row| text(row, 0) == name);
        row.map_or("", |row| text(row, 1))
    }

    fn is_known(&self, name: &str) -> bool {
        self.0.iter().any(|row| text(row, 0) == name)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        !matches!(self.get(name), "" | "0" | "OFF")
    }
}

/// Makes a session that is as this program needs it, and returns what the server is. `lock` is in seconds.
pub(super) fn apply(client: &mut Client, lock: u64) -> Result<Variables, Failure> {
    for sql in FIRST {
        run_if_known(client, sql)?;
    }
    client.run("SET NAMES utf8mb4")?;
    client.run(NEEDED)?;
    client.run(&format!(
        "SET SESSION innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}"
    ))?;
    for sql in TRANSACTIONS {
        run_if_known(client, sql)?;
    }
    let names = SETTINGS.iter().map(|setting| setting.name);
    let names = literal::list(names.chain(FACTS.iter().copied()));
    let expected = Expected {
        rows: 1000,
        bytes: 1 << 20,
    };
    let mut variables = client.rows(
        &format!("SHOW SESSION VARIABLES WHERE Variable_name IN {names}"),
        expected,
    )?;
    for row in &mut variables {
        if let Some(Some(name)) = row.first_mut() {
            name.make_ascii_lowercase();
        }
    }
    let variables = Variables(variables);
    for Setting {
        name,
        wanted,
        shown,
    } in SETTINGS
    {
        if variables.is_known(name) && !variables.get(name).eq_ignore_ascii_case(shown) {
            run_if_known(client, &format!("SET SESSION {name} = {wanted}"))?;
        }
    }
    Ok(variables)
}

/// What a server does not know, it can't do; what this user may not set, is the admin's decision.
fn run_if_known(client: &mut Client, sql: &str) -> Result<(), Failure> {
    match client.run(sql) {
        Ok(_) => Ok(()),
        Err(e) if failure::is_lost(&e) || failure::code(&e) == 1047 => Err(e),
        Err(e) => {
            log::debug!("{sql}: {e}");
            Ok(())
        }
    }
}
