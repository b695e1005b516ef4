//! Every file that the program keeps: how it is opened, made, replaced and removed.
//!
//! State directory, log directory, status file: nothing of them is opened, made or moved but here. Another user of the
//! computer may have prepared what lies there, and the program may run as root:
//!
//! - A directory has to belong to the program's user or to root, and nobody else may write to it; the same holds for the
//!   directories above it, which could be exchanged otherwise, and for symbolic links on the way. See [`directory()`].
//! - A file that exists is opened without following a link and without waiting for the other end of a FIFO. It has to be
//!   a regular file of the program's user with one name; where others may read or write it, that ends.
//! - A file that is new is made under a name that nobody can guess, and moved to its place when it is complete.
//!
//! What is not used for such a reason is a [`Refusal`], whose text names owner or mode, and what to do.
//!
//! Windows knows no such owners and modes: who may do what there is what the directory's access list says. Links are
//! not followed there either, and what is not a regular file is refused.
//!
//! Files that the admin names to be read (token, certificates) are of another kind: see [`input`].

mod directory;
pub mod input;
mod rules;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use directory::{directory, is_writable, try_directory};
use rules::User;

/// Ending of a file that is not complete yet.
const NEW: &str = ".new";

/// Beginning of such a file where others look into the directory.
const HIDDEN: &str = ".";

/// Bytes for which there must be room on a disk: more than a checkpoint and the log of a start.
const MIN_ROOM: usize = 64 * 1024;

/// Of a file beside the status file, which other programs may write to, too: an incomplete one that is older than this
/// is left over from a process that was killed.
const MIN_LEFTOVER_AGE: Duration = Duration::from_secs(600);

/// Why a file or directory is not used, although the operating system would allow it.
#[derive(Debug)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn refusal(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Refusal(text))
}

/// Whether an error is a [`Refusal`], and not one of the operating system.
pub fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Refusal>())
}

/// Puts the path before a [`Refusal`], for callers whose message would not name it; leaves other errors as they are.
pub fn naming(path: &Path, error: io::Error) -> io::Error {
    if is_refusal(&error) {
        refusal(format!("{}: {error}", path.display()))
    } else {
        error
    }
}

/// Whether a file could not be written for lack of room: the disk is full, or the user's share of it, or files may not
/// become as large.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Whether there is room on the disk for what a directory holds, and files can be made there: makes one, which is
/// removed at once.
///
/// # Errors
/// Those of the system.
pub fn try_room(directory: &Path) -> io::Result<()> {
    let path = directory.join("dbsync2-check");
    try_beside(&path, rules::private(&mut OpenOptions::new()))
}

fn try_beside(path: &Path, options: &mut OpenOptions) -> io::Result<()> {
    let (mut file, temporary) = create_beside(path, HIDDEN, options)?;
    // Some file systems find out that they are full only when what they hold back goes to the disk.
    let written = file
        .write_all(&[b' '; MIN_ROOM])
        .and_then(|()| file.sync_all());
    remove_quietly(&temporary);
    written
}

/// Looks at a database file which is to be opened or made, and at those beside it that belong to it, by their endings.
/// Other programs may own it and use it, too, so that less is refused than of this program's own files: links of other
/// users, what is not a regular file or has a second name, what another user has made in a directory that is open to
/// all; for root also such a directory itself, unless it has the sticky bit.
///
/// Returns the path without links, and what else is doubtful, in words.
///
/// # Errors
/// Those of the system, and a [`Refusal`].
pub fn database(path: &Path, endings: &[&str]) -> io::Result<(PathBuf, Vec<String>)> {
    directory::database(path, endings)
}

/// Opens an existing file to be read.
///
/// # Errors
/// Those of the system, and a [`Refusal`].
pub fn open(path: &Path) -> io::Result<File> {
    open_as(OpenOptions::new().read(true), path)
}

/// Opens a file to be read and extended; makes it if it is missing.
///
/// # Errors
/// As [`open`].
pub fn append(path: &Path) -> io::Result<File> {
    open_as(
        OpenOptions::new().read(true).append(true).create(true),
        path,
    )
}

/// Opens a file to be read and written over, as it is; makes it if it is missing.
///
/// # Errors
/// As [`open`].
pub fn update(path: &Path) -> io::Result<File> {
    open_as(OpenOptions::new().read(true).write(true).create(true), path)
}

/// Makes a file to be extended, where there is nothing of its name.
///
/// # Errors
/// As [`open`]; [`AlreadyExists`](io::ErrorKind::AlreadyExists).
pub fn create(path: &Path) -> io::Result<File> {
    rules::private(OpenOptions::new().append(true).create_new(true)).open(path)
}

fn open_as(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = open_checked(options, path)?;
    rules::narrow_file(path, &file, &file.metadata()?)?;
    Ok(file)
}

/// Opens what [`publish`] wrote to be read; its mode stays, as others are meant to read it.
///
/// # Errors
/// As [`open`].
pub fn open_published(path: &Path) -> io::Result<File> {
    open_checked(OpenOptions::new().read(true), path)
}

fn open_checked(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let user = User::effective();
    // First by name: opening a device may do something already, and the system has no good words for the rest.
    if let Ok(data) = fs::symlink_metadata(path) {
        rules::file(path, &data, user)?;
    }
    let file = rules::follow_nothing(options).open(path)?;
    // Then what was opened, which nobody can exchange any more.
    rules::file(path, &file.metadata()?, user)?;
    Ok(file)
}

