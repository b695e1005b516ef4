//! What errors of SQLite mean, and what the user can do about them.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

/// Why the file could not be opened, and what to do.
pub(super) fn opening(path: &Path, e: &rusqlite::Error) -> Error {
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

/// The one place that decides what an error of SQLite leads to. SQLite's messages name tables, columns and
/// constraints, never values.
pub(super) fn failure(path: &Path, doing: &str, e: &rusqlite::Error) -> Error {
    use ErrorCode as Code;
    let text = match e {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
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
        Some(Code::ConstraintViolation | Code::TypeMismatch | Code::TooBig) => {
            (ErrorKind::Data, "")
        }
        // Among others a table or column that is gone: preparing again mends it.
        _ => (ErrorKind::Transient, ""),
    };
    Error::new(
        kind,
        format!(
            "SQLite database {}: {doing}: {text}{advice}",
            path.display()
        ),
    )
}

fn extended(e: &rusqlite::Error) -> i32 {
    e.sqlite_error().map_or(0, |e| e.extended_code)
}
