//! The promises of the program, tested from outside: one module per promise, one binary for all of them.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod added_fields;
mod altered_fields;
mod by_name;
mod certificates_of_servers;
mod damaged;
mod databases_themselves;
mod debts;
mod field_names;
mod full_disk;
mod galera;
mod hostile;
mod indexes;
mod installation;
mod killed;
mod licenses;
mod memory;
mod neighbours;
mod newcomer;
mod old_tables;
mod one_row;
mod outages;
mod panics_caught;
mod private;
mod privileges;
mod readings;
mod readme;
mod sequences;
mod servers_themselves;
mod simulator_itself;
mod sink_mysql;
mod sink_postgres;
mod sink_questions;
mod sink_rows;
mod sink_sqlite;
mod sink_sqlserver;
mod support;
mod tds_itself;
mod told_to_end;
mod torture;
mod transaction_size;
mod truth;
mod two_instances;
mod webhook;
