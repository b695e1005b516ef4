//! Which type the result has when types meet.

use super::super::wire::types::{Length, SqlType};
use super::render::Rendered;

/// SQL Server's precedence of types: the lower one is converted.
fn rank(kind: SqlType) -> u8 {
    match kind {
        SqlType::DateTime2(_) => 20,
        SqlType::DateTime => 19,
        SqlType::Date => 18,
        SqlType::Float => 17,
        SqlType::Real => 16,
        SqlType::Decimal(..) | SqlType::Numeric(..) => 15,
        SqlType::BigInt => 14,
        SqlType::Int => 13,
        SqlType::SmallInt => 12,
        SqlType::TinyInt => 11,
        SqlType::Bit => 10,
        SqlType::NText => 9,
        SqlType::Text => 8,
        SqlType::NVarchar(_) => 7,
        SqlType::NChar(_) => 6,
        SqlType::Varchar(_) => 5,
        SqlType::Char(_) => 4,
        SqlType::Varbinary(_) => 3,
    }
}

pub fn common_type(left: &Rendered, right: &Rendered) -> SqlType {
    if left.is_null {
        return right.kind;
    }
    if right.is_null {
        return left.kind;
    }
    let (high, low) = if rank(left.kind) >= rank(right.kind) {
        (left.kind, right.kind)
    } else {
        (right.kind, left.kind)
    };
    match (high, low) {
        (
            SqlType::Decimal(..) | SqlType::Numeric(..),
            SqlType::Decimal(..) | SqlType::Numeric(..),
        ) => {
            let size = |kind| match kind {
                SqlType::Decimal(precision, scale) | SqlType::Numeric(precision, scale) => {
                    (precision, scale)
                }
                _ => (10, 0),
            };
            let ((p1, s1), (p2, s2)) = (size(high), size(low));
            let scale = s1.max(s2);
            SqlType::Numeric((scale + (p1 - s1).max(p2 - s2)).min(38), scale)
        }
        // Whole numbers must fit in, whatever the precision of the constant they meet.
        (SqlType::Decimal(_, scale) | SqlType::Numeric(_, scale), low) if low.is_integer() => {
            SqlType::Numeric(38, scale.min(18))
        }
        (high, low) if high.is_text() && low.is_text() => {
            let longest = match (high.capacity(), low.capacity()) {
                (Some(a), Some(b)) => Length::Limited(u16::try_from(a.max(b)).unwrap_or(u16::MAX)),
                _ => Length::Max,
            };
            match high {
                SqlType::NVarchar(_) | SqlType::NChar(_) => SqlType::NVarchar(longest),
                SqlType::Varchar(_) | SqlType::Char(_) => SqlType::Varchar(longest),
                _ => high,
            }
        }
        _ => high,
    }
}

pub fn common_type_of(values: &[Rendered]) -> SqlType {
    let typed = values.iter().filter(|value| !value.is_null);
    let mut common: Option<Rendered> = None;
    for value in typed {
        let kind = match &common {
            Some(common) => common_type(common, value),
            None => value.kind,
        };
        common = Some(Rendered::new("", kind));
    }
    common.map_or(SqlType::Int, |common| common.kind)
}
