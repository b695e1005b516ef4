//! What a batch says, as data.

use super::super::wire::types::SqlType;

/// `database.schema.table`, as far as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub database: Option<String>,
    pub schema: Option<String>,
    pub object: String,
}

impl Name {
    pub fn is_temporary(&self) -> bool {
        self.object.starts_with('#')
    }

    /// As error messages quote it.
    pub fn display(&self) -> String {
        match (&self.database, &self.schema) {
            (Some(database), schema) => format!(
                "{database}.{}.{}",
                schema.as_deref().unwrap_or(""),
                self.object
            ),
            (None, Some(schema)) => format!("{schema}.{}", self.object),
            (None, None) => self.object.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Null,
    Integer(String),
    Decimal(String),
    Float(String),
    Text {
        value: String,
        unicode: bool,
    },
    Binary(Vec<u8>),
    /// `@name`, in lower case.
    Variable(String),
    Column {
        table: Option<String>,
        name: String,
    },
    Negate(Box<Expr>),
    Arithmetic(Box<Expr>, char, Box<Expr>),
    Call(String, Vec<Expr>),
    /// `COUNT(*)`
    CountAll,
    Aggregate {
        name: String,
        distinct: bool,
        value: Box<Expr>,
    },
    RowNumber {
        partition: Vec<Expr>,
        order: Vec<Order>,
    },
    Cast {
        value: Box<Expr>,
        kind: SqlType,
        style: Option<Box<Expr>>,
    },
    /// `CASE WHEN … THEN …`; the simple form is turned into comparisons.
    Case {
        branches: Vec<(Condition, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Subquery(Box<Query>),
    Collate(Box<Expr>, String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(Expr, &'static str, Expr),
    IsNull(Expr),
    In(Expr, Vec<Expr>),
    InQuery(Expr, Box<Query>),
    Between(Expr, Expr, Expr),
    Like {
        value: Expr,
        pattern: Expr,
        escape: Option<Expr>,
    },
    Exists(Box<Query>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub by: Expr,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub body: Body,
    pub order: Vec<Order>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Select(Box<Select>),
    Union {
        left: Box<Body>,
        all: bool,
        right: Box<Body>,
    },
    Values(Vec<Vec<Expr>>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub distinct: bool,
    pub top: Option<Expr>,
    pub items: Vec<Item>,
    pub into: Option<Name>,
    pub from: Option<From>,
    pub condition: Option<Condition>,
    pub group: Vec<Expr>,
    pub having: Option<Condition>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    Expr {
        value: Expr,
        alias: Option<String>,
    },
    /// `@variable = …`
    Assignment {
        variable: String,
        value: Expr,
    },
    All(Option<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct From {
    pub first: Source,
    pub joins: Vec<Join>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub kind: JoinKind,
    pub source: Source,
    pub on: Option<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Cross,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Table {
        name: Name,
        alias: Option<String>,
    },
    Derived {
        query: Box<Query>,
        alias: String,
        columns: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    pub name: String,
    pub kind: SqlType,
    /// `None` where nothing is said.
    pub nullable: Option<bool>,
    pub key: Option<Key>,
}

/// A PRIMARY KEY or UNIQUE constraint.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub name: Option<String>,
    pub primary: bool,
    pub columns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum InsertSource {
    Query(Box<Query>),
    /// `None` is DEFAULT.
    Values(Vec<Vec<Option<Expr>>>),
    Defaults,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    Value(Expr),
    Output(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    pub line: u32,
    pub statement: Statement,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Select(Query),
    Insert {
        table: Name,
        columns: Vec<String>,
        source: InsertSource,
    },
    /// `target` may be an alias of `from`.
    Update {
        target: Name,
        set: Vec<(String, Expr)>,
        from: Option<From>,
        condition: Option<Condition>,
    },
    Delete {
        target: Name,
        from: Option<From>,
        condition: Option<Condition>,
    },
    CreateTable {
        table: Name,
        columns: Vec<ColumnDefinition>,
        keys: Vec<Key>,
    },
    AddColumns {
        table: Name,
        columns: Vec<ColumnDefinition>,
        keys: Vec<Key>,
    },
    AlterColumn {
        table: Name,
        column: ColumnDefinition,
    },
    /// A CHECK constraint for rows to come.
    AddCheck {
        table: Name,
        name: String,
        condition: Condition,
    },
    DropConstraint {
        table: Name,
        name: String,
    },
    DropColumns {
        table: Name,
        names: Vec<String>,
    },
    CreateIndex {
        name: String,
        table: Name,
        columns: Vec<String>,
        unique: bool,
        /// IGNORE_DUP_KEY = ON
        ignores: bool,
    },
    DropTables(Vec<Name>),
    DropIndex {
        name: String,
        table: Name,
    },
    Truncate(Name),
    Begin,
    Commit,
    Rollback,
    If {
        condition: Condition,
        then: Box<Located>,
        otherwise: Option<Box<Located>>,
    },
    Block(Vec<Located>),
    Try {
        body: Vec<Located>,
        catch: Vec<Located>,
    },
    Declare(Vec<(String, SqlType, Option<Expr>)>),
    SetVariable(String, Expr),
    /// The option in upper case and the rest of the statement.
    SetOption(String, Vec<String>),
    Print(Expr),
    RaiseError {
        message: Expr,
        class: Expr,
        state: Expr,
    },
    Execute {
        result: Option<String>,
        procedure: Name,
        arguments: Vec<(Option<String>, Argument)>,
    },
    ExecuteText(Expr),
    Use(String),
    Return,
    WaitFor(Expr),
    InsertBulk {
        table: Name,
        columns: Vec<(String, SqlType)>,
    },
}
