//! Values on the wire, in rows, parameters and bulk loads.

use std::io::{self, ErrorKind};

use super::code_page::{from_cp1252, to_cp1252};
use super::days::{DAYS_TO_1900, date_text, day_number, day_of, ticks_of, time_text};
use super::message::{Message, utf16};
use super::types::{Length, SqlType, WireType, datetime2_size, decimal_size};

/// A value; decimals and times are plain text, as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

/// Reads a value of this type. `None` where the value is longer than its type allows.
pub fn read(message: &mut Message<'_>, kind: WireType) -> io::Result<Option<Value>> {
    let bytes = match kind.sql {
        SqlType::Text | SqlType::NText => read_long_text(message)?,
        SqlType::NVarchar(Length::Max)
        | SqlType::Varchar(Length::Max)
        | SqlType::Varbinary(Length::Max) => read_in_chunks(message)?,
        SqlType::NVarchar(_)
        | SqlType::NChar(_)
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::Varbinary(_) => {
            let length = message.u16()?;
            if length == u16::MAX {
                None
            } else {
                Some(message.bytes(usize::from(length))?)
            }
        }
        _ if kind.bare => {
            let length = usize::try_from(kind.sql.max_length()).map_err(|_| wrong("a length"))?;
            Some(message.bytes(length)?)
        }
        _ => {
            let length = usize::from(message.u8()?);
            if length == 0 {
                None
            } else {
                Some(message.bytes(length)?)
            }
        }
    };
    let Some(bytes) = bytes else {
        return Ok(Some(Value::Null));
    };
    let declared = usize::try_from(kind.sql.max_length()).ok();
    if kind.sql.capacity().is_some() && declared.is_some_and(|most| bytes.len() > most) {
        return Ok(None);
    }
    decode(kind.sql, &bytes).map(Some)
}

fn read_long_text(message: &mut Message<'_>) -> io::Result<Option<Vec<u8>>> {
    let pointer = usize::from(message.u8()?);
    if pointer == 0 {
        return Ok(None);
    }
    message.bytes(pointer + 8)?;
    let length = message.u32()?;
    message
        .bytes(usize::try_from(length).map_err(|_| wrong("a length"))?)
        .map(Some)
}

/// Partially length-prefixed: the total, then chunks until an empty one.
fn read_in_chunks(message: &mut Message<'_>) -> io::Result<Option<Vec<u8>>> {
    const NULL: u64 = u64::MAX;
    const UNKNOWN: u64 = u64::MAX - 1;
    let total = message.u64()?;
    if total == NULL {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        let chunk = message.u32()?;
        if chunk == 0 {
            break;
        }
        bytes.append(&mut message.bytes(usize::try_from(chunk).map_err(|_| wrong("a length"))?)?);
    }
    if total != UNKNOWN && total != bytes.len() as u64 {
        return Err(wrong("a long value of another length than it says"));
    }
    Ok(Some(bytes))
}

fn decode(kind: SqlType, bytes: &[u8]) -> io::Result<Value> {
    let small = |length: usize| -> io::Result<[u8; 8]> {
        if bytes.len() != length || length > 8 {
            return Err(wrong("a number of an odd length"));
        }
        let mut eight = [0; 8];
        eight[..length].copy_from_slice(bytes);
        Ok(eight)
    };
    Ok(match kind {
        SqlType::Bit => Value::Int(i64::from(bytes.iter().any(|b| *b != 0))),
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            let eight = small(bytes.len())?;
            Value::Int(match bytes.len() {
                1 => i64::from(eight[0]),
                2 => i64::from(i16::from_le_bytes([eight[0], eight[1]])),
                4 => i64::from(i32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]])),
                8 => i64::from_le_bytes(eight),
                _ => return Err(wrong("an integer of an odd length")),
            })
        }
        SqlType::Real | SqlType::Float => {
            let eight = small(bytes.len())?;
            Value::Float(match bytes.len() {
                4 => f64::from(f32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]])),
                8 => f64::from_le_bytes(eight),
                _ => return Err(wrong("a float of an odd length")),
            })
        }
        SqlType::Decimal(_, scale) | SqlType::Numeric(_, scale) => {
            let (sign, digits) = bytes
                .split_first()
                .ok_or_else(|| wrong("an empty decimal"))?;
            if digits.len() > 16 {
                return Err(wrong("a decimal that is too long"));
            }
            let magnitude = digits
                .iter()
                .rev()
                .fold(0_u128, |n, b| n << 8 | u128::from(*b));
            Value::Text(decimal_text(*sign == 0, magnitude, scale))
        }
        SqlType::NVarchar(_) | SqlType::NChar(_) | SqlType::NText => {
            if !bytes.len().is_multiple_of(2) {
                return Err(wrong("UTF-16 of an odd length"));
            }
            Value::Text(utf16(bytes))
        }
        SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Text => {
            Value::Text(bytes.iter().map(|b| from_cp1252(*b)).collect())
        }
        SqlType::Varbinary(_) => Value::Bytes(bytes.to_vec()),
        SqlType::Date => Value::Text(date_text(day_number(bytes))),
        SqlType::DateTime2(scale) => {
            let (time, day) = bytes.split_at(bytes.len().saturating_sub(3));
            let ticks = time.iter().rev().fold(0_u64, |n, b| n << 8 | u64::from(*b));
            Value::Text(time_text(day_number(day), ticks, scale))
        }
        SqlType::DateTime => {
            let eight = small(8)?;
            let days = i32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]]);
            let ticks = u32::from_le_bytes([eight[4], eight[5], eight[6], eight[7]]);
            let milliseconds = (u64::from(ticks) * 10 + 1) / 3;
            Value::Text(time_text(i64::from(days) + DAYS_TO_1900, milliseconds, 3))
        }
    })
}

