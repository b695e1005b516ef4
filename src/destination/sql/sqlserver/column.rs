//! What a column of a table can hold, and the types it may get to hold more. No I/O.

use crate::destination::sql::decimal::Decimal;
use crate::destination::sql::dialect::SQLSERVER;
use crate::tables::schema::ColumnKind;

/// Digits of the longest number.
const MAX_DIGITS: usize = 38;

/// Characters that an indexed column may have: keys of indexes hold 900 bytes on each version.
const INDEXED_LENGTH: usize = 450;

/// What a column can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    Text {
        /// The longest text in UTF-16 units (or bytes, where it is not Unicode); `None`: no limit.
        limit: Option<usize>,
        /// Whether it holds all characters. Otherwise only ASCII is safe, whatever the code page.
        unicode: bool,
    },
    Number(Numeric),
    /// A type that we never create (dates, XML, …): the server decides.
    Other,
}

/// nvarchar(max) holds every text.
pub(super) const ANYTHING: Holds = Holds::Text {
    limit: None,
    unicode: true,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numeric {
    /// Digits before and behind the point.
    Decimal {
        before: usize,
        behind: usize,
    },
    Integer {
        min: i64,
        max: i64,
    },
    /// As a decimal, but its text has two places only.
    Money {
        before: usize,
    },
    Float,
    Double,
}

/// A type as the catalogue describes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described<'a> {
    /// Such as `nvarchar`.
    pub(super) name: &'a str,
    /// Bytes; -1 is `max`.
    pub(super) length: i64,
    pub(super) precision: usize,
    pub(super) scale: usize,
}

impl Described<'_> {
    pub(super) fn holds(&self) -> Holds {
        let text = |unicode: bool| {
            let unit = if unicode { 2 } else { 1 };
            Holds::Text {
                limit: usize::try_from(self.length).ok().map(|bytes| bytes / unit),
                unicode,
            }
        };
        let decimal = |before, behind| Holds::Number(Numeric::Decimal { before, behind });
        let integer = |min, max| Holds::Number(Numeric::Integer { min, max });
        match self.name {
            "nvarchar" | "nchar" | "sysname" => text(true),
            "varchar" | "char" => text(false),
            // Their length is that of a pointer.
            "ntext" | "text" => Holds::Text {
                limit: None,
                unicode: self.name == "ntext",
            },
            "bit" => integer(0, 1),
            "tinyint" => integer(0, 255),
            "smallint" => integer(i16::MIN.into(), i16::MAX.into()),
            "int" => integer(i32::MIN.into(), i32::MAX.into()),
            "bigint" => integer(i64::MIN, i64::MAX),
            "decimal" | "numeric" => decimal(self.precision.saturating_sub(self.scale), self.scale),
            // Their largest numbers have one digit more, but not all of that length.
            "money" => Holds::Number(Numeric::Money { before: 14 }),
            "smallmoney" => Holds::Number(Numeric::Money { before: 5 }),
            "real" => Holds::Number(Numeric::Float),
            "float" if self.precision <= 24 => Holds::Number(Numeric::Float),
            "float" => Holds::Number(Numeric::Double),
            _ => Holds::Other,
        }
    }

    /// The type as a statement names it.
    pub(super) fn declared(&self) -> String {
        let Described {
            name,
            length,
            precision,
            scale,
        } = self;
        match *name {
            "nvarchar" | "nchar" | "varchar" | "char" | "binary" | "varbinary" => match length {
                ..0 => format!("{name}(max)"),
                _ if name.starts_with('n') => format!("{name}({})", length / 2),
                _ => format!("{name}({length})"),
            },
            "decimal" | "numeric" => format!("{name}({precision},{scale})"),
            "time" | "datetime2" | "datetimeoffset" => format!("{name}({scale})"),
            "float" => format!("float({precision})"),
            _ => (*name).to_owned(),
        }
    }
}

/// What a column would have to hold beyond what it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shortage {
    /// The longest text that has no room: UTF-16 units.
    pub(super) length: usize,
    /// A character that the code page may lack.
    pub(super) encoding: bool,
    /// A number that the numeric type would round or refuse: digits before and behind the point.
    pub(super) number: Option<(usize, usize)>,
    /// A text in a numeric column.
    pub(super) not_a_number: bool,
}

impl Shortage {
    pub(super) fn is_none(self) -> bool {
        self == Shortage::default()
    }
}

