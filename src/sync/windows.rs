//! Which time ranges are due: pure functions of the checkpoint and Dialfire's clock.
//!
//! Nobody knows whether events are selected by their own time or by the time of their last change, nor whether a
//! contact's checksum covers connections that come late. So each net reaches further back than the one before.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, UtcOffset};

use crate::moment;
use crate::state::{Checkpoint, Reason, earlier};

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
    /// The nets, with the two spans that can be chosen.
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
    /// Events from here on.
    pub from: OffsetDateTime,
    /// Inbound calls from here on; all if `None`.
    pub calls: Option<OffsetDateTime>,
    /// Whether this round counts as a look back.
    pub look_back: bool,
    /// The list of contacts changed on this day or later (all if the inner value is `None`) is compared, if given; then the
    /// round counts as a reconcile.
    pub listing: Option<Option<Date>>,
    /// Whether it covers all that is owed.
    pub pays: bool,
}

/// A length of time for arithmetic that stops at the ends of the calendar: clocks and times come from outside.
fn span(length: Duration) -> time::Duration {
    time::Duration::try_from(length).unwrap_or(time::Duration::MAX)
}

/// What is due at `now`. `poll` is the checkpoint's time; `start` asks for a reconcile from there, whatever else is due. What
/// is owed is always due, unless all was copied and could not be read: then the next reconcile tries.
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
    let owed = (checkpoint.owed.as_ref()).filter(|owed| reconcile || owed.reason != Reason::Unread);
    let reconcile = reconcile || owed.is_some();
    let mut from = poll.saturating_sub(span(nets.overlap));
    if look_back {
        let last = checkpoint.look_back.unwrap_or(poll).min(poll);
        from = from.min(last.saturating_sub(span(nets.look_back_span)));
    }
    let mut listing = None;
    if reconcile {
        let last = checkpoint.reconcile.unwrap_or(poll).min(poll);
        from = from.min(last.saturating_sub(span(nets.reconcile_span)));
        // A little before the last one: its day may have ended in between.
        let since = last.saturating_sub(span(nets.overlap));
        let since = since.min(start.unwrap_or(last));
        let since = checkpoint.since.map_or(since, |lowest| lowest.max(since));
        let since = owed.map_or(Some(since), |owed| earlier(owed.since, Some(since)));
        listing = Some(since.map(OffsetDateTime::date));
    }
    if let Some(lowest) = checkpoint.since {
        from = from.max(lowest);
    }
    Due {
        from,
        calls: owed.map_or(Some(from), |owed| earlier(owed.since, Some(from))),
        look_back,
        listing,
        pays: owed.is_some(),
    }
}

/// Dialfire's clock was wrong for a while, so that the checkpoint lies after `now`: it goes back, as far as the widest net
/// reaches. What is stored since then is known and not read again.
pub fn back_from_the_future(checkpoint: &mut Checkpoint, nets: &Nets, now: OffsetDateTime) {
    let latest = now.saturating_add(span(CLOCK_TOLERANCE));
    let before = now.saturating_sub(span(nets.reconcile_span));
    let mut moved = false;
    for (time, to) in [
        (&mut checkpoint.poll, before),
        (&mut checkpoint.look_back, before),
        (&mut checkpoint.reconcile, before),
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
            moment::rfc3339(before)
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
    }
    if due.pays {
        checkpoint.owed = None;
    }
}

/// The checkpoint before a copy of all contacts changed since `since` (all if `None`), which begins at `now`: what it
/// promises to be stored. What happens from now on is a matter of the checkpoint's times; the past has to be noted as owed.
pub fn promise(checkpoint: &mut Checkpoint, since: Option<OffsetDateTime>, now: OffsetDateTime) {
    match checkpoint.poll {
        Some(poll) => {
            if joins(since, poll) {
                checkpoint.since = earlier(checkpoint.since, since);
            }
        }
        None => {
            // Nobody knows what a damaged checkpoint had promised.
            let damaged = (checkpoint.owed.as_ref())
                .is_some_and(|owed| owed.reason == Reason::Checkpoint && owed.since.is_none());
            checkpoint.since = since.filter(|_| !damaged);
            checkpoint.poll = Some(now);
            checkpoint.look_back = Some(now);
            checkpoint.reconcile = Some(now);
        }
    }
}

