//! One pass: lists what is in scope, fetches what has changed, and writes it, batch by batch.
//!
//! The main thread owns the database and all decisions. The listing thread and the fetching threads send it
//! messages through one bounded inbox; it hands out credits and jobs. So memory is bounded by the queue lengths,
//! and nobody can block anybody for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::by_contact::by_contact;
use super::engine::Engine;
use super::fetch::{Answer, IDS_PER_REQUEST, InVain, Job};
use super::list::{Message, Scope, list};
use super::missing::Next;
use super::readings::Readings;
use super::retries::Gathered;
use super::seen::Version;
use super::silence;
use super::windows::call_time;
use crate::error::{Error, Result};
use crate::source::client::{EventQuery, InboundCall, Listed};
use crate::source::event::Event;
use crate::source::json::Document;
use crate::tables::batch::Batch;
use crate::tables::rows::{Remarks, RowMaker, Unread};

/// A batch is written when it holds so many bytes, however few contacts these are.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The next page is listed while fewer contacts than this wait to be fetched: half a megabyte, and for many campaigns it is
/// known early how many there are.
const LOW_WATER: usize = 3_000;

/// After so many contacts a batch is written, however few rows there are: those that don't come have none.
const MAX_ARRIVED: usize = 10_000;

/// How often the main thread looks whether it was told to stop.
const STEP: Duration = Duration::from_millis(100);

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events or list entries looked at.
    pub listed: usize,
    /// Events among them.
    pub events: usize,
    /// Entries of the list of contacts among them.
    pub contacts: usize,
    /// Contacts fetched.
    pub fetched: usize,
    /// Rows written, in the order of the tables.
    pub rows: [usize; 5],
    /// Rows refused by the database.
    pub rejected: usize,
    /// Contacts that the API had no document for.
    pub unanswered: usize,
    /// Those of them that are too many to be asked for again.
    pub given_up: usize,
    /// Contacts that the API failed on, or returned in a form that can't be read.
    pub failing: usize,
    /// What the documents held of transactions.
    pub readings: Readings,
    /// Time of Dialfire's clock at the first answer.
    pub answered: Option<OffsetDateTime>,
}

/// What a pass could not do.
#[derive(Debug, Default)]
pub struct Leftover {
    /// Contacts to try again at the next reconcile: a row was refused, or they could not be fetched.
    pub retry: Gathered,
    /// The same where stored rows stay as they are, as their tables refuse changes.
    pub unmarked: Gathered,
    /// Contacts that Dialfire had no document for, to ask for again at the next reconcile.
    pub absent: Gathered,
    /// Contacts that Dialfire did not return, or not in a form that can be read.
    pub unfetched: Gathered,
    /// Contacts whose documents could not be read as a whole, or lack what the event list names.
    pub unread: Gathered,
}

/// Jobs handed out per fetching thread: enough that none is idle while a batch is written.
const JOBS_PER_WORKER: usize = 3;

/// A contact to fetch, with what is remembered of it once it is stored.
#[derive(Debug, Default)]
struct Wanted {
    id: String,
    /// The events that name it.
    events: Vec<Version>,
    /// The version in which it was listed. It is remembered only if the API has no document for it: else the list
    /// would have it asked for again each hour for ever.
    listed: Option<Version>,
    /// Whether the database had no row of it when it was listed.
    is_new: bool,
}

/// The pass under way.
pub struct Pass<'e> {
    engine: &'e mut Engine,
    /// Which events are listed.
    query: Option<EventQuery>,
    inbox: Receiver<Message>,
    reply: SyncSender<Message>,
    credits: SyncSender<()>,
    /// Whether the listing thread has a credit, and no message has come for it yet.
    listing: bool,
    all_listed: bool,
    todo: VecDeque<Wanted>,
    /// Contacts being fetched, or fetched and not yet committed. They are not fetched a second time before that, so
    /// that an older document never overwrites a newer one.
    in_flight: HashMap<String, Wanted>,
    /// Contacts to fetch once they are no longer in flight.
    deferred: Vec<Wanted>,
    jobs: usize,
    given_up: Arc<AtomicBool>,
    in_vain: Arc<InVain>,
    batch: Batch,
    /// Contacts whose rows are in `batch`, or that have none.
    arrived: Vec<String>,
    /// Ids and versions of the inbound calls in `batch`.
    calls: Vec<(String, Version)>,
    left: Leftover,
    /// Whether rows were kept back, as their table takes none for now.
    kept_back: bool,
    tally: Tally,
}

