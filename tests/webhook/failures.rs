//! A receiver that fails now and then, or on some transactions; a process that is killed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::receiver::{Arrival, Reply};
use crate::support::simulator::instant;
use crate::support::simulator::random::Dice;

/// Every way to fail that the issue names.
fn ways(silence: Duration) -> Vec<Reply> {
    vec![
        Reply::status(500),
        Reply::status(429),
        Reply::Status(503, vec![("Retry-After", "0".to_owned())]),
        Reply::status(502),
        Reply::Reset,
        Reply::OkThenClose,
        Reply::Silence(silence),
    ]
}

fn patient(program: Program) -> Program {
    program.arg("--webhook-timeout", "400ms")
}

#[test]
fn a_receiver_that_fails_at_random_gets_everything_in_order() {
    let sim = Simulator::start(Config {
        readings: by_modified(),
        late_share: 0.6,
        ..campaign(300)
    });
    let receiver = Receiver::start();
    receiver.fail_at_rate(7, 0.2, ways(Duration::from_secs(1)));
    let (program, since) = since(&sim, &receiver, 20);
    let program = patient(program);
    let mut running = program.start("webhook");
    follow(&sim, &mut running, 40);
    receiver.mend();
    running.wait_until("nothing waits", |status| status["webhook"]["waiting"] == 0);
    end(running);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    assert!(arrivals.iter().filter(|a| !a.accepted).count() > 50);
    assert_eq!(spool(&program), [serde_json::Value::Null; 0]);
}

/// How large the test with the kills is.
struct Size {
    contacts: u32,
    kills: u32,
    silence: Duration,
}

/// `DBSYNC_TEST_SIZE=full` asks for 20,000 transactions and 100 kills, which takes minutes.
fn size() -> Size {
    match std::env::var("DBSYNC_TEST_SIZE").as_deref() {
        Err(_) => Size {
            contacts: 2200,
            kills: 20,
            silence: Duration::from_secs(1),
        },
        Ok("full") => Size {
            contacts: 7500,
            kills: 100,
            silence: Duration::from_secs(10),
        },
        Ok(other) => panic!("DBSYNC_TEST_SIZE is {other:?}: only \"full\" is known"),
    }
}

#[test]
fn a_process_that_is_killed_loses_and_mislabels_nothing() {
    let Size {
        contacts,
        kills,
        silence,
    } = size();
    let sim = Simulator::start(Config {
        readings: Readings {
            // What is late comes within the day that the nets reach back.
            md5_covers: Md5Covers::ContactOnly,
            ..Readings::default()
        },
        late_share: 1.0,
        daily_share: 0.9,
        ..campaign(contacts)
    });
    let receiver = Receiver::start();
    receiver.keep_transactions_only();
    receiver.fail_at_rate(11, 0.2, ways(silence));
    let (program, since) = since(&sim, &receiver, 0);
    let program = patient(program);
    let mut dice = Dice::new(5);
    let mut in_the_midst = 0;
    for _ in 0..kills {
        sim.advance(HOUR / 3);
        // About what twenty minutes bring: the moment goes by what has arrived, not by a clock.
        let wanted = receiver.count() + 1 + dice.below(u64::from(contacts / 10)) as usize;
        let mut running = program.start("webhook");
        let pid = running.pid();
        running.wait_until("requests, or nothing more to send", |status| {
            let is_quiet = status["pid"] == pid
                && status["webhook"]["waiting"] == 0
                && status["rounds"].as_u64() > Some(0);
            is_quiet || receiver.count() >= wanted
        });
        in_the_midst += u32::from(receiver.count() >= wanted);
        running.kill();
    }
    // Many moments must lie between two requests, or nothing was tested.
    assert!(in_the_midst * 3 > kills, "{in_the_midst} of {kills}");
    receiver.mend();
    let mut running = program.start("webhook");
    running.wait_rounds(2);
    // The last late data arrive.
    for _ in 0..24 {
        sim.advance(HOUR);
        running.wait_rounds(3);
    }
    running.wait_until("nothing waits", |status| status["webhook"]["waiting"] == 0);
    end(running);
    let arrivals = receiver.arrivals();
    let allowed = Allowed {
        kills: kills as usize,
    };
    assert_delivered(&sim, &all(), since, &arrivals, allowed);
    assert_eq!(spool(&program), [serde_json::Value::Null; 0]);
    // Those of the last day may still change.
    let yesterday = instant::from_datetime(sim.now() - DAY);
    let old: Vec<_> = arrivals
        .iter()
        .filter(|arrival| instant::parse(&arrival.fired).unwrap() < yesterday)
        .collect();
    let transactions: HashSet<_> = old.iter().map(|arrival| arrival.key()).collect();
    let updated = old.iter().filter(|arrival| arrival.state == "updated");
    let updated: HashSet<_> = updated.map(|arrival| arrival.key()).collect();
    println!(
        "{} transactions older than a day, {} of them updated; {} requests, {in_the_midst} of {kills} kills in the midst of them",
        transactions.len(),
        updated.len(),
        arrivals.len()
    );
    assert!(updated.len() * 10 >= transactions.len() * 3);
    assert!(transactions.len() >= if kills == 100 { 20_000 } else { 1000 });
}

