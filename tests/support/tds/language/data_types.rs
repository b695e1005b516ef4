//! `nvarchar(100)`, `decimal(38,10)` and the like.

use sqlparser::tokenizer::Token;

use super::super::error::{Result, SqlError};
use super::super::wire::types::{Length, SqlType};
use super::tokens::Tokens;

/// The most that `n` of `varchar(n)` may be; half of it for `nvarchar(n)`.
const MAX_LENGTH: u64 = 8000;

/// Reads a type. `column` is what error 2715 and 2717 name; `length` is that of a type without one (1 in columns
/// and variables, 30 in CAST and CONVERT).
pub fn data_type(tokens: &mut Tokens, column: &str, length: u16) -> Result<SqlType> {
    let name = match tokens.advance() {
        Some(Token::Word(word)) if !word.value.starts_with('@') => word.value.to_lowercase(),
        Some(_) => {
            tokens.go_back(tokens.position() - 1);
            return tokens.unexpected();
        }
        None => return tokens.unexpected(),
    };
    let arguments = if tokens.peek() == Some(&Token::LParen) {
        tokens.list(argument)?
    } else {
        Vec::new()
    };
    let none = |kind| {
        if arguments.is_empty() {
            Ok(kind)
        } else {
            Err(SqlError::new(
                2716,
                16,
                format!(
                    "Column, parameter, or variable #1: Cannot specify a column width on data type {name}."
                ),
            ))
        }
    };
    let sized = |most: u64| match arguments.as_slice() {
        [] => Ok(Length::Limited(length)),
        [None] => Ok(Length::Max),
        [Some(0)] => Err(SqlError::new(
            1001,
            15,
            "Line 1: Length or precision specification 0 is invalid.",
        )),
        [Some(n)] if *n > most => Err(SqlError::new(
            2717,
            16,
            format!(
                "The size ({n}) given to the column '{column}' exceeds the maximum allowed ({most})."
            ),
        )),
        [Some(n)] => Ok(Length::Limited(u16::try_from(*n).expect("at most 8000"))),
        _ => Err(SqlError::syntax_near(",")),
    };
    let fixed = |most: u64| match sized(most)? {
        Length::Limited(n) => Ok(n),
        Length::Max => Err(SqlError::syntax_near("max")),
    };
    let exact = || {
        let digits = |at: usize, default: u8| match arguments.get(at) {
            None => Ok(default),
            Some(Some(n)) => Ok(u8::try_from(*n).unwrap_or(u8::MAX)),
            Some(None) => Err(SqlError::syntax_near("max")),
        };
        let (precision, scale) = (digits(0, 18)?, digits(1, 0)?);
        if precision == 0 || precision > 38 {
            return Err(SqlError::new(
                2750,
                16,
                format!(
                    "Column, parameter, or variable #1: Specified column precision {precision} is greater than the maximum precision of 38."
                ),
            ));
        }
        if scale > precision {
            return Err(SqlError::new(
                192,
                16,
                "The scale must be less than or equal to the precision.",
            ));
        }
        Ok((precision, scale))
    };
    match name.as_str() {
        "bit" => none(SqlType::Bit),
        "tinyint" => none(SqlType::TinyInt),
        "smallint" => none(SqlType::SmallInt),
        "int" | "integer" => none(SqlType::Int),
        "bigint" => none(SqlType::BigInt),
        "real" => none(SqlType::Real),
        "float" => match arguments.as_slice() {
            [] | [Some(25..=53)] => Ok(SqlType::Float),
            [Some(1..=24)] => Ok(SqlType::Real),
            _ => Err(SqlError::new(
                2750,
                16,
                "Column, parameter, or variable #1: Specified column precision is greater than the maximum precision of 53.",
            )),
        },
        "double" if tokens.take(&["PRECISION"]) => none(SqlType::Float),
        "decimal" | "dec" => exact().map(|(p, s)| SqlType::Decimal(p, s)),
        "numeric" => exact().map(|(p, s)| SqlType::Numeric(p, s)),
        "nvarchar" => sized(MAX_LENGTH / 2).map(SqlType::NVarchar),
        "nchar" => fixed(MAX_LENGTH / 2).map(SqlType::NChar),
        "varchar" => sized(MAX_LENGTH).map(SqlType::Varchar),
        "char" => fixed(MAX_LENGTH).map(SqlType::Char),
        "sysname" => none(SqlType::NVarchar(Length::Limited(128))),
        "varbinary" => sized(MAX_LENGTH).map(SqlType::Varbinary),
        "text" => none(SqlType::Text),
        "ntext" => none(SqlType::NText),
        "date" => none(SqlType::Date),
        "datetime" => none(SqlType::DateTime),
        "datetime2" => match arguments.as_slice() {
            [] => Ok(SqlType::DateTime2(7)),
            [Some(scale @ 0..=7)] => Ok(SqlType::DateTime2(u8::try_from(*scale).expect("0 to 7"))),
            _ => Err(SqlError::new(
                1002,
                15,
                "Line 1: Specified scale is invalid.",
            )),
        },
        "money" | "smallmoney" | "smalldatetime" | "datetimeoffset" | "time" | "image"
        | "binary" | "uniqueidentifier" | "xml" | "sql_variant" | "timestamp" | "rowversion"
        | "hierarchyid" | "geometry" | "geography" => {
            Err(SqlError::beyond_this_server(&format!("the type {name}")))
        }
        _ => Err(SqlError::new(
            2715,
            16,
            format!("Column, parameter, or variable #1: Cannot find data type {name}."),
        )),
    }
}

/// A number, or `None` for `max`.
fn argument(tokens: &mut Tokens) -> Result<Option<u64>> {
    if tokens.take(&["MAX"]) {
        return Ok(None);
    }
    match tokens.peek() {
        Some(Token::Number(digits, _)) => match digits.parse() {
            Ok(number) => {
                tokens.advance();
                Ok(Some(number))
            }
            Err(_) => tokens.unexpected(),
        },
        _ => tokens.unexpected(),
    }
}
