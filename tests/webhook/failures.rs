//! A receiver that fails now and then; a process that is killed; a disk that is full.

use std::collections::HashSet;

use super::*;
use crate::support::receiver::Reply;
use crate::support::servers::Kind;
use crate::support::simulator::instant;
use crate::support::simulator::random::Dice;
use crate::support::size::{Size, size};

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

#[test]
fn a_process_that_is_killed_loses_and_mislabels_nothing() {
    let Size {
        webhook_contacts: contacts,
        webhook_kills: kills,
        webhook_silence: silence,
        ..
    } = size(Kind::Sqlite);
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
    running.wait_until_copied();
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

/// The ledger can be written to all the same, so that everything is delivered.
#[test]
fn one_round_whose_checkpoint_cannot_be_saved_is_no_success() {
    let sim = Simulator::start(campaign(200));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 10);
    succeed_once(&program);
    let status = || -> serde_json::Value {
        let path = program.directory().join("status.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let before = status()["last_success"].clone();
    assert!(before.is_string());
    let checkpoint = state_file(&program, ".json").unwrap();
    let aside = program.directory().join("checkpoint");
    let (place, kept) = (checkpoint.clone(), aside.clone());
    // From the first request on, there is a directory where the checkpoint belongs.
    receiver.behave(move |_| {
        if !kept.exists() {
            std::fs::rename(&place, &kept).unwrap();
            std::fs::create_dir(&place).unwrap();
        }
        Reply::ok()
    });
    sim.advance(6 * HOUR);
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let line = ended.stdout.lines().last().unwrap();
    assert!(line.starts_with("webhook incomplete: "), "{line}");
    let after = status();
    assert_eq!(after["last_success"], before);
    assert!(after["last_error"]["message"].is_string(), "{after}");
    std::fs::remove_dir(&checkpoint).unwrap();
    std::fs::rename(&aside, &checkpoint).unwrap();
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
}
