//! INSERT, UPDATE, DELETE and INSERT BULK.

use sqlparser::tokenizer::Token;

use super::super::error::Result;
use super::ast::{InsertSource, Statement};
use super::data_types::data_type;
use super::expressions::expression;
use super::queries::{check_rows, from, hints, optional_condition, query};
use super::tokens::Tokens;

pub fn insert(tokens: &mut Tokens) -> Result<Statement> {
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

pub fn update(tokens: &mut Tokens) -> Result<Statement> {
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

pub fn delete(tokens: &mut Tokens) -> Result<Statement> {
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
