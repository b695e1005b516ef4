//! Compares what a web service received with what the simulator holds.

use std::collections::{HashMap, HashSet};

use super::receiver::Arrival;
use super::simulator::instant::parse;
use super::simulator::{Post, Simulator, TruthFilter};

use time::OffsetDateTime;

/// So many differences are shown.
const SHOWN: usize = 12;

/// What is allowed besides one arrival per version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// So often the process was killed. Each time, what its lanes had under way may come again although it was answered,
    /// or be taken for never delivered.
    pub kills: usize,
}

/// Requests under way at the same time.
const LANES: usize = 8;

/// Fails unless the arrivals are what the simulator's events and documents demand: the present version of each
/// transaction arrived; nothing else than what the filter and the start let through; each contact's in their order;
/// `new` first and `updated` later; repetitions only with the same id, and only of what was not answered.
pub fn assert_delivered(
    sim: &Simulator,
    filter: &TruthFilter,
    since: OffsetDateTime,
    arrivals: &[Arrival],
    allowed: Allowed,
) {
    let posts = sim.posts(filter, since);
    assert!(posts.len() > 20, "only {} transactions", posts.len());
    let mut problems = missing(&posts, arrivals);
    problems.extend(superfluous(sim, &posts, arrivals));
    let (wrong, excused) = wrong_states(arrivals, allowed);
    problems.extend(wrong);
    if excused > allowed.kills * LANES {
        problems.push(format!(
            "{excused} repetitions and wrong states at {} kills",
            allowed.kills
        ));
    }
    problems.extend(wrong_order(arrivals));
    let count = problems.len();
    problems.truncate(SHOWN);
    assert!(
        count == 0,
        "{count} problems among {} arrivals of {} transactions:\n{}",
        arrivals.len(),
        posts.len(),
        problems.join("\n")
    );
}

type Key = (String, String, String);

fn key(post: &Post) -> Key {
    (
        post.contact.clone(),
        post.fired.clone(),
        post.sequence.clone(),
    )
}

/// Transactions whose present version is not the last one that arrived.
pub fn missing(posts: &[Post], arrivals: &[Arrival]) -> Vec<String> {
    let mut last: HashMap<Key, &str> = HashMap::new();
    for arrival in arrivals {
        last.insert(arrival.key(), &arrival.transaction);
    }
    posts
        .iter()
        .filter_map(|post| match last.get(&key(post)) {
            Some(transaction) if *transaction == post.transaction => None,
            Some(transaction) => Some(format!(
                "{:?}: not the present version: {transaction} instead of {}",
                key(post),
                post.transaction
            )),
            None => Some(format!("{:?}: did not arrive", key(post))),
        })
        .collect()
}

/// What arrived and is none of these; contacts deleted since are left out.
pub fn superfluous(sim: &Simulator, posts: &[Post], arrivals: &[Arrival]) -> Vec<String> {
    let wanted: HashSet<Key> = posts.iter().map(key).collect();
    let deleted = sim.deleted();
    arrivals
        .iter()
        .filter(|arrival| {
            !wanted.contains(&arrival.key()) && !deleted.contains(&arrival.contact_id)
        })
        .map(|arrival| format!("{:?}: should not have arrived", arrival.key()))
        .collect()
}

/// What is wrong, and how much of the rest only a kill can excuse.
pub fn wrong_states(arrivals: &[Arrival], allowed: Allowed) -> (Vec<String>, usize) {
    let (mut problems, mut excused) = (Vec::new(), 0);
    let mut by_key: HashMap<Key, Vec<&Arrival>> = HashMap::new();
    for arrival in arrivals {
        by_key.entry(arrival.key()).or_default().push(arrival);
    }
    for (key, arrivals) in by_key {
        let mut before: Vec<&Arrival> = Vec::new();
        for arrival in arrivals {
            let repeated = before.iter().rev().find(|b| b.id() == arrival.id());
            if let Some(earlier) = repeated {
                let answered = before.iter().any(|b| b.id() == arrival.id() && b.accepted);
                if earlier.transaction != arrival.transaction || earlier.state != arrival.state {
                    problems.push(format!("{key:?}: one id for two versions"));
                } else if answered {
                    excused += 1;
                    if allowed.kills == 0 {
                        problems.push(format!("{key:?}: repeated although it was answered"));
                    }
                }
            } else {
                if before
                    .last()
                    .is_some_and(|b| b.transaction == arrival.transaction)
                {
                    problems.push(format!("{key:?}: one version with two ids"));
                }
                // A lost answer may be all that was ever sent of the version before.
                let known = before.iter().any(|b| b.accepted);
                let wanted = if known { "updated" } else { "new" };
                if arrival.state != wanted {
                    excused += 1;
                    if allowed.kills == 0 || arrival.state != "new" {
                        problems.push(format!("{key:?}: {} instead of {wanted}", arrival.state));
                    }
                }
            }
            before.push(arrival);
        }
    }
    (problems, excused)
}

/// First arrivals of a contact's transactions that are not in the order of time, or came before the one in front of them
/// was accepted. One may overtake others that the API showed later.
fn wrong_order(arrivals: &[Arrival]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut known = HashSet::new();
    let mut last: HashMap<&str, &Arrival> = HashMap::new();
    let mut refused: HashMap<&str, Key> = HashMap::new();
    for arrival in arrivals {
        let contact = arrival.contact_id.as_str();
        if refused.get(contact) == Some(&arrival.key()) {
            refused.remove(contact);
        }
        if known.insert(arrival.key()) {
            if let Some(before) = refused.remove(contact) {
                problems.push(format!(
                    "{:?}: arrived before {before:?} was accepted",
                    arrival.key()
                ));
            }
            let order = |arrival: &Arrival| {
                let sequence: u64 = arrival.sequence.parse().unwrap();
                (parse(&arrival.fired).unwrap(), sequence)
            };
            if let Some(before) = last.insert(contact, arrival)
                && order(before) > order(arrival)
            {
                problems.push(format!(
                    "{:?}: arrived after {} {}",
                    arrival.key(),
                    before.fired,
                    before.sequence
                ));
            }
        }
        if !arrival.accepted {
            refused.insert(contact, arrival.key());
        }
    }
    problems
}
