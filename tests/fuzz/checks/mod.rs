//! What has to hold for any input: one function per kind of input, used by the fuzz targets and by the replay of the corpus.
//!
//! All of them panic where something is wrong. Each limits the memory that its input takes, see [`memory::bounded`].
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod addresses;
mod answers;
mod bombs;
mod command_line;
mod contacts;
mod listings;
mod memory;
mod peer;
mod state_files;

pub use addresses::address;
pub use answers::{mysql_log_in, postgres_log_in, sqlserver_log_in, web_service};
pub use bombs::bombs;
pub use command_line::command_line;
pub use contacts::contacts;
pub use listings::{event, fields, page};
pub use state_files::{clean_up, state_file};

/// A check of one kind of input.
pub type Check = fn(&[u8]);

/// All checks by their names, which are those of the fuzz targets and of the directories of the corpus.
pub const ALL: [(&str, Check); 11] = [
    ("contacts", contacts),
    ("event", event),
    ("page", page),
    ("fields", fields),
    ("address", address),
    ("command_line", command_line),
    ("state_file", state_file),
    ("web_service", web_service),
    ("postgres_log_in", postgres_log_in),
    ("mysql_log_in", mysql_log_in),
    ("sqlserver_log_in", sqlserver_log_in),
];
