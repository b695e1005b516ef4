//! Ends the program when it is told to: SIGINT and SIGTERM. SIGHUP is left as found, for nohup.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{EXIT_INCOMPLETE, Error, Result};

/// How often a waiting thread looks whether it was told to stop.
const STEP: Duration = Duration::from_millis(100);
/// Time from the first signal until the process ends by force. With the waits around it still under 5 s.
const GRACE: Duration = Duration::from_secs(4);
/// Time that the last line of the log may take: standard output may be a pipe that nobody reads.
const LAST_WORDS: Duration = Duration::from_millis(300);

// The promise: from the signal to the end less than five seconds.
const _: () = assert!(STEP.as_millis() + GRACE.as_millis() + LAST_WORDS.as_millis() < 4_900);

/// What a run has to say when it is ended by force, while its own threads may be blocked: nothing here waits for them.
pub trait LastWords: fmt::Debug + Send + Sync {
    /// What was done until now, and in which time.
    fn done(&self) -> Option<String>;

    /// Leaves the line where the end of a run is noted.
    fn note(&self, line: &str);
}

/// Tells whether the program was told to stop. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    told: Arc<AtomicBool>,
    last_words: Arc<OnceLock<Arc<dyn LastWords>>>,
}

impl Shutdown {
    /// One that nobody has told to stop, and that no signal reaches.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGINT and SIGTERM tell to stop. To be called once, before other threads are started.
    ///
    /// The first signal is an order to end, and after 4 s the process ends even if a database call still blocks: the
    /// server rolls the unfinished transaction back when the connection goes, and the checkpoint has not moved. The exit
    /// code is then 0, or 5 where the work has an end that was not reached: `mode` names it. A second signal ends the
    /// process at once, with 128 plus the signal's number.
    ///
    /// # Errors
    /// [`Setup`](crate::error::ErrorKind::Setup) where the system refuses signals or a thread.
    pub fn install(mode: Option<&'static str>) -> Result<Shutdown> {
        Self::install_with_grace(mode, GRACE)
    }

