//! The T-SQL that this server understands: SQL Server 2008's, as far as a program that writes rows needs it.
//!
//! The tokens are cut by sqlparser (MsSqlDialect); the grammar is our own, as sqlparser's takes much that
//! SQL Server refuses and refuses some that it takes. What the grammar does not know is a syntax error.

pub mod ast;
pub mod calls;
pub mod conditions;
pub mod data_types;
pub mod definitions;
pub mod expressions;
pub mod queries;
pub mod statements;
pub mod tokens;
pub mod writes;
