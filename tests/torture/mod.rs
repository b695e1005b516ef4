//! Torture: the real program copies or posts campaigns while a seed chooses what goes wrong around it.
//!
//! [`schedule`] chooses, [`site`] does it to the program, [`destination`] to the database or web service, [`disk`] to
//! disks, [`judge`] says what must be true in the end. The same seed gives the same schedule; how far the program is when
//! something happens is chance. `scripts/torture.sh` runs it for long, [`short`] with fixed seeds in the tests;
//! [`long`] lets very many rounds pass without faults and measures.
//!
//! A life of a campaign: `db_init`, or the webhook's start a day ago. Then chapters of steps: in each some things go
//! wrong at the same time, simulated time goes on by minutes or hours, all is mended, and the next step comes at once or
//! after a good round. At the end of a chapter the program gets two good rounds, is told to end, is started once more (a
//! start begins with a reconcile), told to end again, and then compared.
//!
//! What may not happen: that it ends by itself after its first good round, or before without a reason; that it does not
//! end within five seconds of SIGTERM; that it panics; that no good round comes within five minutes after all is well.

pub mod destination;
pub mod disk;
pub mod faults;
pub mod figures;
pub mod judge;
pub mod long;
pub mod schedule;
#[cfg(test)]
mod short;
pub mod site;

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use time::{OffsetDateTime, Time};

use crate::support::servers::Kind;
use crate::support::simulator::random::triple;

use destination::Destination;
use faults::StateFile;
use figures::Figures;
use judge::{altered, judge};
use schedule::{Life, Step, life};
use site::{Site, Verdict};

/// What is tortured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Database(Kind),
    Webhook,
}

impl Target {
    pub const ALL: [Target; 5] = [
        Target::Database(Kind::Sqlite),
        Target::Database(Kind::Postgres),
        Target::Database(Kind::Mysql),
        Target::Database(Kind::SqlServer),
        Target::Webhook,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Target::Database(Kind::Sqlite) => "sqlite",
            Target::Database(Kind::Postgres) => "postgres",
            Target::Database(Kind::Mysql) => "mariadb",
            Target::Database(Kind::SqlServer) => "sqlserver",
            Target::Webhook => "webhook",
        }
    }

    /// For seeds: stays the same whatever is added.
    pub fn number(self) -> u64 {
        self.name()
            .bytes()
            .fold(0, |sum, byte| sum * 31 + u64::from(byte))
    }

    /// The mode that is tortured.
    pub fn mode(self) -> &'static str {
        match self {
            Target::Database(_) => "db_sync",
            Target::Webhook => "webhook",
        }
    }
}

/// How long a target is tortured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub target: Target,
    pub seed: u64,
    /// The life to begin with.
    pub first_life: u64,
    /// No further chapter is begun after this time.
    pub time: Duration,
    /// At most so many chapters.
    pub chapters: usize,
    /// Whether each step is told on standard output.
    pub tells: bool,
}

/// Tortures until the time is over, or until something is wrong.
///
/// # Errors
/// What is wrong: where, what, and the end of the log.
pub fn torture(plan: &Plan, figures: &mut Figures) -> Verdict<()> {
    let begin = Instant::now();
    let mut destination = Destination::start(plan.target);
    let mut chapters = plan.chapters;
    for nth in plan.first_life.. {
        let mut life = life(plan.seed, plan.target, nth);
        life.chapters.truncate(chapters);
        chapters -= life.chapters.len();
        let over = || begin.elapsed() > plan.time;
        live(plan, nth, life, &mut destination, &over, figures)?;
        if over() || chapters == 0 {
            return Ok(());
        }
        destination.clear();
    }
    Ok(())
}

