//! Takes checksums away from contacts whose time of writing can't be believed, whatever the database refuses of it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use super::writer::{MAX_ATTEMPTS, MAX_ATTEMPTS_OF_PARTS, Writer};
use crate::error::Result;
use crate::logging::limit::LogLimit;
use crate::sink::Sink;
use crate::tables::schema::Table;
use crate::text;

/// Contacts that are marked together where the database refuses this for all at once.
const MAX_TOGETHER: usize = 1000;

/// So many contacts that can't be marked are found one by one: more of them are a table that refuses it for all.
const MAX_UNMARKED: usize = 20;

/// See [`Sink::distrust_after`]. Contacts of which the database refuses it are named in the log: nothing depends on it but
/// those that bear a time of writing in the future.
///
/// # Errors
/// As [`Writer::columns`].
pub fn distrust_after(writer: &mut Writer, stamp: &str, campaign: &str) -> Result<u64> {
    let all = |sink: &mut dyn Sink| sink.distrust_after(stamp, campaign);
    match writer.attempt(Some(MAX_ATTEMPTS), all)? {
        Ok(rows) => return Ok(rows),
        Err(error) => {
            log::debug!("contacts are marked in parts, as it is refused for all: {error}");
        }
    }
    let mut refusals = LogLimit::default();
    let (mut marked, mut unmarked) = (0, 0);
    // A trigger may leave contacts as they are without a word: then they are found again. Hashes, as there may be many.
    let (hashes, mut tried) = (RandomState::new(), HashSet::new());
    loop {
        let found = writer.run(|sink| sink.trusted_after(stamp, campaign, MAX_TOGETHER))?;
        let ids: Vec<&str> = (found.iter())
            .map(String::as_str)
            .filter(|id| tried.insert(hashes.hash_one(id)))
            .collect();
        if ids.is_empty() {
            return Ok(marked);
        }
        let mut parts = vec![ids.as_slice()];
        while let Some(part) = parts.pop() {
            let patience = match part.len() {
                1 => MAX_ATTEMPTS_OF_PARTS,
                _ => 1,
            };
            let error = match writer.attempt(Some(patience), |sink| sink.distrust(part))? {
                Ok(rows) => {
                    marked += rows;
                    continue;
                }
                Err(error) => error,
            };
            if let [id] = part {
                let line = refusals.count(Table::Contacts, error.message(), Instant::now());
                line.log(log::Level::Error, &format!(
                    "contact {}, whose time of writing lies in the future or is not known, can't be marked to be fetched \
                     again: {error}",
                    text::foreign(id)
                ));
                unmarked += 1;
            } else {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            if unmarked >= MAX_UNMARKED {
                log::error!(
                    "no more contacts are marked to be fetched again, as {MAX_UNMARKED} of them can't be"
                );
                return Ok(marked);
            }
        }
    }
}
