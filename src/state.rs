//! What outlives a run: the checkpoint file and the lock, one pair per campaign and target.

mod bounded;

mod owed;
mod recent;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::tables::schema::Table;

pub use owed::{Owed, Reason, earlier};
pub use recent::{MAX_RECENT, Recent};

/// The most contacts that are remembered for another try; beyond it they are forgotten, and logged. The most transactions
/// of webhook; beyond it none is forgotten, and the checkpoint waits.
pub const MAX_RETRIES: usize = 10_000;

/// The most contacts that are asked for again as they were not returned: a list may name any number of deleted ones.
pub const MAX_ABSENT: usize = 5_000;

/// The most rows of a table by which it is noticed that the database lost what it held.
pub const MAX_WITNESSES: usize = 16;

/// The most rows of a table besides, each for a column that the others have no value for.
pub const MAX_KEEPERS: usize = 16;

/// Bytes of the vendor's state file, which has some hundred.
const MAX_OLD_STATE: usize = 64 * 1024;

/// Ending of the file with the checkpoint before the last one.
const BEFORE: &str = "json.old";

/// How far the copy of one campaign in one target has come. All times are Dialfire's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// Everything that happened before is stored.
    #[serde(with = "time::serde::rfc3339::option")]
    pub poll: Option<OffsetDateTime>,
    /// Nothing from before is looked for; `None` means the campaign's whole past is.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// When the last three hours were last read again.
    #[serde(with = "time::serde::rfc3339::option")]
    pub look_back: Option<OffsetDateTime>,
    /// When the list of contacts was last compared with the database.
    #[serde(with = "time::serde::rfc3339::option")]
    pub reconcile: Option<OffsetDateTime>,
    /// What rows depend on besides the documents (filter, fields), as a checksum.
    pub shape: String,
    /// A stored `$md5` counts only if the row's `$changed` is later than this (RFC 3339 with seconds): rows written
    /// up to then were written under another shape.
    pub trusted_after: Option<String>,
    /// Contacts to be fetched again at the next reconcile: the database refused a row of them, or the API failed on them.
    /// Of webhook, events of contacts that the API failed on.
    #[serde(deserialize_with = "bounded::retries")]
    pub retry: Vec<String>,
    /// Contacts that Dialfire had no document for: deleted, as a rule, but asked for again for a day. Of webhook, their
    /// events.
    #[serde(
        deserialize_with = "bounded::retries",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub absent: Vec<String>,
    /// Since when which of these contacts were not returned, in seconds since 1970.
    #[serde(
        deserialize_with = "bounded::absent_since",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub absent_since: Vec<(String, i64)>,
    /// Of webhook, events that no transaction in the document of their contact matches.
    #[serde(
        deserialize_with = "bounded::unmatched",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub unmatched: Vec<Unmatched>,
    /// Inbound calls from here on are read again at the next reconcile, as the database refused one of then.
    #[serde(with = "time::serde::rfc3339::option")]
    pub refused_call: Option<OffsetDateTime>,
    /// What is to be copied again, whichever mode runs next.
    pub owed: Option<Owed>,
    /// How earlier versions said that everything is owed.
    #[serde(skip_serializing)]
    pub refill: bool,
    /// The columns that were written, by table, in the order of the database.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<Table, Vec<String>>,
    /// The columns that should have been written and could not be added.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unstored: BTreeMap<Table, Vec<String>>,
    /// Rows by which it is noticed if the database loses what it held.
    #[serde(
        deserialize_with = "bounded::witnesses",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub witnesses: Vec<Witness>,
    /// Whether a copy could not ask the event list if there are transactions: the next one asks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
    /// The contacts that the event list named last.
    #[serde(skip_serializing_if = "Recent::is_empty")]
    pub recent: Recent,
}

/// An event that no transaction in the document of its contact matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmatched {
    /// The event, as the list writes it.
    pub event: String,
    /// When its transaction was first looked for.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Whether it is not looked for any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

/// A row that proves that the database still holds what was written into it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Witness {
    /// The table that it is in.
    pub table: Table,
    /// Its key.
    pub id: String,
    /// A contact's `$changed`, as the database told after the row was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// Whether it was written after the witnesses were last looked at: then it proves nothing about the time before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub young: bool,
    /// Columns that had a value when it was last looked at; each column is remembered of few witnesses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filled: Vec<String>,
    /// Whether it stays a witness for a column that few rows have a value for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keeps: bool,
}

/// The state directory's files for one campaign and target.
#[derive(Debug, Clone)]
pub struct StateFiles {
    directory: PathBuf,
    stem: String,
    /// Names the target in the checkpoint, for the admin.
    target: String,
}

