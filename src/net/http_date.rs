//! Times in headers of answers.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const IMF_FIXDATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// Reads a date of an HTTP header (IMF-fixdate, RFC 9110 section 5.6.7), such as `Tue, 05 Mar 2024 09:15:42 GMT`.
pub fn http_date(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text.trim(), IMF_FIXDATE)
        .ok()
        .map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn http_dates_are_read() {
        assert_eq!(
            http_date("Tue, 05 Mar 2024 09:15:42 GMT"),
            Some(datetime!(2024-03-05 09:15:42 UTC))
        );
        assert_eq!(
            http_date(" Sun, 06 Nov 1994 08:49:37 GMT "),
            Some(datetime!(1994-11-06 08:49:37 UTC))
        );
        for odd in [
            "",
            "yesterday",
            "2024-03-05T09:15:42Z",
            "Tue, 05 Mar 2024 09:15:42",
            "Tue, 05 Mar 2024 25:15:42 GMT",
            "Tue, 31 Feb 2024 09:15:42 GMT",
        ] {
            assert_eq!(http_date(odd), None, "{odd}");
        }
    }
}
