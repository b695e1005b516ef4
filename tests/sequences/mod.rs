//! Sequences of modes: a seed chooses what an admin, the machine and others do to a campaign, step by step, and each
//! sequence is played twice: once as chosen, and once without what disturbs it (kills, signals, failures of the API, a
//! locked database). Both must end in the truth, row by row, and so are equal to each other.
//!
//! Each begins with a command that promises the campaign's whole past: db_init, or db_update or db_sync with a start date
//! before it. From then on everything is owed, whatever is killed, whichever mode runs next, and whatever happens to the
//! tables. It ends with some good rounds of db_sync, after which nothing may be missing.
//!
//! The same seed gives the same steps; how far a process is when it is killed is a matter of how many documents it got.

#[cfg(test)]
mod short;

use std::fmt;
use std::fs;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::support::compare::{differences, truth_of};
use crate::support::database::{Database, fresh_database};
use crate::support::locked::Locked;
use crate::support::program::{Program, tail};
use crate::support::servers::Kind;
use crate::support::simulator::random::{Dice, pair};
use crate::support::simulator::{
    Config, Endpoint, EventsBy, Fault, Faults, FilterMode, Md5Covers, Readings, Simulator,
    TruthFilter,
};

/// A process that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// Before everything in the past of the simulated campaigns.
const EARLY: &str = "2023-01-01";

const TABLES: [&str; 5] = [
    "contacts",
    "transactions",
    "connections",
    "recordings",
    "inbound_calls",
];

/// What a process is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Init,
    Update,
    UpdateAll,
    Sync,
    SyncAll,
    Once,
    OnceAll,
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    None,
    /// SIGKILL after so many documents, and some microseconds more.
    Kill(u64, u64),
    /// SIGTERM, likewise.
    Signal(u64, u64),
    /// The next answers of the API are wrong.
    Faults(usize),
    /// The API does not answer, so that the process fails.
    Outage,
    /// Others hold the contacts table until it was told to end.
    Locked,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A process of the first or the second campaign.
    Run(usize, Mode, Disturbance),
    /// So many minutes pass.
    Pass(u64),
    /// The admin chooses another filter for the first campaign.
    Filter(usize),
    /// A table is dropped, renamed or emptied; or a column is dropped.
    Drop(usize),
    Rename(usize),
    Empty(usize),
    DropColumn(usize),
    /// The state directory of the first campaign is lost; the admin copies everything again.
    LoseState(Disturbance),
}

const FILTERS: [(&str, FilterMode); 3] = [
    ("", FilterMode::All),
    ("updates_only", FilterMode::UpdatesOnly),
    ("hi_updates_only", FilterMode::HiUpdatesOnly),
];

/// What was done, for the reader of the output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub sequences: u64,
    pub processes: u64,
    pub kills: u64,
    pub signals: u64,
    pub failures: u64,
    pub losses: u64,
    pub rows: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.sequences += other.sequences;
        self.processes += other.processes;
        self.kills += other.kills;
        self.signals += other.signals;
        self.failures += other.failures;
        self.losses += other.losses;
        self.rows += other.rows;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sequences, {} processes, {} kills, {} signals, {} failures of API or database, {} losses of tables, columns, \
             rows or state, {} rows compared",
            self.sequences,
            self.processes,
            self.kills,
            self.signals,
            self.failures,
            self.losses,
            self.rows
        )
    }
}

