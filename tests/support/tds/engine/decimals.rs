//! Exact decimals as texts: `-12.50` is -12.5 of scale 2.

use std::cmp::Ordering;

/// Why a text is no decimal of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    NoNumber,
    TooBig,
}

/// The decimal of this precision and scale, rounded half away from zero.
pub fn rescale(text: &str, precision: u8, scale: u8) -> Result<String, Wrong> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(Wrong::NoNumber);
    }
    let whole = whole.trim_start_matches('0');
    let scale = usize::from(scale);
    if whole.len() > usize::from(precision) - scale {
        return Err(Wrong::TooBig);
    }
    let kept: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(scale)
        .collect();
    let mut magnitude: u128 = format!("0{whole}{kept}")
        .parse()
        .map_err(|_| Wrong::TooBig)?;
    if fraction
        .as_bytes()
        .get(scale)
        .is_some_and(|digit| *digit >= b'5')
    {
        magnitude += 1;
    }
    if magnitude >= 10_u128.pow(u32::from(precision)) {
        return Err(Wrong::TooBig);
    }
    let scale = u8::try_from(scale).expect("it was one");
    Ok(super::super::wire::values::decimal_text(
        text.starts_with('-'),
        magnitude,
        scale,
    ))
}

/// A float's digits without exponent.
pub fn of_float(number: f64) -> String {
    // 17 digits tell all floats apart; the server shows no more of them than that.
    format!("{number:.20}")
}

/// Compares by value; what is no decimal comes first.
pub fn compare(left: &str, right: &str) -> Ordering {
    let parts = |text: &str| -> (bool, String, String) {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let (whole, fraction) = (
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0'),
        );
        let zero = whole.is_empty() && fraction.is_empty();
        (
            text.starts_with('-') && !zero,
            whole.to_owned(),
            fraction.to_owned(),
        )
    };
    let (left_negative, left_whole, left_fraction) = parts(left);
    let (right_negative, right_whole, right_fraction) = parts(right);
    let magnitude = (left_whole.len().cmp(&right_whole.len()))
        .then_with(|| left_whole.cmp(&right_whole))
        .then_with(|| left_fraction.cmp(&right_fraction));
    match (left_negative, right_negative) {
        (false, false) => magnitude,
        (true, true) => magnitude.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// Precision and scale of a constant.
pub fn size_of_constant(digits: &str) -> (u8, u8) {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len();
    let precision = (whole + fraction.len()).clamp(1, 38);
    (
        u8::try_from(precision).unwrap_or(38),
        u8::try_from(fraction.len().min(38)).unwrap_or(38),
    )
}
