//! Values: T-SQL expressions as SQLite's.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Condition, Expr};
use super::super::wire::types::{Length, SqlType};
use super::catalogue::same_name;
use super::render::{Rendered, Renderer, literal, quote};
use super::type_rules::{common_type, common_type_of};
use super::{convert, decimals};

impl<'a> Renderer<'a> {
    pub fn expression(&mut self, expression: &Expr) -> Result<Rendered> {
        match expression {
            Expr::Null => Ok(Rendered {
                is_null: true,
                ..Rendered::new("NULL", SqlType::Int)
            }),
            Expr::Integer(digits) => match digits.parse::<i32>() {
                Ok(number) => Ok(constant(number.to_string(), SqlType::Int)),
                // As in SQL Server whole numbers beyond int are decimals.
                Err(_) => Ok(decimal_constant(digits)),
            },
            Expr::Decimal(digits) => Ok(decimal_constant(digits)),
            Expr::Float(digits) => {
                let number: f64 = digits.parse().map_err(|_| SqlError::syntax_near(digits))?;
                Ok(constant(format!("{number:e}"), SqlType::Float))
            }
            Expr::Text { value, unicode } => {
                let length = u16::try_from(convert::units(value).max(1)).unwrap_or(u16::MAX);
                let (kind, most) = if *unicode {
                    (SqlType::NVarchar as fn(Length) -> SqlType, 4000)
                } else {
                    (SqlType::Varchar as fn(Length) -> SqlType, 8000)
                };
                let kind = kind(if length > most {
                    Length::Max
                } else {
                    Length::Limited(length)
                });
                Ok(constant(quote(&convert::recode(value.clone(), kind)), kind))
            }
            Expr::Binary(bytes) => {
                let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                Ok(constant(
                    format!("x'{digits}'"),
                    SqlType::Varbinary(Length::Limited(8000)),
                ))
            }
            Expr::Variable(name) => {
                let variable = self.variables.get(name).ok_or_else(|| {
                    SqlError::new(
                        137,
                        15,
                        format!("Must declare the scalar variable \"{name}\"."),
                    )
                })?;
                Ok(Rendered::new(literal(&variable.value), variable.kind))
            }
            Expr::Column { table, name } => self.column(table.as_deref(), name),
            Expr::Negate(inner) => {
                let inner = self.expression(inner)?;
                if inner.kind.is_exact_decimal() {
                    let digits = inner.sql.trim_matches('\'').to_owned();
                    return Ok(constant(quote(&format!("-{digits}")), inner.kind));
                }
                if inner.kind.is_text() {
                    return Err(SqlError::new(
                        8117,
                        16,
                        format!(
                            "Operand data type {} is invalid for minus operator.",
                            inner.kind.name()
                        ),
                    ));
                }
                Ok(Rendered::new(format!("(-{})", inner.sql), inner.kind))
            }
            Expr::Arithmetic(left, operator, right) => self.arithmetic(left, *operator, right),
            Expr::Call(name, arguments) => self.call(name, arguments),
            Expr::CountAll => Ok(Rendered::new("count(*)", SqlType::Int)),
            Expr::Aggregate {
                name,
                distinct,
                value,
            } => self.aggregate(name, *distinct, value),
            Expr::RowNumber { partition, order } => {
                let mut over = String::new();
                if !partition.is_empty() {
                    let parts = partition
                        .iter()
                        .map(|e| self.sortable(e))
                        .collect::<Result<Vec<_>>>()?;
                    over += &format!("PARTITION BY {} ", parts.join(", "));
                }
                over += &format!("ORDER BY {}", self.order(order)?);
                Ok(Rendered::new(
                    format!("row_number() OVER ({over})"),
                    SqlType::BigInt,
                ))
            }
            Expr::Cast { value, kind, style } => {
                let value = self.expression(value)?;
                let style = match style {
                    Some(style) => self.expression(style)?.sql,
                    None => "0".to_owned(),
                };
                Ok(Rendered::new(self.cast(&value, *kind, &style), *kind))
            }
            Expr::Case {
                branches,
                otherwise,
            } => self.case(branches, otherwise.as_deref()),
            Expr::Subquery(query) => {
                let query = self.query(query)?;
                if query.columns.len() != 1 {
                    return Err(SqlError::new(
                        116,
                        16,
                        "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.",
                    ));
                }
                Ok(Rendered::new(
                    format!("({})", query.sql),
                    query.columns[0].kind,
                ))
            }
            Expr::Collate(value, collation) => {
                let mut value = self.expression(value)?;
                let name = collation.to_uppercase();
                value.exact = name.contains("_BIN") || name.contains("_CS_");
                let known = value.exact
                    || name.contains("_CI_AS")
                    || name == "DATABASE_DEFAULT"
                    || name == "CATALOG_DEFAULT";
                if !known {
                    return Err(SqlError::new(
                        448,
                        16,
                        format!("Invalid collation '{collation}'."),
                    ));
                }
                Ok(value)
            }
        }
    }