/// Digits with a point before the last `scale`.
pub fn decimal_text(negative: bool, magnitude: u128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{magnitude:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if negative && magnitude != 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// Writes a value of this type into a row.
pub fn write(value: &Value, kind: SqlType, nullable: bool, out: &mut Vec<u8>) {
    if *value == Value::Null {
        match kind {
            SqlType::NVarchar(Length::Max)
            | SqlType::Varchar(Length::Max)
            | SqlType::Varbinary(Length::Max) => out.extend([0xff; 8]),
            SqlType::NVarchar(_)
            | SqlType::NChar(_)
            | SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::Varbinary(_) => out.extend([0xff; 2]),
            _ => out.push(0),
        }
        return;
    }
    let bytes = encode(value, kind);
    match kind {
        SqlType::NVarchar(Length::Max)
        | SqlType::Varchar(Length::Max)
        | SqlType::Varbinary(Length::Max) => {
            out.extend((bytes.len() as u64).to_le_bytes());
            // A real server cuts long values up.
            for chunk in bytes.chunks(4000) {
                out.extend(u32::try_from(chunk.len()).expect("short").to_le_bytes());
                out.extend(chunk);
            }
            out.extend([0; 4]);
        }
        SqlType::NVarchar(_)
        | SqlType::NChar(_)
        | SqlType::Varchar(_)
        | SqlType::Char(_)
        | SqlType::Varbinary(_) => {
            out.extend(u16::try_from(bytes.len()).expect("short").to_le_bytes());
            out.extend(bytes);
        }
        SqlType::Text | SqlType::NText => {
            out.push(16);
            out.extend([0x64; 16]);
            out.extend([0; 8]);
            out.extend(
                u32::try_from(bytes.len())
                    .expect("below 4 GB")
                    .to_le_bytes(),
            );
            out.extend(bytes);
        }
        _ => {
            let has_bare_form = kind.is_integer()
                || matches!(kind, SqlType::Real | SqlType::Float | SqlType::DateTime);
            if nullable || !has_bare_form {
                out.push(u8::try_from(bytes.len()).expect("short"));
            }
            out.extend(bytes);
        }
    }
}

fn encode(value: &Value, kind: SqlType) -> Vec<u8> {
    let text = || match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Null => String::new(),
    };
    let integer = match value {
        Value::Int(number) => *number,
        _ => 0,
    };
    match kind {
        SqlType::Bit => vec![u8::from(integer != 0)],
        SqlType::TinyInt => integer.to_le_bytes()[..1].to_vec(),
        SqlType::SmallInt => integer.to_le_bytes()[..2].to_vec(),
        SqlType::Int => integer.to_le_bytes()[..4].to_vec(),
        SqlType::BigInt => integer.to_le_bytes().to_vec(),
        SqlType::Real => (float(value) as f32).to_le_bytes().to_vec(),
        SqlType::Float => float(value).to_le_bytes().to_vec(),
        SqlType::Decimal(precision, scale) | SqlType::Numeric(precision, scale) => {
            let text = text();
            let negative = text.starts_with('-');
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits: String = whole
                .chars()
                .chain(
                    fraction
                        .chars()
                        .chain(std::iter::repeat('0'))
                        .take(usize::from(scale)),
                )
                .filter(char::is_ascii_digit)
                .collect();
            let magnitude: u128 = digits.parse().unwrap_or(0);
            let mut bytes = vec![u8::from(!negative)];
            bytes.extend(&magnitude.to_le_bytes()[..usize::from(decimal_size(precision)) - 1]);
            bytes
        }
        SqlType::NVarchar(_) | SqlType::NChar(_) | SqlType::NText => {
            text().encode_utf16().flat_map(u16::to_le_bytes).collect()
        }
        SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Text => text()
            .chars()
            .map(|c| to_cp1252(c).unwrap_or(b'?'))
            .collect(),
        SqlType::Varbinary(_) => match value {
            Value::Bytes(bytes) => bytes.clone(),
            _ => text().into_bytes(),
        },
        SqlType::Date => day_of(&text()).to_le_bytes()[..3].to_vec(),
        SqlType::DateTime2(scale) => {
            let text = text();
            let size = usize::from(datetime2_size(scale)) - 3;
            let mut bytes = ticks_of(&text, scale).to_le_bytes()[..size].to_vec();
            bytes.extend(&day_of(&text).to_le_bytes()[..3]);
            bytes
        }
        SqlType::DateTime => {
            let text = text();
            let days = i32::try_from(day_of(&text) - DAYS_TO_1900).unwrap_or(0);
            let ticks = u32::try_from((ticks_of(&text, 3) * 3 + 5) / 10).unwrap_or(0);
            [days.to_le_bytes(), ticks.to_le_bytes()].concat()
        }
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Int(number) => *number as f64,
        Value::Text(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}
