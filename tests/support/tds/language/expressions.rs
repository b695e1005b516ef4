//! Values: constants, columns, functions, arithmetic.

use sqlparser::tokenizer::Token;

use super::super::error::{Result, SqlError};
use super::ast::{Condition, Expr, Order};
use super::conditions::condition;
use super::data_types::data_type;
use super::queries::{order_by, query};
use super::tokens::Tokens;

/// Sums and concatenations.
pub fn expression(tokens: &mut Tokens) -> Result<Expr> {
    let mut left = product(tokens)?;
    loop {
        let operator = match tokens.peek() {
            Some(Token::Plus) => '+',
            Some(Token::Minus) => '-',
            _ => return Ok(left),
        };
        tokens.advance();
        left = Expr::Arithmetic(Box::new(left), operator, Box::new(product(tokens)?));
    }
}

fn product(tokens: &mut Tokens) -> Result<Expr> {
    let mut left = collated(tokens)?;
    loop {
        let operator = match tokens.peek() {
            Some(Token::Mul) => '*',
            Some(Token::Div) => '/',
            Some(Token::Mod) => '%',
            _ => return Ok(left),
        };
        tokens.advance();
        left = Expr::Arithmetic(Box::new(left), operator, Box::new(collated(tokens)?));
    }
}

fn collated(tokens: &mut Tokens) -> Result<Expr> {
    let value = primary(tokens)?;
    if tokens.take(&["COLLATE"]) {
        let collation = tokens.name()?;
        return Ok(Expr::Collate(Box::new(value), collation));
    }
    Ok(value)
}

fn primary(tokens: &mut Tokens) -> Result<Expr> {
    let Some(token) = tokens.peek().cloned() else {
        return tokens.unexpected();
    };
    match token {
        Token::Number(digits, _) => {
            tokens.advance();
            Ok(number(digits))
        }
        Token::SingleQuotedString(value) => {
            tokens.advance();
            Ok(Expr::Text {
                value,
                unicode: false,
            })
        }
        Token::NationalStringLiteral(value) => {
            tokens.advance();
            Ok(Expr::Text {
                value,
                unicode: true,
            })
        }
        Token::HexStringLiteral(digits) => {
            tokens.advance();
            let padded = if digits.len() % 2 == 0 {
                digits
            } else {
                format!("0{digits}")
            };
            let bytes = (0..padded.len() / 2)
                .map(|at| u8::from_str_radix(&padded[at * 2..at * 2 + 2], 16))
                .collect::<std::result::Result<_, _>>();
            bytes
                .map(Expr::Binary)
                .map_err(|_| SqlError::syntax_near(&padded))
        }
        Token::Minus => {
            tokens.advance();
            Ok(Expr::Negate(Box::new(collated(tokens)?)))
        }
        Token::Plus => {
            tokens.advance();
            collated(tokens)
        }
        Token::LParen => {
            tokens.advance();
            let inner = if tokens.is("SELECT") {
                Expr::Subquery(Box::new(query(tokens)?))
            } else {
                expression(tokens)?
            };
            tokens.expect_token(&Token::RParen)?;
            Ok(inner)
        }
        Token::Word(word) if word.quote_style.is_none() => word_expression(tokens, &word.value),
        Token::Word(_) => column(tokens),
        _ => tokens.unexpected(),
    }
}

fn number(digits: String) -> Expr {
    if digits.contains(['e', 'E']) {
        Expr::Float(digits)
    } else if digits.contains('.') {
        Expr::Decimal(digits)
    } else {
        Expr::Integer(digits)
    }
}

