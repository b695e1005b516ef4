//! webhook: events → contacts → deliveries, round after round, with the nets of db_sync.

mod begin;
mod standing;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::board::Board;
use super::documents::{Found, Wanted, fetch_all, order_of_events};
use super::list::EVENT_PAGES;
use super::seen::{Seen, Version};
use super::windows::{Due, Nets, after_round, due};
use crate::cli::settings::{FilterMode, Settings};
use crate::dialfire::client::{Client, EventQuery};
use crate::dialfire::event::Event;
use crate::dialfire::pages::{PageError, Pages};
use crate::error::{Error, Result};
use crate::shutdown::Shutdown;
use crate::state::{Checkpoint, MOST_RETRIES, StateFiles};
use crate::tables::filter::Filter;
use crate::webhook::digest;
use crate::webhook::queue::{Content, Delivery};
use crate::webhook::sender::Sender;

pub use begin::{ledger_cutoff, post_lost_again};

/// How often the main thread looks whether it was told to stop.
const STEP: Duration = Duration::from_millis(100);

/// Time that requests under way have after the order to end; the process ends after 4 s in any case.
const LAST_REQUESTS: Duration = Duration::from_millis(2500);

/// How many transactions that can't be found are logged one by one in a round.
const ABSENT_LOGGED: usize = 5;

/// What a [`Courier`] is made of.
pub struct Parts {
    /// What was asked for.
    pub settings: Settings,
    /// The API; it has answered once, so that its clock is known.
    pub client: Client,
    /// The lanes.
    pub sender: Sender,
    /// The state directory.
    pub files: StateFiles,
    /// What was loaded from there.
    pub checkpoint: Checkpoint,
    /// How things stand.
    pub board: Rc<RefCell<Board>>,
    /// The order to end.
    pub shutdown: Shutdown,
}

/// What a round did.
#[derive(Debug, Default)]
struct Tally {
    listed: usize,
    fetched: usize,
    absent: usize,
    unanswered: usize,
    answered: Option<OffsetDateTime>,
    /// Events of contacts that the API fails on.
    failing: Vec<Event>,
}

/// A run of webhook.
pub struct Courier {
    settings: Settings,
    client: Client,
    sender: Sender,
    filter: Arc<Filter>,
    files: StateFiles,
    /// How far the events are read.
    checkpoint: Checkpoint,
    /// Rounds of which something still waits, each with the checkpoint before it: that is what a new start needs.
    open: Vec<(u64, Checkpoint)>,
    /// Versions of transactions that the filter leaves out, or that there is no document for.
    seen: Seen,
    board: Rc<RefCell<Board>>,
    shutdown: Shutdown,
    round: u64,
    pruned: u32,
}

impl Courier {
    /// Posts until told to stop, or one round with `--once`.
    ///
    /// # Errors
    /// [`Stopped`](crate::error::ErrorKind::Stopped) when told to; with `--once` whatever kept the round from being complete.
    pub fn run(&mut self) -> Result<()> {
        let result = self.follow();
        self.sender.stop(LAST_REQUESTS);
        self.client.shut_down();
        if let Err(error) = self.save() {
            log::error!("{error}");
        }
        result
    }

    fn follow(&mut self) -> Result<()> {
        let nets = Nets::new(self.settings.overlap, self.settings.reconcile);
        // Each start begins with a reconcile; with --once, where every minute may be a start, only if it is due.
        let mut begin_with = (!self.settings.once).then(|| self.client.clock().now());
        let mut failures = 0;
        loop {
            let begin = Instant::now();
            let now = self.client.clock().now();
            let poll = self.checkpoint.poll.unwrap_or(now);
            let due = due(&self.checkpoint, poll, &nets, now, begin_with);
            let mut tally = Tally::default();
            match self.round(&due, &mut tally) {
                Ok(()) => {
                    failures = 0;
                    begin_with = None;
                    after_round(&mut self.checkpoint, &due, tally.answered.unwrap_or(poll));
                    self.ended(&tally, begin);
                }
                Err(error) => {
                    failures += 1;
                    self.failed(error, failures)?;
                    continue;
                }
            }
            if self.settings.once {
                return Ok(());
            }
            let rest = self.settings.interval.saturating_sub(begin.elapsed());
            if self.shutdown.sleep(rest) {
                return Err(Error::stopped());
            }
        }
    }

