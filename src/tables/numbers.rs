//! Numbers of the API as plain decimal text that every database reads the same way.

/// The longest plain decimal that an exponent may be written out to; `1e400` still fits, `1e999999999` doesn't.
const MAX_LENGTH: usize = 1000;

/// Turns the text of a number into a plain decimal such as `-12.5`: no exponent, no leading `+`, no superfluous
/// zeros, no `-0`. Blanks around it are allowed, as in strings that hold numbers. `None` where it is no number, or
/// one whose written-out form would exceed 1,000 digits.
pub fn plain_decimal(text: &str) -> Option<String> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            exponent
                .strip_prefix('+')
                .unwrap_or(exponent)
                .parse::<i64>()
                .ok()?,
        ),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty()
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    if exponent.unsigned_abs() > MAX_LENGTH as u64 || whole.len() + fraction.len() > MAX_LENGTH {
        return None;
    }
    let all = format!("{whole}{fraction}");
    // Where the decimal point stands in `all`; may lie before its start or behind its end.
    let point = i64::try_from(whole.len()).ok()? + exponent;
    let (whole, fraction) = if point <= 0 {
        (
            String::new(),
            format!("{}{all}", "0".repeat(usize::try_from(-point).ok()?)),
        )
    } else {
        let point = usize::try_from(point).ok()?;
        match all.split_at_checked(point) {
            Some((whole, fraction)) => (whole.to_owned(), fraction.to_owned()),
            None => (
                format!("{all}{}", "0".repeat(point.saturating_sub(all.len()))),
                String::new(),
            ),
        }
    };
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let mut plain = String::with_capacity(whole.len() + fraction.len() + 3);
    if negative && !(whole.is_empty() && fraction.is_empty()) {
        plain.push('-');
    }
    plain.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        plain.push('.');
        plain.push_str(fraction);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::plain_decimal;

    #[test]
    fn numbers_become_plain_decimals() {
        for (given, wanted) in [
            ("3", "3"),
            ("-3", "-3"),
            ("+3", "3"),
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1249.95", "1249.95"),
            ("2.50", "2.5"),
            ("1e5", "100000"),
            ("1.25E+1", "12.5"),
            ("125e-3", "0.125"),
            ("1e-5", "0.00001"),
            (".5", "0.5"),
            ("5.", "5"),
            ("007", "7"),
            (" 12 ", "12"),
            (
                "12345678901234567890123.4560",
                "12345678901234567890123.456",
            ),
        ] {
            assert_eq!(plain_decimal(given).as_deref(), Some(wanted), "{given}");
        }
        assert_eq!(plain_decimal("1e400").unwrap().len(), 401);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for given in [
            "",
            " ",
            "-",
            ".",
            "e5",
            "1e",
            "abc",
            "1,5",
            "1 2",
            "0x10",
            "NaN",
            "inf",
            "1e999999999",
            "--1",
            "١",
        ] {
            assert_eq!(plain_decimal(given), None, "{given}");
        }
    }
}