fn word_expression(tokens: &mut Tokens, spelling: &str) -> Result<Expr> {
    let word = spelling.to_uppercase();
    if word.starts_with("@@") {
        tokens.advance();
        return Ok(Expr::Call(word, Vec::new()));
    }
    if word.starts_with('@') {
        return Ok(Expr::Variable(tokens.variable()?));
    }
    let called = tokens.peek_at(1) == Some(&Token::LParen);
    match word.as_str() {
        "NULL" => {
            tokens.advance();
            Ok(Expr::Null)
        }
        "CASE" => case(tokens),
        "CAST" if called => {
            tokens.advance();
            tokens.expect_token(&Token::LParen)?;
            let value = expression(tokens)?;
            tokens.expect("AS")?;
            let kind = data_type(tokens, "", 30)?;
            tokens.expect_token(&Token::RParen)?;
            Ok(Expr::Cast {
                value: Box::new(value),
                kind,
                style: None,
            })
        }
        "CONVERT" if called => {
            tokens.advance();
            tokens.expect_token(&Token::LParen)?;
            let kind = data_type(tokens, "", 30)?;
            tokens.expect_token(&Token::Comma)?;
            let value = Box::new(expression(tokens)?);
            let style = if tokens.take_token(&Token::Comma) {
                Some(Box::new(expression(tokens)?))
            } else {
                None
            };
            tokens.expect_token(&Token::RParen)?;
            Ok(Expr::Cast { value, kind, style })
        }
        // These have arguments of a form of their own, and are functions that SQL Server 2008 lacks anyway.
        "TRY_CONVERT" | "TRY_CAST" | "TRY_PARSE" | "PARSE" | "IIF" if called => {
            Err(SqlError::no_such_function(spelling))
        }
        "CURRENT_TIMESTAMP" => {
            tokens.advance();
            Ok(Expr::Call("GETDATE".to_owned(), Vec::new()))
        }
        "CURRENT_USER" | "SESSION_USER" | "SYSTEM_USER" | "USER" => {
            tokens.advance();
            Ok(Expr::Call(word, Vec::new()))
        }
        // Reserved words that are functions, too.
        "COALESCE" | "NULLIF" | "LEFT" | "RIGHT" if called => {
            tokens.advance();
            Ok(Expr::Call(word, tokens.list(expression)?))
        }
        _ if called && tokens.is_name() => call(tokens, word),
        _ => column(tokens),
    }
}

fn call(tokens: &mut Tokens, name: String) -> Result<Expr> {
    tokens.advance();
    tokens.expect_token(&Token::LParen)?;
    match name.as_str() {
        "COUNT" | "COUNT_BIG" if tokens.take_token(&Token::Mul) => {
            tokens.expect_token(&Token::RParen)?;
            return Ok(Expr::CountAll);
        }
        "COUNT" | "COUNT_BIG" | "MIN" | "MAX" | "SUM" | "AVG" => {
            let distinct = tokens.take(&["DISTINCT"]);
            let value = Box::new(expression(tokens)?);
            tokens.expect_token(&Token::RParen)?;
            return Ok(Expr::Aggregate {
                name,
                distinct,
                value,
            });
        }
        "ROW_NUMBER" => {
            tokens.expect_token(&Token::RParen)?;
            tokens.expect("OVER")?;
            tokens.expect_token(&Token::LParen)?;
            let partition = if tokens.take(&["PARTITION", "BY"]) {
                tokens.comma_separated(expression)?
            } else {
                Vec::new()
            };
            let order: Vec<Order> = order_by(tokens)?;
            if order.is_empty() {
                return Err(SqlError::new(
                    4112,
                    15,
                    "The function 'ROW_NUMBER' must have an OVER clause with ORDER BY.",
                ));
            }
            tokens.expect_token(&Token::RParen)?;
            return Ok(Expr::RowNumber { partition, order });
        }
        _ => {}
    }
    let arguments = if tokens.peek() == Some(&Token::RParen) {
        Vec::new()
    } else {
        tokens.comma_separated(expression)?
    };
    tokens.expect_token(&Token::RParen)?;
    Ok(Expr::Call(name, arguments))
}

fn column(tokens: &mut Tokens) -> Result<Expr> {
    let name = tokens.object_name()?;
    Ok(Expr::Column {
        // The alias or table; a schema before it says nothing more.
        table: name.schema,
        name: name.object,
    })
}

fn case(tokens: &mut Tokens) -> Result<Expr> {
    tokens.expect("CASE")?;
    let operand = if tokens.is("WHEN") {
        None
    } else {
        Some(expression(tokens)?)
    };
    let mut branches = Vec::new();
    while tokens.take(&["WHEN"]) {
        let when = match &operand {
            Some(operand) => Condition::Compare(operand.clone(), "=", expression(tokens)?),
            None => condition(tokens)?,
        };
        tokens.expect("THEN")?;
        branches.push((when, expression(tokens)?));
    }
    if branches.is_empty() {
        return tokens.unexpected();
    }
    let otherwise = if tokens.take(&["ELSE"]) {
        Some(Box::new(expression(tokens)?))
    } else {
        None
    };
    tokens.expect("END")?;
    Ok(Expr::Case {
        branches,
        otherwise,
    })
}
