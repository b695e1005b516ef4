//! What happens when: pure functions of the seed. Real time decides only how far it gets.

use std::time::Duration;

use super::Target;
use super::faults::{Fault, StateFile};
use crate::support::servers::Kind;
use crate::support::simulator::random::{Dice, pair, triple};
use crate::support::simulator::{
    AddedField, Config, EmptyAs, EventForm, EventsBy, FieldEnd, FieldsAt, InboundBy, Md5Covers,
    Readings, UnknownIds,
};

/// Steps between two comparisons, and comparisons in the life of one campaign.
pub const STEPS: usize = 12;
pub const CHAPTERS: usize = 3;

/// Some things at the same time, while simulated time goes on; then all of them end.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What happens, in this order; each ends in the opposite order.
    pub faults: Vec<Fault>,
    /// Simulated time that passes.
    pub advance: Duration,
    /// Real time that it takes.
    pub dwell: Duration,
    /// In so many parts.
    pub parts: u32,
    /// Whether the program gets the time for good rounds before the next step.
    pub settles: bool,
}

/// One campaign from its first copy to its last comparison.
#[derive(Debug, Clone)]
pub struct Life {
    /// The campaign, with its fields that come, go and change.
    pub config: Config,
    /// Steps, then a comparison, and so on.
    pub chapters: Vec<Vec<Step>>,
}

/// The `nth` life of a target under a seed.
pub fn life(seed: u64, target: Target, nth: u64) -> Life {
    let mut dice = Dice::new(triple(seed, target.number(), nth));
    let config = config(target, &mut dice);
    let chapters = (0..CHAPTERS)
        .map(|_| (0..STEPS).map(|_| step(target, &mut dice)).collect())
        .collect();
    Life { config, chapters }
}

fn step(target: Target, dice: &mut Dice) -> Step {
    let mut faults = Vec::new();
    // One of each kind at a time: a lock can't be taken on a server that was killed.
    let mut groups: Vec<fn(Target, &mut Dice) -> Option<Fault>> =
        vec![of_process, of_machine, of_destination, of_api];
    let count = 1 + dice.below(3) as usize;
    while faults.len() < count && !groups.is_empty() {
        let group = groups.swap_remove(dice.below(groups.len() as u64) as usize);
        faults.extend(group(target, dice));
    }
    // There is a spool only after the receiver has refused something for a while.
    let cuts_spool = |fault: &Fault| matches!(fault, Fault::Truncated(StateFile::Spool, _));
    if let Some(cut) = faults.iter().copied().find(cuts_spool) {
        faults = vec![Fault::ReceiverRefuses(3 + dice.below(5)), cut];
    }
    // Whoever is halted holds locks, so that nobody else gets them.
    if faults.contains(&Fault::Pause) {
        faults.retain(|fault| *fault != Fault::TableLocked);
    }
    let minutes = match dice.below(4) {
        0 => dice.below(4),
        1 => 5 + dice.below(30),
        2 => 61 + dice.below(60),
        _ => dice.below(300),
    };
    // Some moments are at once, some when all is under way, some long after.
    let dwell = match dice.below(4) {
        0 => dice.below(60),
        1 => 100 + dice.below(400),
        _ => 300 + dice.below(1200),
    };
    // Some locks are held for longer than anybody waits for one: MySQL 50 s, we in SQLite 60 s. Not by a draw of their own,
    // which would change all that comes later.
    let dwell = if faults.contains(&Fault::TableLocked) && dwell.is_multiple_of(10) {
        61_000 + dwell
    } else {
        dwell
    };
    // Some servers stand still instead of being stopped.
    if matches!(target, Target::Database(Kind::Postgres | Kind::Mysql)) && dwell.is_multiple_of(2) {
        for fault in &mut faults {
            if *fault == Fault::DatabaseStopped {
                *fault = Fault::DatabaseHalted;
            }
        }
    }
    Step {
        faults,
        advance: Duration::from_secs(minutes * 60 + dice.below(60)),
        dwell: Duration::from_millis(dwell),
        parts: 1 + dice.below(6) as u32,
        settles: dice.one_in(2),
    }
}

fn of_process(_: Target, dice: &mut Dice) -> Option<Fault> {
    Some(match dice.below(8) {
        0..=3 => Fault::Kill,
        4 | 5 => Fault::Terminate,
        6 => Fault::Pause,
        _ => Fault::SecondInstance,
    })
}

fn of_machine(target: Target, dice: &mut Dice) -> Option<Fault> {
    const HOUR: i64 = 3600;
    let share = dice.below(1_000_000) as f64 / 1e6;
    Some(match dice.below(8) {
        0..=2 => {
            let hours = [1, 5, 26, 24 * 40, 24 * 365 * 15];
            let wrong = dice.pick(&hours) * HOUR + dice.below(HOUR as u64) as i64;
            Fault::Clock(if dice.one_in(2) { wrong } else { -wrong })
        }
        3 => Fault::StateFull,
        4 => Fault::StateReadOnly,
        _ if target != Target::Webhook => Fault::Truncated(StateFile::Checkpoint, share),
        5 => Fault::Truncated(StateFile::Checkpoint, share),
        6 => Fault::Truncated(StateFile::Ledger, share),
        _ => Fault::Truncated(StateFile::Spool, share),
    })
}

