//! A contact as it is at one instant.

use super::campaign::{Campaign, Existence};
use super::config::FieldEnd;
use super::document::{Contact, Entry, Fields, Item, List, Style, Value};
use super::fields::{self, Field};
use super::ids::object_id;
use super::instant::{DAY, Instant, zulu};
use super::random::{Dice, pair};
use super::transactions::{ENTRANCE, task_id};
use super::values;
use super::visit::Visit;

/// Makes contacts; holds the fields, which are the same for all of them.
#[derive(Debug)]
pub struct Contacts {
    fields: Vec<Field>,
    new_key_since: Option<Instant>,
}

impl Contacts {
    /// For the contacts of this campaign.
    pub fn new(campaign: &Campaign) -> Self {
        Contacts {
            fields: fields::all(&campaign.config),
            new_key_since: campaign
                .config
                .new_key_after
                .map(|after| campaign.start + after.as_millis() as i64),
        }
    }

    /// A contact at an instant, or as it was when it was deleted; `None` before its creation.
    pub fn contact(&self, campaign: &Campaign, contact: u32, now: Instant) -> Option<Contact> {
        let now = match campaign.existence(contact, now) {
            Existence::Unborn => return None,
            Existence::Live => now,
            Existence::Deleted => campaign.deleted(contact)?.min(now),
        };
        let visits = campaign.visits(contact, now);
        let mut fields = Fields(Vec::with_capacity(120));
        self.system(campaign, contact, now, &visits, &mut fields);
        self.custom(campaign, contact, now, &visits, &mut fields);
        let mut dice = Dice::new(pair(campaign.config.seed ^ 0x57e1, u64::from(contact)));
        let style = if campaign.config.oddities {
            Style {
                log_position: match dice.below(10) {
                    0 => 0,
                    1 => 10,
                    _ => usize::MAX,
                },
                ascii: dice.one_in(15),
                spaced: dice.one_in(15),
            }
        } else {
            Style {
                log_position: usize::MAX,
                ..Style::default()
            }
        };
        Some(Contact {
            fields,
            log: log(campaign, contact, now, &visits),
            style,
        })
    }

    fn system(
        &self,
        campaign: &Campaign,
        contact: u32,
        now: Instant,
        visits: &[Visit],
        f: &mut Fields,
    ) {
        let config = &campaign.config;
        let odd = config.oddities;
        let seed = pair(config.seed ^ 0xc047, u64::from(contact));
        let mut fixed = Dice::new(seed);
        let created = campaign.created(contact);
        let edits = || visits.iter().filter(|v| v.edited <= now);
        let last = edits().next_back();
        let called = edits().rfind(|v| v.outcome().is_some());
        let mut dice = Dice::new(pair(seed, last.map_or(0, |v| v.hash)));
        let stage = called.map_or(ENTRANCE, Visit::stage);
        let (status, detail) = called.map_or(("open", "$none"), Visit::result);
        let entered = called.map_or(created, |v| v.edited);

        f.push("$id", Value::text(campaign.id(contact)));
        if !(odd && contact % 157 == 13) {
            let changed = campaign.last_change(contact, now).unwrap_or(created);
            f.push("$md5", Value::text(campaign.checksum(contact, changed)));
        }
        let reference = match fixed.below(4) {
            0 => Value::Empty,
            _ => Value::text(format!("CRM-{contact}")),
        };
        f.push("$ref", reference);
        f.push("$version", Value::text(object_id(dice.bits())));
        f.push("$campaign_id", Value::text(config.campaign.clone()));
        f.push("$task_id", Value::text(task_id(stage.name)));
        f.push("$task", Value::fixed(stage.name));
        f.push("$status", Value::fixed(status));
        f.push("$status_detail", Value::fixed(detail));
        f.push("$phone", Value::text(values::phone(&mut fixed)));
        f.push("$timezone", Value::fixed("Europe/Berlin"));
        f.push("$caller_id", Value::Empty);
        f.push("$created_date", Value::text(zulu(created)));
        f.push("$entry_date", Value::text(zulu(entered)));
        f.push(
            "$follow_up_date",
            match dice.below(6) {
                0 => Value::fixed("auto"),
                1 => Value::text(zulu(entered + DAY + dice.below(DAY as u64) as i64)),
                _ => Value::Empty,
            },
        );
        f.push(
            "$call_order",
            match dice.below(if odd { 6 } else { 1 }) {
                1 => Value::number(dice.below(1000)),
                2 => Value::token("0.5"),
                3 => Value::Null,
                _ => Value::Empty,
            },
        );
        f.push("$source", Value::fixed("import-2024-03"));
        if odd && contact % 89 == 7 {
            f.push("$comment", Value::fixed("doppelt, zählt nicht"));
            f.push("$comment", Value::fixed("zählt"));
        } else {
            f.push("$comment", values::text(config, &mut dice));
        }
        f.push(
            "$error",
            if odd && dice.one_in(30) {
                Value::fixed_json("{\"code\":500,\"text\":\"Zeit\\u00fcberschreitung\"}")
            } else {
                Value::Empty
            },
        );
        f.push("$trigger", Value::fixed("other"));
        f.push(
            "$owner",
            called.map_or(Value::Empty, |v| Value::text(v.agent())),
        );
        let recording = if called.is_some() && dice.one_in(2) {
            format!("demo_{:08x}.mp3", dice.below(1 << 32))
        } else {
            String::new()
        };
        if recording.is_empty() {
            f.push("$recording", Value::Empty);
            f.push("$recording_url", Value::Empty);
        } else {
            let address = format!(
                "https://api.dialfire.com/api/campaigns/{}/recordings/{recording}",
                config.campaign
            );
            f.push("$recording", Value::text(recording));
            f.push("$recording_url", Value::text(address));
        }
        if !contact.is_multiple_of(3) {
            stage_memory(visits, now, f);
        }
        if odd && contact % 97 == 5 {
            f.push("$changed", Value::fixed("2001-01-01T00:00:00Z"));
        }
        let thing = edits().rfind(|v| self.new_key_since.is_some_and(|at| v.edited >= at));
        if let Some(visit) = thing.filter(|v| !v.hash.is_multiple_of(4)) {
            f.push(
                "$new_thing",
                Value::text(format!("neu {}", visit.hash % 100)),
            );
        }
    }