/// Adds what `value` needs beyond what the column can hold.
pub(super) fn measure(holds: &Holds, kind: ColumnKind, value: &str, shortage: &mut Shortage) {
    match holds {
        Holds::Text { limit, unicode } => {
            // A text never has more UTF-16 units than UTF-8 bytes.
            if let Some(limit) = limit
                && value.len() > *limit
            {
                let length = value.encode_utf16().count();
                if length > *limit {
                    shortage.length = shortage.length.max(length);
                }
            }
            shortage.encoding |= !unicode && !value.is_ascii();
        }
        Holds::Number(numeric) => match Decimal::of_value(kind, value) {
            None => shortage.not_a_number = true,
            Some(decimal) if numeric.can_hold(&decimal, value) => {}
            Some(decimal) => {
                let (before, behind) = shortage.number.unwrap_or_default();
                shortage.number = Some((
                    before.max(decimal.integer.len()),
                    behind.max(decimal.fraction.len()),
                ));
            }
        },
        Holds::Other => {}
    }
}

impl Numeric {
    fn can_hold(&self, decimal: &Decimal<'_>, text: &str) -> bool {
        match self {
            Numeric::Decimal { before, behind } => {
                decimal.integer.len() <= *before && decimal.fraction.len() <= *behind
            }
            Numeric::Money { before } => {
                decimal.integer.len() <= *before && decimal.fraction.len() <= 4
            }
            Numeric::Integer { min, max } => {
                decimal.is_whole_within(i128::from(*min)..=i128::from(*max))
            }
            Numeric::Float => decimal.fits_float(text),
            Numeric::Double => decimal.fits_double(text),
        }
    }
}

/// The types that end a shortage, the best first; the server may refuse one, as it knows what is stored already.
/// `Err` says why there is none.
pub(super) fn wider(
    holds: &Holds,
    shortage: Shortage,
    indexed: bool,
) -> Result<Vec<String>, &'static str> {
    let text = |length: usize| match (indexed, length) {
        (false, _) => Ok(vec![SQLSERVER.types.text.to_owned()]),
        (true, ..=INDEXED_LENGTH) => Ok(vec![format!("nvarchar({INDEXED_LENGTH})")]),
        (true, _) => Err("an indexed column holds at most 450 characters"),
    };
    match holds {
        Holds::Text { limit, .. } => text(shortage.length.max(limit.unwrap_or(0))),
        Holds::Number(Numeric::Float | Numeric::Double) => {
            Err("a column of this type loses digits when its type is changed")
        }
        Holds::Number(numeric) => {
            let mut types = Vec::new();
            if let (Some((before, behind)), false) = (shortage.number, shortage.not_a_number) {
                // More places behind the point take room from those before it, which may be in use.
                types.extend(match numeric {
                    Numeric::Integer { .. } if behind == 0 && before <= 18 => {
                        Some("bigint".to_owned())
                    }
                    Numeric::Integer { .. } => decimal(before.max(19), behind),
                    Numeric::Decimal { behind: has, .. } => decimal(before, behind.max(*has)),
                    _ => decimal(before.max(15), behind.max(4)),
                });
            }
            if !matches!(numeric, Numeric::Money { .. }) {
                types.extend(text(0)?);
            }
            Ok(types)
        }
        Holds::Other => Err("its type is not one that this program makes"),
    }
}

