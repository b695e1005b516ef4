//! The lanes by themselves, with deliveries that are made up, for what only a rare moment brings about otherwise.

use std::time::Duration;

use dbsync2::destination::webhook::digest;
use dbsync2::destination::webhook::ledger::{Ledger, Mark};
use dbsync2::destination::webhook::queue::{Content, Delivery};
use dbsync2::destination::webhook::receiver::{self, Address};
use dbsync2::destination::webhook::sender::{self, Sender};
use dbsync2::destination::webhook::signature::Signer;
use dbsync2::destination::webhook::spool::{Entry, Spool};
use dbsync2::net::retry::RetryPolicy;
use dbsync2::net::tls::Roots;

use super::wait_for;
use crate::support::receiver::{Receiver, Reply};
use crate::support::temp::TempDir;

const KEY_PART: &str = "2024-03-05T09:15:42.468Z0001";
const KEY: u64 = 7;

fn version(number: u32, content: Content) -> Delivery {
    Delivery {
        contact_id: "CONTACT".into(),
        key_part: KEY_PART.to_owned(),
        key: KEY,
        event: number,
        version: number,
        content,
        round: 1,
        tries: 0,
        spent: 0,
        first_failure: None,
    }
}

/// A transaction of which version 1 lies in the spool, and waits behind version 2 to be tried once more.
fn two_versions(directory: &TempDir, receiver: &Receiver) -> Sender {
    let mut ledger = Ledger::open(&directory.path().join("ledger"), 0).unwrap();
    ledger.record(
        KEY,
        Mark {
            event: 1,
            content: 0,
        },
        1,
    );
    let mut spool = Spool::open(&directory.path().join("spool"), &mut ledger).unwrap();
    let old = Entry {
        time: "2024-03-05T10:00:00Z".to_owned(),
        reason: "HTTP 400".to_owned(),
        id: "msg_1".to_owned(),
        contact: "CONTACT".to_owned(),
        transaction: KEY_PART.to_owned(),
        key: KEY,
        event: 1,
        content: 1,
        body: body(1),
    };
    spool.put(&old).unwrap();
    let options = sender::Options {
        campaign: "CAMPAIGN".to_owned(),
        receiver: receiver::Receiver::new(receiver::Options {
            address: Address::read(&receiver.url()).unwrap(),
            signer: Signer::default(),
            headers: Vec::new(),
            roots: Roots::load(None).unwrap(),
            timeout: Duration::from_secs(30),
            connections: 2,
        })
        .unwrap(),
        ledger,
        spool,
        retry: RetryPolicy {
            attempts: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(2),
        },
        rate: None,
        today: Box::new(|| 1),
    };
    let sender = Sender::start(2, options).unwrap();
    let new = Content::Version {
        contact: r#"{"$id":"CONTACT"}"#.into(),
        transaction: transaction(2).into(),
        digest: digest::digest(&[b"2"]),
    };
    let spooled = Content::Spooled {
        id: old.id,
        body: old.body,
    };
    sender
        .put(vec![version(2, new), version(1, spooled)], || Ok(()))
        .unwrap();
    sender
}

fn transaction(number: u32) -> String {
    format!(r#"{{"fired":"2024-03-05T09:15:42.468Z","sequence_nr":1,"n":{number}}}"#)
}

fn body(number: u32) -> String {
    format!(
        r#"{{"contact":{{"$id":"CONTACT"}},"transaction":{},"state":"new"}}"#,
        transaction(number)
    )
}

fn bodies(receiver: &Receiver) -> Vec<String> {
    let arrivals = receiver.arrivals();
    arrivals.iter().map(|a| a.body.to_string()).collect()
}

#[test]
fn a_spooled_version_is_not_sent_after_a_newer_one() {
    let (directory, receiver) = (TempDir::new(), Receiver::start());
    let sender = two_versions(&directory, &receiver);
    wait_for("the end of both", || sender.standing().waiting == 0);
    assert_eq!(bodies(&receiver), [body(2)]);
    assert!(sender.spool().is_empty());
    let known = sender.ledger().get(KEY).unwrap();
    assert_eq!((known.event, known.content), (2, 2));
}

#[test]
fn a_spooled_version_is_dropped_when_a_newer_one_takes_its_place_in_the_spool() {
    let (directory, receiver) = (TempDir::new(), Receiver::start());
    receiver.behave(|_| Reply::status(400));
    let sender = two_versions(&directory, &receiver);
    wait_for("the end of both", || sender.standing().waiting == 0);
    assert_eq!(bodies(&receiver), [body(2), body(2), body(2)]);
    let kept = sender.spool().read(KEY).unwrap().unwrap();
    assert_eq!((kept.event, kept.body), (2, body(2)));
    let known = sender.ledger().get(KEY).unwrap();
    assert_eq!((known.event, known.content), (2, 0));
}
