//! Answers that look right, and that the API does not mean: they pass, and leave no gap.

use super::*;
use crate::support::deliveries::{Allowed, assert_delivered};
use crate::support::receiver::Receiver;
use crate::support::simulator::{Endpoint, Fault, Faults};

/// Ways to say that contacts are not there.
const ABSENCES: [Fault; 2] = [Fault::Error404, Fault::NoneThere];

/// Of which few contacts change, and no field: neither of them has contacts asked for once more.
fn calm_campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 400,
        daily_share: 0.3,
        long_texts: false,
        new_key_after: None,
        ..Config::default()
    })
}

fn absent(sim: &Simulator, rate: f64, fault: Fault) {
    sim.set_faults(Faults {
        endpoints: vec![Endpoint::Contacts],
        ..Faults::at_rate(rate, &[fault])
    });
}

#[test]
fn contacts_that_are_said_not_to_be_there_are_asked_for_again() {
    for fault in ABSENCES {
        let sim = calm_campaign();
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        absent(&sim, 1.0, fault);
        sim.advance(5 * HOUR);
        running.wait_until("contacts that did not come", |status| {
            status["unanswered"].as_u64().unwrap() > 20
        });
        running.wait_until_copied();
        sim.set_faults(Faults::none());
        // Long enough for a reconcile.
        sim.advance(2 * HOUR);
        running.wait_rounds(3);
        end(running);
        assert_truth(&sim, &database);
    }
}

#[test]
fn db_init_does_not_believe_at_once_that_no_contact_is_there() {
    for fault in ABSENCES {
        // In requests of 20, which are halved until each contact was asked for alone.
        let requests = 10 * 39;
        let sim = campaign(200);
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url);
        sim.fail_next(Some(Endpoint::Contacts), fault, requests);
        program.succeed("db_init");
        let log = program.log();
        let sentence = "Dialfire returned none of the contacts that it lists";
        assert_eq!(log.matches(sentence).count(), 1, "{log}");
        assert_truth(&sim, &database);
    }
}

#[test]
fn db_init_ends_where_all_contacts_were_deleted() {
    let sim = campaign(50);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    absent(&sim, 1.0, Fault::NoneThere);
    let ended = program.run("db_init");
    assert_eq!(ended.code, Some(5), "{}", ended.stdout);
    let missing = "db_init incomplete: 0 contacts";
    assert!(ended.stdout.contains(missing), "{}", ended.stdout);
    let none = "Dialfire returned no document for 50 contacts that it names";
    assert!(ended.stdout.contains(none), "{}", ended.stdout);
    assert!(program.log().contains("they are taken for deleted"));
    assert_eq!(database.dump("dfire_contacts").len(), 0);
}

#[test]
fn what_db_init_did_not_get_is_fetched_by_db_sync() {
    for fault in ABSENCES {
        let sim = calm_campaign();
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url);
        // Most requests bring nothing, so that many contacts never come, in whatever order they are asked for.
        absent(&sim, 0.95, fault);
        let ended = program.run("db_init");
        assert_eq!(ended.code, Some(5), "{}", ended.stdout);
        sim.set_faults(Faults::none());
        let rows = database.dump("dfire_contacts").len();
        assert!((1..400).contains(&rows), "{rows} of 400 came");
        // Much later: nothing but its own list tells of them any more.
        sim.advance(50 * HOUR);
        program.succeed_once();
        assert_truth(&sim, &database);
    }
}

#[test]
fn transactions_of_contacts_that_are_said_not_to_be_there_are_posted_later() {
    for fault in ABSENCES {
        let sim = campaign(200);
        let receiver = Receiver::start();
        let program = Program::new(&sim, &receiver.url());
        let since = sim.now();
        let mut running = program.start("webhook");
        running.wait_rounds(1);
        absent(&sim, 1.0, fault);
        sim.advance(3 * HOUR);
        running.wait_until("contacts that did not come", |status| {
            status["unanswered"].as_u64().unwrap() > 20
        });
        running.wait_until_copied();
        assert_eq!(receiver.count(), 0);
        sim.set_faults(Faults::none());
        sim.advance(2 * HOUR);
        running.wait_rounds(3);
        end(running);
        let arrivals = receiver.arrivals();
        assert_delivered(
            &sim,
            &TruthFilter::default(),
            since,
            &arrivals,
            Allowed::default(),
        );
    }
}

#[test]
fn a_clock_of_the_api_that_was_ahead_for_a_while_hides_nothing() {
    let sim = campaign(200);
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    sim.date_ahead(400 * 24 * 3600);
    running.wait_rounds(3);
    sim.date_ahead(0);
    sim.advance(3 * HOUR);
    running.wait_rounds(3);
    end(running);
    assert!(program.log().contains("must have been wrong"));
    assert_truth(&sim, &database);
}
