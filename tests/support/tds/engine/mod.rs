//! What runs the statements: SQLite underneath, SQL Server's types, rules and refusals above.

pub mod catalogue;
pub mod collation;
pub mod convert;
pub mod decimals;
pub mod functions;
pub mod render;
pub mod render_query;
pub mod scalar;
pub mod server_functions;
pub mod session;
pub mod statements;
pub mod store;
pub mod system_views;
pub mod table_definitions;
pub mod times;
pub mod transactions;
pub mod writes;
