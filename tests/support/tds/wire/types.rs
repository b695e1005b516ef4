//! The column types that this server knows, and how they are named on the wire (TYPE_INFO).

use std::fmt;
use std::io::{self, ErrorKind};

use super::message::Message;

/// The length of a variable-length column, in characters (UTF-16 units) or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Limited(u16),
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlType {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    /// Precision and scale.
    Decimal(u8, u8),
    /// The same under its other name.
    Numeric(u8, u8),
    Real,
    Float,
    NVarchar(Length),
    NChar(u16),
    Varchar(Length),
    Char(u16),
    Text,
    NText,
    Varbinary(Length),
    Date,
    DateTime,
    /// Digits after the second.
    DateTime2(u8),
}

use SqlType::{
    BigInt, Bit, Char, Date, DateTime, DateTime2, Decimal, Float, Int, NChar, NText, NVarchar,
    Numeric, Real, SmallInt, Text, TinyInt, Varbinary, Varchar,
};

/// SQL_Latin1_General_CP1_CI_AS.
const COLLATION: [u8; 5] = [0x09, 0x04, 0xd0, 0x00, 0x34];

impl SqlType {
    /// The name without length, as in `sys.types`.
    pub fn name(self) -> &'static str {
        match self {
            Bit => "bit",
            TinyInt => "tinyint",
            SmallInt => "smallint",
            Int => "int",
            BigInt => "bigint",
            Decimal(..) => "decimal",
            Numeric(..) => "numeric",
            Real => "real",
            Float => "float",
            NVarchar(_) => "nvarchar",
            NChar(_) => "nchar",
            Varchar(_) => "varchar",
            Char(_) => "char",
            Text => "text",
            NText => "ntext",
            Varbinary(_) => "varbinary",
            Date => "date",
            DateTime => "datetime",
            DateTime2(_) => "datetime2",
        }
    }

    pub fn is_text(self) -> bool {
        matches!(
            self,
            NVarchar(_) | NChar(_) | Varchar(_) | Char(_) | Text | NText
        )
    }

    pub fn is_unicode(self) -> bool {
        matches!(self, NVarchar(_) | NChar(_) | NText)
    }

    pub fn is_integer(self) -> bool {
        matches!(self, Bit | TinyInt | SmallInt | Int | BigInt)
    }

    pub fn is_exact_decimal(self) -> bool {
        matches!(self, Decimal(..) | Numeric(..))
    }

    pub fn is_time(self) -> bool {
        matches!(self, Date | DateTime | DateTime2(_))
    }

    /// Of unlimited length: can be neither key nor index.
    pub fn is_large(self) -> bool {
        matches!(
            self,
            NVarchar(Length::Max) | Varchar(Length::Max) | Varbinary(Length::Max) | Text | NText
        )
    }

    /// Has a length on disk that does not depend on the value.
    pub fn is_fixed(self) -> bool {
        !matches!(self, NVarchar(_) | Varchar(_) | Varbinary(_) | Text | NText)
    }

    /// `max_length` of `sys.columns`: bytes, -1 for (max).
    pub fn max_length(self) -> i64 {
        match self {
            Bit | TinyInt => 1,
            SmallInt => 2,
            Int | Real => 4,
            BigInt | Float | DateTime => 8,
            Decimal(precision, _) | Numeric(precision, _) => i64::from(decimal_size(precision)),
            NVarchar(Length::Limited(n)) | NChar(n) => i64::from(n) * 2,
            Varchar(Length::Limited(n)) | Char(n) | Varbinary(Length::Limited(n)) => i64::from(n),
            NVarchar(Length::Max) | Varchar(Length::Max) | Varbinary(Length::Max) => -1,
            Text | NText => 16,
            Date => 3,
            DateTime2(scale) => i64::from(datetime2_size(scale)),
        }
    }

    /// The characters that fit in.
    pub fn capacity(self) -> Option<usize> {
        match self {
            NVarchar(Length::Limited(n))
            | Varchar(Length::Limited(n))
            | Varbinary(Length::Limited(n))
            | NChar(n)
            | Char(n) => Some(usize::from(n)),
            _ => None,
        }
    }

    /// TYPE_INFO as the server sends it: NOT NULL numbers have types without a length byte.
    pub fn write(self, nullable: bool, out: &mut Vec<u8>) {
        let fixed = match self {
            Bit => Some(0x32),
            TinyInt => Some(0x30),
            SmallInt => Some(0x34),
            Int => Some(0x38),
            BigInt => Some(0x7f),
            Real => Some(0x3b),
            Float => Some(0x3e),
            DateTime => Some(0x3d),
            _ => None,
        };
        if let (Some(token), false) = (fixed, nullable) {
            out.push(token);
            return;
        }
        match self {
            Bit => out.extend([0x68, 1]),
            TinyInt => out.extend([0x26, 1]),
            SmallInt => out.extend([0x26, 2]),
            Int => out.extend([0x26, 4]),
            BigInt => out.extend([0x26, 8]),
            Real => out.extend([0x6d, 4]),
            Float => out.extend([0x6d, 8]),
            DateTime => out.extend([0x6f, 8]),
            Date => out.push(0x28),
            DateTime2(scale) => out.extend([0x2a, scale]),
            Decimal(precision, scale) => {
                out.extend([0x6a, decimal_size(precision), precision, scale])
            }
            Numeric(precision, scale) => {
                out.extend([0x6c, decimal_size(precision), precision, scale])
            }
            NVarchar(_) | NChar(_) | Varchar(_) | Char(_) | Varbinary(_) => {
                out.push(match self {
                    NVarchar(_) => 0xe7,
                    NChar(_) => 0xef,
                    Varchar(_) => 0xa7,
                    Char(_) => 0xaf,
                    _ => 0xa5,
                });
                let length = u16::try_from(self.max_length()).unwrap_or(u16::MAX);
                out.extend(length.to_le_bytes());
                if self.is_text() {
                    out.extend(COLLATION);
                }
            }
            Text => {
                out.push(0x23);
                out.extend(0x7fff_ffff_u32.to_le_bytes());
                out.extend(COLLATION);
            }
            NText => {
                out.push(0x63);
                out.extend(0x7fff_fffe_u32.to_le_bytes());
                out.extend(COLLATION);
            }
        }
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match *self {
            Decimal(precision, scale) | Numeric(precision, scale) => {
                write!(f, "({precision},{scale})")
            }
            DateTime2(scale) => write!(f, "({scale})"),
            NVarchar(Length::Max) | Varchar(Length::Max) | Varbinary(Length::Max) => {
                f.write_str("(max)")
            }
            _ => match self.capacity() {
                Some(capacity) => write!(f, "({capacity})"),
                None => Ok(()),
            },
        }
    }
}

