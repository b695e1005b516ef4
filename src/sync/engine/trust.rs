//! Which stored checksums count: those of rows written under the present filter and fields.
//!
//! The boundary is a time of writing: a row counts if its `$changed` is later. So no row need be touched when the
//! filter changes.

use std::collections::HashMap;

use md5::{Digest, Md5};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::Engine;
use crate::error::Result;
use crate::tables::fields::Slot;
use crate::tables::schema::ColumnKind;

impl Engine {
    /// Rows written under another filter or other fields no longer count as up to date.
    pub(super) fn distrust_other_shapes(&mut self) -> Result<()> {
        let shape = self.shape();
        if self.checkpoint.shape == shape && self.checkpoint.trusted_after.is_some() {
            return Ok(());
        }
        self.distrust("filter, fields or target are new", shape)
    }

    /// Where tables were lost and made again, or the database went back to an earlier state: from now on no contact counts
    /// as up to date, and [`Checkpoint::refill`] is set. Returns whether that was so.
    ///
    /// # Errors
    /// As [`Writer::distrust_after`] and [`Engine::save`]; it is then still to be done.
    pub fn notice_losses(&mut self) -> Result<bool> {
        if !self.writer.lost().noted() {
            return Ok(false);
        }
        self.checkpoint.refill = true;
        self.distrust("tables or rows were lost", self.shape())?;
        self.writer.lost().remove()?;
        Ok(true)
    }

    /// Nothing that was stored up to now counts as up to date any more; from now on `shape` is written. The checkpoint
    /// takes both over together: with the new shape alone, the rows of the old one would be trusted.
    fn distrust(&mut self, reason: &str, shape: String) -> Result<()> {
        let boundary = self.time_of_writing();
        let text = rfc3339(boundary);
        let rows = self.writer.distrust_after(&text)?;
        if rows > 0 {
            log::info!(
                "{rows} contacts bear a time of writing that lies in the future: they count as not up to date"
            );
        }
        log::info!("{reason}: contacts stored before {text} count as not up to date");
        self.seen.clear();
        self.checkpoint.shape = shape;
        self.checkpoint.trusted_after = Some(text);
        self.save()
    }

    fn shape(&self) -> String {
        let mut md5 = Md5::new();
        md5.update(format!("{:?}", self.filter.mode));
        let mut prefixes = self.filter.task_prefixes.clone();
        prefixes.sort_unstable();
        for text in prefixes
            .iter()
            .map(String::as_str)
            .chain(["fields"])
            .chain(self.layout.custom_keys())
        {
            md5.update([0]);
            md5.update(text);
            if let Some(Slot::Column(_, ColumnKind::Number)) = self.layout.slot(text) {
                md5.update([1]);
            }
        }
        md5.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
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
    /// As [`Writer::stored`].
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

fn rfc3339(time: OffsetDateTime) -> String {
    let whole = time
        .to_offset(time::UtcOffset::UTC)
        .replace_nanosecond(0)
        .unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
}
