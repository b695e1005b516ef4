//! The last line of a mode that ends by itself: what it did, how long it took, and whether everything is there.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, Instant};

use super::board::Board;
use super::engine::{Attendance, Engine};
use crate::cli::settings::Mode;
use crate::error::{EXIT_INCOMPLETE, Error, ErrorKind, Result};

/// So many columns are named.
const MAX_NAMED: usize = 5;

/// Prints a line on standard output, and logs it.
pub fn say(line: &str) {
    log::info!("{line}");
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The end of db_init, db_update or `db_sync --once`: prints the line and returns the exit code.
pub fn of_copy(engine: &Engine, begin: Instant, done: Result<()>) -> u8 {
    let counts = engine.board.borrow().status.counts();
    let mut remarks = Vec::new();
    let mut missing = missing(engine);
    let attendance = engine.attendance();
    let absent = engine.checkpoint.absent.len() + attendance.given_up;
    if absent > 0 {
        let text = format!("Dialfire returned no document for {absent} contacts that it names");
        // Events go on naming contacts that were deleted after them. A listing should not: what it names is owed.
        if engine.settings().mode != Mode::DbSync {
            missing.push(text);
        } else if few_came(attendance) {
            missing.push(format!(
                "{text}, and for no more than {} of those that this run asked for",
                attendance.came
            ));
        } else {
            remarks.push(format!("{text}: deleted, as a rule"));
        }
    }
    if done.is_ok() {
        remarks.extend(attendance.lists.remark());
    }
    Closing {
        mode: engine.settings().mode.name(),
        counts,
        remarks,
        missing,
        unusable: left_out(attendance.left_out),
        time: begin.elapsed(),
    }
    .end(done, Some(&engine.board))
}

/// Whether so few of the contacts came that were asked for, that deletions alone don't explain it. Those that did not come
/// before either say nothing.
pub fn few_came(attendance: Attendance) -> bool {
    attendance.came < attendance.newly_absent + attendance.given_up
}

/// What is said of entries of listings that were left out, if there are any.
pub fn left_out(count: u64) -> Option<String> {
    (count > 0).then(|| {
        format!("{count} entries of Dialfire's lists are left out, as they can't be used (the log says why)")
    })
}

/// What is missing although the work ended.
fn missing(engine: &Engine) -> Vec<String> {
    let mut missing = Vec::new();
    let rejected = engine.board.borrow().status.rejected;
    if rejected > 0 {
        missing.push(format!(
            "{rejected} rows were refused by the database and set aside in {}",
            engine.reject_file().display()
        ));
    }
    let unchanged = engine.unchanged();
    if unchanged > 0 {
        missing.push(format!(
            "{unchanged} changes of stored rows were refused by tables that refuse them all"
        ));
    }
    let unmarked = engine.unmarked();
    if unmarked > 0 {
        missing.push(format!(
            "{unmarked} contacts may be out of date, as the database does not let them be marked to be fetched again"
        ));
    }
    missing.extend(engine.unread().map(str::to_owned));
    let waiting = engine.checkpoint.retry.len();
    if waiting > 0 {
        missing.push(format!(
            "{waiting} contacts are incomplete: they could not be fetched, or rows of them were refused, or a part of \
             them could not be read"
        ));
    }
    if engine.checkpoint.refused_call.is_some() && rejected == 0 && unchanged == 0 {
        missing.push("inbound calls were refused by the database".to_owned());
    }
    let unstored = engine.unstored();
    if !unstored.is_empty() {
        let more = if unstored.len() > MAX_NAMED {
            ", …"
        } else {
            ""
        };
        let named = unstored.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>();
        missing.push(format!(
            "{} columns are not stored, as they can't be added ({}{more})",
            unstored.len(),
            named.join(", ")
        ));
    }
    if let Some(owed) = &engine.checkpoint.owed {
        missing.push(format!(
            "older contacts are still to be copied: {}",
            owed.reason
        ));
    }
    missing
}

/// What a closing line says.
#[derive(Debug, Default)]
pub struct Closing {
    /// The mode.
    pub mode: &'static str,
    /// What was done, such as `3 requests sent`.
    pub counts: String,
    /// What is worth knowing besides.
    pub remarks: Vec<String>,
    /// What is missing although the work ended.
    pub missing: Vec<String>,
    /// What is missing besides, and no further run brings.
    pub unusable: Option<String>,
    /// How long it took.
    pub time: Duration,
}

impl Closing {
    /// Prints the line, after the error that ended the work if there is one, and returns the exit code. What is missing is
    /// the last error in the status file.
    pub fn end(mut self, done: Result<()>, board: Option<&RefCell<Board>>) -> u8 {
        let failed = done.err().filter(|error| {
            let stopped = error.kind() == ErrorKind::Stopped;
            let what = if stopped {
                "it was stopped by a signal before the end".to_owned()
            } else {
                error.to_string()
            };
            self.missing.insert(0, what);
            !stopped
        });
        if let Some(error) = &failed {
            log::error!("{error}");
        }
        let (mode, counts, seconds) = (self.mode, self.counts, self.time.as_secs_f64());
        let remarks: String = (self.remarks.iter())
            .map(|remark| format!(" ({remark})"))
            .collect();
        let next = match (self.missing.is_empty(), self.unusable) {
            (true, None) => None,
            (true, Some(unusable)) => {
                self.missing.push(unusable);
                Some(WHAT_IF_UNUSABLE)
            }
            (false, unusable) => {
                self.missing.extend(unusable);
                Some(what_next(mode))
            }
        };
        let Some(next) = next else {
            say(&format!(
                "{mode} complete: {counts} in {seconds:.1} s{remarks}"
            ));
            return 0;
        };
        let missing = self.missing.join("; ");
        say(&format!(
            "{mode} incomplete: {counts} in {seconds:.1} s{remarks}; {missing}; {next}"
        ));
        if let Some(board) = board {
            let error = failed.clone().unwrap_or_else(|| Error::transient(missing));
            board.borrow_mut().record_error(&error);
        }
        failed.map_or(EXIT_INCOMPLETE, |error| error.exit_code())
    }
}

/// What to do where nothing but unusable entries is missing.
const WHAT_IF_UNUSABLE: &str = "everything else is there; they are left out until Dialfire lists them in a form that can be read (tell the vendor)";

/// What to run next so that nothing is missing.
fn what_next(mode: &str) -> &'static str {
    match mode {
        "replay" => "mend the web service and run --a replay again",
        "webhook" => "the next run goes on here",
        "check" => "see the table",
        _ => "the next run of db_init, db_update or db_sync copies what is missing first",
    }
}
