//! The server's clock, read from the `Date` header of its answers.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

/// Steps back of up to this length come from answers that overtake each other and from servers that differ a little:
/// they are ignored. A longer one is a clock that was set, and is followed.
const IGNORED_STEP_BACK: Duration = Duration::minutes(5);

const IMF_FIXDATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// Reads a date of an HTTP header (IMF-fixdate, RFC 9110 section 5.6.7), such as `Tue, 05 Mar 2024 09:15:42 GMT`.
pub fn http_date(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text.trim(), IMF_FIXDATE)
        .ok()
        .map(PrimitiveDateTime::assume_utc)
}

/// The server's clock as far as its answers tell. Shared by all threads.
#[derive(Debug, Default)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The `Date` of the last answer, and when it arrived here.
    anchor: Option<(OffsetDateTime, Instant)>,
    /// The latest time that was told to anyone.
    told: Option<OffsetDateTime>,
    /// Whether it was logged that the local clock is used.
    fallback_logged: bool,
}

/// The two local clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Local {
    monotonic: Instant,
    utc: OffsetDateTime,
}

impl Local {
    fn read() -> Local {
        Local {
            monotonic: Instant::now(),
            utc: OffsetDateTime::now_utc(),
        }
    }
}

impl Clock {
    /// A clock that has seen no answer.
    pub fn new() -> Clock {
        Clock::default()
    }

    /// Takes note of an answer that arrives now, with its `Date`.
    ///
    /// An answer without a `Date` counts with the time that it should have: counted on from the last `Date`,
    /// else by the local clock.
    pub fn observe(&self, date: Option<OffsetDateTime>) {
        self.state().observe(date, Local::read());
    }

    /// The time that the server's clock should show now: the last `Date` plus what has passed here since that answer;
    /// before the first answer the local clock.
    ///
    /// Never goes back, except by more than five minutes if the server's clock was set back.
    pub fn now(&self) -> OffsetDateTime {
        self.state().now(Local::read())
    }

