//! The functions of T-SQL that depend on their arguments alone.

use super::super::error::{Result, SqlError};
use super::super::wire::types::{Length, SqlType};
use super::super::wire::values::Value;
use super::convert;

/// The arguments that a function takes (least and most), the type of its result, and whether that is the first
/// argument's type instead.
pub fn signature(name: &str) -> Option<(usize, usize, SqlType, bool)> {
    let text = SqlType::NVarchar(Length::Limited(4000));
    Some(match name {
        "LEN" => (1, 1, SqlType::Int, false),
        "LOWER" | "UPPER" | "LTRIM" | "RTRIM" | "REVERSE" => (1, 1, text, true),
        "REPLACE" => (3, 3, text, true),
        "SUBSTRING" => (3, 3, text, true),
        "LEFT" | "RIGHT" | "REPLICATE" => (2, 2, text, true),
        "CHARINDEX" => (2, 3, SqlType::Int, false),
        "ISNUMERIC" => (1, 1, SqlType::Int, false),
        "QUOTENAME" => (1, 1, SqlType::NVarchar(Length::Limited(258)), false),
        "UNICODE" | "ASCII" => (1, 1, SqlType::Int, false),
        "NCHAR" => (1, 1, SqlType::NChar(1), false),
        "CHAR" => (1, 1, SqlType::Char(1), false),
        _ => return None,
    })
}

/// Calls a function; texts come as texts.
pub fn call(name: &str, arguments: &[Value]) -> Result<Value> {
    if arguments.contains(&Value::Null) {
        return Ok(Value::Null);
    }
    let text = |at: usize| match arguments.get(at) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let number = |at: usize| match arguments.get(at) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    };
    let length = |at: usize| usize::try_from(number(at)).unwrap_or(0);
    let integer = |number: usize| Value::Int(i64::try_from(number).expect("lengths are small"));
    Ok(match name {
        "LEN" => integer(convert::units(text(0).trim_end_matches(' '))),
        "LOWER" => Value::Text(text(0).to_lowercase()),
        "UPPER" => Value::Text(text(0).to_uppercase()),
        "LTRIM" => Value::Text(text(0).trim_start_matches(' ').to_owned()),
        "RTRIM" => Value::Text(text(0).trim_end_matches(' ').to_owned()),
        "REVERSE" => Value::Text(text(0).chars().rev().collect()),
        "REPLICATE" => Value::Text(text(0).repeat(length(1))),
        "REPLACE" if text(1).is_empty() => Value::Text(text(0).to_owned()),
        "REPLACE" => Value::Text(text(0).replace(text(1), text(2))),
        "LEFT" => Value::Text(convert::cut(text(0).to_owned(), length(1))),
        "RIGHT" => {
            let units: Vec<u16> = text(0).encode_utf16().collect();
            let start = units.len().saturating_sub(length(1));
            Value::Text(String::from_utf16_lossy(&units[start..]))
        }
        "SUBSTRING" => {
            // Positions count from 1; a start before the text uses up the length.
            let units: Vec<u16> = text(0).encode_utf16().collect();
            if number(2) < 0 {
                return Err(SqlError::new(
                    537,
                    16,
                    "Invalid length parameter passed to the LEFT or SUBSTRING function.",
                ));
            }
            let end = usize::try_from(number(1) - 1 + number(2))
                .unwrap_or(0)
                .min(units.len());
            let start = usize::try_from(number(1) - 1).unwrap_or(0).min(end);
            Value::Text(String::from_utf16_lossy(&units[start..end]))
        }
        "CHARINDEX" => {
            let skipped = usize::try_from(number(2) - 1).unwrap_or(0);
            let (needle, haystack) = (text(0).to_lowercase(), text(1).to_lowercase());
            let start = haystack.char_indices().nth(skipped).map_or(0, |(at, _)| at);
            match haystack[start..].find(&needle) {
                Some(at) if !needle.is_empty() => {
                    integer(convert::units(&haystack[..start + at]) + 1)
                }
                _ => Value::Int(0),
            }
        }
        "ISNUMERIC" => {
            let trimmed = text(0).trim_matches(' ');
            Value::Int(i64::from(trimmed.parse::<f64>().is_ok_and(f64::is_finite)))
        }
        "LIKE" => Value::Int(i64::from(like(text(0), text(1), text(2).chars().next()))),
        "/" | "%" => return divide(name == "/", &arguments[0], &arguments[1]),
        "QUOTENAME" => Value::Text(format!("[{}]", text(0).replace(']', "]]"))),
        "UNICODE" | "ASCII" => match text(0).encode_utf16().next() {
            Some(unit) => Value::Int(i64::from(unit)),
            None => Value::Null,
        },
        "NCHAR" | "CHAR" => u32::try_from(number(0))
            .ok()
            .and_then(char::from_u32)
            .map_or(Value::Null, |c| Value::Text(c.to_string())),
        _ => return Err(SqlError::no_such_function(name)),
    })
}

fn divide(whole: bool, left: &Value, right: &Value) -> Result<Value> {
    let zero = || SqlError::new(8134, 16, "Divide by zero error encountered.");
    match (left, right) {
        (Value::Int(_), Value::Int(0)) => Err(zero()),
        (Value::Int(left), Value::Int(right)) => Ok(Value::Int(if whole {
            left.wrapping_div(*right)
        } else {
            left.wrapping_rem(*right)
        })),
        (Value::Float(_), Value::Float(right)) if *right == 0.0 => Err(zero()),
        (Value::Float(left), Value::Float(right)) => Ok(Value::Float(if whole {
            left / right
        } else {
            left % right
        })),
        _ => Err(SqlError::beyond_this_server("this division")),
    }
}

/// LIKE: `%`, `_`, `[a-z]`, `[^a-z]`, without case.
pub fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    matches(&text, &pattern, escape)
}

fn matches(text: &[char], pattern: &[char], escape: Option<char>) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        // Blanks at the end of the text don't count.
        return text.iter().all(|c| *c == ' ');
    };
    if Some(*first) == escape {
        return match (rest.split_first(), text.split_first()) {
            (Some((wanted, rest)), Some((c, text))) => c == wanted && matches(text, rest, escape),
            _ => false,
        };
    }
    match first {
        '%' => (0..=text.len()).any(|skipped| matches(&text[skipped..], rest, escape)),
        '_' => text
            .split_first()
            .is_some_and(|(_, text)| matches(text, rest, escape)),
        '[' => {
            let Some(end) = rest.iter().position(|c| *c == ']') else {
                return false;
            };
            let (set, after) = (&rest[..end], &rest[end + 1..]);
            let (negated, set) = match set.split_first() {
                Some(('^', set)) => (true, set),
                _ => (false, set),
            };
            text.split_first().is_some_and(|(c, text)| {
                (in_set(*c, set) != negated) && matches(text, after, escape)
            })
        }
        _ => text
            .split_first()
            .is_some_and(|(c, text)| c == first && matches(text, rest, escape)),
    }
}

fn in_set(c: char, set: &[char]) -> bool {
    match set {
        [low, '-', high, rest @ ..] => (*low..=*high).contains(&c) || in_set(c, rest),
        [one, rest @ ..] => c == *one || in_set(c, rest),
        [] => false,
    }
}
