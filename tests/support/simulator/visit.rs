//! What one call of an agent (or an edit) does to a contact, and when: the plan from which documents and events come.

use super::config::{Config, EventsBy, Md5Covers};
use super::instant::{HOUR, Instant, MINUTE, SECOND};
use super::random::Dice;

/// What a transaction is in the course of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The contact's creation.
    Import,
    /// Handed to an agent.
    Assigned,
    /// Attempt of the dialer.
    Dial,
    /// Result, by the agent; has the connections.
    Outcome,
    /// Moved on by the machine, with the same `fired` as the result.
    Flow,
}

/// How `fired` of a transaction is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FiredForm {
    /// Three digits of fraction.
    Full,
    /// As few digits as possible.
    Short,
    /// The key isn't there.
    Missing,
    /// `null`
    Null,
    /// A number.
    Number,
}

/// One transaction of a visit.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// Its part in the visit.
    pub kind: Kind,
    /// When it fired.
    pub fired: Instant,
    /// When the API shows it.
    pub visible: Instant,
    /// How `fired` is written.
    pub form: FiredForm,
    /// Position among the sequence numbers of the visit.
    pub rank: u8,
}

/// What arrives late, step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Nothing.
    Nothing,
    /// 1: the connections. 2: the location of the first recording.
    Connections,
    /// 1: `disconnected` of the first connection. 2: the location of the first recording.
    Disconnect,
    /// 1: the location of the first recording.
    Location,
    /// 1: `revoked`.
    Revoked,
    /// 1: the time values.
    Times,
    /// 1: all connections but the first. 2: the location of the first recording. 3: `revoked`.
    Legs,
}

/// What happens to a contact within one slot of time.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Number of the contact.
    pub contact: u32,
    /// The slot of time, counted from the start.
    pub slot: i64,
    /// From which all choices of this visit are made.
    pub hash: u64,
    /// When fields of the contact change.
    pub edited: Instant,
    /// Its transactions in the order of the document; none for a silent edit.
    pub transactions: Vec<Planned>,
    /// What arrives late.
    pub late: Late,
    /// When the steps of `late` happen, ascending.
    pub steps: Vec<Instant>,
}

impl Visit {
    /// The creation of a contact.
    pub fn import(contact: u32, slot: i64, hash: u64, at: Instant, logged: bool) -> Self {
        let planned = Planned {
            kind: Kind::Import,
            fired: at,
            visible: at,
            form: FiredForm::Full,
            rank: 0,
        };
        Visit {
            contact,
            slot,
            hash,
            edited: at,
            transactions: if logged { vec![planned] } else { Vec::new() },
            late: Late::Nothing,
            steps: Vec::new(),
        }
    }

    /// An edit without a transaction.
    pub fn silent(contact: u32, slot: i64, hash: u64, begin: Instant, length: i64) -> Self {
        let mut dice = Dice::new(hash ^ 0x51);
        let at = begin + MINUTE + dice.below((length - 20 * MINUTE) as u64) as i64;
        Visit {
            edited: at,
            ..Visit::import(contact, slot, hash, at, false)
        }
    }

