//! Tests of behaviour: one binary, so that all of them link the program once.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod simulator_itself;
mod support;
