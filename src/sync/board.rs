//! How things stand, shared by all who report to the status file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::error::{Error, ErrorKind, Result};
use crate::shutdown::{LastWords, Shutdown};
use crate::source::clock::Clock;
use crate::status::{self, LastError, Status};

/// A round that takes longer than this publishes what it has done so far.
const PUBLISH_EVERY: Duration = Duration::from_secs(60);

/// What a forced end can say of the run: a copy of the status, which is never waited for.
#[derive(Debug)]
struct Standing {
    status: Mutex<Status>,
    path: Option<PathBuf>,
    begin: Instant,
}

impl LastWords for Standing {
    fn done(&self) -> Option<String> {
        let status = self.status.try_lock().ok()?;
        let seconds = self.begin.elapsed().as_secs_f64();
        Some(format!("{} in {seconds:.1} s", status.counts()))
    }

    fn note(&self, line: &str) {
        let (Some(path), Ok(mut status)) = (&self.path, self.status.try_lock()) else {
            return;
        };
        status.last_error = Some(LastError {
            time: OffsetDateTime::now_utc(),
            message: line.to_owned(),
        });
        if let Err(error) = status::write(path, &status) {
            log::error!("{error}");
        }
    }
}

/// The status, and the file that it is written to if there is one.
#[derive(Debug)]
pub struct Board {
    /// What the status file says.
    pub status: Status,
    path: Option<PathBuf>,
    /// When the file was last written in the middle of a round, or the first round began.
    published: Instant,
    /// For a forced end, once the run has begun.
    standing: Option<Arc<Standing>>,
}

impl Board {
    /// A board that writes to `path`, if given.
    pub fn new(status: Status, path: Option<PathBuf>) -> Self {
        Board {
            status,
            path,
            published: Instant::now(),
            standing: None,
        }
    }

    /// The run begins, and the file belongs to it from now on: to be called when no other process is at work.
    pub fn begin(&mut self, shutdown: &Shutdown) {
        let standing = Arc::new(Standing {
            status: Mutex::new(self.status.clone()),
            path: self.path.clone(),
            begin: Instant::now(),
        });
        shutdown.leave(Arc::clone(&standing) as Arc<dyn LastWords>);
        self.standing = Some(standing);
        self.publish();
    }

    /// Leaves word for a forced end.
    fn leave(&self) {
        if let Some(standing) = &self.standing
            && let Ok(mut status) = standing.status.try_lock()
        {
            status.clone_from(&self.status);
        }
    }

    /// Takes note of an error and writes the file.
    pub fn record_error(&mut self, error: &Error) {
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
            self.record_error(error);
        }
        done
    }

    /// Whether Dialfire's time is not to be believed, see [`Clock::doubt`]: noted as an error, and then nothing of this
    /// time may go into the checkpoint.
    pub fn doubts(&mut self, clock: &Clock) -> bool {
        let doubt = clock.doubt();
        if let Some(why) = &doubt {
            self.record_error(&Error::transient(why.as_str()));
        }
        doubt.is_some()
    }

    /// Writes the file if a minute has passed since the last time. To be called again and again during a round: a first copy
    /// may take hours, and whoever watches the file must see it go on.
    pub fn publish_in_between(&mut self, now: Instant) {
        self.leave();
        if now.saturating_duration_since(self.published) >= PUBLISH_EVERY {
            self.published = now;
            self.publish();
        }
    }

    /// Writes the file. That it can't be written is logged, and ends nothing.
    pub fn publish(&self) {
        self.leave();
        if let Some(path) = &self.path
            && let Err(error) = status::write(path, &self.status)
        {
            log::error!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_long_round_is_published_once_a_minute() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("status.json");
        let mut board = Board::new(crate::status::tests::status(), Some(path.clone()));
        let begin = board.published;
        board.publish_in_between(begin + Duration::from_secs(59));
        assert!(!path.exists());
        board.status.written.contacts = 4711;
        board.publish_in_between(begin + Duration::from_secs(60));
        assert!(std::fs::read_to_string(&path).unwrap().contains("4711"));
        std::fs::remove_file(&path).unwrap();
        board.publish_in_between(begin + Duration::from_secs(119));
        assert!(!path.exists());
        board.publish_in_between(begin + Duration::from_secs(120));
        assert!(path.exists());
    }
}
