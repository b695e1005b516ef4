//! Very many rounds without faults: memory, open files, threads and state must stay flat, and the log bounded.
//!
//! Each round is a minute of simulated time; the program does not rest between them.

use std::fmt;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::Target;
use super::destination::Destination;
use crate::support::program::{Program, tail};
use crate::support::simulator::{Config, Simulator};

/// How often is measured, evenly spread; the first fifth is for filling what fills up.
const SAMPLES: u64 = 20;

/// A round that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Days for which it is known what was delivered: few, so that the ledger comes to its full size.
const LEDGER_DAYS: &str = "3";

/// A long run.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    pub target: Target,
    pub rounds: u64,
}

impl Course {
    pub fn new(target: Target, rounds: u64) -> Course {
        Course { target, rounds }
    }
}

/// How things stood after so many rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub rounds: u64,
    /// Resident memory in KiB.
    pub memory: u64,
    pub files: u64,
    pub threads: u64,
    /// Bytes in the state directory and in the log directory.
    pub state: u64,
    pub log: u64,
}

/// What a long run came to.
pub struct Measured {
    pub course: Course,
    pub samples: Vec<Sample>,
    pub took: Duration,
    /// Rows written, or requests delivered.
    pub done: u64,
}

/// Runs it.
pub fn measure(course: &Course) -> Measured {
    let sim = Simulator::start(Config {
        contacts: 300,
        daily_share: 0.3,
        new_per_day: 2.0,
        inbound_per_day: 20,
        late_share: 0.3,
        long_texts: false,
        ..Config::default()
    });
    let destination = Destination::start(course.target);
    let program = Program::new(&sim, &destination.url())
        .arg("--interval", "0")
        .arg("--log-level", "5");
    let program = match course.target {
        Target::Database(_) => {
            program.succeed("db_init");
            program
        }
        Target::Webhook => program.arg("--ledger-days", LEDGER_DAYS),
    };
    follow(course, &sim, &program)
}

fn follow(course: &Course, sim: &Simulator, program: &Program) -> Measured {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut running = program.start(course.target.mode());
    let begin = Instant::now();
    let (mut rounds, mut moved, mut samples, mut done) = (0, Instant::now(), Vec::new(), 0);
    while rounds < course.rounds {
        let status = running.status();
        let now = status
            .as_ref()
            .and_then(|status| status["rounds"].as_u64())
            .unwrap_or(0);
        if now > rounds {
            sim.advance(MINUTE * u32::try_from(now - rounds).unwrap());
            let next = (samples.len() as u64 + 1) * course.rounds / SAMPLES;
            if now >= next {
                samples.push(sample(running.pid(), program.directory(), now));
            }
            done = status.map_or(0, |status| work_done(&status));
            (rounds, moved) = (now, Instant::now());
        }
        assert!(
            moved.elapsed() < PATIENCE && !running.has_ended(),
            "no round after {rounds} for {PATIENCE:?}, or it has ended:\n{}",
            tail(&program.log())
        );
        thread::sleep(Duration::from_millis(2));
    }
    let took = begin.elapsed();
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
    Measured {
        course: *course,
        samples,
        took,
        done,
    }
}

fn work_done(status: &serde_json::Value) -> u64 {
    let numbers = |value: &serde_json::Value| -> u64 {
        let object = value.as_object();
        object.map_or(0, |o| {
            o.values().filter_map(serde_json::Value::as_u64).sum()
        })
    };
    status["webhook"]["delivered"]
        .as_u64()
        .unwrap_or_else(|| numbers(&status["written"]))
}

fn sample(pid: u32, directory: &Path, rounds: u64) -> Sample {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.unwrap().trim().trim_end_matches(" kB");
        digits.parse().unwrap()
    };
    Sample {
        rounds,
        memory: value("VmRSS:"),
        threads: value("Threads:"),
        files: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64,
        state: size(&directory.join("state")),
        log: size(&directory.join("log")),
    }
}

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap();
    // What vanishes meanwhile has no size.
    entries
        .filter_map(|entry| entry.unwrap().metadata().ok())
        .map(|data| data.len())
        .sum()
}

/// Fails unless what may not grow has not grown since a fifth of the rounds.
pub fn assert_flat(measured: &Measured) {
    println!("{measured}");
    let samples = &measured.samples;
    assert_eq!(samples.len() as u64, SAMPLES);
    let filled = samples.len() / 5;
    let (early, late) = samples.split_at(filled);
    let before = early.last().unwrap();
    let most = |of: fn(&Sample) -> u64| late.iter().map(of).max().unwrap();
    assert!(measured.done > 100, "{measured}");
    // Files are opened for moments; threads for listing, too.
    assert!(most(|s| s.files) <= before.files + 3, "{measured}");
    assert!(most(|s| s.threads) <= before.threads + 2, "{measured}");
    assert!(most(|s| s.memory) < 40 * 1024, "{measured}");
    // What is held for a moment is given back: a leak is there in the end.
    let last = late.last().unwrap();
    assert!(last.memory <= before.memory + 4 * 1024, "{measured}");
    // The ledger forgets when half of it, and 10,000 records, are superfluous.
    let ledger = match measured.course.target {
        Target::Webhook => 24 * 2 * 20_000,
        Target::Database(_) => 0,
    };
    // The checkpoint is there twice while it is replaced.
    assert!(most(|s| s.state) <= 2 * 64 * 1024 + ledger, "{measured}");
    // Ten files of 10 MiB, each longer by at most its last line.
    assert!(most(|s| s.log) <= 10 * ((10 << 20) + 10_000), "{measured}");
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} rounds in {:.0} s, {} {}",
            self.course.target.name(),
            self.course.rounds,
            self.took.as_secs_f64(),
            self.done,
            match self.course.target {
                Target::Webhook => "deliveries",
                Target::Database(_) => "rows written",
            }
        )?;
        writeln!(
            f,
            "{:>8} {:>10} {:>6} {:>8} {:>10} {:>10}",
            "rounds", "memory KiB", "files", "threads", "state KB", "log KB"
        )?;
        for s in &self.samples {
            writeln!(
                f,
                "{:>8} {:>10} {:>6} {:>8} {:>10.1} {:>10.0}",
                s.rounds,
                s.memory,
                s.files,
                s.threads,
                s.state as f64 / 1e3,
                s.log as f64 / 1e3
            )?;
        }
        Ok(())
    }
}
