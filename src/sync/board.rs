//! How things stand, shared by all who report to the status file.

use std::path::PathBuf;

use time::OffsetDateTime;

use crate::dialfire::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
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

    /// The end of a run: an error that it ends with is published. Not where another process is at work, to which the file
    /// belongs.
    ///
    /// # Errors
    /// That of `done`.
    pub fn end<T>(&mut self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done
            && !matches!(error.kind(), ErrorKind::Stopped | ErrorKind::Locked)
        {
            self.trouble(error);
        }
        done
    }

    /// Whether Dialfire's time is not to be believed, see [`Clock::doubt`]: noted as an error, and then nothing of this
    /// time may go into the checkpoint.
    pub fn doubts(&mut self, clock: &Clock) -> bool {
        let doubt = clock.doubt();
        if let Some(why) = &doubt {
            self.trouble(&Error::transient(why.as_str()));
        }
        doubt.is_some()
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
