//! Large answers, of which one at a time is read, taken apart and handed on: so that memory does not depend on how many
//! threads ask.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// An answer of more bytes is a large one.
pub const MAX_SMALL: u64 = 1 << 20;

/// The right to hold a large answer, or what was made of it; given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<LargeAnswers>);

/// What was made of an answer, with the permit if that was a large one.
pub type Held = Option<Permit>;

/// Gives out one permit.
#[derive(Debug, Default)]
pub struct LargeAnswers {
    taken: Mutex<bool>,
    given_back: Condvar,
}

impl LargeAnswers {
    /// Waits for the permit for this time.
    pub fn permit(self: &Arc<Self>, time: Duration) -> Held {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, _) = self
            .given_back
            .wait_timeout_while(taken, time, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return None;
        }
        *taken = true;
        Some(Permit(Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_permit_at_a_time() {
        let answers = Arc::new(LargeAnswers::default());
        let first = answers.permit(Duration::ZERO);
        assert!(first.is_some() && answers.permit(Duration::from_millis(5)).is_none());
        let waiting = {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || answers.permit(Duration::from_secs(60)).is_some())
        };
        drop(first);
        assert!(waiting.join().is_ok_and(|came| came));
        assert!(answers.permit(Duration::ZERO).is_some());
    }
}
