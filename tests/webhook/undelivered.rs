//! A receiver that refuses some transactions: spool and replay.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::receiver::{Arrival, Reply};

/// Refuses one transaction, of a contact with others, until it is told not to.
struct Poison {
    key: (String, String, String),
    refuses: Arc<AtomicBool>,
}

fn poison(sim: &Simulator, receiver: &Receiver, since: OffsetDateTime, reply: Reply) -> Poison {
    let posts = sim.posts(&all(), since);
    let (post, _) = posts
        .iter()
        .zip(posts.iter().skip(1))
        .find(|(post, next)| post.contact == next.contact && post.contact != posts[0].contact)
        .unwrap();
    let key = (
        post.contact.clone(),
        post.fired.clone(),
        post.sequence.clone(),
    );
    let refuses = Arc::new(AtomicBool::new(true));
    let (refused, on) = (key.clone(), Arc::clone(&refuses));
    receiver.behave(move |arrival| {
        if arrival.key() == refused && on.load(Ordering::SeqCst) {
            reply.clone()
        } else {
            Reply::ok()
        }
    });
    Poison { key, refuses }
}

fn of<'a>(arrivals: &'a [Arrival], key: &(String, String, String)) -> Vec<&'a Arrival> {
    arrivals.iter().filter(|a| a.key() == *key).collect()
}

#[test]
fn a_poison_transaction_is_spooled_alone_and_replayed_word_for_word() {
    for reply in [
        Reply::status(400),
        Reply::status(500),
        Reply::Status(302, vec![("Location", "/elsewhere".to_owned())]),
        Reply::status(503),
        Reply::Reset,
    ] {
        let sim = Simulator::start(campaign(100));
        let receiver = Receiver::start();
        let (program, since) = since(&sim, &receiver, 30);
        let program = program.arg("--retry-wait", "20ms");
        let poison = poison(&sim, &receiver, since, reply.clone());
        let mut running = program.start("webhook");
        // All other contacts are there before the poison was tried ten times.
        let contacts: HashSet<String> = sim
            .posts(&all(), since)
            .into_iter()
            .map(|post| post.contact)
            .collect();
        wait_for("all contacts", || {
            let arrivals = receiver.arrivals();
            let here: HashSet<_> = arrivals.iter().map(|a| a.contact_id.clone()).collect();
            here.len() == contacts.len()
        });
        assert!(
            of(&receiver.arrivals(), &poison.key).len() < 10,
            "{reply:?}"
        );
        running.wait_until("the poison is spooled", |status| {
            status["webhook"]["undelivered"] == 1 && status["webhook"]["waiting"] == 0
        });
        let status = running.status().unwrap();
        assert_eq!(status["webhook"]["undelivered"], 1);
        // While it runs, nobody else may touch the spool.
        assert_eq!(program.run("replay").code, Some(4));
        end(running);

        let arrivals = receiver.arrivals();
        let refused = of(&arrivals, &poison.key);
        let spooled = spool(&program);
        assert_eq!(spooled.len(), 1, "{reply:?}");
        assert_eq!(spooled[0]["body"], *refused[0].body);
        assert_eq!(spooled[0]["id"], refused[0].id());
        assert!(refused.len() >= 10, "{}", refused.len());
        assert!(
            refused
                .iter()
                .all(|arrival| arrival.id() == refused[0].id())
        );
        let log = program.log();
        assert_eq!(log.matches("is kept in").count(), 1, "{}", tail(&log));

        let replay = program.run("replay");
        assert_eq!(replay.code, Some(5), "{}", replay.stdout);
        let line = replay.stdout.lines().last().unwrap();
        assert!(
            line.starts_with("replay incomplete: 0 requests sent")
                && line.contains("1 requests are still undelivered"),
            "{line}"
        );
        assert_eq!(spool(&program).len(), 1);
        poison.refuses.store(false, Ordering::SeqCst);
        let replay = program.run("replay");
        assert_eq!(replay.code, Some(0), "{}", replay.stdout);
        assert!(replay.stdout.contains(&poison.key.0), "{}", replay.stdout);
        assert_eq!(state_file(&program, ".undelivered.jsonl"), None);
        let arrivals = receiver.arrivals();
        let last = *of(&arrivals, &poison.key).last().unwrap();
        assert_eq!(last.body, refused[0].body);
        let count = arrivals.len();
        succeed_once(&program);
        assert_eq!(receiver.count(), count);
        let arrivals: Vec<Arrival> = arrivals
            .into_iter()
            .filter(|arrival| arrival.key() != poison.key || arrival.accepted)
            .collect();
        let posts = sim.posts(&all(), since);
        assert_eq!(missing(&posts, &arrivals), [""; 0]);
        assert_eq!(program.run("replay").code, Some(0));
    }
}

