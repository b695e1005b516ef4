//! The source: Dialfire's REST API, read only.

pub mod json;
