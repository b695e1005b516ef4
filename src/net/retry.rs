//! How often a failed request is repeated, and how long to wait before.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::http_date::http_date;
use crate::error::{Error, Result};
use crate::logging::limit::Line;

/// The longest wait that a server can ask for with `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Waits for a time; fails with [`Error::stopped`] as soon as the program is told to stop.
pub type Sleep = dyn Fn(Duration) -> Result<()> + Send + Sync;

/// Gives a random number, each value of `u64` equally likely.
pub type Random = dyn Fn() -> u64 + Send + Sync;

/// How to wait: both parts are passed in, so that tests neither sleep nor guess.
#[derive(Clone)]
pub struct Pause {
    /// Waits.
    pub sleep: Arc<Sleep>,
    /// Spreads the waits.
    pub random: Arc<Random>,
}

impl Pause {
    /// Waits with `sleep`, spread by [`random`].
    pub fn new(sleep: impl Fn(Duration) -> Result<()> + Send + Sync + 'static) -> Pause {
        Pause {
            sleep: Arc::new(sleep),
            random: Arc::new(random),
        }
    }
}

/// A random number from the seed that the standard library draws from the system for its hash maps.
pub fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// How often and how patiently a request is tried. The default is that of the old client: ten attempts, and waits of
/// 1, 2, 4 … 512 s, about 17 minutes; but each wait is drawn between nothing and that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Number of attempts, at least one.
    pub attempts: u32,
    /// The longest wait after the first attempt; it doubles after each further one.
    pub first_wait: Duration,
    /// Where the doubling ends.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 10,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(512),
        }
    }
}

/// What came of one attempt.
#[derive(Debug)]
pub enum Attempt<T> {
    /// It worked.
    Done(T),
    /// It failed, and repeating it is useless.
    Failed(Error),
    /// It failed, and may work later.
    Again {
        /// Why it failed, for the log.
        reason: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// Whether it is to be logged, as one of how many.
        line: Line,
    },
}

impl RetryPolicy {
    /// How long to wait after the failed attempt number `attempt` (from 1).
    ///
    /// Anything between nothing and the current length, as `random` decides ("full jitter", so that workers that failed
    /// together don't come back together); on top of what the server asked for, of which at most ten minutes count.
    pub fn wait(&self, attempt: u32, retry_after: Option<Duration>, random: u64) -> Duration {
        let doubled = 1_u32
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let longest = self
            .first_wait
            .saturating_mul(doubled)
            .min(self.longest_wait);
        let nanos = longest.as_nanos().saturating_mul(u128::from(random)) / u128::from(u64::MAX);
        let jitter = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        retry_after.unwrap_or_default().min(MAX_RETRY_AFTER) + jitter
    }

    /// Makes attempts until one is done, fails for good, or is the last one. Each failed one is logged.
    ///
    /// # Errors
    /// That of an attempt that failed for good; [`Transient`](crate::error::ErrorKind::Transient) after the last attempt;
    /// [`Stopped`](crate::error::ErrorKind::Stopped) if told to stop while waiting.
    pub fn run<T>(
        &self,
        call: &str,
        pause: &Pause,
        mut attempt: impl FnMut() -> Attempt<T>,
    ) -> Result<T> {
        let attempts = self.attempts.max(1);
        let mut number = 1;
        loop {
            let (reason, retry_after, line) = match attempt() {
                Attempt::Done(value) => return Ok(value),
                Attempt::Failed(error) => return Err(error),
                Attempt::Again {
                    reason,
                    retry_after,
                    line,
                } => (reason, retry_after, line),
            };
            if number >= attempts {
                log::warn!(
                    "{call}: attempt {number} of {attempts} failed: {reason}; giving up for now"
                );
                return Err(Error::transient(format!(
                    "{call} failed {attempts} times, the last time: {reason}"
                )));
            }
            let wait = self.wait(number, retry_after, (pause.random)());
            let next = format!(
                "{call}: attempt {number} of {attempts} failed: {reason}; next one in {:.1} s",
                wait.as_secs_f64()
            );
            line.log(log::Level::Warn, &next);
            (pause.sleep)(wait)?;
            number += 1;
        }
    }
}

