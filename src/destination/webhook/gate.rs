//! When the next attempt may be made: rate, pauses that the receiver asks for, and outages.
//!
//! While the receiver is down for everything, attempts would be spent in vain. So an outage begins with the first
//! connection that can't be made, or when several contacts in a row fail and none succeeds; from then on one attempt at a
//! time is made, each for another contact, until one succeeds. Pure: time and chance are passed in.

use std::time::{Duration, Instant};

use super::rate::Rate;
use super::receiver::Verdict;
use crate::net::retry::RetryPolicy;

/// So many contacts in a row that fail by time-outs and the like are an outage.
const TROUBLED_CONTACTS: usize = 3;

/// So many contacts in a row that fail in whatever way are an outage: the receiver then refuses everything.
const FAILED_CONTACTS: usize = 10;

/// How often the waits between attempts double during an outage: from 1 s to 32 s.
const MAX_PROBE_WAIT: u32 = 32;

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes, now.
    Go {
        /// It is the one attempt that an outage admits.
        probe: bool,
    },
    /// Ask again after this time, or when something has changed.
    Wait(Duration),
}

/// When a delivery first failed, to tell later whether others succeeded since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstFailure {
    successes: u64,
    outages: u64,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// It counts as one of the ten attempts.
    pub spent: bool,
    /// The delivery waits for the gate alone, not for a time of its own.
    pub at_gate: bool,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    reason: String,
    probes: u32,
    probing: bool,
    next: Instant,
}

/// The gate of all lanes.
#[derive(Debug)]
pub struct Gate {
    rate: Option<Rate>,
    probe_waits: RetryPolicy,
    paused_until: Option<Instant>,
    /// How often in a row the receiver asked to wait.
    pauses: u32,
    /// Contacts that failed since the last success, and whether by time-outs and the like.
    failed: Vec<(u64, bool)>,
    outage: Option<Outage>,
    successes: u64,
    outages: u64,
}

impl Gate {
    /// An open gate. `first_wait` is the wait before the second attempt (`--retry-wait`).
    pub fn new(rate: Option<Rate>, first_wait: Duration) -> Gate {
        Gate {
            rate,
            probe_waits: RetryPolicy {
                first_wait,
                longest_wait: first_wait.saturating_mul(MAX_PROBE_WAIT),
                ..RetryPolicy::default()
            },
            paused_until: None,
            pauses: 0,
            failed: Vec::new(),
            outage: None,
            successes: 0,
            outages: 0,
        }
    }

    /// Asks for an attempt. One that is admitted must be reported.
    pub fn admit(&mut self, now: Instant) -> Admission {
        let until = |at: Instant| Admission::Wait(at.saturating_duration_since(now));
        if let Some(at) = self.paused_until.filter(|at| *at > now) {
            return until(at);
        }
        match &mut self.outage {
            Some(outage) if outage.probing => return Admission::Wait(Duration::MAX),
            Some(outage) if outage.next > now => return until(outage.next),
            _ => {}
        }
        if let Some(Err(wait)) = self.rate.as_mut().map(|rate| rate.take(now)) {
            return Admission::Wait(wait);
        }
        if let Some(outage) = &mut self.outage {
            outage.probing = true;
        }
        Admission::Go {
            probe: self.outage.is_some(),
        }
    }

    /// The attempt that was admitted is not made, or says nothing about the receiver.
    pub fn disregard(&mut self, probe: bool) {
        if let Some(outage) = self.outage.as_mut().filter(|_| probe) {
            outage.probing = false;
        }
    }

    /// An attempt succeeded. If that ends an outage, returns how long it was.
    pub fn delivered(&mut self, now: Instant) -> Option<Duration> {
        self.successes += 1;
        self.pauses = 0;
        self.failed.clear();
        let over = self.outage.take()?;
        Some(now.saturating_duration_since(over.since))
    }

    /// An attempt for this contact failed. `first` is what this function put there when the delivery first failed.
    pub fn failed(
        &mut self,
        contact: u64,
        first: &mut Option<FirstFailure>,
        verdict: &Verdict,
        probe: bool,
        now: Instant,
        random: u64,
    ) -> Effect {
        let outages = self.outages;
        let earlier = first.filter(|first| first.outages == outages);
        let suspect = earlier.is_some_and(|earlier| self.successes > earlier.successes);
        *first = earlier.or(Some(FirstFailure {
            successes: self.successes,
            outages,
        }));
        let (reason, definite) = match verdict {
            Verdict::Delivered => {
                return Effect {
                    spent: false,
                    at_gate: true,
                };
            }
            Verdict::Refused(reason) => (reason, true),
            Verdict::Troubled(reason) | Verdict::Unreachable(reason) => (reason, false),
            Verdict::Busy { reason, wait } => {
                self.pauses = self.pauses.saturating_add(1);
                let wait = self.probe_waits.wait(self.pauses, *wait, random);
                self.paused_until = self.paused_until.max(now.checked_add(wait));
                if let Some(outage) = self.outage.as_mut().filter(|_| probe) {
                    outage.probing = false;
                    outage.probes = outage.probes.saturating_add(1);
                    outage.next = now;
                    outage.reason.clone_from(reason);
                }
                return Effect {
                    spent: suspect && self.outage.is_none(),
                    at_gate: true,
                };
            }
        };
        if let Some(outage) = &mut self.outage {
            if probe {
                outage.probing = false;
                outage.probes = outage.probes.saturating_add(1);
                let wait = self.probe_waits.wait(outage.probes, None, random);
                outage.next = now.checked_add(wait).unwrap_or(now);
                outage.reason.clone_from(reason);
            }
            return Effect {
                spent: false,
                at_gate: true,
            };
        }
        if !suspect && !self.failed.iter().any(|(known, _)| *known == contact) {
            self.failed.push((contact, !definite));
        }
        let troubled = self.failed.iter().filter(|(_, troubled)| *troubled).count();
        if matches!(verdict, Verdict::Unreachable(_))
            || troubled >= TROUBLED_CONTACTS
            || self.failed.len() >= FAILED_CONTACTS
        {
            self.failed.clear();
            self.outages += 1;
            let wait = self.probe_waits.wait(1, None, random);
            self.outage = Some(Outage {
                since: now,
                reason: reason.clone(),
                probes: 0,
                probing: false,
                next: now.checked_add(wait).unwrap_or(now),
            });
            return Effect {
                spent: false,
                at_gate: true,
            };
        }
        Effect {
            spent: definite || suspect,
            at_gate: false,
        }
    }

    /// Why the receiver counts as down, and how many attempts have shown so since.
    pub fn outage(&self) -> Option<(&str, u32)> {
        self.outage
            .as_ref()
            .map(|outage| (outage.reason.as_str(), outage.probes))
    }

    /// How often in a row the receiver asked to wait.
    pub fn pauses(&self) -> u32 {
        self.pauses
    }
}

#[cfg(test)]
mod tests;
