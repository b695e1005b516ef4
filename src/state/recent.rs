//! The contacts that the event list named last: a later list of the same time that names nobody is no good answer.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::bounded;

/// As many are remembered. All of them may have been deleted since, with their events, but hardly so many between two lists.
pub const MAX_RECENT: usize = 5;

/// An event that is further ahead of Dialfire's clock is written in a zone that is not known.
const AHEAD: Duration = Duration::minutes(5);

/// What is remembered of the event list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recent {
    /// Which events were asked for.
    pub filter: String,
    /// Contacts, each with the time of its newest event in seconds since 1970.
    #[serde(deserialize_with = "bounded::recent")]
    pub contacts: Vec<(String, i64)>,
    /// Since when lists are without any entry, although some are known.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub silent_since: Option<OffsetDateTime>,
    /// That no contact was changed since then is believed until one is listed again.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub empty_since: Option<OffsetDateTime>,
}

impl Recent {
    /// Whether there is nothing to be kept.
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty() && self.silent_since.is_none() && self.empty_since.is_none()
    }

    /// Takes note of events under a filter, each of a contact and a time, that were listed at `now`.
    pub fn note<'e>(
        &mut self,
        filter: &str,
        events: impl Iterator<Item = (&'e str, Option<OffsetDateTime>)>,
        now: OffsetDateTime,
    ) {
        if self.filter != filter {
            filter.clone_into(&mut self.filter);
            self.contacts.clear();
        }
        let latest = now.saturating_add(AHEAD);
        for (contact, fired) in events {
            let Some(fired) = fired else { continue };
            if fired > latest {
                self.contacts.clear();
                return;
            }
            self.take(contact, fired.unix_timestamp());
        }
    }

    fn take(&mut self, contact: &str, fired: i64) {
        if let Some((_, newest)) = self.contacts.iter_mut().find(|(id, _)| id == contact) {
            *newest = fired.max(*newest);
        } else if self.contacts.len() < MAX_RECENT {
            self.contacts.push((contact.to_owned(), fired));
        } else if let Some(oldest) = self.contacts.iter_mut().min_by_key(|(_, newest)| *newest)
            && oldest.1 < fired
        {
            *oldest = (contact.to_owned(), fired);
        }
    }

    /// Whether as many as are remembered have events since then.
    pub fn are_since(&self, filter: &str, since: OffsetDateTime) -> bool {
        let is_since = |(_, newest): &&(String, i64)| *newest > since.unix_timestamp();
        self.filter == filter && self.contacts.iter().filter(is_since).count() >= MAX_RECENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2024-03-05 12:00 UTC);

    fn after(minutes: &[i64]) -> Recent {
        let mut recent = Recent::default();
        let ids: Vec<String> = (0..minutes.len()).map(|n| format!("C{n}")).collect();
        let fired = minutes.iter().map(|n| Some(NOW - Duration::minutes(*n)));
        recent.note("all", ids.iter().map(String::as_str).zip(fired), NOW);
        recent
    }

    #[test]
    fn the_last_contacts_are_remembered_with_their_times() {
        let mut recent = after(&[60, 50, 40, 30, 20, 10]);
        assert_eq!(recent.contacts.len(), MAX_RECENT);
        assert!(recent.are_since("all", NOW - Duration::minutes(51)));
        assert!(!recent.are_since("all", NOW - Duration::minutes(50)));
        assert!(!recent.are_since("others", NOW - Duration::DAY));
        recent.note("all", [("C1", Some(NOW))].into_iter(), NOW);
        assert!(recent.are_since("all", NOW - Duration::minutes(41)));
        assert_eq!(recent.contacts.len(), MAX_RECENT);
        recent.note("others", std::iter::empty(), NOW);
        assert!(recent.is_empty());
    }

    #[test]
    fn few_contacts_and_times_in_the_future_say_nothing() {
        assert!(!after(&[4, 3, 2, 1]).are_since("all", NOW - Duration::DAY));
        assert!(!after(&[5, 4, 3, 2, 1, -6]).are_since("all", NOW - Duration::DAY));
        assert!(after(&[5, 4, 3, 2, 1, -4]).are_since("all", NOW - Duration::DAY));
    }
}
