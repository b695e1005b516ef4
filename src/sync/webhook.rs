//! webhook: events → contacts → deliveries, round after round, with the nets of db_sync.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::board::Board;
use super::database::backoff;
use super::documents::{Found, Wanted, fetch_all, order_of_events};
use super::list::EVENT_PAGES;
use super::seen::{Seen, Version};
use super::windows::{Due, Nets, after_round, due};
use crate::cli::settings::{FilterMode, Settings};
use crate::dialfire::client::{Client, EventQuery};
use crate::dialfire::event::Event;
use crate::dialfire::pages::PageError;
use crate::dialfire::retry::random;
use crate::error::{Error, ErrorKind, Result};
use crate::shutdown::Shutdown;
use crate::state::{Checkpoint, MOST_RETRIES, StateFiles};
use crate::status::Deliveries;
use crate::tables::filter::Filter;
use crate::webhook::digest;
use crate::webhook::queue::{Content, Delivery};
use crate::webhook::sender::{Sender, day};

/// How often the main thread looks whether it was told to stop.
const STEP: Duration = Duration::from_millis(100);

/// Time that requests under way have after the order to end; the process ends after 4 s in any case.
const LAST_REQUESTS: Duration = Duration::from_millis(2500);

/// How many transactions that can't be found are logged one by one in a round.
const ABSENT_LOGGED: usize = 5;

/// The ledger goes back at least so many days behind the checkpoint: the longest net reaches back one.
const SHORTEST_LEDGER: u32 = 2;

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

/// The first day that the ledger has to know: so many days before all that may still be read again.
pub fn ledger_cutoff(checkpoint: &Checkpoint, now: OffsetDateTime, days: u32) -> u32 {
    let earliest = [checkpoint.poll, checkpoint.reconcile]
        .into_iter()
        .flatten()
        .fold(now, OffsetDateTime::min);
    day(earliest).saturating_sub(days.max(SHORTEST_LEDGER))
}

impl Courier {
    /// Makes the checkpoint of a first start, and saves it: what happens from now on must not be missed.
    ///
    /// # Errors
    /// As [`StateFiles::save`].
    pub fn start(parts: Parts, old_client: Option<OffsetDateTime>) -> Result<Courier> {
        let Parts {
            settings,
            client,
            sender,
            files,
            mut checkpoint,
            board,
            shutdown,
        } = parts;
        let clock = client.clock();
        let now = clock.last_answer_time().unwrap_or_else(|| clock.now());
        match (settings.start, checkpoint.poll) {
            (None, None) => {
                // A ledger without a checkpoint: that was lost, and what happened since must not be.
                let lost = sender.ledger().newest_day().and_then(|day| {
                    OffsetDateTime::from_unix_timestamp(i64::from(day) * 86_400).ok()
                });
                let begin = lost.or(old_client).unwrap_or(now);
                log::info!("first start: transactions since {begin} are posted");
                checkpoint.poll = Some(begin);
                // Where it once began is lost as well.
                checkpoint.since = lost.is_none().then_some(begin);
            }
            (Some(start), poll) => {
                // Earlier than ever before: what lies between was never read.
                let earlier = checkpoint.since.is_none_or(|since| start < since);
                if poll.is_none() || earlier {
                    log::info!("transactions since {start} are posted");
                    checkpoint.poll = Some(poll.map_or(start, |poll| poll.min(start)));
                }
                checkpoint.since = Some(start);
            }
            (None, Some(poll)) => log::info!("going on at {poll}"),
        }
        files.save(&checkpoint)?;
        Ok(Courier {
            filter: Arc::new(Filter {
                mode: settings.filter,
                task_prefixes: settings.task_prefixes.clone(),
            }),
            pruned: day(now),
            settings,
            client,
            sender,
            files,
            checkpoint,
            open: Vec::new(),
            seen: Seen::default(),
            board,
            shutdown,
            round: 0,
        })
    }