fn live(
    plan: &Plan,
    nth: u64,
    life: Life,
    destination: &mut Destination,
    over: &dyn Fn() -> bool,
    figures: &mut Figures,
) -> Verdict<()> {
    let seed = triple(plan.seed, plan.target.number(), nth);
    let mut site = Site::new(plan.target, life.config, seed, destination);
    if nth == plan.first_life && !site.has_disks() {
        println!(
            "{}: file systems can't be mounted here: a limit for the size of files stands for a full disk",
            plan.target.name()
        );
    }
    let (mut chapter, mut number) = (0, 0);
    let result = catch_unwind(AssertUnwindSafe(|| -> Verdict<()> {
        let since = begin(plan.target, &mut site)?;
        for steps in &life.chapters {
            chapter += 1;
            for (at, step) in steps.iter().enumerate() {
                number = at + 1;
                if plan.tells {
                    tell(plan.target, nth, chapter, number, step);
                }
                site.step(step)?;
            }
            conclude(plan.target, &mut site, since)?;
            if over() {
                break;
            }
        }
        Ok(())
    }));
    *figures += &site.figures;
    let problem = match result {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(problem)) => problem,
        Err(panic) => words(panic.as_ref()),
    };
    let log = site.log_tail();
    let kept = keep(plan, nth, site.program.directory());
    Err(format!(
        "{} seed {} life {nth} chapter {chapter} step {number}: {problem}\n---- end of the log (all of it in {kept})\n{log}",
        plan.target.name(),
        plan.seed
    ))
}

fn tell(target: Target, life: u64, chapter: usize, number: usize, step: &Step) {
    let faults: Vec<String> = step.faults.iter().map(ToString::to_string).collect();
    println!(
        "{} {life}.{chapter}.{number}: {}; {} min in {} ms{}",
        target.name(),
        faults.join(" + "),
        step.advance.as_secs() / 60,
        step.dwell.as_millis(),
        if step.settles { ", good rounds" } else { "" }
    );
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the torture itself failed: {}", text.unwrap_or("?"))
}

/// Copies state and logs to where they can be looked at.
fn keep(plan: &Plan, life: u64, directory: &Path) -> String {
    let parent =
        std::env::var("DBSYNC_TORTURE_KEEP").map_or_else(|_| std::env::temp_dir(), Into::into);
    let kept = parent.join(format!(
        "dbsync2-torture-{}-{}-{life}",
        plan.seed,
        plan.target.name()
    ));
    for part in ["state", "log"] {
        let into = kept.join(part);
        let copied = fs::create_dir_all(&into).and_then(|()| {
            for entry in fs::read_dir(directory.join(part))? {
                let path = entry?.path();
                fs::copy(&path, into.join(path.file_name().unwrap_or_default()))?;
            }
            Ok(())
        });
        if let Err(error) = copied {
            return format!("{} (incomplete: {error})", kept.display());
        }
    }
    kept.display().to_string()
}

/// The first copy; returns since when transactions are posted.
fn begin(target: Target, site: &mut Site<'_>) -> Verdict<OffsetDateTime> {
    let since = (site.sim.now() - Duration::from_secs(86_400)).replace_time(Time::MIDNIGHT);
    match target {
        Target::Webhook => site.program.set("--s", &since.date().to_string()),
        Target::Database(_) => {
            // In some readings listings go on naming contacts that were deleted: then something is missing.
            let ended = site.program.run("db_init");
            assert!(matches!(ended.code, Some(0 | 5)), "{}", ended.stdout);
        }
    }
    site.start();
    site.settle(1)?;
    Ok(since)
}

/// All is well: good rounds, a start with a reconcile, and the comparison.
fn conclude(target: Target, site: &mut Site<'_>, since: OffsetDateTime) -> Verdict<()> {
    site.settle(2)?;
    site.terminate()?;
    // With them the API shows no more late data of what was changed, and each net has its turn.
    site.sim.advance(Duration::from_secs(62 * 60));
    site.start();
    site.settle(2)?;
    if target == Target::Webhook {
        site.wait_for_deliveries()?;
    }
    site.terminate()?;
    if site.program.log().contains("internal error at") {
        return Err("there is an internal error in the log".to_owned());
    }
    let judgement = judge(site, since);
    site.figures.comparisons += 1;
    site.figures.compared += judgement.compared;
    site.figures.differences += judgement.differences.len() as u64;
    site.figures.deleted_contacts = site.sim.deleted().len() as u64;
    site.figures.altered_fields = altered(&site.sim);
    judgement.verdict()?;
    if let Some(spool) = site.state_file(StateFile::Spool) {
        return Err(format!("{} is not empty", spool.display()));
    }
    site.start();
    Ok(())
}
