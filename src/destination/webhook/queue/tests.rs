#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use super::*;

fn delivery(contact: &str, number: u64, round: u64) -> Delivery {
    Delivery {
        contact_id: contact.into(),
        key_part: number.to_string(),
        key: number,
        event: 1,
        version: 1,
        content: Content::Spooled {
            id: String::new(),
            body: "body".to_owned(),
        },
        round,
        tries: 0,
        spent: 0,
        first_failure: None,
    }
}

fn filled() -> Queue {
    let mut queue = Queue::default();
    for (contact, number) in [("A", 1), ("A", 2), ("B", 3), ("A", 4), ("B", 5)] {
        queue.put(delivery(contact, number, number));
    }
    queue
}

#[test]
fn a_contact_is_handed_out_once_at_a_time_and_in_order() {
    let mut queue = filled();
    let (first, second) = (queue.take().unwrap(), queue.take().unwrap());
    assert_eq!((first.key, second.key), (1, 3));
    assert!(queue.take().is_none() && queue.is_moving());
    queue.done(&first);
    let third = queue.take().unwrap();
    assert_eq!(third.key, 2);
    // What comes meanwhile stands behind.
    queue.put(delivery("A", 6, 1));
    assert!(queue.take().is_none());
    let mut order = Vec::new();
    queue.done(&third);
    queue.done(&second);
    while let Some(next) = queue.take() {
        order.push(next.key);
        queue.done(&next);
    }
    assert_eq!(order, [4, 5, 6]);
    assert!(queue.is_empty() && !queue.is_moving());
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn a_contact_that_rests_holds_its_others_and_nobody_else() {
    let mut queue = filled();
    let now = Instant::now();
    let first = queue.take().unwrap();
    queue.put_aside(first, now + Duration::from_secs(5));
    let other = queue.take().unwrap();
    assert_eq!(other.key, 3);
    queue.done(&other);
    let other = queue.take().unwrap();
    queue.done(&other);
    assert!(queue.take().is_none() && !queue.is_moving());
    assert_eq!(queue.len(), 3);
    assert_eq!(queue.wake(now), Some(now + Duration::from_secs(5)));
    assert!(!queue.is_ready());
    assert_eq!(queue.wake(now + Duration::from_secs(5)), None);
    assert_eq!(queue.take().unwrap().key, 1);
}

#[test]
fn what_is_put_back_stands_behind_other_contacts_and_before_its_own() {
    let mut queue = filled();
    let first = queue.take().unwrap();
    queue.put_back(first);
    let order = [queue.take().unwrap().key, queue.take().unwrap().key];
    assert_eq!(order, [3, 1]);
}

#[test]
fn it_knows_versions_and_rounds() {
    let mut queue = filled();
    assert!(queue.holds(4, 1) && !queue.holds(4, 2) && !queue.holds(9, 1));
    let first = queue.take().unwrap();
    assert!(queue.holds(1, 1));
    queue.done(&first);
    assert!(!queue.holds(1, 1));
    assert_eq!(queue.open_rounds(), BTreeSet::from([2, 3, 4, 5]));
}
