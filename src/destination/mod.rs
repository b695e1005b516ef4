//! Where the data go: tables of an SQL database, or a web service.

pub mod sql;
pub mod webhook;
