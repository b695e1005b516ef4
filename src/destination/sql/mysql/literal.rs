//! Statements as text: literals, and one `INSERT` for many rows. No I/O.
//!
//! A statement with many rows as text costs one round trip and one parse; a prepared one would have at most 65,535
//! parameters, and be parsed again for each number of rows.

use super::payload::ServerError;
use crate::destination::sql::dialect::MYSQL;

/// Appends a string literal. The session's fixed sql_mode and character set make this complete: a backslash
/// escapes, and no byte of a UTF-8 sequence looks like a quote or backslash.
pub(super) fn push_text(sql: &mut String, value: &str) {
    sql.push('\'');
    let mut clean = 0;
    for (at, byte) in value.bytes().enumerate() {
        let escape = match byte {
            b'\\' => "\\\\",
            b'\'' => "\\'",
            b'"' => "\\\"",
            0 => "\\0",
            b'\n' => "\\n",
            b'\r' => "\\r",
            0x1a => "\\Z",
            _ => continue,
        };
        sql.push_str(value.get(clean..at).unwrap_or_default());
        sql.push_str(escape);
        clean = at + 1;
    }
    sql.push_str(value.get(clean..).unwrap_or_default());
    sql.push('\'');
}

/// A list of string literals in parentheses.
pub(super) fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let mut sql = String::from("(");
    for value in values {
        if sql.len() > 1 {
            sql.push(',');
        }
        push_text(&mut sql, value);
    }
    sql.push(')');
    sql
}

/// The largest integer: one more is an error, whatever the sql_mode.
const BEYOND: &str = "18446744073709551615";

/// Whether an error is that of the guard of [`upsert`].
pub(super) fn is_guard(e: &ServerError) -> bool {
    e.code == 1690 && e.message.contains(BEYOND)
}

/// The fixed parts of a table's upsert, before and behind the rows. `columns` are real names, the key first.
///
/// A row that clashes by another unique index, or by a key that only the column's collation takes for the same, would
/// change the other's row. So the first assignment is guarded: where the keys differ, a sum overflows.
pub(super) fn upsert(table: &str, columns: &[&str]) -> (String, String) {
    let quoted: Vec<String> = columns.iter().map(|name| MYSQL.quote(name)).collect();
    let key = quoted.first().map_or("", String::as_str);
    let guard = format!("{BEYOND}+(NOT(CAST({key} AS BINARY)<=>CAST(VALUES({key}) AS BINARY)))");
    let mut updates: Vec<String> = quoted
        .iter()
        .skip(1)
        .map(|name| format!("{name}=VALUES({name})"))
        .collect();
    match (updates.first_mut(), quoted.get(1)) {
        (Some(first), Some(name)) => {
            *first = format!("{name}=IF({guard},VALUES({name}),VALUES({name}))");
        }
        _ => updates.push(format!("{key}=IF({guard},{key},{key})")),
    }
    (
        format!(
            "INSERT INTO {} ({}) VALUES ",
            MYSQL.quote(table),
            quoted.join(",")
        ),
        format!(" ON DUPLICATE KEY UPDATE {}", updates.join(",")),
    )
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;

    #[test]
    fn literals() {
        for (value, literal) in [
            ("", "''"),
            ("plain 東京", "'plain 東京'"),
            ("it's", "'it\\'s'"),
            ("a\\", "'a\\\\'"),
            ("\\'; DROP", "'\\\\\\'; DROP'"),
            ("\0\n\r\u{1a}\"", "'\\0\\n\\r\\Z\\\"'"),
            ("''", "'\\'\\''"),
        ] {
            let mut sql = String::new();
            push_text(&mut sql, value);
            assert_eq!(sql, literal);
        }
        assert_eq!(list(["a", "b'"]), "('a','b\\'')");
    }

    #[test]
    fn upserts() {
        let (head, tail) = upsert("t`x", &["$id", "a`b"]);
        assert_eq!(head, "INSERT INTO `t``x` (`$id`,`a``b`) VALUES ");
        let guard =
            "18446744073709551615+(NOT(CAST(`$id` AS BINARY)<=>CAST(VALUES(`$id`) AS BINARY)))";
        assert_eq!(
            tail,
            format!(" ON DUPLICATE KEY UPDATE `a``b`=IF({guard},VALUES(`a``b`),VALUES(`a``b`))")
        );
        let (_, tail) = upsert("t", &["$id"]);
        assert_eq!(
            tail,
            format!(" ON DUPLICATE KEY UPDATE `$id`=IF({guard},`$id`,`$id`)")
        );
    }
}
