//! Statements as text: literals, and one `INSERT` for many rows. No I/O.
//!
//! A statement with many rows as text costs one round trip and one parse; a prepared one would have at most 65,535
//! parameters, and be parsed anew for each number of rows.

use crate::sink::dialect::MYSQL;

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

/// The fixed parts of a table's upsert, before and behind the rows. `columns` are real names, the key first.
pub(super) fn upsert(table: &str, columns: &[&str]) -> (String, String) {
    let quoted: Vec<String> = columns.iter().map(|name| MYSQL.quote(name)).collect();
    let updated = quoted
        .get(1..)
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&quoted);
    let updates: Vec<String> = updated
        .iter()
        .map(|name| format!("{name}=VALUES({name})"))
        .collect();
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
        assert_eq!(tail, " ON DUPLICATE KEY UPDATE `a``b`=VALUES(`a``b`)");
        assert_eq!(
            upsert("t", &["id"]).1,
            " ON DUPLICATE KEY UPDATE `id`=VALUES(`id`)"
        );
    }
}
