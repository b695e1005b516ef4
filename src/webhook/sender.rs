//! The lanes: threads that take deliveries from the queue and post them, as the gate admits.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::gate::{Admission, Gate};
use super::ledger::{Ledger, Mark};
use super::payload;
use super::queue::{Content, Delivery, Queue};
use super::rate::Rate;
use super::receiver::{Receiver, Verdict};
use super::signature::webhook_id;
use super::spool::{Entry, Put, Spool};
use crate::dialfire::json::compact;
use crate::dialfire::retry::{RetryPolicy, random};
use crate::error::{Error, Result};

/// The most that waits to be sent; a single delivery may be larger.
const MOST_BYTES: usize = 32 << 20;
const MOST_DELIVERIES: usize = 4000;

/// What a power cut may cost: deliveries of this time are repeated.
const BETWEEN_SYNCS: Duration = Duration::from_millis(200);

/// How often a thread looks whether something has changed of which nobody tells it.
const STEP: Duration = Duration::from_millis(100);

/// What the lanes work with.
pub struct Options {
    /// Campaign id.
    pub campaign: String,
    /// The web service.
    pub receiver: Receiver,
    /// What was delivered.
    pub ledger: Ledger,
    /// What could not be.
    pub spool: Spool,
    /// Attempts, and the waits between them.
    pub retry: RetryPolicy,
    /// Requests per second.
    pub rate: Option<Rate>,
    /// Days since 1970, for the ledger.
    pub today: Box<dyn Fn() -> u32 + Send + Sync>,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were answered 200 to 299.
    pub delivered: u64,
    /// Transactions that went to the spool.
    pub spooled: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Something is being sent, or waits for nothing but the gate.
    pub moving: bool,
    /// Deliveries that wait or are being sent.
    pub waiting: usize,
    /// Why the receiver counts as down.
    pub outage: Option<String>,
    /// Ten attempts showed that nothing can be delivered now.
    pub hopeless: bool,
    /// Counts since the start.
    pub counts: Counts,
}

struct State {
    queue: Queue,
    gate: Gate,
    counts: Counts,
    /// Most attempts of a delivery that count for nothing, since the last success.
    vain: u32,
    stopped: bool,
}

struct Shared {
    campaign: String,
    receiver: Receiver,
    retry: RetryPolicy,
    today: Box<dyn Fn() -> u32 + Send + Sync>,
    ledger: Mutex<Ledger>,
    spool: Mutex<Spool>,
    state: Mutex<State>,
    synced: Mutex<Instant>,
    /// Tells a lane that there may be something to do.
    work: Condvar,
    /// Tells the main thread that something is done.
    progress: Condvar,
}

/// The lanes and what they share. They end when this is dropped.
pub struct Sender {
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sleep<'a>(
    until: &Condvar,
    state: MutexGuard<'a, State>,
    time: Duration,
) -> MutexGuard<'a, State> {
    // Not for ever: the system's clock may not know so long a time.
    let time = time.min(Duration::from_secs(60));
    until
        .wait_timeout(state, time)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}

