//! What each database is to hold of a value, by the README.

use dbsync2::tables::schema::ColumnKind;

use super::generate::Value;
use crate::support::database::plain_decimal;
use crate::support::servers::Kind;

/// Numbers whose plain form would be longer have no plain form.
const MAX_LENGTH: i64 = 1000;

/// Digits before the point of MySQL's widest number.
const MAX_BEFORE: usize = 35;

/// What a column of this kind holds of the value, beside the `others` that are written to it.
pub fn stored<'a>(
    database: Kind,
    kind: ColumnKind,
    value: &Value,
    others: impl Iterator<Item = &'a Value>,
) -> Option<String> {
    let text = text(value)?;
    match kind {
        ColumnKind::Number => {
            let plain = number(value)?;
            // A number that no type of MySQL holds makes the column one for texts.
            let is_text = || {
                others
                    .filter_map(number)
                    .any(|number| whole(&number).len() > MAX_BEFORE)
            };
            Some(match database {
                Kind::Mysql if !is_text() => rounded(&plain),
                _ => plain,
            })
        }
        ColumnKind::Bool => match text.as_str() {
            "1" | "true" | "True" | "TRUE" | "yes" => Some("1".to_owned()),
            "0" | "false" | "False" | "FALSE" | "no" => Some("0".to_owned()),
            _ => None,
        },
        ColumnKind::Key | ColumnKind::Time | ColumnKind::Text => Some(match database {
            Kind::Postgres | Kind::SqlServer => text.replace('\0', "\u{2400}"),
            Kind::Mysql | Kind::Sqlite => text,
        }),
    }
}

/// The value as a text; `None` is NULL.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(u8::from(*value).to_string()),
        Value::Number(text) | Value::Nested(text) => Some(text.clone()),
        Value::Text(units) => Some(String::from_utf16_lossy(units)).filter(|text| !text.is_empty()),
    }
}

/// The plain form of what is a number.
fn number(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) | Value::Nested(_) => None,
        _ => {
            let text = text(value)?;
            let text = text.trim();
            is_number(text).then(|| plain_decimal(text))
        }
    }
}

/// The digits before the point, without leading zeros.
fn whole(plain: &str) -> &str {
    let digits = plain.strip_prefix('-').unwrap_or(plain);
    let (whole, _) = digits.split_once('.').unwrap_or((digits, ""));
    whole.trim_start_matches('0')
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => match exponent.parse::<i64>() {
            Ok(exponent) => (mantissa, exponent),
            Err(_) => return false,
        },
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && exponent.abs() <= MAX_LENGTH
        && digits.len() <= 1000
}

/// As `decimal(65,30)`: rounded to 30 digits behind the point.
fn rounded(plain: &str) -> String {
    let digits = plain.strip_prefix('-').unwrap_or(plain);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() <= 30 {
        return plain.to_owned();
    }
    let mut kept: Vec<u8> = [whole, &fraction[..30]].concat().into_bytes();
    if fraction.as_bytes()[30] >= b'5' {
        let mut place = kept.len();
        loop {
            if place == 0 {
                kept.insert(0, b'1');
                break;
            }
            place -= 1;
            if kept[place] == b'9' {
                kept[place] = b'0';
            } else {
                kept[place] += 1;
                break;
            }
        }
    }
    let mut text = String::from_utf8(kept).unwrap();
    text.insert(text.len() - 30, '.');
    let sign = if plain.starts_with('-') { "-" } else { "" };
    plain_decimal(&format!("{sign}{text}"))
}
