//! Where webhook begins: at the start date, where it stopped, where the old client stopped, or now.

use std::sync::Arc;

use time::OffsetDateTime;

use super::unmatched::those_given_up;
use super::{Parts, WebhookRun};
use crate::destination::webhook::ledger::Ledger;
use crate::destination::webhook::sender::day;
use crate::destination::webhook::spool::Spool;
use crate::error::{Error, Result};
use crate::moment;
use crate::state::{Checkpoint, StateFiles};
use crate::sync::closing::say;
use crate::sync::engine::Attendance;
use crate::sync::fetch::Failures;
use crate::sync::missing::Missing;
use crate::sync::seen::Seen;
use crate::tables::filter::Filter;

/// The ledger goes back at least so many days behind the checkpoint: the longest net reaches back one.
const MIN_LEDGER: u32 = 2;

/// The first day that the ledger has to know: so many days before all that may still be read again.
pub fn ledger_cutoff(checkpoint: Option<&Checkpoint>, now: OffsetDateTime, days: u32) -> u32 {
    let earliest = checkpoint
        .into_iter()
        .flat_map(|checkpoint| [checkpoint.poll, checkpoint.reconcile])
        .flatten()
        .fold(now, OffsetDateTime::min);
    day(earliest).saturating_sub(days.max(MIN_LEDGER))
}

/// What was lost with a damaged spool is read once more: the checkpoint goes back to the day of the oldest of these
/// transactions, and the ledger forgets what it knows of their events.
///
/// # Errors
/// As [`StateFiles::save`].
pub fn post_lost_again(
    files: &StateFiles,
    checkpoint: Option<Checkpoint>,
    ledger: &mut Ledger,
    spool: &Spool,
) -> Result<Option<Checkpoint>> {
    let Some(day) = spool.lost().values().min() else {
        return Ok(checkpoint);
    };
    let begin = OffsetDateTime::from_unix_timestamp(i64::from(*day) * 86_400)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut checkpoint = checkpoint.unwrap_or_default();
    checkpoint.poll = Some(checkpoint.poll.map_or(begin, |poll| poll.min(begin)));
    log::error!(
        "{} requests were lost with the damaged {}: transactions since {} are looked at once more, to post them",
        spool.lost().len(),
        spool.path().display(),
        moment::rfc3339(begin)
    );
    // First the checkpoint: killed in between, it finds them lost once more.
    files.save(&checkpoint)?;
    for key in spool.lost().keys() {
        ledger.no_longer_spooled(*key, true);
    }
    ledger.write_out()?;
    Ok(Some(checkpoint))
}

impl WebhookRun {
    /// Makes the checkpoint of a first start, and saves it: what happens from now on must not be missed.
    ///
    /// # Errors
    /// As [`StateFiles::save`].
    pub fn start(parts: Parts, old_client: Option<OffsetDateTime>) -> Result<WebhookRun> {
        let Parts {
            settings,
            client,
            sender,
            files,
            mut checkpoint,
            board,
            shutdown,
        } = parts;
        let clock = client.clock();
        let now = clock.last_answer_time().unwrap_or_else(|| clock.now());
        let doubt = clock.doubt();
        match (settings.start, checkpoint.poll) {
            (None, None)
                if sender.ledger().is_empty() && old_client.is_none() && doubt.is_some() =>
            {
                // A time that is too early would post what nobody asked for.
                return Err(Error::setup(format!(
                    "cannot tell what is new from now on: {} (or give --start)",
                    doubt.unwrap_or_default()
                )));
            }
            (None, None) => {
                // A ledger without a checkpoint: that was lost, and what happened since must not be.
                let lost = sender.ledger().newest_day().and_then(|day| {
                    OffsetDateTime::from_unix_timestamp(i64::from(day) * 86_400).ok()
                });
                let begin = lost.or(old_client).unwrap_or(now);
                log::info!(
                    "first start: transactions since {} are posted",
                    moment::rfc3339(begin)
                );
                checkpoint.poll = Some(begin);
                // Where it once began is lost as well.
                checkpoint.since = lost.is_none().then_some(begin);
            }
            (Some(start), poll) => {
                // Earlier than ever before: what lies between was never read.
                let earlier = checkpoint.since.is_none_or(|since| start < since);
                if poll.is_none() || earlier {
                    log::info!("transactions since {} are posted", moment::rfc3339(start));
                    checkpoint.poll = Some(poll.map_or(start, |poll| poll.min(start)));
                }
                checkpoint.since = match poll {
                    None => Some(start),
                    // What waits since then is not dropped by a later start date.
                    Some(poll) => match checkpoint.since {
                        Some(since) => Some(since.min(start)),
                        None => Some(start).filter(|start| *start <= poll),
                    },
                };
                if let Some(poll) = poll.filter(|poll| *poll < start) {
                    say(&format!(
                        "going on at {}, where the last run stopped, although the start date is later: nothing is left out",
                        moment::rfc3339(poll)
                    ));
                }
            }
            (None, Some(poll)) => log::info!("going on at {}", moment::rfc3339(poll)),
        }
        files.save(&checkpoint)?;
        let has_matched = !sender.ledger().is_empty();
        let missing = Missing::of(&checkpoint, clock.now());
        let given_up = those_given_up(&checkpoint.unmatched);
        Ok(WebhookRun {
            filter: Arc::new(Filter {
                mode: settings.filter,
                task_prefixes: settings.task_prefixes.clone(),
            }),
            pruned: day(now),
            settings,
            client,
            sender,
            files,
            checkpoint,
            open: Vec::new(),
            seen: Seen::default(),
            missing,
            board,
            shutdown,
            round: 0,
            has_matched,
            matched: 0,
            given_up,
            count_given_up: 0,
            silent: None,
            attendance: Attendance::default(),
            failures: Failures::default(),
        })
    }
}