impl Sender {
    /// Starts so many lanes.
    ///
    /// # Errors
    /// [`Setup`](crate::error::ErrorKind::Setup) where the system refuses a thread.
    pub fn start(lanes: usize, options: Options) -> Result<Sender> {
        let shared = Arc::new(Shared {
            campaign: options.campaign,
            receiver: options.receiver,
            today: options.today,
            ledger: Mutex::new(options.ledger),
            spool: Mutex::new(options.spool),
            state: Mutex::new(State {
                queue: Queue::default(),
                gate: Gate::new(options.rate, options.retry.first_wait),
                counts: Counts::default(),
                vain: 0,
                stopped: false,
            }),
            synced: Mutex::new(Instant::now()),
            work: Condvar::new(),
            progress: Condvar::new(),
            retry: options.retry,
        });
        for number in 0..lanes {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("lane-{number}"))
                .spawn(move || shared.run())
                .map_err(|error| {
                    Error::setup(format!(
                        "cannot start {lanes} threads: {error} (choose a smaller --workers)"
                    ))
                })?;
        }
        Ok(Sender { shared })
    }

    /// Hands over a delivery; waits for room, for which `wait` is asked again and again.
    ///
    /// # Errors
    /// That of `wait`.
    pub fn put(&self, delivery: Delivery, mut wait: impl FnMut() -> Result<()>) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let mut room = (MOST_BYTES, MOST_DELIVERIES);
        while state.queue.bytes() >= room.0 || state.queue.len() >= room.1 {
            // Once it is full, not to be woken for each single place.
            room = (MOST_BYTES / 4 * 3, MOST_DELIVERIES / 4 * 3);
            drop(state);
            wait()?;
            state = sleep(&self.shared.progress, lock(&self.shared.state), STEP);
        }
        state.queue.put(delivery);
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Whether this version of a transaction is on its way.
    pub fn holds(&self, key: u64, event: u32) -> bool {
        lock(&self.shared.state).queue.holds(key, event)
    }

    /// The ledger, for as long as the guard lives.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.shared.ledger)
    }

    /// The spool, for as long as the guard lives. Whoever wants both takes the ledger first.
    pub fn spool(&self) -> MutexGuard<'_, Spool> {
        lock(&self.shared.spool)
    }

    /// Makes what is in the ledger durable.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient): then the checkpoint must not move.
    pub fn sync_ledger(&self) -> Result<()> {
        self.shared.sync_ledger()
    }

    /// How things stand, after waiting for a change for at most this time.
    pub fn rest(&self, time: Duration) -> Standing {
        let state = sleep(&self.shared.progress, lock(&self.shared.state), time);
        self.standing_of(&state)
    }

    /// Rounds of which something waits or is being sent.
    pub fn open_rounds(&self) -> BTreeSet<u64> {
        lock(&self.shared.state).queue.open_rounds()
    }

    /// How things stand.
    pub fn standing(&self) -> Standing {
        self.standing_of(&lock(&self.shared.state))
    }

    fn standing_of(&self, state: &State) -> Standing {
        let attempts = self.shared.retry.attempts;
        let outage = state.gate.outage();
        Standing {
            moving: state.queue.is_moving(),
            waiting: state.queue.len(),
            hopeless: outage.is_some_and(|(_, probes)| probes >= attempts)
                || state.gate.pauses() >= attempts
                || state.vain >= attempts,
            outage: outage.map(|(reason, _)| reason.to_owned()),
            counts: state.counts,
        }
    }

    /// Lets no further request begin, waits for those under way at most this time, then breaks them off.
    pub fn stop(&self, time: Duration) {
        let begin = Instant::now();
        let mut state = lock(&self.shared.state);
        state.stopped = true;
        self.shared.work.notify_all();
        while state.queue.is_busy() && begin.elapsed() < time {
            state = sleep(&self.shared.progress, state, STEP);
        }
        drop(state);
        self.shared.receiver.shut_down();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.work.notify_all();
    }
}

/// A delivery that may be sent now.
struct Job {
    delivery: Delivery,
    /// What was delivered of this transaction before.
    before: u32,
    probe: bool,
}

impl Shared {
    fn run(&self) {
        while let Some(job) = self.next() {
            let (id, body) = self.request(&job);
            let timestamp = OffsetDateTime::now_utc().unix_timestamp();
            // A lane that died would hold its contact for ever.
            let post = AssertUnwindSafe(|| self.receiver.post(&id, timestamp, &body));
            let verdict = catch_unwind(post).unwrap_or_else(|_| {
                Verdict::Troubled("an internal error (see the log)".to_owned())
            });
            match verdict {
                Verdict::Delivered => self.delivered(job),
                verdict => self.failed(job, &verdict, id, body),
            }
        }
    }

