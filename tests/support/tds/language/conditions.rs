//! What can be true, false or unknown: in SQL Server these are no values.

use sqlparser::tokenizer::Token;

use super::super::error::{Result, SqlError};
use super::ast::{Condition, Expr};
use super::expressions::expression;
use super::queries::query;
use super::tokens::Tokens;

pub fn condition(tokens: &mut Tokens) -> Result<Condition> {
    let mut left = conjunction(tokens)?;
    while tokens.take(&["OR"]) {
        left = Condition::Or(Box::new(left), Box::new(conjunction(tokens)?));
    }
    Ok(left)
}

fn conjunction(tokens: &mut Tokens) -> Result<Condition> {
    let mut left = negation(tokens)?;
    while tokens.take(&["AND"]) {
        left = Condition::And(Box::new(left), Box::new(negation(tokens)?));
    }
    Ok(left)
}

fn negation(tokens: &mut Tokens) -> Result<Condition> {
    if tokens.take(&["NOT"]) {
        return Ok(Condition::Not(Box::new(negation(tokens)?)));
    }
    if tokens.take(&["EXISTS"]) {
        tokens.expect_token(&Token::LParen)?;
        let query = query(tokens)?;
        tokens.expect_token(&Token::RParen)?;
        return Ok(Condition::Exists(Box::new(query)));
    }
    if tokens.peek() == Some(&Token::LParen) {
        // A parenthesis may hold a condition or begin a value.
        let start = tokens.position();
        tokens.advance();
        if let Ok(inner) = condition(tokens)
            && tokens.take_token(&Token::RParen)
            && !continues_value(tokens)
        {
            return Ok(inner);
        }
        tokens.go_back(start);
    }
    comparison(tokens)
}

/// Whether what stood before must have been a value.
fn continues_value(tokens: &Tokens) -> bool {
    comparison_operator(tokens).is_some()
        || matches!(
            tokens.peek(),
            Some(Token::Plus | Token::Minus | Token::Mul | Token::Div)
        )
}

fn comparison_operator(tokens: &Tokens) -> Option<&'static str> {
    Some(match tokens.peek()? {
        Token::Eq => "=",
        Token::Neq => "<>",
        Token::Lt => "<",
        Token::Gt => ">",
        Token::LtEq => "<=",
        Token::GtEq => ">=",
        _ => return None,
    })
}

fn comparison(tokens: &mut Tokens) -> Result<Condition> {
    let value = expression(tokens)?;
    if let Some(operator) = comparison_operator(tokens) {
        tokens.advance();
        return Ok(Condition::Compare(value, operator, expression(tokens)?));
    }
    if tokens.take(&["IS"]) {
        let negated = tokens.take(&["NOT"]);
        tokens.expect("NULL")?;
        return Ok(negate(negated, Condition::IsNull(value)));
    }
    let negated = tokens.take(&["NOT"]);
    if tokens.take(&["IN"]) {
        tokens.expect_token(&Token::LParen)?;
        let found = if tokens.is("SELECT") {
            Condition::InQuery(value, Box::new(query(tokens)?))
        } else {
            Condition::In(value, tokens.comma_separated(expression)?)
        };
        tokens.expect_token(&Token::RParen)?;
        return Ok(negate(negated, found));
    }
    if tokens.take(&["BETWEEN"]) {
        let low = expression(tokens)?;
        tokens.expect("AND")?;
        let high = expression(tokens)?;
        return Ok(negate(negated, Condition::Between(value, low, high)));
    }
    if tokens.take(&["LIKE"]) {
        let pattern = expression(tokens)?;
        let escape = if tokens.take(&["ESCAPE"]) {
            Some(expression(tokens)?)
        } else {
            None
        };
        return Ok(negate(
            negated,
            Condition::Like {
                value,
                pattern,
                escape,
            },
        ));
    }
    if negated {
        return tokens.unexpected();
    }
    if let Expr::Call(..) | Expr::Column { .. } | Expr::Integer(_) = value
        && !tokens.is_at_end()
    {
        let near = tokens.peek().map(ToString::to_string).unwrap_or_default();
        return Err(SqlError::new(
            4145,
            15,
            format!(
                "An expression of non-boolean type specified in a context where a condition is expected, near '{near}'."
            ),
        ));
    }
    tokens.unexpected()
}

fn negate(negated: bool, condition: Condition) -> Condition {
    if negated {
        Condition::Not(Box::new(condition))
    } else {
        condition
    }
}
