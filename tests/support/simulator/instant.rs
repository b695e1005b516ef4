//! Instants of simulated time as milliseconds since 1970 (UTC), and their texts.

use time::OffsetDateTime;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Instant = i64;

/// One second, minute, hour and day in milliseconds.
pub const SECOND: i64 = 1000;
/// One minute in milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// One day in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// From the `time` crate's type.
pub fn from_datetime(at: OffsetDateTime) -> Instant {
    (at.unix_timestamp_nanos() / 1_000_000) as i64
}

/// To the `time` crate's type.
pub fn to_datetime(at: Instant) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000).unwrap()
}

/// The calendar day (UTC) as days since 1970-01-01.
pub fn day_of(at: Instant) -> i64 {
    at.div_euclid(DAY)
}

/// Year, month and day of days since 1970-01-01 (proleptic Gregorian calendar, counted from March 1st of year 0).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// Days since 1970-01-01 of a date; the inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    y.div_euclid(400) * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn digits(text: &mut [u8], mut number: i64) {
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// `YYYY-MM-DDThh:mm:ss.fff` without zone.
pub fn local(at: Instant) -> String {
    let (year, month, day) = civil(day_of(at));
    let ms = at.rem_euclid(DAY);
    let mut text = *b"0000-00-00T00:00:00.000";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], ms / HOUR);
    digits(&mut text[14..16], ms / MINUTE % 60);
    digits(&mut text[17..19], ms / SECOND % 60);
    digits(&mut text[20..23], ms % SECOND);
    String::from_utf8_lossy(&text).into_owned()
}

/// `YYYY-MM-DDThh:mm:ss.fffZ`.
pub fn zulu(at: Instant) -> String {
    let mut text = local(at);
    text.push('Z');
    text
}

/// `YYYY-MM-DDThh:mm:ss.fZ`: as [`zulu`], the zeros at the end of the fraction dropped, one digit at least.
pub fn zulu_short(at: Instant) -> String {
    let mut text = local(at);
    while text.ends_with('0') && !text.ends_with(".0") {
        text.pop();
    }
    text.push('Z');
    text
}

/// `YYYY-MM-DD`.
pub fn date(at: Instant) -> String {
    let mut text = local(at);
    text.truncate(10);
    text
}

/// The `Date` header (RFC 9110), whole seconds.
pub fn http_date(at: Instant) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day) = civil(day_of(at));
    let text = local(at);
    format!(
        "{}, {day:02} {} {year:04} {} GMT",
        WEEKDAYS[day_of(at).rem_euclid(7) as usize],
        MONTHS[(month - 1) as usize],
        &text[11..19]
    )
}

/// Reads `YYYY-MM-DD` or `YYYY-MM-DDThh:mm:ss[.f…][Z]`, as the API's query parameters have it.
pub fn parse(text: &str) -> Option<Instant> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    let separators = |places: &[(usize, u8)]| {
        places
            .iter()
            .all(|(at, b)| text.as_bytes().get(*at) == Some(b))
    };
    if !separators(&[(4, b'-'), (7, b'-')]) {
        return None;
    }
    let midnight = days(number(0..4)?, number(5..7)?, number(8..10)?) * DAY;
    if text.len() == 10 {
        return Some(midnight);
    }
    if !separators(&[(10, b'T'), (13, b':'), (16, b':')]) {
        return None;
    }
    let whole =
        midnight + number(11..13)? * HOUR + number(14..16)? * MINUTE + number(17..19)? * SECOND;
    let rest = text.get(19..)?;
    let rest = rest.strip_suffix('Z').unwrap_or(rest);
    if rest.is_empty() {
        return Some(whole);
    }
    let fraction = rest.strip_prefix('.')?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(whole + ms)
}
