//! Transactions as events, by time.

use std::sync::{Arc, Mutex};

use super::campaign::Campaign;
use super::config::{EventForm, EventsBy};
use super::document::{Fields, Value};
use super::ids::checksum;
use super::instant::{Instant, zulu};
use super::json::Writer;
use super::random::pair;
use super::truth;
use super::visit::{FiredForm, Planned, Visit};

/// Where an event stands in the list: time it goes by, contact, slot of the visit, rank in the visit.
pub type Position = (Instant, u32, i64, u8);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Query {
    /// Earliest time, inclusive.
    pub from: Instant,
    /// Latest time.
    pub to: Option<Instant>,
    /// `type`
    pub kind: Option<String>,
    /// `hi=true`
    pub human: bool,
    /// `tasks`: prefixes of the stage's name.
    pub tasks: Vec<String>,
    /// Only events behind this one.
    pub after: Option<Position>,
    /// Most events on a page.
    pub limit: usize,
}

/// A few values by their keys, oldest first.
type Kept<K, V> = Mutex<Vec<(K, Arc<V>)>>;

/// Contacts touched per slot, and sorted events per slot and instant, of the last few requests.
#[derive(Debug, Default)]
pub struct EventCache {
    touched: Kept<i64, Vec<u32>>,
    sorted: Kept<(i64, Instant), Vec<Position>>,
}

impl EventCache {
    /// The contacts that are touched in a slot.
    pub fn touched(&self, campaign: &Campaign, slot: i64) -> Arc<Vec<u32>> {
        kept(&self.touched, slot, 100, || campaign.touched(slot))
    }

    /// The events whose time lies in a slot, in order.
    fn sorted(&self, campaign: &Campaign, slot: i64, now: Instant) -> Arc<Vec<Position>> {
        kept(&self.sorted, (slot, now), 4, || {
            let first = match campaign.config.readings.events_by {
                EventsBy::Fired => slot,
                EventsBy::Modified => slot - campaign.reach(),
            };
            let mut events = Vec::new();
            for from in first..=slot {
                for contact in self.touched(campaign, from).iter() {
                    if let Some(visit) = campaign.visit(*contact, from) {
                        events.extend(
                            positions(campaign, &visit, now)
                                .filter(|p| campaign.slot_of(p.0) == slot),
                        );
                    }
                }
            }
            events.sort_unstable_by_key(order);
            events
        })
    }

    /// The events of a page, and whether there are more behind them.
    pub fn page(&self, campaign: &Campaign, query: &Query, now: Instant) -> (Vec<Position>, bool) {
        let inclusive = campaign.config.readings.to_inclusive;
        let begin = query.after.map_or(query.from, |p| p.0.max(query.from));
        let end = query.to.map_or(now, |to| to.min(now));
        let mut page = Vec::new();
        for slot in campaign.slot_of(begin).max(campaign.first_slot())..=campaign.slot_of(end) {
            for position in self.sorted(campaign, slot, now).iter() {
                let at = position.0;
                let in_time = at >= query.from
                    && query.to.is_none_or(|to| at < to || (inclusive && at == to));
                let behind = query
                    .after
                    .is_none_or(|after| order(position) > order(&after));
                if in_time && behind && asked_for(campaign, query, position) {
                    if page.len() == query.limit {
                        return (page, true);
                    }
                    page.push(*position);
                }
            }
        }
        (page, false)
    }
}

/// Within one instant the rank goes first, so that events are in the order of their first part.
fn order(position: &Position) -> (Instant, u8, u32, i64) {
    (position.0, position.3, position.1, position.2)
}

/// Takes a value from a small cache, or makes it.
fn kept<K: PartialEq + Copy, V>(
    cache: &Kept<K, V>,
    key: K,
    most: usize,
    make: impl FnOnce() -> V,
) -> Arc<V> {
    let found = cache
        .lock()
        .unwrap()
        .iter()
        .find(|(k, _)| *k == key)
        .map(|(_, v)| Arc::clone(v));
    found.unwrap_or_else(|| {
        let value = Arc::new(make());
        let mut cache = cache.lock().unwrap();
        if cache.len() >= most {
            cache.remove(0);
        }
        cache.push((key, Arc::clone(&value)));
        value
    })
}

fn positions<'a>(
    campaign: &'a Campaign,
    visit: &'a Visit,
    now: Instant,
) -> impl Iterator<Item = Position> + 'a {
    visit.transactions.iter().filter_map(move |planned| {
        if !matches!(planned.form, FiredForm::Full | FiredForm::Short) {
            return None;
        }
        let modified = visit.modified(planned, now)?;
        let at = match campaign.config.readings.events_by {
            EventsBy::Fired => planned.fired,
            EventsBy::Modified => modified,
        };
        Some((at, visit.contact, visit.slot, planned.rank))
    })
}

fn find(campaign: &Campaign, position: &Position) -> Option<(Visit, Planned)> {
    let visit = campaign.visit(position.1, position.2)?;
    let planned = *visit.transactions.iter().find(|t| t.rank == position.3)?;
    Some((visit, planned))
}

fn asked_for(campaign: &Campaign, query: &Query, position: &Position) -> bool {
    if query.kind.is_none() && !query.human && query.tasks.is_empty() {
        return true;
    }
    let Some((visit, planned)) = find(campaign, position) else {
        return false;
    };
    let facts = visit.facts(campaign, &planned);
    let kind = query.kind.is_none() || truth::text(&facts.kind) == query.kind;
    let task = truth::text(&facts.task).unwrap_or_default();
    kind && (!query.human || facts.human == Value::Bool(true))
        && (query.tasks.is_empty() || query.tasks.iter().any(|prefix| task.starts_with(prefix)))
}

/// Writes an event.
pub fn write(campaign: &Campaign, position: &Position, now: Instant, writer: &mut Writer) {
    let readings = &campaign.config.readings;
    let Some((visit, planned)) = find(campaign, position) else {
        return;
    };
    let ordinal = campaign.ordinal(visit.contact, visit.slot);
    let sequence = Visit::sequence(&planned, ordinal);
    let modified = visit.modified(&planned, now).unwrap_or(planned.visible);
    let md5 = checksum(pair(visit.hash, u64::from(planned.rank)), modified as u64);
    let id = campaign.id(visit.contact);
    let fired = zulu(planned.fired);
    let index = visit
        .transactions
        .iter()
        .filter(|t| t.visible <= now)
        .position(|t| t.rank == planned.rank)
        .unwrap_or(0);
    match readings.event_form {
        EventForm::Text => {
            let known = || format!("{fired}{sequence:0width$}", width = readings.suffix_digits);
            let number = sequence.to_string().parse().unwrap();
            let part = readings.event_time.in_event(planned.fired, number);
            let mut text = format!("{}|{md5}|{id}", part.unwrap_or_else(known));
            if readings.pointer {
                text.push_str(&format!("|{ordinal},{index}"));
            }
            writer.string(&text);
        }
        EventForm::Object => {
            let facts = visit.facts(campaign, &planned);
            let mut f = Fields::default();
            f.push("fired", Value::text(fired));
            f.push("seqnr", Value::number(sequence));
            f.push("type", facts.kind);
            f.push("hi", facts.human);
            f.push("task", facts.task);
            if readings.pointer {
                f.push("pointer", Value::text(format!("{ordinal},{index}")));
            }
            f.push("md5", Value::text(md5));
            f.push("contact_id", Value::text(id));
            writer.fields(&f);
        }
    }
}
