//! What a column of a table can hold, and the type it needs to hold more. No I/O.

use crate::destination::sql::decimal::Decimal;
use crate::destination::sql::dialect::MYSQL;
use crate::tables::schema::ColumnKind;

/// Digits before the point that the widest exact number has.
const MAX_BEFORE: u64 = 35;

/// The widest exact number: 35 digits before the point, 30 behind it.
pub(super) const WIDEST: Numeric = Numeric::Decimal {
    before: MAX_BEFORE,
    behind: 30,
    unsigned: false,
};

/// Lengths that an indexed column is widened to. 191 characters of 4 bytes fit any index of InnoDB, 768 the largest.
const INDEXED_LENGTHS: [u64; 4] = [191, 255, 512, 768];

/// What a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text {
        limit: Limit,
        charset: Charset,
    },
    Number(Numeric),
    /// A type that we never create (dates, JSON, …): the server decides.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Characters(u64),
    /// Bytes in the column's own encoding.
    Bytes(u64),
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8mb4,
    Utf16,
    Utf32,
    /// Characters of the Basic Multilingual Plane only, in UTF-8 or in two bytes.
    Bmp,
    Latin1,
    /// Any other: only ASCII is safe.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numeric {
    /// Digits before and behind the point.
    Decimal {
        before: u64,
        behind: u64,
        unsigned: bool,
    },
    Integer {
        min: i128,
        max: i128,
    },
    Float,
    Double,
}

impl Holds {
    /// Reads the values of `information_schema.columns`: data_type, column_type, character_maximum_length,
    /// numeric_precision, numeric_scale, character_set_name.
    pub(super) fn read(
        data_type: &str,
        column_type: &str,
        length: Option<u64>,
        precision: Option<u64>,
        scale: Option<u64>,
        charset: &str,
    ) -> Self {
        let text = |limit| Holds::Text {
            limit,
            charset: Charset::read(charset),
        };
        let unsigned = column_type.contains("unsigned");
        let integer = |bits: u32| {
            let (min, max) = if unsigned {
                (0, (1 << bits) - 1)
            } else {
                (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
            };
            Holds::Number(Numeric::Integer { min, max })
        };
        // `float(7,2)` rounds as `decimal(7,2)` does.
        let decimal = |precision: u64, scale: u64| {
            Holds::Number(Numeric::Decimal {
                before: precision.saturating_sub(scale),
                behind: scale,
                unsigned,
            })
        };
        match (data_type, precision, scale) {
            ("char" | "varchar", ..) => text(length.map_or(Limit::None, Limit::Characters)),
            ("tinytext", ..) => text(Limit::Bytes(255)),
            ("text", ..) => text(Limit::Bytes(65_535)),
            ("mediumtext", ..) => text(Limit::Bytes(16_777_215)),
            ("longtext", ..) => text(Limit::None),
            ("tinyint", ..) => integer(8),
            ("smallint", ..) => integer(16),
            ("mediumint", ..) => integer(24),
            ("int", ..) => integer(32),
            ("bigint", ..) => integer(64),
            ("decimal" | "float" | "double", Some(precision), Some(scale)) => {
                decimal(precision, scale)
            }
            ("float", ..) => Holds::Number(Numeric::Float),
            ("double", ..) => Holds::Number(Numeric::Double),
            _ => Holds::Other,
        }
    }
}

impl Charset {
    fn read(name: &str) -> Self {
        match name {
            "utf8mb4" => Charset::Utf8mb4,
            "utf16" | "utf16le" => Charset::Utf16,
            "utf32" => Charset::Utf32,
            "utf8" | "utf8mb3" | "ucs2" => Charset::Bmp,
            "latin1" => Charset::Latin1,
            _ => Charset::Other,
        }
    }

    fn can_hold(self, text: &str) -> bool {
        match self {
            Charset::Utf8mb4 | Charset::Utf16 | Charset::Utf32 => true,
            _ if text.is_ascii() => true,
            Charset::Bmp => text.chars().all(|c| c <= '\u{ffff}'),
            // MySQL's latin1 is Windows-1252, which has other characters in 80 to 9F.
            Charset::Latin1 => text
                .chars()
                .all(|c| c < '\u{80}' || ('\u{a0}'..='\u{ff}').contains(&c)),
            Charset::Other => false,
        }
    }

    fn bytes(self, text: &str) -> usize {
        match self {
            Charset::Utf16 => text.encode_utf16().count() * 2,
            Charset::Utf32 => text.chars().count() * 4,
            // An upper bound for the rest: none needs more than UTF-8 for what it can hold, but `ucs2` for ASCII.
            Charset::Bmp => text.len().max(text.chars().count() * 2),
            _ => text.len(),
        }
    }
}

/// What a column would have to hold beyond what it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shortage {
    /// The longest text that has no room: characters.
    pub(super) characters: u64,
    /// A character that the encoding lacks.
    pub(super) encoding: bool,
    /// A number that the numeric type would round or refuse.
    pub(super) number: bool,
    /// A value that no numeric type holds: a text, or a number with more digits than the widest has before the point.
    pub(super) no_number_type: bool,
    /// A key that differs in case from those that the column would take it for.
    pub(super) case: bool,
}

