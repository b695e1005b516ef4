//! webhook: events → contacts → deliveries, round after round, with the nets of db_sync.

mod again;
mod begin;
mod standing;
mod unmatched;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::backlog::{Wanted, gather};
use super::board::Board;
use super::by_contact::by_contact;
use super::closing::{Closing, few_came, left_out};
use super::documents::{Found, fetch_all};
use super::engine::Attendance;
use super::fetch::Failures;
use super::missing::{Missing, Next};
use super::retries::{Gathered, retry_later};
use super::seen::{Seen, Version};
use super::silence::{self, contradiction, not_for_a_day};
use super::windows::{Due, Nets, after_round, back_from_the_future, due};
use crate::cli::settings::Settings;
use crate::destination::webhook::digest;
use crate::destination::webhook::sender::Sender;
use crate::error::{Error, Result};
use crate::shutdown::Shutdown;
use crate::source::client::{Client, EventQuery};
use crate::source::event::Event;
use crate::state::{Checkpoint, MAX_RETRIES, StateFiles};
use crate::tables::filter::Filter;
use crate::tables::filter::FilterMode;

pub(super) use unmatched::MANY_CONTACTS;

pub use begin::{ledger_cutoff, post_lost_again};

/// How often the main thread looks whether it was told to stop.
const STEP: Duration = Duration::from_millis(100);

/// What a [`WebhookRun`] is made of.
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
    /// Number of events that no transaction in the document of their contact matches.
    unmatched: usize,
    /// They, but no more than can wait and one.
    absent: Vec<Event>,
    /// One of them.
    example: Option<String>,
    /// Why the round does not count as a success, although all went on.
    doubt: Option<Error>,
    /// Events whose transactions were found.
    matched: usize,
    unanswered: usize,
    answered: Option<OffsetDateTime>,
    /// Events of contacts that the API fails on: to be looked at again with the next reconcile.
    failing: Gathered,
    /// Events of contacts that did not come: the same.
    gone: Gathered,
    /// Contacts that did not come, those that did not come before, and those that are not asked for again.
    attendance: Attendance,
    /// Why an event list without any entry is not believed.
    silent: Option<String>,
}

/// A run of webhook.
pub struct WebhookRun {
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
    missing: Missing,
    board: Rc<RefCell<Board>>,
    shutdown: Shutdown,
    round: u64,
    /// Whether the transaction of any event was ever found.
    has_matched: bool,
    /// Events whose transactions were found since the last complete round.
    matched: usize,
    /// Events whose transactions are not looked for any more.
    given_up: HashSet<String>,
    /// How many of them were given up in this run.
    count_given_up: usize,
    /// Why the event list of the last round is not believed.
    silent: Option<String>,
    /// What the last round listed, and what came of it.
    attendance: Attendance,
    failures: Failures,
    pruned: u32,
}

impl WebhookRun {
    /// Posts until told to stop, or one round with `--once`, of which it returns the exit code.
    ///
    /// # Errors
    /// [`Stopped`](crate::error::ErrorKind::Stopped) when told to.
    pub fn run(&mut self) -> Result<u8> {
        let begin = Instant::now();
        let mut result = self.follow();
        self.sender.stop();
        self.client.shut_down();
        if let Err(error) = self.save() {
            log::error!("{error}");
            if self.settings.once {
                result = result.and(Err(error));
            }
        }
        if self.settings.once {
            return Ok(self.end(begin, result));
        }
        result.map(|()| 0)
    }

    /// The closing line of `--once`.
    fn end(&self, begin: Instant, done: Result<()>) -> u8 {
        let deliveries = self.deliveries();
        let mut missing = Vec::new();
        if deliveries.undelivered > 0 {
            missing.push(format!(
                "{} requests are undelivered, see {} (--a replay sends them again)",
                deliveries.undelivered,
                self.sender.spool().path().display()
            ));
        }
        let waiting = self.unmatched().len();
        if waiting > 0 {
            missing.push(format!(
                "{waiting} transactions that the event list names are not in the documents of their contacts (they are \
                 looked for again for a day)"
            ));
        }
        if self.count_given_up > 0 {
            missing.push(format!(
                "{} transactions were in the documents of their contacts at no time for a day, and are not looked for any more",
                self.count_given_up
            ));
        }
        let failing = self.checkpoint.retry.len();
        if failing > 0 {
            missing.push(format!(
                "{failing} transactions wait, as their contacts could not be fetched (they are asked for again)"
            ));
        }
        let mut remarks = Vec::new();
        let gone = self.checkpoint.absent.len();
        if gone > 0 {
            let text = format!(
                "Dialfire returned no document for the contacts of {gone} transactions that the event list names"
            );
            match few_came(self.attendance) {
                true => missing.push(format!(
                    "{text}, and for no more than {} of those that this run asked for",
                    self.attendance.came
                )),
                false => remarks.push(format!("{text}: deleted, as a rule")),
            }
        }
        missing.extend(self.silent.clone());
        if done.is_ok() {
            remarks.extend(self.attendance.lists.remark());
        }
        Closing {
            mode: "webhook",
            counts: deliveries.to_string(),
            remarks,
            missing,
            unusable: left_out(self.client.traffic().skipped),
            time: begin.elapsed(),
        }
        .end(done, Some(&self.board))
    }