/// The checkpoint after all contacts changed since `since` (all if `None`) were copied by a run that began at `began`.
///
/// It moves only if no gap stays between what was stored before and `since`. The events between were not read, and a
/// contact's checksum need not cover what they tell of: the wider nets still reach back to where they were last thrown.
pub fn after_listing(
    checkpoint: &mut Checkpoint,
    since: Option<OffsetDateTime>,
    began: OffsetDateTime,
) {
    let poll = checkpoint.poll.unwrap_or(began);
    if !joins(since, poll) {
        return;
    }
    for last in [&mut checkpoint.look_back, &mut checkpoint.reconcile] {
        *last = Some(last.unwrap_or(poll).min(poll));
    }
    checkpoint.poll = Some(poll.max(began));
}

/// Whether no gap stays between what was read up to `poll` and what is listed from `since` on.
fn joins(since: Option<OffsetDateTime>, poll: OffsetDateTime) -> bool {
    since.is_none_or(|since| since <= poll)
}

/// Where an inbound call that began at `started` is to be looked for: a minute before, or from the beginning where that
/// is no time. Never before 1970, as the checkpoint could not hold it.
pub fn call_time(started: Option<&str>) -> OffsetDateTime {
    let text = started.unwrap_or_default();
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339));
    time.ok()
        .and_then(|time| time.checked_to_offset(UtcOffset::UTC))
        .map_or(OffsetDateTime::UNIX_EPOCH, |time| {
            time.saturating_sub(time::Duration::MINUTE)
                .max(OffsetDateTime::UNIX_EPOCH)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Owed;
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

    fn listed(day: Date) -> Option<Option<Date>> {
        Some(Some(day))
    }

    #[test]
    fn a_poll_reaches_two_minutes_behind_the_checkpoint() {
        let wanted = Due {
            from: datetime!(2024-03-05 11:57:00 UTC),
            look_back: false,
            listing: None,
            calls: Some(datetime!(2024-03-05 11:57:00 UTC)),
            pays: false,
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
                calls: Some(datetime!(2024-03-05 08:50:00 UTC)),
                look_back: true,
                listing: None,
                pays: false
            }
        );
    }

    #[test]
    fn a_reconcile_reaches_a_day_behind_the_one_before_and_lists_from_its_day() {
        let due = due_now(&checkpoint(), datetime!(2024-03-05 12:30:00 UTC));
        assert_eq!(due.from, datetime!(2024-03-04 11:30:00 UTC));
        assert_eq!(due.listing, listed(date!(2024 - 03 - 05)));
        let mut midnight = checkpoint();
        midnight.reconcile = Some(datetime!(2024-03-05 00:01:00 UTC));
        assert_eq!(
            due_now(&midnight, NOW).listing,
            listed(date!(2024 - 03 - 04))
        );
    }

    #[test]
    fn after_a_downtime_nothing_between_is_left_out() {
        let due = due_now(&checkpoint(), datetime!(2024-03-09 12:00:00 UTC));
        assert_eq!(due.from, datetime!(2024-03-04 11:30:00 UTC));
        assert_eq!(due.listing, listed(date!(2024 - 03 - 05)));
    }

    #[test]
    fn a_start_reconciles_and_a_start_date_lists_from_there() {
        let due = |start| due(&checkpoint(), NOW, &nets(), NOW, Some(start)).listing;
        assert_eq!(due(NOW), listed(date!(2024 - 03 - 05)));
        assert_eq!(
            due(datetime!(2023-01-01 0:00 UTC)),
            listed(date!(2023 - 01 - 01))
        );
    }

    #[test]
    fn what_could_not_be_read_is_copied_again_with_the_next_reconcile() {
        let owing = |reason, now| {
            let mut owing = checkpoint();
            owing.owed = Some(Owed {
                since: None,
                reason,
            });
            let due = due_now(&owing, now);
            assert_eq!(due.pays, due.listing.is_some());
            assert_eq!(due.pays, due.calls.is_none());
            due.listing
        };
        let later = datetime!(2024-03-05 12:30:00 UTC);
        assert_eq!(owing(Reason::Unread, NOW), None);
        assert_eq!(owing(Reason::Unread, later), Some(None));
        assert_eq!(owing(Reason::Lost, NOW), Some(None));
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
            listing: listed(date!(2024 - 03 - 05)),
            calls: Some(NOW),
            pays: false,
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
                calls: Some(NOW),
                look_back: true,
                listing: None,
                pays: false,
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
                calls: Some(NOW),
                look_back: false,
                listing: None,
                pays: false,
            },
            NOW - nets().overlap,
        );
        assert_eq!(moved.poll, Some(NOW));
    }

    #[test]
    fn what_is_owed_is_due_whatever_else_is() {
        let mut owing = checkpoint();
        owing.since = Some(datetime!(2024-03-05 00:00 UTC));
        // A poll reads less than a look back and a reconcile do.
        let owed = |since| {
            let reason = Reason::Copy;
            Some(Owed { since, reason })
        };
        owing.owed = owed(None);
        let due = due_now(&owing, NOW);
        assert_eq!((due.listing, due.calls, due.pays), (Some(None), None, true));
        let early = datetime!(2023-01-02 3:04 UTC);
        owing.owed = owed(Some(early));
        let due = due_now(&owing, NOW);
        assert_eq!(due.listing, listed(date!(2023 - 01 - 02)));
        assert_eq!((due.calls, due.pays), (Some(early), true));
        // The events of the past need not be read: the documents hold what they tell of.
        assert_eq!(due.from, datetime!(2024-03-05 00:00 UTC));
        // What is owed since later than what is due makes it no shorter.
        owing.owed = owed(Some(datetime!(2024-03-07 0:00 UTC)));
        let due = due_now(&owing, NOW);
        assert_eq!(due.listing, listed(date!(2024 - 03 - 05)));
        assert_eq!(due.calls, Some(due.from));
        let mut paid = owing.clone();
        after_round(&mut paid, &due, NOW);
        assert_eq!(paid.owed, None);
        let unpaid = Due { pays: false, ..due };
        after_round(&mut owing, &unpaid, NOW);
        assert!(owing.owed.is_some());
        assert_eq!(owing.reconcile, Some(NOW));
    }

    #[test]
    fn a_first_copy_promises_what_it_was_asked_for() {
        for since in [None, Some(datetime!(2024-03-01 0:00 UTC))] {
            let mut first = Checkpoint::default();
            promise(&mut first, since, NOW);
            let wanted = Checkpoint {
                poll: Some(NOW),
                look_back: Some(NOW),
                reconcile: Some(NOW),
                since,
                ..Checkpoint::default()
            };
            assert_eq!(first, wanted);
            // The end of it, an hour later: what happened meanwhile is still to be read.
            after_listing(&mut first, since, NOW);
            assert_eq!(first, wanted);
        }
        // What a damaged checkpoint had promised is unknown.
        let mut damaged = Checkpoint {
            owed: Some(Owed {
                since: None,
                reason: Reason::Checkpoint,
            }),
            ..Checkpoint::default()
        };
        promise(&mut damaged, Some(datetime!(2024-03-01 0:00 UTC)), NOW);
        assert_eq!((damaged.since, damaged.poll), (None, Some(NOW)));
    }

    #[test]
    fn a_later_copy_widens_what_is_promised_where_no_gap_stays() {
        let (early, late) = (
            datetime!(2024-03-01 0:00 UTC),
            datetime!(2024-03-04 0:00 UTC),
        );
        let promised = |before, since| {
            let mut checkpoint = checkpoint();
            checkpoint.since = before;
            promise(&mut checkpoint, since, NOW);
            assert_eq!(checkpoint.poll, self::checkpoint().poll);
            assert_eq!(checkpoint.reconcile, self::checkpoint().reconcile);
            checkpoint.since
        };
        assert_eq!(promised(Some(late), Some(early)), Some(early));
        assert_eq!(promised(Some(early), Some(late)), Some(early));
        assert_eq!(promised(Some(early), None), None);
        assert_eq!(promised(None, Some(early)), None);
        // Between the checkpoint's time and this one nothing was read.
        let gap = datetime!(2024-03-05 11:59:01 UTC);
        assert_eq!(
            promised(Some(gap + Duration::from_secs(1)), Some(gap)),
            Some(gap + Duration::from_secs(1))
        );
        let joined = datetime!(2024-03-05 11:59:00 UTC);
        assert_eq!(promised(Some(NOW), Some(joined)), Some(joined));
    }

    /// The wider nets reach as far back as if it had not been.
    #[test]
    fn a_later_copy_moves_no_net_over_events_that_it_did_not_read() {
        for since in [None, Some(datetime!(2024-03-01 0:00 UTC))] {
            let later = datetime!(2024-03-08 12:00:00 UTC);
            let mut copied = checkpoint();
            after_listing(&mut copied, since, later);
            let wanted = Checkpoint {
                poll: Some(later),
                ..checkpoint()
            };
            assert_eq!(copied, wanted);
            let (with, without) = (due_now(&copied, later), due_now(&checkpoint(), later));
            assert_eq!(with, without);
        }
        // Nets that were never thrown begin where the polls ended.
        let poll = checkpoint().poll;
        let mut copied = Checkpoint {
            poll,
            ..Checkpoint::default()
        };
        after_listing(&mut copied, None, NOW);
        assert_eq!((copied.look_back, copied.reconcile), (poll, poll));
        assert_eq!(copied.poll, Some(NOW));
        // An answer of an earlier time moves nothing back.
        after_listing(&mut copied, None, datetime!(2024-03-01 0:00 UTC));
        assert_eq!(copied.poll, Some(NOW));
        let mut gap = checkpoint();
        after_listing(&mut gap, Some(datetime!(2024-03-05 11:59:30 UTC)), NOW);
        assert_eq!(gap, checkpoint());
    }

    #[test]
    fn a_copy_from_the_very_end_of_the_polls_leaves_no_gap() {
        let end = checkpoint().poll;
        let mut copied = checkpoint();
        after_listing(&mut copied, end, NOW);
        let wanted = Checkpoint {
            poll: Some(NOW),
            ..checkpoint()
        };
        assert_eq!(copied, wanted);
        // Without a checkpoint it is the beginning of the copy that counts.
        let mut first = Checkpoint::default();
        after_listing(&mut first, Some(datetime!(2024-03-01 0:00 UTC)), NOW);
        let wanted = Checkpoint {
            poll: Some(NOW),
            look_back: Some(NOW),
            reconcile: Some(NOW),
            ..Checkpoint::default()
        };
        assert_eq!(first, wanted);
    }

    #[test]
    fn nets_that_were_thrown_after_the_last_poll_count_from_that_poll() {
        let poll = datetime!(2024-03-05 10:00 UTC);
        let ahead = Checkpoint {
            poll: Some(poll),
            ..checkpoint()
        };
        let mut copied = ahead.clone();
        after_listing(&mut copied, None, NOW);
        assert_eq!(
            (copied.look_back, copied.reconcile),
            (Some(poll), Some(poll))
        );
        let due = |now| due_now(&ahead, now);
        assert_eq!(
            due(datetime!(2024-03-05 12:05 UTC)).from,
            datetime!(2024-03-05 07:00 UTC)
        );
        assert_eq!(
            due(datetime!(2024-03-05 12:30 UTC)).from,
            datetime!(2024-03-04 10:00 UTC)
        );
    }

    #[test]
    fn times_at_the_ends_of_the_calendar_overflow_nothing() {
        let widest = Nets::new(Duration::from_secs(7 * 86_400), Duration::MAX);
        for end in [
            datetime!(9999-12-31 23:59:59 UTC),
            datetime!(-9999-01-01 0:00 UTC),
        ] {
            for mut checkpoint in [
                Checkpoint::default(),
                Checkpoint {
                    poll: Some(end),
                    look_back: Some(end),
                    reconcile: Some(end),
                    since: Some(end),
                    ..Checkpoint::default()
                },
            ] {
                back_from_the_future(&mut checkpoint, &widest, end);
                let due = due(&checkpoint, end, &widest, end, Some(end));
                after_round(&mut checkpoint, &due, end);
                after_listing(&mut checkpoint, Some(end), end);
            }
        }
    }

    #[test]
    fn an_odd_time_of_a_call_is_one_that_the_checkpoint_can_hold() {
        for (started, wanted) in [
            ("2024-03-05T12:01:00", NOW),
            ("2024-03-05T13:01:00+01:00", NOW),
            ("0000-01-01T00:00:00Z", OffsetDateTime::UNIX_EPOCH),
            ("1970-01-01T00:00:30", OffsetDateTime::UNIX_EPOCH),
            ("9999-12-31T23:59:59-23:00", OffsetDateTime::UNIX_EPOCH),
            ("yesterday", OffsetDateTime::UNIX_EPOCH),
        ] {
            assert_eq!(call_time(Some(started)), wanted, "{started}");
        }
        let last = call_time(Some("9999-12-31T23:59:59Z"));
        assert_eq!(last, datetime!(9999-12-31 23:58:59 UTC));
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
