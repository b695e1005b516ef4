//! What becomes of a delivery after an attempt: into the ledger, tried again, or into the spool.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::lane::Job;
use super::{Shared, State, lock};
use crate::destination::webhook::digest;
use crate::destination::webhook::gate::Effect;
use crate::destination::webhook::ledger::Mark;
use crate::destination::webhook::queue::{Content, Delivery};
use crate::destination::webhook::receiver::{Outcome, Verdict};
use crate::destination::webhook::spool::{Entry, Put, day_of};
use crate::error::{Error, Result};
use crate::net::retry::random;
use crate::text;

/// What a power cut may cost: deliveries of this time are repeated.
const BETWEEN_SYNCS: Duration = Duration::from_millis(200);

/// What passes after a sync that failed until a lane tries again.
const AFTER_FAILED_SYNC: Duration = Duration::from_secs(60);

/// A delivery that is given up.
struct Lost {
    delivery: Delivery,
    /// What was delivered of the transaction before.
    before: u32,
    reason: String,
    /// What else the receiver said.
    said: String,
    id: String,
    body: String,
}

impl Shared {
    /// Makes durable what was recorded; whoever comes while another does so waits for it.
    pub(super) fn sync_ledger(&self) -> Result<()> {
        self.sync(&mut lock(&self.synced))
    }

    /// One lane at a time makes durable what all have recorded.
    fn sync_now_and_then(&self) {
        let Ok(mut synced) = self.synced.try_lock() else {
            return;
        };
        if synced.elapsed() >= BETWEEN_SYNCS
            && let Err(error) = self.sync(&mut synced)
        {
            log::error!("{error}");
            // Not to fill the log: the checkpoint waits in any case.
            *synced += AFTER_FAILED_SYNC;
        }
    }

    fn sync(&self, synced: &mut Instant) -> Result<()> {
        *synced = Instant::now();
        let file = lock(&self.ledger).begin_sync()?;
        file.map_or(Ok(()), |file| file.sync_data())
            .map_err(|error| {
                lock(&self.ledger).sync_failed();
                Error::transient(format!(
                    "cannot sync the ledger: {error} (check --state-dir)"
                ))
            })
    }

    /// A delivery is over; the main thread is woken only for what it waits for.
    pub(super) fn done(&self, state: &mut State, delivery: &Delivery) {
        state.queue.done(delivery);
        let has_room = state.wants_room && state.has_room();
        if has_room || state.stopped || !state.queue.is_moving() {
            state.wants_room &= !has_room;
            self.progress.notify_one();
        }
    }

    /// Logged once, as long as it is so.
    pub(super) fn cannot_note(&self, state: &mut State, why: String) {
        if state.unnoted.is_none() {
            log::error!("{why}; nothing is lost: deliveries wait until it can be written");
            state.unnoted = Some(why);
            self.progress.notify_one();
        }
    }

    /// The disk takes what is written.
    pub(super) fn can_note(&self, state: &mut State) {
        if state.unnoted.take().is_some() {
            log::info!("the state directory can be written to again");
        }
    }

