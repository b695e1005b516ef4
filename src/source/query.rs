//! Values for the addresses of requests: times, days and percent-encoding as the API expects them. Pure.

use std::fmt::Write;

use time::{Date, OffsetDateTime, UtcOffset};

/// A day as the API takes it: `YYYY-MM-DD`.
pub fn day_stamp(day: Date) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        day.year(),
        u8::from(day.month()),
        day.day()
    )
}

/// A time as the API takes it: UTC without `Z`, milliseconds without trailing zeros.
pub fn time_stamp(time: OffsetDateTime) -> String {
    // At the ends of the calendar there may be no such time in UTC: the difference is less than a day.
    let time = time.checked_to_offset(UtcOffset::UTC).unwrap_or(time);
    let mut stamp = format!(
        "{}T{:02}:{:02}:{:02}",
        day_stamp(time.date()),
        time.hour(),
        time.minute(),
        time.second()
    );
    if time.millisecond() > 0 {
        let fraction = format!(".{:03}", time.millisecond());
        stamp.push_str(fraction.trim_end_matches('0'));
    }
    stamp
}

/// A value for the query. The characters of times, lists and cursors stay as they are, as the old client sent them.
pub fn query_value(text: &str) -> String {
    encoded(text, "-._~:,=/")
}

/// Percent-encodes everything but ASCII letters, digits and `raw`.
pub fn encoded(text: &str, raw: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || raw.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn times_are_utc_without_z_and_without_trailing_zeros() {
        for (time, stamp) in [
            (
                datetime!(2024-03-05 09:15:42.468 UTC),
                "2024-03-05T09:15:42.468",
            ),
            (
                datetime!(2024-03-05 09:15:42.460 UTC),
                "2024-03-05T09:15:42.46",
            ),
            (
                datetime!(2024-03-05 09:15:05.1 UTC),
                "2024-03-05T09:15:05.1",
            ),
            (
                datetime!(2024-03-05 09:15:05.007 UTC),
                "2024-03-05T09:15:05.007",
            ),
            (datetime!(2024-03-05 09:15:05 UTC), "2024-03-05T09:15:05"),
            (
                datetime!(2024-03-05 09:15:05.0009 UTC),
                "2024-03-05T09:15:05",
            ),
            (datetime!(2024-03-05 00:30:00 +01:00), "2024-03-04T23:30:00"),
        ] {
            assert_eq!(time_stamp(time), stamp);
        }
    }

    #[test]
    fn days_have_ten_characters() {
        assert_eq!(day_stamp(date!(2024 - 03 - 05)), "2024-03-05");
        assert_eq!(day_stamp(date!(0987 - 12 - 31)), "0987-12-31");
    }

    #[test]
    fn times_lists_and_cursors_stay_as_they_are() {
        for text in [
            "2024-03-05T09:15:42.468",
            "fc_a,qc_b",
            "CkQKEQoHY2hhbmdlZBIG-_w==",
            "a/b~c",
        ] {
            assert_eq!(query_value(text), text);
        }
    }

    #[test]
    fn all_else_is_encoded() {
        assert_eq!(
            query_value("fc_Größe & 1,x+y%z#?"),
            "fc_Gr%C3%B6%C3%9Fe%20%26%201,x%2By%25z%23%3F"
        );
        assert_eq!(query_value("\r\n\"<>"), "%0D%0A%22%3C%3E");
        assert_eq!(encoded("a/b:c", "-._~"), "a%2Fb%3Ac");
    }
}
