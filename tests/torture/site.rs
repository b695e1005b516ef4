//! One campaign under torture: simulator, program and destination.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::Target;
use super::destination::{Destination, Held};
use super::disk::{Disk, ReadOnly, limit_files};
use super::faults::{Fault, StateFile};
use super::figures::Figures;
use super::schedule::Step;
use crate::support::program::{Program, Running, tail};
use crate::support::servers::from_environment;
use crate::support::simulator::{Config, Endpoint, Fault as ApiFault, Faults, Simulator};

mod trouble;

/// Without a good round for so long after all faults have ended, it hangs. MariaDB looks only once a minute whether a
/// full disk has room again, and a dripping answer of the API is given up after two minutes.
const PATIENCE: Duration = Duration::from_secs(300);

/// The promise for SIGTERM.
const END: Duration = Duration::from_secs(5);

const STATE_MEGABYTES: u32 = 200;

/// What is wrong, in words.
pub type Verdict<T> = Result<T, String>;

/// A campaign that is copied or posted while things go wrong.
pub struct Site<'a> {
    pub sim: Simulator,
    pub destination: &'a mut Destination,
    pub figures: Figures,
    // Dropped in this order: the process ends, its disk is unmounted, the directory is removed.
    running: Option<Running>,
    disk: Disk,
    pub program: Program,
    mode: &'static str,
    /// Whether something was wrong since the process was started: it may then end by itself before its first round.
    troubled: bool,
    /// Rounds of this process that were counted.
    counted: u64,
    active: Vec<(Fault, Undo)>,
    /// What a kill or a cut ledger may excuse.
    pub kills: usize,
    pub ledger_cut: bool,
    tokens: u32,
    /// The token in its file is revoked.
    has_old_token: bool,
    seed: u64,
}