/// A checkpoint as it is written: with what its hashed file name stands for.
#[derive(Serialize)]
struct Named<'a> {
    target: &'a str,
    #[serde(flatten)]
    checkpoint: &'a Checkpoint,
}

/// The lock of one campaign and target; held until dropped. The operating system gives it back when the process
/// dies, so that no stale lock outlives a power cut.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateFiles {
    /// Finds or makes the state directory: `wanted` if given, else the first writable one of `places`.
    ///
    /// `target` identifies database and table prefix, without secrets.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] where no place can be written to.
    pub fn locate(
        wanted: Option<&Path>,
        places: &[PathBuf],
        campaign: &str,
        target: &str,
    ) -> Result<Self> {
        let stem = stem(campaign, target);
        let places = wanted.map_or_else(|| places.to_vec(), |wanted| vec![wanted.to_owned()]);
        let mut reasons = Vec::new();
        for place in places {
            match files::directory(&place).and_then(|found| try_writing(found, &stem)) {
                Ok(files) => return Ok(files),
                Err(error) => {
                    reasons.push(format!("{}: {error}", place.display()));
                    // What was kept there must not be forgotten for another place.
                    if files::is_refusal(&error) && files::is_writable(&place) {
                        break;
                    }
                }
            }
        }
        Err(Error::setup(format!(
            "cannot keep state: {} (check --state-dir)",
            none_of(&reasons)
        )))
    }

    /// The same, with a text without secrets that names the target in the checkpoint.
    #[must_use]
    pub fn named(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// A file of this campaign and target in the state directory.
    pub fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.stem))
    }

    /// The state directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] where another process holds it.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path("lock");
        let failed = |error: std::io::Error| {
            Error::setup(format!(
                "cannot lock {}: {error} (check --state-dir)",
                path.display()
            ))
        };
        let mut file = files::update(&path).map_err(failed)?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(Error::new(
                    ErrorKind::Locked,
                    format!(
                        "{holder} is copying this campaign into this target already (lock {})",
                        path.display()
                    ),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        files::settle(&self.directory, &format!("{}.", self.stem))
            .map_err(|error| Error::setup(format!("cannot keep state: {error}")))?;
        Ok(Lock { _file: file })
    }

    /// Reads the checkpoint; `None` where there is none yet. A damaged file is set aside and logged: then the one before it
    /// counts, or else an empty one, and everything is to be listed once more.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] where the file can't be read.
    pub fn load(&self) -> Result<Option<Checkpoint>> {
        let path = self.path("json");
        let Some(text) = read_text(&path)? else {
            return Ok(None);
        };
        match serde_json::from_str::<Checkpoint>(&text) {
            Ok(mut checkpoint) => {
                self.take_over(&mut checkpoint);
                Ok(Some(checkpoint))
            }
            Err(error) => self.recover(&path, &error).map(Some),
        }
    }

    /// Understands what earlier versions noted of lost tables, and what they left of a first copy that did not end: the
    /// shape of its rows and nothing else.
    fn take_over(&self, checkpoint: &mut Checkpoint) {
        if checkpoint.poll.is_none()
            && checkpoint.owed.is_none()
            && checkpoint.trusted_after.is_some()
        {
            log::info!(
                "an earlier version began a first copy that is not complete: it is completed first"
            );
            let (since, reason) = (checkpoint.since, Reason::Copy);
            Owed::add(&mut checkpoint.owed, Owed { since, reason });
        }
        if std::mem::take(&mut checkpoint.refill) || self.path("lost").exists() {
            let (since, reason) = (checkpoint.since, Reason::Lost);
            Owed::add(&mut checkpoint.owed, Owed { since, reason });
            checkpoint.trusted_after = None;
        }
    }

    /// Puts another checkpoint in the place of the damaged one, at once: killed later on, it must not be a first start.
    fn recover(&self, path: &Path, why: &serde_json::Error) -> Result<Checkpoint> {
        let before: Option<Checkpoint> =
            read_text(&self.path(BEFORE))?.and_then(|text| serde_json::from_str(&text).ok());
        let aside = self.path("damaged.json");
        log::error!(
            "the checkpoint {} is damaged ({why}): {}; everything is compared once more, the file is kept as {}",
            path.display(),
            match before {
                Some(_) => "going on at the one before it",
                None => "starting without it",
            },
            aside.display()
        );
        let mut checkpoint = before.unwrap_or_default();
        self.take_over(&mut checkpoint);
        let (since, reason) = (checkpoint.since, Reason::Checkpoint);
        Owed::add(&mut checkpoint.owed, Owed { since, reason });
        let replace = || -> std::io::Result<()> {
            files::copy(path, &aside)?;
            let text = self.text(&checkpoint)?;
            files::replace(path, |file| file.write_all(text.as_bytes()))
        };
        replace().map_err(|error| {
            Error::setup(format!(
                "cannot set {} aside: {error} (check --state-dir)",
                path.display()
            ))
        })?;
        Ok(checkpoint)
    }

    fn text(&self, checkpoint: &Checkpoint) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Named {
            target: &self.target,
            checkpoint,
        })
    }

    /// Writes the checkpoint so that either the old or the new one is there after a crash.
    ///
    /// # Errors
    /// [`ErrorKind::Transient`]: the disk may be full only for now.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let path = self.path("json");
        let write = || -> std::io::Result<()> {
            let text = self.text(checkpoint)?;
            keep_before(&path, &self.path(BEFORE));
            files::replace(&path, |file| file.write_all(text.as_bytes()))?;
            // Its meaning is in the checkpoint by now.
            match std::fs::remove_file(self.path("lost")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        write().map_err(|error| {
            Error::transient(format!(
                "cannot save the checkpoint {}: {error} (check --state-dir)",
                path.display()
            ))
        })
    }
}