fn decimal(before: usize, behind: usize) -> Option<String> {
    (before + behind <= MAX_DIGITS).then(|| format!("decimal({MAX_DIGITS},{behind})"))
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

    fn described(name: &str, length: i64, precision: usize, scale: usize) -> Described<'_> {
        Described {
            name,
            length,
            precision,
            scale,
        }
    }

    fn shortage(holds: &Holds, kind: ColumnKind, value: &str) -> Shortage {
        let mut shortage = Shortage::default();
        measure(holds, kind, value, &mut shortage);
        shortage
    }

    #[test]
    fn types_as_the_catalogue_has_them_and_as_statements_name_them() {
        for (name, length, precision, scale, declared) in [
            ("nvarchar", 200, 0, 0, "nvarchar(100)"),
            ("nvarchar", -1, 0, 0, "nvarchar(max)"),
            ("nvarchar", 2, 0, 0, "nvarchar(1)"),
            ("varchar", 50, 0, 0, "varchar(50)"),
            ("varchar", -1, 0, 0, "varchar(max)"),
            ("text", 16, 0, 0, "text"),
            ("decimal", 17, 38, 10, "decimal(38,10)"),
            ("bit", 1, 1, 0, "bit"),
            ("float", 8, 53, 0, "float(53)"),
            ("datetime2", 8, 27, 7, "datetime2(7)"),
        ] {
            let described = described(name, length, precision, scale);
            assert_eq!(described.declared(), declared);
        }
    }

    #[test]
    fn texts_are_measured_in_utf_16() {
        let lacks = |holds: &Holds, value: &str| shortage(holds, ColumnKind::Text, value);
        let three = described("nvarchar", 6, 0, 0).holds();
        assert!(lacks(&three, "äöü").is_none() && lacks(&three, "a🎉").is_none());
        assert_eq!(lacks(&three, "äöü!").length, 4);
        assert_eq!(lacks(&three, "🎉🎉").length, 4);
        let max = described("nvarchar", -1, 0, 0).holds();
        assert!(lacks(&max, &"ä".repeat(100_000)).is_none());
        let old = described("text", 16, 0, 0).holds();
        assert!(lacks(&old, &"a".repeat(100_000)).is_none());
        assert!(lacks(&old, "ä").encoding);
    }

    #[test]
    fn numbers_that_fit_exactly() {
        let exact =
            |holds: &Holds, value: &str| shortage(holds, ColumnKind::Number, value).is_none();
        let ours = described("decimal", 17, 38, 10).holds();
        assert!(exact(&ours, &"9".repeat(28)) && !exact(&ours, &"9".repeat(29)));
        assert!(exact(&ours, "-0.0123456789") && !exact(&ours, "0.01234567891"));
        assert!(exact(&ours, "1.500000000000000"));
        let int = described("int", 4, 10, 0).holds();
        assert!(exact(&int, "-2147483648") && !exact(&int, "2147483648") && !exact(&int, "0.5"));
        let tiny = described("tinyint", 1, 3, 0).holds();
        assert!(exact(&tiny, "255") && !exact(&tiny, "-1"));
        let money = described("money", 8, 19, 4).holds();
        assert!(exact(&money, "1.2345") && !exact(&money, "1.23456"));
        assert!(!exact(&ours, "12a") && !exact(&ours, ""));
        let text_in_number = shortage(&ours, ColumnKind::Text, "007");
        assert!(text_in_number.not_a_number);
    }

    #[test]
    fn what_a_column_becomes() {
        let becomes = |described: Described<'_>, indexed, kind, value: &str| {
            let holds = described.holds();
            wider(&holds, shortage(&holds, kind, value), indexed).map(|types| types.join(" or "))
        };
        let text = ColumnKind::Text;
        let number = ColumnKind::Number;
        let one_letter = described("nvarchar", 2, 0, 0);
        assert_eq!(
            becomes(one_letter, false, text, "ab").unwrap(),
            "nvarchar(max)"
        );
        assert_eq!(
            becomes(one_letter, true, text, "ab").unwrap(),
            "nvarchar(450)"
        );
        assert!(becomes(one_letter, true, text, &"a".repeat(451)).is_err());
        let old = described("text", 16, 0, 0);
        assert_eq!(becomes(old, false, text, "ä").unwrap(), "nvarchar(max)");
        let ours = described("decimal", 17, 38, 10);
        let or_text = |first: &str| format!("{first} or nvarchar(max)");
        assert_eq!(
            becomes(ours, false, number, "0.30000000000000004").unwrap(),
            or_text("decimal(38,17)")
        );
        assert_eq!(
            becomes(ours, false, number, &"9".repeat(29)).unwrap(),
            "nvarchar(max)"
        );
        assert_eq!(
            becomes(described("int", 4, 10, 0), false, number, "3000000000").unwrap(),
            or_text("bigint")
        );
        assert_eq!(
            becomes(described("int", 4, 10, 0), false, number, "0.5").unwrap(),
            or_text("decimal(38,1)")
        );
        assert_eq!(becomes(ours, false, text, "abc").unwrap(), "nvarchar(max)");
        assert_eq!(
            becomes(described("money", 8, 19, 4), false, number, "1.23456").unwrap(),
            "decimal(38,5)"
        );
        assert!(
            becomes(
                described("float", 8, 53, 0),
                false,
                number,
                "0.12345678901234567"
            )
            .is_err()
        );
        assert!(becomes(described("float", 8, 53, 0), false, text, "abc").is_err());
    }
}
