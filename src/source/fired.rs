//! When a transaction was fired, in whatever way that is written: nobody promises that the event list and the documents
//! write it alike.

use time::{Date, Duration, Month, OffsetDateTime, Time};

/// Zones differ by a multiple of this, and by not more than that.
const ZONE_STEP: Duration = Duration::minutes(15);
const MAX_ZONE_DIFFERENCE: Duration = Duration::hours(14);

/// A time in milliseconds, and what stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    /// The time; one without a zone is UTC.
    pub at: OffsetDateTime,
    /// The number behind the time: the sequence number of the transaction.
    pub sequence: Option<u64>,
    /// Whether it is written to the second only.
    whole_seconds: bool,
}

impl Fired {
    /// Reads `YYYY-MM-DDThh:mm:ss[.f…][zone][sequence]`, with a blank for the `T` as well, and milliseconds, seconds or
    /// microseconds since 1970. A zone is `Z`, `±hh:mm` or `±hhmm`; without one, digits behind the milliseconds are no
    /// sequence number. `None` for anything else.
    pub fn read(text: &str) -> Option<Fired> {
        let text = text.trim();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return since_1970(text);
        }
        let mut rest = text;
        let year = number(&mut rest, 4)?;
        sign(&mut rest, &['-'])?;
        let month = number(&mut rest, 2)?;
        sign(&mut rest, &['-'])?;
        let day = number(&mut rest, 2)?;
        sign(&mut rest, &['T', 't', ' '])?;
        let hour = number(&mut rest, 2)?;
        sign(&mut rest, &[':'])?;
        let minute = number(&mut rest, 2)?;
        sign(&mut rest, &[':'])?;
        let second = number(&mut rest, 2)?;
        let mut millisecond = 0;
        let mut whole_seconds = true;
        if sign(&mut rest, &['.', ',']).is_some() {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, behind) = rest.split_at_checked(length)?;
            millisecond = format!("{digits:0<3}").get(..3)?.parse().ok()?;
            whole_seconds = false;
            rest = behind;
        }
        let zone = match sign(&mut rest, &['Z', 'z', '+', '-']) {
            None | Some('Z' | 'z') => Duration::ZERO,
            Some(direction) => {
                let hours = number(&mut rest, 2)?;
                let _ = sign(&mut rest, &[':']);
                let minutes = number(&mut rest, 2)?;
                let ahead = Duration::minutes(i64::from(hours) * 60 + i64::from(minutes));
                if direction == '-' { -ahead } else { ahead }
            }
        };
        let sequence = match rest {
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        let small = |number: u32| u8::try_from(number).ok();
        let month = Month::try_from(small(month)?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
        let time =
            Time::from_hms_milli(small(hour)?, small(minute)?, small(second)?, millisecond).ok()?;
        Some(Fired {
            at: date.with_time(time).assume_utc().checked_sub(zone)?,
            sequence,
            whole_seconds,
        })
    }

    /// Whether both may be the same time although they are written differently: one to the second only, or each in another
    /// zone of which nothing is said.
    pub fn may_be(self, other: Fired) -> bool {
        let apart = (self.at - other.at).abs();
        let coarse = self.whole_seconds != other.whole_seconds
            && self.at.unix_timestamp() == other.at.unix_timestamp();
        let zones = self.whole_seconds == other.whole_seconds
            && apart <= MAX_ZONE_DIFFERENCE
            && apart.whole_milliseconds() % ZONE_STEP.whole_milliseconds() == 0;
        coarse || zones
    }
}

fn since_1970(digits: &str) -> Option<Fired> {
    let (number, behind, unit) = match digits.len() {
        10 => (digits, "", 1_000_000_000),
        13 => (digits, "", 1_000_000),
        16 => (digits, "", 1_000),
        // Milliseconds, and a sequence number of four digits.
        17 => {
            let (number, behind) = digits.split_at_checked(13)?;
            (number, behind, 1_000_000)
        }
        _ => return None,
    };
    let nanoseconds = number.parse::<i128>().ok()?.checked_mul(unit)?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    Some(Fired {
        at: at.replace_millisecond(at.millisecond()).ok()?,
        sequence: behind.parse().ok(),
        whole_seconds: digits.len() == 10,
    })
}

fn number(rest: &mut &str, length: usize) -> Option<u32> {
    let (digits, behind) = rest.split_at_checked(length)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    *rest = behind;
    digits.parse().ok()
}

fn sign(rest: &mut &str, signs: &[char]) -> Option<char> {
    let found = rest.chars().next().filter(|c| signs.contains(c))?;
    *rest = rest.get(found.len_utf8()..)?;
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use time::macros::datetime;

    use super::*;

    const T: OffsetDateTime = datetime!(2024-03-05 09:15:42.468 UTC);

    #[test]
    fn every_way_of_writing_is_the_same_time() {
        for (text, sequence) in [
            ("2024-03-05T09:15:42.468Z", None),
            ("2024-03-05T09:15:42.468Z0217", Some(217)),
            ("2024-03-05T09:15:42.468", None),
            ("2024-03-05 09:15:42,468z", None),
            ("2024-03-05T09:15:42.468123Z7", Some(7)),
            // Without a zone nobody knows where a number would begin.
            ("2024-03-05T09:15:42.4680217", None),
            ("2024-03-05T10:15:42.468+01:00", None),
            ("2024-03-05T10:15:42.468+01000217", Some(217)),
            ("2024-03-05T03:45:42.468-05:300217", Some(217)),
            ("1709630142468", None),
            ("17096301424680217", Some(217)),
            ("1709630142468999", None),
        ] {
            let moment = Fired::read(text).unwrap();
            assert_eq!((moment.at, moment.sequence), (T, sequence), "{text}");
        }
        for (text, at) in [
            ("2024-03-05T09:15:42Z", datetime!(2024-03-05 09:15:42 UTC)),
            ("1709630142", datetime!(2024-03-05 09:15:42 UTC)),
            (
                "2024-03-05T09:15:42.5Z",
                datetime!(2024-03-05 09:15:42.5 UTC),
            ),
        ] {
            assert_eq!(Fired::read(text).unwrap().at, at, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2024-03-05",
            "2024-02-30T00:00:00Z",
            "2024-03-05T25:00:00Z",
            "2024-03-05T09:15:42.468Zx",
            "2024-03-05T09:15:42.468Z99999999999999999999",
            "12",
            "Ärger",
            "9999-12-31T23:59:59-99:59",
        ] {
            assert_eq!(Fired::read(text), None, "{text}");
        }
    }

    #[test]
    fn times_may_be_the_same_though_they_differ() {
        let may_be = |one: &str, other: &str| {
            let (one, other) = (Fired::read(one).unwrap(), Fired::read(other).unwrap());
            assert_eq!(one.may_be(other), other.may_be(one));
            one.may_be(other)
        };
        let first = "2024-03-05T09:15:42.468Z";
        for other in [
            "2024-03-05T09:15:42Z",
            "2024-03-05T11:15:42.468",
            "2024-03-05T03:30:42.468",
        ] {
            assert!(may_be(first, other), "{other}");
        }
        for other in [
            "2024-03-05T09:15:41Z",
            "2024-03-05T09:15:43Z",
            "2024-03-05T09:15:42.469Z",
            "2024-03-05T09:16:42.468Z",
            "2024-03-07T09:15:42.468Z",
            "2024-03-05T10:15:42Z",
        ] {
            assert!(!may_be(first, other), "{other}");
        }
    }
}
