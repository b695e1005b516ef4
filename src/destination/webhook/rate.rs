//! Requests per second (`--wr`, `--wb`): a bucket that fills with time.

use std::time::{Duration, Instant};

/// The bucket; each request takes one token.
#[derive(Debug, Clone)]
pub struct Rate {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Rate {
    /// So many requests per second, and so many at once: without `burst` (or 0) twice as many, as in the old client.
    /// `None` for a rate that is not given or 0: no limit.
    pub fn new(per_second: Option<f64>, burst: Option<u32>, now: Instant) -> Option<Rate> {
        let per_second = per_second.filter(|rate| *rate > 0.0)?;
        let burst = match burst {
            None | Some(0) => per_second * 2.0,
            Some(burst) => f64::from(burst),
        };
        let burst = burst.max(1.0);
        Some(Rate {
            per_second,
            burst,
            tokens: burst,
            filled: now,
        })
    }

    /// Takes a token, or says how long to wait for the next one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = self.filled.max(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            Ok(())
        } else {
            let wait = (1.0 - self.tokens) / self.per_second;
            Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn granted_within(rate: &mut Rate, begin: Instant, seconds: u64) -> usize {
        (0..seconds * 1000)
            .filter(|ms| rate.take(begin + Duration::from_millis(*ms)).is_ok())
            .count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let begin = Instant::now();
        for (per_second, burst, wanted) in [
            (5.0, Some(3), 3 + 50),
            (5.0, None, 10 + 50),
            (5.0, Some(0), 10 + 50),
            (0.1, None, 2),
        ] {
            let mut rate = Rate::new(Some(per_second), burst, begin).unwrap();
            let granted = granted_within(&mut rate, begin, 10);
            assert!(
                granted.abs_diff(wanted) <= 1,
                "{granted} for {per_second}, {burst:?}"
            );
        }
    }

    #[test]
    fn it_says_how_long_to_wait() {
        let begin = Instant::now();
        let mut rate = Rate::new(Some(4.0), Some(1), begin).unwrap();
        assert_eq!(rate.take(begin), Ok(()));
        assert_eq!(rate.take(begin), Err(Duration::from_millis(250)));
        assert_eq!(rate.take(begin + Duration::from_millis(250)), Ok(()));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let now = Instant::now();
        assert!(Rate::new(None, Some(3), now).is_none());
        assert!(Rate::new(Some(0.0), None, now).is_none());
    }
}
