//! Events that wait until their contacts are fetched: very many at a time, so in little memory.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;

use super::list::EVENT_PAGES;
use crate::dialfire::client::Client;
use crate::dialfire::event::Event;
use crate::dialfire::pages::{PageError, Pages};
use crate::error::{Error, Result};

/// The most pages that are gathered at the beginning, or while the contacts of those before are fetched. The more events at a time, the fewer
/// contacts are fetched several times; 1000 events take about 120 kB.
const MOST_PAGES: usize = 40;

/// An event in its text form, as [`Event::parse`] reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed(Box<str>);

impl Listed {
    /// The event with all its parts.
    pub fn event(&self) -> Option<Event> {
        Event::parse(&self.0).ok()
    }

    /// `fired` and sequence number.
    pub fn key_part(&self) -> &str {
        self.part(0)
    }

    /// Checksum of the transaction; empty where the list has none.
    pub fn md5(&self) -> &str {
        self.part(1)
    }

    /// Contact id.
    pub fn contact_id(&self) -> &str {
        self.part(2)
    }

    fn part(&self, number: usize) -> &str {
        self.0.split('|').nth(number).unwrap_or_default()
    }
}

impl From<&Event> for Listed {
    fn from(event: &Event) -> Listed {
        let (key_part, md5, contact_id) = (&*event.key_part, &*event.md5, &*event.contact_id);
        let mut text = String::with_capacity(key_part.len() + md5.len() + contact_id.len() + 12);
        for part in [key_part, "|", md5, "|", contact_id] {
            text.push_str(part);
        }
        if let Some((entry, transaction)) = event.pointer {
            // A String takes everything.
            let _ = write!(text, "|{entry},{transaction}");
        }
        Listed(text.into())
    }
}

/// A contact, and the events that name it.
#[derive(Debug)]
pub struct Wanted {
    /// Contact id.
    pub id: Arc<str>,
    /// Not empty, in the order of the list.
    pub events: Vec<Listed>,
}

/// What [`gather`] found.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The events that count.
    pub events: Vec<Listed>,
    /// Number of events looked at.
    pub looked_at: usize,
    /// Whether there are no further ones.
    pub at_end: bool,
    /// Time of the first answer.
    pub answered: Option<OffsetDateTime>,
}

/// The events of the next pages without those before `since`: of some pages as soon as they are `needed`, of more until
/// then.
///
/// # Errors
/// As [`Pages::next_page`].
pub fn gather(
    pages: &mut Pages<Event>,
    client: &Client,
    since: Option<OffsetDateTime>,
    needed: &AtomicBool,
) -> Result<Gathered> {
    let mut gathered = Gathered::default();
    for number in 0..MOST_PAGES {
        if number >= EVENT_PAGES && needed.load(Ordering::Relaxed) {
            break;
        }
        let page = pages.next_page().map_err(|error| match error {
            PageError::Expired(error) => Error::transient(format!(
                "cannot go on listing transaction events, beginning again: {error}"
            )),
            PageError::Failed(error) => error,
        })?;
        let Some(page) = page else {
            gathered.at_end = true;
            break;
        };
        gathered.looked_at += page.items.len();
        let is_since = |event: &&Event| !is_before(event, since);
        gathered
            .events
            .extend(page.items.iter().filter(is_since).map(Listed::from));
        let clock = client.clock();
        gathered
            .answered
            .get_or_insert_with(|| clock.last_answer_time().unwrap_or_else(|| clock.now()));
    }
    Ok(gathered)
}

/// Whether an event was fired before this time; one without a time never was.
pub fn is_before(event: &Event, since: Option<OffsetDateTime>) -> bool {
    event
        .fired_at
        .zip(since)
        .is_some_and(|(at, since)| at < since)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_listed_event_is_what_it_was() {
        for text in [
            "2024-03-05T09:15:42.468Z0217|0123456789abcdef|ABCD2345EFGH6789|6,166",
            "2024-03-05T09:15:42.468Z||C",
        ] {
            let event = Event::parse(text).unwrap();
            let listed = Listed::from(&event);
            assert_eq!(listed.event(), Some(event.clone()));
            let parts = [listed.key_part(), listed.md5(), listed.contact_id()];
            assert_eq!(parts, [&event.key_part, &event.md5, &event.contact_id]);
        }
    }
}
