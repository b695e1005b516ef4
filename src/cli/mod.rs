//! What was asked for: flags, environment, settings. Knows no other module but the error type.

mod arguments;
pub mod completions;
mod duration;
mod first_line;
pub mod flags;
pub mod help;
pub mod licenses;
pub mod man;
pub mod parse;
pub mod settings;
mod start_date;
pub mod variables;
mod web_address;
mod webhook;

pub use parse::{Parsed, parse};
pub use settings::Settings;
pub use web_address::{is_host_and_port, is_web_address};

#[cfg(test)]
mod tests;
