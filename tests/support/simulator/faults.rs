//! Faults: what goes wrong with which request.

use std::collections::VecDeque;

use super::counters::Endpoint;
use super::random::{Dice, pair};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500 with a plain text.
    Error500,
    /// 404 with a plain text, for what is there.
    Error404,
    /// 200 with an empty list, for what is there.
    NoneThere,
    /// 502 with an HTML page.
    Error502,
    /// 429, with this `Retry-After` in seconds or without.
    TooMany(Option<u32>),
    /// Connection reset before anything was answered.
    ResetBefore,
    /// Connection reset in the middle of the body.
    ResetWithin,
    /// Half of the JSON, and a `Content-Length` that says so.
    TruncatedJson,
    /// Half of the JSON under the `Content-Length` of the whole, then the connection ends.
    ShortBody,
    /// 200 with valid JSON of the wrong type.
    WrongType,
    /// 200 with an HTML page.
    Html,
    /// 200 with an empty body.
    Empty,
    /// The right answer, so slowly that only time limits help: one byte per 100 ms.
    SlowDrip,
    /// A body that never ends.
    Endless,
    /// 400 for a request with a cursor (410 under that reading); requests without one are answered as usual.
    ExpiredCursor,
    /// The right answer, after so many milliseconds.
    Delay(u32),
}

impl Fault {
    /// Faults that pass quickly, for tests at a rate.
    pub const QUICK: [Fault; 13] = [
        Fault::Error500,
        Fault::Error502,
        Fault::TooMany(Some(0)),
        Fault::TooMany(Some(1)),
        Fault::TooMany(None),
        Fault::ResetBefore,
        Fault::ResetWithin,
        Fault::TruncatedJson,
        Fault::ShortBody,
        Fault::WrongType,
        Fault::Html,
        Fault::Empty,
        Fault::ExpiredCursor,
    ];
}

/// Faults at a rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Share of the requests that go wrong, 0 to 1.
    pub rate: f64,
    /// What may go wrong; each with the same probability.
    pub kinds: Vec<Fault>,
    /// The endpoints concerned; empty for all.
    pub endpoints: Vec<Endpoint>,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Faults::default()
    }

    /// These faults at this rate, on all endpoints.
    pub fn at_rate(rate: f64, kinds: &[Fault]) -> Self {
        Faults {
            rate,
            kinds: kinds.to_vec(),
            endpoints: Vec::new(),
        }
    }
}

/// A fault that waits for its request.
#[derive(Debug, Clone, Copy)]
struct Scheduled {
    endpoint: Option<Endpoint>,
    fault: Fault,
}

/// Decides what goes wrong; the nth request of an endpoint always meets the same choice.
#[derive(Debug)]
pub struct FaultPlan {
    seed: u64,
    faults: Faults,
    scheduled: VecDeque<Scheduled>,
    seen: [u64; Endpoint::ALL.len()],
    /// Connections are dropped without an answer.
    pub outage: bool,
    /// 403 for everything.
    pub deny: bool,
    /// Seconds by which the `Date` of answers is ahead.
    pub date_ahead: i64,
    /// How many requests went wrong.
    pub happened: u64,
}

impl FaultPlan {
    /// Nothing goes wrong yet.
    pub fn new(seed: u64) -> Self {
        FaultPlan {
            seed,
            faults: Faults::none(),
            scheduled: VecDeque::new(),
            seen: [0; Endpoint::ALL.len()],
            outage: false,
            deny: false,
            date_ahead: 0,
            happened: 0,
        }
    }

    /// Replaces the faults at a rate.
    pub fn set(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// The next `times` requests of this endpoint (or of any) meet this fault.
    pub fn schedule(&mut self, endpoint: Option<Endpoint>, fault: Fault, times: usize) {
        self.scheduled
            .extend(std::iter::repeat_n(Scheduled { endpoint, fault }, times));
    }

    /// Forgets the scheduled faults that still wait.
    pub fn unschedule(&mut self) {
        self.scheduled.clear();
    }

    /// How many scheduled faults still wait.
    pub fn waiting(&self) -> usize {
        self.scheduled.len()
    }

    /// What goes wrong with the next request of this endpoint.
    pub fn next(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let seen = &mut self.seen[endpoint as usize];
        *seen += 1;
        let mut dice = Dice::new(pair(self.seed ^ 0xfa01, *seen * 16 + endpoint as u64));
        let position = self
            .scheduled
            .iter()
            .position(|s| s.endpoint.is_none_or(|e| e == endpoint));
        let scheduled = position
            .and_then(|at| self.scheduled.remove(at))
            .map(|s| s.fault);
        let concerned =
            self.faults.endpoints.is_empty() || self.faults.endpoints.contains(&endpoint);
        let fault = scheduled.or_else(|| {
            (concerned && !self.faults.kinds.is_empty() && dice.chance(self.faults.rate))
                .then(|| dice.pick(&self.faults.kinds))
        });
        self.happened += u64::from(fault.is_some());
        fault
    }
}
