//! The TDS 7.4 protocol: packets, TLS, log-in, tokens, types and values. Knows nothing of SQL.

pub mod answer;
pub mod code_page;
pub mod days;
pub mod login;
pub mod message;
pub mod prelogin;
pub mod tokens;
pub mod transport;
pub mod types;
pub mod values;
