//! Text from outside, made fit for a log line, a terminal, the status file and the table of `check`.
//!
//! Servers, the API, web services and files may say anything: forge lines, steer a terminal, turn text around, or never
//! end. Whoever puts such a text into a message passes it through [`foreign`]; whole lines pass through [`line()`] where
//! they leave the program, so that a place that was overlooked does no harm either.

use std::borrow::Cow;

/// Characters of a text from outside that are shown.
pub const MAX_FOREIGN_CHARS: usize = 200;

/// Characters of a line of ours, texts from outside included: more than the longest path has.
pub const MAX_LINE_CHARS: usize = 5_000;

/// Stands for what was left out.
const ELLIPSIS: char = '…';

/// A text from outside as one line of at most [`MAX_FOREIGN_CHARS`] visible characters, without blanks around it.
///
/// White space of any kind becomes a blank; control characters, those that change the direction of writing and all
/// others that nobody sees are written as `\u{202e}`. Text that is too long ends with `…`.
pub fn foreign(text: &str) -> String {
    shown(text.trim(), MAX_FOREIGN_CHARS).into_owned()
}

/// A line of ours, with whatever it holds from outside: the same for [`MAX_LINE_CHARS`] characters.
pub fn line(text: &str) -> Cow<'_, str> {
    shown(text.trim_end(), MAX_LINE_CHARS)
}

/// The first `limit` characters or less of a text, as they are: for files that hold values.
pub fn beginning(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
            cut.push(ELLIPSIS);
            Cow::Owned(cut)
        }
    }
}

fn shown(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let (mut safe, mut length) = (String::new(), 0);
    // Where the text ends if it turns out to be too long.
    let mut end = 0;
    for character in text.chars() {
        let begun = safe.len();
        push(&mut safe, character);
        length += safe.get(begun..).map_or(0, |added| added.chars().count());
        if length > limit {
            safe.truncate(end);
            safe.push(ELLIPSIS);
            break;
        }
        if length < limit {
            end = safe.len();
        }
    }
    Cow::Owned(safe)
}

fn push(safe: &mut String, character: char) {
    if character.is_whitespace() {
        safe.push(' ');
    } else if character.is_ascii_graphic() {
        safe.push(character);
    } else {
        // Behind a letter, so that accents that are characters of their own stay as they are.
        let pair = ['a', character].iter().collect::<String>();
        safe.extend(pair.escape_debug().skip(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_legible_stays() {
        for text in [
            "",
            "duplicate key value violates unique constraint \"a_b\" (23505)",
            "C:\\temp\\'x'",
            "Größe, прайс, 電話, 🙂, é, عربي",
            "{\"code\":400}",
        ] {
            assert_eq!(foreign(text), text);
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn nothing_forges_a_line_steers_a_terminal_or_turns_the_text() {
        assert_eq!(
            foreign(" a\nb\r\tc\u{85}d\u{2028}e\u{2029}f\u{a0}g\u{3000}h\n"),
            "a b  c d e f g h"
        );
        assert_eq!(
            foreign("\u{1b}[2J\0\u{7f}\u{9b}1m"),
            "\\u{1b}[2J\\0\\u{7f}\\u{9b}1m"
        );
        for code in [
            "200e", "200f", "61c", "200b", "200d", "2060", "feff", "ad", "fff9", "e0041",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain(
            (0x202a..=0x202e)
                .chain(0x2066..=0x2069)
                .map(|code| format!("{code:x}")),
        ) {
            let character = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
            let text: String = ['a'].into_iter().chain(character).chain(['b']).collect();
            assert_eq!(foreign(&text), format!("a\\u{{{code}}}b"));
            assert_eq!(line(&text), format!("a\\u{{{code}}}b"));
        }
    }

    #[test]
    fn one_character_more_than_the_limit_is_left_out() {
        for (limit, whole) in [
            (MAX_FOREIGN_CHARS, foreign as fn(&str) -> String),
            (MAX_LINE_CHARS, |text: &str| line(text).into_owned()),
        ] {
            for letter in ["x", "ä", "🙂"] {
                assert_eq!(whole(&letter.repeat(limit)), letter.repeat(limit));
                let cut = format!("{}…", letter.repeat(limit - 1));
                assert_eq!(whole(&letter.repeat(limit + 1)), cut);
                assert_eq!(whole(&letter.repeat(limit * 100)), cut);
            }
            // What is written longer than it is counts as it is written, and is never cut in two.
            let escapes = whole(&"\u{202e}".repeat(limit));
            assert_eq!(escapes, format!("{}…", "\\u{202e}".repeat((limit - 1) / 8)));
        }
        assert_eq!(beginning("aäb", 3), "aäb");
        assert_eq!(beginning("aäbc", 3), "aä…");
    }
}
