//! What the simulator serves: repeatable, in agreement with its truth, and as odd as promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{ids, without_nulls};
use crate::support::http_client::{get, pages, path, post, send};
use crate::support::reading;
use crate::support::simulator::listing::Listing;
use crate::support::simulator::truth::of_contact;
use crate::support::simulator::{
    Config, EmptyAs, EventForm, FieldsAt, Readings, Simulator, Truth, TruthFilter, Which,
};

fn start(contacts: u32, readings: Readings) -> Simulator {
    Simulator::start(Config {
        contacts,
        readings,
        ..Config::default()
    })
}

#[test]
fn same_seed_same_bytes() {
    let serve = |seed| {
        let sim = Simulator::start(Config {
            seed,
            contacts: 60,
            ..Config::default()
        });
        sim.advance(Duration::from_secs(40_000));
        let ids = ids(&sim);
        let events = get(&sim, "contacts/transactions/?from=2024-01-01").body;
        let calls = get(&sim, "inbound/calls/?limit=500").body;
        (
            post(&sim, &ids).body,
            events,
            calls,
            get(&sim, "fields/list").body,
        )
    };
    assert_eq!(serve(3), serve(3));
    let (other, again) = (serve(4), serve(3));
    assert_ne!(other.0, again.0);
    assert_ne!(other.1, again.1);
}

#[test]
fn documents_agree_with_the_truth() {
    for empty_as in [EmptyAs::Text, EmptyAs::Missing, EmptyAs::Null] {
        let sim = start(
            420,
            Readings {
                empty_as,
                ..Readings::default()
            },
        );
        sim.advance(Duration::from_secs(6 * 3600));
        let filter = TruthFilter::default();
        let truth = sim.truth(&filter, &Which::All);
        let mut served = Truth::default();
        for ids in ids(&sim).chunks(30) {
            for document in reading::contacts(&post(&sim, ids).text()) {
                served.extend(of_contact(&document.unwrap(), &filter, &sim.fields()));
            }
        }
        for ((name, expected), (_, found)) in
            truth.tables().into_iter().zip(served.tables()).take(4)
        {
            assert_eq!(expected.len(), found.len(), "{name}");
            for (key, row) in expected {
                assert_eq!(
                    without_nulls(row),
                    without_nulls(&found[key]),
                    "{name} {key}"
                );
            }
        }
        let (calls, _) = pages(&sim, "inbound/calls/?limit=100");
        assert_eq!(calls.len(), truth.inbound_calls.len());
    }
}

#[test]
fn contacts_have_about_twelve_rows_and_eight_kilobytes() {
    let sim = Simulator::start(Config {
        contacts: 1000,
        oddities: false,
        ..Config::default()
    });
    let [contacts, transactions, connections, recordings, _] =
        sim.truth(&TruthFilter::default(), &Which::All).counts();
    let rows = (contacts + transactions + connections + recordings) as f64 / contacts as f64;
    assert!((10.0..14.0).contains(&rows), "{rows}");
    let size = post(&sim, &ids(&sim)).body.len() / contacts;
    assert!((6000..9000).contains(&size), "{size}");
}

#[test]
fn list_is_paged_in_order_and_complete() {
    let sim = start(
        230,
        Readings {
            page_cap: 50,
            ..Readings::default()
        },
    );
    let (entries, sizes) = pages(&sim, "contacts/list?limit=1000");
    assert!(
        sizes[..sizes.len() - 1].iter().all(|size| *size == 50),
        "{sizes:?}"
    );
    let listed: BTreeSet<String> = entries
        .iter()
        .map(|e| e["id"].as_str().unwrap().to_owned())
        .collect();
    let live: BTreeSet<String> = sim
        .truth(&TruthFilter::default(), &Which::All)
        .contacts
        .into_keys()
        .collect();
    assert_eq!(listed, live);
    assert_eq!(listed.len(), entries.len());
    assert!(entries.iter().any(|entry| entry.get("md5").is_none()));

    let changed: BTreeMap<String, String> = (0..sim.contact_count())
        .filter_map(|c| Some((sim.contact_id(c), sim.last_change(c)?.date().to_string())))
        .collect();
    let order: Vec<(&str, String)> = entries
        .iter()
        .filter_map(|e| {
            Some((
                changed[e["id"].as_str()?].as_str(),
                e["md5"].as_str()?[..8].to_owned(),
            ))
        })
        .collect();
    assert!(order.is_sorted());

    let (recent, _) = pages(&sim, "contacts/list?limit=20&changedSince=2025-03-05");
    let recent: BTreeSet<String> = recent
        .iter()
        .map(|e| e["id"].as_str().unwrap().to_owned())
        .collect();
    let expected: BTreeSet<String> = live
        .into_iter()
        .filter(|id| changed[id].as_str() >= "2025-03-05")
        .collect();
    assert!(!expected.is_empty() && expected.len() < listed.len());
    assert_eq!(recent, expected);
}

#[test]
fn list_moves_on_with_time_as_if_built_anew() {
    let config = Config {
        contacts: 300,
        daily_share: 2.0,
        new_per_day: 100.0,
        deleted_share: 0.2,
        ..Config::default()
    };
    let moved = Simulator::start(config.clone());
    for _ in 0..12 {
        pages(&moved, "contacts/list?limit=500");
        moved.advance(Duration::from_secs(5000));
    }
    let anew = Simulator::start(config);
    anew.advance(Duration::from_secs(60_000));
    let (found, _) = pages(&moved, "contacts/list?limit=500");
    assert_eq!(found, pages(&anew, "contacts/list?limit=500").0);
    assert!(found.len() > 300);
    assert!(!moved.deleted().is_empty());
}

