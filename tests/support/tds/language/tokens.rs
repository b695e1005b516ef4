//! The tokens of a batch, and a place among them.

use sqlparser::dialect::MsSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::super::error::{Result, SqlError};
use super::ast::Name;

/// Reserved words of SQL Server: none of them is a name without brackets.
const RESERVED: &str = " ADD ALL ALTER AND ANY AS ASC AUTHORIZATION BACKUP BEGIN BETWEEN BREAK BROWSE BULK BY CASCADE CASE \
CHECK CHECKPOINT CLOSE CLUSTERED COALESCE COLLATE COLUMN COMMIT COMPUTE CONSTRAINT CONTAINS CONTAINSTABLE CONTINUE CONVERT \
CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATABASE DBCC DEALLOCATE DECLARE \
DEFAULT DELETE DENY DESC DISK DISTINCT DISTRIBUTED DOUBLE DROP DUMP ELSE END ERRLVL ESCAPE EXCEPT EXEC EXECUTE EXISTS EXIT \
EXTERNAL FETCH FILE FILLFACTOR FOR FOREIGN FREETEXT FREETEXTTABLE FROM FULL FUNCTION GOTO GRANT GROUP HAVING HOLDLOCK \
IDENTITY IDENTITY_INSERT IDENTITYCOL IF IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY KILL LEFT LIKE LINENO LOAD MERGE \
NATIONAL NOCHECK NONCLUSTERED NOT NULL NULLIF OF OFF OFFSETS ON OPEN OPENDATASOURCE OPENQUERY OPENROWSET OPENXML OPTION OR \
ORDER OUTER OVER PERCENT PIVOT PLAN PRIMARY PRINT PROC PROCEDURE PUBLIC RAISERROR READ READTEXT RECONFIGURE \
REFERENCES REPLICATION RESTORE RESTRICT RETURN REVERT REVOKE RIGHT ROLLBACK ROWCOUNT ROWGUIDCOL RULE SAVE SCHEMA \
SECURITYAUDIT SELECT SEMANTICKEYPHRASETABLE SESSION_USER SET SETUSER SHUTDOWN SOME STATISTICS SYSTEM_USER TABLE \
TABLESAMPLE TEXTSIZE THEN TO TOP TRAN TRANSACTION TRIGGER TRUNCATE TSEQUAL UNION UNIQUE UNPIVOT UPDATE UPDATETEXT USE USER \
VALUES VARYING VIEW WAITFOR WHEN WHERE WHILE WITH WITHIN WRITETEXT ";

/// The longest name.
const MAX_NAME: usize = 128;

#[derive(Debug, Clone)]
struct Placed {
    token: Token,
    line: u32,
}

/// A batch's tokens without blanks and comments, read from left to right.
pub struct Tokens {
    tokens: Vec<Placed>,
    position: usize,
}

impl Tokens {
    pub fn cut(sql: &str) -> Result<Self> {
        let placed = Tokenizer::new(&MsSqlDialect {}, sql)
            .tokenize_with_location()
            .map_err(|error| {
                if error.message.contains("Unterminated string") {
                    SqlError::new(
                        105,
                        15,
                        "Unclosed quotation mark after the character string ''.",
                    )
                } else {
                    SqlError::syntax_near(&error.message)
                }
            })?;
        let mut tokens = Vec::with_capacity(placed.len());
        for placed in placed {
            match &placed.token {
                Token::Whitespace(Whitespace::SingleLineComment { prefix, .. })
                    if prefix != "--" =>
                {
                    return Err(SqlError::syntax_near(prefix));
                }
                Token::Whitespace(_) | Token::EOF => continue,
                Token::Word(word) if word.value.encode_utf16().count() > MAX_NAME => {
                    let start: String = word.value.chars().take(MAX_NAME).collect();
                    return Err(SqlError::new(
                        103,
                        15,
                        format!(
                            "The identifier that starts with '{start}' is too long. Maximum length is {MAX_NAME}."
                        ),
                    ));
                }
                Token::Word(word) if word.quote_style.is_some() && word.value.is_empty() => {
                    return Err(SqlError::new(
                        1038,
                        15,
                        "An object or column name is missing or empty.",
                    ));
                }
                _ => {}
            }
            tokens.push(Placed {
                token: placed.token,
                line: u32::try_from(placed.span.start.line).unwrap_or(u32::MAX),
            });
        }
        Ok(Tokens {
            tokens,
            position: 0,
        })
    }

    pub fn peek(&self) -> Option<&Token> {
        self.peek_at(0)
    }

