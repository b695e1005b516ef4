//! Settings of a server, database or role that would change results or break what we do, and what they are set to.
//!
//! Left as they are: `search_path`, `role`, `TimeZone`, the order of `DateStyle`, `default_tablespace`,
//! `default_table_access_method` and `synchronous_commit`, by which an admin says where tables go, what values without
//! a time zone mean and how safe a commit is.

/// Name and value; a server of a version that lacks the setting is not asked to set it.
const SETTINGS: [(&str, &str); 18] = [
    // Large batches, new indexes and wider columns take as long as they take; what ends is waiting for a lock.
    ("statement_timeout", "0"),
    ("transaction_timeout", "0"),
    ("lock_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "10min"),
    // What we write is text that the server parses.
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("xmloption", "content"),
    // Times that are read back; the order of day and month stays.
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("quote_all_identifiers", "off"),
    // Policies hide rows instead of making each statement fail.
    ("row_security", "on"),
    // A table's children count as its own (before version 10).
    ("sql_inheritance", "on"),
    // An error ends the statement, not the connection.
    ("exit_on_error", "off"),
    // Nobody reads notices.
    ("client_min_messages", "warning"),
    ("plan_cache_mode", "auto"),
];

/// How transactions begin, unless they say otherwise.
const TRANSACTIONS: [(&str, &str); 2] = [
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
];

/// A session that waits for changes in Dialfire is idle for long (since version 14).
const IDLE: (&str, &str) = ("idle_session_timeout", "0");

/// Limits of time that an admin may have set for a role or a database, such as a millisecond, by the version of PostgreSQL
/// that brought them (7.3, 9.3, 9.6, 14, 17).
const LIMITS: [&str; 5] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
];

/// How many of them every server knows that this program works with.
const KNOWN_TO_ALL: usize = 2;

/// Those of them that can end a transaction between its first two statements.
const BETWEEN_STATEMENTS: [&str; 2] =
    ["idle_in_transaction_session_timeout", "transaction_timeout"];

/// In milliseconds: what is set to more leaves enough time to say otherwise.
const MAX_HASTE: u64 = 10_000;

/// What takes back a shorter wait for locks.
pub(super) const LOCK_TIMEOUT_BACK: &str = "SET lock_timeout = '60s'";

/// The setting that keeps transactions from writing.
pub(super) const READ_ONLY: &str = "default_transaction_read_only";

/// The names of all settings that matter, in lower case.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let all = SETTINGS.into_iter().chain(TRANSACTIONS).chain([IDLE]);
    all.map(|(name, _)| name).chain([READ_ONLY])
}

/// Options of the log-in by which none of these limits holds from the beginning: the most first, and fewer for servers of
/// earlier versions.
pub(super) fn without_limits() -> impl Iterator<Item = String> {
    (KNOWN_TO_ALL..=LIMITS.len()).rev().map(|count| {
        let options: Vec<String> = LIMITS
            .iter()
            .take(count)
            .map(|name| format!("-c{name}=0"))
            .collect();
        options.join(" ")
    })
}

/// Begins a transaction in which none of these limits holds, in one message, so that no time passes between. For
/// servers from 9.6 on.
pub(super) fn begin_without_limits() -> String {
    let off = LIMITS.iter().map(|name| {
        format!(
            "SELECT pg_catalog.set_config('{name}', '0', true) \
             WHERE pg_catalog.current_setting('{name}', true) IS NOT NULL;"
        )
    });
    let off: String = off.collect();
    format!("BEGIN;SET LOCAL statement_timeout = 0;{off}")
}

/// Whether a server that is set so, in milliseconds, may end a transaction before it has got its second statement.
pub(super) fn is_hasty(name: &str, value: &str) -> bool {
    let limit: u64 = value.parse().unwrap_or_default();
    BETWEEN_STATEMENTS.contains(&name) && (1..MAX_HASTE).contains(&limit)
}

/// The statement that sets what `known` has, for as long as the session lives.
pub(super) fn of_session(known: &[String], read_write: bool) -> String {
    let read_only = (READ_ONLY, "off");
    let all = SETTINGS
        .into_iter()
        .chain(TRANSACTIONS)
        .chain([IDLE])
        .chain(read_write.then_some(read_only));
    statements("SET", all, known)
}

/// The statements that set the same for the transaction that has just begun: behind a pooler, the next one may meet
/// another session, and this session another client.
pub(super) fn of_transaction(known: &[String], read_write: bool) -> String {
    let mode = if read_write { ", READ WRITE" } else { "" };
    format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE{mode};{}",
        statements("SET LOCAL", SETTINGS, known)
    )
}

fn statements(
    set: &str,
    settings: impl IntoIterator<Item = (&'static str, &'static str)>,
    known: &[String],
) -> String {
    settings
        .into_iter()
        .filter(|(name, _)| known.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|(name, value)| format!("{set} {name} = '{value}';"))
        .collect()
}

/// The settings in the option `options` of an address, which a pooler refuses: `-c name=value` and `--name=value`.
/// `None` where it holds anything else.
pub(super) fn of_options(options: &str) -> Option<Vec<(String, String)>> {
    let mut words = words(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => long.to_owned(),
            (None, Some("")) => words.next()?,
            (None, Some(short)) => short.to_owned(),
            (None, None) => return None,
        };
        let (name, value) = setting.split_once('=')?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

/// Words between blanks; a backslash makes the next character part of its word.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            c if c.is_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_the_server_knows_is_set() {
        let known = ["lock_timeout", "DateStyle", "idle_session_timeout"].map(str::to_owned);
        assert_eq!(
            of_session(&known, false),
            "SET lock_timeout = '60s';SET datestyle = 'ISO';SET idle_session_timeout = '0';"
        );
        assert_eq!(
            of_transaction(&known, true),
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE, READ WRITE;\
             SET LOCAL lock_timeout = '60s';SET LOCAL datestyle = 'ISO';"
        );
    }

    #[test]
    fn limits_are_lifted_at_the_log_in_as_far_as_a_server_knows_them() {
        let options: Vec<String> = without_limits().collect();
        let [newest, .., oldest] = options.as_slice() else {
            unreachable!("{options:?}")
        };
        assert_eq!(options.len(), 4);
        assert!(newest.ends_with(" -cidle_session_timeout=0 -ctransaction_timeout=0"));
        assert_eq!(oldest, "-cstatement_timeout=0 -clock_timeout=0");
        for (value, hasty) in [("1", true), ("9999", true), ("0", false), ("10000", false)] {
            assert_eq!(is_hasty("transaction_timeout", value), hasty, "{value}");
        }
        assert!(!is_hasty("statement_timeout", "1"));
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let pairs = |options: &str| {
            let settings = of_options(options)?;
            let pairs = settings
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"));
            Some(pairs.collect::<Vec<_>>())
        };
        assert_eq!(
            pairs("-csearch_path=a\\ b,c -c  role=x --work-mem=64MB").unwrap(),
            ["search_path=a b,c", "role=x", "work_mem=64MB"]
        );
        assert_eq!(pairs(" ").unwrap(), [""; 0]);
        for strange in ["-e", "-c", "-csearch_path", "x=y"] {
            assert_eq!(pairs(strange), None, "{strange}");
        }
    }
}