#[test]
fn events_point_at_their_transactions() {
    for form in [EventForm::Text, EventForm::Object] {
        let sim = start(
            120,
            Readings {
                event_form: form,
                suffix_digits: 6,
                ..Readings::default()
            },
        );
        let (events, _) = pages(&sim, "contacts/transactions/?from=2024-01-01&limit=77");
        let documents: BTreeMap<String, serde_json::Value> = ids(&sim)
            .chunks(30)
            .flat_map(|ids| post(&sim, ids).json().as_array().unwrap().clone())
            .map(|document| (document["$id"].as_str().unwrap().to_owned(), document))
            .collect();
        let mut found = 0;
        for event in &events {
            let (fired, sequence, id, pointer) = match event.as_str() {
                Some(text) => {
                    let parts: Vec<&str> = text.split('|').collect();
                    assert_eq!((parts.len(), parts[0].len(), parts[1].len()), (4, 30, 32));
                    (
                        parts[0][..24].to_owned(),
                        parts[0][24..].parse::<u64>().unwrap(),
                        parts[2],
                        parts[3],
                    )
                }
                None => (
                    event["fired"].as_str().unwrap().to_owned(),
                    event["seqnr"].as_u64().unwrap(),
                    event["contact_id"].as_str().unwrap(),
                    event["pointer"].as_str().unwrap(),
                ),
            };
            // Events of deleted contacts stay.
            let Some(document) = documents.get(id) else {
                continue;
            };
            let (entry, index) = pointer.split_once(',').unwrap();
            let place = |text: &str| text.parse::<usize>().unwrap();
            let transaction = &document["$task_log"][place(entry)]["transactions"][place(index)];
            assert_eq!(transaction["sequence_nr"], sequence, "{event}");
            assert_eq!(transaction["fired"].as_str().unwrap()[..19], fired[..19]);
            found += 1;
        }
        assert_eq!(
            form == EventForm::Text,
            events.is_sorted_by_key(|e| e.as_str().map(|t| t[..24].to_owned()))
                && events[0].is_string()
        );
        let rows = sim
            .truth(&TruthFilter::default(), &Which::All)
            .transactions
            .len();
        assert_eq!(found, rows, "each transaction with a row has an event");
    }
}

#[test]
fn events_are_filtered_as_asked() {
    let sim = start(300, Readings::default());
    let count = |query: &str| {
        pages(
            &sim,
            &format!("contacts/transactions/?from=2024-01-01&limit=1000{query}"),
        )
        .0
        .len()
    };
    let all = count("");
    let (updates, human, first) = (
        count("&type=update"),
        count("&type=update&hi=true"),
        count("&tasks=fc_,new"),
    );
    assert!(
        all > updates && updates > human && human > 0,
        "{all} {updates} {human}"
    );
    assert!(all > first && first > count("&tasks=fc_s%C3%BC") && count("&tasks=fc_s%C3%BC") > 0);
    let half = count("&to=2025-01-01T00:00:00");
    let rest = pages(&sim, "contacts/transactions/?from=2025-01-01&limit=1000")
        .0
        .len();
    assert_eq!(half + rest, all);

    let one = get(&sim, "contacts/transactions/?from=2025-01-01&limit=1").json();
    let at = one["results"][0].as_str().unwrap()[..23].to_owned();
    let window = format!("contacts/transactions/?from={at}&to={at}");
    assert_eq!(get(&sim, &window).json()["count"], 0);
    let inclusive = start(
        300,
        Readings {
            to_inclusive: true,
            ..Readings::default()
        },
    );
    assert_ne!(get(&inclusive, &window).json()["count"], 0);
}

#[test]
fn fields_appear_in_list_and_documents_when_they_are_added() {
    let sim = Simulator::start(Config {
        contacts: 100,
        daily_share: 6.0,
        ..Config::default()
    });
    let names = |sim: &Simulator| -> Vec<String> {
        let list = get(sim, "fields/list").json();
        let fields = list
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| f["type"] == "field" && f["deleted"] != true);
        fields
            .map(|f| f["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = names(&sim);
    assert_eq!(before.len(), 40);
    assert!(!post(&sim, &ids(&sim)).text().contains("$new_thing"));
    sim.advance(Duration::from_secs(12 * 3600));
    let after = names(&sim);
    assert_eq!(after[..40], before);
    assert_eq!(after[40..], ["Nachtrag", "nachtrag", "Zusatz Nr"]);
    let documents = post(&sim, &ids(&sim)).text();
    for key in [
        "\"Nachtrag\"",
        "\"nachtrag\"",
        "\"Zusatz Nr\"",
        "\"$new_thing\"",
    ] {
        assert!(documents.contains(key), "{key}");
    }
    let old = start(
        5,
        Readings {
            fields_at: FieldsAt::Campaign,
            ..Readings::default()
        },
    );
    let refused = send(&old, "GET", &path(&old, "fields/list"), &[], b"").unwrap();
    assert_eq!(refused.status, 404);
    let form = get(&old, "").json();
    assert!(form["form"]["elements"].as_array().unwrap().len() > 40);
    assert_eq!(start(5, Readings::default()).fields().len(), 42);
}

#[test]
fn large_campaigns_need_little() {
    const { assert!(Listing::BYTES_PER_CONTACT <= 12) };
    let sim = Simulator::start(Config {
        contacts: 100_000,
        ..Config::default()
    });
    let page = get(&sim, "contacts/list?limit=1000").json();
    assert_eq!(page["count"], 1000);
    let id = page["results"][500]["id"].as_str().unwrap().to_owned();
    assert_eq!(post(&sim, std::slice::from_ref(&id)).json()[0]["$id"], id);
}