impl Shortage {
    pub(super) fn is_none(self) -> bool {
        self == Shortage::default()
    }
}

/// Adds what `value` needs beyond what the column can hold.
pub(super) fn measure(holds: &Holds, kind: ColumnKind, value: &str, shortage: &mut Shortage) {
    match holds {
        Holds::Text { limit, charset } => {
            let bytes = as_u64(value.len());
            let fits = match limit {
                Limit::None => true,
                // A text never has more characters than bytes, nor more than 4 bytes of any encoding per byte of ours.
                Limit::Characters(most) => bytes <= *most || as_u64(value.chars().count()) <= *most,
                Limit::Bytes(most) => {
                    bytes.saturating_mul(4) <= *most || as_u64(charset.bytes(value)) <= *most
                }
            };
            if !fits {
                shortage.characters = shortage.characters.max(as_u64(value.chars().count()));
            }
            shortage.encoding |= !charset.can_hold(value);
        }
        Holds::Number(numeric) => match Decimal::of_value(kind, value) {
            None => shortage.no_number_type = true,
            Some(decimal) if numeric.can_hold(&decimal, value) => {}
            Some(decimal) if as_u64(decimal.integer.len()) > MAX_BEFORE => {
                shortage.no_number_type = true;
            }
            Some(_) => shortage.number = true,
        },
        Holds::Other => {}
    }
}

impl Holds {
    /// Whether a text made of it has needless zeros behind the point.
    pub(super) fn pads(&self) -> bool {
        matches!(self, Holds::Number(Numeric::Decimal { behind: 1.., .. }))
    }
}

impl Numeric {
    fn can_hold(&self, decimal: &Decimal<'_>, text: &str) -> bool {
        match self {
            Numeric::Decimal {
                before,
                behind,
                unsigned,
            } => {
                as_u64(decimal.integer.len()) <= *before
                    && as_u64(decimal.fraction.len()) <= *behind
                    && !(*unsigned && decimal.negative)
            }
            Numeric::Integer { min, max } => decimal.is_whole_within(*min..=*max),
            Numeric::Float => decimal.fits_float(text),
            Numeric::Double => decimal.fits_double(text),
        }
    }
}

/// How an index limits what a column can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Indexed {
    /// Not, or by its beginning only.
    Freely,
    /// As a whole.
    Whole,
    /// As a whole, and compared by code point.
    Key,
}

/// The type that ends a shortage; `Err` says why no type does.
pub(super) fn wider(
    holds: &Holds,
    shortage: Shortage,
    indexed: Indexed,
) -> Result<String, &'static str> {
    let text = |length: Option<u64>| match (indexed, length) {
        (Indexed::Freely, _) => Ok(format!("{} CHARACTER SET utf8mb4", MYSQL.types.text)),
        (Indexed::Whole, Some(n)) => Ok(format!("varchar({n}) CHARACTER SET utf8mb4")),
        (Indexed::Key, Some(n)) => Ok(format!(
            "varchar({n}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )),
        (_, None) => Err("an indexed column holds at most 768 characters"),
    };
    match holds {
        Holds::Text { limit, .. } => text(match limit {
            Limit::Characters(most) if shortage.characters == 0 => Some(*most),
            _ => INDEXED_LENGTHS
                .into_iter()
                .find(|n| *n >= shortage.characters),
        }),
        Holds::Number(_) if shortage.no_number_type => text(Some(255)),
        Holds::Number(numeric) if *numeric != WIDEST => Ok(MYSQL.types.number.to_owned()),
        Holds::Number(_) => Err("there is no wider number type"),
        Holds::Other => Err("its type is not one that this program makes"),
    }
}

/// A number as the widest decimal takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitted<'a> {
    /// As it is.
    Exact(&'a str),
    /// To be rounded by the server: this much of the text decides how.
    Rounded(&'a str),
}

/// Fits a number into [`WIDEST`] that has no more digits before the point.
pub(super) fn fit(text: &str) -> Fitted<'_> {
    // Short texts need no look: their digits fit wherever the point is.
    if text.len() <= 30 {
        return Fitted::Exact(text);
    }
    match Decimal::parse(text) {
        None => Fitted::Exact(text),
        Some(decimal) if decimal.fraction.len() > 30 => {
            // The 31st digit alone decides, as half is rounded away from zero.
            let end = text.find('.').map_or(text.len(), |point| point + 32);
            Fitted::Rounded(text.get(..end).unwrap_or(text))
        }
        Some(_) => Fitted::Exact(text),
    }
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
