//! The simulator as a program of its own, for the demo and the benchmark.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "mod.rs"]
mod simulator;

fn main() {}