    /// A call in the slot that begins at `begin` and lasts `length`.
    pub fn call(
        config: &Config,
        contact: u32,
        slot: i64,
        hash: u64,
        begin: Instant,
        length: i64,
    ) -> Self {
        let mut dice = Dice::new(hash);
        let odd = config.oddities;
        let short = odd && dice.one_in(10);
        let round = |at: i64, dice: &mut Dice| {
            if short {
                at - at % dice.pick(&[10, 100, 1000])
            } else {
                at
            }
        };
        let base = begin + MINUTE + dice.below((length - 20 * MINUTE) as u64) as i64;
        let assigned = round(base, &mut dice);
        let dialled = round(base + 2 * SECOND + dice.below(20_000) as i64, &mut dice);
        let done = round(
            base + 30 * SECOND + dice.below(570_000) as i64 + 1000,
            &mut dice,
        );
        let delay = if dice.chance(config.published_late) {
            MINUTE + dice.below(39 * 60_000) as i64
        } else {
            0
        };
        let form = if short {
            FiredForm::Short
        } else {
            FiredForm::Full
        };
        let planned = |kind, fired, visible, rank| Planned {
            kind,
            fired,
            visible,
            form,
            rank,
        };
        let mut transactions = Vec::with_capacity(4);
        if dice.chance(0.6) {
            transactions.push(planned(Kind::Assigned, assigned, assigned, 0));
        }
        if dice.chance(0.5) {
            let mut dial = planned(Kind::Dial, dialled, dialled, 1);
            if odd && dice.one_in(25) {
                dial.form = dice.pick(&[FiredForm::Missing, FiredForm::Null, FiredForm::Number]);
            }
            transactions.push(dial);
        }
        let flow = dice.chance(0.15);
        let flow_first = flow && dice.chance(0.5);
        transactions.push(planned(
            Kind::Outcome,
            done,
            done + delay,
            if flow_first { 3 } else { 2 },
        ));
        if flow {
            let at = if dice.chance(0.5) {
                transactions.len()
            } else {
                transactions.len() - 1
            };
            let rank = if flow_first { 2 } else { 3 };
            transactions.insert(at, planned(Kind::Flow, done, done + delay, rank));
        }
        let late = if dice.chance(config.late_share) {
            dice.pick(&[
                Late::Connections,
                Late::Disconnect,
                Late::Location,
                Late::Location,
                Late::Revoked,
                Late::Times,
                Late::Legs,
            ])
        } else {
            Late::Nothing
        };
        let steps = match late {
            Late::Nothing => 0,
            Late::Location | Late::Revoked | Late::Times => 1,
            Late::Connections | Late::Disconnect => 2,
            Late::Legs => 3,
        };
        Visit {
            contact,
            slot,
            hash,
            edited: done + delay,
            transactions,
            late,
            steps: late_steps(config, &mut dice, steps, done, done + delay),
        }
    }

    /// How many steps of what comes late have happened.
    pub fn step(&self, now: Instant) -> usize {
        self.steps.iter().filter(|at| **at <= now).count()
    }

    /// When this visit changes the contact under this reading of `$md5`.
    pub fn changes(&self, covers: Md5Covers) -> impl Iterator<Item = Instant> + '_ {
        let late = match covers {
            Md5Covers::Everything => self.steps.as_slice(),
            Md5Covers::ContactOnly => &[],
        };
        self.transactions
            .iter()
            .map(|t| t.visible)
            .chain([self.edited])
            .chain(late.iter().copied())
    }

    /// When a transaction was last changed, as far as that has happened; `None` while it can't be seen.
    pub fn modified(&self, planned: &Planned, now: Instant) -> Option<Instant> {
        if planned.visible > now {
            return None;
        }
        let late = match planned.kind {
            Kind::Outcome => self.steps.iter().copied().filter(|at| *at <= now).max(),
            _ => None,
        };
        Some(late.map_or(planned.visible, |at| at.max(planned.visible)))
    }
}

/// How long after `fired` data may still arrive: what every client can see under the reading, see the module `simulator`.
pub fn longest_delay(config: &Config) -> i64 {
    let readings = &config.readings;
    if readings.events_by == EventsBy::Fired && readings.md5_covers == Md5Covers::ContactOnly {
        20 * HOUR
    } else {
        72 * HOUR
    }
}

/// Instants from a minute after `visible` to the longest delay after `fired`, early ones more often.
fn late_steps(
    config: &Config,
    dice: &mut Dice,
    steps: usize,
    fired: Instant,
    visible: Instant,
) -> Vec<Instant> {
    let longest = (fired + longest_delay(config) - visible) as f64;
    let mut at: Vec<Instant> = (0..steps)
        .map(|_| {
            let part = dice.below(1 << 20) as f64 / f64::from(1 << 20);
            visible + (MINUTE as f64 * (longest / MINUTE as f64).powf(part)) as i64
        })
        .collect();
    at.sort_unstable();
    for step in 1..at.len() {
        at[step] = at[step].max(at[step - 1] + 1);
    }
    at
}
