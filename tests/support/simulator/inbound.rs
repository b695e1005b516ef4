//! Inbound calls.

use super::campaign::Campaign;
use super::config::InboundBy;
use super::document::{Fields, Value};
use super::ids::{object_id, uuid};
use super::instant::{DAY, Instant, MINUTE, SECOND, local, zulu};
use super::random::{Dice, triple};
use super::transactions::task_id;
use super::values;

/// One call: when it rang, was answered and ended. It ends within two hours.
#[derive(Debug, Clone)]
pub struct Call {
    /// Day since the start, and number within that day.
    pub place: (i64, u32),
    hash: u64,
    /// When it rang.
    pub rang: Instant,
    answered: Option<Instant>,
    ended: Instant,
}

impl Call {
    fn new(campaign: &Campaign, day: i64, nth: u32) -> Self {
        let hash = triple(campaign.config.seed ^ 0x1b0d, day as u64, u64::from(nth));
        let mut dice = Dice::new(hash);
        let rang = campaign.start + day * DAY + dice.below(DAY as u64) as i64;
        let waited = rang + SECOND + dice.below(40_000) as i64;
        let talked = if dice.one_in(8) {
            MINUTE + dice.below(115 * 60_000) as i64
        } else {
            SECOND + dice.below(600_000) as i64
        };
        let answered = dice.chance(0.8).then_some(waited);
        Call {
            place: (day, nth),
            hash,
            rang,
            answered,
            ended: if answered.is_some() {
                waited + talked
            } else {
                waited
            },
        }
    }

    /// When it last changed; `None` before it rang.
    pub fn modified(&self, now: Instant) -> Option<Instant> {
        [Some(self.rang), self.answered, Some(self.ended)]
            .into_iter()
            .flatten()
            .filter(|at| *at <= now)
            .max()
    }

    /// The call as the API shows it.
    pub fn document(&self, campaign: &Campaign, now: Instant) -> Fields {
        let config = &campaign.config;
        let odd = config.oddities;
        let mut dice = Dice::new(self.hash ^ 0xd0c);
        let time = |at: Instant, form: u64| match form {
            0 if odd => Value::text(local(at)),
            _ => Value::text(zulu(at)),
        };
        let mut f = Fields::default();
        f.push("id", Value::text(uuid(self.hash)));
        f.push("line_id", Value::text(object_id(self.hash % 3)));
        f.push("campaign_id", Value::text(config.campaign.clone()));
        f.push("task_id", Value::text(task_id("in_hotline")));
        f.push("task_name", Value::fixed("in_hotline"));
        let known = config.contacts > 0 && dice.chance(0.6);
        let contact = dice.below(u64::from(config.contacts.max(1))) as u32;
        f.push(
            "contact_id",
            if known {
                Value::text(campaign.id(contact))
            } else {
                Value::Empty
            },
        );
        f.push(
            "calling_number",
            match dice.below(if odd { 12 } else { 1 }) {
                1 => Value::number(49_301_234_567u64),
                2 => Value::fixed("anonymous"),
                3 => Value::Null,
                _ => Value::text(values::phone(&mut dice)),
            },
        );
        f.push("called_number", Value::fixed("+493023125000"));
        if odd && dice.one_in(10) {
            // Overwritten by the renamed key, also where that one is missing.
            f.push("connected", Value::fixed("überschrieben"));
            f.push("remote_number", Value::fixed("überschrieben"));
        }
        f.push("call_time", Value::text(zulu(self.rang)));
        let form = dice.below(6);
        let answered = self.answered.filter(|at| *at <= now);
        if let Some(at) = answered {
            f.push("connect_time", time(at, form));
            f.push("user", Value::text(object_id(self.hash % 40)));
        }
        let ended = self.ended <= now;
        if ended {
            f.push("hangup_time", time(self.ended, form));
        } else {
            f.push(
                "hangup_time",
                [Value::Missing, Value::Empty, Value::Null][dice.below(3) as usize].clone(),
            );
        }
        f.push(
            "state",
            Value::fixed(match (ended, answered) {
                (true, _) => "done",
                (false, Some(_)) => "connected",
                (false, None) => "ringing",
            }),
        );
        let mut dice = Dice::new(self.hash ^ 0xd1c);
        f.push(
            "connectable_time",
            match dice.below(if odd { 4 } else { 1 }) {
                1 => Value::number(dice.below(60)),
                2 => Value::token("2.5"),
                3 => Value::Missing,
                _ => Value::text(zulu(self.rang + 800)),
            },
        );
        f.push(
            "disposition",
            match (ended, self.answered) {
                (true, Some(_)) => Value::fixed("answered"),
                (true, None) => Value::fixed("abandoned"),
                _ => Value::Empty,
            },
        );
        f.push(
            "dispatch_error",
            match dice.below(if odd { 10 } else { 1 }) {
                1 => Value::Null,
                2 => Value::Missing,
                3 => Value::Bool(true),
                _ => Value::Bool(false),
            },
        );
        f
    }
}

/// The calls of a day (counted from the start) that have rung, by the time that the list goes by.
pub fn of_day(campaign: &Campaign, day: i64, now: Instant) -> Vec<(Instant, Call)> {
    let by = campaign.config.readings.inbound_by;
    let days = match by {
        InboundBy::CallTime => day..=day,
        InboundBy::Modified => day - 1..=day,
    };
    let begin = campaign.start + day * DAY;
    let mut calls: Vec<(Instant, Call)> = days
        .filter(|day| *day >= first_day(campaign))
        .flat_map(|day| (0..campaign.config.inbound_per_day).map(move |nth| (day, nth)))
        .map(|(day, nth)| Call::new(campaign, day, nth))
        .filter_map(|call| {
            let modified = call.modified(now)?;
            let at = match by {
                InboundBy::CallTime => call.rang,
                InboundBy::Modified => modified,
            };
            (begin..begin + DAY).contains(&at).then_some((at, call))
        })
        .collect();
    calls.sort_by_key(|(at, call)| (*at, call.place));
    calls
}

/// The day (counted from the start) of an instant.
pub fn day_of(campaign: &Campaign, at: Instant) -> i64 {
    (at - campaign.start).div_euclid(DAY)
}

/// The first day with calls.
pub fn first_day(campaign: &Campaign) -> i64 {
    -(campaign.config.history.as_millis() as i64 / DAY)
}

/// All calls that have rung, oldest first.
pub fn all(campaign: &Campaign, now: Instant) -> impl Iterator<Item = Call> {
    (first_day(campaign)..=day_of(campaign, now))
        .flat_map(move |day| {
            (0..campaign.config.inbound_per_day).map(move |nth| Call::new(campaign, day, nth))
        })
        .filter(move |call| call.rang <= now)
}
