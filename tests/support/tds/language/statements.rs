//! A batch and its statements.

use sqlparser::tokenizer::Token;

use super::super::error::{Result, SqlError};
use super::ast::{Argument, Expr, InsertSource, Located, Name, Statement};
use super::conditions::condition;
use super::data_types::data_type;
use super::definitions;
use super::expressions::expression;
use super::queries::{check_rows, from, hints, optional_condition, query};
use super::tokens::Tokens;

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

fn insert(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("INSERT")?;
    if tokens.take(&["BULK"]) {
        return insert_bulk(tokens);
    }
    tokens.take(&["INTO"]);
    let table = tokens.object_name()?;
    hints(tokens)?;
    let columns = if tokens.peek() == Some(&Token::LParen) {
        tokens.list(Tokens::name)?
    } else {
        Vec::new()
    };
    let source = if tokens.take(&["VALUES"]) {
        let rows = tokens.comma_separated(|tokens| {
            tokens.list(|tokens| {
                if tokens.take(&["DEFAULT"]) {
                    Ok(None)
                } else {
                    expression(tokens).map(Some)
                }
            })
        })?;
        check_rows(rows.len())?;
        InsertSource::Values(rows)
    } else if tokens.take(&["DEFAULT", "VALUES"]) {
        InsertSource::Defaults
    } else {
        InsertSource::Query(Box::new(query(tokens)?))
    };
    Ok(Statement::Insert {
        table,
        columns,
        source,
    })
}

/// What bulk loading clients send before their rows.
fn insert_bulk(tokens: &mut Tokens) -> Result<Statement> {
    let table = tokens.object_name()?;
    let columns = tokens.list(|tokens| {
        let name = tokens.name()?;
        let kind = data_type(tokens, &name, 1)?;
        if tokens.take(&["COLLATE"]) {
            tokens.name()?;
        }
        if tokens.take(&["NOT"]) {
            tokens.expect("NULL")?;
        } else {
            tokens.take(&["NULL"]);
        }
        Ok((name, kind))
    })?;
    if tokens.take(&["WITH"]) {
        tokens.list(|tokens| match tokens.word().as_deref() {
            Some("TABLOCK" | "CHECK_CONSTRAINTS" | "FIRE_TRIGGERS" | "KEEP_NULLS") => {
                tokens.advance();
                Ok(())
            }
            Some("ROWS_PER_BATCH" | "KILOBYTES_PER_BATCH") => {
                tokens.advance();
                tokens.expect_token(&Token::Eq)?;
                tokens.advance();
                Ok(())
            }
            _ => tokens.unexpected(),
        })?;
    }
    Ok(Statement::InsertBulk { table, columns })
}

fn update(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("UPDATE")?;
    let target = tokens.object_name()?;
    hints(tokens)?;
    tokens.expect("SET")?;
    let set = tokens.comma_separated(|tokens| {
        let mut name = tokens.object_name()?;
        // `alias.column`
        name.schema = None;
        tokens.expect_token(&Token::Eq)?;
        Ok((name.object, expression(tokens)?))
    })?;
    let from = if tokens.take(&["FROM"]) {
        Some(from(tokens)?)
    } else {
        None
    };
    let condition = optional_condition(tokens, "WHERE")?;
    Ok(Statement::Update {
        target,
        set,
        from,
        condition,
    })
}

fn delete(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("DELETE")?;
    tokens.take(&["FROM"]);
    let target = tokens.object_name()?;
    hints(tokens)?;
    let from = if tokens.take(&["FROM"]) {
        Some(from(tokens)?)
    } else {
        None
    };
    let condition = optional_condition(tokens, "WHERE")?;
    Ok(Statement::Delete {
        target,
        from,
        condition,
    })
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
        "LOCK_TIMEOUT" | "TEXTSIZE" | "ROWCOUNT" | "DEADLOCK_PRIORITY" | "DATEFORMAT"
        | "LANGUAGE" | "DATEFIRST" => {
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

fn execute(tokens: &mut Tokens) -> Result<Statement> {
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
