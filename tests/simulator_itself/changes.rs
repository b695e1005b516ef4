//! Whatever changes can be seen by a client, under each reading, and nothing changes without being announced.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::without_nulls;
use crate::support::http_client::{get, pages, post};
use crate::support::simulator::{
    Config, EventsBy, InboundBy, Md5Covers, Readings, Row, Simulator, Truth, TruthFilter, Which,
};

const HOUR: u64 = 3600;

/// Contact id → `$md5` of the list.
fn listed(sim: &Simulator) -> BTreeMap<String, String> {
    let (entries, _) = pages(sim, "contacts/list?limit=1000");
    entries
        .iter()
        .map(|e| {
            (
                e["id"].as_str().unwrap().to_owned(),
                e["md5"].as_str().unwrap_or("?").to_owned(),
            )
        })
        .collect()
}

/// Contact ids of events from a time on, by the event's first and second part.
fn events(sim: &Simulator, from: time::OffsetDateTime) -> BTreeMap<(String, String), String> {
    let from = from
        .format(&time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second]"
        ))
        .unwrap();
    let (events, _) = pages(
        sim,
        &format!("contacts/transactions/?from={from}&limit=1000"),
    );
    events
        .iter()
        .map(|event| {
            let parts: Vec<String> = event
                .as_str()
                .unwrap()
                .split('|')
                .map(str::to_owned)
                .collect();
            ((parts[0].clone(), parts[1].clone()), parts[2].clone())
        })
        .collect()
}

/// The rows of each contact, without NULLs.
fn states(sim: &Simulator) -> Vec<Vec<Row>> {
    let rows = |contact| {
        let truth = sim.truth_of(contact, &TruthFilter::default());
        let truth = truth.unwrap_or_default();
        truth
            .tables()
            .into_iter()
            .flat_map(|(_, rows)| rows.values().map(without_nulls))
            .collect()
    };
    (0..sim.contact_count()).map(rows).collect()
}

/// Ids of the contacts whose rows differ, new ones included.
fn differing(sim: &Simulator, before: &[Vec<Row>], after: &[Vec<Row>]) -> BTreeSet<String> {
    (0..)
        .zip(after)
        .filter(|(contact, rows)| before.get(*contact as usize) != Some(rows))
        .map(|(contact, _)| sim.contact_id(contact))
        .collect()
}

#[test]
fn every_change_is_announced() {
    for events_by in [EventsBy::Fired, EventsBy::Modified] {
        for md5_covers in [Md5Covers::Everything, Md5Covers::ContactOnly] {
            let readings = Readings {
                events_by,
                md5_covers,
                ..Readings::default()
            };
            let config = Config {
                contacts: 150,
                daily_share: 1.0,
                late_share: 0.8,
                readings,
                ..Config::default()
            };
            let sim = Simulator::start(config);
            let (mut seen_by_list, mut only_by_event) = (0, 0);
            let mut before_states = states(&sim);
            for _ in 0..30 {
                let (md5s, known) = (
                    listed(&sim),
                    events(&sim, sim.now() - Duration::from_secs(30 * HOUR)),
                );
                let before = sim.now();
                sim.advance(Duration::from_secs(HOUR));
                let after_states = states(&sim);
                let now = listed(&sim);
                let from = match events_by {
                    EventsBy::Fired => before - Duration::from_secs(23 * HOUR),
                    EventsBy::Modified => before - Duration::from_secs(1),
                };
                let new: BTreeSet<String> = events(&sim, from)
                    .into_iter()
                    .filter(|(event, _)| !known.contains_key(event))
                    .map(|(_, id)| id)
                    .collect();
                let deleted = sim.deleted();
                for id in differing(&sim, &before_states, &after_states) {
                    if deleted.contains(&id) {
                        continue;
                    }
                    let by_list =
                        md5s.get(&id) != now.get(&id) || now.get(&id).is_some_and(|md5| md5 == "?");
                    let by_event = new.contains(&id);
                    assert!(by_list || by_event, "{events_by:?} {md5_covers:?} {id}");
                    assert!(by_list || md5_covers == Md5Covers::ContactOnly, "{id}");
                    seen_by_list += usize::from(by_list);
                    only_by_event += usize::from(!by_list);
                }
                before_states = after_states;
            }
            assert!(seen_by_list > 50, "{seen_by_list}");
            assert_eq!(
                only_by_event > 10,
                md5_covers == Md5Covers::ContactOnly,
                "{only_by_event}"
            );
        }
    }
}