#[test]
fn what_is_spooled_is_tried_again_every_hour() {
    let sim = Simulator::start(Config {
        late_share: 0.0,
        ..campaign(60)
    });
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 30);
    let poison = poison(&sim, &receiver, since, Reply::status(422));
    let mut running = program.start("webhook");
    running.wait_until("the poison is spooled", |status| {
        status["webhook"]["undelivered"] == 1
    });
    running.wait_rounds(4);
    let tries = of(&receiver.arrivals(), &poison.key).len();
    assert_eq!(tries, 10);
    sim.advance(HOUR);
    running.wait_rounds(4);
    assert_eq!(of(&receiver.arrivals(), &poison.key).len(), 11);
    poison.refuses.store(false, Ordering::SeqCst);
    sim.advance(HOUR);
    running.wait_until("the spool is empty", |status| {
        status["webhook"]["undelivered"] == 0
    });
    end(running);
    assert_eq!(state_file(&program, ".undelivered.jsonl"), None);
    let arrivals = receiver.arrivals();
    let sent = of(&arrivals, &poison.key);
    assert_eq!(sent.len(), 12);
    assert!(
        sent.iter()
            .all(|a| a.id() == sent[0].id() && a.state == "new")
    );
}

#[test]
fn a_newer_version_takes_the_place_of_a_spooled_one() {
    let sim = Simulator::start(Config {
        readings: by_modified(),
        late_share: 1.0,
        ..campaign(200)
    });
    let receiver = Receiver::start();
    let program = program(&sim, &receiver);
    // Three contacts are refused while others are taken.
    let versions = Arc::new(Mutex::new(HashSet::new()));
    let (known, refuse) = (Arc::clone(&versions), Arc::new(AtomicBool::new(true)));
    let on = Arc::clone(&refuse);
    let mut contacts = HashSet::new();
    receiver.behave(move |arrival| {
        if arrival.transaction.contains("\"connections\":[{") && contacts.len() < 3 {
            contacts.insert(arrival.contact_id.clone());
        }
        if on.load(Ordering::SeqCst) && contacts.contains(&arrival.contact_id) {
            known.lock().unwrap().insert(arrival.key());
            Reply::status(400)
        } else {
            Reply::ok()
        }
    });
    let mut running = program.start("webhook");
    running.wait_rounds(1);
    sim.advance(3 * MINUTE);
    let mut hours = 0;
    while running.status().unwrap()["webhook"]["undelivered"] == 0 {
        sim.advance(5 * MINUTE);
        running.wait_until_copied();
        running.wait_until("nothing waits", |status| status["webhook"]["waiting"] == 0);
        hours += 1;
        assert!(hours < 200, "nothing was refused");
    }
    // Versions in the spool, by transaction.
    let mut spooled: HashMap<u64, HashSet<u64>> = HashMap::new();
    for _ in 0..24 {
        sim.advance(3 * HOUR);
        running.wait_rounds(3);
        running.wait_until("nothing waits", |status| status["webhook"]["waiting"] == 0);
        let mut here = HashSet::new();
        for entry in spool(&program) {
            let key = entry["key"].as_u64().unwrap();
            assert!(here.insert(key), "two versions of one transaction");
            let event = entry["event"].as_u64().unwrap();
            spooled.entry(key).or_default().insert(event);
        }
    }
    let replaced = spooled.values().filter(|versions| versions.len() > 1);
    assert!(replaced.count() > 0);
    refuse.store(false, Ordering::SeqCst);
    sim.advance(HOUR);
    running.wait_until("the spool is empty", |status| {
        status["webhook"]["undelivered"] == 0 && status["webhook"]["waiting"] == 0
    });
    end(running);
    let since = sim.config().start;
    let arrivals: Vec<Arrival> = receiver
        .arrivals()
        .into_iter()
        .filter(|arrival| arrival.accepted)
        .collect();
    assert_eq!(missing(&sim.posts(&all(), since), &arrivals), [""; 0]);
    // What never arrived before is new, whatever its version.
    for key in versions.lock().unwrap().iter() {
        let mine = of(&arrivals, key);
        assert_eq!(mine[0].state, "new");
        assert!(
            mine.iter()
                .skip(1)
                .all(|arrival| arrival.state == "updated")
        );
    }
}

