//! What the tests of behaviour stand on.

pub mod compare;
pub mod database;
pub mod deliveries;
pub mod hostile_api;
pub mod http_client;
pub mod impostor;
pub mod locked;
pub mod other_user;
pub mod program;
pub mod proxy;
pub mod reading;
pub mod receiver;
pub mod servers;
pub mod simulator;
pub mod size;
pub mod sqlserver;
pub mod tds;
pub mod temp;