#[test]
fn answers_without_end_and_byte_by_byte_hold_nothing_up() {
    let sim = Simulator::start(campaign(100));
    let receiver = Receiver::start();
    let odd = vec![Reply::DrippingHead, Reply::DrippingBody, Reply::Endless];
    receiver.fail_at_rate(13, 0.2, odd);
    let (program, since) = since(&sim, &receiver, 30);
    succeed_once(&patient(program));
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    assert!(arrivals.iter().filter(|a| !a.accepted).count() > 3);
}

/// The largest file that a process may write stands for the room on the disk.
#[test]
fn a_full_disk_is_waited_out_and_nothing_is_sent_that_cannot_be_noted() {
    let sim = Simulator::start(campaign(600));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 150);
    // 40 blocks of 512 bytes.
    let room = 40 * 512 / 24;
    let program = program.after("trap '' XFSZ; ulimit -S -f 40");
    let mut running = program.start("webhook");
    running.wait_until("trouble", |status| {
        let message = status["last_error"]["message"].as_str().unwrap_or("");
        message.contains("cannot write the ledger")
    });
    let count = receiver.count();
    // One request per lane may be under way when the disk is full.
    assert!((room..=room + 8).contains(&count), "{count} of {room}");
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(4), "{}", ended.stdout);
    let pid = running.pid().to_string();
    let more_room = std::process::Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status()
        .unwrap();
    assert!(more_room.success());
    running.wait_until("nothing waits", |status| {
        status["webhook"]["waiting"] == 0 && status["rounds"].as_u64() > Some(0)
    });
    end(running);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    assert!(arrivals.len() > 2 * room);
    let log = program.log();
    assert_eq!(log.matches("deliveries wait until").count(), 1);
}

#[test]
fn one_round_on_a_full_disk_ends_with_an_error() {
    let sim = Simulator::start(campaign(300));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 150);
    let program = program.after("trap '' XFSZ; ulimit -S -f 8");
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("cannot write the ledger"));
    let program = program.after("true");
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    // What a lane had under way when the disk was full could not be noted.
    assert_delivered(&sim, &all(), since, &arrivals, Allowed { kills: 1 });
}

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
        assert_eq!(replay.code, Some(1), "{}", replay.stdout);
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
        running.wait_rounds(2);
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
    running.wait_rounds(2);
    for _ in 0..6 {
        sim.advance(12 * HOUR);
        running.wait_rounds(2);
    }
    running.kill();
    assert!(of(&receiver.arrivals(), &poison.key).len() < 5);
    poison.refuses.store(false, Ordering::SeqCst);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed { kills: 1 });
    assert!(of(&arrivals, &poison.key).last().unwrap().accepted);
}
