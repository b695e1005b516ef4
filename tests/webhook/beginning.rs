//! Where it begins: start dates, the last run, what the ledger says.

use super::*;

#[test]
fn a_start_in_the_middle_of_a_day_is_exact() {
    for events_by in [EventsBy::Fired, EventsBy::Modified] {
        // By time of change, the list also names what was fired before the start and has changed since.
        let readings = Readings {
            events_by,
            ..Readings::default()
        };
        let sim = Simulator::start(Config {
            readings,
            late_share: 0.8,
            ..campaign(300)
        });
        let receiver = Receiver::start();
        let posts = sim.posts(&all(), sim.now() - 20 * DAY);
        let mut times: Vec<_> = posts.iter().map(|post| post.at).collect();
        times.sort_unstable();
        let since = crate::support::simulator::instant::to_datetime(times[times.len() / 3])
            .replace_nanosecond(0)
            .unwrap();
        let format =
            time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        let program = program(&sim, &receiver).arg("--s", &since.format(format).unwrap());
        succeed_once(&program);
        let arrivals = receiver.arrivals();
        assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
        assert!(arrivals.len() < posts.len());
    }
}

#[test]
fn an_earlier_start_fetches_what_lies_before_and_repeats_nothing() {
    let sim = Simulator::start(campaign(300));
    let receiver = Receiver::start();
    succeed_once(&since(&sim, &receiver, 10).0);
    let (mut program, _) = since(&sim, &receiver, 10);
    succeed_once(&program);
    let before = receiver.count();
    let earlier = (sim.now() - 40 * DAY).replace_time(time::Time::MIDNIGHT);
    program.set("--s", &earlier.date().to_string());
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert!(arrivals.len() > before);
    // Each of the two state directories of this test had its own first start.
    let twice = &arrivals[before / 2..];
    let mut last = std::collections::HashSet::new();
    assert!(twice.iter().all(|arrival| last.insert(arrival.key())));
    assert_eq!(missing(&sim.posts(&all(), earlier), &arrivals), [""; 0]);
}

#[test]
fn what_was_delivered_is_known_for_as_long_as_was_asked_for() {
    for (days, is_known) in [("7", true), ("5", false)] {
        let sim = Simulator::start(Config {
            late_share: 0.0,
            ..campaign(200)
        });
        let receiver = Receiver::start();
        let (mut program, since) = since(&sim, &receiver, 10);
        program.set("--ledger-days", days);
        succeed_once(&program);
        let before = receiver.count();
        sim.advance(6 * DAY);
        succeed_once(&program);
        // An earlier start has all of it read once more.
        let earlier = since - DAY;
        program.set("--s", &earlier.date().to_string());
        succeed_once(&program);
        let arrivals = receiver.arrivals();
        let first: std::collections::HashSet<_> =
            arrivals[..before].iter().map(|a| a.key()).collect();
        let again = arrivals[before..]
            .iter()
            .filter(|a| first.contains(&a.key()))
            .count();
        assert_eq!(again, if is_known { 0 } else { before }, "{days} days");
        assert_eq!(missing(&sim.posts(&all(), earlier), &arrivals), [""; 0]);
    }
}

#[test]
fn without_a_start_date_it_begins_now_and_goes_on_there_after_a_stop() {
    let sim = Simulator::start(Config {
        readings: by_modified(),
        ..campaign(300)
    });
    let receiver = Receiver::start();
    let program = program(&sim, &receiver);
    let since = sim.now();
    succeed_once(&program);
    assert_eq!(receiver.count(), 0);
    sim.advance(30 * HOUR);
    succeed_once(&program);
    sim.advance(30 * HOUR);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
}

#[test]
fn without_its_checkpoint_it_goes_on_on_the_last_day_of_the_ledger() {
    let sim = Simulator::start(Config {
        late_share: 0.0,
        ..campaign(300)
    });
    let receiver = Receiver::start();
    let (mut program, since) = since(&sim, &receiver, 1);
    succeed_once(&program);
    program.set("--s", "");
    let path = state_file(&program, ".json").unwrap();
    std::fs::write(&path, "damaged").unwrap();
    sim.advance(12 * HOUR);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
}

#[test]
fn a_later_start_drops_nothing_that_waits() {
    let sim = Simulator::start(campaign(60));
    let receiver = Receiver::start();
    let (mut program, since) = since(&sim, &receiver, 30);
    receiver.behave(|_| crate::support::receiver::Reply::status(503));
    let mut running = program.start("webhook");
    running.wait_until("something waits", |status| !status["last_error"].is_null());
    end(running);
    receiver.mend();
    program.set("--s", &sim.now().date().to_string());
    let ended = program.start_with("webhook", &["--once"]).wait(4 * MINUTE);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(
        ended
            .stdout
            .contains("although the start date is later: nothing is left out"),
        "{}",
        ended.stdout
    );
    let delivered: Vec<_> = receiver
        .arrivals()
        .into_iter()
        .filter(|arrival| arrival.accepted)
        .collect();
    assert_eq!(missing(&sim.posts(&all(), since), &delivered), [""; 0]);
}