impl<'e> Pass<'e> {
    /// Runs a pass over the scope, and over the contacts in `again`.
    ///
    /// # Errors
    /// Whatever kept it from being complete; what was committed until then stays. Contacts to try again later are in
    /// `left` even then.
    pub fn run(
        engine: &'e mut Engine,
        scope: Scope,
        again: Vec<String>,
        left: &mut Leftover,
    ) -> Result<Tally> {
        engine.try_closed_tables()?;
        let workers = engine.workers();
        let (reply, inbox) = sync_channel(workers * 2);
        let (credits, credit_inbox) = sync_channel(1);
        let (client, profile, to_main) = (
            engine.client().clone(),
            engine.profile().clone(),
            reply.clone(),
        );
        let query = scope.events.clone();
        thread::Builder::new()
            .name("list".to_owned())
            .spawn(move || list(&client, &scope, &profile, &credit_inbox, &to_main))
            .map_err(|error| Error::transient(format!("cannot start a thread: {error}")))?;
        let batch = Batch::for_schema(engine.layout().schema());
        let in_vain = Arc::new(InVain::new(engine.failures()));
        let mut pass = Pass {
            engine,
            query,
            inbox,
            reply,
            credits,
            listing: false,
            all_listed: false,
            todo: again
                .into_iter()
                .map(|id| Wanted {
                    id,
                    ..Wanted::default()
                })
                .collect(),
            in_flight: HashMap::new(),
            deferred: Vec::new(),
            jobs: 0,
            given_up: Arc::new(AtomicBool::new(false)),
            in_vain,
            batch,
            arrived: Vec::new(),
            calls: Vec::new(),
            left: Leftover::default(),
            kept_back: false,
            tally: Tally::default(),
        };
        let result = pass
            .turn_until_done()
            .and_then(|()| pass.nothing_kept_back());
        pass.given_up.store(true, Ordering::Relaxed);
        pass.engine.missing().end_round();
        *left = std::mem::take(&mut pass.left);
        result.map(|()| pass.tally)
    }

