//! A receiver that is down for everything.

use super::*;
use crate::support::receiver::Reply;

/// A day's outage in the middle of two; `down` begins it, `up` ends it.
fn outage(down: impl Fn(&mut Receiver), up: impl Fn(&mut Receiver)) {
    let sim = Simulator::start(Config {
        readings: by_modified(),
        ..campaign(200)
    });
    let mut receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 2);
    // What a busy machine answers late is no silence.
    let program = program.arg("--webhook-timeout", "3s");
    let mut running = program.start("webhook");
    follow(&sim, &mut running, 12);
    let before = receiver.arrivals().iter().filter(|a| a.accepted).count();
    assert!(before > 20, "{before}");
    down(&mut receiver);
    for _ in 0..24 {
        sim.advance(HOUR);
        std::thread::sleep(Duration::from_millis(100));
    }
    running.wait_until("the outage is told", |status| {
        let message = status["last_error"]["message"].as_str().unwrap_or("");
        message.contains("takes nothing")
    });
    assert!(!running.has_ended());
    assert_eq!(spool(&program), [serde_json::Value::Null; 0]);
    up(&mut receiver);
    // Rounds go by during an outage, too.
    running.wait_until("the outage is over", |status| {
        status["webhook"]["waiting"] == 0
    });
    follow(&sim, &mut running, 12);
    end(running);
    succeed_once(&program);
    assert_eq!(spool(&program), [serde_json::Value::Null; 0]);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    let log = program.log();
    assert!(log.contains("takes nothing") && log.contains("takes requests again"));
    assert!(!log.contains("is kept in"), "{}", tail(&log));
}

#[test]
fn a_day_of_refused_connections_loses_nothing() {
    outage(Receiver::go_down, Receiver::come_back);
}

#[test]
fn a_day_of_answers_503_loses_nothing() {
    outage(
        |receiver| receiver.behave(|_| Reply::status(503)),
        |receiver| receiver.mend(),
    );
}

#[test]
fn a_day_of_silence_loses_nothing() {
    outage(
        |receiver| receiver.behave(|_| Reply::Silence(Duration::from_secs(6))),
        |receiver| receiver.mend(),
    );
}

#[test]
fn a_day_of_refusing_everything_loses_nothing() {
    outage(
        |receiver| receiver.behave(|_| Reply::status(401)),
        |receiver| receiver.mend(),
    );
}

#[test]
fn one_round_ends_with_an_error_and_the_next_one_goes_on() {
    let sim = Simulator::start(campaign(100));
    let mut receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 20);
    receiver.go_down();
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("takes nothing"), "{}", ended.stdout);
    receiver.come_back();
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
}

#[test]
fn it_ends_within_five_seconds_whatever_the_receiver_does() {
    for reply in [
        Reply::ok(),
        Reply::Silence(Duration::from_secs(8)),
        Reply::Status(429, vec![("Retry-After", "60".to_owned())]),
        Reply::status(503),
        Reply::DrippingHead,
        Reply::DrippingBody,
        Reply::Endless,
    ] {
        let sim = Simulator::start(campaign(300));
        let receiver = Receiver::start();
        let (program, since) = since(&sim, &receiver, 100);
        receiver.behave(move |_| reply.clone());
        let running = program.start("webhook");
        receiver.wait_for(1);
        end(running);
        let before: Vec<_> = receiver.arrivals();
        receiver.mend();
        succeed_once(&program);
        let arrivals = receiver.arrivals();
        assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
        let again = arrivals[before.len()..]
            .iter()
            .filter(|a| before.iter().any(|b| b.accepted && b.id() == a.id()));
        assert_eq!(again.count(), 0);
    }
}