/// Bytes of a decimal on the wire, sign included.
pub fn decimal_size(precision: u8) -> u8 {
    match precision {
        0..=9 => 5,
        10..=19 => 9,
        20..=28 => 13,
        _ => 17,
    }
}

pub fn datetime2_size(scale: u8) -> u8 {
    match scale {
        0..=2 => 6,
        3 | 4 => 7,
        _ => 8,
    }
}

/// A type as a client names it: whether its values carry a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireType {
    pub sql: SqlType,
    /// The value follows without a length and can't be NULL.
    pub bare: bool,
}

/// Reads TYPE_INFO. The inner error is the token of a type that the server does not take.
pub fn read(message: &mut Message<'_>) -> io::Result<Result<WireType, u8>> {
    let token = message.u8()?;
    let bare = |sql| Ok(Ok(WireType { sql, bare: true }));
    let sized = |sql| Ok(Ok(WireType { sql, bare: false }));
    let wrong = |what: &str| Err(io::Error::new(ErrorKind::InvalidData, what.to_owned()));
    match token {
        0x32 => bare(Bit),
        0x30 => bare(TinyInt),
        0x34 => bare(SmallInt),
        0x38 => bare(Int),
        0x7f => bare(BigInt),
        0x3b => bare(Real),
        0x3e => bare(Float),
        0x3d => bare(DateTime),
        0x68 => match message.u8()? {
            1 => sized(Bit),
            _ => wrong("a bit of more than a byte"),
        },
        0x26 => match message.u8()? {
            1 => sized(TinyInt),
            2 => sized(SmallInt),
            4 => sized(Int),
            8 => sized(BigInt),
            _ => wrong("an integer of an odd length"),
        },
        0x6d => match message.u8()? {
            4 => sized(Real),
            8 => sized(Float),
            _ => wrong("a float of an odd length"),
        },
        0x6f => match message.u8()? {
            8 => sized(DateTime),
            _ => Ok(Err(token)),
        },
        0x28 => sized(Date),
        0x2a => sized(DateTime2(message.u8()?)),
        0x6a | 0x6c => {
            message.u8()?;
            let (precision, scale) = (message.u8()?, message.u8()?);
            if precision == 0 || precision > 38 || scale > precision {
                return wrong("a decimal of impossible precision");
            }
            sized(if token == 0x6a {
                Decimal(precision, scale)
            } else {
                Numeric(precision, scale)
            })
        }
        0xe7 | 0xef | 0xa7 | 0xaf | 0xa5 | 0xad => {
            let length = message.u16()?;
            if !matches!(token, 0xa5 | 0xad) {
                message.bytes(COLLATION.len())?;
            }
            let limited = Length::Limited(length);
            let max = length == u16::MAX;
            sized(match token {
                0xe7 if max => NVarchar(Length::Max),
                0xe7 => NVarchar(Length::Limited(length / 2)),
                0xef => NChar(length / 2),
                0xa7 if max => Varchar(Length::Max),
                0xa7 => Varchar(limited),
                0xaf => Char(length),
                _ if max => Varbinary(Length::Max),
                _ => Varbinary(limited),
            })
        }
        0x23 | 0x63 => {
            message.u32()?;
            message.bytes(COLLATION.len())?;
            sized(if token == 0x23 { Text } else { NText })
        }
        _ => Ok(Err(token)),
    }
}