enum Undo {
    Nothing,
    Destination(#[allow(dead_code, reason = "held")] Held),
    ReadOnly(#[allow(dead_code, reason = "held")] ReadOnly),
}

impl<'a> Site<'a> {
    /// With the program not started yet.
    pub fn new(
        target: Target,
        config: Config,
        seed: u64,
        destination: &'a mut Destination,
    ) -> Site<'a> {
        let sim = Simulator::start(config);
        let program = Program::new(&sim, &destination.url());
        let directory = program.directory().to_owned();
        let disk = Disk::mount(&directory, STATE_MEGABYTES);
        fs::write(directory.join("token"), sim.token()).unwrap();
        fs::write(directory.join("clock"), "+0").unwrap();
        let path = |name: &str| directory.join(name).display().to_string();
        let mut program = program
            .without("DBSYNC_CT")
            .arg("--token-file", &path("token"))
            .arg("--batch", "20")
            // What limits files must not end it by a signal.
            .after("trap '' XFSZ")
            // Its clock, and no other one, is what the file says.
            .variable("LD_PRELOAD", &from_environment("DBSYNC_TEST_FAKETIME"))
            .variable("FAKETIME_TIMESTAMP_FILE", &path("clock"))
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .variable("FAKETIME_DISABLE_SHM", "1");
        if target == Target::Webhook {
            program = program.arg("--webhook-timeout", "1s");
        }
        Site {
            sim,
            destination,
            figures: Figures {
                lives: 1,
                ..Figures::default()
            },
            program,
            running: None,
            mode: target.mode(),
            troubled: false,
            counted: 0,
            active: Vec::new(),
            kills: 0,
            ledger_cut: false,
            tokens: 0,
            has_old_token: false,
            seed,
            disk,
        }
    }

    /// Whether disks can be full here.
    pub fn has_disks(&self) -> bool {
        self.disk.mounted
    }

    /// Starts the program.
    pub fn start(&mut self) {
        self.running = Some(self.program.start(self.mode));
        self.troubled = !self.active.is_empty() || self.has_old_token;
        self.counted = 0;
        self.figures.starts += 1;
    }

    /// One step: things go wrong, time goes on, all is well again.
    ///
    /// # Errors
    /// What the program did that it must not do.
    pub fn step(&mut self, step: &Step) -> Verdict<()> {
        for fault in &step.faults {
            self.begin(*fault)?;
        }
        for _ in 0..step.parts {
            self.sim.advance(step.advance / step.parts);
            self.dwell(step.dwell / step.parts)?;
        }
        self.figures.minutes += step.advance.as_secs() / 60;
        self.heal();
        self.tend()?;
        if step.settles {
            self.settle(1)?;
        }
        Ok(())
    }

    fn dwell(&mut self, time: Duration) -> Verdict<()> {
        let begin = Instant::now();
        loop {
            self.tend()?;
            let left = time.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(20)));
        }
    }

    /// Starts it again where it has ended because of trouble at its start, as its admin or cron would.
    fn tend(&mut self) -> Verdict<()> {
        self.count_rounds();
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        if !running.has_ended() {
            return Ok(());
        }
        let code = self.running.take().unwrap().wait(END).code;
        if self.counted > 0 || !self.troubled || !matches!(code, Some(1 | 3)) {
            return Err(format!("it ended by itself with {code:?}"));
        }
        self.figures.failed_starts += 1;
        self.start();
        Ok(())
    }

    fn count_rounds(&mut self) {
        let Some(running) = &self.running else { return };
        let status = running.status();
        let ours = status.filter(|status| status["pid"] == running.pid());
        let rounds = ours.and_then(|status| status["rounds"].as_u64());
        let more = rounds.unwrap_or(0).saturating_sub(self.counted);
        self.counted += more;
        self.figures.rounds += more;
    }

    /// Waits for so many more rounds, of whichever process.
    ///
    /// # Errors
    /// Where none comes: it hangs.
    pub fn settle(&mut self, more: u64) -> Verdict<()> {
        let begin = Instant::now();
        self.count_rounds();
        // The round under way may have begun before.
        let wanted = self.figures.rounds + more + 1;
        while self.figures.rounds < wanted {
            self.tend()?;
            if begin.elapsed() > PATIENCE {
                return Err(format!("no good round for {PATIENCE:?}: it hangs"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until nothing waits to be posted or lies in the spool.
    ///
    /// # Errors
    /// Where that does not come about.
    pub fn wait_for_deliveries(&mut self) -> Verdict<()> {
        let begin = Instant::now();
        let nothing_left = |site: &Site<'_>| {
            let status = site.running.as_ref().and_then(Running::status);
            status.is_some_and(|status| {
                let webhook = &status["webhook"];
                webhook["waiting"] == 0 && webhook["undelivered"] == 0
            })
        };
        while !nothing_left(self) {
            self.tend()?;
            if begin.elapsed() > PATIENCE {
                return Err(format!("deliveries still wait after {PATIENCE:?}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGTERM; it must end in time, with 0, unless it was just ending because of trouble at its start.
    ///
    /// # Errors
    /// Where it doesn't.
    pub fn terminate(&mut self) -> Verdict<()> {
        self.tend()?;
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        // Signals have their default effect until it listens to them.
        let begin = Instant::now();
        while self.program.log().is_empty() && begin.elapsed() < END {
            thread::sleep(Duration::from_millis(5));
        }
        running.signal("TERM");
        // To one that is halted, too.
        running.signal("CONT");
        let begin = Instant::now();
        while !running.has_ended() {
            if begin.elapsed() > END {
                running.kill();
                return Err(format!("it did not end within {END:?} after SIGTERM"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        let code = running.wait(END).code;
        let at_start = self.troubled && self.counted == 0 && matches!(code, Some(1 | 3));
        // Killed by the signal itself before it listened.
        let before_listening = self.counted == 0 && code.is_none();
        if code == Some(0) || at_start || before_listening {
            return Ok(());
        }
        Err(format!("it ended with {code:?} after SIGTERM"))
    }

    fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            self.count_rounds();
            running.kill();
            self.kills += 1;
        }
    }

    fn signal(&self, name: &str) {
        if let Some(running) = &self.running {
            // A process that has ended is a zombie until it is waited for: there is somebody to signal to.
            running.signal(name);
        }
    }

    fn state(&self) -> PathBuf {
        self.program.directory().join("state")
    }

    /// A file of the state directory, should there be one.
    pub fn state_file(&self, file: StateFile) -> Option<PathBuf> {
        let entries = fs::read_dir(self.state()).ok()?;
        entries.map(|entry| entry.unwrap().path()).find(|path| {
            let name = path.to_string_lossy();
            name.ends_with(file.end()) && !name.contains(".damaged.")
        })
    }

    /// The last lines of the log, for messages.
    pub fn log_tail(&self) -> String {
        tail(&self.program.log())
    }
}
