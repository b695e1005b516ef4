//! The index behind contacts/list: contacts by changed day, then by checksum.

use std::collections::BTreeSet;

use super::campaign::{Campaign, Existence};
use super::events::EventCache;
use super::instant::{DAY, Instant, day_of};

/// Where a contact stands in the list: changed day, first 32 bits of its checksum, number. 12 bytes.
pub type Position = (u32, u32, u32);

/// The contacts in the order of the list at one instant.
#[derive(Debug, Default)]
pub struct Listing {
    at: Option<Instant>,
    order: BTreeSet<Position>,
}

impl Listing {
    /// Brings the index to an instant.
    fn update(&mut self, campaign: &Campaign, events: &EventCache, now: Instant) {
        match self.at {
            Some(at) if at >= now => return,
            Some(at) if now - at < 10 * DAY => self.move_on(campaign, events, at, now),
            _ => {
                let mut order: Vec<Position> = (0..campaign.population(now))
                    .filter_map(|contact| position(campaign, contact, now))
                    .collect();
                order.sort_unstable();
                self.order = order.into_iter().collect();
            }
        }
        self.at = Some(now);
    }

    /// Moves those contacts that something happened to between two instants.
    fn move_on(&mut self, campaign: &Campaign, events: &EventCache, from: Instant, to: Instant) {
        let covers = campaign.config.readings.md5_covers;
        let between = |at: Instant| from < at && at <= to;
        for slot in campaign.slot_of(from) - campaign.reach()..=campaign.slot_of(to) {
            for contact in events.touched(campaign, slot).iter() {
                let visit = campaign.visit(*contact, slot);
                let changes = visit.is_some_and(|v| v.changes(covers).any(between));
                if changes || campaign.deleted(*contact).is_some_and(between) {
                    if let Some(old) = position(campaign, *contact, from) {
                        self.order.remove(&old);
                    }
                    self.order.extend(position(campaign, *contact, to));
                }
            }
        }
    }

    /// The contacts of a page with the positions behind `after` and from this day on, and whether there are more.
    pub fn page(
        &mut self,
        campaign: &Campaign,
        events: &EventCache,
        since: Option<i64>,
        after: Option<Position>,
        limit: usize,
        now: Instant,
    ) -> (Vec<Position>, bool) {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        self.update(campaign, events, now);
        let first = (
            since.unwrap_or(0).clamp(0, i64::from(u32::MAX)) as u32,
            0,
            0,
        );
        let begin = match after {
            Some(after) if after >= first => Excluded(after),
            _ => Included(first),
        };
        let mut found = self.order.range((begin, Unbounded));
        let page: Vec<Position> = found.by_ref().take(limit).copied().collect();
        (page, found.next().is_some())
    }

    /// Bytes that the index needs per contact, without the tree's slack.
    pub const BYTES_PER_CONTACT: usize = size_of::<Position>();
}

/// Where a contact stands; `None` if it isn't in the list.
fn position(campaign: &Campaign, contact: u32, now: Instant) -> Option<Position> {
    let until = match campaign.existence(contact, now) {
        Existence::Unborn => return None,
        Existence::Deleted if campaign.config.readings.deleted_vanish => return None,
        Existence::Deleted => campaign.deleted(contact)?,
        Existence::Live => now,
    };
    let changed = campaign.last_change(contact, until)?;
    let prefix = u32::from_str_radix(campaign.checksum(contact, changed).get(..8)?, 16).ok()?;
    Some((u32::try_from(day_of(changed)).ok()?, prefix, contact))
}
