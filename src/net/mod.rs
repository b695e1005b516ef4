//! HTTP for the source and for web services alike: time limits, budgets, retries, names, proxies, TLS, secrets. Knows
//! neither Dialfire nor what is posted.

pub mod answer_budget;
pub mod http;
pub mod http_date;
pub mod large;
pub mod proxy;
pub mod resolver;
pub mod retry;
pub mod secret;
pub mod tls;
pub mod web_address;
pub mod write_buffer;
