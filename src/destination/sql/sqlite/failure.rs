//! What errors of SQLite mean, and what the user can do about them.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, ffi};

use crate::destination::sql::dialect::SQLITE;
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

/// The same for what writes rows. What a trigger raises may hold values of the row, as may what a function or a virtual
/// table says that it uses; what SQLite itself says of constraints holds names.
pub(super) fn refusal(conn: &Connection, path: &Path, doing: &str, e: &rusqlite::Error) -> Error {
    let whole = whole_text(e);
    let code = e.sqlite_error_code();
    let gone = whole.strip_prefix("no such ");
    let is_own = match code {
        Some(ErrorCode::ConstraintViolation) => extended(e) != ffi::SQLITE_CONSTRAINT_TRIGGER,
        Some(ErrorCode::Unknown) => gone.is_some_and(|gone| is_in_a_trigger(conn, gone)),
        _ => true,
    };
    let shown = match code {
        _ if is_own => text::foreign(&whole),
        Some(ErrorCode::ConstraintViolation) => {
            format!("a trigger refused it (error {})", extended(e))
        }
        Some(ErrorCode::Unknown) if gone.is_some() => {
            format!(
                "something that a trigger uses is gone (error {})",
                extended(e)
            )
        }
        _ => format!("SQLite refused it (error {})", extended(e)),
    };
    error(path, doing, e, &shown).with_detail(&whole)
}

/// Whether `gone`, such as `table: main.audit`, is a name that a trigger or a view uses: a full-text search calls what it
/// was asked for a column that is missing.
fn is_in_a_trigger(conn: &Connection, gone: &str) -> bool {
    let Some((_, name)) = gone.split_once(": ") else {
        return false;
    };
    let name = name.strip_prefix("main.").unwrap_or(name);
    let read = || -> rusqlite::Result<Vec<String>> {
        conn.prepare("SELECT sql FROM sqlite_schema WHERE type IN ('trigger', 'view')")?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    read().is_ok_and(|statements| statements.iter().any(|sql| has_word(sql, name)))
}

/// Whether a text has this word, and not only as a part of another one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text
                .get(at + word.len()..)
                .and_then(|text| text.chars().next());
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
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
    let error = Error::new(kind, message);
    // SQLite looked at an index of this table, and not a trigger at another table.
    let of = text
        .strip_prefix(UNIQUE)
        .and_then(|columns| columns.split('.').next());
    match of {
        Some(table) if doing.contains(&SQLITE.quote(table)) => error.because_of_row(),
        _ => error,
    }
}

/// What SQLite says before the names of the columns whose values another row has.
const UNIQUE: &str = "UNIQUE constraint failed: ";

fn extended(e: &rusqlite::Error) -> i32 {
    e.sqlite_error().map_or(0, |e| e.extended_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_not_a_part_of_another() {
        let sql =
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO audit_49 VALUES (NEW.note); END";
        for (word, is_there) in [
            ("audit_49", true),
            ("NEW.note", true),
            ("audit", false),
            ("49", false),
            ("+4989", false),
            ("", false),
        ] {
            assert_eq!(has_word(sql, word), is_there, "{word}");
        }
    }
}
