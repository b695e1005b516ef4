//! T-SQL queries as SQLite's. Their columns are called `o1`, `o2` … in SQLite.

use super::super::error::{Result, SqlError};
use super::super::language::ast::{Body, Expr, Item, Order, Query, Select};
use super::super::wire::tokens::ResultColumn;
use super::super::wire::types::SqlType;
use super::catalogue::same_name;
use super::render::{Rendered, Renderer, collate, not_sortable};
use super::render_sources::result_column;
use super::type_rules::common_type_of;

/// A query of SQLite.
#[derive(Debug, Clone)]
pub struct RenderedQuery {
    pub sql: String,
    pub columns: Vec<ResultColumn>,
    /// The variables that `SELECT @a = …` assigns to, one per column.
    pub assigned: Vec<String>,
}

impl Renderer<'_> {
    pub fn query(&mut self, query: &Query) -> Result<RenderedQuery> {
        match &query.body {
            Body::Select(select) => self.select(select, &query.order),
            body => {
                let mut rendered = self.body(body)?;
                if !query.order.is_empty() {
                    let mut parts = Vec::new();
                    for item in &query.order {
                        let at = position(&item.by, &rendered.columns).ok_or_else(|| {
                            SqlError::new(104, 16, "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or EXCEPT operator.")
                        })?;
                        parts.push(format!(
                            "{}{}",
                            at + 1,
                            if item.descending { " DESC" } else { "" }
                        ));
                    }
                    rendered.sql += &format!(" ORDER BY {}", parts.join(", "));
                }
                Ok(rendered)
            }
        }
    }

    fn body(&mut self, body: &Body) -> Result<RenderedQuery> {
        match body {
            Body::Select(select) => self.select(select, &[]),
            Body::Values(rows) => self.values(rows),
            Body::Union { left, all, right } => {
                let left = self.body(left)?;
                let right = self.body(right)?;
                if left.columns.len() != right.columns.len() {
                    return Err(SqlError::new(
                        205,
                        16,
                        "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.",
                    ));
                }
                let mut columns = Vec::new();
                let (mut left_items, mut right_items) = (Vec::new(), Vec::new());
                for (at, (l, r)) in (1..).zip(left.columns.iter().zip(&right.columns)) {
                    let pair = [
                        Rendered::new(format!("o{at}"), l.kind),
                        Rendered::new(format!("o{at}"), r.kind),
                    ];
                    let kind = common_type_of(&pair);
                    for (items, side) in [(&mut left_items, &pair[0]), (&mut right_items, &pair[1])]
                    {
                        let converted = if side.kind.is_text() && kind.is_text() {
                            side.sql.clone()
                        } else {
                            self.cast(side, kind, "0")
                        };
                        let collation = collate(&Rendered::new("", kind));
                        items.push(format!("{converted}{collation} AS o{at}"));
                    }
                    columns.push(ResultColumn {
                        kind,
                        nullable: l.nullable || r.nullable,
                        table: None,
                        ..l.clone()
                    });
                }
                Ok(RenderedQuery {
                    sql: format!(
                        "SELECT {} FROM ({}) UNION{} SELECT {} FROM ({})",
                        left_items.join(", "),
                        left.sql,
                        if *all { " ALL" } else { "" },
                        right_items.join(", "),
                        right.sql
                    ),
                    columns,
                    assigned: Vec::new(),
                })
            }
        }
    }

    /// `(VALUES (…), (…))`
    fn values(&mut self, rows: &[Vec<Expr>]) -> Result<RenderedQuery> {
        let mut rendered = Vec::new();
        for row in rows {
            rendered.push(
                row.iter()
                    .map(|e| self.expression(e))
                    .collect::<Result<Vec<_>>>()?,
            );
        }
        let width = rendered.first().map_or(0, Vec::len);
        if rendered.iter().any(|row| row.len() != width) {
            return Err(SqlError::new(
                10_709,
                16,
                "The number of columns for each row in a table value constructor must be the same.",
            ));
        }
        let columns: Vec<ResultColumn> = (0..width)
            .map(|at| {
                let column: Vec<Rendered> = rendered.iter().map(|row| row[at].clone()).collect();
                ResultColumn {
                    name: String::new(),
                    kind: common_type_of(&column),
                    nullable: true,
                    table: None,
                }
            })
            .collect();
        let mut sql = Vec::new();
        for row in &rendered {
            let items: Vec<String> = row
                .iter()
                .zip(&columns)
                .map(|(value, column)| {
                    if value.kind.is_text() && column.kind.is_text() {
                        value.sql.clone()
                    } else {
                        self.cast(value, column.kind, "0")
                    }
                })
                .collect();
            sql.push(format!("({})", items.join(", ")));
        }
        let names: Vec<String> = (1..=width)
            .map(|at| format!("column{at} AS o{at}"))
            .collect();
        Ok(RenderedQuery {
            sql: format!(
                "SELECT {} FROM (VALUES {})",
                names.join(", "),
                sql.join(", ")
            ),
            columns,
            assigned: Vec::new(),
        })
    }

    fn select(&mut self, select: &Select, order: &[Order]) -> Result<RenderedQuery> {
        self.scopes.push(Vec::new());
        let rendered = self.select_in_scope(select, order);
        self.scopes.pop();
        rendered
    }

    fn select_in_scope(&mut self, select: &Select, order: &[Order]) -> Result<RenderedQuery> {
        let from = match &select.from {
            Some(from) => format!(" FROM {}", self.from(from)?),
            None => String::new(),
        };
        let mut columns = Vec::new();
        let mut items = Vec::new();
        let mut assigned = Vec::new();
        for item in &select.items {
            match item {
                Item::All(table) => self.all_columns(table.as_deref(), &mut columns, &mut items)?,
                Item::Expr { value, alias } => {
                    let name = alias.clone().unwrap_or_else(|| match value {
                        Expr::Column { name, .. } => name.clone(),
                        _ => String::new(),
                    });
                    let value = self.expression(value)?;
                    columns.push(result_column(name, &value));
                    items.push(value);
                }
                Item::Assignment { variable, value } => {
                    let value = self.expression(value)?;
                    columns.push(result_column(String::new(), &value));
                    items.push(value);
                    assigned.push(variable.clone());
                }
            }
        }
        if !assigned.is_empty() && assigned.len() != columns.len() {
            return Err(SqlError::new(
                141,
                15,
                "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.",
            ));
        }
        let mut parts = Vec::new();
        for (at, item) in (1..).zip(&items) {
            if select.distinct && matches!(item.kind, SqlType::Text | SqlType::NText) {
                return Err(SqlError::new(
                    421,
                    16,
                    format!(
                        "The {} data type cannot be selected as DISTINCT because it is not comparable.",
                        item.kind.name()
                    ),
                ));
            }
            parts.push(format!("{}{} AS o{at}", item.sql, collate(item)));
        }
        let mut sql = format!(
            "SELECT {}{}{from}",
            if select.distinct { "DISTINCT " } else { "" },
            parts.join(", ")
        );
        if let Some(condition) = &select.condition {
            sql += &format!(" WHERE {}", self.condition(condition)?);
        }
        if !select.group.is_empty() {
            let group = select
                .group
                .iter()
                .map(|e| self.sortable(e))
                .collect::<Result<Vec<_>>>()?;
            sql += &format!(" GROUP BY {}", group.join(", "));
        }
        if let Some(having) = &select.having {
            sql += &format!(" HAVING {}", self.condition(having)?);
        }
        if !order.is_empty() {
            let mut parts = Vec::new();
            for item in order {
                let by = match position(&item.by, &columns) {
                    Some(at) if matches!(columns[at].kind, SqlType::Text | SqlType::NText) => {
                        return Err(not_sortable());
                    }
                    Some(at) => (at + 1).to_string(),
                    None => self.sortable(&item.by)?,
                };
                parts.push(format!(
                    "{by}{}",
                    if item.descending { " DESC" } else { "" }
                ));
            }
            sql += &format!(" ORDER BY {}", parts.join(", "));
        }
        if let Some(top) = &select.top {
            let top = self.expression(top)?;
            sql = format!("SELECT * FROM ({sql} LIMIT {})", top.sql);
        }
        self.check_grouping(select)?;
        Ok(RenderedQuery {
            sql,
            columns,
            assigned,
        })
    }

    /// SQLite would take any row's value of a column that is neither grouped nor aggregated: error 8120.
    fn check_grouping(&self, select: &Select) -> Result<()> {
        let aggregated = !select.group.is_empty()
            || select.items.iter().any(|item| match item {
                Item::Expr { value, .. } | Item::Assignment { value, .. } => has_aggregate(value),
                Item::All(_) => false,
            });
        if !aggregated {
            return Ok(());
        }
        let is_grouped = |name: &str| {
            select
                .group
                .iter()
                .any(|group| matches!(group, Expr::Column { name: n, .. } if same_name(n, name)))
        };
        for item in &select.items {
            if let Item::Expr {
                value: Expr::Column { table, name },
                ..
            } = item
                && !is_grouped(name)
            {
                let full = table
                    .as_ref()
                    .map_or_else(|| name.clone(), |table| format!("{table}.{name}"));
                return Err(SqlError::new(
                    8120,
                    16,
                    format!(
                        "Column '{full}' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause."
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Where ORDER BY means a column of the result: by number or by alias.
fn position(by: &Expr, columns: &[ResultColumn]) -> Option<usize> {
    match by {
        Expr::Integer(digits) => digits
            .parse::<usize>()
            .ok()
            .and_then(|n| n.checked_sub(1))
            .filter(|n| *n < columns.len()),
        Expr::Column { table: None, name } => columns
            .iter()
            .position(|column| same_name(&column.name, name)),
        _ => None,
    }
}

fn has_aggregate(value: &Expr) -> bool {
    match value {
        Expr::CountAll | Expr::Aggregate { .. } => true,
        Expr::Arithmetic(left, _, right) => has_aggregate(left) || has_aggregate(right),
        Expr::Call(_, arguments) => arguments.iter().any(has_aggregate),
        Expr::Cast { value, .. } | Expr::Negate(value) | Expr::Collate(value, _) => {
            has_aggregate(value)
        }
        Expr::Case {
            branches,
            otherwise,
        } => {
            branches.iter().any(|(_, value)| has_aggregate(value))
                || otherwise.as_ref().is_some_and(|value| has_aggregate(value))
        }
        _ => false,
    }
}
