//! Whether a value fits into a column as it is, and what the column has to become if not. Pure.
//!
//! PostgreSQL itself rounds where a decimal is too fine for its column, and cuts where a text is cast to
//! `varchar(n)`; here nothing may be lost, so it is found out before.

use crate::tables::schema::ColumnKind;

/// What a column can hold, as far as we look before we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `text`, `varchar(n)`, `char(n)` and their like; the limit is in characters.
    Text(Option<usize>),
    /// `numeric`, or `numeric(precision, scale)`.
    Numeric(Option<(i32, i32)>),
    /// `smallint`, `integer`, `bigint`, by their number of bits.
    Integer(u32),
    /// `real`, `double precision`, by the number of decimal digits that come back unchanged.
    Float(usize),
    /// `boolean`
    Bool,
    /// Any other type; the server decides.
    Other,
}

impl Class {
    /// From the catalogue: the type's oid (of the base type if it is a domain), its modifier, its category.
    pub(super) fn from_catalog(oid: u32, modifier: i32, category: &str) -> Class {
        let length = (modifier >= 4).then(|| usize::try_from(modifier - 4).unwrap_or(usize::MAX));
        match oid {
            16 => Class::Bool,
            21 => Class::Integer(16),
            23 => Class::Integer(32),
            20 => Class::Integer(64),
            700 => Class::Float(6),
            701 => Class::Float(15),
            1700 if modifier < 4 => Class::Numeric(None),
            1700 => {
                let packed = modifier - 4;
                // Eleven bits with a sign, since version 15 has negative scales.
                let scale = ((packed & 0x7ff) ^ 1024) - 1024;
                Class::Numeric(Some(((packed >> 16) & 0xffff, scale)))
            }
            1042 | 1043 => Class::Text(length),
            _ if category == "S" => Class::Text(None),
            _ => Class::Other,
        }
    }

    /// Whether any text fits, so that values need not be looked at.
    pub(super) fn takes_all(self) -> bool {
        matches!(self, Class::Text(None) | Class::Other)
    }
}

/// What a column has to become to hold a value; the later one holds what the earlier one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wider {
    /// `numeric` without limits.
    Numeric,
    /// `text`
    Text,
}

/// What the column has to become to hold the value exactly; `None` if it fits.
pub(super) fn misfit(class: Class, kind: ColumnKind, value: &str) -> Option<Wider> {
    let (precision_scale, digits) = match class {
        Class::Text(None) | Class::Other => return None,
        Class::Text(Some(limit)) => {
            // A text has at most as many characters as bytes.
            let fits = value.len() <= limit || value.chars().count() <= limit;
            return (!fits).then_some(Wider::Text);
        }
        Class::Bool => {
            let fits = ["0", "1", "true", "false"].contains(&value);
            return (!fits).then_some(Wider::Text);
        }
        Class::Integer(_) | Class::Numeric(None) => (None, None),
        Class::Numeric(limits) => (limits, None),
        Class::Float(digits) => (None, Some(digits)),
    };
    let Some(decimal) = Decimal::parse(value) else {
        return Some(Wider::Text);
    };
    // A text such as a postal code would lose its zeros in a number column.
    if kind != ColumnKind::Number && decimal.has_leading_zero {
        return Some(Wider::Text);
    }
    if decimal.is_huge() {
        return Some(Wider::Text);
    }
    let fits = match class {
        Class::Integer(bits) => {
            decimal.fraction.is_empty()
                && match bits {
                    16 => value.parse::<i16>().is_ok(),
                    32 => value.parse::<i32>().is_ok(),
                    _ => value.parse::<i64>().is_ok(),
                }
        }
        _ => {
            precision_scale.is_none_or(|(precision, scale)| decimal.fits(precision, scale))
                && digits.is_none_or(|digits| decimal.significant_digits() <= digits)
        }
    };
    (!fits).then_some(Wider::Numeric)
}

/// A plain decimal number, cut at its point.
struct Decimal<'a> {
    whole: &'a str,
    fraction: &'a str,
    has_leading_zero: bool,
}

impl<'a> Decimal<'a> {
    fn parse(value: &'a str) -> Option<Self> {
        let unsigned = value.strip_prefix('-').unwrap_or(value);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (unsigned, ""),
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        Some(Decimal {
            whole: whole.trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
            has_leading_zero: whole.len() > 1 && whole.starts_with('0'),
        })
    }

    /// More than `numeric` holds.
    fn is_huge(&self) -> bool {
        self.whole.len() > 131_072 || self.fraction.len() > 16_383
    }

    fn fits(&self, precision: i32, scale: i32) -> bool {
        let count = |digits: usize| i32::try_from(digits).unwrap_or(i32::MAX);
        let fine = if scale >= 0 {
            count(self.fraction.len()) <= scale
        } else {
            let zeros = self.whole.len() - self.whole.trim_end_matches('0').len();
            self.fraction.is_empty() && (self.whole.is_empty() || count(zeros) >= -scale)
        };
        // With a scale above the precision, zeros must follow the point.
        let small = if precision >= scale {
            count(self.whole.len()) <= precision - scale
        } else {
            let zeros = self.fraction.len() - self.fraction.trim_start_matches('0').len();
            self.whole.is_empty() && (self.fraction.is_empty() || count(zeros) >= scale - precision)
        };
        fine && small
    }

