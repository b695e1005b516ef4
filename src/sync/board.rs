//! How things stand, shared by all who report to the status file.

use std::path::PathBuf;

use time::OffsetDateTime;

use crate::error::Error;
use crate::status::{self, LastError, Status};

/// The status, and the file that it is written to if there is one.
#[derive(Debug)]
pub struct Board {
    /// What the status file says.
    pub status: Status,
    path: Option<PathBuf>,
}

impl Board {
    /// A board that writes to `path`, if given.
    pub fn new(status: Status, path: Option<PathBuf>) -> Self {
        Board { status, path }
    }

    /// Takes note of an error and writes the file.
    pub fn trouble(&mut self, error: &Error) {
        self.status.last_error = Some(LastError {
            time: OffsetDateTime::now_utc(),
            message: error.to_string(),
        });
        self.publish();
    }

    /// Writes the file. That it can't be written is logged, and ends nothing.
    pub fn publish(&self) {
        if let Some(path) = &self.path
            && let Err(error) = status::write(path, &self.status)
        {
            log::error!("{error}");
        }
    }
}