    fn round(&mut self, due: &Due, tally: &mut Tally) -> Result<()> {
        self.round += 1;
        self.open.push((self.round, self.checkpoint.clone()));
        let mut gathered = Vec::new();
        let again = self.checkpoint.retry.clone();
        if due.listing.is_some() {
            self.send_spooled()?;
            gathered.extend(again.iter().filter_map(|event| Event::parse(event).ok()));
        }
        let mut pages = self.client.events(&EventQuery {
            from: due.from,
            to: None,
            updates_only: self.filter.mode != FilterMode::All,
            tasks: self.filter.task_prefixes.clone(),
        });
        let client = self.client.clone();
        let (listed, mut at_end) = gather(&mut pages, &client, &mut tally.answered)?;
        gathered.extend(listed);
        loop {
            tally.listed += gathered.len();
            let events = self.with_those_before(std::mem::take(&mut gathered), &tally.failing);
            let wanted = self.wanted(events);
            let mut answered = tally.answered;
            // What comes next is listed meanwhile.
            let (fetched, next) = thread::scope(|scope| {
                let next =
                    (!at_end).then(|| scope.spawn(|| gather(&mut pages, &client, &mut answered)));
                (self.fetch(wanted, tally), next.map(|next| next.join()))
            });
            fetched?;
            (gathered, at_end) = match next {
                None => break,
                Some(Ok(listed)) => listed?,
                Some(Err(_)) => {
                    return Err(Error::transient(
                        "an internal error while events were listed (see the log)",
                    ));
                }
            };
        }
        if due.listing.is_some() {
            self.checkpoint.retry.retain(|event| !again.contains(event));
        }
        self.retry_later(&tally.failing);
        self.wait_until_quiet()
    }

    /// Puts in front of these events what still waits for another try of the contacts that they name: the order stays.
    fn with_those_before(&self, events: Vec<Event>, failing: &[Event]) -> Vec<Event> {
        let retry = &self.checkpoint.retry;
        if retry.is_empty() && failing.is_empty() {
            return events;
        }
        let named: HashSet<&str> = events.iter().map(|e| e.contact_id.as_str()).collect();
        let mut all: Vec<Event> = retry
            .iter()
            .filter_map(|event| Event::parse(event).ok())
            .chain(failing.iter().cloned())
            .filter(|event| named.contains(event.contact_id.as_str()))
            .collect();
        all.extend(events);
        all
    }

    /// The events that need a look, by contact, each contact's in their order.
    fn wanted(&mut self, events: Vec<Event>) -> Vec<Wanted> {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut wanted: Vec<Wanted> = Vec::new();
        for event in events {
            let is_before = |since| event.fired_at.is_some_and(|at| at < since);
            if self.checkpoint.since.is_some_and(is_before) || self.is_known(&event) {
                continue;
            }
            let place = *places
                .entry(event.contact_id.clone())
                .or_insert(wanted.len());
            match wanted.get_mut(place) {
                Some(contact) => contact.events.push(event),
                None => wanted.push(Wanted {
                    id: event.contact_id.clone(),
                    events: vec![event],
                }),
            }
        }
        for contact in &mut wanted {
            contact.events = order_of_events(std::mem::take(&mut contact.events));
        }
        wanted
    }

    fn is_known(&mut self, event: &Event) -> bool {
        let (key, version) = (
            digest::key(&event.contact_id, &event.key_part),
            digest::version(&event.md5),
        );
        if event.md5.is_empty() {
            // Nothing is said of changes: the document has to.
            return self.sender.holds(key, version);
        }
        let recorded = self.sender.ledger().get(key);
        recorded.is_some_and(|mark| mark.event == version)
            || self.seen.contains(seen_version(event))
            || self.sender.holds(key, version)
    }