    /// Waits for a delivery that may be sent; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            let now = Instant::now();
            let waking = state.queue.wake(now);
            if !state.queue.is_ready() {
                let wait = waking.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
                state = sleep(&self.work, state, wait);
                continue;
            }
            match state.gate.admit(now) {
                Admission::Go { probe } => {
                    let Some(delivery) = state.queue.take() else {
                        continue;
                    };
                    match self.still_wanted(&delivery) {
                        Some(before) => {
                            return Some(Job {
                                delivery,
                                before,
                                probe,
                            });
                        }
                        None => {
                            state.gate.not_made(probe);
                            state.queue.done(&delivery);
                            self.progress.notify_one();
                        }
                    }
                }
                Admission::Wait(wait) => {
                    // Whoever else rests may have to be woken before.
                    let waking =
                        waking.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
                    state = sleep(&self.work, state, wait.min(waking));
                }
            }
        }
    }

    /// What was delivered of the transaction before; `None` if this version of it was, or is out of date.
    fn still_wanted(&self, delivery: &Delivery) -> Option<u32> {
        let mut ledger = lock(&self.ledger);
        let known = ledger.get(delivery.key);
        let before = known.map_or(0, |known| known.content);
        let out_of_date = matches!(delivery.content, Content::Spooled { .. })
            && known.is_some_and(|known| known.event != delivery.event);
        if before != delivery.version && !out_of_date {
            return Some(before);
        }
        if out_of_date {
            lock(&self.spool).forget_version(delivery.key, delivery.event);
        } else {
            // The event list names a new version in which nothing is new.
            let mark = Mark {
                event: delivery.event,
                content: before,
            };
            ledger.record(delivery.key, mark, (self.today)());
        }
        None
    }

    /// Id and body of the request.
    fn request(&self, job: &Job) -> (String, String) {
        let delivery = &job.delivery;
        match &delivery.content {
            Content::Spooled { id, body } => (id.clone(), body.clone()),
            Content::Version {
                contact,
                transaction,
            } => {
                let state = if job.before == 0 { "new" } else { "updated" };
                let id = webhook_id(
                    &self.campaign,
                    &delivery.contact_id,
                    &delivery.key_part,
                    job.before,
                    &compact(transaction),
                );
                (id, payload::body(contact, transaction, state))
            }
        }
    }

    fn sync_ledger(&self) -> Result<()> {
        let file = lock(&self.ledger).begin_sync()?;
        file.map_or(Ok(()), |file| file.sync_data())
            .map_err(|error| Error::transient(format!("cannot sync the ledger: {error}")))
    }

    /// One lane at a time makes durable what all have recorded.
    fn sync_now_and_then(&self) {
        {
            let mut synced = lock(&self.synced);
            if synced.elapsed() < BETWEEN_SYNCS {
                return;
            }
            *synced = Instant::now();
        }
        if let Err(error) = self.sync_ledger() {
            log::error!("{error}");
        }
    }

    /// First the ledger, then everything else: a kill between them costs a repetition at most.
    fn delivered(&self, job: Job) {
        let delivery = job.delivery;
        let mark = Mark {
            event: delivery.event,
            content: delivery.version,
        };
        let mut ledger = lock(&self.ledger);
        ledger.record(delivery.key, mark, (self.today)());
        drop(ledger);
        lock(&self.spool).forget(delivery.key);
        let mut state = lock(&self.state);
        state.counts.delivered += 1;
        state.vain = 0;
        let over = state.gate.delivered(Instant::now());
        state.queue.done(&delivery);
        drop(state);
        self.progress.notify_one();
        if let Some(time) = over {
            self.work.notify_all();
            log::info!(
                "{} takes requests again, after {:.1} s",
                self.receiver.display(),
                time.as_secs_f64()
            );
        }
        self.sync_now_and_then();
    }

    fn failed(&self, job: Job, verdict: &Verdict, id: String, body: String) {
        let Job {
            mut delivery,
            before,
            probe,
        } = job;
        let reason = match verdict {
            Verdict::Delivered => "",
            Verdict::Refused(reason)
            | Verdict::Troubled(reason)
            | Verdict::Busy { reason, .. }
            | Verdict::Unreachable(reason) => reason,
        };
        let name = format!("{} of contact {}", delivery.key_part, delivery.contact_id);
        let (contact, now) = (super::digest::key(&delivery.contact_id, ""), Instant::now());
        let mut state = lock(&self.state);
        state.counts.failed += 1;
        let outage_before = state.gate.outage().is_some();
        let effect = state.gate.failed(
            contact,
            &mut delivery.first_failure,
            verdict,
            probe,
            now,
            random(),
        );
        // What only waits for the gate must not wait ever longer after an outage.
        delivery.tries = delivery.tries.saturating_add(u32::from(!effect.at_gate));
        delivery.spent += u32::from(effect.spent);
        let outage = state.gate.outage().is_some();
        if !effect.spent && !effect.at_gate {
            state.vain = state.vain.max(delivery.tries);
        }
        // One of the spool has had its ten attempts.
        let attempts = match delivery.content {
            Content::Version { .. } => self.retry.attempts,
            Content::Spooled { .. } => 1,
        };
        let gives_up = effect.spent && delivery.spent >= attempts;
        let wait = self.retry.wait(delivery.tries, None, random());
        if !gives_up {
            if effect.at_gate {
                state.queue.put_back(delivery);
            } else {
                let at = now.checked_add(wait).unwrap_or(now);
                state.queue.put_aside(delivery, at);
            }
            drop(state);
            self.work.notify_all();
            match (outage_before, outage) {
                (false, true) => log::error!(
                    "{} takes nothing: {reason}; all deliveries wait, one at a time is tried, and nothing is given up",
                    self.receiver.display()
                ),
                (true, true) => log::warn!("still {}: {reason}", self.receiver.display()),
                _ if effect.at_gate => log::warn!("{name}: {reason}; all deliveries wait"),
                _ => log::warn!(
                    "{name}: {reason}; next attempt in {:.1} s",
                    wait.as_secs_f64()
                ),
            }
            return;
        }
        drop(state);
        self.give_up(delivery, before, reason, id, body);
        self.work.notify_all();
        self.progress.notify_one();
    }

    /// To the spool, and only then into the ledger: a kill between them costs a repetition at most.
    fn give_up(&self, mut delivery: Delivery, before: u32, reason: &str, id: String, body: String) {
        let (mut ledger, mut spool) = (lock(&self.ledger), lock(&self.spool));
        let name = format!("{} of contact {}", delivery.key_part, delivery.contact_id);
        if matches!(delivery.content, Content::Spooled { .. }) {
            log::error!(
                "transaction {name} still can't be delivered: {reason}; it stays in {}",
                spool.path().display()
            );
            drop((ledger, spool));
            lock(&self.state).queue.done(&delivery);
            return;
        }
        let entry = Entry {
            time: OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .unwrap_or_default(),
            reason: reason.to_owned(),
            id,
            contact: delivery.contact_id.to_string(),
            transaction: delivery.key_part.clone(),
            key: delivery.key,
            event: delivery.event,
            content: delivery.version,
            body,
        };
        let put = spool.put(&entry);
        match put {
            Ok(Put::Kept) => {
                log::error!(
                    "transaction {name} could not be delivered in {} attempts: {reason}; it is kept in {} and tried again \
                     every hour and by --a replay",
                    delivery.spent,
                    spool.path().display()
                );
                let mark = Mark {
                    event: delivery.event,
                    content: before,
                };
                ledger.record(delivery.key, mark, (self.today)());
                drop((ledger, spool));
                let mut state = lock(&self.state);
                state.counts.spooled += 1;
                state.queue.done(&delivery);
            }
            other => {
                let why = match other {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("{} is full (mend the receiver)", spool.path().display()),
                };
                drop((ledger, spool));
                log::error!(
                    "transaction {name} could not be delivered: {reason}; {why}; it is tried again"
                );
                // The longest wait, again and again.
                delivery.spent = delivery.spent.saturating_sub(1);
                let now = Instant::now();
                let wait = self.retry.wait(self.retry.attempts, None, random());
                let at = now.checked_add(wait).unwrap_or(now);
                lock(&self.state).queue.put_aside(delivery, at);
            }
        }
    }
}

/// Days since 1970.
pub fn day(time: OffsetDateTime) -> u32 {
    u32::try_from(time.unix_timestamp().div_euclid(86_400)).unwrap_or(0)
}
