//! Keeps a flood of refused rows from being a flood of lines: the first ones of a reason are logged, the others counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::tables::schema::Table;

/// Rows of one table that are logged one by one for one reason, within [`PERIOD`].
const MAX_LOGGED: u64 = 5;

/// After this time the next ones are logged again.
const PERIOD: Duration = Duration::from_secs(3600);

/// Reasons that are told apart.
const MAX_REASONS: usize = 1000;

/// What was logged, and what was only counted.
#[derive(Debug, Default)]
pub struct Refusals {
    seen: HashMap<(Table, String), Count>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    rows: u64,
}

/// What to do about a refused row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// It is logged.
    Whole,
    /// It is logged, as the last one for this reason.
    Last,
    /// It is one of many.
    None,
}

impl Line {
    /// Logs a refusal as it says.
    pub fn log(self, message: &str) {
        match self {
            Line::Whole => log::error!("{message}"),
            Line::Last => {
                log::error!("{message}; further ones like it are only counted for an hour");
            }
            Line::None => log::debug!("{message}"),
        }
    }
}

impl Refusals {
    /// Counts a row that was refused at `now`.
    pub fn count(&mut self, table: Table, reason: &str, now: Instant) -> Line {
        if self.seen.len() >= MAX_REASONS {
            self.seen.clear();
        }
        let count = self
            .seen
            .entry((table, reason.to_owned()))
            .or_insert(Count {
                since: now,
                rows: 0,
            });
        if now.saturating_duration_since(count.since) >= PERIOD {
            *count = Count {
                since: now,
                rows: 0,
            };
        }
        count.rows += 1;
        match count.rows.cmp(&MAX_LOGGED) {
            std::cmp::Ordering::Less => Line::Whole,
            std::cmp::Ordering::Equal => Line::Last,
            std::cmp::Ordering::Greater => Line::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_of_a_reason_are_logged_in_each_hour() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let mut lines = |reason, now| -> Vec<Line> {
            (0..7)
                .map(|_| refusals.count(Table::Contacts, reason, now))
                .collect()
        };
        let wanted = [
            Line::Whole,
            Line::Whole,
            Line::Whole,
            Line::Whole,
            Line::Last,
            Line::None,
            Line::None,
        ];
        assert_eq!(lines("a", now), wanted);
        assert_eq!(lines("b", now), wanted);
        assert_eq!(lines("a", now), [Line::None; 7]);
        assert_eq!(lines("a", now + PERIOD), wanted);
        for number in 0..2 * MAX_REASONS {
            refusals.count(Table::Contacts, &number.to_string(), now);
        }
        assert!(refusals.seen.len() <= MAX_REASONS);
    }
}