#[test]
fn what_the_spool_does_not_take_is_not_given_up() {
    let sim = Simulator::start(campaign(60));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 10);
    let program = program.arg("--retry-wait", "3ms");
    let poison = poison(&sim, &receiver, since, Reply::status(400));
    let attempts = || of(&receiver.arrivals(), &poison.key).len();
    let mut running = program.start("webhook");
    wait_for("the first attempt", || attempts() > 0);
    let ledger = state_file(&program, ".ledger").unwrap();
    let undelivered = ledger.with_extension("undelivered.jsonl");
    std::fs::create_dir(&undelivered).unwrap();
    wait_for("attempts behind the tenth", || attempts() > 11);
    std::fs::remove_dir(&undelivered).unwrap();
    running.wait_until("the poison is spooled", |status| {
        status["webhook"]["undelivered"] == 1
    });
    end(running);
    assert_eq!(spool(&program).len(), 1);
}

/// Only what is in the spool may count as dealt with.
#[test]
fn what_the_spool_does_not_take_survives_a_kill() {
    let sim = Simulator::start(campaign(240));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 10);
    let program = program.arg("--retry-wait", "3ms");
    let poison = poison(&sim, &receiver, since, Reply::status(400));
    let attempts = || of(&receiver.arrivals(), &poison.key).len();
    let mut running = program.start("webhook");
    wait_for("the first attempt", || attempts() > 0);
    let ledger = state_file(&program, ".ledger").unwrap();
    let undelivered = ledger.with_extension("undelivered.jsonl");
    std::fs::create_dir(&undelivered).unwrap();
    wait_for("attempts behind the tenth", || attempts() > 11);
    running.kill();
    std::fs::remove_dir(&undelivered).unwrap();
    poison.refuses.store(false, Ordering::SeqCst);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed { kills: 1 });
    assert!(of(&arrivals, &poison.key).last().unwrap().accepted);
}

#[test]
fn the_checkpoint_waits_for_what_is_still_being_tried() {
    let sim = Simulator::start(Config {
        readings: by_modified(),
        ..campaign(60)
    });
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 10);
    // So patient that the attempts don't end within this test.
    let program = program.arg("--retry-wait", "30s");
    let poison = poison(&sim, &receiver, since, Reply::status(500));
    let mut running = program.start("webhook");
    running.wait_until_copied();
    for _ in 0..6 {
        sim.advance(12 * HOUR);
        running.wait_until_copied();
    }
    running.kill();
    assert!(of(&receiver.arrivals(), &poison.key).len() < 5);
    poison.refuses.store(false, Ordering::SeqCst);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed { kills: 1 });
    assert!(of(&arrivals, &poison.key).last().unwrap().accepted);
}

/// A ledger that was cut off, or that comes from a backup, knows of the first version of a transaction and nothing of the
/// update in the spool.
#[test]
fn updates_in_the_spool_survive_a_ledger_that_is_older() {
    let sim = Simulator::start(Config {
        readings: by_modified(),
        late_share: 0.8,
        ..campaign(200)
    });
    let receiver = Receiver::start();
    // A few, so that it does not count as an outage.
    let refused: Mutex<HashSet<String>> = Mutex::default();
    receiver.behave(move |arrival| {
        let mut refused = refused.lock().unwrap();
        let is_new = refused.len() < 6 && arrival.state == "updated";
        if is_new {
            refused.insert(arrival.contact_id.clone());
        }
        match arrival.state == "updated" && refused.contains(&arrival.contact_id) {
            true => Reply::status(400),
            false => Reply::ok(),
        }
    });
    let (program, _) = since(&sim, &receiver, 0);
    let program = program.arg("--retry-wait", "1ms");
    let mut running = program.start("webhook");
    follow(&sim, &mut running, 20);
    end(running);
    let wanted: HashSet<String> = (spool(&program).iter())
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(wanted.len() > 3, "{} in the spool", wanted.len());
    let paths = [".ledger", ".undelivered.jsonl"].map(|end| state_file(&program, end).unwrap());
    let [ledger, requests] = paths.each_ref().map(|path| std::fs::read(path).unwrap());
    receiver.behave(|_| Reply::ok());
    let records = ledger.len() / 24;
    let cuts = (0..=12).map(|n| records * n / 12 * 24);
    for cut in cuts.flat_map(|cut| [cut, cut.saturating_sub(7)]) {
        std::fs::write(&paths[0], &ledger[..cut]).unwrap();
        std::fs::write(&paths[1], &requests).unwrap();
        let before = receiver.count();
        let ended = program.run("replay");
        assert_eq!(ended.code, Some(0), "cut to {cut} bytes: {}", ended.stdout);
        let arrived: HashSet<String> = (receiver.arrivals()[before..].iter())
            .map(|arrival| arrival.id().to_owned())
            .collect();
        assert_eq!(arrived, wanted, "cut to {cut} bytes");
        assert!(spool(&program).is_empty(), "cut to {cut} bytes");
    }
}

