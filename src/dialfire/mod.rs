//! The source: the REST API of Dialfire, read only. Knows nothing of SQL.
//!
//! [`client::Client`] has one function per call of the API. Below it, [`http`] makes one request, [`exchange`] judges the
//! answer, [`retry`] repeats it until it succeeds, [`pages`] follows cursors, [`clock`] keeps the server's time.

pub mod answer_budget;
pub mod client;
pub mod clock;
pub mod contacts;
pub mod event;
pub mod exchange;
pub mod fields;
pub mod fired;
pub mod http;
pub mod json;
pub mod large;
pub mod pages;
pub mod proxy;
pub mod query;
pub mod resolver;
pub mod retry;
pub mod shape;
pub mod write_buffer;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