fn of_destination(target: Target, dice: &mut Dice) -> Option<Fault> {
    let choice = dice.below(6);
    Some(match (target, choice) {
        (Target::Webhook, 0) => Fault::ReceiverDown,
        (Target::Webhook, 1) => Fault::ReceiverFaulty(0.1 + dice.below(60) as f64 / 100.0),
        (Target::Webhook, 2 | 3) => Fault::ReceiverRefuses(3 + dice.below(8)),
        (Target::Webhook, 4) => Fault::ReceiverBusy,
        (Target::Webhook, _) => Fault::ReceiverDenies,
        (Target::Database(Kind::Sqlite), 0..=2) => Fault::DatabaseFull,
        (Target::Database(Kind::Sqlite), _) => Fault::TableLocked,
        (_, 0) => Fault::DatabaseKilled,
        (_, 1) => Fault::DatabaseStopped,
        (_, 2) => Fault::ConnectionsDropped,
        // The test server of SQL Server keeps its rows in memory.
        (Target::Database(Kind::SqlServer), 3) => Fault::ConnectionsDropped,
        (_, 3) => Fault::DatabaseFull,
        (_, _) => Fault::TableLocked,
    })
}

fn of_api(_: Target, dice: &mut Dice) -> Option<Fault> {
    Some(match dice.below(40) {
        0..=7 => Fault::Outage,
        8..=12 => Fault::Refused,
        13..=25 => Fault::Faulty(0.05 + dice.below(50) as f64 / 100.0),
        26..=33 => Fault::Slow(5 + dice.below(300) as u32),
        34 => Fault::Endless,
        35 if dice.one_in(3) => Fault::Dripping,
        _ => Fault::TokenRenewed,
    })
}

/// The fields that come, go and change in a life; names that no other field has, in whatever case.
pub const ALTERED: [&str; 6] = [
    "Tortur neu",
    "Tortur alt",
    "Tortur umbenannt",
    "Tortur weg",
    "Tortur Art A",
    "Tortur Art B",
];

fn altered_fields(dice: &mut Dice) -> Vec<AddedField> {
    let mut at = || 600 + dice.below(30 * 3600);
    let [new, old, renamed, gone, first, second] = ALTERED;
    let (rename, delete, retype, retype_back) = (at(), at(), at(), at());
    vec![
        AddedField::new(at(), new, "text"),
        AddedField::new(0, old, "text").until(rename, FieldEnd::Gone),
        AddedField::new(rename, renamed, "text"),
        AddedField::new(0, gone, "text").until(delete, FieldEnd::Deleted),
        AddedField::new(0, first, "number").until(retype, FieldEnd::Replaced),
        AddedField::new(retype, first, "text"),
        AddedField::new(0, second, "text").until(retype_back, FieldEnd::Replaced),
        AddedField::new(retype_back, second, "number"),
    ]
}

fn config(target: Target, dice: &mut Dice) -> Config {
    let webhook = target == Target::Webhook;
    let md5_covers = dice.pick(&[Md5Covers::Everything, Md5Covers::ContactOnly]);
    // The nets of webhook reach back one day: what comes later than that is seen only where it changes the list.
    let events_by = if webhook && md5_covers == Md5Covers::Everything {
        EventsBy::Modified
    } else {
        dice.pick(&[EventsBy::Fired, EventsBy::Modified])
    };
    let readings = Readings {
        events_by,
        md5_covers,
        unknown_ids: dice.pick(&[
            UnknownIds::Absent,
            UnknownIds::Null,
            UnknownIds::Error404,
            UnknownIds::Error500,
        ]),
        deleted_vanish: dice.one_in(2),
        to_inclusive: dice.one_in(2),
        event_form: dice.pick(&[EventForm::Text, EventForm::Text, EventForm::Object]),
        pointer: dice.one_in(2),
        suffix_digits: dice.pick(&[4, 6]),
        empty_as: dice.pick(&[EmptyAs::Text, EmptyAs::Missing, EmptyAs::Null]),
        inbound_by: dice.pick(&[InboundBy::CallTime, InboundBy::Modified]),
        max_ids: dice.pick(&[None, None, Some(7)]),
        page_cap: dice.pick(&[1000, 50]),
        fields_at: dice.pick(&[FieldsAt::List, FieldsAt::List, FieldsAt::Campaign]),
        ..Readings::default()
    };
    Config {
        seed: pair(dice.bits(), 7),
        contacts: 40 + dice.below(100) as u32,
        daily_share: 0.5 + dice.below(30) as f64 / 10.0,
        readings,
        new_per_day: 20.0,
        deleted_share: 0.15,
        // A webhook posts in the order in which events are shown.
        published_late: if webhook { 0.0 } else { 0.05 },
        late_share: 0.5,
        inbound_per_day: 30,
        nul_characters: dice.one_in(2),
        long_texts: dice.one_in(4),
        added_fields: altered_fields(dice),
        new_key_after: Some(Duration::from_secs(dice.below(20 * 3600))),
        ..Config::default()
    }
}
