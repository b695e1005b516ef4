//! dbsync2 copies the contact updates of one Dialfire campaign into an SQL database.

pub mod cli;
pub mod dialfire;
pub mod error;
pub mod logging;
pub mod progress;
#[cfg(test)]
mod scratch;
pub mod shutdown;
pub mod sink;
pub mod state;
pub mod status;
pub mod sync;
pub mod tables;
pub mod tls;