    /// Posts until told to stop, or one round with `--once`.
    ///
    /// # Errors
    /// [`Stopped`](ErrorKind::Stopped) when told to; with `--once` whatever kept the round from being complete.
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
        let mut at_end = false;
        while !at_end {
            for _ in 0..EVENT_PAGES {
                let page = pages.next_page().map_err(|error| match error {
                    PageError::Expired(error) => Error::transient(format!(
                        "cannot go on listing transaction events, beginning again: {error}"
                    )),
                    PageError::Failed(error) => error,
                })?;
                let Some(page) = page else {
                    at_end = true;
                    break;
                };
                gathered.extend(page.items);
                let clock = self.client.clock();
                tally
                    .answered
                    .get_or_insert_with(|| clock.last_answer_time().unwrap_or_else(|| clock.now()));
                self.patience()?;
            }
            tally.listed += gathered.len();
            let wanted = self.wanted(std::mem::take(&mut gathered));
            self.fetch(wanted, tally)?;
        }
        if due.listing.is_some() {
            self.checkpoint.retry.retain(|event| !again.contains(event));
        }
        self.retry_later(&tally.failing);
        self.wait_until_quiet()
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
        for event in &found.unanswered {
            log::warn!(
                "contact {} was asked for and did not come (deleted, or of another campaign): its transaction {} can't \
                 be posted",
                event.contact_id,
                event.key_part
            );
        }
        for event in found.left_out.iter().chain(&found.unanswered) {
            self.seen.remember(seen_version(event));
        }
        tally.unanswered += found.unanswered.len();
        tally.fetched += found.fetched;
        tally.failing.extend(found.failing);
        for delivery in found.deliveries {
            self.sender.put(delivery, || self.patience())?;
        }
        Ok(())
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
                    self.sender.put(delivery, || self.patience())?;
                }
                Ok(_) => {}
                Err(error) => log::error!("{error}"),
            }
        }
        Ok(())
    }

    /// Waits until nothing moves any more: what remains rests before its next attempt. With `--once` nothing remains.
    fn wait_until_quiet(&self) -> Result<()> {
        let mut standing = self.sender.standing();
        while standing.moving || (self.settings.once && standing.waiting > 0) {
            self.patience()?;
            standing = self.sender.rest(STEP);
        }
        Ok(())
    }

    /// To be asked again and again while waiting for the receiver.
    fn patience(&self) -> Result<()> {
        if self.shutdown.requested() {
            return Err(Error::stopped());
        }
        let standing = self.sender.standing();
        let why = standing
            .outage
            .as_deref()
            .unwrap_or("it asks to wait, or does not answer");
        if self.settings.once && standing.hopeless {
            return Err(Error::transient(format!(
                "the web service takes nothing: {why}; nothing is lost, the next run goes on here"
            )));
        }
        if let Some(reason) = &standing.outage {
            let error = Error::transient(format!("the web service takes nothing: {reason}"));
            let mut board = self.board.borrow_mut();
            let known = board.status.last_error.as_ref();
            if known.is_none_or(|known| known.message != error.to_string()) {
                board.status.webhook = Some(self.deliveries());
                board.trouble(&error);
            }
        }
        Ok(())
    }

    fn deliveries(&self) -> Deliveries {
        let standing = self.sender.standing();
        Deliveries {
            delivered: standing.counts.delivered,
            failed_attempts: standing.counts.failed,
            waiting: standing.waiting,
            undelivered: self.sender.spool().len(),
        }
    }

    /// Saves how far everything is delivered or spooled, once the ledger is on the disk.
    fn save(&mut self) -> Result<()> {
        let rounds = self.sender.open_rounds();
        self.open.retain(|(round, _)| rounds.contains(round));
        self.sender.sync_ledger()?;
        let mut checkpoint = self.checkpoint.clone();
        if let Some((_, before)) = self.open.first() {
            checkpoint = before.clone();
            checkpoint.retry.extend(self.checkpoint.retry.clone());
            checkpoint.retry.sort_unstable();
            checkpoint.retry.dedup();
        }
        self.files.save(&checkpoint)?;
        let today = day(self.client.clock().now());
        if today != self.pruned {
            self.pruned = today;
            let now = self.client.clock().now();
            let cutoff = ledger_cutoff(&checkpoint, now, self.settings.ledger_days);
            self.sender.ledger().prune(cutoff)?;
        }
        self.sender.spool().tidy()
    }

    fn ended(&mut self, tally: &Tally, begin: Instant) {
        if let Err(error) = self.save() {
            log::error!("{error}");
            self.board.borrow_mut().trouble(&error);
        }
        let deliveries = self.deliveries();
        log::info!(
            "webhook: {} events looked at, {} contacts fetched; {} transactions delivered since the start, {} wait, {} \
             undelivered; {:.1} s",
            tally.listed,
            tally.fetched,
            deliveries.delivered,
            deliveries.waiting,
            deliveries.undelivered,
            begin.elapsed().as_secs_f64()
        );
        let lag = self
            .checkpoint
            .poll
            .map(|poll| (self.client.clock().now() - poll).whole_seconds().max(0));
        let mut board = self.board.borrow_mut();
        board.status.rounds += 1;
        board.status.unanswered += u64::try_from(tally.unanswered).unwrap_or(u64::MAX);
        board.status.last_success = Some(OffsetDateTime::now_utc());
        board.status.checkpoint = self.checkpoint.poll;
        board.status.lag_seconds = lag.and_then(|lag| u64::try_from(lag).ok());
        board.status.webhook = Some(deliveries);
        board.publish();
    }

    fn failed(&mut self, error: Error, failures: u32) -> Result<()> {
        let gives_up = self.settings.once
            || matches!(
                error.kind(),
                ErrorKind::Stopped | ErrorKind::Usage | ErrorKind::Locked
            );
        if let Err(error) = self.save() {
            log::error!("{error}");
        }
        if gives_up {
            return Err(error);
        }
        let wait = backoff(self.settings.retry_wait, u32::MAX).wait(failures, None, random());
        log::error!(
            "this round is not complete, what is missing is read again: {error}; next try in {:.1} s",
            wait.as_secs_f64()
        );
        {
            let mut board = self.board.borrow_mut();
            board.status.failed_rounds += 1;
            board.trouble(&error);
        }
        if self.shutdown.sleep(wait) {
            Err(Error::stopped())
        } else {
            Ok(())
        }
    }
}

fn seen_version(event: &Event) -> Version {
    Version::new(&["event", &event.key_part, &event.contact_id], &event.md5)
}
