//! Dates and times as texts of the form `2026-01-31 12:30:59.1234567`, and as numbers of days and ticks.

/// Days from 0001-01-01 to 1900-01-01.
pub const DAYS_TO_1900: i64 = 693_595;

pub fn day_number(bytes: &[u8]) -> i64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | i64::from(*b))
}

/// The day of 0001-01-01 is 0.
pub fn date_text(day: i64) -> String {
    // Years counted from March, so that the leap day is the last one.
    let shifted = day + 306;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + next)
}

pub fn day_of(text: &str) -> i64 {
    let number = |from: usize, to: usize| -> i64 {
        text.get(from..to)
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(1)
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 306
}

pub fn time_text(day: i64, ticks: u64, scale: u8) -> String {
    let unit = 10_u64.pow(u32::from(scale));
    let seconds = ticks / unit;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{} {hour:02}:{minute:02}:{second:02}", date_text(day));
    if scale > 0 {
        text += &format!(".{:0>width$}", ticks % unit, width = usize::from(scale));
    }
    text
}

pub fn ticks_of(text: &str, scale: u8) -> u64 {
    let number = |from: usize, to: usize| -> u64 {
        text.get(from..to)
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0)
    };
    let seconds = number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    let fraction: String = text
        .get(20..)
        .unwrap_or("")
        .chars()
        .chain(std::iter::repeat('0'))
        .take(usize::from(scale))
        .collect();
    seconds * 10_u64.pow(u32::from(scale)) + fraction.parse::<u64>().unwrap_or(0)
}
