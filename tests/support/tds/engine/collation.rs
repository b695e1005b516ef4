//! SQL_Latin1_General_CP1_CI_AS, nearly: without case, with accents, `ß` is `ss`, blanks at the end don't count.
//!
//! Nearly: the real one also gives some characters no weight at all.

use std::cmp::Ordering;

/// How texts are compared.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_end_matches(' '), right.trim_end_matches(' '));
    if left.is_ascii() && right.is_ascii() {
        return left
            .bytes()
            .map(|b| b.to_ascii_lowercase())
            .cmp(right.bytes().map(|b| b.to_ascii_lowercase()));
    }
    let folded = |text: &str| text.to_lowercase().replace('ß', "ss");
    folded(left).cmp(&folded(right))
}

/// Of a `_BIN` or `_CS_` collation: exactly, but for blanks at the end.
pub fn compare_exactly(left: &str, right: &str) -> Ordering {
    left.trim_end_matches(' ').cmp(right.trim_end_matches(' '))
}
