//! SELECT and what stands in it.

use sqlparser::tokenizer::Token;

use super::super::error::{Result, SqlError};
use super::ast::{Body, From, Item, Join, JoinKind, Order, Query, Select, Source};
use super::conditions::condition;
use super::expressions::expression;
use super::tokens::Tokens;

/// The most rows of one VALUES.
const MAX_ROWS: usize = 1000;

/// Table hints of SQL Server 2008 that a statement of ours may carry; nothing changes for them here, as a
/// transaction of this server locks everything anyway.
const HINTS: [&str; 16] = [
    "HOLDLOCK",
    "NOLOCK",
    "NOWAIT",
    "PAGLOCK",
    "READCOMMITTED",
    "READCOMMITTEDLOCK",
    "READPAST",
    "READUNCOMMITTED",
    "REPEATABLEREAD",
    "ROWLOCK",
    "SERIALIZABLE",
    "TABLOCK",
    "TABLOCKX",
    "UPDLOCK",
    "XLOCK",
    "FORCESEEK",
];

pub fn query(tokens: &mut Tokens) -> Result<Query> {
    let body = body(tokens)?;
    let order = order_by(tokens)?;
    // SQL Server 2012.
    if !order.is_empty() && tokens.is("OFFSET") {
        return tokens.unexpected();
    }
    if tokens.take(&["OPTION"]) {
        // Query hints change no result.
        tokens.list(|tokens| {
            while !matches!(tokens.peek(), Some(Token::Comma | Token::RParen) | None) {
                tokens.advance();
            }
            Ok(())
        })?;
    }
    Ok(Query { body, order })
}

pub fn order_by(tokens: &mut Tokens) -> Result<Vec<Order>> {
    if !tokens.take(&["ORDER", "BY"]) {
        return Ok(Vec::new());
    }
    tokens.comma_separated(|tokens| {
        let by = expression(tokens)?;
        let descending = tokens.take(&["DESC"]);
        if !descending {
            tokens.take(&["ASC"]);
        }
        Ok(Order { by, descending })
    })
}

fn body(tokens: &mut Tokens) -> Result<Body> {
    let mut left = Body::Select(Box::new(select(tokens)?));
    while tokens.take(&["UNION"]) {
        let all = tokens.take(&["ALL"]);
        let right = Body::Select(Box::new(select(tokens)?));
        left = Body::Union {
            left: Box::new(left),
            all,
            right: Box::new(right),
        };
    }
    Ok(left)
}

fn select(tokens: &mut Tokens) -> Result<Select> {
    tokens.expect("SELECT")?;
    let distinct = tokens.take(&["DISTINCT"]);
    if !distinct {
        tokens.take(&["ALL"]);
    }
    let top = if tokens.take(&["TOP"]) {
        let top = if tokens.peek() == Some(&Token::LParen) {
            tokens.advance();
            let top = expression(tokens)?;
            tokens.expect_token(&Token::RParen)?;
            top
        } else {
            match tokens.advance() {
                Some(Token::Number(digits, _)) => super::ast::Expr::Integer(digits),
                _ => return tokens.unexpected(),
            }
        };
        if tokens.is("PERCENT")
            || (tokens.is("WITH") && tokens.word_at(1).as_deref() == Some("TIES"))
        {
            return Err(SqlError::beyond_this_server("TOP … PERCENT and WITH TIES"));
        }
        Some(top)
    } else {
        None
    };
    let items = tokens.comma_separated(item)?;
    let into = if tokens.take(&["INTO"]) {
        Some(tokens.object_name()?)
    } else {
        None
    };
    let from = if tokens.take(&["FROM"]) {
        Some(from(tokens)?)
    } else {
        None
    };
    let selection = optional_condition(tokens, "WHERE")?;
    let group = if tokens.take(&["GROUP", "BY"]) {
        tokens.comma_separated(expression)?
    } else {
        Vec::new()
    };
    let having = optional_condition(tokens, "HAVING")?;
    Ok(Select {
        distinct,
        top,
        items,
        into,
        from,
        condition: selection,
        group,
        having,
    })
}

pub fn optional_condition(
    tokens: &mut Tokens,
    word: &str,
) -> Result<Option<super::ast::Condition>> {
    if tokens.take(&[word]) {
        condition(tokens).map(Some)
    } else {
        Ok(None)
    }
}

