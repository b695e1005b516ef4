#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;

const GO: Admission = Admission::Go { probe: false };
const PROBE: Admission = Admission::Go { probe: true };

struct Bench {
    gate: Gate,
    now: Instant,
    /// First failures by contact: one delivery each.
    first: std::collections::HashMap<u64, Option<FirstFailure>>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            gate: Gate::new(None, Duration::from_secs(1)),
            now: Instant::now(),
            first: std::collections::HashMap::new(),
        }
    }

    fn admit(&mut self) -> Admission {
        self.gate.admit(self.now)
    }

    /// Asks for an attempt, which must be admitted, and reports its failure.
    fn fail(&mut self, contact: u64, verdict: &Verdict) -> Effect {
        let Admission::Go { probe } = self.admit() else {
            panic!("not admitted");
        };
        let first = self.first.entry(contact).or_default();
        self.gate
            .failed(contact, first, verdict, probe, self.now, u64::MAX)
    }

    fn succeed(&mut self) -> Option<Duration> {
        assert!(matches!(self.admit(), Admission::Go { .. }));
        self.gate.delivered(self.now)
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn refused() -> Verdict {
    Verdict::Refused("HTTP 400".to_owned())
}

fn troubled() -> Verdict {
    Verdict::Troubled("HTTP 503".to_owned())
}

fn unreachable() -> Verdict {
    Verdict::Unreachable("refused".to_owned())
}

const SPENT: Effect = Effect {
    spent: true,
    at_gate: false,
};
const FREE: Effect = Effect {
    spent: false,
    at_gate: false,
};
const HELD: Effect = Effect {
    spent: false,
    at_gate: true,
};

#[test]
fn a_refusal_counts_at_once_and_stops_nobody() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        assert_eq!(bench.fail(1, &refused()), SPENT);
        assert_eq!(bench.admit(), GO);
    }
    assert_eq!(bench.gate.outage(), None);
}

#[test]
fn a_connection_that_is_refused_is_an_outage_until_a_probe_succeeds() {
    let mut bench = Bench::new();
    assert_eq!(bench.fail(1, &unreachable()), HELD);
    assert_eq!(bench.gate.outage(), Some(("refused", 0)));
    assert_eq!(bench.admit(), Admission::Wait(Duration::from_secs(1)));
    bench.pass(1);
    // One at a time.
    assert_eq!(bench.admit(), PROBE);
    assert_eq!(bench.admit(), Admission::Wait(Duration::MAX));
    let mut first = None;
    let effect = bench
        .gate
        .failed(2, &mut first, &unreachable(), true, bench.now, u64::MAX);
    assert_eq!(effect, HELD);
    assert_eq!(bench.admit(), Admission::Wait(Duration::from_secs(1)));
    bench.pass(1);
    assert_eq!(bench.fail(1, &refused()), HELD);
    assert_eq!(bench.admit(), Admission::Wait(Duration::from_secs(2)));
    bench.pass(2);
    assert_eq!(bench.gate.outage(), Some(("HTTP 400", 2)));
    assert_eq!(bench.succeed(), Some(Duration::from_secs(4)));
    assert_eq!(bench.gate.outage(), None);
    assert_eq!((bench.admit(), bench.admit()), (GO, GO));
}

#[test]
fn the_waits_of_an_outage_end_at_half_a_minute_and_no_attempt_counts() {
    let mut bench = Bench::new();
    bench.fail(1, &unreachable());
    let mut waits = Vec::new();
    for contact in 0..10 {
        let Admission::Wait(wait) = bench.admit() else {
            panic!("not held");
        };
        waits.push(wait.as_secs());
        bench.now += wait;
        assert_eq!(bench.fail(contact, &troubled()), HELD);
    }
    assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 32, 32, 32]);
}

#[test]
fn several_contacts_in_trouble_are_an_outage_and_a_single_one_is_none() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        assert_eq!(bench.fail(1, &troubled()), FREE);
    }
    assert_eq!(bench.fail(2, &troubled()), FREE);
    bench.succeed();
    assert_eq!(bench.fail(3, &troubled()), FREE);
    assert_eq!(bench.fail(4, &troubled()), FREE);
    assert_eq!(bench.fail(5, &troubled()), HELD);
    assert!(bench.gate.outage().is_some());
}

#[test]
fn what_fails_while_others_succeed_spends_its_attempts() {
    let mut bench = Bench::new();
    assert_eq!(bench.fail(1, &troubled()), FREE);
    bench.succeed();
    for _ in 0..20 {
        assert_eq!(bench.fail(1, &troubled()), SPENT);
    }
    assert_eq!(bench.gate.outage(), None);
    // After an outage nothing is known of it any more.
    bench.fail(2, &unreachable());
    bench.pass(1);
    bench.succeed();
    assert_eq!(bench.fail(1, &troubled()), FREE);
    bench.succeed();
    assert_eq!(bench.fail(1, &troubled()), SPENT);
}

#[test]
fn a_receiver_that_refuses_everything_is_an_outage() {
    let mut bench = Bench::new();
    for contact in 0..9 {
        assert_eq!(bench.fail(contact, &refused()), SPENT);
    }
    assert_eq!(bench.fail(9, &refused()), HELD);
    assert_eq!(bench.gate.outage(), Some(("HTTP 400", 0)));
}

#[test]
fn a_busy_receiver_makes_all_wait_and_costs_nothing() {
    let mut bench = Bench::new();
    let busy = |seconds: Option<u64>| Verdict::Busy {
        reason: "HTTP 429".to_owned(),
        wait: seconds.map(Duration::from_secs),
    };
    assert_eq!(bench.fail(1, &busy(Some(30))), HELD);
    // What it asks for, and jitter.
    assert_eq!(bench.admit(), Admission::Wait(Duration::from_secs(31)));
    bench.pass(31);
    assert_eq!(bench.fail(1, &busy(None)), HELD);
    assert_eq!(bench.admit(), Admission::Wait(Duration::from_secs(2)));
    assert_eq!(bench.gate.pauses(), 2);
    bench.pass(2);
    bench.succeed();
    assert_eq!((bench.gate.pauses(), bench.admit()), (0, GO));
    assert_eq!(bench.gate.outage(), None);
}

#[test]
fn a_probe_may_meet_a_busy_receiver_or_not_be_made() {
    let mut bench = Bench::new();
    bench.fail(1, &unreachable());
    bench.pass(1);
    let busy = Verdict::Busy {
        reason: "HTTP 503".to_owned(),
        wait: Some(Duration::from_secs(5)),
    };
    assert_eq!(bench.fail(1, &busy), HELD);
    assert_eq!(bench.admit(), Admission::Wait(Duration::from_secs(6)));
    bench.pass(6);
    assert_eq!(bench.admit(), PROBE);
    bench.gate.disregard(true);
    assert_eq!(bench.admit(), PROBE);
}

#[test]
fn the_rate_counts_for_all() {
    let now = Instant::now();
    let mut gate = Gate::new(Rate::new(Some(2.0), Some(1), now), Duration::from_secs(1));
    assert_eq!(gate.admit(now), GO);
    assert_eq!(gate.admit(now), Admission::Wait(Duration::from_millis(500)));
    assert_eq!(gate.admit(now + Duration::from_millis(500)), GO);
}
