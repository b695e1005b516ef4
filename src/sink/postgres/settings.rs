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

/// What takes back a shorter wait for locks.
pub(super) const LOCK_TIMEOUT_BACK: &str = "SET lock_timeout = '60s'";

/// The setting that keeps transactions from writing.
pub(super) const READ_ONLY: &str = "default_transaction_read_only";

/// The names of all settings that matter, in lower case.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let all = SETTINGS.into_iter().chain(TRANSACTIONS).chain([IDLE]);
    all.map(|(name, _)| name).chain([READ_ONLY])
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
