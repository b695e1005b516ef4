//! Times as the admin reads them, in messages and in the status file.

use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// RFC 3339 in UTC with milliseconds: `2024-03-05T09:15:42.468Z`.
pub fn rfc3339(time: OffsetDateTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    // Fails only where a writer does, and a text takes everything.
    time.checked_to_offset(UtcOffset::UTC)
        .unwrap_or(time)
        .format(format)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn hours_have_two_digits_and_other_offsets_become_utc() {
        for (time, text) in [
            (
                datetime!(2025-03-10 9:33:33 UTC),
                "2025-03-10T09:33:33.000Z",
            ),
            (
                datetime!(2024-12-31 23:59:59.9999 -1),
                "2025-01-01T00:59:59.999Z",
            ),
            (datetime!(0001-01-01 0:00 UTC), "0001-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(time), text);
        }
    }
}