    /// The `Date` of the last answer, nothing added; `None` before the first answer.
    ///
    /// The end of each time window is this time: what the server has told until then it can be asked for,
    /// however fast or slow the clocks on both sides run.
    pub fn last_answer_time(&self) -> Option<OffsetDateTime> {
        self.state().anchor.map(|(date, _)| date)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn observe(&mut self, date: Option<OffsetDateTime>, local: Local) {
        let date = match date {
            Some(date) => date,
            None => {
                if !self.fallback_logged {
                    self.fallback_logged = true;
                    log::warn!(
                        "the server's answers carry no Date: its time is taken from the clock of this computer"
                    );
                }
                self.extrapolated(local)
            }
        };
        if let Some((last, _)) = self.anchor
            && date < last
        {
            if last - date <= IGNORED_STEP_BACK {
                return;
            }
            log::warn!(
                "the server's clock went back by {} s and is followed",
                (last - date).whole_seconds()
            );
            self.told = None;
        }
        self.anchor = Some((date, local.monotonic));
    }

    fn now(&mut self, local: Local) -> OffsetDateTime {
        let mut now = self.extrapolated(local);
        if let Some(told) = self.told
            && now < told
        {
            if told - now <= IGNORED_STEP_BACK {
                now = told;
            } else {
                log::warn!(
                    "the server's clock is {} s behind what was assumed, and is followed",
                    (told - now).whole_seconds()
                );
            }
        }
        self.told = Some(now);
        now
    }

    fn extrapolated(&self, local: Local) -> OffsetDateTime {
        match self.anchor {
            Some((date, at)) => date.saturating_add(
                Duration::try_from(local.monotonic.saturating_duration_since(at))
                    .unwrap_or(Duration::MAX),
            ),
            None => local.utc,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use std::time::Duration as StdDuration;

    use time::macros::datetime;

    use super::*;

    const T: OffsetDateTime = datetime!(2024-03-05 09:15:42 UTC);
    const LOCAL: OffsetDateTime = datetime!(2031-01-01 00:00:00 UTC);

    /// The local clocks some milliseconds after the start of a test.
    struct Passing(Instant);

    impl Passing {
        fn at(&self, millis: u64) -> Local {
            let passed = StdDuration::from_millis(millis);
            Local {
                monotonic: self.0 + passed,
                utc: LOCAL + passed,
            }
        }
    }

    fn start() -> (State, Passing) {
        (State::default(), Passing(Instant::now()))
    }

    fn s(seconds: i64) -> Duration {
        Duration::seconds(seconds)
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(http_date("Tue, 05 Mar 2024 09:15:42 GMT"), Some(T));
        assert_eq!(
            http_date(" Sun, 06 Nov 1994 08:49:37 GMT "),
            Some(datetime!(1994-11-06 08:49:37 UTC))
        );
        for odd in [
            "",
            "yesterday",
            "2024-03-05T09:15:42Z",
            "Tue, 05 Mar 2024 09:15:42",
            "Tue, 05 Mar 2024 25:15:42 GMT",
            "Tue, 31 Feb 2024 09:15:42 GMT",
        ] {
            assert_eq!(http_date(odd), None, "{odd}");
        }
    }

    #[test]
    fn before_the_first_answer_the_local_clock_is_used() {
        let (mut clock, local) = start();
        assert_eq!(
            clock.now(local.at(1500)),
            LOCAL + Duration::milliseconds(1500)
        );
        assert_eq!(Clock::new().last_answer_time(), None);
    }

    #[test]
    fn time_passes_from_the_last_date() {
        let (mut clock, local) = start();
        clock.observe(Some(T), local.at(0));
        assert_eq!(clock.now(local.at(0)), T);
        assert_eq!(clock.now(local.at(1500)), T + Duration::milliseconds(1500));
        clock.observe(Some(T + s(60)), local.at(2000));
        assert_eq!(
            clock.now(local.at(2250)),
            T + s(60) + Duration::milliseconds(250)
        );
        assert_eq!(clock.anchor.unwrap().0, T + s(60));
    }

    #[test]
    fn jumps_forward_are_followed() {
        let (mut clock, local) = start();
        clock.observe(Some(T), local.at(0));
        clock.observe(Some(T + Duration::days(400)), local.at(1));
        assert_eq!(clock.now(local.at(1)), T + Duration::days(400));
    }

    #[test]
    fn a_clock_that_stands_still_gives_the_last_date_and_never_goes_back() {
        let (mut clock, local) = start();
        clock.observe(Some(T), local.at(0));
        assert_eq!(clock.now(local.at(4000)), T + s(4));
        clock.observe(Some(T), local.at(5000));
        assert_eq!(clock.anchor.unwrap().0, T);
        assert_eq!(clock.now(local.at(5000)), T + s(4));
        assert_eq!(clock.now(local.at(9500)), T + Duration::milliseconds(4500));
    }

    #[test]
    fn answers_that_overtake_each_other_do_not_turn_it_back() {
        let (mut clock, local) = start();
        clock.observe(Some(T), local.at(0));
        clock.observe(Some(T - s(300)), local.at(10));
        assert_eq!(clock.anchor.unwrap().0, T);
        assert_eq!(clock.now(local.at(1000)), T + s(1));
    }

    #[test]
    fn a_long_step_back_is_followed() {
        let (mut clock, local) = start();
        clock.observe(Some(T), local.at(0));
        assert_eq!(clock.now(local.at(0)), T);
        clock.observe(Some(T - s(301)), local.at(10));
        assert_eq!(clock.now(local.at(10)), T - s(301));
        assert_eq!(clock.anchor.unwrap().0, T - s(301));
    }

    #[test]
    fn a_local_clock_that_was_far_ahead_is_left_behind() {
        let (mut clock, local) = start();
        assert_eq!(clock.now(local.at(0)), LOCAL);
        clock.observe(Some(T), local.at(10));
        assert_eq!(clock.now(local.at(10)), T);
    }

    #[test]
    fn an_answer_without_a_date_counts_with_the_time_it_should_have() {
        let (mut clock, local) = start();
        clock.observe(None, local.at(0));
        assert_eq!(clock.anchor.unwrap().0, LOCAL);
        assert!(clock.fallback_logged);

        let (mut clock, local) = start();
        clock.observe(Some(T), local.at(0));
        clock.observe(None, local.at(3000));
        assert_eq!(clock.anchor.unwrap().0, T + s(3));
    }

    #[test]
    fn the_shared_clock_tells_the_last_date() {
        let clock = Clock::new();
        clock.observe(Some(T));
        assert_eq!(clock.last_answer_time(), Some(T));
        let now = clock.now();
        assert!(now >= T && now < T + s(60), "{now}");
    }
}
