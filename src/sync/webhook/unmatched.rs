//! Events that no transaction in the document of their contact matches.
//!
//! A document may lag behind the list, and a transaction may have been taken back: so it is looked for again with each
//! reconcile, for a day. Where most are so at a time, the list or the documents are written in a way that is not
//! understood: then the round fails, and nothing is given up.

use std::collections::{BTreeSet, HashMap, HashSet};

use time::{Duration, OffsetDateTime};

use super::{Tally, WebhookRun};
use crate::error::{Error, Result};
use crate::source::event::Event;
use crate::state::{MAX_RETRIES, Unmatched};
use crate::sync::missing::PATIENCE;
use crate::sync::retries::retry_later;
use crate::text;

/// So many contacts with such events at a time make one suspicious.
pub(in crate::sync) const MANY_CONTACTS: usize = 5;

/// How long it is remembered that an event is given up: longer than the widest of the nets has it listed again.
const REMEMBERED: Duration = Duration::days(4);

/// How many are logged one by one in a round.
const MAX_LOGGED: usize = 5;

impl WebhookRun {
    /// The events that wait for their transaction.
    pub(super) fn unmatched(&self) -> Vec<String> {
        (self.checkpoint.unmatched.iter())
            .filter(|unmatched| !unmatched.given_up)
            .map(|unmatched| unmatched.event.clone())
            .collect()
    }

    pub(super) fn is_given_up(&self, event: &Event) -> bool {
        !self.given_up.is_empty() && self.given_up.contains(&event.to_string())
    }

    /// What the round's unmatched events mean: that it failed, that something is in doubt, or nothing yet. Of those that
    /// waited, the `tried` ones stay only if they are unmatched once more.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where most events are unmatched, or too many wait: then they are
    /// read again.
    pub(super) fn judge(
        &mut self,
        tally: &mut Tally,
        tried: Vec<String>,
        reconciles: bool,
    ) -> Result<()> {
        // Those of the attempts before this one are known by now, and not looked for again.
        self.matched += tally.matched;
        self.has_matched |= tally.matched > 0;
        let known: HashSet<String> = self.unmatched().into_iter().collect();
        let (again, fresh): (Vec<&Event>, Vec<&Event>) =
            (tally.absent.iter()).partition(|event| known.contains(&event.to_string()));
        for event in fresh.iter().take(MAX_LOGGED) {
            log::warn!(
                "contact {} has no transaction {} (yet), which the event list names: it is looked for again",
                text::foreign(event.contact_id()),
                text::foreign(event.key_part())
            );
        }
        let example = tally.example.as_deref().unwrap_or_default();
        let contacts: BTreeSet<&str> = fresh.iter().map(|event| event.contact_id()).collect();
        let count = tally.unmatched.saturating_sub(again.len());
        if contacts.len() >= MANY_CONTACTS && count > self.matched {
            return Err(Error::transient(match self.matched {
                0 => format!(
                    "not one of {count} transactions that the event list names is in the document of its contact, so \
                     nothing is delivered: {example}"
                ),
                matched => format!(
                    "{count} of {} transactions that the event list names are not in the documents of their contacts, so \
                     they are not delivered: {example}",
                    count + matched
                ),
            }));
        }
        let clock = self.client.clock();
        let now = match clock.doubt() {
            None => clock.now(),
            // Nothing of this time may go into the checkpoint.
            Some(_) => (self.checkpoint.poll).unwrap_or(OffsetDateTime::UNIX_EPOCH),
        };
        let given_up = note(&mut self.checkpoint.unmatched, tried, &tally.absent, now)?;
        let persist = again.len().saturating_sub(given_up.len());
        if let Some(first) = given_up.first() {
            log::error!(
                "{} transactions that the event list names were in the documents of their contacts at no time for a day: \
                 they are not looked for any more (the first one: {})",
                given_up.len(),
                text::foreign(first)
            );
        }
        if (reconciles && persist > 0) || (!self.has_matched && count > 0) {
            tally.doubt = Some(Error::transient(format!(
                "{} transactions that the event list names are still not in the documents of their contacts, they are looked \
                 for again: {example}",
                persist + count
            )));
        }
        self.count_given_up += given_up.len();
        self.given_up = those_given_up(&self.checkpoint.unmatched);
        let mut noted = std::mem::take(&mut self.checkpoint.unmatched);
        noted.retain(|unmatched| {
            unmatched.given_up
                || Event::parse(&unmatched.event).is_ok_and(|event| !self.is_known(&event))
        });
        self.checkpoint.unmatched = noted;
        self.matched = 0;
        Ok(())
    }
}

