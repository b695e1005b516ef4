//! Notices that the database went back to an earlier state: it was restored from a backup, or a standby took over that
//! had not received everything.

use std::collections::HashMap;

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::error::Result;
use crate::sink::{Sink, StoredContact};
use crate::state::{MOST_WITNESSES, Witness};
use crate::tables::batch::Batch;
use crate::tables::schema::Table;

/// Another instance that writes the same contact has its own reading of Dialfire's clock.
const TOLERANCE: Duration = Duration::seconds(10);

/// So many of each batch: those of several batches are less likely to be all new, and so to be only missing later.
const OF_A_BATCH: usize = 4;

/// The witnesses after a batch was written: its last contacts, as the database now tells of them, before the earlier ones.
///
/// # Errors
/// As [`Sink::stored`].
pub fn after(batch: &Batch, sink: &mut dyn Sink, before: &[Witness]) -> Result<Vec<Witness>> {
    let rows = batch.rows(Table::Contacts);
    let written: Vec<&str> = (0..rows.len()).map(|row| rows.row(row).key()).collect();
    let (_, last) = written.split_at(written.len().saturating_sub(OF_A_BATCH));
    if last.is_empty() {
        return Ok(before.to_vec());
    }
    Ok(joined(sink.stored(last)?, before, &written))
}

/// Of the earlier ones, those stay that were not just written: Dialfire's clock may have gone back since.
fn joined(stored: Vec<StoredContact>, before: &[Witness], written: &[&str]) -> Vec<Witness> {
    let new = stored.into_iter().filter_map(|contact| {
        Some(Witness {
            id: contact.id,
            changed: contact.changed?,
        })
    });
    let earlier = (before.iter())
        .filter(|witness| !written.contains(&witness.id.as_str()))
        .cloned();
    new.chain(earlier).take(MOST_WITNESSES).collect()
}

/// The first contact that the database holds as it was written earlier than it once told, and when that is. A contact that
/// is gone proves nothing: an admin may have deleted it.
///
/// # Errors
/// As [`Sink::stored`].
pub fn contradicted<'a>(
    witnesses: &'a [Witness],
    sink: &mut dyn Sink,
) -> Result<Option<(&'a Witness, String)>> {
    if witnesses.is_empty() {
        return Ok(None);
    }
    let ids: Vec<&str> = witnesses.iter().map(|w| w.id.as_str()).collect();
    Ok(older(witnesses, sink.stored(&ids)?))
}

fn older(witnesses: &[Witness], stored: Vec<StoredContact>) -> Option<(&Witness, String)> {
    let mut now: HashMap<String, String> = (stored.into_iter())
        .filter_map(|contact| Some((contact.id, contact.changed?)))
        .collect();
    witnesses.iter().find_map(|witness| {
        let found = now.remove(&witness.id)?;
        let (then, now) = (moment(&witness.changed)?, moment(&found)?);
        (now.saturating_add(TOLERANCE) < then).then_some((witness, found))
    })
}

fn moment(stamp: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(stamp, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_older(changed: Option<&str>) -> Option<String> {
        let witnesses = ["2024-03-05T10:00:00Z", "2024-03-05T12:00:00Z"].map(|changed| Witness {
            id: format!("C{changed}"),
            changed: changed.to_owned(),
        });
        let stored = StoredContact {
            id: "C2024-03-05T12:00:00Z".to_owned(),
            md5: None,
            changed: changed.map(str::to_owned),
        };
        older(&witnesses, vec![stored]).map(|(witness, found)| format!("{} {found}", witness.id))
    }

    #[test]
    fn only_an_earlier_time_of_writing_contradicts() {
        assert_eq!(
            found_older(Some("2024-03-05T11:59:00Z")).as_deref(),
            Some("C2024-03-05T12:00:00Z 2024-03-05T11:59:00Z")
        );
        for other in [
            "2024-03-05T12:00:00Z",
            "2024-03-05T11:59:50Z",
            "2025-01-01T00:00:00Z",
            // Changed by somebody, or made by the database.
            "",
            "yesterday",
            "2024-03-05 11:00:00",
        ] {
            assert_eq!(found_older(Some(other)), None, "{other}");
        }
        assert_eq!(found_older(None), None);
    }

    #[test]
    fn what_was_just_written_takes_the_place_of_what_was_written_before() {
        let witness = |id: &str, changed: &str| Witness {
            id: id.to_owned(),
            changed: changed.to_owned(),
        };
        let stored = ["C", "D"].map(|id| StoredContact {
            id: id.to_owned(),
            md5: None,
            changed: (id != "D").then(|| "11:00".to_owned()),
        });
        let before = [
            witness("A", "12:00"),
            witness("B", "12:00"),
            witness("C", "12:00"),
        ];
        // B was in the batch, but is none of its last.
        let after = joined(stored.to_vec(), &before, &["B", "C", "D"]);
        assert_eq!(after, [witness("C", "11:00"), witness("A", "12:00")]);
        let many: Vec<Witness> = (0..MOST_WITNESSES)
            .map(|number| witness(&number.to_string(), "12:00"))
            .collect();
        let after = joined(stored.to_vec(), &many, &["C", "D"]);
        assert_eq!(after.len(), MOST_WITNESSES);
        assert_eq!(after.first(), Some(&witness("C", "11:00")));
    }
}
