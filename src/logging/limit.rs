//! Keeps a flood of failures from being a flood of lines: the first ones of a reason are logged, the others counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Failures of one kind that are logged one by one for one reason, within [`PERIOD`].
const MAX_LOGGED: u64 = 5;

/// After this time the next ones are logged again.
const PERIOD: Duration = Duration::from_secs(3600);

/// Reasons that are told apart.
const MAX_REASONS: usize = 1000;

/// What was logged, and what was only counted, by what failed and why.
#[derive(Debug)]
pub struct LogLimit<K> {
    seen: HashMap<(K, String), Count>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    count: u64,
}

/// What to do about a failure.
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
    /// Logs the message at this level, or at that of what nobody needs to see.
    pub fn log(self, level: log::Level, message: &str) {
        match self {
            Line::Whole => log::log!(level, "{message}"),
            Line::Last => log::log!(
                level,
                "{message}; further ones like it are only counted for an hour"
            ),
            Line::None => log::debug!("{message}"),
        }
    }
}

impl<K> Default for LogLimit<K> {
    fn default() -> Self {
        LogLimit {
            seen: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> LogLimit<K> {
    /// Counts a failure at `now`.
    pub fn count(&mut self, of: K, reason: &str, now: Instant) -> Line {
        if self.seen.len() >= MAX_REASONS {
            self.seen.clear();
        }
        let count = self.seen.entry((of, reason.to_owned())).or_insert(Count {
            since: now,
            count: 0,
        });
        if now.saturating_duration_since(count.since) >= PERIOD {
            *count = Count {
                since: now,
                count: 0,
            };
        }
        count.count += 1;
        match count.count.cmp(&MAX_LOGGED) {
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
        let (mut limit, now) = (LogLimit::default(), Instant::now());
        let mut lines =
            |reason, now| -> Vec<Line> { (0..7).map(|_| limit.count(1, reason, now)).collect() };
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
            limit.count(1, &number.to_string(), now);
        }
        assert!(limit.seen.len() <= MAX_REASONS);
    }
}