/// Reads a `Retry-After` header: seconds, or an HTTP date, which is compared with the `Date` of the same answer.
///
/// A date without a `Date` to compare with, a date that has passed and anything else give `None`.
pub fn retry_after(header: &str, date: Option<OffsetDateTime>) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let until = http_date(header)?;
    Duration::try_from(until - date?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use std::sync::Mutex;

    use time::macros::datetime;

    use super::*;
    use crate::error::ErrorKind;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 10,
        first_wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(512),
    };

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_default_is_ten_attempts_in_about_seventeen_minutes() {
        assert_eq!(RetryPolicy::default(), POLICY);
        let longest: Duration = (1..10).map(|n| POLICY.wait(n, None, u64::MAX)).sum();
        assert_eq!(longest, secs(511));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=12)
            .map(|n| POLICY.wait(n, None, u64::MAX).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]);
        assert_eq!(POLICY.wait(4_000_000_000, None, u64::MAX), secs(512));
        let hasty = RetryPolicy {
            longest_wait: secs(3),
            ..POLICY
        };
        assert_eq!(hasty.wait(5, None, u64::MAX), secs(3));
    }

    #[test]
    fn jitter_reaches_from_nothing_to_the_current_wait() {
        assert_eq!(POLICY.wait(5, None, 0), Duration::ZERO);
        assert_eq!(
            POLICY.wait(5, None, u64::MAX / 4),
            secs(4) - Duration::from_nanos(1)
        );
        assert_eq!(POLICY.wait(5, None, u64::MAX), secs(16));
    }

    #[test]
    fn retry_after_is_a_minimum_of_at_most_ten_minutes() {
        assert_eq!(POLICY.wait(1, Some(secs(30)), 0), secs(30));
        assert_eq!(POLICY.wait(2, Some(secs(30)), u64::MAX), secs(32));
        assert_eq!(POLICY.wait(1, Some(secs(86_400)), 0), secs(600));
        assert_eq!(POLICY.wait(1, Some(Duration::MAX), 0), secs(600));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let date = Some(datetime!(2024-03-05 09:15:42 UTC));
        assert_eq!(retry_after("120", None), Some(secs(120)));
        assert_eq!(retry_after(" 0 ", None), Some(Duration::ZERO));
        assert_eq!(
            retry_after("99999999999999999999999", None),
            Some(secs(u64::MAX))
        );
        assert_eq!(
            retry_after("Tue, 05 Mar 2024 09:17:42 GMT", date),
            Some(secs(120))
        );
        assert_eq!(retry_after("Tue, 05 Mar 2024 09:15:00 GMT", date), None);
        assert_eq!(retry_after("Tue, 05 Mar 2024 09:17:42 GMT", None), None);
        for odd in ["", "soon", "-5", "1.5", "2024-03-05T09:17:42Z"] {
            assert_eq!(retry_after(odd, date), None, "{odd}");
        }
    }

    fn recording(waits: &Arc<Mutex<Vec<Duration>>>) -> Pause {
        let waits = Arc::clone(waits);
        Pause {
            sleep: Arc::new(move |wait| {
                waits.lock().unwrap().push(wait);
                Ok(())
            }),
            random: Arc::new(|| u64::MAX),
        }
    }

    fn again<T>(reason: &str) -> Attempt<T> {
        Attempt::Again {
            reason: reason.to_owned(),
            retry_after: None,
            line: Line::Whole,
        }
    }

    #[test]
    fn repeats_until_done() {
        let waits = Arc::default();
        let mut left = 3;
        let value = POLICY.run("GET things", &recording(&waits), || {
            left -= 1;
            if left == 0 {
                Attempt::Done("value")
            } else {
                again("HTTP 500")
            }
        });
        assert_eq!(value.unwrap(), "value");
        assert_eq!(*waits.lock().unwrap(), [secs(1), secs(2)]);
    }

    #[test]
    fn gives_up_after_the_last_attempt_with_a_transient_error() {
        let waits = Arc::default();
        let mut made = 0;
        let error = RetryPolicy {
            attempts: 3,
            ..POLICY
        }
        .run::<()>("GET things", &recording(&waits), || {
            made += 1;
            again(&format!("trouble {made}"))
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert_eq!(
            error.to_string(),
            "GET things failed 3 times, the last time: trouble 3"
        );
        assert_eq!((made, waits.lock().unwrap().len()), (3, 2));
    }

    #[test]
    fn no_attempts_means_one() {
        let mut made = 0;
        let policy = RetryPolicy {
            attempts: 0,
            ..POLICY
        };
        policy
            .run::<()>("GET things", &recording(&Arc::default()), || {
                made += 1;
                again("trouble")
            })
            .unwrap_err();
        assert_eq!(made, 1);
    }

    #[test]
    fn a_lasting_failure_is_not_repeated() {
        let waits = Arc::default();
        let error = POLICY
            .run::<()>("GET things", &recording(&waits), || {
                Attempt::Failed(Error::setup("no such campaign"))
            })
            .unwrap_err();
        assert_eq!(error, Error::setup("no such campaign"));
        assert!(waits.lock().unwrap().is_empty());
    }

    #[test]
    fn told_to_stop_while_waiting_ends_it() {
        let mut made = 0;
        let error = POLICY
            .run::<()>("GET things", &Pause::new(|_| Err(Error::stopped())), || {
                made += 1;
                again("trouble")
            })
            .unwrap_err();
        assert_eq!((error.kind(), made), (ErrorKind::Stopped, 1));
    }

    #[test]
    fn random_numbers_differ() {
        let numbers: std::collections::HashSet<u64> = (0..100).map(|_| random()).collect();
        assert_eq!(numbers.len(), 100);
    }
}
