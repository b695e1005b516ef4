//! The log: a file of bounded size; errors on standard output and standard error, too.

pub mod limit;
mod rotation;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{Config, ConfigBuilder, LevelPadding, WriteLogger};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cli::Settings;
use crate::cli::settings::Mode;
use crate::error::{Error, Result};
use crate::files;
use crate::text;
use rotation::{Clock, Limits, RotatingLog};

/// A new file is begun after 10 MiB, and the newest ten of each campaign and mode are kept: 100 MiB in all.
const LIMITS: Limits = Limits {
    file_bytes: 10 * 1024 * 1024,
    files: 10,
    goes_on: false,
};

/// Lines of this crate are logged from debug on, those of other crates only if they are warnings or errors.
const OWN_CRATE: &str = env!("CARGO_CRATE_NAME");

/// Where the log has gone.
#[derive(Debug)]
pub struct LogFile {
    /// The first file; `None` where no directory could be written to and the log goes to standard output.
    pub path: Option<PathBuf>,
    /// Why `--log-dir` is not written to, where others could lead the log astray; only `check` goes on then.
    pub problem: Option<String>,
}

/// Opens the log of this campaign and mode, and prints its path to standard output, as the vendor's client does.
///
/// The directory is `--log-dir`, or else the first of `/var/log/dbsync` and `$HOME/.dbsync/logs`
/// (Windows: `%LOCALAPPDATA%\dbsync\logs`) that can be written to. Where there is none, the program goes on with
/// standard output and says so.
///
/// # Errors
/// [`Setup`](crate::error::ErrorKind::Setup) if the log is open already, or if `--log-dir` names a directory in which
/// others could lead the log astray.
pub fn init(settings: &Settings, start_time: OffsetDateTime) -> Result<LogFile> {
    let directories = directories(settings.log_dir.as_deref(), &|name| std::env::var_os(name));
    let stem = format!("{}_{}", settings.campaign, settings.mode.name());
    let limits = Limits {
        goes_on: settings.once,
        ..LIMITS
    };
    let Opened {
        file,
        notice,
        refused,
    } = open_first(&directories, &stem, limits, &|| clock_from(start_time));
    let problem = refused
        .first()
        .filter(|_| settings.log_dir.is_some())
        .map(|refused| format!("cannot write a log file in {refused} (check --log-dir)"));
    if let Some(problem) = &problem
        && settings.mode != Mode::Check
    {
        return Err(Error::setup(problem.clone()));
    }
    // Not println!, which panics when nobody listens.
    let _ = writeln!(io::stdout(), "{notice}");
    let path = file.as_ref().map(|file| file.path().to_owned());
    let levels = Levels::new(settings, file.is_some());
    let stderr = stderr_is_another_file().then(|| Box::new(io::stderr()) as Output);
    let logger = Logger::new(levels, file, Box::new(io::stdout()), stderr);
    log::set_boxed_logger(Box::new(logger))
        .map_err(|error| Error::setup(format!("cannot open the log: {error}")))?;
    log::set_max_level(levels.file.max(levels.stdout));
    for refused in refused {
        log::warn!("no log is written to {refused}");
    }
    Ok(LogFile { path, problem })
}

/// The real clock, but for the first file the time that the caller calls its start.
fn clock_from(start_time: OffsetDateTime) -> Clock {
    let first = std::cell::Cell::new(Some(start_time));
    Box::new(move || first.take().unwrap_or_else(OffsetDateTime::now_utc))
}

/// Where to try to write the log, best first.
fn directories(
    log_dir: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<PathBuf> {
    if let Some(directory) = log_dir {
        return vec![directory.to_owned()];
    }
    let below = |variable: &str, parts: [&str; 2]| {
        environment(variable)
            .filter(|base| !base.is_empty())
            .map(|base| PathBuf::from(base).join(parts.iter().collect::<PathBuf>()))
    };
    if cfg!(windows) {
        below("LOCALAPPDATA", ["dbsync", "logs"])
            .into_iter()
            .collect()
    } else {
        let own = below("HOME", [".dbsync", "logs"]);
        std::iter::once(PathBuf::from("/var/log/dbsync"))
            .chain(own)
            .collect()
    }
}

/// What came of the search for a directory.
struct Opened {
    file: Option<RotatingLog>,
    /// The line about it for the admin.
    notice: String,
    /// Directories that could be written to, and why they were passed over.
    refused: Vec<String>,
}

/// The log in the first directory that takes it.
fn open_first(
    directories: &[PathBuf],
    stem: &str,
    limits: Limits,
    clock: &dyn Fn() -> Clock,
) -> Opened {
    let (mut failures, mut refused) = (Vec::new(), Vec::new());
    for directory in directories {
        match RotatingLog::create(directory, stem, limits, clock()) {
            Ok(log) => {
                let notice = format!("log file: {}", log.path().display());
                return Opened {
                    file: Some(log),
                    notice,
                    refused,
                };
            }
            Err(error) => {
                let reason = format!("{}: {error}", directory.display());
                if files::is_refusal(&error) && files::is_writable(directory) {
                    refused.push(reason.clone());
                }
                failures.push(reason);
            }
        }
    }
    let reasons = if failures.is_empty() {
        "no directory is known".to_owned()
    } else {
        failures.join("; ")
    };
    let notice =
        format!("cannot write a log file: {reasons} (give --log-dir); logging to standard output");
    Opened {
        file: None,
        notice,
        refused,
    }
}

/// What goes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Levels {
    file: LevelFilter,
    stdout: LevelFilter,
}

