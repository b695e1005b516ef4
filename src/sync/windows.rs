//! Which time ranges are due: pure functions of the checkpoint and Dialfire's clock (DESIGN.md 4).
//!
//! Nobody knows whether events are selected by their own time or by the time of their last change, nor whether a
//! contact's checksum covers connections that come late. So each net reaches further back than the one before.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

use crate::moment;
use crate::state::Checkpoint;

/// Dialfire's clock is read to the second, and answers take their time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// How often each net is thrown, and how far back it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nets {
    /// How far each poll reaches back behind the checkpoint (`--overlap`).
    pub overlap: Duration,
    /// Time between two looks back.
    pub look_back_every: Duration,
    /// How far a look back reaches behind the one before.
    pub look_back_span: Duration,
    /// Time between two reconciles (`--reconcile`).
    pub reconcile_every: Duration,
    /// How far the events of a reconcile reach behind the one before.
    pub reconcile_span: Duration,
}

impl Nets {
    /// The nets of DESIGN.md section 4.
    pub fn new(overlap: Duration, reconcile_every: Duration) -> Self {
        Nets {
            overlap,
            look_back_every: Duration::from_secs(15 * 60),
            look_back_span: Duration::from_secs(3 * 3600),
            reconcile_every,
            reconcile_span: Duration::from_secs(24 * 3600),
        }
    }
}

/// What one round of db_sync reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Events and inbound calls from here on.
    pub from: OffsetDateTime,
    /// Whether this round counts as a look back.
    pub look_back: bool,
    /// The list of contacts changed on this day or later is compared, if given; then the round counts as a reconcile.
    pub listing: Option<Date>,
}

/// What is due at `now`. `poll` is the checkpoint's time; `start` asks for a reconcile from there, whatever else is due.
pub fn due(
    checkpoint: &Checkpoint,
    poll: OffsetDateTime,
    nets: &Nets,
    now: OffsetDateTime,
    start: Option<OffsetDateTime>,
) -> Due {
    let passed =
        |last: Option<OffsetDateTime>, every: Duration| last.is_none_or(|last| now - last >= every);
    let look_back = passed(checkpoint.look_back, nets.look_back_every);
    let reconcile = start.is_some() || passed(checkpoint.reconcile, nets.reconcile_every);
    let mut from = poll - nets.overlap;
    if look_back {
        from = from.min(checkpoint.look_back.unwrap_or(poll).min(poll) - nets.look_back_span);
    }
    let mut listing = None;
    if reconcile {
        let last = checkpoint.reconcile.unwrap_or(poll).min(poll);
        from = from.min(last - nets.reconcile_span);
        // A little before the last one: its day may have ended in between.
        let since = (last - nets.overlap).min(start.unwrap_or(last));
        listing = Some(
            checkpoint
                .since
                .map_or(since, |lowest| lowest.max(since))
                .date(),
        );
    }
    if let Some(lowest) = checkpoint.since {
        from = from.max(lowest);
    }
    Due {
        from,
        look_back,
        listing,
    }
}

/// Dialfire's clock was wrong for a while, so that the checkpoint lies after `now`: it goes back, as far as the widest net
/// reaches. What is stored since then is known and not read again.
pub fn back_from_the_future(checkpoint: &mut Checkpoint, nets: &Nets, now: OffsetDateTime) {
    let (latest, earlier) = (now + CLOCK_TOLERANCE, now - nets.reconcile_span);
    let mut moved = false;
    for (time, to) in [
        (&mut checkpoint.poll, earlier),
        (&mut checkpoint.look_back, earlier),
        (&mut checkpoint.reconcile, earlier),
        (&mut checkpoint.since, now),
    ] {
        if time.is_some_and(|time| time > latest) {
            *time = Some(to);
            moved = true;
        }
    }
    if moved {
        log::error!(
            "the checkpoint is ahead of Dialfire's clock ({}), which must have been wrong before; reading again from {}",
            moment::rfc3339(now),
            moment::rfc3339(earlier)
        );
    }
}

