//! Where the time of a round went (`--p`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the program is doing while time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Reading pages of events, calls or contacts.
    Listing,
    /// Waiting for contact documents; summed over all threads.
    Fetching,
    /// Turning documents into rows; summed over all threads.
    Parsing,
    /// Waiting for the database to be there again, and comparing checksums with it.
    WaitingForDatabase,
    /// Writing batches.
    Writing,
    /// Making indexes at the end.
    Indexing,
}

const ACTIVITIES: [(Activity, &str); 6] = [
    (Activity::Listing, "listing"),
    (Activity::Fetching, "fetching"),
    (Activity::Parsing, "parsing"),
    (Activity::WaitingForDatabase, "waiting for the database"),
    (Activity::Writing, "writing"),
    (Activity::Indexing, "making indexes"),
];

/// Sums of time per activity, shared between threads.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    nanoseconds: Arc<[AtomicU64; 6]>,
}

impl Profile {
    /// Runs `work` and adds its time.
    pub fn measure<T>(&self, activity: Activity, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = work();
        self.add(activity, begin.elapsed());
        result
    }

    /// Adds time.
    pub fn add(&self, activity: Activity, time: Duration) {
        if let Some(sum) = self.sum(activity) {
            sum.fetch_add(
                u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
        }
    }

    /// The time of an activity since the last [`Profile::reset`].
    pub fn time(&self, activity: Activity) -> Duration {
        self.sum(activity).map_or(Duration::ZERO, |sum| {
            Duration::from_nanos(sum.load(Ordering::Relaxed))
        })
    }

    /// Sets all sums to zero.
    pub fn reset(&self) {
        self.nanoseconds
            .iter()
            .for_each(|sum| sum.store(0, Ordering::Relaxed));
    }

    fn sum(&self, activity: Activity) -> Option<&AtomicU64> {
        let position = ACTIVITIES.iter().position(|(each, _)| *each == activity)?;
        self.nanoseconds.get(position)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (activity, name)) in ACTIVITIES.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(
                f,
                "{separator}{name} {:.3} s",
                self.time(*activity).as_secs_f64()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_per_activity() {
        let profile = Profile::default();
        profile.add(Activity::Fetching, Duration::from_millis(1500));
        profile
            .clone()
            .add(Activity::Fetching, Duration::from_millis(500));
        profile.add(Activity::Writing, Duration::from_millis(25));
        assert_eq!(
            profile.to_string(),
            "listing 0.000 s, fetching 2.000 s, parsing 0.000 s, waiting for the database 0.000 s, writing 0.025 s, making indexes 0.000 s"
        );
        profile.reset();
        assert_eq!(profile.time(Activity::Fetching), Duration::ZERO);
    }
}
