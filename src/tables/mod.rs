//! What a contact becomes: tables, columns and rows, without knowledge of HTTP or of any database.

pub mod batch;
pub mod schema;