/// What the names of all files of a campaign and target begin with. `target` identifies the target, without secrets.
pub fn stem(campaign: &str, target: &str) -> String {
    let hash: String = Md5::digest(target.as_bytes())
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{campaign}-{hash}")
}

/// Who holds the lock of a campaign and target in a directory, without a file being made: `None` if nobody does.
///
/// # Errors
/// Those of the system.
pub fn lock_holder(directory: &Path, stem: &str) -> std::io::Result<Option<String>> {
    let path = directory.join(format!("{stem}.lock"));
    let mut file = match files::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // A shared lock for a moment, which a process that starts just then waits for.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(holder(&mut file))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The process named in a lock file.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // On Windows a locked file can't be read; the process is then not named.
    let _ = file.read_to_string(&mut text);
    match text.trim() {
        "" => String::from("another process"),
        pid => format!("process {pid}"),
    }
}

/// Tries a few times within a fifth of a second: `--a check` looks at the lock by taking it for a moment.
fn try_lock(file: &File) -> std::result::Result<(), TryLockError> {
    for _ in 0..4 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
    file.try_lock()
}

/// The time in the vendor's state file `{directory}/{campaign}.json` of its client, if there is one: where a first
/// run of ours starts.
pub fn old_client_timestamp(
    directories: &[PathBuf],
    campaign: &str,
) -> Option<(PathBuf, OffsetDateTime)> {
    #[derive(Deserialize)]
    struct OldState {
        timestamp: String,
    }
    directories.iter().find_map(|directory| {
        let path = directory.join(format!("{campaign}.json"));
        // Its owner may be another user.
        let state = files::input::read_all(&path, MAX_OLD_STATE).ok()?;
        let state: OldState = serde_json::from_slice(&state).ok()?;
        let text = state.timestamp.trim();
        let text = if text.ends_with('Z') {
            text.to_owned()
        } else {
            format!("{text}Z")
        };
        let time =
            OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).ok()?;
        Some((path, time))
    })
}

/// The text of a file, empty where it is none; `None` where there is no file.
fn read_text(path: &Path) -> Result<Option<String>> {
    match files::read_text(path) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(Some(String::new())),
        read => read.map_err(|error| {
            Error::setup(format!(
                "cannot read {}: {error} (check --state-dir)",
                path.display()
            ))
        }),
    }
}

/// A file that is about to be replaced stays under another name. Where that fails, only what it would serve for is not
/// there.
fn keep_before(path: &Path, before: &Path) {
    // No hard link: killed in between, the file would have two names.
    let _ = files::copy(path, before);
}

/// Why no directory can be written to. There may be none at all, on Windows without `LOCALAPPDATA`.
pub fn none_of(reasons: &[String]) -> String {
    if reasons.is_empty() {
        "no directory is known".to_owned()
    } else {
        reasons.join("; ")
    }
}

fn try_writing(directory: PathBuf, stem: &str) -> std::io::Result<StateFiles> {
    let stem = stem.to_owned();
    let kept = StateFiles {
        directory,
        stem,
        target: String::new(),
    };
    let lock = kept.path("lock");
    files::update(&lock).map_err(|error| files::naming(&lock, error))?;
    Ok(kept)
}

#[cfg(test)]
mod tests;
