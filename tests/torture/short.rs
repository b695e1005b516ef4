//! One chapter per target with a fixed seed; `scripts/torture.sh` goes on for as long as it is told.

use std::time::Duration;

use super::faults::Fault;
use super::figures::Figures;
use super::long::{Course, assert_flat, measure};
use super::schedule::{CHAPTERS, STEPS, life};
use super::{Plan, Target, torture};
use crate::support::servers::Kind;

fn one_chapter(target: Target, seed: u64) {
    let mut figures = Figures::default();
    let plan = Plan {
        target,
        seed,
        first_life: 0,
        time: Duration::from_secs(600),
        chapters: 1,
        tells: false,
    };
    let result = torture(&plan, &mut figures);
    println!("{}: seed {seed}: {figures}", target.name());
    if let Err(problem) = result {
        panic!("{problem}");
    }
    assert_eq!(figures.comparisons, 1);
    assert!(figures.compared > 100, "{figures}");
    assert!(figures.faults.len() > 5, "{figures}");
}

#[test]
fn sqlite_holds_the_truth_after_a_chapter_of_faults() {
    one_chapter(Target::Database(Kind::Sqlite), 1);
}

#[test]
fn postgresql_holds_the_truth_after_a_chapter_of_faults() {
    one_chapter(Target::Database(Kind::Postgres), 1);
}

#[test]
fn mariadb_holds_the_truth_after_a_chapter_of_faults() {
    one_chapter(Target::Database(Kind::Mysql), 1);
}

#[test]
fn sql_server_holds_the_truth_after_a_chapter_of_faults() {
    one_chapter(Target::Database(Kind::SqlServer), 1);
}

#[test]
fn the_receiver_has_all_after_a_chapter_of_faults() {
    one_chapter(Target::Webhook, 1);
}

#[test]
fn a_seed_always_gives_the_same_schedule_and_another_one_another() {
    for target in Target::ALL {
        let first = life(7, target, 2);
        assert_eq!(first.chapters, life(7, target, 2).chapters);
        assert_ne!(first.chapters, life(8, target, 2).chapters);
        assert_ne!(first.chapters, life(7, target, 3).chapters);
        assert_eq!(first.chapters.len(), CHAPTERS);
        assert!(first.chapters.iter().all(|steps| steps.len() == STEPS));
    }
}

#[test]
fn every_kind_of_fault_has_its_turn() {
    let names = |target: Target| -> std::collections::BTreeSet<&'static str> {
        (0..60)
            .flat_map(|nth| life(1, target, nth).chapters)
            .flatten()
            .flat_map(|step| step.faults)
            .map(|fault| fault.name())
            .collect()
    };
    // Process 4, machine 4, API 7; then those of the database, or of state and receiver.
    assert_eq!(names(Target::Database(Kind::Sqlite)).len(), 17);
    assert_eq!(names(Target::Database(Kind::Postgres)).len(), 21);
    assert_eq!(names(Target::Database(Kind::SqlServer)).len(), 19);
    assert_eq!(names(Target::Webhook).len(), 22);
}

#[test]
fn some_locks_are_held_for_more_than_a_minute_and_most_are_not() {
    let steps = (0..60).flat_map(|nth| life(1, Target::Database(Kind::Mysql), nth).chapters);
    let (long, short): (Vec<_>, Vec<_>) = steps
        .flatten()
        .filter(|step| step.faults.contains(&Fault::TableLocked))
        .partition(|step| step.dwell > Duration::from_secs(60));
    assert!(
        !long.is_empty() && long.len() * 5 < short.len(),
        "{} {}",
        long.len(),
        short.len()
    );
}

/// Rounds of the short form; a minute of simulated time each.
const ROUNDS: u64 = 1500;

#[test]
fn db_sync_stays_small_over_many_rounds() {
    assert_flat(&measure(&Course::new(
        Target::Database(Kind::Sqlite),
        ROUNDS,
    )));
}

#[test]
fn webhook_stays_small_over_many_rounds() {
    assert_flat(&measure(&Course::new(Target::Webhook, ROUNDS)));
}