    fn column(&self, table: Option<&str>, name: &str) -> Result<Rendered> {
        let mut table_known = table.is_none();
        for scope in self.scopes.iter().rev() {
            let mut found = None;
            for source in scope {
                if table.is_some_and(|table| !same_name(table, &source.alias)) {
                    continue;
                }
                table_known = true;
                if let Some(column) = source.columns.iter().find(|c| same_name(&c.name, name)) {
                    if found.is_some() {
                        return Err(SqlError::new(
                            209,
                            16,
                            format!("Ambiguous column name '{name}'."),
                        ));
                    }
                    found = Some((source, column));
                }
            }
            if let Some((source, column)) = found {
                return Ok(Rendered {
                    sql: format!("{}.{}", source.stored_alias, column.stored),
                    kind: column.kind,
                    is_null: false,
                    nullable: column.nullable,
                    table: source.table.as_ref().map(|table| table.name.clone()),
                    exact: false,
                });
            }
        }
        match table {
            Some(table) if !table_known => Err(SqlError::new(
                4104,
                16,
                format!("The multi-part identifier \"{table}.{name}\" could not be bound."),
            )),
            _ => Err(SqlError::no_such_column(name)),
        }
    }

    fn arithmetic(&mut self, left: &Expr, operator: char, right: &Expr) -> Result<Rendered> {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        for side in [&left, &right] {
            if matches!(side.kind, SqlType::Text | SqlType::NText) {
                return Err(SqlError::new(
                    402,
                    16,
                    format!(
                        "The data types {} and {} are incompatible in the add operator.",
                        left.kind.name(),
                        right.kind.name()
                    ),
                ));
            }
        }
        if left.kind.is_text() && right.kind.is_text() && operator == '+' {
            let kind = concatenated(left.kind, right.kind);
            return Ok(Rendered::new(
                format!("({} || {})", left.sql, right.sql),
                kind,
            ));
        }
        let kind = common_type(&left, &right);
        if kind.is_text() {
            return Err(SqlError::new(
                8117,
                16,
                format!(
                    "Operand data type {} is invalid for this operator.",
                    kind.name()
                ),
            ));
        }
        if !kind.is_integer() && !matches!(kind, SqlType::Float | SqlType::Real) {
            return Err(SqlError::beyond_this_server(&format!(
                "arithmetic with {}",
                kind.name()
            )));
        }
        let (left, right) = (self.widen(&left, kind), self.widen(&right, kind));
        let sql = match operator {
            '/' | '%' => format!("tsql_call('{operator}', {left}, {right})"),
            _ => format!("({left} {operator} {right})"),
        };
        Ok(Rendered::new(sql, kind))
    }

    fn case(
        &mut self,
        branches: &[(Condition, Expr)],
        otherwise: Option<&Expr>,
    ) -> Result<Rendered> {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        for (condition, value) in branches {
            conditions.push(self.condition(condition)?);
            values.push(self.expression(value)?);
        }
        if let Some(otherwise) = otherwise {
            values.push(self.expression(otherwise)?);
        }
        if values.iter().all(|value| value.is_null) {
            return Err(SqlError::new(
                8133,
                16,
                "At least one of the result expressions in a CASE specification must be an expression other than the NULL constant.",
            ));
        }
        let kind = common_type_of(&values);
        let mut sql = "CASE".to_owned();
        for (condition, value) in conditions.iter().zip(&values) {
            sql += &format!(" WHEN {condition} THEN {}", self.widen(value, kind));
        }
        if otherwise.is_some() {
            let last = values.last().expect("it was pushed");
            sql += &format!(" ELSE {}", self.widen(last, kind));
        }
        Ok(Rendered::new(sql + " END", kind))
    }
}

fn constant(sql: String, kind: SqlType) -> Rendered {
    Rendered {
        nullable: false,
        ..Rendered::new(sql, kind)
    }
}

fn decimal_constant(digits: &str) -> Rendered {
    let (precision, scale) = decimals::size_of_constant(digits);
    let text = decimals::rescale(digits, precision, scale).unwrap_or_else(|_| digits.to_owned());
    constant(quote(&text), SqlType::Numeric(precision, scale))
}

fn concatenated(left: SqlType, right: SqlType) -> SqlType {
    let unicode = left.is_unicode() || right.is_unicode();
    let most = if unicode { 4000 } else { 8000 };
    let length = match (left.capacity(), right.capacity()) {
        (Some(left), Some(right)) => {
            Length::Limited(u16::try_from((left + right).min(most)).expect("at most 8000"))
        }
        _ => Length::Max,
    };
    if unicode {
        SqlType::NVarchar(length)
    } else {
        SqlType::Varchar(length)
    }
}
