//! EXECUTE, and the parameters of sp_executesql.

use sqlparser::tokenizer::Token;

use super::super::error::Result;
use super::ast::{Argument, Expr, Name, Statement};
use super::data_types::data_type;
use super::expressions::expression;
use super::tokens::Tokens;

/// The list of `@name type` that sp_executesql is given.
pub fn parameters(sql: &str) -> Result<Vec<(String, super::super::wire::types::SqlType)>> {
    let mut tokens = Tokens::cut(sql)?;
    if tokens.is_at_end() {
        return Ok(Vec::new());
    }
    let parameters = tokens.comma_separated(|tokens| {
        let name = tokens.variable()?;
        let kind = data_type(tokens, &name, 1)?;
        if !tokens.take(&["OUTPUT"]) {
            tokens.take(&["OUT"]);
        }
        Ok((name, kind))
    })?;
    if tokens.is_at_end() {
        Ok(parameters)
    } else {
        tokens.unexpected()
    }
}

pub fn execute(tokens: &mut Tokens) -> Result<Statement> {
    tokens.advance();
    if tokens.take_token(&Token::LParen) {
        let text: Expr = expression(tokens)?;
        tokens.expect_token(&Token::RParen)?;
        return Ok(Statement::ExecuteText(text));
    }
    let result = if tokens.word().is_some_and(|word| word.starts_with('@')) {
        let name = tokens.variable()?;
        tokens.expect_token(&Token::Eq)?;
        Some(name)
    } else {
        None
    };
    let procedure: Name = tokens.object_name()?;
    let begins_argument = |tokens: &Tokens| match tokens.peek() {
        Some(
            Token::SingleQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::Number(..)
            | Token::Minus,
        ) => true,
        Some(Token::Word(word)) => {
            word.value.starts_with('@') || word.value.eq_ignore_ascii_case("null")
        }
        _ => false,
    };
    let arguments = if begins_argument(tokens) {
        tokens.comma_separated(argument)?
    } else {
        Vec::new()
    };
    Ok(Statement::Execute {
        result,
        procedure,
        arguments,
    })
}

/// `[@name =] constant, variable [OUTPUT] or bare word`: arguments of procedures are no expressions.
fn argument(tokens: &mut Tokens) -> Result<(Option<String>, Argument)> {
    let mut name = None;
    if tokens.word().is_some_and(|word| word.starts_with('@'))
        && tokens.peek_at(1) == Some(&Token::Eq)
    {
        name = Some(tokens.variable()?);
        tokens.advance();
    }
    if tokens
        .word()
        .is_some_and(|w| w.starts_with('@') && !w.starts_with("@@"))
    {
        let variable = tokens.variable()?;
        if tokens.take(&["OUTPUT"]) || tokens.take(&["OUT"]) {
            return Ok((name, Argument::Output(variable)));
        }
        return Ok((name, Argument::Value(Expr::Variable(variable))));
    }
    let value = if tokens.is_name() {
        Expr::Text {
            value: tokens.name()?,
            unicode: true,
        }
    } else if tokens.take(&["NULL"]) {
        Expr::Null
    } else {
        match tokens.peek() {
            Some(
                Token::Minus
                | Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::NationalStringLiteral(_),
            ) => {
                let minus = tokens.take_token(&Token::Minus);
                let constant = match tokens.advance() {
                    Some(Token::Number(digits, _)) => Expr::Integer(digits),
                    Some(Token::SingleQuotedString(value)) => Expr::Text {
                        value,
                        unicode: false,
                    },
                    Some(Token::NationalStringLiteral(value)) => Expr::Text {
                        value,
                        unicode: true,
                    },
                    _ => return tokens.unexpected(),
                };
                if minus {
                    Expr::Negate(Box::new(constant))
                } else {
                    constant
                }
            }
            _ => return tokens.unexpected(),
        }
    };
    Ok((name, Argument::Value(value)))
}
