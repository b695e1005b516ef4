//! Which stored checksums count, and what is owed.
//!
//! A stored checksum counts if its row was written under the present filter and fields, and since everything was last
//! lost: the boundary is a time of writing, a row counts if its `$changed` is later. So no row need be touched when the
//! filter changes. Whatever moves the boundary makes everything owed that was promised to be stored, in the same saved
//! checkpoint: trust alone would have nobody look at contacts that don't change any more.

use std::collections::{HashMap, HashSet};

use md5::{Digest, Md5};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::Engine;
use crate::error::Result;
use crate::state::{Checkpoint, MAX_RETRIES, Owed, Reason};
use crate::sync::marking;
use crate::sync::pass::Leftover;
use crate::sync::retries::Gathered;
use crate::tables::fields::{Layout, Slot};
use crate::tables::filter::Filter;
use crate::tables::filter::FilterMode;
use crate::tables::schema::{ColumnKind, Table};

/// The most contacts of a pass that are fetched again as their documents could not be read as a whole: half of all that can
/// wait.
const MAX_UNREAD: usize = MAX_RETRIES / 2;

impl Engine {
    /// Makes the tables what they have to be, and notes what is owed as rows were written under another filter or other
    /// fields, or were lost.
    ///
    /// # Errors
    /// As [`Writer::prepare`](crate::sync::writer::Writer::prepare) and [`Engine::save`].
    pub fn ready(&mut self) -> Result<()> {
        loop {
            match self.writer.prepare(self.layout.schema()) {
                Ok(()) => return self.trust_present_shape(),
                Err(error) => {
                    if !self.note_loss()? {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Notes what was lost, if something was: everything is owed, and nothing stored counts. Nothing is written before
    /// that is saved. Returns whether that was so; then [`Engine::ready`] is due.
    ///
    /// # Errors
    /// As [`Engine::save`]; it is then still to be done.
    pub fn note_loss(&mut self) -> Result<bool> {
        let Some(loss) = self.writer.found().cloned() else {
            return Ok(false);
        };
        log::error!("{}; everything is copied again", loss.told);
        let mut noted = self.checkpoint.clone();
        owe_all(&mut noted, loss.reason);
        noted.trusted_after = None;
        noted.columns.clear();
        noted.unstored.clear();
        noted.witnesses.clear();
        self.files.save(&noted)?;
        self.checkpoint = noted;
        self.debts += 1;
        self.writer.forget();
        self.seen.clear();
        Ok(true)
    }

    /// Nothing stored counts, as the documents were not understood. Saved with the checkpoint.
    pub fn distrust(&mut self) {
        self.checkpoint.trusted_after = None;
        self.seen.clear();
    }

    /// The copy is in doubt although it ends.
    pub fn doubt(&mut self, why: String) {
        self.unread = Some(why);
    }

    /// Contacts whose documents could not be read as a whole are fetched again later. Where they are very many, everything is
    /// owed instead: those that are not whole have no checksum in the database.
    pub(super) fn take_unread(&mut self, left: &mut Leftover) {
        let unread = std::mem::take(&mut left.unread);
        let count = unread.count();
        if count <= MAX_UNREAD {
            for id in unread {
                left.retry.add(&id);
            }
            return;
        }
        self.doubt(format!(
            "the documents of {count} contacts could not be read as a whole (the log says why)"
        ));
        owe_all(&mut self.checkpoint, Reason::Unread);
        self.debts += 1;
    }

    /// Why the copy is in doubt.
    pub fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    /// How often something became owed: what is paid must not have grown meanwhile.
    pub fn debts(&self) -> u64 {
        self.debts
    }

    /// Rows written under another filter or other fields no longer count as up to date, and everything is owed. The
    /// checkpoint takes shape, boundary and debt over together: with the new shape alone, the rows of the old one would be
    /// trusted.
    fn trust_present_shape(&mut self) -> Result<()> {
        let shape = self.shape();
        let trusted = self.checkpoint.trusted_after.is_some();
        if trusted && self.checkpoint.shape == shape {
            return Ok(());
        }
        let boundary = rfc3339(self.time_of_writing());
        let marked = marking::distrust_after(&mut self.writer, &boundary, &self.settings.campaign)?;
        if marked.rows > 0 {
            log::info!(
                "{} contacts bear a time of writing that lies in the future: they count as not up to date",
                marked.rows
            );
        }
        self.note_unmarked(marked.unmarked);
        if self.checkpoint.shape != shape {
            log::info!(
                "filter, fields or target are new: contacts stored before {boundary} count as not up to date"
            );
            // Before the first copy nothing was written under another one.
            if !self.checkpoint.shape.is_empty() {
                owe_all(&mut self.checkpoint, Reason::Shape);
            }
        }
        self.debts += 1;
        self.seen.clear();
        self.checkpoint.shape = shape;
        self.checkpoint.trusted_after = Some(boundary);
        self.save()
    }

    /// Contacts whose stored checksums go on counting as nobody can take them away: they are fetched again whatever is stored,
    /// as far as so many can wait.
    fn note_unmarked(&mut self, unmarked: Gathered) {
        self.unmarked = unmarked.count();
        if self.unmarked == 0 {
            return;
        }
        log::error!(
            "{} contacts can't be marked to be fetched again, although their time of writing lies in the future or is not \
             known: up to {MAX_RETRIES} of them are fetched again with the next reconcile, whatever is stored",
            self.unmarked
        );
        let room = MAX_RETRIES.saturating_sub(self.checkpoint.retry.len());
        let waiting: HashSet<String> = self.checkpoint.retry.iter().cloned().collect();
        let new = unmarked.into_iter().filter(|id| !waiting.contains(id));
        self.checkpoint.retry.extend(new.take(room));
    }

    /// How many contacts count as up to date though they may not be, as the database did not let them be marked.
    pub fn unmarked(&self) -> usize {
        self.unmarked
    }

    fn shape(&self) -> String {
        let unstored = self.writer.holdings().unstored.get(&Table::Contacts);
        shape(
            &self.filter,
            &self.layout,
            unstored.map_or(&[], Vec::as_slice),
        )
    }

    /// Dialfire's time, but always later than the boundary of trust.
    fn time_of_writing(&self) -> OffsetDateTime {
        let boundary = self
            .checkpoint
            .trusted_after
            .as_deref()
            .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let earliest = boundary.map_or(OffsetDateTime::UNIX_EPOCH, |boundary| {
            boundary.saturating_add(Duration::SECOND)
        });
        self.client.clock().now().max(earliest)
    }

    /// What `$changed` is set to now.
    pub fn stamp(&self) -> String {
        rfc3339(self.time_of_writing())
    }

    /// Which of these contacts the database holds, each with its checksum where that can be trusted.
    ///
    /// # Errors
    /// As [`Writer::stored`](crate::sync::writer::Writer::stored).
    pub fn stored(&mut self, ids: &[&str]) -> Result<HashMap<String, Option<String>>> {
        let boundary = self.checkpoint.trusted_after.clone();
        Ok(self
            .writer
            .stored(ids)?
            .into_iter()
            .map(|contact| {
                let trusted = match (&contact.changed, &boundary) {
                    (Some(changed), Some(boundary)) => changed > boundary,
                    _ => false,
                };
                (contact.id, contact.md5.filter(|_| trusted))
            })
            .collect())
    }
}

/// Everything is owed that was promised to be stored. Before the first copy that is nothing.
fn owe_all(checkpoint: &mut Checkpoint, reason: Reason) {
    if checkpoint.poll.is_some() || checkpoint.owed.is_some() {
        let since = checkpoint.since;
        Owed::add(&mut checkpoint.owed, Owed { since, reason });
    }
}

/// A checksum of what rows depend on besides the documents. It is kept in checkpoints: another one for the same things would
/// have everything copied again.
fn shape(filter: &Filter, layout: &Layout, unstored: &[String]) -> String {
    let mut md5 = Md5::new();
    md5.update(match filter.mode {
        FilterMode::All => "All",
        FilterMode::UpdatesOnly => "UpdatesOnly",
        FilterMode::HiUpdatesOnly => "HiUpdatesOnly",
    });
    let mut prefixes = filter.task_prefixes.clone();
    prefixes.sort_unstable();
    let contacts = layout.schema().table(Table::Contacts);
    // A column that can't be added now is added later, and only then are rows written with it.
    let is_stored = |key: &&str| match layout.slot(key) {
        Some(Slot::Column(at, _)) => {
            (contacts.columns.get(at)).is_none_or(|column| !unstored.contains(&column.name))
        }
        _ => true,
    };
    for text in prefixes
        .iter()
        .map(String::as_str)
        .chain(["fields"])
        .chain(layout.custom_keys().into_iter().filter(is_stored))
    {
        md5.update([0]);
        md5.update(text);
        if let Some(Slot::Column(_, ColumnKind::Number)) = layout.slot(text) {
            md5.update([1]);
        }
    }
    md5.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn rfc3339(time: OffsetDateTime) -> String {
    let whole = time
        .checked_to_offset(time::UtcOffset::UTC)
        .unwrap_or(time)
        .replace_nanosecond(0)
        .unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::sql::dialect::POSTGRES;
    use crate::tables::fields::CustomField;
    use crate::tables::fields::FieldLimit;

    /// The checksums of version 0.1: after an upgrade nothing is copied again.
    #[test]
    fn the_shape_stays_the_same_in_later_versions() {
        let shape_of = |mode, prefixes: &[&str], fields: &[(&str, bool)], unstored: &[&str]| {
            let mut layout = Layout::new("dfire_", POSTGRES.naming, FieldLimit::All, &[]);
            let fields: Vec<CustomField> = (fields.iter())
                .map(|(key, is_number)| CustomField {
                    key: (*key).to_owned(),
                    is_number: *is_number,
                })
                .collect();
            layout.add_fields(&fields, &[]);
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let filter = Filter {
                mode,
                task_prefixes: owned(prefixes),
            };
            let unstored: Vec<String> = owned(unstored);
            shape(&filter, &layout, &unstored)
        };
        let md5 = |bytes: &[u8]| -> String {
            let sum = Md5::digest(bytes);
            sum.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        assert_eq!(
            shape_of(FilterMode::All, &[], &[], &[]),
            md5(b"All\0fields")
        );
        assert_eq!(
            shape_of(
                FilterMode::UpdatesOnly,
                &["qc_", "fc_"],
                &[("Zahl", true), ("Name", false)],
                &[]
            ),
            md5(b"UpdatesOnly\0fc_\0qc_\0fields\0Name\0Zahl\x01")
        );
        assert_eq!(
            shape_of(
                FilterMode::HiUpdatesOnly,
                &[],
                &[("Zahl", true), ("Name", false)],
                &["Name"]
            ),
            md5(b"HiUpdatesOnly\0fields\0Zahl\x01")
        );
        // Not only by the same rule, but by the same bytes.
        assert_eq!(
            shape_of(FilterMode::All, &[], &[], &[]),
            "f6cab9033eed60ac6d8d6183bc1cd095"
        );
    }
}