    fn turn_until_done(&mut self) -> Result<()> {
        loop {
            self.dispatch();
            if self.jobs == 0 && self.todo.is_empty() {
                if !self.deferred.is_empty() {
                    // They wait for the commit of what is in the batch.
                    self.flush()?;
                    continue;
                }
                if self.all_listed {
                    return self.flush();
                }
            }
            self.list_more();
            match self.inbox.recv_timeout(STEP) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::stopped()),
            }
            self.engine
                .board
                .borrow_mut()
                .publish_in_between(Instant::now());
            if self.engine.stop_requested() {
                return Err(Error::stopped());
            }
        }
    }

    /// Rows of a table that takes none have to be fetched again.
    fn nothing_kept_back(&self) -> Result<()> {
        if self.kept_back {
            return Err(self.engine.why_kept_back());
        }
        Ok(())
    }

    /// Lets the listing thread go on, where few contacts wait to be fetched.
    fn list_more(&mut self) {
        let waiting = self.todo.len() + self.deferred.len();
        if !self.all_listed && !self.listing && waiting < LOW_WATER {
            self.listing = self.credits.try_send(()).is_ok();
        }
    }

    fn dispatch(&mut self) {
        while self.jobs < self.engine.workers() * JOBS_PER_WORKER && !self.todo.is_empty() {
            let mut ids = Vec::with_capacity(IDS_PER_REQUEST);
            while ids.len() < IDS_PER_REQUEST
                && let Some(wanted) = self.todo.pop_front()
            {
                if self.in_flight.contains_key(&wanted.id) {
                    self.deferred.push(wanted);
                } else {
                    ids.push(wanted.id.clone());
                    self.in_flight.insert(wanted.id.clone(), wanted);
                }
            }
            if !ids.is_empty() {
                self.jobs += 1;
                self.engine.fetch(Job {
                    ids,
                    layout: Arc::clone(self.engine.layout()),
                    stamp: self.engine.stamp(),
                    reply: self.reply.clone(),
                    given_up: Arc::clone(&self.given_up),
                    in_vain: Arc::clone(&self.in_vain),
                });
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Answered(time) => self.tally.answered = Some(time),
            Message::Events(events) => {
                self.listing = false;
                self.take_events(events);
            }
            Message::Listed(contacts) => {
                self.listing = false;
                // The next page comes while the database is asked for this one.
                self.list_more();
                self.take_listed(contacts)?;
            }
            Message::Calls(calls) => {
                self.listing = false;
                self.take_calls(&calls)?;
            }
            Message::AllListed => self.all_listed = true,
            Message::Fetched(answer) => {
                self.jobs -= 1;
                self.take_fetched(*answer)?;
            }
            Message::Failed(error) => {
                // What has arrived need not be fetched again.
                self.flush()?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Events not stored in this version yet: their contacts are fetched.
    fn take_events(&mut self, events: Vec<Event>) {
        self.tally.listed += events.len();
        self.tally.events += events.len();
        if let Some(query) = &self.query {
            let now = self.engine.client().clock().now();
            silence::note(&mut self.engine.checkpoint, query, &events, now);
        }
        let seen = self.engine.seen();
        let unknown = events.into_iter().filter_map(|event| {
            let version = Version::new(
                &["event", event.key_part(), event.contact_id()],
                event.md5(),
            );
            (!seen.contains(version)).then_some((event, version))
        });
        for (id, events) in by_contact(unknown, |(event, _)| event.contact_id()) {
            self.todo.push_back(Wanted {
                id: id.to_string(),
                events: events.into_iter().map(|(_, version)| version).collect(),
                ..Wanted::default()
            });
        }
    }

    /// List entries whose checksum is not that of the database: they are fetched.
    fn take_listed(&mut self, contacts: Vec<Listed>) -> Result<()> {
        self.tally.listed += contacts.len();
        self.tally.contacts += contacts.len();
        let ids: Vec<&str> = contacts.iter().map(|contact| contact.id.as_str()).collect();
        let stored = self.engine.stored(&ids)?;
        for contact in contacts {
            let version = Version::new(
                &["listed", &contact.id],
                contact.md5.as_deref().unwrap_or_default(),
            );
            let row = stored.get(&contact.id);
            let known = contact.md5.is_some() && row == Some(&contact.md5);
            if !known && !self.engine.seen().contains(version) {
                self.todo.push_back(Wanted {
                    id: contact.id,
                    events: Vec::new(),
                    listed: Some(version),
                    is_new: row.is_none(),
                });
            }
        }
        self.show_progress();
        Ok(())
    }

    fn take_calls(&mut self, calls: &[InboundCall]) -> Result<()> {
        self.tally.listed += calls.len();
        let (layout, stamp) = (Arc::clone(self.engine.layout()), self.engine.stamp());
        let filter = Arc::clone(self.engine.filter());
        let maker = RowMaker {
            layout: &layout,
            filter: &filter,
            stamp: &stamp,
        };
        let mut remarks = Remarks::default();
        self.batch.is_new = false;
        for call in calls.iter().map(|call| &call.json) {
            let Some(document) = Document::of(call) else {
                log::warn!("an inbound call is no JSON object, left out");
                continue;
            };
            let document = document.root();
            let id = document.get("id").to_text().unwrap_or_default();
            let version = Version::new(&["call", &id], call.get());
            if self.engine.seen().contains(version) {
                continue;
            }
            if maker.inbound_call(&document, &mut self.batch, &mut remarks) {
                self.calls.push((id.into_owned(), version));
            } else {
                log::warn!("an inbound call without id, left out");
            }
        }
        self.engine.report(&remarks);
        self.flush_if_full()
    }

    fn take_fetched(&mut self, mut answer: Answer) -> Result<()> {
        if self.engine.has_unknown(&answer.remarks.unknown_keys) {
            self.flush()?;
            self.engine.learn(&answer.remarks.unknown_keys)?;
            self.batch = Batch::for_schema(self.engine.layout().schema());
        }
        if answer
            .remarks
            .unknown_keys
            .iter()
            .any(|key| self.engine.has_column(key))
        {
            // The rows were made without a column that exists by now.
            let ids = answer.ids.iter().chain(&answer.postponed);
            self.todo
                .extend(ids.filter_map(|id| self.in_flight.remove(id)));
            return Ok(());
        }
        self.take_readings(&mut answer);
        self.engine.report(&answer.remarks);
        self.tally.fetched += answer.ids.len() - answer.unanswered.len() - answer.failing.len();
        self.tally.unanswered += answer.unanswered.len();
        self.tally.failing += answer.failing.len();
        let now = self.engine.client().clock().now();
        for id in answer
            .ids
            .iter()
            .filter(|id| !answer.unanswered.contains(id))
        {
            self.engine.missing().came(id);
        }
        for id in &answer.unanswered {
            let next = self.engine.missing().ask_again(id, now);
            match next {
                Next::Ask => self.left.absent.add(id),
                Next::Leave => {}
                Next::GiveUp => self.tally.given_up += 1,
            }
            let listed = self.in_flight.get(id).and_then(|wanted| wanted.listed);
            if let Some(version) = listed.filter(|_| next != Next::GiveUp) {
                self.engine.seen().remember(version);
            }
            self.left.unfetched.add(id);
        }
        for id in &answer.failing {
            self.left.unfetched.add(id);
            self.left.retry.add(id);
        }
        answer.batch.is_new = answer
            .ids
            .iter()
            .all(|id| self.in_flight.get(id).is_some_and(|wanted| wanted.is_new));
        self.batch.append(&answer.batch);
        drop(answer.batch);
        drop(answer.held);
        self.todo.extend(
            answer
                .postponed
                .iter()
                .filter_map(|id| self.in_flight.remove(id)),
        );
        self.arrived.extend(answer.ids);
        self.show_progress();
        self.flush_if_full()
    }

    /// What is not all of a contact is fetched again, as is a contact without the transactions that events name.
    fn take_readings(&mut self, answer: &mut Answer) {
        let remarks = &mut answer.remarks;
        let readings = &mut self.tally.readings;
        readings.take_connections(remarks.connections, remarks.connections_left_out);
        for id in &answer.ids {
            if answer.unanswered.contains(id) || answer.failing.contains(id) {
                continue;
            }
            let wanted = self.in_flight.get(id);
            let is_named = wanted.is_some_and(|wanted| !wanted.events.is_empty());
            let has_some = !remarks.without_transactions.contains(id);
            readings.take(is_named, has_some);
            if is_named && !has_some && !remarks.incomplete.iter().any(|odd| odd.id == *id) {
                remarks.incomplete.push(Unread {
                    id: id.clone(),
                    place: "no transaction",
                    what: "the event list names transactions, and its document holds none that can be read".to_owned(),
                });
            }
        }
        for odd in &remarks.incomplete {
            self.left.unread.add(&odd.id);
        }
    }

    /// How many there are is known once all are listed.
    fn show_progress(&mut self) {
        let waiting = self.todo.len() + self.deferred.len();
        let asked_for = self.in_flight.len().saturating_sub(self.arrived.len());
        let total = self
            .all_listed
            .then_some(self.tally.fetched + waiting + asked_for);
        self.engine.show_progress(&self.tally, total);
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.batch.units() >= self.engine.batch_size()
            || self.batch.bytes() >= BATCH_BYTES
            || self.arrived.len() >= MAX_ARRIVED
        {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the batch, and only then remembers what was in it.
    fn flush(&mut self) -> Result<()> {
        let written = self.engine.write(&self.batch)?;
        self.batch.clear();
        for (sum, rows) in self.tally.rows.iter_mut().zip(written.rows) {
            *sum += rows;
        }
        self.tally.rejected += written.rejected;
        for id in &written.incomplete {
            self.left.retry.add(id);
        }
        for id in &written.unmarked {
            self.left.unmarked.add(id);
        }
        self.kept_back |= !written.kept_back.is_empty() || written.calls_kept_back;
        for id in self.arrived.drain(..) {
            let events = self.in_flight.remove(&id).unwrap_or_default().events;
            if !written.kept_back.contains(&id) {
                for version in events {
                    self.engine.seen().remember(version);
                }
            }
        }
        for (id, version) in self.calls.drain(..) {
            match written.refused_calls.iter().find(|(key, _)| *key == id) {
                Some((_, started)) => self
                    .engine
                    .remember_refused_call(Some(call_time(started.as_deref()))),
                None => self.engine.seen().remember(version),
            }
        }
        self.todo.extend(std::mem::take(&mut self.deferred));
        Ok(())
    }
}
