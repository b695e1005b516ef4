//! Values from one type into another, by SQL Server's rules and with its refusals.

use super::super::error::{Result, SqlError};
use super::super::wire::code_page::to_cp1252;
use super::super::wire::types::{Length, SqlType};
use super::super::wire::values::Value;
use super::decimals;
use super::times;

/// What CAST does (and, but for the length of texts, an assignment).
pub fn convert(value: Value, from: SqlType, to: SqlType, style: i64) -> Result<Value> {
    if value == Value::Null {
        return Ok(Value::Null);
    }
    if matches!(from, SqlType::Text | SqlType::NText) && !to.is_text() {
        return Err(SqlError::new(
            529,
            16,
            format!(
                "Explicit conversion from data type {} to {} is not allowed.",
                from.name(),
                to.name()
            ),
        ));
    }
    match to {
        SqlType::Bit => to_bit(&value, from),
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            to_integer(&value, from, to)
        }
        SqlType::Decimal(precision, scale) | SqlType::Numeric(precision, scale) => {
            to_decimal(&value, from, precision, scale)
        }
        SqlType::Real | SqlType::Float => to_float(&value, from, to),
        SqlType::Date | SqlType::DateTime | SqlType::DateTime2(_) => {
            let Value::Text(text) = &value else {
                return Err(clash(from, to));
            };
            if from.is_text() || from.is_time() {
                times::parse(text, to).map(Value::Text)
            } else {
                Err(clash(from, to))
            }
        }
        SqlType::Varbinary(_) => match value {
            Value::Bytes(bytes) => Ok(Value::Bytes(bytes)),
            _ => Err(SqlError::new(
                257,
                16,
                format!(
                    "Implicit conversion from data type {} to varbinary is not allowed. Use the CONVERT function to run this query.",
                    from.name()
                ),
            )),
        },
        _ => {
            let text = to_text(&value, from, style)?;
            Ok(Value::Text(fit(text, from, to)?))
        }
    }
}

fn clash(from: SqlType, to: SqlType) -> SqlError {
    SqlError::new(
        206,
        16,
        format!(
            "Operand type clash: {} is incompatible with {}",
            from.name(),
            to.name()
        ),
    )
}

/// The text of a value, as long as it comes.
pub fn to_text(value: &Value, from: SqlType, style: i64) -> Result<String> {
    Ok(match value {
        Value::Text(text) if from.is_time() => times::format(text, from, style)?,
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float_text(*number),
        Value::Bytes(_) => return Err(clash(from, SqlType::NVarchar(Length::Max))),
        Value::Null => String::new(),
    })
}

/// Style 0: at most six digits.
fn float_text(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{number:.5e}");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("a whole exponent");
    let plain = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-5..6).contains(&exponent) {
        let digits = usize::try_from(5 - exponent).unwrap_or(0);
        return plain(&format!("{number:.digits$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:03}", plain(mantissa), exponent.abs())
}

/// Cuts (as CAST does), pads and recodes a text.
fn fit(text: String, from: SqlType, to: SqlType) -> Result<String> {
    let text = recode(text, to);
    let Some(capacity) = to.capacity() else {
        return Ok(text);
    };
    if units(&text) > capacity && !from.is_text() {
        // Whole numbers become a star, the others are refused.
        if from.is_integer() && !to.is_unicode() {
            return Ok("*".to_owned());
        }
        return Err(overflow(from, to));
    }
    Ok(pad(cut(text, capacity), to))
}

pub fn overflow(from: SqlType, to: SqlType) -> SqlError {
    let name = if to.is_exact_decimal() {
        "numeric"
    } else {
        to.name()
    };
    SqlError::new(
        8115,
        16,
        format!(
            "Arithmetic overflow error converting {} to data type {name}.",
            from.name()
        ),
    )
}

/// What a non-Unicode column can't hold becomes a question mark.
pub fn recode(text: String, to: SqlType) -> String {
    if to.is_text() && !to.is_unicode() && !text.is_ascii() {
        text.chars()
            .map(|c| if to_cp1252(c).is_some() { c } else { '?' })
            .collect()
    } else {
        text
    }
}

/// Length as SQL Server counts it.
pub fn units(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.encode_utf16().count()
    }
}