impl Levels {
    /// `--l` is for the file, and for standard output where there is none; `--v` for standard output.
    fn new(settings: &Settings, has_file: bool) -> Levels {
        // The vendor's levels are critical, error, warning, notice, info and debug.
        let asked = match settings.log_level {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 | 4 => LevelFilter::Info,
            _ => LevelFilter::Debug,
        };
        let stdout = match (settings.verbose, has_file) {
            (true, _) => LevelFilter::Debug,
            (false, true) => LevelFilter::Error,
            (false, false) => asked.max(LevelFilter::Error),
        };
        Levels {
            file: asked,
            stdout,
        }
    }
}

/// Whether what is written to standard error goes elsewhere than what is written to standard output: on a terminal, or
/// after `2>&1`, each error is to be read once.
#[cfg(unix)]
fn stderr_is_another_file() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let identity = |stream: std::os::fd::BorrowedFd<'_>| {
        let file = std::fs::File::from(stream.try_clone_to_owned().ok()?);
        let metadata = file.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let (stdout, stderr) = (
        identity(io::stdout().as_fd()),
        identity(io::stderr().as_fd()),
    );
    stderr.is_some() && stdout != stderr
}

/// Elsewhere the files can't be compared: only a terminal and something else differ for certain.
#[cfg(not(unix))]
fn stderr_is_another_file() -> bool {
    use std::io::IsTerminal;
    io::stdout().is_terminal() != io::stderr().is_terminal()
}

type Output = Box<dyn Write + Send>;

/// Passes each line on to the file and to standard output, and errors to standard error, which cron mails even if
/// standard output is thrown away.
struct Logger {
    file: Option<Box<WriteLogger<RotatingLog>>>,
    stdout: Box<WriteLogger<Output>>,
    stderr: Option<Box<WriteLogger<Output>>>,
}

impl Logger {
    fn new(
        levels: Levels,
        file: Option<RotatingLog>,
        stdout: Output,
        stderr: Option<Output>,
    ) -> Self {
        Logger {
            file: file.map(|file| WriteLogger::new(levels.file, line_format(), file)),
            stdout: WriteLogger::new(levels.stdout, line_format(), stdout),
            stderr: stderr
                .map(|stderr| WriteLogger::new(LevelFilter::Error, line_format(), stderr)),
        }
    }

    fn outputs(&self) -> impl Iterator<Item = &dyn Log> {
        let file = self.file.iter().map(|file| file.as_ref() as &dyn Log);
        let stderr = self.stderr.iter().map(|stderr| stderr.as_ref() as &dyn Log);
        file.chain([self.stdout.as_ref() as &dyn Log]).chain(stderr)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let own = metadata.target() == OWN_CRATE
            || metadata
                .target()
                .strip_prefix(OWN_CRATE)
                .is_some_and(|rest| rest.starts_with("::"));
        // SQL Server's driver logs each error of the server with the values that it quotes; what we log of it has none.
        let talks = metadata.target().starts_with("tiberius");
        (own || (metadata.level() <= Level::Warn && !talks))
            && self.outputs().any(|output| output.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        let text = text::line(&message);
        for output in self.outputs() {
            output.log(
                &Record::builder()
                    .metadata(record.metadata().clone())
                    .args(format_args!("{text}"))
                    .build(),
            );
        }
    }

    fn flush(&self) {
        for output in self.outputs() {
            output.flush();
        }
    }
}

fn line_format() -> Config {
    ConfigBuilder::new()
        .set_time_format_custom(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        ))
        .set_time_level(LevelFilter::Error)
        .set_level_padding(LevelPadding::Right)
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build()
}

#[cfg(test)]
mod tests;