    fn follow(&mut self) -> Result<()> {
        let nets = Nets::new(self.settings.overlap, self.settings.reconcile);
        // Each start begins with a reconcile; with --once, where every minute may be a start, only if it is due.
        let mut begin_with = (!self.settings.once).then(|| self.client.clock().now());
        let mut failures = 0;
        loop {
            let begin = Instant::now();
            let now = self.client.clock().now();
            if self.client.clock().doubt().is_none() {
                back_from_the_future(&mut self.checkpoint, &nets, now);
            }
            let poll = self.checkpoint.poll.unwrap_or(now);
            let due = due(&self.checkpoint, poll, &nets, now, begin_with);
            let mut tally = Tally::default();
            match self.round(&due, &mut tally) {
                Ok(()) => {
                    failures = 0;
                    begin_with = None;
                    let doubts = self.board.borrow_mut().doubts(self.client.clock());
                    if !doubts && tally.silent.is_none() {
                        after_round(&mut self.checkpoint, &due, tally.answered.unwrap_or(poll));
                    }
                    self.ended(&tally, begin)?;
                    self.attendance = tally.attendance;
                    self.silent = tally.silent;
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
        let (mut again, mut unmatched) = (Vec::new(), Vec::new());
        let mut before = Vec::new();
        if due.listing.is_some() {
            self.send_spooled()?;
            again.clone_from(&self.checkpoint.retry);
            again.extend(self.checkpoint.absent.iter().cloned());
            unmatched = self.unmatched();
            let both = again.iter().chain(&unmatched);
            before.extend(both.filter_map(|event| Event::parse(event).ok()));
        }
        let query = EventQuery {
            from: due.from,
            to: None,
            updates_only: self.filter.mode != FilterMode::All,
            tasks: self.filter.task_prefixes.clone(),
        };
        let mut pages = self.client.events(&query);
        let (client, since) = (self.client.clone(), self.checkpoint.since);
        // A long backlog begins with many events as well: nobody waits for its first ones.
        let needed = AtomicBool::new(false);
        let mut gathered = gather(&mut pages, &client, since, &needed)?;
        tally.answered = gathered.answered;
        loop {
            tally.listed += gathered.looked_at;
            let now = self.client.clock().now();
            silence::note(&mut self.checkpoint, &query, &gathered.events, now);
            before.append(&mut self.earlier_retries(&gathered.events, tally));
            before.retain(|event| !event.is_before(since));
            let wanted = self.wanted(before.drain(..).chain(gathered.events));
            needed.store(false, Ordering::Relaxed);
            // What comes next is listed meanwhile.
            let (fetched, next) = thread::scope(|scope| {
                let next = (!gathered.at_end)
                    .then(|| scope.spawn(|| gather(&mut pages, &client, since, &needed)));
                let fetched = self.fetch(&wanted, tally);
                needed.store(true, Ordering::Relaxed);
                (fetched, next.map(|next| next.join()))
            });
            fetched?;
            gathered = match next {
                None => break,
                Some(Ok(listed)) => listed?,
                Some(Err(_)) => {
                    return Err(Error::transient(
                        "an internal error while events were listed (see the log)",
                    ));
                }
            };
        }
        self.count_absent(tally);
        let (failing, gone) = (
            std::mem::take(&mut tally.failing),
            std::mem::take(&mut tally.gone),
        );
        let tried = again.clone();
        retry_later(&mut self.checkpoint.retry, tried, failing, MAX_RETRIES)?;
        retry_later(&mut self.checkpoint.absent, again, gone, MAX_RETRIES)?;
        self.look_for_silence(tally, &query);
        self.wait_until_quiet()?;
        self.judge(tally, unmatched, due.listing.is_some())
    }

    /// The events that need a look, by contact.
    fn wanted(&mut self, events: impl Iterator<Item = Event>) -> Vec<Wanted> {
        let unknown = events.filter(|event| !self.is_known(event) && !self.is_given_up(event));
        by_contact(unknown, Event::contact_id)
            .into_iter()
            .map(|(id, events)| Wanted { id, events })
            .collect()
    }

    fn is_known(&mut self, event: &Event) -> bool {
        let (key, version) = (
            digest::key(event.contact_id(), event.key_part()),
            digest::version(event.md5()),
        );
        if event.md5().is_empty() {
            // Nothing is said of changes: the document has to.
            return self.sender.holds(key, version);
        }
        let recorded = self.sender.ledger().get(key);
        recorded.is_some_and(|mark| mark.event == version)
            || self.sender.holds(key, version)
            || self.seen.contains(seen_version(event))
    }

    fn fetch(&mut self, wanted: &[Wanted], tally: &mut Tally) -> Result<()> {
        let (client, filter) = (self.client.clone(), Arc::clone(&self.filter));
        let (workers, round) = (self.settings.workers, self.round);
        let failures = Arc::clone(&self.failures);
        fetch_all(
            &client,
            &filter,
            workers,
            round,
            wanted,
            (STEP, &failures),
            |found| match found {
                Some(found) => self.take(found, tally),
                None => self.patience(),
            },
        )
    }

    fn take(&mut self, found: Found, tally: &mut Tally) -> Result<()> {
        tally.unmatched += found.absent.len();
        let room = (MAX_RETRIES + 1).saturating_sub(tally.absent.len());
        tally.absent.extend(found.absent.iter().take(room).cloned());
        let now = self.client.clock().now();
        let came = (found.left_out.iter().chain(&found.absent)).map(Event::contact_id);
        for id in came.chain(
            found
                .deliveries
                .iter()
                .map(|delivery| &*delivery.contact_id),
        ) {
            self.missing.came(id);
        }
        let absent: BTreeSet<&str> = found.unanswered.iter().map(Event::contact_id).collect();
        tally.attendance.absent += absent.len();
        let mut again = BTreeSet::new();
        for id in absent {
            match self.missing.ask_again(id, now) {
                Next::Ask => {
                    again.insert(id);
                }
                Next::Leave => {}
                Next::GiveUp => tally.attendance.given_up += 1,
            }
        }
        for event in &found.unanswered {
            if again.contains(event.contact_id()) {
                tally.gone.add(&event.to_string());
            } else {
                self.seen.remember(seen_version(event));
            }
        }
        for event in &found.left_out {
            self.seen.remember(seen_version(event));
        }
        tally.matched += found.deliveries.len() + found.left_out.len();
        tally.example = tally.example.take().or(found.example);
        tally.unanswered += found.unanswered.len();
        tally.fetched += found.fetched;
        for event in &found.failing {
            tally.failing.add(&event.to_string());
        }
        self.sender.put(found.deliveries, || self.patience())
    }
}

impl WebhookRun {
    /// What came of the contacts that were asked for.
    fn count_absent(&self, tally: &mut Tally) {
        let contacts = |events: &mut dyn Iterator<Item = &String>| -> HashSet<String> {
            (events.filter_map(|event| Event::parse(event).ok()))
                .map(|event| event.contact_id().to_owned())
                .collect()
        };
        let known = contacts(&mut self.checkpoint.absent.iter());
        let gone = contacts(&mut tally.gone.iter());
        tally.attendance.newly_absent = gone.difference(&known).count();
        tally.attendance.came = tally.fetched;
        tally.attendance.lists.events = Some(tally.listed);
    }

    /// Notes that the event list is without any entry although it must have some.
    fn look_for_silence(&mut self, tally: &mut Tally, query: &EventQuery) {
        let wrong = contradiction(&self.checkpoint, tally.attendance.lists, Some(query), None);
        let now = self.client.clock().now();
        let asked = (tally.attendance.lists, None);
        tally.silent = not_for_a_day(&mut self.checkpoint, wrong, asked, now);
        tally.doubt = tally.silent.as_ref().map(Error::transient);
    }
}

fn seen_version(event: &Event) -> Version {
    let key = ["event", event.key_part(), event.contact_id()];
    Version::new(&key, event.md5())
}
