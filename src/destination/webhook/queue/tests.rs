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

#[test]
fn it_counts_what_is_here_and_what_is_being_sent() {
    let mut queue = Queue::default();
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
    assert!(queue.is_empty() && !queue.is_ready() && !queue.is_busy());
    // Their numbers have one digit and two.
    let each = size_of::<Delivery>() + "body".len();
    queue.put(delivery("A", 1, 7));
    queue.put(delivery("A", 22, 7));
    assert_eq!((queue.len(), queue.bytes()), (2, 2 * each + 3));
    assert!(!queue.is_empty() && queue.is_ready() && !queue.is_busy());

    let first = queue.take().unwrap();
    assert!(queue.is_busy() && queue.is_moving() && !queue.is_ready());
    queue.put_back(first);
    assert!(!queue.is_busy() && queue.is_ready());
    let first = queue.take().unwrap();
    let now = Instant::now();
    queue.put_aside(first, now);
    assert!(!queue.is_busy() && !queue.is_moving());
    assert_eq!((queue.len(), queue.bytes()), (2, 2 * each + 3));
    assert_eq!(queue.wake(now), None);

    let first = queue.take().unwrap();
    queue.done(&first);
    assert_eq!((queue.len(), queue.bytes()), (1, each + 2));
    assert_eq!(queue.open_rounds(), BTreeSet::from([7]));
    let second = queue.take().unwrap();
    queue.done(&second);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
    assert!(queue.is_empty() && !queue.is_moving());
}

#[test]
fn a_version_has_the_bytes_of_its_contact_and_its_transaction() {
    let mut queue = Queue::default();
    let mut version = delivery("A", 1, 1);
    version.content = Content::Version {
        contact: "{\"$id\":1}".into(),
        transaction: "{}".into(),
        digest: [0; 16],
    };
    queue.put(version);
    assert_eq!(queue.bytes(), size_of::<Delivery>() + 9 + 2 + 1);
}