/// The checkpoint after a round that read what was `due` and whose first answer came at `answered`.
pub fn after_round(checkpoint: &mut Checkpoint, due: &Due, answered: OffsetDateTime) {
    checkpoint.poll = checkpoint.poll.max(Some(answered));
    if due.look_back {
        checkpoint.look_back = Some(answered);
    }
    if due.listing.is_some() {
        checkpoint.reconcile = Some(answered);
        checkpoint.refill = false;
    }
}

/// The checkpoint after all contacts changed since `since` (all if `None`) were copied by a run that began at `began`.
///
/// It moves only if no gap stays between what was stored before and `since`.
pub fn after_listing(
    checkpoint: &mut Checkpoint,
    since: Option<OffsetDateTime>,
    began: OffsetDateTime,
) {
    let joins = match (since, checkpoint.poll) {
        (Some(since), Some(poll)) => since <= poll,
        _ => true,
    };
    if !joins {
        return;
    }
    // Nobody knows what a damaged checkpoint had seen.
    let unknown = checkpoint.poll.is_none() && checkpoint.refill;
    checkpoint.since = match (since, checkpoint.poll, checkpoint.since) {
        _ if unknown => None,
        (None, ..) | (_, Some(_), None) => None,
        (Some(since), None, _) => Some(since),
        (Some(since), Some(_), Some(lowest)) => Some(since.min(lowest)),
    };
    checkpoint.refill &= checkpoint.since != since;
    checkpoint.poll = checkpoint.poll.max(Some(began));
    checkpoint.look_back = checkpoint.look_back.max(Some(began));
    if checkpoint
        .reconcile
        .is_none_or(|last| since.is_none_or(|since| since <= last))
    {
        checkpoint.reconcile = checkpoint.reconcile.max(Some(began));
    }
}