pub fn cut(text: String, capacity: usize) -> String {
    if units(&text) <= capacity {
        return text;
    }
    let mut left = capacity;
    text.chars()
        .take_while(|c| match left.checked_sub(c.len_utf16()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
        .collect()
}

pub fn pad(mut text: String, to: SqlType) -> String {
    if let SqlType::NChar(length) | SqlType::Char(length) = to {
        let missing = usize::from(length).saturating_sub(units(&text));
        text.extend(std::iter::repeat_n(' ', missing));
    }
    text
}

fn failed(from: SqlType, text: &str, to: SqlType) -> SqlError {
    SqlError::new(
        245,
        16,
        format!(
            "Conversion failed when converting the {} value '{text}' to data type {}.",
            from.name(),
            to.name()
        ),
    )
}

fn to_bit(value: &Value, from: SqlType) -> Result<Value> {
    let set = match value {
        Value::Int(number) => *number != 0,
        Value::Float(number) => *number != 0.0,
        Value::Text(text) if from.is_exact_decimal() => {
            text.bytes().any(|b| (b'1'..=b'9').contains(&b))
        }
        Value::Text(text) if from.is_text() => {
            let trimmed = text.trim_matches(' ');
            if trimmed.eq_ignore_ascii_case("true") {
                true
            } else if trimmed.eq_ignore_ascii_case("false") {
                false
            } else {
                match whole_number(trimmed) {
                    Some(number) => number != 0,
                    None => return Err(failed(from, text, SqlType::Bit)),
                }
            }
        }
        _ => return Err(clash(from, SqlType::Bit)),
    };
    Ok(Value::Int(i64::from(set)))
}

/// Blanks around and a sign are allowed; an empty text is 0.
fn whole_number(text: &str) -> Option<i128> {
    let trimmed = text.trim_matches(' ');
    if trimmed.is_empty() {
        return Some(0);
    }
    let digits = trimmed
        .strip_prefix(['-', '+'])
        .unwrap_or(trimmed)
        .trim_start_matches(' ');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let magnitude: i128 = digits.parse().unwrap_or(i128::MAX);
    Some(if trimmed.starts_with('-') {
        -magnitude
    } else {
        magnitude
    })
}

fn to_integer(value: &Value, from: SqlType, to: SqlType) -> Result<Value> {
    let (least, most) = match to {
        SqlType::TinyInt => (0, 255),
        SqlType::SmallInt => (i64::from(i16::MIN), i64::from(i16::MAX)),
        SqlType::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let number: i128 = match value {
        Value::Int(number) => i128::from(*number),
        Value::Float(number) => *number as i128,
        Value::Text(text) if from.is_exact_decimal() => {
            let whole = text.split('.').next().unwrap_or("");
            whole.parse().unwrap_or(0)
        }
        Value::Text(text) if from.is_text() => match whole_number(text) {
            Some(number) => number,
            // The bigger type has the shorter message.
            None if to == SqlType::BigInt => {
                return Err(SqlError::new(
                    8114,
                    16,
                    format!("Error converting data type {} to bigint.", from.name()),
                ));
            }
            None => return Err(failed(from, text, to)),
        },
        _ => return Err(clash(from, to)),
    };
    match i64::try_from(number) {
        Ok(number) if (least..=most).contains(&number) => Ok(Value::Int(number)),
        _ => Err(match value {
            Value::Text(text) if from.is_text() && to == SqlType::Int => SqlError::new(
                248,
                16,
                format!(
                    "The conversion of the {} value '{text}' overflowed an int column.",
                    from.name()
                ),
            ),
            Value::Text(text) if from.is_text() && to != SqlType::BigInt => SqlError::new(
                244,
                16,
                format!(
                    "The conversion of the {} value '{text}' overflowed an INT{} column. Use a larger integer column.",
                    from.name(),
                    to.max_length()
                ),
            ),
            Value::Int(number) if to != SqlType::Int => SqlError::new(
                220,
                16,
                format!(
                    "Arithmetic overflow error for data type {}, value = {number}.",
                    to.name()
                ),
            ),
            Value::Int(_) => SqlError::new(
                8115,
                16,
                format!(
                    "Arithmetic overflow error converting expression to data type {}.",
                    to.name()
                ),
            ),
            _ => overflow(from, to),
        }),
    }
}

fn to_decimal(value: &Value, from: SqlType, precision: u8, scale: u8) -> Result<Value> {
    let to = SqlType::Numeric(precision, scale);
    let text = match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => decimals::of_float(*number),
        Value::Text(text) if from.is_exact_decimal() => text.clone(),
        Value::Text(text) if from.is_text() => text.trim_matches(' ').to_owned(),
        _ => return Err(clash(from, to)),
    };
    match decimals::rescale(&text, precision, scale) {
        Ok(decimal) => Ok(Value::Text(decimal)),
        Err(decimals::Wrong::NoNumber) => Err(SqlError::new(
            8114,
            16,
            format!("Error converting data type {} to numeric.", from.name()),
        )),
        Err(decimals::Wrong::TooBig) => Err(overflow(from, to)),
    }
}

fn to_float(value: &Value, from: SqlType, to: SqlType) -> Result<Value> {
    let number = match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        Value::Text(text) if from.is_exact_decimal() => text.parse().unwrap_or(0.0),
        Value::Text(text) if from.is_text() => {
            let trimmed = text.trim_matches(' ');
            let looks_right = trimmed
                .bytes()
                .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            match trimmed.parse::<f64>() {
                _ if trimmed.is_empty() => 0.0,
                Ok(number) if looks_right && number.is_finite() => number,
                _ => {
                    return Err(SqlError::new(
                        8114,
                        16,
                        format!(
                            "Error converting data type {} to {}.",
                            from.name(),
                            to.name()
                        ),
                    ));
                }
            }
        }
        _ => return Err(clash(from, to)),
    };
    Ok(Value::Float(if to == SqlType::Real {
        f64::from(number as f32)
    } else {
        number
    }))
}
