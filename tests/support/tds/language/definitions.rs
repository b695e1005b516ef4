//! CREATE, ALTER, DROP and TRUNCATE.

use sqlparser::tokenizer::Token;

use super::super::error::{Result, SqlError};
use super::ast::{ColumnDefinition, Key, Statement};
use super::conditions::condition;
use super::data_types::data_type;
use super::tokens::Tokens;

pub fn create(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("CREATE")?;
    if tokens.take(&["TABLE"]) {
        let table = tokens.object_name()?;
        tokens.expect_token(&Token::LParen)?;
        let (columns, keys) = elements(tokens)?;
        tokens.expect_token(&Token::RParen)?;
        return Ok(Statement::CreateTable {
            table,
            columns,
            keys,
        });
    }
    let unique = tokens.take(&["UNIQUE"]);
    if tokens.is("CLUSTERED") {
        return Err(SqlError::beyond_this_server(
            "clustered indexes besides primary keys",
        ));
    }
    tokens.take(&["NONCLUSTERED"]);
    tokens.expect("INDEX")?;
    let name = tokens.name()?;
    tokens.expect("ON")?;
    let table = tokens.object_name()?;
    let columns = key_columns(tokens)?;
    let ignores = index_options(tokens)?;
    Ok(Statement::CreateIndex {
        name,
        table,
        columns,
        unique,
        ignores,
    })
}

pub fn alter(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("ALTER")?;
    tokens.expect("TABLE")?;
    let table = tokens.object_name()?;
    if tokens.take(&["ALTER", "COLUMN"]) {
        let name = tokens.name()?;
        let kind = data_type(tokens, &name, 1)?;
        let mut column = ColumnDefinition {
            name,
            kind,
            nullable: None,
            key: None,
        };
        take_collation(tokens)?;
        column.nullable = nullability(tokens)?;
        return Ok(Statement::AlterColumn { table, column });
    }
    if tokens.take(&["WITH", "NOCHECK", "ADD", "CONSTRAINT"]) {
        let name = tokens.name()?;
        tokens.expect("CHECK")?;
        tokens.expect_token(&Token::LParen)?;
        let condition = condition(tokens)?;
        tokens.expect_token(&Token::RParen)?;
        return Ok(Statement::AddCheck {
            table,
            name,
            condition,
        });
    }
    if tokens.take(&["DROP", "CONSTRAINT"]) {
        let name = tokens.name()?;
        return Ok(Statement::DropConstraint { table, name });
    }
    if tokens.take(&["DROP", "COLUMN"]) {
        let names = tokens.comma_separated(Tokens::name)?;
        return Ok(Statement::DropColumns { table, names });
    }
    if tokens.take(&["ADD"]) {
        let (columns, keys) = elements(tokens)?;
        return Ok(Statement::AddColumns {
            table,
            columns,
            keys,
        });
    }
    tokens.unexpected()
}

pub fn drop_object(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("DROP")?;
    if tokens.take(&["TABLE"]) {
        return tokens
            .comma_separated(Tokens::object_name)
            .map(Statement::DropTables);
    }
    tokens.expect("INDEX")?;
    let name = tokens.name()?;
    tokens.expect("ON")?;
    let table = tokens.object_name()?;
    Ok(Statement::DropIndex { name, table })
}

pub fn truncate(tokens: &mut Tokens) -> Result<Statement> {
    tokens.expect("TRUNCATE")?;
    tokens.expect("TABLE")?;
    tokens.object_name().map(Statement::Truncate)
}