#[test]
fn what_is_late_arrives_after_a_while() {
    let config = Config {
        contacts: 400,
        daily_share: 1.0,
        new_per_day: 0.0,
        deleted_share: 0.0,
        visits: 8.0,
        late_share: 1.0,
        ..Config::default()
    };
    let sim = Simulator::start(config);
    let filter = TruthFilter::default();
    sim.advance(Duration::from_secs(24 * HOUR));
    let before = sim.truth(&filter, &Which::All);
    sim.advance(Duration::from_secs(80 * HOUR));
    let after = sim.truth(&filter, &Which::All);
    let more = after
        .connections
        .keys()
        .filter(|id| !before.connections.contains_key(*id));
    let late = more.filter(|id| {
        let row = &after.connections[*id];
        before
            .transactions
            .contains_key(row["transaction_id"].as_ref().unwrap())
    });
    assert!(late.count() > 3);
    let gone: Vec<_> = before
        .recordings
        .keys()
        .filter(|id| !after.recordings.contains_key(*id))
        .collect();
    assert!(!gone.is_empty());
    assert!(
        gone.iter()
            .all(|id| before.recordings[*id].get("location") == Some(&None))
    );
    let revoked = |truth: &Truth, id: &String| truth.transactions[id]["revoked"].clone();
    assert!(
        before
            .transactions
            .keys()
            .any(|id| revoked(&before, id) != Some("1".to_owned())
                && revoked(&after, id) == Some("1".to_owned()))
    );
    assert!(
        before
            .connections
            .keys()
            .all(|id| after.connections.contains_key(id))
    );
    assert!(
        before
            .transactions
            .keys()
            .all(|id| after.transactions.contains_key(id))
    );
}

#[test]
fn deleted_contacts_rest_before_their_end() {
    let config = Config {
        contacts: 200,
        deleted_share: 0.9,
        daily_share: 3.0,
        ..Config::default()
    };
    let sim = Simulator::start(config);
    sim.advance(Duration::from_secs(48 * HOUR));
    let (mut last_states, mut deleted) = (0, 0);
    let existed: Vec<u32> = (0..200).filter(|c| sim.last_change(*c).is_some()).collect();
    for contact in existed {
        let id = sim.contact_id(contact);
        if sim.deleted().contains(&id) {
            deleted += 1;
            let rest = sim.now() - sim.last_change(contact).unwrap();
            assert!(rest >= time::Duration::days(2), "{rest}");
            last_states += usize::from(sim.truth_of(contact, &TruthFilter::default()).is_some());
            assert!(post(&sim, &[id]).json().as_array().unwrap().is_empty());
        }
    }
    assert!(deleted > 20);
    assert_eq!(last_states, deleted);
    let all = sim
        .truth(&TruthFilter::default(), &Which::AllAndDeleted)
        .contacts
        .len();
    assert_eq!(
        all,
        sim.truth(&TruthFilter::default(), &Which::All)
            .contacts
            .len()
            + deleted
    );
}

#[test]
fn inbound_calls_are_completed_later() {
    for inbound_by in [InboundBy::CallTime, InboundBy::Modified] {
        let readings = Readings {
            inbound_by,
            ..Readings::default()
        };
        let sim = Simulator::start(Config {
            contacts: 20,
            inbound_per_day: 400,
            readings,
            ..Config::default()
        });
        let running = |sim: &Simulator| -> BTreeSet<String> {
            let rows = sim.inbound_truth(None).inbound_calls;
            rows.into_iter()
                .filter(|(_, row)| row["disconnected"].is_none())
                .map(|(id, _)| id)
                .collect()
        };
        let begun = running(&sim);
        assert!(!begun.is_empty());
        sim.advance(Duration::from_secs(2 * HOUR + 60));
        assert!(running(&sim).is_disjoint(&begun));
        let window = pages(&sim, "inbound/calls/?from=2025-03-10T09:30:00&limit=50").0;
        let listed: BTreeSet<&str> = window
            .iter()
            .map(|call| call["id"].as_str().unwrap())
            .collect();
        let completed = begun.iter().all(|id| listed.contains(id.as_str()));
        assert_eq!(completed, inbound_by == InboundBy::Modified);
        let states = sim
            .inbound_truth(Some(sim.now() - Duration::from_secs(HOUR)))
            .inbound_calls
            .len();
        assert!(states > 5 && states < listed.len());
    }
}

#[test]
fn time_moves_only_when_told() {
    let sim = Simulator::start(Config::default());
    let (first, list) = (sim.now(), get(&sim, "contacts/list?limit=5").body);
    assert_eq!(
        (sim.now(), get(&sim, "contacts/list?limit=5").body),
        (first, list)
    );
    sim.set_time(first + Duration::from_secs(HOUR));
    assert_eq!(sim.now() - first, time::Duration::HOUR);
    let running = Simulator::start(Config {
        realtime: true,
        ..Config::default()
    });
    let first = running.now();
    while running.now() == first {
        std::thread::yield_now();
    }
}
