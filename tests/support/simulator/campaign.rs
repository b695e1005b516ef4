//! The campaign as pure functions of seed and time: which contacts exist, and what happens to them when.

use super::config::Config;
use super::ids;
use super::instant::{DAY, Instant, from_datetime};
use super::random::{chance, mix, pair, triple};
use super::visit::{Visit, longest_delay};

/// What every answer is derived from.
#[derive(Debug)]
pub struct Campaign {
    /// The settings.
    pub config: Config,
    /// Simulated time at the start.
    pub start: Instant,
    /// Length of a slot: in each, a contact is visited at most once.
    pub slot: i64,
    /// Slots before the start.
    past: i64,
    past_share: f64,
    live_share: f64,
    /// Time between two new contacts.
    birth_interval: Option<i64>,
}

/// Whether a contact is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// Not created yet.
    Unborn,
    /// Created, not deleted.
    Live,
    /// Deleted.
    Deleted,
}

impl Campaign {
    /// The campaign of these settings.
    pub fn new(config: Config) -> Self {
        let slots_per_day = (config.daily_share / 0.5).ceil().clamp(1.0, 24.0);
        let slot = DAY / slots_per_day as i64;
        let past = (config.history.as_millis() as i64 / slot).max(8);
        Campaign {
            start: from_datetime(config.start),
            slot,
            past,
            // Contacts are created early in the past: on average they live through three quarters of it.
            past_share: (config.visits / (0.75 * past as f64)).min(0.95),
            live_share: (config.daily_share / slots_per_day).min(1.0),
            birth_interval: (config.new_per_day > 0.0)
                .then(|| ((DAY as f64 / config.new_per_day) as i64).max(1)),
            config,
        }
    }

    /// Contacts created up to an instant, deleted ones included.
    pub fn population(&self, now: Instant) -> u32 {
        let born = self.birth_interval.map_or(0, |i| (now - self.start) / i);
        self.config.contacts.saturating_add(born.max(0) as u32)
    }

    /// When a contact was created.
    pub fn created(&self, contact: u32) -> Instant {
        let hash = pair(self.config.seed ^ 0xc4ea, u64::from(contact));
        if contact < self.config.contacts {
            let part = (hash >> 40) as f64 / (1u64 << 24) as f64;
            let slot = -self.past + ((self.past - 1) as f64 * part * part * part) as i64;
            self.start + slot * self.slot + (mix(hash) % (self.slot as u64 / 2)) as i64
        } else {
            let nth = i64::from(contact - self.config.contacts) + 1;
            self.start + nth * self.birth_interval.unwrap_or(DAY)
        }
    }

    /// When a contact is deleted: half of those in the last quarter of the past, half in the first two days.
    pub fn deleted(&self, contact: u32) -> Option<Instant> {
        let hash = pair(self.config.seed ^ 0xde1e, u64::from(contact));
        if contact >= self.config.contacts || !chance(hash, self.config.deleted_share) {
            return None;
        }
        let more = mix(hash);
        let at = if more & 1 == 0 {
            self.start - (more >> 1).rem_euclid((self.past * self.slot / 4) as u64) as i64
        } else {
            self.start + (more >> 1).rem_euclid(2 * DAY as u64) as i64
        };
        (self.created(contact) + 6 * DAY < at).then_some(at)
    }

    /// Whether a contact is there.
    pub fn existence(&self, contact: u32, now: Instant) -> Existence {
        if contact >= self.population(now) || self.created(contact) > now {
            Existence::Unborn
        } else if self.deleted(contact).is_some_and(|at| at <= now) {
            Existence::Deleted
        } else {
            Existence::Live
        }
    }

    /// `$id`. With oddities, some ids differ from the one before in case only.
    pub fn id(&self, contact: u32) -> String {
        if self.has_twin_id(contact) {
            ids::contact_id(self.config.seed, contact - 1).to_ascii_lowercase()
        } else {
            ids::contact_id(self.config.seed, contact)
        }
    }

    fn has_twin_id(&self, contact: u32) -> bool {
        self.config.oddities && contact % 401 == 11
    }

    /// The contact with this id, should it exist by now.
    pub fn find(&self, id: &str, now: Instant) -> Option<u32> {
        let seed = self.config.seed;
        let contact = ids::contact_index(seed, id).or_else(|| {
            let before = ids::contact_index(seed, &id.to_ascii_uppercase())?;
            Some(before + 1)
        })?;
        (self.id(contact) == id && self.existence(contact, now) != Existence::Unborn)
            .then_some(contact)
    }

    /// Whether a contact has a task log; with oddities some have none.
    pub fn has_log(&self, contact: u32) -> bool {
        !(self.config.oddities && matches!(contact % 211, 17 | 18))
    }

