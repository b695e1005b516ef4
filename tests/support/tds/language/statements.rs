//! A batch and its statements.

use sqlparser::tokenizer::Token;

use super::super::error::{Result, SqlError};
use super::ast::{Located, Statement};
use super::calls::execute;
use super::conditions::condition;
use super::data_types::data_type;
use super::definitions;
use super::expressions::expression;
use super::queries::query;
use super::tokens::Tokens;
use super::writes::{delete, insert, update};

/// Reads a whole batch: as on a real server nothing of it runs if any of it is wrong.
pub fn batch(sql: &str) -> Result<Vec<Located>> {
    let mut tokens = Tokens::cut(sql)?;
    let mut statements = Vec::new();
    loop {
        while tokens.take_token(&Token::SemiColon) {}
        if tokens.is_at_end() {
            return Ok(statements);
        }
        statements.push(statement(&mut tokens)?);
    }
}

fn statement(tokens: &mut Tokens) -> Result<Located> {
    let line = tokens.line();
    let statement = match tokens.word().as_deref() {
        Some("SELECT") => Statement::Select(query(tokens)?),
        Some("INSERT") => insert(tokens)?,
        Some("UPDATE") => update(tokens)?,
        Some("DELETE") => delete(tokens)?,
        Some("CREATE") => definitions::create(tokens)?,
        Some("ALTER") => definitions::alter(tokens)?,
        Some("DROP") => definitions::drop_object(tokens)?,
        Some("TRUNCATE") => definitions::truncate(tokens)?,
        Some("BEGIN") => begin(tokens)?,
        Some("COMMIT" | "ROLLBACK") => end_of_transaction(tokens)?,
        Some("IF") => conditional(tokens)?,
        Some("DECLARE") => declare(tokens)?,
        Some("SET") => set(tokens)?,
        Some("PRINT") => {
            tokens.advance();
            Statement::Print(expression(tokens)?)
        }
        Some("RAISERROR") => {
            tokens.advance();
            let mut values = tokens.list(expression)?.into_iter();
            match (values.next(), values.next(), values.next(), values.next()) {
                (Some(message), Some(class), Some(state), None) => Statement::RaiseError {
                    message,
                    class,
                    state,
                },
                _ => return tokens.unexpected(),
            }
        }
        Some("EXEC" | "EXECUTE") => execute(tokens)?,
        Some("USE") => {
            tokens.advance();
            Statement::Use(tokens.name()?)
        }
        Some("RETURN") => {
            tokens.advance();
            Statement::Return
        }
        Some("WAITFOR") => {
            tokens.advance();
            tokens.expect("DELAY")?;
            Statement::WaitFor(expression(tokens)?)
        }
        _ => return tokens.unexpected(),
    };
    Ok(Located { line, statement })
}

fn begin(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("BEGIN")?;
    if tokens.take(&["TRAN"]) || tokens.take(&["TRANSACTION"]) {
        transaction_name(tokens)?;
        return Ok(Statement::Begin);
    }
    if tokens.take(&["TRY"]) {
        let body = until_end(tokens)?;
        tokens.expect("TRY")?;
        while tokens.take_token(&Token::SemiColon) {}
        if !tokens.take(&["BEGIN", "CATCH"]) {
            return tokens.unexpected();
        }
        let catch = until_end(tokens)?;
        tokens.expect("CATCH")?;
        return Ok(Statement::Try { body, catch });
    }
    let block = until_end(tokens)?;
    if block.is_empty() {
        return Err(SqlError::syntax_near_keyword("END"));
    }
    Ok(Statement::Block(block))
}

fn until_end(tokens: &mut Tokens) -> Result<Vec<Located>> {
    let mut statements = Vec::new();
    loop {
        while tokens.take_token(&Token::SemiColon) {}
        if tokens.take(&["END"]) {
            return Ok(statements);
        }
        statements.push(statement(tokens)?);
    }
}