    /// First the ledger, then everything else: a kill between them costs a repetition at most.
    pub(super) fn delivered(&self, job: Job) {
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
        state.refusals.remove(&delivery.key);
        state.counts.delivered += 1;
        state.futile_attempts = 0;
        let over = state.gate.delivered(Instant::now());
        self.done(&mut state, &delivery);
        drop(state);
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

    /// Tried again later, or given up.
    pub(super) fn failed(&self, job: Job, outcome: &Outcome, id: String, body: String) {
        let Job {
            mut delivery,
            before,
            probe,
        } = job;
        let reason = match &outcome.verdict {
            Verdict::Delivered => "",
            Verdict::Refused(reason)
            | Verdict::Troubled(reason)
            | Verdict::Busy { reason, .. }
            | Verdict::Unreachable(reason) => reason,
        };
        let name = format!(
            "{} of contact {}",
            text::foreign(&delivery.key_part),
            text::foreign(&delivery.contact_id)
        );
        let (contact, now) = (digest::key(&delivery.contact_id, ""), Instant::now());
        let mut state = lock(&self.state);
        state.counts.failed += 1;
        let outage_before = state.gate.outage().is_some();
        let effect = match (&delivery.content, &outcome.verdict) {
            // That a request of the spool fails again says nothing about the receiver, not even during an outage.
            (Content::Spooled { .. }, Verdict::Refused(_) | Verdict::Troubled(_)) => {
                state.gate.disregard(probe);
                Effect {
                    spent: true,
                    at_gate: false,
                }
            }
            _ => state.gate.failed(
                contact,
                &mut delivery.first_failure,
                &outcome.verdict,
                probe,
                now,
                random(),
            ),
        };
        // What only waits for the gate must not wait ever longer after an outage.
        delivery.tries = delivery.tries.saturating_add(u32::from(!effect.at_gate));
        delivery.spent += u32::from(effect.spent);
        let outage = state.gate.outage().is_some();
        if !effect.spent && !effect.at_gate {
            state.futile_attempts = state.futile_attempts.max(delivery.tries);
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
        self.give_up(Lost {
            delivery,
            before,
            reason: reason.to_owned(),
            said: outcome.said.clone(),
            id,
            body,
        });
        self.work.notify_all();
    }

    /// To the spool, and only then into the ledger: a kill between them costs a repetition at most.
    fn give_up(&self, lost: Lost) {
        let Lost {
            mut delivery,
            reason,
            ..
        } = lost;
        let name = format!(
            "{} of contact {}",
            text::foreign(&delivery.key_part),
            text::foreign(&delivery.contact_id)
        );
        let (mut ledger, mut spool) = (lock(&self.ledger), lock(&self.spool));
        let path = spool.path().display().to_string();
        if matches!(delivery.content, Content::Spooled { .. }) {
            drop((ledger, spool));
            log::error!(
                "transaction {name} still can't be delivered: {reason}; it stays in {path}"
            );
            let mut state = lock(&self.state);
            state.refusals.insert(delivery.key, reason);
            self.done(&mut state, &delivery);
            return;
        }
        let put = spool.put(&Entry {
            time: OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .unwrap_or_default(),
            reason: with_words(&reason, &lost.said),
            id: lost.id,
            contact: delivery.contact_id.to_string(),
            transaction: delivery.key_part.clone(),
            key: delivery.key,
            event: delivery.event,
            content: delivery.version,
            body: lost.body,
        });
        if matches!(put, Ok(Put::Kept)) {
            let mark = Mark {
                event: delivery.event,
                content: lost.before,
            };
            let day = day_of(&delivery.key_part).min((self.today)());
            ledger.record_spooled(delivery.key, mark, day);
            drop((ledger, spool));
            log::error!(
                "transaction {name} could not be delivered in {} attempts: {reason}; it is kept in {path} and tried \
                 again every hour and by --a replay",
                delivery.spent
            );
            let mut state = lock(&self.state);
            state.counts.spooled += 1;
            self.done(&mut state, &delivery);
            return;
        }
        drop((ledger, spool));
        let why = match put {
            Err(error) => error.to_string(),
            Ok(_) => format!("{path} is full (mend the receiver)"),
        };
        log::error!(
            "transaction {name} could not be delivered: {reason}; {why}; it is tried again"
        );
        // The longest wait, again and again.
        delivery.spent = delivery.spent.saturating_sub(1);
        let now = Instant::now();
        let wait = self.retry.wait(self.retry.attempts, None, random());
        let at = now.checked_add(wait).unwrap_or(now);
        let mut state = lock(&self.state);
        state.queue.put_aside(delivery, at);
        // A single round need not wait for it.
        state.futile_attempts = state.futile_attempts.max(self.retry.attempts);
    }
}

fn with_words(reason: &str, said: &str) -> String {
    match said {
        "" => reason.to_owned(),
        said => format!("{reason}: {said}"),
    }
}