    /// The slot of an instant.
    pub fn slot_of(&self, at: Instant) -> i64 {
        (at - self.start).div_euclid(self.slot)
    }

    /// The first slot in which anything happened.
    pub fn first_slot(&self) -> i64 {
        -self.past
    }

    /// How many slots what happens in one can still reach into: `longest_delay`, the call itself and its late publication.
    pub fn reach(&self) -> i64 {
        longest_delay(&self.config) / self.slot + 2
    }

    fn visited(&self, contact: u32, slot: i64) -> Option<u64> {
        let hash = triple(
            self.config.seed ^ 0x0715,
            u64::from(contact),
            slot as u64 ^ 0x8000,
        );
        let share = if slot < 0 {
            self.past_share
        } else {
            self.live_share
        };
        chance(hash, share).then(|| mix(hash ^ 0x77))
    }

    fn is_silent(&self, contact: u32, hash: u64) -> bool {
        chance(mix(hash ^ 0x99), 0.03) || !self.has_log(contact)
    }

    /// The last slot in which a contact may still be visited before its deletion.
    fn last_slot(&self, contact: u32) -> i64 {
        self.deleted(contact)
            .map_or(i64::MAX, |at| self.slot_of(at - 5 * DAY) - 1)
    }

    /// What happens to a contact in a slot: its creation, a call or an edit.
    pub fn visit(&self, contact: u32, slot: i64) -> Option<Visit> {
        self.visit_of(
            contact,
            slot,
            self.created(contact),
            self.last_slot(contact),
        )
    }

    fn visit_of(&self, contact: u32, slot: i64, created: Instant, last: i64) -> Option<Visit> {
        let first = self.slot_of(created);
        if slot < first {
            return None;
        }
        if slot == first {
            let hash = triple(self.config.seed ^ 0x1390, u64::from(contact), 0);
            return Some(Visit::import(
                contact,
                slot,
                hash,
                created,
                self.has_log(contact),
            ));
        }
        if slot > last {
            return None;
        }
        let hash = self.visited(contact, slot)?;
        let begin = self.start + slot * self.slot;
        Some(if self.is_silent(contact, hash) {
            Visit::silent(contact, slot, hash, begin, self.slot)
        } else {
            Visit::call(&self.config, contact, slot, hash, begin, self.slot)
        })
    }

    /// Number of entries of the task log before the visit in this slot.
    pub fn ordinal(&self, contact: u32, slot: i64) -> usize {
        let first = self.slot_of(self.created(contact));
        if slot <= first {
            return 0;
        }
        let last = self.last_slot(contact);
        1 + (first + 1..slot.min(last.saturating_add(1)))
            .filter(|s| {
                self.visited(contact, *s)
                    .is_some_and(|hash| !self.is_silent(contact, hash))
            })
            .count()
    }

    /// All that happened to a contact, oldest first.
    pub fn visits(&self, contact: u32, now: Instant) -> Vec<Visit> {
        let (created, last) = (self.created(contact), self.last_slot(contact));
        (self.slot_of(created)..=self.slot_of(now))
            .filter_map(|slot| self.visit_of(contact, slot, created, last))
            .filter(|visit| {
                visit
                    .changes(super::config::Md5Covers::ContactOnly)
                    .any(|at| at <= now)
            })
            .collect()
    }

    /// When a contact last changed, under the reading of `$md5`; `None` before its creation.
    pub fn last_change(&self, contact: u32, now: Instant) -> Option<Instant> {
        let covers = self.config.readings.md5_covers;
        let (created, last) = (self.created(contact), self.last_slot(contact));
        let first = self.slot_of(created);
        let mut best = None;
        let mut slot = self.slot_of(now).min(last.max(first));
        while slot >= first {
            if best.is_some_and(|at| self.slot_of(at) > slot + self.reach()) {
                break;
            }
            if let Some(visit) = self.visit_of(contact, slot, created, last) {
                best = best.max(visit.changes(covers).filter(|at| *at <= now).max());
            }
            slot -= 1;
        }
        best
    }

    /// `$md5` of a contact that last changed then.
    pub fn checksum(&self, contact: u32, changed: Instant) -> String {
        ids::checksum(
            pair(self.config.seed ^ 0x3d5, u64::from(contact)),
            changed as u64,
        )
    }

    /// The contacts to which something happens in a slot, and those deleted in it.
    pub fn touched(&self, slot: i64) -> Vec<u32> {
        let end = self.start + (slot + 1) * self.slot;
        (0..self.population(end))
            .filter(|contact| {
                self.visited(*contact, slot).is_some()
                    || self.slot_of(self.created(*contact)) == slot
                    || self
                        .deleted(*contact)
                        .is_some_and(|at| self.slot_of(at) == slot)
            })
            .collect()
    }
}