    fn custom(
        &self,
        campaign: &Campaign,
        contact: u32,
        now: Instant,
        visits: &[Visit],
        f: &mut Fields,
    ) {
        let config = &campaign.config;
        for (nth, field) in self.fields.iter().enumerate() {
            let Some(visit) = setting(campaign, nth, field, visits, now) else {
                continue;
            };
            let replaced = || {
                self.fields.iter().enumerate().any(|(other, f)| {
                    f.name == field.name
                        && f.since > field.since
                        && setting(campaign, other, f, visits, now).is_some()
                })
            };
            match field.ended(now) {
                Some(FieldEnd::Gone) => continue,
                Some(FieldEnd::Replaced) if replaced() => continue,
                _ => {}
            }
            let mut dice = Dice::new(choice(nth, visit) ^ 0x1f);
            // Deleted fields are in the document under a name that may have been given again.
            if field.deleted
                && self
                    .fields
                    .iter()
                    .any(|o| !o.deleted && o.name == field.name)
            {
                continue;
            }
            let long = config.oddities && config.long_texts && contact % 499 == 29;
            let value = if long && field.kind.as_deref() == Some("textarea") {
                values::long_text(&mut dice)
            } else {
                values::custom(config, field, &mut dice, visit.edited)
            };
            if config.oddities && contact % 83 == 6 && nth == 0 {
                f.push(field.name.clone(), Value::fixed("doppelt, zählt nicht"));
                f.push(field.name.clone(), Value::Null);
            } else {
                f.push(field.name.clone(), value);
            }
        }
        if config.oddities && contact.is_multiple_of(5) {
            f.push("_nicht_in_der_Liste", Value::fixed("x"));
        }
    }
}

/// From which it follows what a visit does to a field.
fn choice(nth: usize, visit: &Visit) -> u64 {
    pair(visit.hash, 5000 + nth as u64)
}

/// The visit that gave a field its present value. The first one is the creation, which sets all fields of its time.
fn setting<'a>(
    campaign: &Campaign,
    nth: usize,
    field: &Field,
    visits: &'a [Visit],
    now: Instant,
) -> Option<&'a Visit> {
    let one_in = if field.since > campaign.start { 2 } else { 5 };
    let set = visits.iter().enumerate().rfind(|(at, visit)| {
        visit.edited <= now
            && visit.edited >= field.since
            && field.end.is_none_or(|(end, _)| visit.edited < end)
            && (*at == 0 || choice(nth, visit).is_multiple_of(one_in))
    });
    set.map(|(_, visit)| visit)
}

/// `$$<stage>_…`: the last result at each stage.
fn stage_memory(visits: &[Visit], now: Instant, f: &mut Fields) {
    let mut seen = Vec::new();
    for visit in visits.iter().rev().filter(|v| v.edited <= now) {
        let Some(outcome) = visit.outcome() else {
            continue;
        };
        let stage = visit.stage();
        if seen.contains(&stage.key) {
            continue;
        }
        seen.push(stage.key);
        let (status, detail) = visit.result();
        for (end, value) in [
            ("task", Value::fixed(stage.name)),
            ("user", Value::text(visit.agent())),
            ("date", Value::text(zulu(outcome.fired))),
            ("status", Value::fixed(status)),
            ("status_detail", Value::fixed(detail)),
        ] {
            f.push(format!("$${}_{end}", stage.key), value);
        }
    }
}

/// `$task_log`; with oddities, entries that hold nothing stand at its end.
fn log(campaign: &Campaign, contact: u32, now: Instant, visits: &[Visit]) -> List<Entry> {
    if !campaign.has_log(contact) {
        return if contact.is_multiple_of(2) {
            List::Missing
        } else {
            List::Null
        };
    }
    let mut items: Vec<Item<Entry>> = visits
        .iter()
        .filter(|visit| !visit.transactions.is_empty())
        .enumerate()
        .filter_map(|(ordinal, visit)| visit.entry(campaign, ordinal, now))
        .map(Item::Object)
        .collect();
    if campaign.config.oddities {
        if contact % 53 == 8
            && let Some(Item::Object(entry)) = items.last_mut()
            && let List::Items(transactions) = &mut entry.transactions
            && !transactions.is_empty()
        {
            transactions.push(Item::Junk("null"));
        }
        let empty = match contact % 14 {
            3 => Some(List::Missing),
            6 => Some(List::Null),
            9 => Some(List::Junk("\"\"")),
            12 => Some(List::of(Vec::new())),
            _ => None,
        };
        if let Some(transactions) = empty {
            let mut fields = Fields::default();
            fields.push("status", Value::fixed("open"));
            fields.push("status_detail", Value::fixed("$none"));
            fields.push("task_hi", Value::Bool(true));
            items.push(Item::Object(Entry {
                fields,
                transactions,
            }));
        }
        if contact % 61 == 9 && !items.is_empty() {
            items.push(Item::Junk("null"));
        }
    }
    List::Items(items)
}
