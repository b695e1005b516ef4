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
    let first = rows.len().saturating_sub(OF_A_BATCH);
    let ids: Vec<&str> = (first..rows.len()).map(|row| rows.row(row).key()).collect();
    if ids.is_empty() {
        return Ok(before.to_vec());
    }
    let stored = sink.stored(&ids)?.into_iter().filter_map(|contact| {
        Some(Witness {
            id: contact.id,
            changed: contact.changed?,
        })
    });
    let earlier = (before.iter())
        .filter(|witness| !ids.contains(&witness.id.as_str()))
        .cloned();
    Ok(stored.chain(earlier).take(MOST_WITNESSES).collect())
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
}
