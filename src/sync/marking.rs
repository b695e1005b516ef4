//! Takes checksums away from contacts whose time of writing can't be believed, whatever the database refuses of it.

use std::collections::HashSet;
use std::time::Instant;

use super::retries::Gathered;
use super::writer::{MAX_ATTEMPTS, MAX_ATTEMPTS_OF_PARTS, Writer};
use crate::destination::sql::Sink;
use crate::error::Result;
use crate::logging::limit::LogLimit;
use crate::tables::schema::Table;
use crate::text;

/// Contacts that are marked together where the database refuses this for all at once.
const MAX_TOGETHER: usize = 1000;

/// So many contacts that can't be marked, one after the other, are found one by one: more of them are a table that refuses it
/// for all, and the parts that it refuses are not split any more.
const MAX_SINGLE: usize = 100;

/// What came of marking contacts.
#[derive(Debug, Default)]
pub struct Marked {
    /// How many were marked.
    pub rows: u64,
    /// Those that stay as they were: the database refuses to change them, or leaves them alone without a word.
    pub unmarked: Gathered,
}

/// See [`Sink::distrust_after`]. Contacts that stay as they were are returned, and some of them are named in the log.
///
/// # Errors
/// As [`Writer::columns`].
pub fn distrust_after(writer: &mut Writer, stamp: &str, campaign: &str) -> Result<Marked> {
    let mut marked = Marked::default();
    let all = |sink: &mut dyn Sink| sink.distrust_after(stamp, campaign);
    match writer.attempt(Some(MAX_ATTEMPTS), all)? {
        Ok(rows) => marked.rows = rows,
        Err(error) => {
            log::debug!("contacts are marked in parts, as it is refused for all: {error}");
        }
    }
    let mut parts = Parts::default();
    let mut after = String::new();
    loop {
        let mut list =
            |sink: &mut dyn Sink| sink.trusted_after(stamp, campaign, &after, MAX_TOGETHER);
        let found = writer.run(&mut list)?;
        let Some(last) = found.last().cloned() else {
            return Ok(marked);
        };
        parts.mark(writer, &found)?;
        // A trigger may leave contacts as they are without a word.
        let left: HashSet<String> = writer.run(&mut list)?.into_iter().collect();
        for id in &found {
            if left.contains(id) {
                marked.unmarked.add(id);
            } else {
                marked.rows += 1;
            }
        }
        after = last;
    }
}

/// Contacts that are marked part by part.
#[derive(Default)]
struct Parts {
    refusals: LogLimit<Table>,
    /// Single ones that were refused since one was taken.
    refused: usize,
}

impl Parts {
    /// Marks these, as far as the database takes it: splits what it refuses.
    fn mark(&mut self, writer: &mut Writer, ids: &[String]) -> Result<()> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut parts = vec![ids.as_slice()];
        while let Some(part) = parts.pop() {
            let patience = match part.len() {
                1 => MAX_ATTEMPTS_OF_PARTS,
                _ => 1,
            };
            let error = match writer.attempt(Some(patience), |sink| sink.distrust(part))? {
                Ok(_) => {
                    self.refused = 0;
                    continue;
                }
                Err(error) => error,
            };
            if let [id] = part {
                self.refused += 1;
                let line = (self.refusals).count(Table::Contacts, error.message(), Instant::now());
                line.log(log::Level::Error, &format!(
                    "contact {}, whose time of writing lies in the future or is not known, can't be marked to be fetched \
                     again: {error}",
                    text::foreign(id)
                ));
            } else if self.refused < MAX_SINGLE {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
        Ok(())
    }
}