/// Columns and constraints of a table.
fn elements(tokens: &mut Tokens) -> Result<(Vec<ColumnDefinition>, Vec<Key>)> {
    let mut columns = Vec::new();
    let mut keys = Vec::new();
    loop {
        if tokens.is("CONSTRAINT") || tokens.is("PRIMARY") || tokens.is("UNIQUE") {
            let mut key = key(tokens)?;
            key.columns = key_columns(tokens)?;
            index_options(tokens)?;
            keys.push(key);
        } else {
            columns.push(column(tokens)?);
        }
        if !tokens.take_token(&Token::Comma) {
            return Ok((columns, keys));
        }
        // SQL Server lets a comma stand before the closing parenthesis of CREATE TABLE.
        if tokens.peek() == Some(&Token::RParen) && !columns.is_empty() {
            return Ok((columns, keys));
        }
    }
}

fn column(tokens: &mut Tokens) -> Result<ColumnDefinition> {
    let name = tokens.name()?;
    let kind = data_type(tokens, &name, 1)?;
    let mut column = ColumnDefinition {
        name,
        kind,
        nullable: None,
        key: None,
    };
    loop {
        if tokens.is("CONSTRAINT") || tokens.is("PRIMARY") || tokens.is("UNIQUE") {
            let mut key = key(tokens)?;
            key.columns.push(column.name.clone());
            column.key = Some(key);
        } else if tokens.is("COLLATE") {
            take_collation(tokens)?;
        } else if let Some(nullable) = nullability(tokens)? {
            column.nullable = Some(nullable);
        } else if tokens.is("DEFAULT")
            || tokens.is("IDENTITY")
            || tokens.is("REFERENCES")
            || tokens.is("CHECK")
        {
            return Err(SqlError::beyond_this_server(
                "DEFAULT, IDENTITY, REFERENCES and CHECK",
            ));
        } else {
            return Ok(column);
        }
    }
}

fn take_collation(tokens: &mut Tokens) -> Result<()> {
    if !tokens.take(&["COLLATE"]) {
        return Ok(());
    }
    let collation = tokens.name()?;
    if matches!(
        collation.to_uppercase().as_str(),
        "DATABASE_DEFAULT" | "SQL_LATIN1_GENERAL_CP1_CI_AS"
    ) {
        Ok(())
    } else {
        Err(SqlError::beyond_this_server(&format!(
            "columns of collation {collation}"
        )))
    }
}

fn nullability(tokens: &mut Tokens) -> Result<Option<bool>> {
    if tokens.take(&["NOT"]) {
        tokens.expect("NULL")?;
        return Ok(Some(false));
    }
    Ok(tokens.take(&["NULL"]).then_some(true))
}

/// `[CONSTRAINT name] PRIMARY KEY|UNIQUE [CLUSTERED|NONCLUSTERED]`
fn key(tokens: &mut Tokens) -> Result<Key> {
    let name = if tokens.take(&["CONSTRAINT"]) {
        Some(tokens.name()?)
    } else {
        None
    };
    let primary = if tokens.take(&["PRIMARY", "KEY"]) {
        true
    } else {
        tokens.expect("UNIQUE")?;
        false
    };
    if !tokens.take(&["CLUSTERED"]) {
        tokens.take(&["NONCLUSTERED"]);
    }
    Ok(Key {
        name,
        primary,
        columns: Vec::new(),
    })
}

/// `WITH (option = value, …)` and `ON filegroup`: whether duplicate keys are ignored.
fn index_options(tokens: &mut Tokens) -> Result<bool> {
    let mut ignores = false;
    if tokens.take(&["WITH"]) {
        tokens.list(|tokens| {
            let option = tokens.name()?;
            tokens.expect_token(&Token::Eq)?;
            ignores |= option.eq_ignore_ascii_case("IGNORE_DUP_KEY") && tokens.is("ON");
            tokens.advance();
            Ok(())
        })?;
    }
    if tokens.take(&["ON"]) {
        tokens.name()?;
    }
    Ok(ignores)
}

fn key_columns(tokens: &mut Tokens) -> Result<Vec<String>> {
    tokens.list(|tokens| {
        let name = tokens.name()?;
        if !tokens.take(&["ASC"]) {
            tokens.take(&["DESC"]);
        }
        Ok(name)
    })
}
