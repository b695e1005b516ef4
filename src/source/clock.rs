//! The server's clock, read from the `Date` header of its answers, and whether it can be believed.
//!
//! Of two clocks that are days apart at least one is wrong, and nobody can tell which. A time that is too early costs
//! reading something again; one that is too late loses what lies between. So the earlier one counts, and a checkpoint
//! does not move on a `Date` that is days ahead of a local clock which may be right.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use time::macros::datetime;
use time::{Duration, OffsetDateTime};

/// Steps back of up to this length come from answers that overtake each other and from servers that differ a little:
/// they are ignored. A longer one is a clock that was set, and is followed.
const IGNORED_STEP_BACK: Duration = Duration::minutes(5);

/// Two clocks that are further apart are not both right.
const MAX_DIFFERENCE: Duration = Duration::days(1);

/// A clock that shows an earlier time is certainly wrong: a computer without a battery for its clock starts in 1970.
const EARLIEST_PLAUSIBLE: OffsetDateTime = datetime!(2024-01-01 0:00 UTC);

/// A server whose clock jumps about is reported so often, and then once a minute.
const MAX_REPORTS: u32 = 10;
const BETWEEN_REPORTS: std::time::Duration = std::time::Duration::from_secs(60);

/// The server's clock as far as its answers tell. Shared by all threads.
#[derive(Debug, Default)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last `Date` that was believed, and the local clocks when it arrived.
    anchor: Option<(OffsetDateTime, Local)>,
    /// The latest time that was told to anyone.
    told: Option<OffsetDateTime>,
    /// Why the last answer's time is not believed.
    doubt: Option<String>,
    /// What was reported last, and by how much the clocks differed.
    reported: Option<(Finding, Duration)>,
    reports: u32,
    last_report: Option<Instant>,
    /// Whether it was logged that the local clock is used.
    fallback_logged: bool,
}

/// What the two clocks look like side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Not more than a day apart.
    Agree,
    /// The local clock is certainly wrong, and the `Date` may be right.
    LocalWrong,
    /// The `Date` is days behind the local clock: it is followed, as the earlier one.
    ServerBehind,
    /// The `Date` is not to be believed, and what is left may not be right either.
    NotBelieved,
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

    fn is_plausible(self) -> bool {
        self.utc >= EARLIEST_PLAUSIBLE
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

    /// The time that the server's clock should show now: the last believed `Date` plus what has passed here since that
    /// answer; before it the local clock, or the earliest plausible time where that is certainly wrong.
    ///
    /// Never goes back, except by more than five minutes if the server's clock was set back.
    pub fn now(&self) -> OffsetDateTime {
        self.state().now(Local::read())
    }

    /// The last believed `Date`, nothing added; `None` before it.
    ///
    /// The end of each time window is this time: what the server has told until then it can be asked for,
    /// however fast or slow the clocks on both sides run.
    pub fn last_answer_time(&self) -> Option<OffsetDateTime> {
        self.state().anchor.map(|(date, _)| date)
    }

    /// Why the time of the last answer is not believed: then a checkpoint must not move.
    pub fn doubt(&self) -> Option<String> {
        self.state().doubt.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn observe(&mut self, date: Option<OffsetDateTime>, local: Local) {
        let finding = self.judge(date, local);
        self.doubt = (finding == Finding::NotBelieved).then(|| sentence(finding, date, local));
        if date.is_some() || finding == Finding::NotBelieved {
            self.report(finding, date, local);
        }
        if finding == Finding::NotBelieved {
            return;
        }
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
        self.anchor = Some((date, local));
    }

    fn judge(&self, date: Option<OffsetDateTime>, local: Local) -> Finding {
        let Some(date) = date else {
            return match self.anchor.is_some() || local.is_plausible() {
                true => Finding::Agree,
                false => Finding::NotBelieved,
            };
        };
        if date < EARLIEST_PLAUSIBLE {
            return Finding::NotBelieved;
        }
        if local.is_plausible() {
            return match date - local.utc {
                ahead if ahead > MAX_DIFFERENCE => Finding::NotBelieved,
                ahead if ahead < -MAX_DIFFERENCE => Finding::ServerBehind,
                _ => Finding::Agree,
            };
        }
        // What the local clock counts is right, even where its time is not; it counts on while the computer sleeps.
        let ahead = self.anchor.map(|(last, then)| {
            let passed = self.extrapolated(local) - last;
            date - last - passed.max(local.utc - then.utc)
        });
        match ahead {
            Some(ahead) if ahead > MAX_DIFFERENCE => Finding::NotBelieved,
            _ => Finding::LocalWrong,
        }
    }

    /// Once for each finding, and again when the difference has changed.
    fn report(&mut self, finding: Finding, date: Option<OffsetDateTime>, local: Local) {
        let difference = date.map_or(Duration::ZERO, |date| date - local.utc);
        let before = self.reported.unwrap_or((Finding::Agree, Duration::ZERO));
        let is_news = finding != before.0
            || (finding != Finding::Agree
                && difference.saturating_sub(before.1).abs() > MAX_DIFFERENCE);
        let quiet = self
            .last_report
            .is_some_and(|last| local.monotonic.saturating_duration_since(last) < BETWEEN_REPORTS);
        if !is_news || (quiet && self.reports >= MAX_REPORTS) {
            return;
        }
        self.reported = Some((finding, difference));
        self.reports = self.reports.saturating_add(1);
        self.last_report = Some(local.monotonic);
        let sentence = sentence(finding, date, local);
        match finding {
            Finding::Agree => log::info!("{sentence}"),
            Finding::ServerBehind => log::warn!("{sentence}"),
            Finding::LocalWrong | Finding::NotBelieved => log::error!("{sentence}"),
        }
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
                Duration::try_from(local.monotonic.saturating_duration_since(at.monotonic))
                    .unwrap_or(Duration::MAX),
            ),
            None => local.utc.max(EARLIEST_PLAUSIBLE),
        }
    }
}

