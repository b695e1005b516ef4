//! T-SQL expressions and conditions as SQLite's, with the types that SQL Server would give them.

use std::collections::HashMap;

use rusqlite::Connection;

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Condition, Expr, Name, Order};
use super::super::wire::types::{Length, SqlType};
use super::super::wire::values::Value;
use super::catalogue::{self, Place, Table, same_name};
use super::functions::{SharedState, lock, value};
use super::server_functions::{self, Facts};
use super::{convert, decimals, scalar, system_views};

/// What stands for a variable or parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    pub kind: SqlType,
    pub value: Value,
}

pub type Variables = HashMap<String, Variable>;

/// An expression of SQLite and what is known of it.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub sql: String,
    pub kind: SqlType,
    /// The bare word NULL, which has no type of its own.
    pub is_null: bool,
    pub nullable: bool,
    /// The table that it is a column of.
    pub table: Option<String>,
    /// By COLLATE.
    pub exact: bool,
}

impl Rendered {
    pub fn new(sql: impl Into<String>, kind: SqlType) -> Self {
        Rendered {
            sql: sql.into(),
            kind,
            is_null: false,
            nullable: true,
            table: None,
            exact: false,
        }
    }
}

/// A table or subquery in FROM.
#[derive(Debug, Clone)]
pub struct ScopeTable {
    /// The alias or table name that columns may be qualified with.
    pub alias: String,
    /// In SQLite.
    pub stored_alias: String,
    pub columns: Vec<ScopeColumn>,
    /// Set where it is a table.
    pub table: Option<Table>,
}

#[derive(Debug, Clone)]
pub struct ScopeColumn {
    pub name: String,
    pub stored: String,
    pub kind: SqlType,
    pub nullable: bool,
}

/// What a statement is rendered with.
pub struct Renderer<'a> {
    pub connection: &'a Connection,
    pub shared: &'a SharedState,
    pub facts: &'a Facts,
    pub variables: &'a Variables,
    /// The innermost last.
    pub scopes: Vec<Vec<ScopeTable>>,
    pub aliases: usize,
    pub aggregates_allowed: bool,
}

impl<'a> Renderer<'a> {
    pub fn new(
        connection: &'a Connection,
        shared: &'a SharedState,
        facts: &'a Facts,
        variables: &'a Variables,
    ) -> Self {
        Renderer {
            connection,
            shared,
            facts,
            variables,
            scopes: Vec::new(),
            aliases: 0,
            aggregates_allowed: false,
        }
    }

    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("a{}", self.aliases)
    }

    /// The table of this name, or error 208.
    pub fn table(&self, name: &Name) -> Result<Table> {
        let unknown = || SqlError::no_such_object(&name.display());
        if let Some(database) = &name.database {
            let expected = if name.is_temporary() {
                "tempdb"
            } else {
                &self.facts.database
            };
            if !same_name(database, expected) && !same_name(database, "tempdb") {
                return Err(unknown());
            }
        }
        let in_tempdb = name
            .database
            .as_deref()
            .is_some_and(|d| same_name(d, "tempdb"));
        let place = if name.is_temporary() || in_tempdb {
            Place::Temp
        } else {
            Place::Main
        };
        let schema = name.schema.as_deref().unwrap_or("dbo");
        if let Some(view) = system_views::find(place, schema, &name.object) {
            return Ok(view);
        }
        if !same_name(schema, "dbo") {
            return Err(unknown());
        }
        catalogue::find(self.connection, place, &name.object)
            .map_err(|e| SqlError::beyond_this_server(&e.to_string()))?
            .ok_or_else(unknown)
    }

    // ---- expressions --------------------------------------------------------------------------------------------

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

    /// `value` as this type.
    pub fn cast(&self, value: &Rendered, to: SqlType, style: &str) -> String {
        if value.is_null || value.kind == to {
            return value.sql.clone();
        }
        let mut shared = lock(self.shared);
        let (from, to) = (shared.type_number(value.kind), shared.type_number(to));
        format!("tsql_convert({}, {from}, {to}, {style})", value.sql)
    }

    /// As [`Renderer::cast`] for a comparison or a result of mixed types, where a text's length does not matter.
    fn widen(&self, value: &Rendered, to: SqlType) -> String {
        if value.kind.is_text() && to.is_text() {
            return value.sql.clone();
        }
        self.cast(value, to, "0")
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

    fn call(&mut self, name: &str, arguments: &[Expr]) -> Result<Rendered> {
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
            values.push(self.constant_value(argument)?);
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

    fn aggregate(&mut self, name: &str, distinct: bool, inner: &Expr) -> Result<Rendered> {
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

    /// An expression to sort, group or tell apart by.
    pub fn sortable(&mut self, expression: &Expr) -> Result<String> {
        let value = self.expression(expression)?;
        if matches!(value.kind, SqlType::Text | SqlType::NText) {
            return Err(SqlError::new(
                306,
                16,
                "The text, ntext, and image data types cannot be compared or sorted, except when using IS NULL or LIKE operator.",
            ));
        }
        Ok(format!("{}{}", value.sql, collate(&value)))
    }

    pub fn order(&mut self, order: &[Order]) -> Result<String> {
        let mut parts = Vec::new();
        for item in order {
            let by = self.sortable(&item.by)?;
            parts.push(format!(
                "{by}{}",
                if item.descending { " DESC" } else { "" }
            ));
        }
        Ok(parts.join(", "))
    }

    // ---- conditions ---------------------------------------------------------------------------------------------

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

    fn check_comparable(&self, left: &Rendered, operator: &str, right: &Rendered) -> Result<()> {
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

    fn comparison(&self, left: &Rendered, operator: &str, right: &Rendered) -> Result<String> {
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

/// The collation clause that a value of this type is compared with.
pub fn collate(value: &Rendered) -> &'static str {
    match value.kind {
        _ if value.kind.is_exact_decimal() => " COLLATE tsql_decimal",
        _ if !value.kind.is_text() => "",
        _ if value.exact => " COLLATE tsql_exact",
        _ => " COLLATE tsql",
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

fn common_type(left: &Rendered, right: &Rendered) -> SqlType {
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

/// A text in SQLite's quotes; NUL can't stand in a statement.
pub fn quote(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    if quoted.contains('\0') {
        format!("({})", quoted.replace('\0', "'||char(0)||'"))
    } else {
        quoted
    }
}

pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:e}"),
        Value::Text(text) => quote(text),
        Value::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("x'{digits}'")
        }
    }
}
