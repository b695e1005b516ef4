//! The torture as a program of its own, for `scripts/torture.sh`, which gives it servers and the program.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../sequences/mod.rs"]
mod sequences;
#[path = "../support/mod.rs"]
mod support;
#[path = "mod.rs"]
mod torture;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use lexopt::prelude::{Long, ValueExt};
use support::servers::Kind;
use torture::figures::Figures;
use torture::long::{Course, assert_flat, measure};
use torture::{Plan, Target, torture};

const HELP: &str = "\
Tortures dbsync2; to be run by scripts/torture.sh.

  --minutes N   (10)      no new chapter is begun after this time
  --seed N      (1)       chooses what happens when
  --targets A,B           of sqlite, postgres, mariadb, sqlserver, webhook; all by default, at the same time
  --life N      (0)       the campaign to begin with: to get to a finding quickly
  --sequences             sequences of modes instead, from this seed on, against all databases in turn
  --rounds N              no torture: so many rounds without faults, measured
  --quiet                 only the figures
";

struct Arguments {
    minutes: f64,
    seed: u64,
    targets: Vec<Target>,
    life: u64,
    rounds: Option<u64>,
    quiet: bool,
    sequences: bool,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("torture: {error} (see --help)");
            return ExitCode::from(2);
        }
    };
    let good = match arguments.rounds {
        Some(rounds) => run_long(&arguments, rounds),
        None if arguments.sequences => run_sequences(&arguments),
        None => run(&arguments),
    };
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All targets at the same time; a finding ends its own target only.
fn run(arguments: &Arguments) -> bool {
    println!("seed {}, {} minutes", arguments.seed, arguments.minutes);
    let threads: Vec<_> = arguments
        .targets
        .iter()
        .map(|target| {
            let plan = Plan {
                target: *target,
                seed: arguments.seed,
                first_life: arguments.life,
                time: Duration::from_secs_f64(arguments.minutes * 60.0),
                chapters: usize::MAX,
                tells: !arguments.quiet,
            };
            thread::spawn(move || {
                let mut figures = Figures::default();
                let result = torture(&plan, &mut figures);
                if let Err(problem) = &result {
                    println!("FOUND {problem}");
                }
                (plan.target, figures, result.is_ok())
            })
        })
        .collect();
    let mut good = true;
    let mut sum = Figures::default();
    println!();
    for thread in threads {
        match thread.join() {
            Ok((target, figures, fine)) => {
                println!(
                    "{}: {figures}{}",
                    target.name(),
                    if fine { "" } else { "; FAILED, see above" }
                );
                sum += &figures;
                good &= fine;
            }
            // Its message stands in the output.
            Err(_) => good = false,
        }
    }
    println!("seed {}: all together: {sum}", arguments.seed);
    good
}

/// Sequences of modes, one after the other, of which most are with SQLite.
fn run_sequences(arguments: &Arguments) -> bool {
    let (begin, mut good) = (Instant::now(), true);
    let mut figures = sequences::Figures::default();
    for seed in arguments.seed.. {
        let kind = match seed % 8 {
            0 => Kind::Postgres,
            2 => Kind::SqlServer,
            4 => Kind::Mysql,
            _ => Kind::Sqlite,
        };
        if let Err(problem) = sequences::play(kind, seed, &mut figures) {
            println!("FOUND {problem}");
            good = false;
        }
        if !arguments.quiet {
            println!("{kind:?} seed {seed}: {figures}");
        }
        if begin.elapsed() > Duration::from_secs_f64(arguments.minutes * 60.0) {
            break;
        }
    }
    println!("seed {}: all together: {figures}", arguments.seed);
    good
}

fn run_long(arguments: &Arguments, rounds: u64) -> bool {
    arguments.targets.iter().all(|target| {
        let course = Course::new(*target, rounds);
        let judged = thread::spawn(move || {
            let measured = measure(&course);
            assert_flat(&measured);
        });
        judged.join().is_ok()
    })
}

fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments {
        minutes: 10.0,
        seed: 1,
        targets: Target::ALL.to_vec(),
        life: 0,
        rounds: None,
        quiet: false,
        sequences: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(flag) = parser.next()? {
        let Long(name) = flag else {
            return Err(flag.unexpected());
        };
        match name.to_owned().as_str() {
            "help" => return Ok(None),
            "minutes" => arguments.minutes = parser.value()?.parse()?,
            "seed" => arguments.seed = parser.value()?.parse()?,
            "life" => arguments.life = parser.value()?.parse()?,
            "rounds" => arguments.rounds = Some(parser.value()?.parse()?),
            "quiet" => arguments.quiet = true,
            "sequences" => arguments.sequences = true,
            "targets" => {
                let names = parser.value()?.string()?;
                arguments.targets = names
                    .split(',')
                    .map(|name| {
                        let found = Target::ALL.into_iter().find(|target| target.name() == name);
                        found.ok_or_else(|| format!("there is no target '{name}'"))
                    })
                    .collect::<Result<_, _>>()?;
            }
            other => return Err(format!("unknown flag --{other}").into()),
        }
    }
    Ok(Some(arguments))
}