/// A program with so many requests in its spool, of which the receiver takes all from now on.
fn with_spool(sim: &Simulator, receiver: &Receiver, wanted: usize) -> Program {
    let (program, _) = since(sim, receiver, 30);
    let (mut contacts, mut refused) = (Vec::new(), HashSet::new());
    // Some of every third contact, so that it does not count as an outage.
    receiver.behave(move |arrival| {
        if !contacts.contains(&arrival.contact_id) {
            contacts.push(arrival.contact_id.clone());
        }
        let place = contacts.iter().position(|id| *id == arrival.contact_id);
        if place.unwrap() % 3 == 2 && refused.len() < wanted {
            refused.insert(arrival.key());
        }
        match refused.contains(&arrival.key()) {
            true => Reply::status(400),
            false => Reply::ok(),
        }
    });
    let mut running = program.start("webhook");
    running.wait_until("all are spooled", |status| {
        status["webhook"]["undelivered"] == wanted && status["webhook"]["waiting"] == 0
    });
    end(running);
    assert_eq!(spool(&program).len(), wanted);
    receiver.mend();
    program
}

/// By the receiver's clock: no request arrives before the rate allows it.
#[test]
fn replay_keeps_to_the_rate_and_to_the_pauses_that_are_asked_for() {
    const REQUESTS: usize = 30;
    const PER_SECOND: f64 = 20.0;
    const BURST: f64 = 2.0;
    const LANES: usize = 4;
    const PAUSE: Duration = Duration::from_secs(3);
    for asks_to_wait in [false, true] {
        let sim = Simulator::start(campaign(200));
        let receiver = Receiver::start();
        let program = with_spool(&sim, &receiver, REQUESTS);
        let wanted: HashSet<String> = (spool(&program).iter())
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect();
        let before = receiver.count();
        let mut count = 0;
        receiver.behave(move |_| {
            count += 1;
            match asks_to_wait && count == 10 {
                true => Reply::Status(429, vec![("Retry-After", PAUSE.as_secs().to_string())]),
                false => Reply::ok(),
            }
        });
        let begun = std::time::Instant::now();
        let flags = ["--wr=20", "--wb=2", "--w=4"];
        let ended = program.start_with("replay", &flags).wait(MINUTE);
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
        let line = ended.stdout.lines().last().unwrap();
        assert!(
            line.starts_with(&format!("replay complete: {REQUESTS} requests sent")),
            "{line}"
        );
        assert_eq!(state_file(&program, ".undelivered.jsonl"), None);

        let arrivals = receiver.arrivals()[before..].to_vec();
        let taken: Vec<&str> = (arrivals.iter())
            .filter(|arrival| arrival.accepted)
            .map(Arrival::id)
            .collect();
        assert_eq!(taken.len(), REQUESTS);
        assert_eq!(
            taken.into_iter().map(str::to_owned).collect::<HashSet<_>>(),
            wanted
        );
        let mut times: Vec<Duration> = (arrivals.iter())
            .map(|arrival| arrival.at - begun)
            .collect();
        times.sort_unstable();
        for (earlier, at) in times.iter().enumerate() {
            let earliest = (earlier as f64 + 1.0 - BURST).max(0.0) / PER_SECOND;
            assert!(at.as_secs_f64() >= earliest, "{earlier} before {at:?}");
        }
        let refused: Vec<&Arrival> = arrivals.iter().filter(|a| !a.accepted).collect();
        assert_eq!(refused.len(), usize::from(asks_to_wait));
        for refused in refused {
            let within = (arrivals.iter())
                .filter(|a| a.at > refused.at && a.at < refused.at + PAUSE)
                .count();
            // Those that were under way.
            assert!(within < LANES, "{within} requests within the pause");
        }
    }
}