    fn install_with_grace(mode: Option<&'static str>, grace: Duration) -> Result<Shutdown> {
        let shutdown = Shutdown::new();
        let refused = |error| Error::setup(format!("cannot listen to signals: {error}"));
        for signal in [SIGINT, SIGTERM] {
            // This order: the signal that sets the flag must not find it set.
            let told = Arc::clone(&shutdown.told);
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, told)
                .map_err(refused)?;
            signal_hook::flag::register(signal, Arc::clone(&shutdown.told)).map_err(refused)?;
        }
        let watched = shutdown.clone();
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watched.end_by_force(mode, grace))
            .map_err(refused)?;
        Ok(shutdown)
    }

    /// What is to be said at a forced end; the first counts.
    pub fn leave(&self, last_words: Arc<dyn LastWords>) {
        let _ = self.last_words.set(last_words);
    }

    /// Tells every clone to stop, as a signal does.
    pub fn request(&self) {
        self.told.store(true, Ordering::SeqCst);
    }

    /// Whether the program was told to stop.
    pub fn requested(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    /// Waits, but no longer than a tenth of a second after being told to stop; returns whether it was told to.
    pub fn sleep(&self, time: Duration) -> bool {
        let start = Instant::now();
        while !self.requested() {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(STEP));
        }
        true
    }

    fn end_by_force(&self, mode: Option<&str>, grace: Duration) {
        while !self.requested() {
            thread::sleep(STEP);
        }
        thread::sleep(grace);
        let run = self.last_words.get().cloned();
        let done = run.as_ref().and_then(|run| run.done());
        let what = mode.map_or_else(String::new, |mode| match done {
            Some(done) => format!("{mode} incomplete: {done}; "),
            None => format!("{mode} incomplete: "),
        });
        let line = format!(
            "{what}still at work seconds after the signal: ending now, the unfinished transaction is rolled back and is done \
             again at the next start, in whatever mode"
        );
        let noted = line.clone();
        // Each in its own thread, as each may block.
        let note = thread::spawn(move || run.inspect(|run| run.note(&noted)));
        let last_words = thread::spawn(move || {
            let _ = writeln!(std::io::stdout(), "{line}");
            log::warn!("{line}");
            log::logger().flush();
        });
        let start = Instant::now();
        while !(last_words.is_finished() && note.is_finished()) && start.elapsed() < LAST_WORDS {
            thread::sleep(Duration::from_millis(10));
        }
        std::process::exit(mode.map_or(0, |_| i32::from(EXIT_INCOMPLETE)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::process::{Command, ExitStatus, Stdio};

    const ROLE: &str = "DBSYNC2_TEST_SHUTDOWN_ROLE";

    /// Runs one of the tests below in a process of its own, as signals concern the whole process.
    fn run_alone(test: &str) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("shutdown::tests::{test}"),
                "--nocapture",
            ])
            .env(ROLE, test)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        (status, start.elapsed())
    }

    fn is_child(test: &str) -> bool {
        std::env::var(ROLE).is_ok_and(|role| role == test)
    }

    fn signal(signal: std::ffi::c_int) {
        signal_hook::low_level::raise(signal).unwrap();
    }

    /// Long enough to tell an end in time from one that never comes.
    fn block() -> ! {
        thread::sleep(Duration::from_secs(60));
        panic!("still alive");
    }

    #[test]
    fn nobody_told_it() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.requested());
        let start = Instant::now();
        assert!(!shutdown.sleep(Duration::from_millis(120)));
        assert!(start.elapsed() >= Duration::from_millis(120));
    }

    #[test]
    fn clones_are_told_too_and_wake_up() {
        let shutdown = Shutdown::new();
        let sleeper = shutdown.clone();
        let thread = thread::spawn(move || sleeper.sleep(Duration::from_secs(3600)));
        shutdown.request();
        assert!(thread.join().unwrap());
        assert!(shutdown.requested());
        assert!(shutdown.sleep(Duration::from_secs(3600)));
        assert!(shutdown.sleep(Duration::ZERO));
    }

    #[test]
    fn one_signal_is_an_order_to_end() {
        let name = "one_signal_is_an_order_to_end";
        if is_child(name) {
            let shutdown = Shutdown::install(None).unwrap();
            assert!(!shutdown.requested());
            signal(SIGTERM);
            assert!(shutdown.requested());
            std::process::exit(77);
        }
        assert_eq!(run_alone(name).0.code(), Some(77));
    }

    #[test]
    fn a_second_signal_ends_at_once() {
        let name = "a_second_signal_ends_at_once";
        if is_child(name) {
            let shutdown = Shutdown::install(None).unwrap();
            signal(SIGINT);
            assert!(shutdown.requested());
            signal(SIGTERM);
            block();
        }
        assert_eq!(run_alone(name).0.code(), Some(128 + SIGTERM));
    }

    #[test]
    fn a_blocked_process_ends_within_five_seconds() {
        let name = "a_blocked_process_ends_within_five_seconds";
        if is_child(name) {
            Shutdown::install(None).unwrap();
            signal(SIGTERM);
            block();
        }
        let (status, time) = run_alone(name);
        assert_eq!(status.code(), Some(0));
        assert!(time >= GRACE, "{time:?}");
        // Starting the test program takes its time on a busy machine; without a watchdog it would be 60 s.
        assert!(time < Duration::from_secs(20), "{time:?}");
    }

    #[test]
    fn a_blocked_process_whose_work_has_an_end_says_that_it_is_incomplete() {
        let name = "a_blocked_process_whose_work_has_an_end_says_that_it_is_incomplete";
        if is_child(name) {
            Shutdown::install_with_grace(Some("db_init"), Duration::from_millis(10)).unwrap();
            signal(SIGTERM);
            block();
        }
        assert_eq!(run_alone(name).0.code(), Some(5));
    }

    #[test]
    fn a_log_that_blocks_does_not_keep_the_process_alive() {
        struct Blocked;
        impl log::Log for Blocked {
            fn enabled(&self, _: &log::Metadata<'_>) -> bool {
                true
            }
            fn log(&self, _: &log::Record<'_>) {
                block();
            }
            fn flush(&self) {}
        }
        let name = "a_log_that_blocks_does_not_keep_the_process_alive";
        if is_child(name) {
            log::set_boxed_logger(Box::new(Blocked)).unwrap();
            log::set_max_level(log::LevelFilter::Debug);
            Shutdown::install_with_grace(None, Duration::from_millis(10)).unwrap();
            signal(SIGTERM);
            block();
        }
        let (status, time) = run_alone(name);
        assert_eq!(status.code(), Some(0));
        assert!(time >= LAST_WORDS, "{time:?}");
    }

    /// Under nohup the shell sets SIGHUP to be ignored, and it must stay so.
    #[cfg(target_os = "linux")]
    #[test]
    fn hangups_are_left_as_found() {
        let name = "hangups_are_left_as_found";
        if is_child(name) {
            Shutdown::install(None).unwrap();
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
            let is_caught = |signal: std::ffi::c_int| caught & (1 << (signal - 1)) != 0;
            assert!(is_caught(SIGTERM) && is_caught(SIGINT));
            assert!(!is_caught(signal_hook::consts::SIGHUP));
            std::process::exit(77);
        }
        assert_eq!(run_alone(name).0.code(), Some(77));
    }
}
