//! webhook: every transaction arrives, in order, exactly labelled, and none is dropped.

mod failures;
mod lanes;
mod outages;
mod refused_again;
mod requests;
mod signatures;
mod undelivered;

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

use crate::support::deliveries::{Allowed, assert_delivered, missing};
use crate::support::program::{Program, Running, tail};
use crate::support::reading::fields_of;
use crate::support::receiver::Receiver;
use crate::support::simulator::json::Writer;
use crate::support::simulator::{
    Config, Endpoint, EventForm, EventsBy, Fault, Faults, FilterMode, Md5Covers, Readings,
    Simulator, TruthFilter, UnknownIds,
};

mod beginning;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn all() -> TruthFilter {
    TruthFilter::default()
}

/// Many changes, none of them shown late: so that the order of time is the order of the events.
fn campaign(contacts: u32) -> Config {
    Config {
        contacts,
        daily_share: 0.5,
        published_late: 0.0,
        ..Config::default()
    }
}

/// Under which late data are seen by the nets of webhook, which reach back one day.
fn by_modified() -> Readings {
    Readings {
        events_by: EventsBy::Modified,
        ..Readings::default()
    }
}

fn program(sim: &Simulator, receiver: &Receiver) -> Program {
    Program::new(sim, &receiver.url())
}

/// A program that begins at midnight so many days ago, and that time.
fn since(sim: &Simulator, receiver: &Receiver, days: u32) -> (Program, OffsetDateTime) {
    let since = (sim.now() - days * DAY).replace_time(time::Time::MIDNIGHT);
    let program = program(sim, receiver).arg("--s", &since.date().to_string());
    (program, since)
}

fn succeed_once(program: &Program) {
    let ended = program.start_with("webhook", &["--once"]).wait(4 * MINUTE);
    assert_eq!(
        ended.code,
        Some(0),
        "{}\n{}",
        ended.stdout,
        tail(&program.log())
    );
}

fn end(running: Running) {
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
}

/// webhook while so many hours go by.
fn follow(sim: &Simulator, running: &mut Running, hours: u32) {
    running.wait_rounds(1);
    for minutes in [1, 1, 2, 7, 11, 38] {
        sim.advance(minutes * MINUTE);
        running.wait_until_copied();
    }
    for _ in 1..hours {
        sim.advance(HOUR);
        running.wait_until_copied();
    }
}

/// A file of the state directory, by the end of its name.
fn state_file(program: &Program, end: &str) -> Option<PathBuf> {
    std::fs::read_dir(program.directory().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with(end))
}

/// The requests in the spool.
fn spool(program: &Program) -> Vec<serde_json::Value> {
    let Some(path) = state_file(program, ".undelivered.jsonl") else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < MINUTE, "{what}: not seen");
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[test]
fn what_happened_since_the_start_date_arrives_once() {
    let sim = Simulator::start(campaign(300));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 20);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    assert!(arrivals.iter().all(|arrival| arrival.state == "new"));
    succeed_once(&program);
    assert_eq!(receiver.count(), arrivals.len());
}

