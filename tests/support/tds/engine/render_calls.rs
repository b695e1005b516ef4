//! Calls of functions, and aggregates.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Condition, Expr};
use super::super::wire::types::SqlType;
use super::super::wire::values::Value;
use super::functions::{lock, value};
use super::render::{Rendered, Renderer, literal, quote};
use super::scalar;
use super::server_functions::{self};
use super::type_rules::common_type_of;

impl<'a> Renderer<'a> {
    pub fn call(&mut self, name: &str, arguments: &[Expr]) -> Result<Rendered> {
        match (name, arguments) {
            ("ISNULL", [value, otherwise]) => {
                let (value, otherwise) = (self.expression(value)?, self.expression(otherwise)?);
                let kind = if value.is_null {
                    otherwise.kind
                } else {
                    value.kind
                };
                let otherwise_sql = self.cast(&otherwise, kind, "0");
                return Ok(Rendered::new(
                    format!("coalesce({}, {otherwise_sql})", value.sql),
                    kind,
                ));
            }
            ("COALESCE", [_, _, ..]) => {
                let values = arguments
                    .iter()
                    .map(|a| self.expression(a))
                    .collect::<Result<Vec<_>>>()?;
                let kind = common_type_of(&values);
                let parts: Vec<String> = values.iter().map(|v| self.widen(v, kind)).collect();
                return Ok(Rendered::new(
                    format!("coalesce({})", parts.join(", ")),
                    kind,
                ));
            }
            ("NULLIF", [left, right]) => {
                let value = self.expression(left)?;
                let equal =
                    self.condition(&Condition::Compare(left.clone(), "=", right.clone()))?;
                return Ok(Rendered::new(
                    format!("CASE WHEN {equal} THEN NULL ELSE {} END", value.sql),
                    value.kind,
                ));
            }
            ("ABS", [value]) => {
                let value = self.expression(value)?;
                return Ok(Rendered::new(format!("abs({})", value.sql), value.kind));
            }
            ("DATALENGTH", [value]) => {
                let value = self.expression(value)?;
                let each = if value.kind.is_unicode() { 2 } else { 1 };
                if !value.kind.is_text() {
                    let length = value.kind.max_length();
                    return Ok(Rendered::new(
                        format!("CASE WHEN {} IS NOT NULL THEN {length} END", value.sql),
                        SqlType::Int,
                    ));
                }
                // LEN leaves the blanks at the end out; here a dot keeps them.
                return Ok(Rendered::new(
                    format!("((tsql_call('LEN', {} || '.') - 1) * {each})", value.sql),
                    SqlType::Int,
                ));
            }
            _ => {}
        }
        if let Some((least, most, kind, same)) = scalar::signature(name) {
            if arguments.len() < least || arguments.len() > most {
                return Err(SqlError::new(
                    174,
                    15,
                    format!(
                        "The {} function requires {least} argument(s).",
                        name.to_lowercase()
                    ),
                ));
            }
            let values = arguments
                .iter()
                .map(|a| self.expression(a))
                .collect::<Result<Vec<_>>>()?;
            let mut parts = vec![quote(name)];
            for value in &values {
                if matches!(value.kind, SqlType::Text | SqlType::NText) && name != "SUBSTRING" {
                    return Err(SqlError::new(
                        8116,
                        16,
                        format!(
                            "Argument data type {} is invalid for argument 1 of {} function.",
                            value.kind.name(),
                            name.to_lowercase()
                        ),
                    ));
                }
                parts.push(value.sql.clone());
            }
            let kind = match values.first() {
                Some(first) if same && first.kind.is_text() => first.kind,
                _ => kind,
            };
            return Ok(Rendered::new(
                format!("tsql_call({})", parts.join(", ")),
                kind,
            ));
        }
        // The rest asks the server, and is answered at once.
        let mut values = Vec::new();
        for argument in arguments {
            values.push(match self.constant_value(argument) {
                // An unknown function is named before its arguments are looked at.
                Err(error) if matches!(error.number, 207 | 4104) => {
                    server_functions::call(self, name, &[])?;
                    return Err(SqlError::beyond_this_server(&format!("{name} of a column")));
                }
                value => value?,
            });
        }
        let (kind, value) = server_functions::call(self, name, &values)?;
        Ok(Rendered::new(literal(&value), kind))
    }

    /// The value of an expression without columns.
    pub fn constant_value(&mut self, expression: &Expr) -> Result<Value> {
        let scopes = std::mem::take(&mut self.scopes);
        let rendered = self.expression(expression);
        self.scopes = scopes;
        let rendered = rendered?;
        let sql = format!("SELECT {}", rendered.sql);
        let result = self
            .connection
            .query_row(&sql, [], |row| Ok(value(row.get_ref(0)?)));
        result.map_err(|error| {
            lock(self.shared)
                .take_error()
                .unwrap_or_else(|| SqlError::beyond_this_server(&error.to_string()))
        })
    }

    pub fn aggregate(&mut self, name: &str, distinct: bool, inner: &Expr) -> Result<Rendered> {
        let value = self.expression(inner)?;
        let distinct = if distinct { "DISTINCT " } else { "" };
        let kind = match name {
            "COUNT" => SqlType::Int,
            "COUNT_BIG" => SqlType::BigInt,
            "MIN" | "MAX" => {
                if value.kind == SqlType::Bit {
                    return Err(SqlError::new(
                        8117,
                        16,
                        format!(
                            "Operand data type bit is invalid for {} operator.",
                            name.to_lowercase()
                        ),
                    ));
                }
                value.kind
            }
            _ if value.kind == SqlType::BigInt => SqlType::BigInt,
            _ if value.kind.is_integer() && value.kind != SqlType::Bit => SqlType::Int,
            _ if matches!(value.kind, SqlType::Float | SqlType::Real) => SqlType::Float,
            _ if value.kind.is_exact_decimal() => {
                return Err(SqlError::beyond_this_server("sums of decimals"));
            }
            _ => {
                return Err(SqlError::new(
                    8117,
                    16,
                    format!(
                        "Operand data type {} is invalid for {} operator.",
                        value.kind.name(),
                        name.to_lowercase()
                    ),
                ));
            }
        };
        let (function, collated) = match name {
            "COUNT" | "COUNT_BIG" => ("count", true),
            "MIN" => ("min", true),
            "MAX" => ("max", true),
            "SUM" => ("sum", false),
            _ if kind.is_integer() => {
                return Err(SqlError::beyond_this_server("AVG of whole numbers"));
            }
            _ => ("avg", false),
        };
        let argument = if collated {
            self.sortable(inner)?
        } else {
            value.sql
        };
        Ok(Rendered::new(
            format!("{function}({distinct}{argument})"),
            kind,
        ))
    }
}
