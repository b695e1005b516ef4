//! The spool: requests that the receiver refused ten times, word for word, one JSON object per line.
//!
//! An entry counts as long as the ledger knows of no delivery of it and of no newer version; so nothing has to be
//! removed from the file at once, and it is written again from time to time.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::Date;
use time::macros::{date, format_description};

use super::ledger::{Ledger, Mark};
use super::queue::{Content, Delivery};
use crate::error::{Error, Result};
use crate::files;

/// The most requests, and bytes, that are spooled. What fails beyond it is tried again and again, and holds the
/// checkpoint.
const MAX_ENTRIES: usize = 10_000;
const MAX_BYTES: u64 = 256 << 20;

const EPOCH: Date = date!(1970 - 01 - 01);

/// A request that could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was given up, RFC 3339.
    pub time: String,
    /// Why.
    pub reason: String,
    /// `webhook-id`
    pub id: String,
    /// Contact id.
    pub contact: String,
    /// `fired` and sequence number of the transaction, as in its event.
    pub transaction: String,
    /// Its key in the ledger.
    pub key: u64,
    /// Its version in the event list and in the document, as in the ledger.
    pub event: u32,
    /// See `event`.
    pub content: u32,
    /// The body, word for word.
    pub body: String,
}

impl Entry {
    /// For the lanes, as part of this round.
    pub fn into_delivery(self, round: u64) -> Delivery {
        Delivery {
            contact_id: self.contact.into(),
            key_part: self.transaction,
            key: self.key,
            event: self.event,
            version: self.content,
            content: Content::Spooled {
                id: self.id,
                body: self.body,
            },
            round,
            tries: 0,
            spent: 0,
            first_failure: None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Place {
    event: u32,
    /// The day of the transaction.
    day: u32,
    offset: u64,
    length: u64,
}

/// The spool of one campaign and web service.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    places: BTreeMap<u64, Place>,
    /// Length of the file.
    length: u64,
    /// Whether the file holds what no longer counts.
    untidy: bool,
    /// What the ledger says was here and no longer is, as the file was damaged; with the days of the transactions.
    lost: BTreeMap<u64, u32>,
}

/// What came of [`Spool::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is on the disk.
    Kept,
    /// There is no room.
    Full,
}

impl Spool {
    /// Reads the spool. Lines that are no entries are logged, and kept in a copy of the file.
    ///
    /// # Errors
    /// [`Setup`](crate::error::ErrorKind::Setup) where the file can't be read.
    pub fn open(path: &Path, ledger: &mut Ledger) -> Result<Spool> {
        let mut spool = Spool {
            path: path.to_owned(),
            places: BTreeMap::new(),
            length: 0,
            untidy: false,
            lost: BTreeMap::new(),
        };
        let failed = |error: io::Error| {
            Error::setup(format!(
                "cannot read {}: {error} (check --state-dir)",
                path.display()
            ))
        };
        let file = match files::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                spool.compare(ledger, false);
                return Ok(spool);
            }
            Err(error) => return Err(failed(error)),
        };
        let mut reader = BufReader::new(file);
        let (mut line, mut damaged) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 {
                break;
            }
            let length = u64::try_from(read).unwrap_or(0);
            match serde_json::from_slice::<Entry>(&line) {
                // A torn last line is written over, or goes when the file is written again.
                _ if !line.ends_with(b"\n") => {
                    damaged += 1;
                    spool.untidy = true;
                    break;
                }
                Ok(entry) => spool.take(&entry, spool.length, length, ledger),
                Err(_) => {
                    damaged += 1;
                    spool.untidy = true;
                }
            }
            spool.length += length;
        }
        if damaged > 0 {
            let copy = path.with_extension("damaged.jsonl");
            log::error!(
                "{damaged} lines of {} are no requests: the file is kept as {}",
                path.display(),
                copy.display()
            );
            files::copy(path, &copy).map_err(failed)?;
        }
        // An empty file is what a full disk and a kill have left.
        spool.untidy |= spool.length == 0;
        spool.compare(ledger, damaged > 0);
        Ok(spool)
    }

    /// What the ledger says lies here, and doesn't: lost where the file is damaged; else the admin has removed its line,
    /// to give it up.
    fn compare(&mut self, ledger: &mut Ledger, damaged: bool) {
        for (key, place) in &self.places {
            // A damaged ledger may have forgotten it.
            let known = ledger
                .get(*key)
                .is_some_and(|mark| mark.event == place.event);
            if !known || !ledger.spooled().contains_key(key) {
                let mark = Mark {
                    event: place.event,
                    ..ledger.get(*key).unwrap_or_default()
                };
                ledger.record_spooled(*key, mark, place.day);
            }
        }
        let mut absent = ledger.spooled().clone();
        absent.retain(|key, _| !self.places.contains_key(key));
        if damaged {
            self.lost = absent;
            return;
        }
        for key in absent.into_keys() {
            ledger.no_longer_spooled(key, false);
        }
    }

    /// What was lost with a damaged file, by its key in the ledger, with the days of the transactions: to be posted again.
    pub fn lost(&self) -> &BTreeMap<u64, u32> {
        &self.lost
    }

    fn take(&mut self, entry: &Entry, offset: u64, length: u64, ledger: &Ledger) {
        let known = ledger.get(entry.key);
        let is_delivered = known.is_some_and(|known| known.content == entry.content);
        // Another version in the ledger is a newer one only if the ledger knows of this one: cut off or restored, it may
        // be older than the entry.
        let is_superseded = known.is_some_and(|known| known.event != entry.event)
            && ledger.has_superseded(entry.key, entry.event);
        if is_delivered || is_superseded {
            self.untidy = true;
            return;
        }
        let place = Place {
            event: entry.event,
            day: day_of(&entry.transaction),
            offset,
            length,
        };
        self.untidy |= self.places.insert(entry.key, place).is_some();
    }

    /// Adds an entry, in place of another version of the same transaction. It is on the disk when this returns.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where it can't be written.
    pub fn put(&mut self, entry: &Entry) -> Result<Put> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|error| Error::transient(format!("cannot write JSON: {error}")))?;
        line.push(b'\n');
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let is_new = !self.places.contains_key(&entry.key);
        if (is_new && self.places.len() >= MAX_ENTRIES)
            || self.length.saturating_add(length) > MAX_BYTES
        {
            return Ok(Put::Full);
        }
        if let Err(error) = self.append(&line) {
            // What was made or written in part stays otherwise.
            self.untidy = true;
            return Err(Error::transient(format!(
                "cannot write {}: {error} (check --state-dir)",
                self.path.display()
            )));
        }
        let place = Place {
            event: entry.event,
            day: day_of(&entry.transaction),
            offset: self.length,
            length,
        };
        self.length += length;
        self.untidy |= self.places.insert(entry.key, place).is_some();
        Ok(Put::Kept)
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut file = files::append(&self.path)?;
        // A line that was written in part before is cut off.
        file.set_len(self.length)?;
        file.write_all(line)?;
        file.sync_data()?;
        if self.length == 0 {
            // It may have been made just now.
            files::sync_directory(self.path.parent().unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }

    /// Whether this version of a transaction waits here.
    pub fn holds(&self, key: u64, event: u32) -> bool {
        self.places
            .get(&key)
            .is_some_and(|place| place.event == event)
    }

    /// Forgets a transaction: it was delivered, in this or in a newer version. To be recorded in the ledger before.
    pub fn forget(&mut self, key: u64) {
        self.untidy |= self.places.remove(&key).is_some();
    }

    /// Forgets one version of a transaction, which a newer one has made out of date; the newer one may wait here itself.
    pub fn forget_version(&mut self, key: u64, event: u32) {
        if self.holds(key, event) {
            self.forget(key);
        }
    }

    /// Keys of all that waits.
    pub fn keys(&self) -> Vec<u64> {
        let mut places: Vec<(u64, u64)> = self
            .places
            .iter()
            .map(|(key, place)| (place.offset, *key))
            .collect();
        places.sort_unstable();
        places.into_iter().map(|(_, key)| key).collect()
    }

    /// Number of requests that wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads an entry; `None` if it no longer waits.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where the file can't be read.
    pub fn read(&self, key: u64) -> Result<Option<Entry>> {
        let Some(place) = self.places.get(&key) else {
            return Ok(None);
        };
        let read = || -> io::Result<Entry> { Ok(serde_json::from_slice(&self.line(*place)?)?) };
        read().map(Some).map_err(|error| {
            Error::transient(format!("cannot read {}: {error}", self.path.display()))
        })
    }

    fn line(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut file = files::open(&self.path)?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut line = Vec::new();
        file.take(place.length).read_to_end(&mut line)?;
        Ok(line)
    }

    /// Makes the file again without what no longer counts; removes it if nothing is left.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient); the file then stays as it is.
    pub fn compact(&mut self) -> Result<()> {
        if !self.untidy {
            return Ok(());
        }
        let mut places = BTreeMap::new();
        let mut length = 0;
        let mut write = || -> io::Result<()> {
            if self.places.is_empty() {
                return match files::remove(&self.path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    done => done,
                };
            }
            files::replace(&self.path, |file| {
                for key in self.keys() {
                    let Some(place) = self.places.get(&key) else {
                        continue;
                    };
                    file.write_all(&self.line(*place)?)?;
                    let moved = Place {
                        offset: length,
                        ..*place
                    };
                    places.insert(key, moved);
                    length += place.length;
                }
                Ok(())
            })
        };
        write().map_err(|error| {
            Error::transient(format!("cannot tidy {}: {error}", self.path.display()))
        })?;
        self.places = places;
        self.length = length;
        self.untidy = false;
        Ok(())
    }
}

/// The day of a transaction (`fired` and sequence number), in days since 1970; 0 where that is no time.
pub fn day_of(transaction: &str) -> u32 {
    let day = transaction
        .get(..10)
        .and_then(|day| Date::parse(day, format_description!("[year]-[month]-[day]")).ok());
    day.and_then(|day| u32::try_from((day - EPOCH).whole_days()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
