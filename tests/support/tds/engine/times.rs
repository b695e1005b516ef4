//! Dates and times as texts: `2026-01-31 12:30:59.1234567`.

use super::super::error::{Result, SqlError};
use super::super::wire::types::SqlType;

fn failed() -> SqlError {
    SqlError::new(
        241,
        16,
        "Conversion failed when converting date and/or time from character string.",
    )
}

/// Reads `yyyy-mm-dd`, `yyyymmdd`, `yyyy-mm-dd hh:mm[:ss[.fraction]]`, with T or a blank between and an optional Z.
pub fn parse(text: &str, to: SqlType) -> Result<String> {
    let text = text.trim_matches(' ');
    if text.is_empty() {
        return parse("1900-01-01", to);
    }
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let digits: Vec<&str> = if date.len() == 8 && date.is_ascii() {
        vec![&date[..4], &date[4..6], &date[6..]]
    } else {
        date.split('-').collect()
    };
    let number = |text: &str, least: u32, most: u32| -> Result<u32> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(failed());
        }
        let number: u32 = text.parse().map_err(|_| failed())?;
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            Err(failed())
        }
    };
    let [year, month, day] = digits.as_slice() else {
        return Err(failed());
    };
    if year.len() != 4 {
        return Err(failed());
    }
    let (year, month) = (number(year, 1, 9999)?, number(month, 1, 12)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => 31,
    };
    let day = number(day, 1, last)?;
    if to == SqlType::DateTime && year < 1753 {
        return Err(SqlError::new(
            242,
            16,
            "The conversion of a varchar data type to a datetime data type resulted in an out-of-range value.",
        ));
    }
    let time = match (time.strip_suffix('Z'), to) {
        (Some(_), SqlType::Date) => "",
        (Some(time), _) => time,
        (None, _) => time,
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let clock: Vec<&str> = if clock.is_empty() {
        Vec::new()
    } else {
        clock.split(':').collect()
    };
    let part = |at: usize, most: u32| clock.get(at).map_or(Ok(0), |text| number(text, 0, most));
    if clock.len() == 1 || clock.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(failed());
    }
    let (hour, minute, second) = (part(0, 23)?, part(1, 59)?, part(2, 59)?);
    let date = format!("{year:04}-{month:02}-{day:02}");
    let most = match to {
        SqlType::Date => return Ok(date),
        SqlType::DateTime => 3,
        SqlType::DateTime2(scale) => usize::from(scale),
        _ => 7,
    };
    if fraction.len() > 7 || (to == SqlType::DateTime && fraction.len() > 3) {
        return Err(failed());
    }
    let fraction: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(most)
        .collect();
    let point = if most > 0 { "." } else { "" };
    Ok(format!(
        "{date} {hour:02}:{minute:02}:{second:02}{point}{fraction}"
    ))
}

/// The text of a time in one of CONVERT's styles.
pub fn format(text: &str, from: SqlType, style: i64) -> Result<String> {
    let seconds = text.get(..19).unwrap_or(text);
    match style {
        120 | 20 => Ok(seconds.to_owned()),
        121 | 21 => Ok(text.to_owned()),
        126 | 127 => Ok(text.replacen(' ', "T", 1)),
        112 => Ok(text.get(..10).unwrap_or(text).replace('-', "")),
        0 if from != SqlType::DateTime => Ok(text.to_owned()),
        _ => Err(SqlError::beyond_this_server(&format!(
            "style {style} of times"
        ))),
    }
}
