//! The ledger: which transaction was delivered in which version, in a file that only grows until it is written again.
//!
//! The file is a sequence of records of 24 bytes, the last one of a transaction counts. Each has a checksum, so that a
//! torn end or damage in the middle costs those records alone; the reader finds the next whole record behind them.

mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use table::Table;

/// Bytes of a record: key 8, event 4, content 4, day 4, checksum 4; all little endian.
const RECORD: usize = 24;

/// The bit of the day that says: this version lies in the spool.
const SPOOLED: u32 = 1 << 31;

/// A ledger with fewer superseded and outdated records than this is not written again.
const MIN_TO_COMPACT: u64 = 10_000;

/// Which version of a transaction was dealt with, as checksums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The version that the event list named, which needs no further look: delivered, spooled, or nothing new in it.
    pub event: u32,
    /// The version that was delivered last; 0 if none ever was.
    pub content: u32,
}

/// One record of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    key: u64,
    mark: Mark,
    /// Days since 1970-01-01; of what lies in the spool the day of the transaction.
    day: u32,
    /// Whether this version lies in the spool.
    spooled: bool,
}

impl Record {
    fn bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        let fields = self
            .key
            .to_le_bytes()
            .into_iter()
            .chain(self.mark.event.to_le_bytes())
            .chain(self.mark.content.to_le_bytes())
            .chain((self.day | if self.spooled { SPOOLED } else { 0 }).to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        let sum = checksum(&bytes);
        if let Some(end) = bytes.last_chunk_mut() {
            *end = sum;
        }
        bytes
    }

    fn read(bytes: &[u8; RECORD]) -> Option<Record> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (event, rest) = rest.split_first_chunk()?;
        let (content, rest) = rest.split_first_chunk()?;
        let (day, sum) = rest.split_first_chunk()?;
        let day = u32::from_le_bytes(*day);
        (sum == checksum(bytes)).then(|| Record {
            key: u64::from_le_bytes(*key),
            mark: Mark {
                event: u32::from_le_bytes(*event),
                content: u32::from_le_bytes(*content),
            },
            day: day & !SPOOLED,
            spooled: day & SPOOLED != 0,
        })
    }
}

