//! A log that never fills the disk: a row of files of bounded size, of which the newest are kept.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::files;

/// How large and how many the files of one log may become.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes after which the next file is begun. A file is longer by at most its last line.
    pub file_bytes: u64,
    /// Files that are kept, with the one being written.
    pub files: usize,
    /// Whether a start goes on with the newest file while that has room. For runs of one round: with a file for each
    /// minute, the files kept would tell of the last minutes only.
    pub goes_on: bool,
}

/// Tells the time for the names of new files.
pub type Clock = Box<dyn Fn() -> OffsetDateTime + Send>;

/// The log of one campaign and mode, written line by line.
///
/// Errors never come out of [`Write`]: a line that can't be written (disk full) is lost and counted, the next one is
/// tried again, and the first that works is preceded by the number of those lost.
pub struct RotatingLog {
    directory: PathBuf,
    stem: String,
    limits: Limits,
    clock: Clock,
    file: File,
    path: PathBuf,
    written: u64,
    line: Vec<u8>,
    lost: u64,
}

impl RotatingLog {
    /// Begins a log in `directory`, which is created (for the owner only) where it is missing. The files are called
    /// `{stem}_{YYYYMMDDhhmmss}.log`; surplus old ones are removed.
    ///
    /// # Errors
    /// Where the directory or the file can't be created or written to.
    pub fn create(
        directory: &Path,
        stem: &str,
        limits: Limits,
        clock: Clock,
    ) -> io::Result<RotatingLog> {
        let directory = &files::directory(directory)?;
        let last = others(directory, stem, None)
            .pop()
            .filter(|_| limits.goes_on)
            .map(|(_, _, path)| path);
        let (file, path) = match last {
            Some(path) => (
                files::append(&path).map_err(|error| files::naming(&path, error))?,
                path,
            ),
            None => create_file(directory, stem, clock())?,
        };
        let written = file.metadata()?.len();
        let log = RotatingLog {
            directory: directory.to_owned(),
            stem: stem.to_owned(),
            limits,
            clock,
            file,
            path,
            written,
            line: Vec::new(),
            lost: 0,
        };
        log.prune();
        for (_, _, path) in others(directory, stem, Some(&log.path)) {
            // What can't be narrowed is never opened either.
            let _ = files::narrow(&path);
        }
        Ok(log)
    }

    /// The file that is being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write_line(&mut self) -> io::Result<()> {
        if self.written >= self.limits.file_bytes {
            let (file, path) = create_file(&self.directory, &self.stem, (self.clock)())?;
            (self.file, self.path, self.written) = (file, path, 0);
            self.prune();
        }
        if self.lost > 0 {
            // The line break first: the line that failed may stand there in part.
            let notice = format!("\n{} log lines could not be written\n", self.lost);
            self.file.write_all(notice.as_bytes())?;
            self.written += length(notice.as_bytes());
            self.lost = 0;
        }
        self.file.write_all(&self.line)?;
        self.written += length(&self.line);
        Ok(())
    }

    /// Removes the oldest files. By the time of their last line, not by name: another process may be writing the same
    /// campaign to another database, and its file must not go because it is older.
    fn prune(&self) {
        let others = others(&self.directory, &self.stem, Some(&self.path));
        let surplus = (others.len() + 1).saturating_sub(self.limits.files);
        for (_, _, path) in others.iter().take(surplus) {
            // One that can't be removed is tried again with the next file.
            let _ = files::remove(path);
        }
    }
}

impl Write for RotatingLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                if self.write_line().is_err() {
                    self.lost += 1;
                    // A part of the line may have been written.
                    self.written = self.file.metadata().map_or(self.written, |data| data.len());
                }
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    /// Each line has gone to the system already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The files of this log but `own`, oldest first.
fn others(
    directory: &Path,
    stem: &str,
    own: Option<&Path>,
) -> Vec<(SystemTime, (String, u32), PathBuf)> {
    let mut others = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Some(age) = order(stem, &entry.file_name())
            && Some(path.as_path()) != own
            && let Ok(changed) = entry.metadata().and_then(|data| data.modified())
        {
            others.push((changed, age, path));
        }
    }
    others.sort();
    others
}

/// A new file with a name of its own: two within one second get `-2`, `-3` behind their time.
fn create_file(directory: &Path, stem: &str, now: OffsetDateTime) -> io::Result<(File, PathBuf)> {
    let stamp = now
        .format(format_description!(
            "[year][month][day][hour][minute][second]"
        ))
        .map_err(io::Error::other)?;
    let mut number: u32 = 1;
    loop {
        let path = directory.join(match number {
            1 => format!("{stem}_{stamp}.log"),
            _ => format!("{stem}_{stamp}-{number}.log"),
        });
        match files::create(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Time and number in the name of a file of this log; `None` for files of any other name.
fn order(stem: &str, name: &OsString) -> Option<(String, u32)> {
    let rest = name.to_str()?.strip_prefix(stem)?;
    let rest = rest.strip_prefix('_')?.strip_suffix(".log")?;
    let (stamp, number) = match rest.split_once('-') {
        Some((stamp, number)) => (stamp, number.parse().ok()?),
        None => (rest, 1),
    };
    let is_stamp = stamp.len() == 14 && stamp.bytes().all(|byte| byte.is_ascii_digit());
    is_stamp.then(|| (stamp.to_owned(), number))
}

#[cfg(test)]
mod tests;
