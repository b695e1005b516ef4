//! Conditions, with SQL Server's rules on what may be compared.

use super::super::error::{Result, SqlError};
use super::super::language::ast::Condition;
use super::super::wire::types::SqlType;
use super::render::{Rendered, Renderer, collate};
use super::type_rules::common_type;

impl<'a> Renderer<'a> {
    pub fn condition(&mut self, condition: &Condition) -> Result<String> {
        match condition {
            Condition::And(left, right) => Ok(format!(
                "({} AND {})",
                self.condition(left)?,
                self.condition(right)?
            )),
            Condition::Or(left, right) => Ok(format!(
                "({} OR {})",
                self.condition(left)?,
                self.condition(right)?
            )),
            Condition::Not(inner) => Ok(format!("(NOT {})", self.condition(inner)?)),
            Condition::Compare(left, operator, right) => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                self.comparison(&left, operator, &right)
            }
            Condition::IsNull(value) => Ok(format!("({} IS NULL)", self.expression(value)?.sql)),
            Condition::In(value, options) => {
                let value = self.expression(value)?;
                let mut parts = Vec::new();
                for option in options {
                    let option = self.expression(option)?;
                    parts.push(self.comparison(&value, "=", &option)?);
                }
                // The plain form lets SQLite use an index.
                if value.kind.is_text() {
                    let plain = options
                        .iter()
                        .map(|o| self.expression(o))
                        .collect::<Result<Vec<_>>>()?;
                    if plain.iter().all(|o| o.kind.is_text()) {
                        let list: Vec<String> = plain.into_iter().map(|o| o.sql).collect();
                        return Ok(format!(
                            "({}{} IN ({}))",
                            value.sql,
                            collate(&value),
                            list.join(", ")
                        ));
                    }
                }
                Ok(format!("({})", parts.join(" OR ")))
            }
            Condition::InQuery(value, query) => {
                let value = self.expression(value)?;
                let query = self.query(query)?;
                if query.columns.len() != 1 {
                    return Err(SqlError::new(
                        116,
                        16,
                        "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.",
                    ));
                }
                let other = Rendered::new("", query.columns[0].kind);
                self.check_comparable(&value, "=", &other)?;
                let kind = common_type(&value, &other);
                let converted = self.widen(&value, kind);
                let rows = if kind.is_text() || kind == other.kind {
                    query.sql
                } else {
                    let column = self.widen(&Rendered::new("o1", other.kind), kind);
                    format!("SELECT {column} FROM ({})", query.sql)
                };
                Ok(format!("({converted}{} IN ({rows}))", collate(&value)))
            }
            Condition::Between(value, low, high) => {
                let above = Condition::Compare(value.clone(), ">=", low.clone());
                let below = Condition::Compare(value.clone(), "<=", high.clone());
                Ok(format!(
                    "({} AND {})",
                    self.condition(&above)?,
                    self.condition(&below)?
                ))
            }
            Condition::Like {
                value,
                pattern,
                escape,
            } => {
                let (value, pattern) = (self.expression(value)?, self.expression(pattern)?);
                let escape = match escape {
                    Some(escape) => self.expression(escape)?.sql,
                    None => "''".to_owned(),
                };
                Ok(format!(
                    "tsql_call('LIKE', {}, {}, {escape})",
                    value.sql, pattern.sql
                ))
            }
            Condition::Exists(query) => Ok(format!("EXISTS ({})", self.query(query)?.sql)),
        }
    }

    pub fn check_comparable(
        &self,
        left: &Rendered,
        operator: &str,
        right: &Rendered,
    ) -> Result<()> {
        for side in [left, right] {
            if matches!(side.kind, SqlType::Text | SqlType::NText) {
                let words = match operator {
                    "=" => "equal to",
                    "<>" => "not equal to",
                    "<" => "less than",
                    ">" => "greater than",
                    "<=" => "less than or equal to",
                    _ => "greater than or equal to",
                };
                return Err(SqlError::new(
                    402,
                    16,
                    format!(
                        "The data types {} and {} are incompatible in the {words} operator.",
                        left.kind.name(),
                        right.kind.name()
                    ),
                ));
            }
        }
        Ok(())
    }

    pub fn comparison(&self, left: &Rendered, operator: &str, right: &Rendered) -> Result<String> {
        self.check_comparable(left, operator, right)?;
        let kind = common_type(left, right);
        let (left_sql, right_sql) = (self.widen(left, kind), self.widen(right, kind));
        let collation = if kind.is_text() {
            if left.exact || right.exact {
                " COLLATE tsql_exact"
            } else {
                " COLLATE tsql"
            }
        } else if kind.is_exact_decimal() {
            " COLLATE tsql_decimal"
        } else {
            ""
        };
        Ok(format!("({left_sql}{collation} {operator} {right_sql})"))
    }
}