fn item(tokens: &mut Tokens) -> Result<Item> {
    if tokens.take_token(&Token::Mul) {
        return Ok(Item::All(None));
    }
    if tokens.is_name()
        && tokens.peek_at(1) == Some(&Token::Period)
        && tokens.peek_at(2) == Some(&Token::Mul)
    {
        let table = tokens.name()?;
        tokens.advance();
        tokens.advance();
        return Ok(Item::All(Some(table)));
    }
    if tokens
        .word()
        .is_some_and(|w| w.starts_with('@') && !w.starts_with("@@"))
        && tokens.peek_at(1) == Some(&Token::Eq)
    {
        let variable = tokens.variable()?;
        tokens.advance();
        let value = expression(tokens)?;
        return Ok(Item::Assignment { variable, value });
    }
    // `alias = value`
    if tokens.is_name() && tokens.peek_at(1) == Some(&Token::Eq) {
        let alias = tokens.name()?;
        tokens.advance();
        let value = expression(tokens)?;
        return Ok(Item::Expr {
            value,
            alias: Some(alias),
        });
    }
    let value = expression(tokens)?;
    let alias = if tokens.take(&["AS"]) {
        Some(alias(tokens)?)
    } else if tokens.is_name() {
        Some(tokens.name()?)
    } else {
        None
    };
    Ok(Item::Expr { value, alias })
}

/// Column aliases may be texts.
fn alias(tokens: &mut Tokens) -> Result<String> {
    match tokens.peek().cloned() {
        Some(Token::SingleQuotedString(text) | Token::NationalStringLiteral(text)) => {
            tokens.advance();
            Ok(text)
        }
        _ => tokens.name(),
    }
}

pub fn from(tokens: &mut Tokens) -> Result<From> {
    let first = source(tokens)?;
    let mut joins = Vec::new();
    loop {
        let kind = if tokens.take_token(&Token::Comma) || tokens.take(&["CROSS", "JOIN"]) {
            JoinKind::Cross
        } else if tokens.take(&["JOIN"]) || tokens.take(&["INNER", "JOIN"]) {
            JoinKind::Inner
        } else if tokens.take(&["LEFT", "JOIN"]) || tokens.take(&["LEFT", "OUTER", "JOIN"]) {
            JoinKind::Left
        } else if tokens.is("RIGHT")
            || tokens.is("FULL")
            || tokens.is("CROSS")
            || tokens.is("OUTER")
        {
            return Err(SqlError::beyond_this_server(
                "RIGHT and FULL joins and APPLY",
            ));
        } else {
            return Ok(From { first, joins });
        };
        let source = source(tokens)?;
        let on = if kind == JoinKind::Cross {
            None
        } else {
            tokens.expect("ON")?;
            Some(condition(tokens)?)
        };
        joins.push(Join { kind, source, on });
    }
}

fn source(tokens: &mut Tokens) -> Result<Source> {
    if tokens.take_token(&Token::LParen) {
        let query = if tokens.is("VALUES") {
            Query {
                body: Body::Values(derived_values(tokens)?),
                order: Vec::new(),
            }
        } else {
            query(tokens)?
        };
        tokens.expect_token(&Token::RParen)?;
        tokens.take(&["AS"]);
        // An alias is required here.
        let alias = tokens.name()?;
        let columns = if tokens.peek() == Some(&Token::LParen) {
            tokens.list(Tokens::name)?
        } else {
            Vec::new()
        };
        return Ok(Source::Derived {
            query: Box::new(query),
            alias,
            columns,
        });
    }
    let name = tokens.object_name()?;
    if tokens.peek() == Some(&Token::LParen) && !tokens.word_at(1).is_some_and(|w| is_hint(&w)) {
        return Err(SqlError::no_such_object(&name.display()));
    }
    let mut alias = None;
    if tokens.take(&["AS"]) || tokens.is_name() {
        alias = Some(tokens.name()?);
    }
    hints(tokens)?;
    Ok(Source::Table { name, alias })
}

fn is_hint(word: &str) -> bool {
    HINTS.contains(&word)
}

/// `WITH (UPDLOCK, HOLDLOCK)`, if it comes next.
pub fn hints(tokens: &mut Tokens) -> Result<()> {
    let with = tokens.is("WITH") && tokens.peek_at(1) == Some(&Token::LParen);
    let bare =
        tokens.peek() == Some(&Token::LParen) && tokens.word_at(1).is_some_and(|w| is_hint(&w));
    if !with && !bare {
        return Ok(());
    }
    if with {
        tokens.advance();
    }
    tokens
        .list(|tokens| {
            let Some(word) = tokens.word() else {
                return tokens.unexpected();
            };
            if !is_hint(&word) {
                return Err(SqlError::new(
                    321,
                    15,
                    format!("\"{word}\" is not a recognized table hints option."),
                ));
            }
            tokens.advance();
            Ok(())
        })
        .map(drop)
}

fn derived_values(tokens: &mut Tokens) -> Result<Vec<Vec<super::ast::Expr>>> {
    tokens.expect("VALUES")?;
    let rows = tokens.comma_separated(|tokens| tokens.list(expression))?;
    check_rows(rows.len())?;
    Ok(rows)
}

/// A table-valued constructor has its limit.
pub fn check_rows(rows: usize) -> Result<()> {
    if rows > MAX_ROWS {
        return Err(SqlError::new(
            10_738,
            15,
            format!(
                "The number of row value expressions in the INSERT statement exceeds the maximum allowed number of {MAX_ROWS} row values."
            ),
        ));
    }
    Ok(())
}
