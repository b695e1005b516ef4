//! The lanes: threads that take deliveries from the queue and post them, as the gate admits.

mod lane;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::gate::Gate;
use super::ledger::Ledger;
use super::queue::{Delivery, Queue};
use super::rate::Rate;
use super::receiver::Receiver;
use super::spool::Spool;
use crate::error::{Error, Result};
use crate::net::retry::RetryPolicy;

/// The most that waits to be sent when more is added.
const MAX_BYTES: usize = 8 << 20;
const MAX_DELIVERIES: usize = 1000;

/// How often a thread looks whether something has changed of which nobody tells it.
const STEP: Duration = Duration::from_millis(100);

/// Time that requests under way have after the order to end; the process ends after 4 s in any case.
const LAST_REQUESTS: Duration = Duration::from_millis(2500);

/// Time that the lanes have then to record what was answered.
const LAST_RECORDS: Duration = Duration::from_secs(1);

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
    /// Why nothing can be noted on the disk: until that works nothing further is sent, or given up.
    pub unnoted: Option<String>,
    /// Nothing can be delivered now: ten attempts showed so, or nothing can be noted.
    pub hopeless: bool,
    /// Counts since the start.
    pub counts: Counts,
}

struct State {
    queue: Queue,
    gate: Gate,
    counts: Counts,
    /// Most attempts of a delivery that count for nothing, since the last success.
    futile_attempts: u32,
    /// What can't be written: ledger or spool.
    unnoted: Option<String>,
    /// Why requests of the spool were refused once more, by their keys.
    refusals: BTreeMap<u64, String>,
    /// Lanes that sleep.
    idle: usize,
    /// The main thread waits for room.
    wants_room: bool,
    stopped: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.queue.bytes() >= MAX_BYTES || self.queue.len() >= MAX_DELIVERIES
    }

    /// Once it is full, nobody is to be woken for each single place.
    fn has_room(&self) -> bool {
        self.queue.bytes() < MAX_BYTES / 4 * 3 && self.queue.len() < MAX_DELIVERIES / 4 * 3
    }
}

struct Shared {
    campaign: String,
    receiver: Receiver,
    retry: RetryPolicy,
    today: Box<dyn Fn() -> u32 + Send + Sync>,
    ledger: Mutex<Ledger>,
    spool: Mutex<Spool>,
    state: Mutex<State>,
    /// When the ledger was last made durable; held while that is done.
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
                futile_attempts: 0,
                unnoted: None,
                refusals: BTreeMap::new(),
                idle: 0,
                wants_room: false,
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

    /// Hands over deliveries; waits for room, for which `wait` is asked again and again.
    ///
    /// # Errors
    /// That of `wait`.
    pub fn put(
        &self,
        deliveries: Vec<Delivery>,
        mut wait: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut state = lock(&self.shared.state);
        state.wants_room = state.is_full();
        while state.wants_room {
            drop(state);
            wait()?;
            state = sleep(&self.shared.progress, lock(&self.shared.state), STEP);
            state.wants_room = !state.has_room();
        }
        for delivery in deliveries {
            state.queue.put(delivery);
        }
        if state.idle > 0 {
            self.shared.work.notify_all();
        }
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

    /// Why requests of the spool were refused once more, by their keys.
    pub fn refusals(&self) -> BTreeMap<u64, String> {
        lock(&self.shared.state).refusals.clone()
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
                || state.futile_attempts >= attempts
                || state.unnoted.is_some(),
            unnoted: state.unnoted.clone(),
            outage: outage.map(|(reason, _)| reason.to_owned()),
            counts: state.counts,
        }
    }

    /// Lets no further request begin, waits for those under way, breaks off what takes longer, and lets the lanes record
    /// what was answered until then: it would be posted again otherwise.
    pub fn stop(&self) {
        lock(&self.shared.state).stopped = true;
        self.shared.work.notify_all();
        self.wait_for_lanes(LAST_REQUESTS);
        self.shared.receiver.shut_down();
        self.wait_for_lanes(LAST_RECORDS);
    }

    /// Until no request is under way, at most this time.
    fn wait_for_lanes(&self, time: Duration) {
        let begin = Instant::now();
        let mut state = lock(&self.shared.state);
        while state.queue.is_busy() && begin.elapsed() < time {
            state = sleep(&self.shared.progress, state, STEP);
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.work.notify_all();
    }
}

/// Days since 1970.
pub fn day(time: OffsetDateTime) -> u32 {
    u32::try_from(time.unix_timestamp().div_euclid(86_400)).unwrap_or(0)
}