    pub fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens
            .get(self.position + ahead)
            .map(|placed| &placed.token)
    }

    pub fn advance(&mut self) -> Option<Token> {
        let placed = self.tokens.get(self.position)?;
        self.position += 1;
        Some(placed.token.clone())
    }

    pub fn line(&self) -> u32 {
        self.tokens
            .get(self.position)
            .or(self.tokens.last())
            .map_or(1, |placed| placed.line)
    }

    /// To come back to with [`Tokens::go_back`].
    pub fn position(&self) -> usize {
        self.position
    }

    pub fn go_back(&mut self, position: usize) {
        self.position = position;
    }

    pub fn is_at_end(&self) -> bool {
        self.position >= self.tokens.len()
    }

    /// A syntax error at the next token.
    pub fn unexpected<T>(&self) -> Result<T> {
        Err(match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() && is_reserved(&word.value) => {
                SqlError::syntax_near_keyword(&word.value)
            }
            Some(Token::Word(word)) => SqlError::syntax_near(&word.value),
            Some(Token::SingleQuotedString(text) | Token::NationalStringLiteral(text)) => {
                SqlError::syntax_near(text)
            }
            Some(token) => SqlError::syntax_near(&token.to_string()),
            None => match self.tokens.last() {
                Some(last) => SqlError::syntax_near(&last.token.to_string()),
                None => SqlError::syntax_near(""),
            },
        })
    }

    // ---- words ------------------------------------------------------------------------------------------------

    /// The next token in upper case, if it is a word without quotes.
    pub fn word(&self) -> Option<String> {
        self.word_at(0)
    }

    pub fn word_at(&self, ahead: usize) -> Option<String> {
        match self.peek_at(ahead) {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_uppercase())
            }
            _ => None,
        }
    }

    pub fn is(&self, word: &str) -> bool {
        self.word_at(0).as_deref() == Some(word)
    }

    /// Passes over these words, if they come next.
    pub fn take(&mut self, words: &[&str]) -> bool {
        let all = words
            .iter()
            .enumerate()
            .all(|(ahead, word)| self.word_at(ahead).as_deref() == Some(word));
        if all {
            self.position += words.len();
        }
        all
    }

    pub fn expect(&mut self, word: &str) -> Result<()> {
        if self.take(&[word]) {
            Ok(())
        } else {
            self.unexpected()
        }
    }

    pub fn take_token(&mut self, token: &Token) -> bool {
        let next = self.peek() == Some(token);
        if next {
            self.position += 1;
        }
        next
    }

    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.take_token(token) {
            Ok(())
        } else {
            self.unexpected()
        }
    }

    /// Whether a name comes next: quoted, or a word that is not reserved.
    pub fn is_name(&self) -> bool {
        matches!(self.peek(), Some(Token::Word(word))
            if word.quote_style.is_some() || (!is_reserved(&word.value) && !word.value.starts_with('@')))
    }

    /// A name: of a column, a table, an alias.
    pub fn name(&mut self) -> Result<String> {
        if !self.is_name() {
            return self.unexpected();
        }
        match self.advance() {
            Some(Token::Word(word)) => Ok(word.value),
            _ => self.unexpected(),
        }
    }

    /// `@name`, in lower case; not `@@name`.
    pub fn variable(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word))
                if word.quote_style.is_none()
                    && word.value.starts_with('@')
                    && !word.value.starts_with("@@") =>
            {
                let name = word.value.to_lowercase();
                self.position += 1;
                Ok(name)
            }
            _ => self.unexpected(),
        }
    }

    /// `[database.[schema].]object`
    pub fn object_name(&mut self) -> Result<Name> {
        let mut parts = vec![Some(self.name()?)];
        while self.take_token(&Token::Period) {
            if self.peek() == Some(&Token::Period) {
                parts.push(None);
            } else {
                parts.push(Some(self.name()?));
            }
        }
        let object = parts.pop().flatten();
        let schema = parts.pop().flatten();
        let database = parts.pop().flatten();
        match object {
            Some(object) if parts.is_empty() => Ok(Name {
                database,
                schema,
                object,
            }),
            _ => self.unexpected(),
        }
    }

    /// Something in parentheses, one or more, separated by commas.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let items = self.comma_separated(&mut read)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    pub fn comma_separated<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = vec![read(self)?];
        while self.take_token(&Token::Comma) {
            items.push(read(self)?);
        }
        Ok(items)
    }
}

fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&format!(" {} ", word.to_uppercase()))
}
