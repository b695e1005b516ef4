//! What webhook can do once the API has answered, for the benchmark: its lanes post what a file holds, with all that a
//! delivery takes besides its request: order by contact, `webhook-id`, ledger and its syncs, spool.
//!
//! usage: lane_loop URL CONNECTIONS FILE DIRECTORY, where the file has a body per line; prints deliveries per second
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../../src/heap.rs"]
mod heap;

use std::path::Path;
use std::time::{Duration, Instant};

use dbsync2::destination::webhook::digest;
use dbsync2::destination::webhook::ledger::Ledger;
use dbsync2::destination::webhook::queue::{Content, Delivery};
use dbsync2::destination::webhook::receiver::{self, Address, Receiver};
use dbsync2::destination::webhook::sender::{self, Sender};
use dbsync2::destination::webhook::signature::Signer;
use dbsync2::destination::webhook::spool::Spool;
use dbsync2::net::retry::RetryPolicy;
use dbsync2::net::tls::Roots;
use serde::Deserialize;
use serde_json::value::RawValue;

/// That of the program.
#[global_allocator]
static ALLOCATOR: heap::Heap = heap::Heap::new();

/// About as many as come of one request to the API.
const PER_ANSWER: usize = 50;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    contact: &'a RawValue,
    #[serde(borrow)]
    transaction: &'a RawValue,
}

#[derive(Deserialize)]
struct Contact {
    #[serde(rename = "$id")]
    id: String,
}

#[derive(Deserialize)]
struct Transaction {
    fired: String,
    sequence_nr: Option<u64>,
}

fn delivery(line: &str) -> Delivery {
    let body: Body<'_> = serde_json::from_str(line).unwrap();
    let contact: Contact = serde_json::from_str(body.contact.get()).unwrap();
    let transaction: Transaction = serde_json::from_str(body.transaction.get()).unwrap();
    let key_part = format!(
        "{}{:04}",
        transaction.fired,
        transaction.sequence_nr.unwrap_or(0)
    );
    let content = digest::digest(&[body.transaction.get().as_bytes()]);
    Delivery {
        key: digest::key(&contact.id, &key_part),
        contact_id: contact.id.into(),
        key_part,
        event: digest::short(content),
        version: digest::short(content),
        content: Content::Version {
            contact: body.contact.get().into(),
            transaction: body.transaction.get().into(),
            digest: content,
        },
        round: 1,
        tries: 0,
        spent: 0,
        first_failure: None,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, connections, file, directory] = &arguments[..] else {
        panic!("usage: lane_loop URL CONNECTIONS FILE DIRECTORY");
    };
    let connections = connections.parse().unwrap();
    let directory = Path::new(directory);
    let mut ledger = Ledger::open(&directory.join("ledger"), 0).unwrap();
    let spool = Spool::open(&directory.join("undelivered.jsonl"), &mut ledger).unwrap();
    let receiver = Receiver::new(receiver::Options {
        address: Address::read(url).unwrap(),
        signer: Signer::default(),
        headers: Vec::new(),
        roots: Roots::load(None).unwrap(),
        timeout: Duration::from_secs(30),
        connections,
    });
    let options = sender::Options {
        campaign: "CAMPAIGN".to_owned(),
        receiver: receiver.unwrap(),
        ledger,
        spool,
        retry: RetryPolicy::default(),
        rate: None,
        today: Box::new(|| sender::day(time::OffsetDateTime::now_utc())),
    };
    let text = std::fs::read_to_string(file).unwrap();
    let mut deliveries: Vec<Delivery> = text.lines().map(delivery).collect();
    drop(text);
    let count = deliveries.len();
    let begin = Instant::now();
    let sender = Sender::start(connections, options).unwrap();
    deliveries.reverse();
    while !deliveries.is_empty() {
        let rest = deliveries.len().saturating_sub(PER_ANSWER);
        let mut part = deliveries.split_off(rest);
        part.reverse();
        sender.put(part, || Ok(())).unwrap();
    }
    let step = Duration::from_millis(100);
    while sender.standing().waiting > 0 {
        sender.rest(step);
    }
    sender.sync_ledger().unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(sender.standing().counts.delivered, count as u64);
    println!("{:.0}", count as f64 / seconds);
}
