//! Simulated time.

use std::sync::atomic::{AtomicI64, Ordering};

use super::instant::Instant;

/// Stands still until moved; with `realtime` it also runs by itself.
#[derive(Debug)]
pub struct Clock {
    base: AtomicI64,
    running_since: Option<std::time::Instant>,
}

impl Clock {
    /// A clock that shows this instant.
    pub fn new(start: Instant, realtime: bool) -> Self {
        Clock {
            base: AtomicI64::new(start),
            running_since: realtime.then(std::time::Instant::now),
        }
    }

    /// The instant it shows.
    pub fn now(&self) -> Instant {
        self.base.load(Ordering::SeqCst) + self.run()
    }

    fn run(&self) -> i64 {
        self.running_since
            .map_or(0, |since| since.elapsed().as_millis() as i64)
    }

    /// Moves it on by so many milliseconds.
    pub fn advance(&self, milliseconds: i64) {
        assert!(milliseconds >= 0, "simulated time only moves forward");
        self.base.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// Moves it on to an instant.
    pub fn set(&self, to: Instant) {
        self.advance(to - self.now());
    }
}
