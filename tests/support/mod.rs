//! Support for the tests of behaviour.

pub mod simulator;