/// A finding for the log and the status file.
fn sentence(finding: Finding, date: Option<OffsetDateTime>, local: Local) -> String {
    let here = format!("the clock of this computer {}", stamp(local.utc));
    let there = match date {
        Some(date) => format!("Dialfire's clock shows {}", stamp(date)),
        None => "Dialfire's answers carry no time".to_owned(),
    };
    let rest = match finding {
        Finding::Agree => "they agree again",
        Finding::LocalWrong => {
            "the latter is wrong, and only Dialfire's is believed (set the clock of this computer)"
        }
        Finding::ServerBehind => {
            "they are more than a day apart; Dialfire's is followed, as what is read twice is not lost (check the clock \
             of this computer)"
        }
        Finding::NotBelieved => {
            "they are more than a day apart or certainly wrong, and are not believed; what is new is still copied, but the \
             checkpoint stays where it is until they agree (check the clock of this computer)"
        }
    };
    format!("{there}, {here}: {rest}")
}

fn stamp(time: OffsetDateTime) -> String {
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
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
        assert!(clock.fallback_logged && clock.doubt.is_none());

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

    fn at(utc: OffsetDateTime) -> Local {
        Local {
            monotonic: Instant::now(),
            utc,
        }
    }

    const NEVER: OffsetDateTime = datetime!(9999-12-31 23:59:00 UTC);

    #[test]
    fn a_date_days_ahead_of_a_plausible_local_clock_is_not_believed() {
        let begin = at(T);
        for ahead in [
            T + Duration::DAY + s(1),
            T + Duration::days(400),
            datetime!(9999-12-30 00:00 UTC),
            NEVER,
        ] {
            let mut clock = State::default();
            clock.observe(Some(ahead), begin);
            assert!(clock.doubt.as_ref().unwrap().contains("not believed"));
            assert!(clock.anchor.is_none());
            assert_eq!(clock.now(begin), T);
            // One that was right before goes on.
            let mut clock = State::default();
            clock.observe(Some(T), begin);
            clock.observe(Some(ahead), begin);
            assert_eq!((clock.anchor.unwrap().0, clock.now(begin)), (T, T));
            assert!(clock.doubt.is_some());
            clock.observe(Some(T + s(1)), begin);
            assert!(clock.doubt.is_none());
        }
        let mut clock = State::default();
        clock.observe(Some(T + Duration::DAY), begin);
        assert!(clock.doubt.is_none());
        assert_eq!(clock.now(begin), T + Duration::DAY);
    }

    #[test]
    fn a_date_before_the_program_was_made_is_not_believed() {
        for date in [
            OffsetDateTime::UNIX_EPOCH,
            datetime!(2023-12-31 23:59:59 UTC),
        ] {
            let mut clock = State::default();
            clock.observe(Some(date), at(T));
            assert!(clock.doubt.is_some() && clock.anchor.is_none());
            assert_eq!(clock.now(at(T)), T);
        }
    }

    #[test]
    fn a_local_clock_that_starts_in_1970_leaves_the_word_to_the_server() {
        let mut clock = State::default();
        let booted = at(OffsetDateTime::UNIX_EPOCH + s(40));
        assert_eq!(clock.now(booted), EARLIEST_PLAUSIBLE);
        clock.observe(Some(T), booted);
        assert!(clock.doubt.is_none());
        assert_eq!(clock.reported.unwrap().0, Finding::LocalWrong);
        assert_eq!(clock.now(booted), T);
        // Its own time is no measure, but what has passed by it is.
        clock.observe(Some(T + Duration::days(2)), booted);
        assert!(clock.doubt.is_some());
        assert_eq!(clock.now(booted), T);
        let slept = Local {
            utc: booted.utc + Duration::days(2),
            ..booted
        };
        clock.observe(Some(T + Duration::days(2)), slept);
        assert!(clock.doubt.is_none());
    }

    #[test]
    fn two_wrong_clocks_give_the_earliest_time_that_could_be_right() {
        for date in [None, Some(OffsetDateTime::UNIX_EPOCH)] {
            let mut clock = State::default();
            let booted = at(OffsetDateTime::UNIX_EPOCH);
            clock.observe(date, booted);
            assert!(clock.doubt.is_some());
            assert_eq!(clock.now(booted), EARLIEST_PLAUSIBLE);
        }
    }

    #[test]
    fn a_difference_is_reported_once_and_again_when_it_changes() {
        let mut clock = State::default();
        let mut reports = |date, local| {
            clock.observe(Some(date), local);
            clock.reports
        };
        let local = at(T);
        assert_eq!(reports(T, local), 0);
        assert_eq!(reports(T + Duration::days(3), local), 1);
        assert_eq!(reports(T + Duration::days(3), local), 1);
        assert_eq!(reports(T + Duration::days(4) + s(9), local), 2);
        assert_eq!(reports(T, local), 3);
        assert_eq!(reports(T, local), 3);
        assert_eq!(reports(T - Duration::days(3), local), 4);
        for n in 0..100 {
            reports(T + Duration::days(2 + 2 * (n % 7)), local);
        }
        assert_eq!(reports(T, local), MAX_REPORTS);
        let later = Local {
            monotonic: local.monotonic + BETWEEN_REPORTS,
            ..local
        };
        assert_eq!(reports(T, later), MAX_REPORTS + 1);
    }
}
