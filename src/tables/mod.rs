//! What a contact becomes: tables, columns and rows, without knowledge of HTTP or of any database.

pub mod batch;
pub mod buffer;
pub mod fields;
pub mod filter;
pub mod ids;
pub mod numbers;
pub mod rows;
pub mod schema;
