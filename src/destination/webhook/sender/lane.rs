//! What a lane does: it waits for a delivery that may be sent, and posts it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::{STEP, Shared, State, lock, sleep};
use crate::destination::webhook::gate::Admission;
use crate::destination::webhook::ledger::Mark;
use crate::destination::webhook::payload;
use crate::destination::webhook::queue::{Content, Delivery};
use crate::destination::webhook::receiver::{Outcome, Verdict};
use crate::destination::webhook::signature::webhook_id;
use crate::error::Result;

/// A delivery that may be sent now.
pub(super) struct Job {
    pub(super) delivery: Delivery,
    /// What was delivered of this transaction before.
    pub(super) before: u32,
    /// It is the one attempt that an outage admits.
    pub(super) probe: bool,
}

impl Shared {
    /// Posts until told to end.
    pub(super) fn run(&self) {
        while let Some(job) = self.next() {
            let (id, body) = self.request(&job);
            let timestamp = OffsetDateTime::now_utc().unix_timestamp();
            // A lane that died would hold its contact for ever.
            let post = AssertUnwindSafe(|| self.receiver.post(&id, timestamp, &body));
            let outcome = catch_unwind(post).unwrap_or_else(|_| Outcome {
                verdict: Verdict::Troubled("an internal error (see the log)".to_owned()),
                said: String::new(),
            });
            match outcome.verdict {
                Verdict::Delivered => self.delivered(job),
                _ => self.failed(job, &outcome, id, body),
            }
        }
    }

    /// Waits for a delivery that may be sent; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        while !state.stopped {
            let now = Instant::now();
            let waking = state.queue.wake(now);
            // Whoever rests may have to be woken before.
            let waking = waking.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
            if !state.queue.is_ready() {
                state = self.rest(state, waking);
                continue;
            }
            let probe = match state.gate.admit(now) {
                Admission::Go { probe } => probe,
                Admission::Wait(wait) => {
                    state = self.rest(state, wait.min(waking));
                    continue;
                }
            };
            let Some(delivery) = state.queue.take() else {
                state.gate.disregard(probe);
                continue;
            };
            let could_not_note = state.unnoted.is_some();
            drop(state);
            let before = self.look_up(&delivery);
            if could_not_note && before.is_ok() {
                self.can_note(&mut lock(&self.state));
            }
            if let Ok(Some(before)) = before {
                return Some(Job {
                    delivery,
                    before,
                    probe,
                });
            }
            state = lock(&self.state);
            match before {
                Ok(_) => {
                    state.gate.disregard(probe);
                    self.done(&mut state, &delivery);
                }
                Err(error) => {
                    state.gate.disregard(probe);
                    state.queue.put_back(delivery);
                    self.cannot_note(&mut state, error.to_string());
                    state = self.rest(state, STEP);
                }
            }
        }
        None
    }

    /// Sleeps until there is something to do, at most this time.
    fn rest<'a>(&self, mut state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        state.idle += 1;
        let mut state = sleep(&self.work, state, time);
        state.idle -= 1;
        state
    }

    /// What was delivered of the transaction before; `None` if this version of it was, or is out of date.
    ///
    /// # Errors
    /// Where the ledger can't be written: what is sent must be noted, or a new start would send it again.
    fn look_up(&self, delivery: &Delivery) -> Result<Option<u32>> {
        let mut ledger = lock(&self.ledger);
        ledger.write_out()?;
        let known = ledger.get(delivery.key);
        let before = known.map_or(0, |known| known.content);
        let out_of_date = matches!(delivery.content, Content::Spooled { .. })
            && known.is_some_and(|known| known.event != delivery.event);
        if before != delivery.version && !out_of_date {
            return Ok(Some(before));
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
        Ok(None)
    }

    /// Id and body of the request.
    fn request(&self, job: &Job) -> (String, String) {
        let delivery = &job.delivery;
        match &delivery.content {
            Content::Spooled { id, body } => (id.clone(), body.clone()),
            Content::Version {
                contact,
                transaction,
                digest,
            } => {
                let state = if job.before == 0 { "new" } else { "updated" };
                let id = webhook_id(
                    &self.campaign,
                    &delivery.contact_id,
                    &delivery.key_part,
                    job.before,
                    *digest,
                );
                (id, payload::body(contact, transaction, state))
            }
        }
    }
}
