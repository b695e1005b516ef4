//! The start date (`--s`) as the vendor's client takes it, always UTC.

use time::{Date, Month, OffsetDateTime, Time};

/// The spellings allowed, for messages.
pub const SPELLINGS: &str =
    "YYYY-MM-DD, YYYY-MM-DDThh:mm or YYYY-MM-DDThh:mm:ss (UTC) is expected, and a date that exists";

/// Reads `YYYY-MM-DD`, `YYYY-MM-DDThh:mm` or `YYYY-MM-DDThh:mm:ss` with up to nine digits of fraction; a time may
/// end in `Z`. `None` where the text is anything else or no date of the calendar.
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, parse_time(time.strip_suffix('Z').unwrap_or(time))?),
        None => (text, Time::MIDNIGHT),
    };
    Some(parse_date(date)?.with_time(time).assume_utc())
}

fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    let day = digits(parts.next()?, 2)?;
    if parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
}

fn parse_time(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let (second, nanosecond) = match parts.next() {
        None => (0, 0),
        Some(text) => match text.split_once('.') {
            None => (digits(text, 2)?, 0),
            Some((second, fraction)) => (digits(second, 2)?, nanoseconds(fraction)?),
        },
    };
    if parts.next().is_some() {
        return None;
    }
    Time::from_hms_nano(
        u8::try_from(hour).ok()?,
        u8::try_from(minute).ok()?,
        u8::try_from(second).ok()?,
        nanosecond,
    )
    .ok()
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    digits(&format!("{fraction:0<9}"), 9)
}

fn digits(text: &str, count: usize) -> Option<u32> {
    if text.len() != count || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn reads_every_spelling() {
        for (text, expected) in [
            ("2024-03-05", datetime!(2024-03-05 0:00 UTC)),
            ("2024-02-29", datetime!(2024-02-29 0:00 UTC)),
            (" 2024-03-05 ", datetime!(2024-03-05 0:00 UTC)),
            ("2024-03-05T09:15", datetime!(2024-03-05 9:15 UTC)),
            ("2024-03-05T09:15Z", datetime!(2024-03-05 9:15 UTC)),
            ("2024-03-05T09:15:42", datetime!(2024-03-05 9:15:42 UTC)),
            ("2024-03-05T23:59:59Z", datetime!(2024-03-05 23:59:59 UTC)),
            (
                "2024-03-05T09:15:42.468Z",
                datetime!(2024-03-05 9:15:42.468 UTC),
            ),
            ("2024-03-05T09:15:42.5", datetime!(2024-03-05 9:15:42.5 UTC)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2024",
            "2024-3-5",
            "2024-13-01",
            "2024-00-01",
            "2024-02-30",
            "2023-02-29",
            "2024-03-05-01",
            "05.03.2024",
            "+024-03-05",
            "2024-03-05Z",
            "2024-03-05 09:15:42",
            "2024-03-05T",
            "2024-03-05T09",
            "2024-03-05T24:00",
            "2024-03-05T09:60",
            "2024-03-05T09:15:60",
            "2024-03-05T09:15:42.",
            "2024-03-05T09:15:42.1234567890",
            "2024-03-05T09:15:42+01:00",
            "2024-03-05T09:15:42:00",
            "２０２４-03-05",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
