//! Many requests that stay refused, of more contacts than an outage needs: nothing else waits for them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::receiver::{Arrival, Reply};
use crate::support::simulator::Post;

type Key = (String, String, String);

/// What the receiver refuses, and how it answers: nothing but these transactions.
type Refused = Arc<Mutex<Vec<(Key, Reply)>>>;

fn key(post: &Post) -> Key {
    (
        post.contact.clone(),
        post.fired.clone(),
        post.sequence.clone(),
    )
}

/// Late data would bring new versions of what is refused.
fn campaign_without_updates() -> Config {
    Config {
        late_share: 0.0,
        ..campaign(240)
    }
}

fn refuse(receiver: &Receiver, refused: &Refused) {
    let refused = Arc::clone(refused);
    receiver.behave(move |arrival| {
        let refused = refused.lock().unwrap();
        let known = refused.iter().find(|(key, _)| *key == arrival.key());
        known.map_or(Reply::ok(), |(_, reply)| reply.clone())
    });
}

/// A program with requests in its spool, each of another contact, that are answered with these statuses still.
fn with_spool(
    sim: &Simulator,
    receiver: &Receiver,
    statuses: &[u16],
) -> (Program, OffsetDateTime, Refused) {
    let (program, since) = since(sim, receiver, 30);
    let program = program.arg("--retry-wait", "5ms");
    let mut contacts = HashSet::new();
    let mut posts = sim.posts(&all(), since);
    posts.retain(|post| contacts.insert(post.contact.clone()));
    // Others succeed in between, so that it does not count as an outage.
    let every = posts.len() / (statuses.len() + 1);
    assert!(every > 2, "{} contacts", posts.len());
    let chosen = posts.iter().step_by(every).map(key);
    let replies = statuses.iter().map(|status| Reply::status(*status));
    let refused: Refused = Arc::new(Mutex::new(chosen.zip(replies).collect()));
    refuse(receiver, &refused);
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    assert_eq!(spool(&program).len(), statuses.len());
    (program, since, refused)
}

/// Everything arrived but what is refused.
fn assert_others_delivered(
    sim: &Simulator,
    receiver: &Receiver,
    since: OffsetDateTime,
    refused: &Refused,
) {
    let mut posts = sim.posts(&all(), since);
    let refused: HashSet<Key> = (refused.lock().unwrap().iter())
        .map(|(key, _)| key.clone())
        .collect();
    posts.retain(|post| !refused.contains(&key(post)));
    assert_eq!(missing(&posts, &accepted(receiver)), [""; 0]);
}

fn accepted(receiver: &Receiver) -> Vec<Arrival> {
    let mut arrivals = receiver.arrivals();
    arrivals.retain(|arrival| arrival.accepted);
    arrivals
}

fn twelve_and_three() -> Vec<u16> {
    [[422; 12].as_slice(), &[503; 3]].concat()
}

#[test]
fn requests_that_stay_refused_hold_up_no_round() {
    let sim = Simulator::start(campaign_without_updates());
    let receiver = Receiver::start();
    let (program, since, refused) = with_spool(&sim, &receiver, &twelve_and_three());
    // Each start begins with a reconcile, and nothing is new.
    let before = accepted(&receiver).len();
    let mut running = program.start("webhook");
    running.wait_rounds(2);
    assert_eq!(accepted(&receiver).len(), before);
    for _ in 0..3 {
        let count = accepted(&receiver).len();
        sim.advance(6 * HOUR);
        running.wait_until_copied();
        assert!(accepted(&receiver).len() > count);
        assert_others_delivered(&sim, &receiver, since, &refused);
    }
    end(running);
    assert_eq!(spool(&program).len(), 15);
    let log = program.log();
    assert!(!log.contains("takes nothing"), "{}", tail(&log));
}

#[test]
fn new_refusals_in_a_quiet_hour_keep_nobody_from_the_next_poll() {
    let sim = Simulator::start(campaign_without_updates());
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 1);
    let program = program.arg("--retry-wait", "5ms");
    let refused = Refused::default();
    let before = sim.posts(&all(), since).len();
    let mut running = program.start("webhook");
    running.wait_until_copied();
    assert_eq!(accepted(&receiver).len(), before);
    // Of six hours, all is refused, now and later.
    receiver.behave(|_| Reply::status(422));
    sim.advance(6 * HOUR);
    running.wait_until("the outage is told", |status| {
        let message = status["last_error"]["message"].as_str().unwrap_or("");
        message.contains("takes nothing")
    });
    let accepted_keys: HashSet<Key> = accepted(&receiver).iter().map(Arrival::key).collect();
    let mut new = sim.posts(&all(), since);
    new.retain(|post| !accepted_keys.contains(&key(post)));
    let contacts: HashSet<&str> = new.iter().map(|post| post.contact.as_str()).collect();
    assert!(contacts.len() >= 10, "{} contacts", contacts.len());
    let replies = new.iter().map(|post| (key(post), Reply::status(422)));
    refused.lock().unwrap().extend(replies);
    refuse(&receiver, &refused);
    let count = accepted(&receiver).len();
    sim.advance(12 * HOUR);
    // What follows of these contacts waits, so that the order stays.
    let mut others = sim.posts(&all(), since);
    others.retain(|post| !contacts.contains(post.contact.as_str()));
    wait_for("what is new of all others", || {
        missing(&others, &accepted(&receiver)).is_empty()
    });
    assert!(accepted(&receiver).len() > count);
    end(running);
    assert!(program.log().contains("takes requests again"));
}

#[test]
fn requests_that_stay_refused_do_not_fail_a_single_round() {
    let sim = Simulator::start(campaign_without_updates());
    let receiver = Receiver::start();
    let (program, since, refused) = with_spool(&sim, &receiver, &[422; 25]);
    for _ in 0..2 {
        sim.advance(6 * HOUR);
        let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
        assert_eq!(ended.code, Some(5), "{}", ended.stdout);
        let line = ended.stdout.lines().last().unwrap();
        assert!(line.contains("25 requests are undelivered"), "{line}");
        assert_others_delivered(&sim, &receiver, since, &refused);
    }
}

#[test]
fn replay_goes_on_behind_requests_that_stay_refused() {
    let sim = Simulator::start(Config {
        contacts: 480,
        ..campaign_without_updates()
    });
    let receiver = Receiver::start();
    let (program, _, refused) = with_spool(&sim, &receiver, &[422; 30]);
    let in_file: Vec<String> = (spool(&program).iter())
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect();
    let (stay, go) = in_file.split_at(25);
    let arrivals = receiver.arrivals();
    refused.lock().unwrap().retain(|(key, _)| {
        let arrival = arrivals.iter().find(|arrival| arrival.key() == *key);
        stay.iter().any(|id| id == arrival.unwrap().id())
    });
    let before = accepted(&receiver).len();
    let replay = program.start_with("replay", &[]).wait(MINUTE);
    assert_eq!(replay.code, Some(5), "{}", replay.stdout);
    let line = replay.stdout.lines().last().unwrap();
    assert!(
        line.starts_with("replay incomplete: 5 requests sent")
            && line.contains("25 requests are still undelivered"),
        "{line}"
    );
    let sent: HashSet<String> = (accepted(&receiver)[before..].iter())
        .map(|arrival| arrival.id().to_owned())
        .collect();
    assert_eq!(sent, go.iter().cloned().collect());
    assert_eq!(spool(&program).len(), 25);
}