/// Whether there is something of this name, be it a link that leads nowhere.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Reads a file as text; `None` where there is none.
///
/// # Errors
/// As [`open`]; [`InvalidData`](io::ErrorKind::InvalidData) where it is no text.
pub fn read_text(path: &Path) -> io::Result<Option<String>> {
    match open(path) {
        Ok(file) => io::read_to_string(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file again, so that either the old or the new one is there after a crash.
///
/// # Errors
/// Those of the system and of `write`; the old file then stays as it was.
pub fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    complete(path, |file| {
        let mut buffered = BufWriter::new(file);
        write(&mut buffered)?;
        let file = buffered.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()
    })?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Puts a copy of a file in the place of another one, if there is one. The copy may be lost with the next power cut.
///
/// # Errors
/// Those of [`open`] and of the system.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = open(from)?;
    complete(to, |mut file| io::copy(&mut source, &mut file).map(drop))
}

/// Writes a file under another name and moves it to its place.
fn complete(path: &Path, write: impl FnOnce(File) -> io::Result<()>) -> io::Result<()> {
    let (file, temporary) = create_beside(path, "", rules::private(&mut OpenOptions::new()))?;
    write(file)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| remove_quietly(&temporary))
}

/// Gives a file another name, in place of one that has it.
///
/// # Errors
/// As [`open`].
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    open(from)?;
    fs::rename(from, to)
}

/// Removes a file by its name; what a link leads to stays.
///
/// # Errors
/// Those of the system.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

fn remove_quietly(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Makes the name of a file durable that was made, renamed or removed there.
///
/// # Errors
/// Those of the system.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

/// Looks at all files of a directory whose names begin so, before any of them is opened; returns their paths.
///
/// # Errors
/// As [`open`], for the first one that is refused, with its path.
pub fn inspect(directory: &Path, begin: &str) -> io::Result<Vec<PathBuf>> {
    let user = User::effective();
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let begins_so = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(begin));
        if !begins_so(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let data = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            data => data?,
        };
        rules::file(&path, &data, user).map_err(|error| naming(&path, error))?;
        found.push(path);
    }
    Ok(found)
}

/// As [`inspect`]; removes what a killed process has left incomplete, and takes from others what they may do with the
/// rest. For who alone writes files of such names.
///
/// # Errors
/// As [`inspect`].
pub fn settle(directory: &Path, begin: &str) -> io::Result<()> {
    for path in inspect(directory, begin)? {
        if path
            .as_os_str()
            .as_encoded_bytes()
            .ends_with(NEW.as_bytes())
        {
            remove_quietly(&path);
        } else {
            narrow(&path).map_err(|error| naming(&path, error))?;
        }
    }
    Ok(())
}

/// Takes from all but the owner what they may do with a file. One that can't be opened is left to whoever needs it.
///
/// # Errors
/// A [`Refusal`].
pub fn narrow(path: &Path) -> io::Result<()> {
    match open(path) {
        Err(error) if is_refusal(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Replaces a file that other programs read, such as the status file: a reader sees the old one or the new one, never a
/// part. Its mode is that of the umask. Its directory may be one that many share, such as `/tmp`.
///
/// # Errors
/// Those of the system, and a [`Refusal`]; the old file then stays as it was.
pub fn publish(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = &published(path)?;
    let (mut file, temporary) = create_beside(path, HIDDEN, &mut OpenOptions::new())?;
    file.write_all(text)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| remove_quietly(&temporary))
}

/// Looks whether [`publish`] may use a path, and removes what killed processes have left beside it.
///
/// # Errors
/// As [`publish`].
pub fn prepare_publishing(path: &Path) -> io::Result<()> {
    let path = published(path)?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let begin = format!("{HIDDEN}{}.", name.display());
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_leftover = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&begin) && name.ends_with(NEW));
        if is_leftover
            && let Ok(data) = fs::symlink_metadata(entry.path())
            && rules::file(&entry.path(), &data, User::effective()).is_ok()
            && data.modified().is_ok_and(|then| {
                SystemTime::now()
                    .duration_since(then)
                    .is_ok_and(|age| age > MIN_LEFTOVER_AGE)
            })
        {
            remove_quietly(&entry.path());
        }
    }
    Ok(())
}

/// As [`prepare_publishing`], and whether a file can be made and filled there; changes nothing.
///
/// # Errors
/// As [`publish`].
pub fn try_publishing(path: &Path) -> io::Result<()> {
    try_beside(&published(path)?, &mut OpenOptions::new())
}

/// The path of a file that others read, without links, if it may be used.
fn published(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "that is not a file name"))?;
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let path = directory::shared(directory)?.join(name);
    if let Ok(data) = fs::symlink_metadata(&path) {
        rules::file(&path, &data, User::effective())?;
    }
    Ok(path)
}

/// Makes a file in the same directory, as a file can be renamed only within its file system, by a name that nobody can
/// have foreseen: `before`, the name of the file, and random digits.
fn create_beside(
    path: &Path,
    before: &str,
    options: &mut OpenOptions,
) -> io::Result<(File, PathBuf)> {
    // From the secret of the standard library's hash maps, which it finds on every system, also on those without getrandom.
    let random = RandomState::new().hash_one(0_u8);
    let mut name = OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{random:016x}{NEW}"));
    let temporary = path.with_file_name(name);
    let file = options.write(true).create_new(true).open(&temporary)?;
    Ok((file, temporary))
}

#[cfg(test)]
mod tests;
