//! What errors of SQLite mean, and what the user can do about them.

use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use crate::error::{Error, ErrorKind};
use crate::files;
use crate::text;

/// Why a file can't grow, if the disk is full: also what SQLite keeps beside it.
pub(super) fn lack_of_room(file: &Path) -> Option<String> {
    let directory = file.parent().unwrap_or(Path::new("."));
    // SQLite needs to make no file where its log is there already.
    let error = files::try_room(directory).err().filter(files::is_full)?;
    Some(format!("it can't grow: {error} (make room on the disk)"))
}

/// Why the file could not be opened, and what to do. `file` is its path without links.
pub(super) fn opening(path: &Path, file: &Path, e: &rusqlite::Error) -> Error {
    let what = format!("cannot open the SQLite database {}", path.display());
    let directory = path.parent().unwrap_or(Path::new("."));
    if path.is_dir() {
        return Error::setup(format!("{what}: it is a directory (name a file in --url)"));
    }
    if !directory.is_dir() {
        return Error::setup(format!(
            "{what}: the directory {} does not exist (create it, or check --url)",
            directory.display()
        ));
    }
    if e.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
        return Error::setup(format!(
            "{what}: this user may not write there (check owner and mode of {} and of the file)",
            directory.display()
        ));
    }
    if let Some(why) = lack_of_room(file) {
        return Error::transient(format!("{what}: {why}"));
    }
    let log = ["-wal", "-shm"].map(|end| beside(path, end));
    if e.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
        && log.iter().any(|file| file.exists())
    {
        let [wal, shm] = log;
        return Error::setup(format!(
            "{what}: {e} (if the file was deleted or moved without {} and {}, delete these while no program has them open; \
             what they hold belongs to the file that is gone)",
            wal.display(),
            shm.display()
        ));
    }
    failure(path, "opening it", e)
}

/// A file that SQLite keeps beside a database.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Whether another program holds the file.
pub(super) fn is_busy(e: &rusqlite::Error) -> bool {
    matches!(
        e.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// The one place that decides what an error of SQLite leads to.
pub(super) fn failure(path: &Path, doing: &str, e: &rusqlite::Error) -> Error {
    let message = text::foreign(&whole_text(e));
    error(path, doing, e, &message)
}

/// The same for what writes rows. What a trigger raises may hold values of the row, as may what a function says that it
/// calls; what SQLite itself says of constraints and missing tables holds names.
pub(super) fn refusal(path: &Path, doing: &str, e: &rusqlite::Error) -> Error {
    let whole = whole_text(e);
    let code = e.sqlite_error_code();
    let is_own = match code {
        Some(ErrorCode::ConstraintViolation) => extended(e) != ffi::SQLITE_CONSTRAINT_TRIGGER,
        // A function may say this, too, but then other words come first.
        Some(ErrorCode::Unknown) => whole.starts_with("no such "),
        _ => true,
    };
    let shown = match code {
        _ if is_own => text::foreign(&whole),
        Some(ErrorCode::ConstraintViolation) => {
            format!("a trigger refused it (error {})", extended(e))
        }
        _ => format!("SQLite refused it (error {})", extended(e)),
    };
    error(path, doing, e, &shown).with_detail(&whole)
}

fn whole_text(e: &rusqlite::Error) -> String {
    match e {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

fn error(path: &Path, doing: &str, e: &rusqlite::Error, text: &str) -> Error {
    use ErrorCode as Code;
    let (kind, advice) = match e.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            (ErrorKind::Transient, " (another program holds the file)")
        }
        Some(Code::DiskFull) => (ErrorKind::Transient, " (make room on the disk)"),
        // SQLITE_READONLY_DBMOVED
        Some(Code::ReadOnly) if extended(e) == 1032 => (ErrorKind::Transient, ""),
        Some(Code::ReadOnly | Code::PermissionDenied | Code::AuthorizationForStatementDenied) => (
            ErrorKind::Setup,
            " (check owner and mode of the file and of its directory)",
        ),
        Some(Code::NotADatabase) => (ErrorKind::Setup, " (check the file name in --url)"),
        Some(Code::DatabaseCorrupt) => (
            ErrorKind::Setup,
            " (restore a backup, or move the file away and run --a db_init)",
        ),
        Some(Code::ConstraintViolation) if extended(e) == ffi::SQLITE_CONSTRAINT_NOTNULL => (
            ErrorKind::Data,
            " (a column that another program added needs a default value)",
        ),
        Some(Code::ConstraintViolation | Code::TypeMismatch | Code::TooBig) => {
            (ErrorKind::Data, "")
        }
        // Among others a table or column that is gone: preparing again mends it.
        _ => (ErrorKind::Transient, ""),
    };
    let message = format!(
        "SQLite database {}: {doing}: {text}{advice}",
        path.display()
    );
    let is_of_row = match e.sqlite_error_code() {
        Some(Code::ConstraintViolation) => !matches!(
            extended(e),
            ffi::SQLITE_CONSTRAINT_NOTNULL | ffi::SQLITE_CONSTRAINT_TRIGGER
        ),
        Some(Code::TypeMismatch | Code::TooBig) => true,
        _ => false,
    };
    if is_of_row {
        Error::of_row(message)
    } else {
        Error::new(kind, message)
    }
}

fn extended(e: &rusqlite::Error) -> i32 {
    e.sqlite_error().map_or(0, |e| e.extended_code)
}
