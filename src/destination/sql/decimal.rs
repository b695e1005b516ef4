//! Plain decimal texts such as `-12.50`, looked at digit by digit, so that no number is changed unnoticed.

use std::ops::RangeInclusive;

use crate::tables::schema::ColumnKind;

/// A decimal number in pieces; two texts of the same number have equal pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    /// Whether it is below zero.
    pub negative: bool,
    /// Digits before the point, without leading zeros; empty for 0.
    pub integer: &'a str,
    /// Digits behind the point, without trailing zeros; empty for whole numbers.
    pub fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// Reads digits with at most one point and a leading sign; `None` for all else, exponents included.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (minus, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (integer.is_empty() && fraction.is_empty())
            || !is_number(integer)
            || !is_number(fraction)
        {
            return None;
        }
        let integer = integer.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        Some(Decimal {
            negative: minus && !(integer.is_empty() && fraction.is_empty()),
            integer,
            fraction,
        })
    }

    /// The number that a value is. A text field's `007` or `+49…` is not a number: as one it would lose its first digits.
    pub fn of_value(kind: ColumnKind, value: &'a str) -> Option<Self> {
        let decimal = Decimal::parse(value)?;
        let is_number = matches!(kind, ColumnKind::Number | ColumnKind::Bool);
        let digits = value.strip_prefix('-').unwrap_or(value);
        let starts_plain = digits == "0"
            || digits.starts_with("0.")
            || digits.starts_with(|c: char| ('1'..='9').contains(&c));
        (is_number || starts_plain).then_some(decimal)
    }

    /// Whether it is a whole number of this range.
    pub fn is_whole_within(&self, range: RangeInclusive<i128>) -> bool {
        let whole = match self.integer {
            "" => Ok(0),
            digits => digits.parse::<i128>(),
        };
        self.fraction.is_empty()
            && whole.is_ok_and(|n| range.contains(&if self.negative { -n } else { n }))
    }

    /// Digits from the first that is not 0 to the last that is not 0.
    pub fn significant(&self) -> usize {
        if self.integer.is_empty() {
            self.fraction.trim_start_matches('0').len()
        } else if self.fraction.is_empty() {
            self.integer.trim_end_matches('0').len()
        } else {
            self.integer.len() + self.fraction.len()
        }
    }

    /// Whether a double holds exactly this number as far as anyone who prints it sees. 15 digits always survive
    /// the way to a double and back; more may or may not.
    pub fn fits_double(&self, text: &str) -> bool {
        self.significant() <= 15
            && text.parse::<f64>().is_ok_and(|number| {
                number.is_finite() && Decimal::parse(&number.to_string()) == Some(*self)
            })
    }

    /// The same for a float of 4 bytes, which keeps 6 digits.
    pub fn fits_float(&self, text: &str) -> bool {
        self.significant() <= 6
            && text.parse::<f32>().is_ok_and(|number| {
                number.is_finite() && Decimal::parse(&number.to_string()) == Some(*self)
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;

    #[test]
    fn pieces() {
        let pieces = |text| Decimal::parse(text).map(|d| (d.negative, d.integer, d.fraction));
        assert_eq!(pieces("-012.50"), Some((true, "12", "5")));
        assert_eq!(pieces("+7"), Some((false, "7", "")));
        assert_eq!(pieces(".5"), Some((false, "", "5")));
        assert_eq!(pieces("-0.00"), Some((false, "", "")));
        for text in [
            "", "-", ".", "1e5", "1.2.3", "0x1", " 1", "1 ", "--1", "NaN", "inf", "٣",
        ] {
            assert_eq!(pieces(text), None, "{text:?}");
        }
    }

    #[test]
    fn significant_digits() {
        for (text, digits) in [
            ("0", 0),
            ("100", 1),
            ("0.0010", 1),
            ("10.01", 4),
            ("123456", 6),
        ] {
            assert_eq!(
                Decimal::parse(text).unwrap().significant(),
                digits,
                "{text}"
            );
        }
    }

    #[test]
    fn what_floats_hold() {
        let double = |text: &str| Decimal::parse(text).unwrap().fits_double(text);
        let float = |text: &str| Decimal::parse(text).unwrap().fits_float(text);
        assert!(double("0.1") && double("-12.5") && double("123456789012345"));
        assert!(double("100000000000000000000") && double("0.000000000000000000001"));
        assert!(!double("1234567890123456") && !double("0.1234567890123456"));
        let huge = format!("1{}", "0".repeat(400));
        assert!(!double(&huge));
        assert!(float("0.1") && float("123456") && !float("1234567"));
    }
}
