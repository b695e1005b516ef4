//! Support for the tests of behaviour.

pub mod http_client;
pub mod reading;
pub mod simulator;