    fn significant_digits(&self) -> usize {
        let all = self.whole.len() + self.fraction.len();
        if self.whole.is_empty() {
            self.fraction.trim_start_matches('0').len()
        } else if self.fraction.is_empty() {
            self.whole.trim_end_matches('0').len()
        } else {
            all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ColumnKind::{Bool, Number, Text};

    fn fits(class: Class, value: &str) {
        assert_eq!(misfit(class, Number, value), None, "{class:?} {value}");
    }

    fn needs(wider: Wider, class: Class, value: &str) {
        assert_eq!(
            misfit(class, Number, value),
            Some(wider),
            "{class:?} {value}"
        );
    }

    #[test]
    fn classes_from_the_catalogue() {
        for (oid, modifier, category, class) in [
            (25, -1, "S", Class::Text(None)),
            (1043, -1, "S", Class::Text(None)),
            (1043, 54, "S", Class::Text(Some(50))),
            (1042, 5, "S", Class::Text(Some(1))),
            (1700, -1, "N", Class::Numeric(None)),
            (1700, (10 << 16) + 4, "N", Class::Numeric(Some((10, 0)))),
            (1700, (10 << 16) + 2 + 4, "N", Class::Numeric(Some((10, 2)))),
            (
                1700,
                (3 << 16) + 0x7fd + 4,
                "N",
                Class::Numeric(Some((3, -3))),
            ),
            (16, -1, "B", Class::Bool),
            (23, -1, "N", Class::Integer(32)),
            (701, -1, "N", Class::Float(15)),
            (1184, -1, "D", Class::Other),
            (99_999, -1, "S", Class::Text(None)),
        ] {
            assert_eq!(
                Class::from_catalog(oid, modifier, category),
                class,
                "{oid} {modifier}"
            );
        }
    }

    #[test]
    fn texts_are_counted_in_characters() {
        let class = Class::Text(Some(3));
        for value in ["", "abc", "äöü", "€€€", "😀😀😀"] {
            assert_eq!(misfit(class, Text, value), None, "{value}");
        }
        for value in ["abcd", "äöüä", "😀😀😀😀", "abc "] {
            assert_eq!(misfit(class, Text, value), Some(Wider::Text), "{value}");
        }
    }

    #[test]
    fn numbers_in_numeric() {
        let ten = Class::Numeric(Some((10, 2)));
        for value in ["0", "-12.5", "12345678.99", "1.5000", "0.01"] {
            fits(ten, value);
        }
        for value in ["123456789", "0.001", "-123456789.5"] {
            needs(Wider::Numeric, ten, value);
        }
        fits(
            Class::Numeric(None),
            "123456789012345678901234567890.12345678901234567890",
        );
        for value in [
            "", "abc", "1,5", "1e5", "NaN", "12 ", "-", ".", "1.", ".5", "+1", "1.2.3", "٣",
        ] {
            needs(Wider::Text, Class::Numeric(None), value);
        }
        let thousands = Class::Numeric(Some((3, -3)));
        fits(thousands, "999000");
        fits(thousands, "0");
        needs(Wider::Numeric, thousands, "999001");
        needs(Wider::Numeric, thousands, "1000000");
        let small = Class::Numeric(Some((2, 4)));
        fits(small, "0.0099");
        needs(Wider::Numeric, small, "0.01");
        needs(Wider::Text, Class::Numeric(None), &"9".repeat(131_073));
    }

    #[test]
    fn numbers_in_integers_and_floats() {
        fits(Class::Integer(32), "-2147483648");
        needs(Wider::Numeric, Class::Integer(32), "2147483648");
        needs(Wider::Numeric, Class::Integer(16), "40000");
        needs(Wider::Numeric, Class::Integer(64), "9223372036854775808");
        needs(Wider::Numeric, Class::Integer(64), "1.5");
        needs(Wider::Text, Class::Integer(64), "x");
        fits(Class::Float(15), "123456789.012345");
        fits(Class::Float(15), "1200000000000000000000");
        fits(Class::Float(15), "0.000000000000000000012");
        needs(Wider::Numeric, Class::Float(15), "1234567890.123456");
        needs(Wider::Numeric, Class::Float(6), "1234567");
    }

    #[test]
    fn leading_zeros_matter_only_in_text() {
        let class = Class::Numeric(None);
        assert_eq!(misfit(class, Text, "01067"), Some(Wider::Text));
        assert_eq!(misfit(class, Text, "0.5"), None);
        assert_eq!(misfit(class, Text, "0"), None);
        fits(class, "007");
        fits(Class::Integer(32), "007");
    }

    #[test]
    fn booleans() {
        for value in ["0", "1", "true", "false"] {
            assert_eq!(misfit(Class::Bool, Bool, value), None);
        }
        assert_eq!(misfit(Class::Bool, Text, "2"), Some(Wider::Text));
        assert_eq!(misfit(Class::Bool, Text, ""), Some(Wider::Text));
    }
}
