//! What was asked for: flags, environment, settings. Knows no other module but the error type.

pub mod settings;