/// FNV-1a over all but the last four bytes.
fn checksum(record: &[u8; RECORD]) -> [u8; 4] {
    let sum = record
        .iter()
        .take(RECORD - 4)
        .fold(0x811c_9dc5_u32, |sum, byte| {
            (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    sum.to_le_bytes()
}

/// The ledger of one campaign and web service.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    table: Table,
    /// Bytes of the file, and records in it.
    length: u64,
    records: u64,
    /// The last day on which something was recorded.
    newest: Option<u32>,
    /// What lies in the spool, with the days of the transactions. Never too old.
    spooled: BTreeMap<u64, u32>,
    /// Versions that lay in the spool and that a later record made out of date.
    superseded: HashSet<(u64, u32)>,
    /// What could not be written yet.
    unwritten: Vec<u8>,
    /// Whether something was written that may not be on the disk yet.
    unsynced: bool,
}

impl Ledger {
    /// Reads the ledger, without what was recorded before `cutoff` (days since 1970). Damage is logged, never an error.
    /// If much of the file is superseded, outdated or damaged, it is written again.
    ///
    /// # Errors
    /// [`Setup`](crate::error::ErrorKind::Setup) where the file can't be read or written at all.
    pub fn open(path: &Path, cutoff: u32) -> Result<Ledger> {
        let failed = |error: io::Error| {
            Error::setup(format!(
                "cannot use the ledger {}: {error} (check --state-dir)",
                path.display()
            ))
        };
        let file = files::append(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let most = usize::try_from(length).unwrap_or(usize::MAX) / RECORD;
        let mut table = Table::with_room(most);
        let (mut current, mut newest) = (0_u64, None);
        let mut spooled = BTreeMap::new();
        let (mut waiting, mut superseded) = (HashMap::new(), HashSet::new());
        let damaged = read_records(&file, |record| {
            let was_spooled = spooled.remove(&record.key).is_some();
            let event = record.mark.event;
            let before = if record.spooled {
                superseded.remove(&(record.key, event));
                waiting
                    .insert(record.key, event)
                    .filter(|before| *before != event)
            } else {
                waiting.remove(&record.key)
            };
            superseded.extend(before.map(|event| (record.key, event)));
            // An outdated record must still take the place of one that was never too old.
            if record.day >= cutoff || record.spooled || was_spooled {
                table.set(record.key, record.mark);
            }
            if record.spooled {
                spooled.insert(record.key, record.day);
            } else {
                newest = newest.max(Some(record.day));
            }
            current += 1;
        })
        .map_err(failed)?;
        table.shrink();
        let mut ledger = Ledger {
            path: path.to_owned(),
            length,
            file,
            records: current,
            newest,
            spooled,
            superseded,
            table,
            unwritten: Vec::new(),
            unsynced: false,
        };
        if damaged > 0 {
            log::error!(
                "the ledger {} is damaged: {damaged} bytes are left out, {} transactions are known; what was delivered \
                 and is no longer known is delivered once more",
                path.display(),
                ledger.len()
            );
        }
        let superfluous = current.saturating_sub(u64::try_from(ledger.len()).unwrap_or(u64::MAX));
        if damaged > 0 || (superfluous > MIN_TO_COMPACT && superfluous > current / 2) {
            // The reader can live with what is in the file.
            if let Err(error) = ledger.compact(cutoff) {
                log::warn!("cannot write the ledger again: {}", ledger.failed(&error));
            }
        }
        Ok(ledger)
    }

    /// Forgets what was recorded before `cutoff`, if that is worth while.
    ///
    /// # Errors
    /// As [`Ledger::open`]; the ledger then stays as it is.
    pub fn prune(&mut self, cutoff: u32) -> Result<()> {
        self.write_out()?;
        let unsynced = self.unsynced;
        *self = Ledger::open(&self.path, cutoff)?;
        self.unsynced |= unsynced;
        Ok(())
    }

    /// What is known of a transaction.
    pub fn get(&self, key: u64) -> Option<Mark> {
        self.table.get(key)
    }

    /// Records a mark. It survives the end of the process at once, a power cut only after [`Ledger::begin_sync`]; what
    /// can't be written is kept and written later.
    pub fn record(&mut self, key: u64, mark: Mark, day: u32) {
        let before = self.table.set(key, mark);
        let was_spooled = self.spooled.remove(&key).is_some();
        if before == Some(mark) && !was_spooled {
            return;
        }
        if was_spooled {
            self.superseded
                .extend(before.map(|before| (key, before.event)));
        }
        self.newest = self.newest.max(Some(day));
        self.append(Record {
            key,
            mark,
            day,
            spooled: false,
        });
    }

    /// As [`Ledger::record`], for a version that lies in the spool; `day` is that of the transaction.
    pub fn record_spooled(&mut self, key: u64, mark: Mark, day: u32) {
        let before = self.table.set(key, mark);
        if self.spooled.insert(key, day).is_some() {
            self.superseded
                .extend(before.map(|before| (key, before.event)));
        }
        self.superseded.remove(&(key, mark.event));
        self.append(Record {
            key,
            mark,
            day,
            spooled: true,
        });
    }

    /// What lies in the spool, as far as is known here, with the days of the transactions.
    pub fn spooled(&self) -> &BTreeMap<u64, u32> {
        &self.spooled
    }

    /// Whether this version lay in the spool and was made out of date since. A ledger that knows of neither is older than the
    /// spool.
    pub fn has_superseded(&self, key: u64, event: u32) -> bool {
        self.superseded.contains(&(key, event))
    }

    /// What was spooled no longer lies in the spool, and was not delivered. With `again` the next look at its event
    /// delivers it.
    pub fn no_longer_spooled(&mut self, key: u64, again: bool) {
        let mark = self.get(key).unwrap_or_default();
        let event = if again { 0 } else { mark.event };
        let day = self.newest.max(self.spooled.get(&key).copied());
        self.record(key, Mark { event, ..mark }, day.unwrap_or(0));
    }

    fn append(&mut self, record: Record) {
        self.records += 1;
        self.unwritten.extend_from_slice(&record.bytes());
        // The checkpoint doesn't move past it, and whoever moves it gets the error.
        let _ = self.write_out();
    }

    /// Hands out the file if it has to be synced; the caller does that without holding up others, and says so to
    /// [`Ledger::sync_failed`] if it fails.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where something can't be written.
    pub fn begin_sync(&mut self) -> Result<Option<File>> {
        self.write_out()?;
        if !self.unsynced {
            return Ok(None);
        }
        let file = self.file.try_clone().map_err(|error| self.failed(&error))?;
        self.unsynced = false;
        Ok(Some(file))
    }

    /// What [`Ledger::begin_sync`] handed out could not be synced.
    pub fn sync_failed(&mut self) {
        self.unsynced = true;
    }

    /// The last day on which something was recorded, in days since 1970.
    pub fn newest_day(&self) -> Option<u32> {
        self.newest
    }

    /// Number of transactions.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what could not be written before, if there is any.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where it still can't be written.
    pub fn write_out(&mut self) -> Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.unwritten) {
            // No half of a record may stay in front of later ones.
            let _ = self.file.set_len(self.length);
            return Err(self.failed(&error));
        }
        self.length += u64::try_from(self.unwritten.len()).unwrap_or(0);
        self.unwritten.clear();
        self.unsynced = true;
        Ok(())
    }

    fn compact(&mut self, cutoff: u32) -> io::Result<()> {
        let old = files::open(&self.path)?;
        let (table, spooled, mut kept) = (&self.table, &self.spooled, 0);
        files::replace(&self.path, |new| {
            let mut problem = Ok(());
            read_records(&old, |record| {
                let counts = record.day >= cutoff || spooled.contains_key(&record.key);
                // What lay in the spool tells of an entry there that no longer counts.
                if counts && (record.spooled || table.get(record.key) == Some(record.mark)) {
                    kept += 1;
                    problem = std::mem::replace(&mut problem, Ok(()))
                        .and_then(|()| new.write_all(&record.bytes()));
                }
            })?;
            problem
        })?;
        log::info!(
            "the ledger {} was written again: {kept} of {} records are kept",
            self.path.display(),
            self.records
        );
        self.file = files::append(&self.path)?;
        self.length = self.file.metadata()?.len();
        self.records = kept;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::transient(format!(
            "cannot write the ledger {}: {error} (check --state-dir)",
            self.path.display()
        ))
    }
}

/// Reads all records; returns how many bytes belong to none.
fn read_records(file: &File, mut each: impl FnMut(Record)) -> io::Result<u64> {
    let mut buffer = Vec::new();
    let mut damaged = 0;
    loop {
        let read = file.take(1 << 18).read_to_end(&mut buffer)?;
        let mut rest = buffer.as_slice();
        while let Some((bytes, tail)) = rest.split_first_chunk::<RECORD>() {
            match Record::read(bytes) {
                Some(record) => {
                    each(record);
                    rest = tail;
                }
                None => {
                    damaged += 1;
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
        let left = rest.len();
        if read == 0 {
            return Ok(damaged + u64::try_from(left).unwrap_or(0));
        }
        buffer.drain(..buffer.len() - left);
    }
}

#[cfg(test)]
mod tests;
