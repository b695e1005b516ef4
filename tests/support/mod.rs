//! What the tests of behaviour stand on.

pub mod database;
pub mod servers;
pub mod temp;