    fn fetch(&mut self, wanted: Vec<Wanted>, tally: &mut Tally) -> Result<()> {
        let (client, filter) = (self.client.clone(), Arc::clone(&self.filter));
        let (workers, round) = (self.settings.workers, self.round);
        fetch_all(
            &client,
            &filter,
            workers,
            round,
            &wanted,
            STEP,
            |found| match found {
                Some(found) => self.take(found, tally),
                None => self.patience(),
            },
        )
    }

    fn take(&mut self, found: Found, tally: &mut Tally) -> Result<()> {
        for event in &found.absent {
            tally.absent += 1;
            if tally.absent <= ABSENT_LOGGED {
                log::warn!(
                    "contact {} has no transaction {} (yet), which the event list names: it is looked for again",
                    event.contact_id,
                    event.key_part
                );
            }
        }
        let ids: BTreeSet<&str> = found
            .unanswered
            .iter()
            .map(|event| event.contact_id.as_str())
            .collect();
        for id in ids {
            log::warn!(
                "contact {id} was asked for and did not come (deleted, or of another campaign): its transactions can't be \
                 posted"
            );
        }
        for event in found.left_out.iter().chain(&found.unanswered) {
            self.seen.remember(seen_version(event));
        }
        tally.unanswered += found.unanswered.len();
        tally.fetched += found.fetched;
        tally.failing.extend(found.failing);
        self.sender.put(found.deliveries, || self.patience())
    }

    /// Contacts that the API fails on are asked for again at the next reconcile.
    fn retry_later(&mut self, events: &[Event]) {
        let retry = &mut self.checkpoint.retry;
        for event in events {
            let text = format!("{}|{}|{}", event.key_part, event.md5, event.contact_id);
            if !retry.contains(&text) {
                retry.push(text);
            }
        }
        if retry.len() > MOST_RETRIES {
            log::error!(
                "more than {MOST_RETRIES} transactions wait for another try: the rest is forgotten"
            );
            retry.truncate(MOST_RETRIES);
        }
    }

    /// What could not be delivered is tried once more with each reconcile.
    fn send_spooled(&mut self) -> Result<()> {
        let keys = self.sender.spool().keys();
        for key in keys {
            let entry = self.sender.spool().read(key);
            match entry {
                Ok(Some(entry)) if !self.sender.holds(entry.key, entry.event) => {
                    let delivery = Delivery {
                        contact_id: entry.contact.into(),
                        key_part: entry.transaction,
                        key: entry.key,
                        event: entry.event,
                        version: entry.content,
                        content: Content::Spooled {
                            id: entry.id,
                            body: entry.body,
                        },
                        round: self.round,
                        tries: 0,
                        spent: 0,
                        first_failure: None,
                    };
                    self.sender.put(vec![delivery], || self.patience())?;
                }
                Ok(_) => {}
                Err(error) => log::error!("{error}"),
            }
        }
        Ok(())
    }
}

/// The events of the next pages, and whether the list is at its end. `answered` becomes the time of the first answer.
fn gather(
    pages: &mut Pages<Event>,
    client: &Client,
    answered: &mut Option<OffsetDateTime>,
) -> Result<(Vec<Event>, bool)> {
    let mut events = Vec::new();
    for _ in 0..EVENT_PAGES {
        let page = pages.next_page().map_err(|error| match error {
            PageError::Expired(error) => Error::transient(format!(
                "cannot go on listing transaction events, beginning again: {error}"
            )),
            PageError::Failed(error) => error,
        })?;
        let Some(page) = page else {
            return Ok((events, true));
        };
        events.extend(page.items);
        let clock = client.clock();
        answered.get_or_insert_with(|| clock.last_answer_time().unwrap_or_else(|| clock.now()));
    }
    Ok((events, false))
}

fn seen_version(event: &Event) -> Version {
    Version::new(&["event", &event.key_part, &event.contact_id], &event.md5)
}
