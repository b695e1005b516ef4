//! Contacts that were asked for and not returned. They were deleted, as a rule; but it may be trouble that passes: nobody
//! knows all the ways in which the API says so. They are asked for again for a day, over all runs.

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};

use crate::state::{Checkpoint, MAX_ABSENT};
use crate::text;

/// How long they are asked for again. The widest of the nets reaches back as far.
pub(super) const PATIENCE: Duration = Duration::hours(24);

/// So many of a round are logged one by one.
const MAX_LOGGED: usize = 5;

/// Since when which contacts don't come.
#[derive(Debug)]
pub struct Missing {
    since: HashMap<String, OffsetDateTime>,
    most: usize,
    /// Of this round: those that are logged one by one, and those that are only counted.
    logged: usize,
    unlogged: usize,
    /// Those of this round that are not asked for again although they may come.
    given_up: usize,
}

/// What is to be done about a contact that was not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is to be asked for again with the next reconcile.
    Ask,
    /// It counts as deleted.
    Leave,
    /// Too many are missing to ask for this one as well.
    GiveUp,
}

/// Since when a contact does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// For the first time: ask again later.
    New,
    /// Ask again later.
    Known,
    /// For so long, that it is not asked for again.
    Final,
    /// Too many are missing to ask for this one as well.
    Surplus,
}

impl Default for Missing {
    fn default() -> Self {
        Missing {
            since: HashMap::new(),
            most: MAX_ABSENT,
            logged: 0,
            unlogged: 0,
            given_up: 0,
        }
    }
}

impl Missing {
    /// Those of the runs before, at Dialfire's time `now`. Whoever was not asked for any more is forgotten in the end.
    pub fn of(checkpoint: &Checkpoint, now: OffsetDateTime) -> Self {
        let times = checkpoint.absent_since.iter().filter_map(|(id, seconds)| {
            let since = OffsetDateTime::from_unix_timestamp(*seconds).ok()?.min(now);
            (now - since < PATIENCE * 2).then(|| (id.clone(), since))
        });
        Missing {
            since: times.collect(),
            ..Missing::default()
        }
    }

    /// Keeps them for the next run.
    pub fn save_in(&self, checkpoint: &mut Checkpoint) {
        let times = (self.since.iter()).map(|(id, since)| (id.clone(), since.unix_timestamp()));
        checkpoint.absent_since = times.collect();
        checkpoint.absent_since.sort_unstable();
    }

    /// A contact was not returned; `now` is Dialfire's time.
    pub fn ask_again(&mut self, id: &str, now: OffsetDateTime) -> Next {
        let absence = self.did_not_come(id, now);
        let next = match absence {
            Absence::Known => return Next::Ask,
            Absence::New => Next::Ask,
            Absence::Final => Next::Leave,
            Absence::Surplus => Next::GiveUp,
        };
        self.given_up += usize::from(next == Next::GiveUp);
        if self.logged >= MAX_LOGGED {
            self.unlogged += 1;
            return next;
        }
        self.logged += 1;
        let id = text::foreign(id);
        match next {
            Next::Ask => log::warn!(
                "Dialfire returned no document for contact {id}: deleted, or of another campaign; it is asked for again for a day"
            ),
            Next::Leave => {
                log::info!(
                    "Dialfire returned no document for contact {id} for a day: it is not asked for any more"
                )
            }
            Next::GiveUp => log::warn!(
                "Dialfire returned no document for contact {id}, as for thousands before it: it is not asked for again until it \
                 changes (if they are not deleted, run db_init)"
            ),
        }
        next
    }

    /// A round is over: says how many were not returned besides those that were named.
    pub fn end_round(&mut self) {
        if self.unlogged > 0 {
            let given_up = match self.given_up {
                0 => String::new(),
                count => format!(
                    " ({count} in all are not asked for again until they change; if they are not deleted, run db_init)"
                ),
            };
            log::warn!(
                "Dialfire returned no document for {} further contacts{given_up}",
                self.unlogged
            );
        }
        (self.logged, self.unlogged, self.given_up) = (0, 0, 0);
    }

    fn did_not_come(&mut self, id: &str, now: OffsetDateTime) -> Absence {
        if let Some(since) = self.since.get(id) {
            if now - *since < PATIENCE {
                return Absence::Known;
            }
            self.since.remove(id);
            return Absence::Final;
        }
        if self.since.len() >= self.most {
            return Absence::Surplus;
        }
        self.since.insert(id.to_owned(), now);
        Absence::New
    }

    /// A contact came.
    pub fn came(&mut self, id: &str) {
        self.since.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_come_is_asked_for_again_for_a_day() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut missing = Missing {
            most: 2,
            ..Missing::default()
        };
        let mut after = |id, hours| missing.did_not_come(id, start + Duration::hours(hours));
        assert_eq!(after("A", 0), Absence::New);
        assert_eq!(after("A", 23), Absence::Known);
        assert_eq!(after("B", 23), Absence::New);
        assert_eq!(after("C", 23), Absence::Surplus);
        assert_eq!(after("A", 24), Absence::Final);
        assert_eq!(after("C", 24), Absence::New);
        missing.came("C");
        let again = missing.did_not_come("C", start + Duration::hours(99));
        assert_eq!(again, Absence::New);
    }

    #[test]
    fn the_day_goes_on_in_the_next_run() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut checkpoint = Checkpoint::default();
        for (hours, next) in [(0, Next::Ask), (23, Next::Ask), (24, Next::Leave)] {
            let now = start + Duration::hours(hours);
            let mut missing = Missing::of(&checkpoint, now);
            assert_eq!(missing.ask_again("A", now), next, "{hours}");
            missing.save_in(&mut checkpoint);
        }
        assert_eq!(checkpoint, Checkpoint::default());
        // A clock that was ahead for a while has nobody asked for any longer.
        checkpoint.absent_since = vec![("A".to_owned(), 99 * 3600), ("B".to_owned(), i64::MAX)];
        let mut missing = Missing::of(&checkpoint, start);
        let day_later = start + Duration::DAY;
        assert_eq!(missing.ask_again("A", day_later), Next::Leave);
        missing.save_in(&mut checkpoint);
        assert_eq!(checkpoint, Checkpoint::default());
    }
}
