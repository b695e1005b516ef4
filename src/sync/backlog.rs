//! Events that wait until their contacts are fetched: very many at a time, so in little memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;

use super::list::EVENT_PAGES;
use crate::error::{Error, Result};
use crate::source::client::Client;
use crate::source::event::Event;
use crate::source::pages::{PageError, Pages};

/// The most pages that are gathered at the beginning, or while the contacts of those before are fetched. The more events
/// at a time, the fewer contacts are fetched several times; 1000 events take about 130 kB.
const MAX_PAGES: usize = 40;

/// A contact, and the events that name it.
#[derive(Debug)]
pub struct Wanted {
    /// Contact id.
    pub id: Arc<str>,
    /// Not empty, in the order of the list.
    pub events: Vec<Event>,
}

/// What [`gather`] found.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The events that count.
    pub events: Vec<Event>,
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
    for number in 0..MAX_PAGES {
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
        let is_since = |event: &Event| !event.is_before(since);
        gathered
            .events
            .extend(page.items.into_iter().filter(is_since));
        let clock = client.clock();
        gathered
            .answered
            .get_or_insert_with(|| clock.last_answer_time().unwrap_or_else(|| clock.now()));
    }
    Ok(gathered)
}