fn end_of_transaction(tokens: &mut Tokens) -> Result<Statement> {
    let commit = tokens.is("COMMIT");
    tokens.advance();
    if tokens.take(&["TRAN"]) || tokens.take(&["TRANSACTION"]) {
        transaction_name(tokens)?;
    } else {
        tokens.take(&["WORK"]);
    }
    Ok(if commit {
        Statement::Commit
    } else {
        Statement::Rollback
    })
}

fn transaction_name(tokens: &mut Tokens) -> Result<()> {
    if tokens.is_name() {
        return Err(SqlError::beyond_this_server("named transactions"));
    }
    Ok(())
}

fn conditional(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("IF")?;
    let condition = condition(tokens)?;
    let then = Box::new(statement(tokens)?);
    let after = tokens.position();
    while tokens.take_token(&Token::SemiColon) {}
    let otherwise = if tokens.take(&["ELSE"]) {
        Some(Box::new(statement(tokens)?))
    } else {
        tokens.go_back(after);
        None
    };
    Ok(Statement::If {
        condition,
        then,
        otherwise,
    })
}

fn declare(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("DECLARE")?;
    tokens
        .comma_separated(|tokens| {
            let name = tokens.variable()?;
            tokens.take(&["AS"]);
            let kind = data_type(tokens, &name, 1)?;
            let value = if tokens.take_token(&Token::Eq) {
                Some(expression(tokens)?)
            } else {
                None
            };
            Ok((name, kind, value))
        })
        .map(Statement::Declare)
}

fn set(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("SET")?;
    if tokens.word().is_some_and(|word| word.starts_with('@')) {
        let name = tokens.variable()?;
        tokens.expect_token(&Token::Eq)?;
        return Ok(Statement::SetVariable(name, expression(tokens)?));
    }
    let Some(option) = tokens.word() else {
        return tokens.unexpected();
    };
    tokens.advance();
    let mut rest = Vec::new();
    match option.as_str() {
        "TRANSACTION" => {
            if !tokens.take(&["ISOLATION", "LEVEL"]) {
                return tokens.unexpected();
            }
            let levels: [&[&str]; 5] = [
                &["READ", "COMMITTED"],
                &["READ", "UNCOMMITTED"],
                &["REPEATABLE", "READ"],
                &["SERIALIZABLE"],
                &["SNAPSHOT"],
            ];
            match levels.iter().find(|level| tokens.take(level)) {
                Some(level) => rest.push(level.join(" ")),
                None => return tokens.unexpected(),
            }
        }
        "XACT_ABORT"
        | "NOCOUNT"
        | "ANSI_NULLS"
        | "ANSI_PADDING"
        | "ANSI_WARNINGS"
        | "ARITHABORT"
        | "CONCAT_NULL_YIELDS_NULL"
        | "QUOTED_IDENTIFIER"
        | "ANSI_NULL_DFLT_ON"
        | "NUMERIC_ROUNDABORT"
        | "CURSOR_CLOSE_ON_COMMIT"
        | "IMPLICIT_TRANSACTIONS"
        | "FMTONLY"
        | "ANSI_DEFAULTS" => match tokens.word().as_deref() {
            Some(word @ ("ON" | "OFF")) => {
                rest.push(word.to_owned());
                tokens.advance();
            }
            _ => return tokens.unexpected(),
        },
        "QUERY_GOVERNOR_COST_LIMIT"
        | "LOCK_TIMEOUT"
        | "TEXTSIZE"
        | "ROWCOUNT"
        | "DEADLOCK_PRIORITY"
        | "DATEFORMAT"
        | "LANGUAGE"
        | "DATEFIRST" => {
            let minus = tokens.take_token(&Token::Minus);
            match tokens.advance() {
                Some(Token::Number(digits, _)) => {
                    rest.push(if minus { format!("-{digits}") } else { digits });
                }
                Some(Token::Word(word)) if !minus => rest.push(word.value.to_uppercase()),
                _ => return tokens.unexpected(),
            }
        }
        _ => {
            return Err(SqlError::new(
                195,
                15,
                format!("'{option}' is not a recognized SET option."),
            ));
        }
    }
    Ok(Statement::SetOption(option, rest))
}
