//! dbsync2 copies the contact updates of one Dialfire campaign into an SQL database.

pub mod cli;
pub mod error;
pub mod sink;
pub mod tables;
pub mod tls;
