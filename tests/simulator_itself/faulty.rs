//! Faults happen as asked for, and only then.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::http_client::{Reply, get, path, send};
use crate::support::simulator::{Config, Endpoint, Fault, Faults, Simulator};

fn start() -> Simulator {
    Simulator::start(Config {
        contacts: 20,
        seed: 11,
        ..Config::default()
    })
}

fn ask(sim: &Simulator, call: &str) -> std::io::Result<Reply> {
    send(sim, "GET", &path(sim, call), &[], b"")
}

/// The answer to a request that meets this fault.
fn with(sim: &Simulator, fault: Fault) -> std::io::Result<Reply> {
    sim.fail_next(Some(Endpoint::List), fault, 1);
    let reply = ask(sim, "contacts/list");
    assert_eq!(sim.faults_waiting(), 0);
    assert!(
        ask(sim, "contacts/list").unwrap().json()["count"] == 20,
        "it passes"
    );
    reply
}

#[test]
fn each_fault_does_what_it_says() {
    let sim = start();
    let right = get(&sim, "contacts/list").body;
    assert_eq!(with(&sim, Fault::Error500).unwrap().status, 500);
    let page = with(&sim, Fault::Error502).unwrap();
    assert!(page.status == 502 && page.text().contains("<html>"));
    let wait = with(&sim, Fault::TooMany(Some(1))).unwrap();
    assert_eq!((wait.status, wait.header("retry-after")), (429, Some("1")));
    let wait = with(&sim, Fault::TooMany(None)).unwrap();
    assert_eq!((wait.status, wait.header("retry-after")), (429, None));
    assert_eq!(
        with(&sim, Fault::ResetBefore).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(
        with(&sim, Fault::ResetWithin).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(
        with(&sim, Fault::TruncatedJson).unwrap().body,
        right[..right.len() / 2]
    );
    assert_eq!(
        with(&sim, Fault::ShortBody).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    assert_eq!(with(&sim, Fault::WrongType).unwrap().text(), "[1,2,3]");
    sim.fail_next(None, Fault::WrongType, 1);
    assert!(ask(&sim, "fields/list").unwrap().json().is_object());
    let page = with(&sim, Fault::Html).unwrap();
    assert!(page.status == 200 && page.text().contains("<html>"));
    let empty = with(&sim, Fault::Empty).unwrap();
    assert!(empty.status == 200 && empty.body.is_empty());
    assert_eq!(with(&sim, Fault::ExpiredCursor).unwrap().body, right);
    sim.fail_next(None, Fault::ExpiredCursor, 1);
    assert_eq!(
        ask(&sim, "contacts/list?cursor=x").unwrap().text(),
        "cursor expired"
    );
    let begun = Instant::now();
    assert_eq!(with(&sim, Fault::Delay(150)).unwrap().body, right);
    assert!(begun.elapsed() >= Duration::from_millis(150));
    assert_eq!(sim.counters().faults, 15);
}

#[test]
fn endless_and_slow_answers_end_with_the_connection() {
    let sim = start();
    for fault in [Fault::Endless, Fault::SlowDrip] {
        sim.fail_next(None, fault, 1);
        let mut stream = TcpStream::connect(sim.url().trim_start_matches("http://")).unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n",
            path(&sim, "contacts/list"),
            sim.token()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let begun = Instant::now();
        let (wanted, least) = match fault {
            Fault::Endless => (3_000_000, Duration::ZERO),
            _ => (4, Duration::from_millis(300)),
        };
        let mut bytes = vec![0; wanted];
        stream.read_exact(&mut bytes).unwrap();
        assert!(begun.elapsed() >= least);
        assert!(bytes.starts_with(b"HTTP"));
    }
    // Dropping the simulator must not wait for what is still under way.
    sim.fail_next(None, Fault::SlowDrip, 1);
    let mut stream = TcpStream::connect(sim.url().trim_start_matches("http://")).unwrap();
    stream
        .write_all(format!("GET {} HTTP/1.1\r\n\r\n", path(&sim, "contacts/list")).as_bytes())
        .unwrap();
    stream.read_exact(&mut [0]).unwrap();
    drop(sim);
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).is_err() || rest.len() < 100);
}

#[test]
fn faults_come_at_their_rate_and_repeatably() {
    let outcomes = |rate: f64| -> Vec<Option<u16>> {
        let sim = start();
        sim.set_faults(Faults::at_rate(
            rate,
            &[Fault::Error500, Fault::TooMany(None), Fault::ResetBefore],
        ));
        (0..400)
            .map(|_| {
                ask(&sim, "contacts/list?limit=1")
                    .ok()
                    .map(|reply| reply.status)
            })
            .collect()
    };
    let first = outcomes(0.3);
    assert_eq!(first, outcomes(0.3));
    for status in [Some(500), Some(429), None] {
        let count = first.iter().filter(|s| **s == status).count();
        assert!((20..70).contains(&count), "{status:?} {count}");
    }
    assert!(outcomes(0.0).iter().all(|status| *status == Some(200)));
    let sim = start();
    sim.set_faults(Faults {
        endpoints: vec![Endpoint::Fields],
        ..Faults::at_rate(1.0, &[Fault::Error500])
    });
    assert_eq!(ask(&sim, "fields/list").unwrap().status, 500);
    assert_eq!(ask(&sim, "contacts/list").unwrap().status, 200);
}

#[test]
fn outage_and_denial_last_until_they_end() {
    let sim = start();
    sim.outage(true);
    assert!(ask(&sim, "fields/list").is_err() && ask(&sim, "contacts/list").is_err());
    sim.outage(false);
    sim.deny(true);
    assert_eq!(ask(&sim, "fields/list").unwrap().text(), "403 - Forbidden");
    sim.deny(false);
    assert_eq!(ask(&sim, "fields/list").unwrap().status, 200);
}