#[test]
fn contacts_arrive_as_the_api_gave_them_but_for_their_log() {
    let sim = Simulator::start(campaign(300));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 60);
    succeed_once(&program);
    assert_delivered(
        &sim,
        &all(),
        since,
        &receiver.arrivals(),
        Allowed::default(),
    );
    let mut compared = 0;
    for arrival in receiver.arrivals() {
        let document = sim.document(&arrival.contact_id).unwrap();
        let mut writer = Writer::new(sim.config().readings.empty_as);
        writer.set_style(document.style);
        writer.fields(&document.fields);
        let wanted = fields_of(std::str::from_utf8(&writer.out).unwrap()).unwrap();
        let found = fields_of(&arrival.contact).unwrap();
        assert_eq!(found, wanted, "{}", arrival.contact_id);
        assert_eq!(
            *arrival.body,
            *format!(
                "{{\"contact\":{},\"transaction\":{},\"state\":\"{}\"}}",
                arrival.contact, arrival.transaction, arrival.state
            )
        );
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn later_versions_follow_as_updates() {
    for events_by in [EventsBy::Modified, EventsBy::Fired] {
        // With events by time of firing, the nets see what is late by up to a day.
        let readings = Readings {
            events_by,
            md5_covers: Md5Covers::ContactOnly,
            ..Readings::default()
        };
        let sim = Simulator::start(Config {
            readings,
            late_share: 0.8,
            ..campaign(300)
        });
        let receiver = Receiver::start();
        let (program, since) = since(&sim, &receiver, 0);
        let mut running = program.start("webhook");
        follow(&sim, &mut running, 50);
        running.wait_rounds(1);
        end(running);
        succeed_once(&program);
        let arrivals = receiver.arrivals();
        assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
        let updates = arrivals.iter().filter(|a| a.state == "updated").count();
        assert!(updates > 50, "{updates}");
    }
}

#[test]
fn every_form_of_events_and_of_unknown_contacts_is_understood() {
    for readings in [
        Readings {
            event_form: EventForm::Object,
            unknown_ids: UnknownIds::Null,
            ..by_modified()
        },
        Readings {
            pointer: false,
            suffix_digits: 6,
            unknown_ids: UnknownIds::Error404,
            ..by_modified()
        },
        Readings {
            max_ids: Some(7),
            page_cap: 50,
            unknown_ids: UnknownIds::Error500,
            to_inclusive: true,
            ..by_modified()
        },
    ] {
        let sim = Simulator::start(Config {
            readings,
            deleted_share: 0.2,
            ..campaign(200)
        });
        sim.set_faults(Faults::at_rate(0.1, &Fault::QUICK));
        let receiver = Receiver::start();
        let (program, since) = since(&sim, &receiver, 5);
        let mut running = program.start("webhook");
        follow(&sim, &mut running, 30);
        sim.set_faults(Faults::none());
        running.wait_rounds(1);
        end(running);
        succeed_once(&program);
        let arrivals = receiver.arrivals();
        assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    }
}

#[test]
fn what_the_api_shows_late_arrives_too() {
    let sim = Simulator::start(Config {
        published_late: 0.5,
        readings: Readings {
            md5_covers: Md5Covers::ContactOnly,
            ..Readings::default()
        },
        ..campaign(200)
    });
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 0);
    let mut running = program.start("webhook");
    follow(&sim, &mut running, 30);
    end(running);
    succeed_once(&program);
    let posts = sim.posts(&all(), since);
    assert_eq!(missing(&posts, &receiver.arrivals()), [""; 0]);
}

#[test]
fn only_what_the_filters_let_through_arrives() {
    let mode = |mode| TruthFilter { mode, ..all() };
    let fc = vec!["fc_".to_owned()];
    for (flags, filter) in [
        (
            vec![("--fm", "updates_only")],
            mode(FilterMode::UpdatesOnly),
        ),
        (
            vec![("--fm", "hi_updates_only")],
            mode(FilterMode::HiUpdatesOnly),
        ),
        (
            vec![("--fm", "hi_updates_only"), ("--fp", "fc_")],
            TruthFilter {
                prefixes: fc.clone(),
                ..mode(FilterMode::HiUpdatesOnly)
            },
        ),
        (
            vec![("--fp", "fc_")],
            TruthFilter {
                prefixes: fc,
                ..all()
            },
        ),
    ] {
        let sim = Simulator::start(Config {
            readings: by_modified(),
            ..campaign(300)
        });
        let receiver = Receiver::start();
        let (mut program, since) = since(&sim, &receiver, 30);
        for (flag, value) in flags {
            program.set(flag, value);
        }
        let mut running = program.start("webhook");
        follow(&sim, &mut running, 10);
        end(running);
        succeed_once(&program);
        let arrivals = receiver.arrivals();
        assert_delivered(&sim, &filter, since, &arrivals, Allowed::default());
    }
}

#[test]
fn a_contact_that_the_api_fails_on_is_posted_when_it_works_again() {
    let sim = Simulator::start(Config {
        readings: by_modified(),
        ..campaign(60)
    });
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 20);
    // Each batch is tried three times, then halved; all other calls work.
    sim.fail_next(Some(Endpoint::Contacts), Fault::Error500, 12);
    let mut running = program.start("webhook");
    running.wait_until_copied();
    sim.advance(3 * DAY);
    // The first one learns how late it is.
    running.wait_rounds(4);
    end(running);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    assert_eq!(sim.faults_waiting(), 0);
}

#[test]
fn what_the_api_failed_on_is_posted_before_what_comes_later_of_that_contact() {
    let sim = Simulator::start(Config {
        daily_share: 20.0,
        ..campaign(40)
    });
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 20);
    sim.fail_next(Some(Endpoint::Contacts), Fault::Error500, 12);
    let mut running = program.start("webhook");
    running.wait_until_copied();
    assert!(program.log().contains("left out and asked for again later"));
    let before = receiver.count();
    // Not yet time for a reconcile.
    sim.advance(50 * MINUTE);
    running.wait_rounds(3);
    assert!(receiver.count() > before);
    sim.advance(DAY);
    running.wait_rounds(4);
    end(running);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
}