/// The events that are given up.
pub(super) fn those_given_up(unmatched: &[Unmatched]) -> HashSet<String> {
    (unmatched.iter())
        .filter(|unmatched| unmatched.given_up)
        .map(|unmatched| unmatched.event.clone())
        .collect()
}

/// Adds what is `absent` to what waits, of which the `tried` ones stay only if they are absent once more. Returns those that
/// are so for a day: they are given up.
fn note(
    unmatched: &mut Vec<Unmatched>,
    tried: Vec<String>,
    absent: &[Event],
    now: OffsetDateTime,
) -> Result<Vec<String>> {
    let absent: HashSet<String> = absent.iter().map(Event::to_string).collect();
    let mut waiting: Vec<String> = (unmatched.iter())
        .filter(|unmatched| !unmatched.given_up)
        .map(|unmatched| unmatched.event.clone())
        .collect();
    retry_later(&mut waiting, tried, absent.iter().cloned(), MAX_RETRIES)?;
    let since: HashMap<String, OffsetDateTime> = (unmatched.iter())
        .map(|unmatched| (unmatched.event.clone(), unmatched.since))
        .collect();
    unmatched.retain(|unmatched| unmatched.given_up && now - unmatched.since < REMEMBERED);
    let mut given_up = Vec::new();
    for event in waiting {
        // A clock that was ahead for a while must not have it looked for any longer.
        let since = since.get(&event).copied().unwrap_or(now).min(now);
        let is_given_up = now - since >= PATIENCE && absent.contains(&event);
        if is_given_up {
            given_up.push(event.clone());
        }
        unmatched.push(Unmatched {
            event,
            since,
            given_up: is_given_up,
        });
    }
    let surplus = (unmatched
        .iter()
        .filter(|unmatched| unmatched.given_up)
        .count())
    .saturating_sub(MAX_RETRIES);
    let mut forgotten = 0;
    unmatched.retain(|unmatched| {
        let forget = unmatched.given_up && forgotten < surplus;
        forgotten += usize::from(forget);
        !forget
    });
    Ok(given_up)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_transaction_is_looked_for_for_a_day_and_then_remembered_as_given_up() {
        let event = |text: &str| Event::parse(text).unwrap();
        let (a, b) = (
            event("2024-03-05T09:00:00Z1|m|A"),
            event("2024-03-05T09:00:00Z1|m|B"),
        );
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut noted = Vec::new();
        let mut after = |hours, tried: &[&Event], absent: &[&Event]| {
            let tried = tried.iter().map(|event| event.to_string()).collect();
            let absent: Vec<Event> = absent.iter().map(|event| (*event).clone()).collect();
            let given_up = note(&mut noted, tried, &absent, start + Duration::hours(hours));
            let waiting = noted.iter().filter(|noted| !noted.given_up).count();
            (given_up.unwrap(), waiting, noted.len())
        };
        assert_eq!(after(0, &[], &[&a, &b]), (vec![], 2, 2));
        // What is not tried stays, and what is found does not.
        assert_eq!(after(30, &[], &[]), (vec![], 2, 2));
        assert_eq!(after(30, &[&a, &b], &[&a]), (vec![a.to_string()], 0, 1));
        assert_eq!(after(31, &[], &[&b]), (vec![], 1, 2));
        assert_eq!(after(54, &[&b], &[&b]), (vec![], 1, 2));
        assert_eq!(after(95, &[&b], &[]), (vec![], 0, 1));
        assert_eq!(after(96, &[], &[]), (vec![], 0, 0));
    }

    #[test]
    fn more_than_can_wait_is_an_error_and_changes_nothing() {
        let absent: Vec<Event> = (0..=MAX_RETRIES)
            .map(|n| Event::parse(&format!("2024-03-05T09:00:00Z{n}|m|A")).unwrap())
            .collect();
        let mut noted = Vec::new();
        assert!(note(&mut noted, Vec::new(), &absent, OffsetDateTime::UNIX_EPOCH).is_err());
        assert!(noted.is_empty());
    }
}