/// Plays the sequence of a seed, disturbed and undisturbed.
///
/// # Errors
/// What differs from the truth, with the steps that led there.
pub fn play(kind: Kind, seed: u64, figures: &mut Figures) -> Result<(), String> {
    let (config, steps) = chosen(seed);
    let place = format!("{kind:?}, DBSYNC_TEST_SEED={seed}");
    for disturbed in [true, false] {
        let played = catch_unwind(AssertUnwindSafe(|| {
            World::new(kind, &config).play(&steps, disturbed)
        }));
        let problem = match played {
            Ok(Ok(counted)) => {
                *figures += counted;
                continue;
            }
            Ok(Err(problem)) => problem,
            Err(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default(),
        };
        let played = if disturbed {
            "disturbed"
        } else {
            "undisturbed"
        };
        return Err(format!("{place}, {played}: {steps:?}\n{problem}"));
    }
    figures.sequences += 1;
    Ok(())
}

/// The campaign and the steps of a seed.
fn chosen(seed: u64) -> (Config, Vec<Step>) {
    let mut dice = Dice::new(pair(seed, 0x5e9));
    let config = Config {
        seed,
        contacts: 40 + dice.below(60) as u32,
        visits: 1.0,
        daily_share: dice.pick(&[0.1, 0.5, 2.0]),
        // A contact that is gone can't be copied into a table that was lost.
        deleted_share: 0.0,
        long_texts: false,
        custom_fields: 5,
        published_late: 0.0,
        readings: Readings {
            events_by: dice.pick(&[EventsBy::Fired, EventsBy::Modified]),
            md5_covers: dice.pick(&[Md5Covers::Everything, Md5Covers::ContactOnly]),
            ..Readings::default()
        },
        ..Config::default()
    };
    let disturbance = |dice: &mut Dice| match dice.below(9) {
        0..=3 => Disturbance::Kill(dice.below(120), dice.below(20_000)),
        4 => Disturbance::Signal(dice.below(120), dice.below(20_000)),
        5 => Disturbance::Faults(1 + dice.below(6) as usize),
        6 => Disturbance::Outage,
        7 => Disturbance::Locked,
        _ => Disturbance::None,
    };
    let first = dice.pick(&[
        Mode::Init,
        Mode::Init,
        Mode::UpdateAll,
        Mode::SyncAll,
        Mode::OnceAll,
    ]);
    let mut steps = vec![Step::Run(0, first, disturbance(&mut dice))];
    let shares = dice.one_in(3);
    if shares {
        steps.push(Step::Run(1, Mode::Init, disturbance(&mut dice)));
    }
    for _ in 0..3 + dice.below(5) {
        let campaign = usize::from(shares && dice.one_in(3));
        let step = match dice.below(16) {
            0..=8 => {
                let mode = dice.pick(&[
                    Mode::Init,
                    Mode::Update,
                    Mode::UpdateAll,
                    Mode::Sync,
                    Mode::Sync,
                    Mode::SyncAll,
                    Mode::Once,
                ]);
                Step::Run(campaign, mode, disturbance(&mut dice))
            }
            9..=11 => Step::Pass(dice.pick(&[1, 30, 90, 600, 1500, 4320])),
            12 => Step::Filter(dice.below(3) as usize),
            13 => match dice.below(3) {
                0 => Step::Drop(dice.below(5) as usize),
                1 => Step::Rename(dice.below(5) as usize),
                _ => Step::Empty(dice.below(5) as usize),
            },
            14 => Step::DropColumn(dice.below(5) as usize),
            _ => Step::LoseState(disturbance(&mut dice)),
        };
        steps.push(step);
    }
    (config, steps)
}

/// Two campaigns that share the tables of a database. The second one is there only if it is used.
struct World {
    database: Database,
    sims: [Simulator; 2],
    programs: [Program; 2],
    used: [bool; 2],
    filter: usize,
    renamed: usize,
    figures: Figures,
}

impl World {
    fn new(kind: Kind, config: &Config) -> World {
        let database = fresh_database(kind);
        let second = Config {
            seed: config.seed + 1,
            campaign: "OTHERCAMPAIGN234".to_owned(),
            ..config.clone()
        };
        let sims = [config.clone(), second].map(Simulator::start);
        let programs = sims.each_ref().map(|sim| {
            Program::new(sim, &database.url)
                .arg("--batch", "7")
                .arg("--w", "2")
        });
        World {
            database,
            sims,
            programs,
            used: [true, false],
            filter: 0,
            renamed: 0,
            figures: Figures::default(),
        }
    }

    fn play(mut self, steps: &[Step], disturbed: bool) -> Result<Figures, String> {
        let calm = |disturbance| match disturbed {
            true => disturbance,
            false => Disturbance::None,
        };
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Run(campaign, mode, disturbance) => {
                    self.run(campaign, mode, calm(disturbance))?;
                    // An admin repeats what had not even begun.
                    if number <= 1 && !self.has_begun(campaign) {
                        self.run(campaign, mode, Disturbance::None)?;
                    }
                }
                Step::Pass(minutes) => {
                    for sim in &self.sims {
                        sim.advance(Duration::from_secs(60 * minutes));
                    }
                }
                Step::Filter(filter) => {
                    self.filter = filter;
                    self.programs[0].remove("--fm");
                    if !FILTERS[filter].0.is_empty() {
                        self.programs[0].set("--fm", FILTERS[filter].0);
                    }
                }
                Step::Drop(table) => self.lose(table, |table| format!("DROP TABLE {table}")),
                Step::Rename(table) => {
                    self.renamed += 1;
                    let name = format!("renamed_{}", self.renamed);
                    let kind = self.database.kind;
                    self.lose(table, |table| match kind {
                        Kind::SqlServer => format!("EXEC sp_rename '{table}', '{name}'"),
                        _ => format!("ALTER TABLE {table} RENAME TO {name}"),
                    });
                }
                Step::Empty(table) => self.lose(table, |table| format!("DELETE FROM {table}")),
                Step::DropColumn(table) => {
                    let quoted = |name| self.database.kind.quote(name);
                    let column = match TABLES[table] {
                        "contacts" => quoted("$status"),
                        "inbound_calls" => quoted("state"),
                        "transactions" => quoted("task_id"),
                        _ => quoted("actor"),
                    };
                    if TABLES[table] != "recordings" {
                        self.lose(table, |table| {
                            format!("ALTER TABLE {table} DROP COLUMN {column}")
                        });
                    }
                }
                Step::LoseState(disturbance) => {
                    self.figures.losses += 1;
                    let _ = fs::remove_dir_all(self.programs[0].directory().join("state"));
                    self.run(0, Mode::Init, calm(disturbance))?;
                    if !self.has_begun(0) {
                        self.run(0, Mode::Init, Disturbance::None)?;
                    }
                }
            }
        }
        self.finish()
    }

    /// Whether a process of this campaign got as far as to write down what it owes.
    fn has_begun(&self, campaign: usize) -> bool {
        let state = self.programs[campaign].directory().join("state");
        fs::read_dir(state).into_iter().flatten().any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().ends_with(".json")
        })
    }

    /// Takes something away, if it is there: the process that makes it may have been killed before.
    fn lose(&mut self, table: usize, statement: impl FnOnce(&str) -> String) {
        let name = format!("dfire_{}", TABLES[table]);
        let there = catch_unwind(AssertUnwindSafe(|| {
            self.database
                .query(&format!("SELECT 1 FROM {name} WHERE 1 = 0"))
        }));
        if there.is_ok() {
            self.figures.losses += 1;
            let statement = statement(&name);
            // A column that is gone already can't be dropped once more.
            let _ = catch_unwind(AssertUnwindSafe(|| self.database.execute(&statement)));
        }
    }

    fn run(&mut self, campaign: usize, mode: Mode, disturbance: Disturbance) -> Result<(), String> {
        self.used[campaign] = true;
        self.figures.processes += 1;
        // No two processes write at the same second.
        for sim in &self.sims {
            sim.advance(Duration::from_secs(20));
        }
        let (sim, program) = (&self.sims[campaign], &self.programs[campaign]);
        let (name, flags): (&str, &[&str]) = match mode {
            Mode::Init => ("db_init", &[]),
            Mode::Update => ("db_update", &[]),
            Mode::UpdateAll => ("db_update", &["--s", EARLY]),
            Mode::Sync => ("db_sync", &[]),
            Mode::SyncAll => ("db_sync", &["--s", EARLY]),
            Mode::Once => ("db_sync", &["--once"]),
            Mode::OnceAll => ("db_sync", &["--once", "--s", EARLY]),
        };
        let ends = !matches!(mode, Mode::Sync | Mode::SyncAll);
        sim.reset_counters();
        let mut lock = None;
        match disturbance {
            Disturbance::Faults(count) => {
                self.figures.failures += 1;
                for endpoint in [Endpoint::Contacts, Endpoint::List, Endpoint::Events] {
                    sim.fail_next(Some(endpoint), Fault::Error500, count);
                }
            }
            Disturbance::Outage => {
                self.figures.failures += 1;
                sim.outage(true);
            }
            Disturbance::Locked => {
                lock = Locked::new(&self.database).ok();
                self.figures.failures += u64::from(lock.is_some());
            }
            _ => {}
        }
        let mut running = program.start_with(name, flags);
        let wait_for = |running: &mut crate::support::program::Running, documents, micros| {
            let begin = Instant::now();
            while sim.counters().documents < documents && begin.elapsed() < Duration::from_secs(3) {
                if running.has_ended() {
                    return;
                }
                std::thread::sleep(Duration::from_micros(300));
            }
            std::thread::sleep(Duration::from_micros(micros));
        };
        match disturbance {
            Disturbance::Kill(documents, micros) => {
                wait_for(&mut running, documents, micros);
                self.figures.kills += u64::from(!running.has_ended());
                running.kill();
            }
            Disturbance::Signal(documents, micros) => {
                running.wait_for_log();
                wait_for(&mut running, documents, micros);
                if !running.has_ended() {
                    self.figures.signals += 1;
                    running.signal("TERM");
                }
                let ended = running.wait(LIMIT);
                let allowed: &[i32] = if ends { &[0, 5] } else { &[0] };
                if !ended.code.is_some_and(|code| allowed.contains(&code)) {
                    return Err(format!("{name} {flags:?} told to end: {ended:?}"));
                }
            }
            Disturbance::Outage => {
                let ended = running.wait(LIMIT);
                sim.outage(false);
                if ended.code == Some(0) {
                    return Err(format!("{name} {flags:?} without the API: {ended:?}"));
                }
            }
            Disturbance::Locked => {
                running.wait_for_log();
                wait_for(&mut running, 20, 100_000);
                if !running.has_ended() {
                    running.signal("INT");
                }
                let ended = running.wait(LIMIT);
                drop(lock);
                if ended.code.is_none() {
                    return Err(format!("{name} {flags:?} with a lock: {ended:?}"));
                }
            }
            Disturbance::None | Disturbance::Faults(_) if ends => {
                let ended = running.wait(LIMIT);
                sim.set_faults(Faults::none());
                let complete = ended.stdout.lines().last().unwrap_or_default();
                let good =
                    ended.code == Some(0) && complete.starts_with(&format!("{name} complete: "));
                if disturbance == Disturbance::None && !good {
                    return Err(format!(
                        "{name} {flags:?}: {ended:?}\n{}",
                        tail(&program.log())
                    ));
                }
            }
            Disturbance::None | Disturbance::Faults(_) => {
                running.wait_until_copied();
                sim.set_faults(Faults::none());
                running.signal("TERM");
                let ended = running.wait(LIMIT);
                if ended.code != Some(0) {
                    return Err(format!(
                        "{name} {flags:?}: {ended:?}\n{}",
                        tail(&program.log())
                    ));
                }
            }
        }
        Ok(())
    }

    /// Good rounds of both campaigns, after which nothing may be missing.
    fn finish(mut self) -> Result<Figures, String> {
        let used: Vec<usize> = (0..2).filter(|campaign| self.used[*campaign]).collect();
        for campaign in &used {
            self.run(*campaign, Mode::Sync, Disturbance::None)?;
        }
        // Where the second one noticed that rows are gone, the first one has not looked since.
        self.run(0, Mode::Sync, Disturbance::None)?;
        let mut truth = None::<crate::support::simulator::Truth>;
        for campaign in &used {
            let filter = TruthFilter {
                mode: if *campaign == 0 {
                    FILTERS[self.filter].1
                } else {
                    FilterMode::All
                },
                ..TruthFilter::default()
            };
            let more = truth_of(&self.sims[*campaign], &filter, &self.database);
            match &mut truth {
                Some(truth) => truth.extend(more),
                None => truth = Some(more),
            }
        }
        let truth = truth.expect("the first campaign is used");
        self.figures.rows = truth.counts().iter().map(|count| *count as u64).sum();
        // What an earlier filter stored stays, as it may not be deleted.
        let found: Vec<String> = differences(&truth, &self.database, "dfire_")
            .into_iter()
            .filter(|difference| !difference.contains(": too much: "))
            .collect();
        if found.is_empty() {
            return Ok(self.figures);
        }
        Err(format!(
            "{} differences of {} rows:\n{}\n{}",
            found.len(),
            self.figures.rows,
            found[..found.len().min(6)].join("\n"),
            used.iter()
                .map(|campaign| tail(&self.programs[*campaign].log()))
                .collect::<Vec<_>>()
                .join("\n")
        ))
    }
}
