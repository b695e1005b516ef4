//! A line on the terminal that says how far the work is.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// At most five updates a second.
const PAUSE: Duration = Duration::from_millis(200);

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is counted, such as `contacts`.
    pub unit: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many there are, where known.
    pub total: Option<u64>,
}

/// Draws a line over itself; silent where nobody looks.
pub struct Progress<W: Write> {
    output: Option<W>,
    started: Instant,
    last: Option<Instant>,
    drawn: usize,
}

impl Progress<io::Stderr> {
    /// On standard error if that is a terminal, else silent.
    pub fn on_terminal(now: Instant) -> Self {
        let stderr = io::stderr();
        Self::new(stderr.is_terminal().then_some(stderr), now)
    }
}

impl<W: Write> Progress<W> {
    /// On any output; silent for `None`. The rate counts from `now`.
    pub fn new(output: Option<W>, now: Instant) -> Self {
        Progress {
            output,
            started: now,
            last: None,
            drawn: 0,
        }
    }

    /// Shows how far the work is, unless the last time is less than a fifth of a second ago.
    pub fn update(&mut self, step: Step, now: Instant) {
        let due = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if due && self.output.is_some() {
            self.last = Some(now);
            let text = line(step, now.saturating_duration_since(self.started));
            self.draw(&text);
        }
    }

    /// Removes the line, before something else is printed or at the end. The next update shows it again.
    pub fn clear(&mut self) {
        if self.drawn > 0 {
            self.draw("");
            self.last = None;
        }
    }

    /// Overwrites with blanks instead of escape sequences, which old Windows consoles print as they are.
    fn draw(&mut self, text: &str) {
        let length = text.chars().count();
        let rest = self.drawn.saturating_sub(length);
        if let Some(output) = &mut self.output {
            let drawn = write!(output, "\r{text}{:rest$}\r", "").and_then(|()| output.flush());
            if drawn.is_err() {
                self.output = None;
            }
        }
        self.drawn = length;
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The line, such as `contacts: 1200 of 44000 (2%), 310/s, about 2 min 18 s left`; at most 79 columns for units of up
/// to 12 characters. Nothing is said of the rate before one second has passed.
pub fn line(step: Step, elapsed: Duration) -> String {
    let Step { unit, done, total } = step;
    let mut text = match total {
        Some(total) => {
            let percent = percent(done, total);
            format!("{unit}: {done} of {total} ({percent}%)")
        }
        None => format!("{unit}: {done}"),
    };
    let milliseconds = elapsed.as_millis();
    if milliseconds < 1000 || done == 0 {
        return text;
    }
    let per_second = u128::from(done) * 1000 / milliseconds;
    text.push_str(&match per_second {
        0 => format!(", {}/min", u128::from(done) * 60_000 / milliseconds),
        _ => format!(", {per_second}/s"),
    });
    if let Some(left) = total.and_then(|total| total.checked_sub(done))
        && left > 0
    {
        let seconds = u128::from(left) * milliseconds / u128::from(done) / 1000;
        text.push_str(&format!(", about {} left", time_left(seconds)));
    }
    text
}

/// Rounded down, so that 100% means done; a total that has grown too small counts as reached.
fn percent(done: u64, total: u64) -> u128 {
    match total {
        0 => 100,
        _ => (u128::from(done) * 100 / u128::from(total)).min(100),
    }
}

fn time_left(seconds: u128) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn step(done: u64, total: Option<u64>) -> Step {
        Step {
            unit: "contacts",
            done,
            total,
        }
    }

    #[test]
    fn tells_share_rate_and_time_left() {
        for (done, total, seconds, expected) in [
            (0, None, 0, "contacts: 0"),
            (500, None, 0, "contacts: 500"),
            (500, None, 2, "contacts: 500, 250/s"),
            (30, None, 60, "contacts: 30, 30/min"),
            (0, Some(0), 5, "contacts: 0 of 0 (100%)"),
            (0, Some(10), 5, "contacts: 0 of 10 (0%)"),
            (
                1240,
                Some(44_000),
                4,
                "contacts: 1240 of 44000 (2%), 310/s, about 2 min 17 s left",
            ),
            (
                999,
                Some(1000),
                10,
                "contacts: 999 of 1000 (99%), 99/s, about 0 s left",
            ),
            (
                1,
                Some(3601),
                2,
                "contacts: 1 of 3601 (0%), 30/min, about 2 h 0 min left",
            ),
            (1000, Some(1000), 10, "contacts: 1000 of 1000 (100%), 100/s"),
            (12, Some(10), 1, "contacts: 12 of 10 (100%), 12/s"),
        ] {
            assert_eq!(
                line(step(done, total), Duration::from_secs(seconds)),
                expected
            );
        }
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let text = line(
            step(u64::MAX, Some(u64::MAX)),
            Duration::from_secs(u64::MAX),
        );
        assert!(text.starts_with("contacts: 18446744073709551615 of 18446744073709551615 (100%)"));
    }

    #[test]
    fn draws_over_itself_five_times_a_second_and_clears() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut screen = Vec::new();
        let mut progress = Progress::new(Some(&mut screen), start);
        progress.update(step(1000, None), start);
        progress.update(step(1001, None), after(199));
        progress.update(step(7, None), after(200));
        progress.clear();
        progress.clear();
        progress.update(step(8, None), after(201));
        drop(progress);
        assert_eq!(
            String::from_utf8(screen).unwrap(),
            "\rcontacts: 1000\r\rcontacts: 7   \r\r           \r\rcontacts: 8\r\r           \r"
        );
    }

    #[test]
    fn silent_without_a_terminal() {
        let mut progress = Progress::<Vec<u8>>::new(None, Instant::now());
        progress.update(step(1, None), Instant::now());
        assert_eq!(progress.drawn, 0);
        assert_eq!(progress.last, None);
    }
}