/// Where an inbound call that began at `started` is to be looked for: a minute before, or from the beginning where that
/// is no time.
pub fn call_time(started: Option<&str>) -> OffsetDateTime {
    let text = started.unwrap_or_default();
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339));
    time.map_or(OffsetDateTime::UNIX_EPOCH, |time| {
        time - time::Duration::MINUTE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{date, datetime};

    const NOW: OffsetDateTime = datetime!(2024-03-05 12:00:00 UTC);

    fn nets() -> Nets {
        Nets::new(Duration::from_secs(120), Duration::from_secs(3600))
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            poll: Some(datetime!(2024-03-05 11:59:00 UTC)),
            look_back: Some(datetime!(2024-03-05 11:50:00 UTC)),
            reconcile: Some(datetime!(2024-03-05 11:30:00 UTC)),
            ..Checkpoint::default()
        }
    }

    fn due_now(checkpoint: &Checkpoint, now: OffsetDateTime) -> Due {
        due(
            checkpoint,
            checkpoint.poll.unwrap_or(now),
            &nets(),
            now,
            None,
        )
    }

    #[test]
    fn a_poll_reaches_two_minutes_behind_the_checkpoint() {
        let wanted = Due {
            from: datetime!(2024-03-05 11:57:00 UTC),
            look_back: false,
            listing: None,
        };
        assert_eq!(due_now(&checkpoint(), NOW), wanted);
    }

    #[test]
    fn a_look_back_reaches_three_hours_behind_the_one_before() {
        let due = due_now(&checkpoint(), datetime!(2024-03-05 12:05:00 UTC));
        assert_eq!(
            due,
            Due {
                from: datetime!(2024-03-05 08:50:00 UTC),
                look_back: true,
                listing: None
            }
        );
    }

    #[test]
    fn a_reconcile_reaches_a_day_behind_the_one_before_and_lists_from_its_day() {
        let due = due_now(&checkpoint(), datetime!(2024-03-05 12:30:00 UTC));
        assert_eq!(due.from, datetime!(2024-03-04 11:30:00 UTC));
        assert_eq!(due.listing, Some(date!(2024 - 03 - 05)));
        let mut midnight = checkpoint();
        midnight.reconcile = Some(datetime!(2024-03-05 00:01:00 UTC));
        assert_eq!(due_now(&midnight, NOW).listing, Some(date!(2024 - 03 - 04)));
    }

    #[test]
    fn after_a_downtime_nothing_between_is_left_out() {
        let due = due_now(&checkpoint(), datetime!(2024-03-09 12:00:00 UTC));
        assert_eq!(due.from, datetime!(2024-03-04 11:30:00 UTC));
        assert_eq!(due.listing, Some(date!(2024 - 03 - 05)));
    }

    #[test]
    fn a_start_reconciles_and_a_start_date_lists_from_there() {
        let due = |start| due(&checkpoint(), NOW, &nets(), NOW, Some(start)).listing;
        assert_eq!(due(NOW), Some(date!(2024 - 03 - 05)));
        assert_eq!(
            due(datetime!(2023-01-01 0:00 UTC)),
            Some(date!(2023 - 01 - 01))
        );
    }

    #[test]
    fn nothing_before_the_first_start_is_read() {
        let mut first = Checkpoint {
            poll: Some(NOW),
            since: Some(NOW),
            ..Checkpoint::default()
        };
        let wanted = Due {
            from: NOW,
            look_back: true,
            listing: Some(date!(2024 - 03 - 05)),
        };
        assert_eq!(due_now(&first, NOW), wanted);
        first.since = Some(datetime!(2024-03-01 0:00 UTC));
        assert_eq!(
            due_now(&first, NOW).from,
            datetime!(2024-03-04 12:00:00 UTC)
        );
    }

    #[test]
    fn a_round_moves_what_it_did_and_nothing_back() {
        let mut moved = checkpoint();
        after_round(
            &mut moved,
            &Due {
                from: NOW,
                look_back: true,
                listing: None,
            },
            NOW,
        );
        assert_eq!(
            (moved.poll, moved.look_back, moved.reconcile),
            (Some(NOW), Some(NOW), checkpoint().reconcile)
        );
        after_round(
            &mut moved,
            &Due {
                from: NOW,
                look_back: false,
                listing: None,
            },
            NOW - nets().overlap,
        );
        assert_eq!(moved.poll, Some(NOW));
    }

    #[test]
    fn db_init_covers_everything() {
        let mut covered = checkpoint();
        covered.since = Some(NOW);
        after_listing(&mut covered, None, NOW);
        assert_eq!(
            (covered.since, covered.poll, covered.reconcile),
            (None, Some(NOW), Some(NOW))
        );
    }

    #[test]
    fn db_update_moves_the_checkpoint_only_without_a_gap() {
        let mut first = Checkpoint::default();
        after_listing(&mut first, Some(datetime!(2024-03-01 0:00 UTC)), NOW);
        assert_eq!(
            (first.since, first.poll),
            (Some(datetime!(2024-03-01 0:00 UTC)), Some(NOW))
        );
        let mut joined = checkpoint();
        after_listing(&mut joined, Some(datetime!(2024-03-01 0:00 UTC)), NOW);
        assert_eq!(
            (joined.since, joined.poll, joined.reconcile),
            (None, Some(NOW), Some(NOW))
        );
        let mut gap = checkpoint();
        after_listing(&mut gap, Some(datetime!(2024-03-05 11:59:30 UTC)), NOW);
        assert_eq!(gap, checkpoint());
    }

    #[test]
    fn a_checkpoint_in_the_future_goes_back_as_far_as_the_widest_net() {
        let nets = Nets::new(Duration::from_secs(120), Duration::from_secs(3600));
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(400 * 86_400);
        let day = Duration::from_secs(86_400);
        let wrong = Checkpoint {
            poll: Some(now + 10 * day),
            look_back: Some(now + 10 * day),
            reconcile: Some(now),
            since: Some(now + 10 * day),
            ..Checkpoint::default()
        };
        let mut checkpoint = wrong.clone();
        back_from_the_future(&mut checkpoint, &nets, now);
        assert_eq!(
            checkpoint,
            Checkpoint {
                poll: Some(now - day),
                look_back: Some(now - day),
                reconcile: Some(now),
                since: Some(now),
                ..Checkpoint::default()
            }
        );
        let due = due(&checkpoint, now - day, &nets, now, None);
        assert_eq!(due.from, now);
        // A clock that is read to the second is no wrong one.
        let mut checkpoint = wrong.clone();
        back_from_the_future(
            &mut checkpoint,
            &nets,
            now + 10 * day - Duration::from_secs(300),
        );
        assert_eq!(checkpoint, wrong);
    }
}
