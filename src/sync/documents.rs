//! From events to deliveries: the contacts that they name are fetched by several threads, and taken apart there.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use super::backlog::Wanted;
use super::fetch::{Failures, IDS_PER_REQUEST, InVain, halving};
use crate::destination::webhook::digest;
use crate::destination::webhook::payload::{self, TaskLog};
use crate::destination::webhook::queue::{Content, Delivery};
use crate::error::{Error, ErrorKind, Result};
use crate::net::large::Held;
use crate::source::client::Client;
use crate::source::contacts::each_contact;
use crate::source::event::Event;
use crate::source::json::{Object, compact};
use crate::tables::filter::Filter;

/// Deliveries that are handed over at a time, but for those of the last answer.
const MAX_DELIVERIES: usize = 1000;

/// What came of some contacts.
#[derive(Debug, Default)]
pub struct Found {
    /// What is to be posted, each contact's in their order.
    pub deliveries: Vec<Delivery>,
    /// Contacts that came.
    pub fetched: usize,
    /// Events whose transactions the filter leaves out.
    pub left_out: Vec<Event>,
    /// Events whose transactions the document doesn't have.
    pub absent: Vec<Event>,
    /// One of them, and what the document has instead.
    pub example: Option<String>,
    /// Events whose contacts the API has no document for.
    pub unanswered: Vec<Event>,
    /// Events whose contacts the API fails on.
    pub failing: Vec<Event>,
    /// Until the deliveries are taken no other large answer is read.
    pub held: Held,
}

/// A contact's events in the order of their transactions; of several for one transaction the last one.
fn order_of_events(events: &[Event]) -> Vec<&Event> {
    let mut known = HashSet::new();
    let from_the_end = events.iter().rev();
    let mut kept: Vec<_> = from_the_end
        .filter(|event| events.len() < 2 || known.insert(event.key_part()))
        .map(|event| (event.fired_at(), event.fired(), event.sequence(), event))
        .collect();
    kept.reverse();
    // Stable: what can't be compared stays in the order of the list.
    kept.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    kept.into_iter().map(|(.., event)| event).collect()
}

/// Fetches all contacts with so many threads, and hands out what came, in any order; and `None` every `step` while
/// nothing comes. Contacts that can't be fetched are logged by `failures`.
///
/// # Errors
/// That of the API, or of `take`: then nothing further is fetched.
pub fn fetch_all(
    client: &Client,
    filter: &Filter,
    workers: usize,
    round: u64,
    wanted: &[Wanted],
    (step, failures): (Duration, &Failures),
    mut take: impl FnMut(Option<Found>) -> Result<()>,
) -> Result<()> {
    let parts: Vec<&[Wanted]> = wanted.chunks(IDS_PER_REQUEST).collect();
    let next = AtomicUsize::new(0);
    let in_vain = InVain::new(failures);
    thread::scope(|scope| {
        // Not more than one answer waits: memory counts.
        let (reply, inbox) = sync_channel(1);
        for _ in 0..workers.min(parts.len()) {
            let (reply, parts, next, in_vain) = (reply.clone(), &parts, &next, &in_vain);
            thread::Builder::new()
                .name("fetch".to_owned())
                .spawn_scoped(scope, move || {
                    while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut ids: Vec<String> =
                            part.iter().map(|contact| contact.id.to_string()).collect();
                        while !ids.is_empty() {
                            let work = || fetch(client, filter, round, (&ids, part), in_vain);
                            let fetched =
                                catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
                                    Err(Error::transient(
                                        "an internal error while contacts were read (see the log)",
                                    ))
                                });
                            let (found, postponed) = match fetched {
                                Ok((found, postponed)) => (Ok(found), postponed),
                                Err(error) => (Err(error), Vec::new()),
                            };
                            if reply.send(found).is_err() {
                                return;
                            }
                            ids = postponed;
                        }
                    }
                })
                .map_err(|error| Error::transient(format!("cannot start a thread: {error}")))?;
        }
        drop(reply);
        let mut work = || -> Result<()> {
            loop {
                match inbox.recv_timeout(step) {
                    Ok(found) => take(Some(found?))?,
                    Err(RecvTimeoutError::Timeout) => take(None)?,
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            }
        };
        let result = work();
        if let Err(error) = &result {
            next.store(parts.len(), Ordering::Relaxed);
            if error.kind() == ErrorKind::Stopped {
                // An answer may take two minutes.
                client.shut_down();
            }
        }
        drop(inbox);
        result
    })
}

/// What came of these contacts, and those of them that are still to be asked for.
fn fetch(
    client: &Client,
    filter: &Filter,
    round: u64,
    (ids, wanted): (&[String], &[Wanted]),
    in_vain: &InVain,
) -> Result<(Found, Vec<String>)> {
    let wanted: HashMap<&str, &Wanted> = wanted
        .iter()
        .map(|contact| (&*contact.id, contact))
        .collect();
    let events_of = |ids: &[String]| -> Vec<Event> {
        ids.iter()
            .filter_map(|id| wanted.get(id.as_str()))
            .flat_map(|contact| order_of_events(&contact.events))
            .cloned()
            .collect()
    };
    let mut all = Found::default();
    let missing = halving(
        client,
        ids,
        in_vain,
        |ids| {
            client.contacts(ids, |text| {
                let mut found = Found::default();
                let unanswered = each_contact(text, ids, |id, contact| {
                    found.fetched += 1;
                    if let Some(wanted) = wanted.get(id) {
                        take_apart(wanted, contact, filter, round, &mut found);
                    }
                    Ok(())
                })?;
                Ok((found, unanswered))
            })
        },
        |part: Found, held| {
            all.held = held;
            all.deliveries.extend(part.deliveries);
            all.left_out.extend(part.left_out);
            all.absent.extend(part.absent);
            all.example = all.example.take().or(part.example);
            all.fetched += part.fetched;
            all.held.is_none() && all.deliveries.len() < MAX_DELIVERIES
        },
    )?;
    all.unanswered = events_of(&missing.unanswered);
    all.failing = events_of(&missing.failing);
    Ok((all, missing.postponed))
}

fn take_apart(
    wanted: &Wanted,
    document: &Object<'_>,
    filter: &Filter,
    round: u64,
    found: &mut Found,
) {
    let log = TaskLog::of(document);
    let contact: Arc<str> = payload::contact(document).into();
    let events = order_of_events(&wanted.events);
    for (event, transaction) in events.iter().zip(log.find(&events)) {
        let event = *event;
        let Some((transaction, text)) = transaction else {
            found.absent.push(event.clone());
            found.example.get_or_insert_with(|| {
                format!(
                    "event {:?} of contact {}, whose document has {}",
                    event.key_part(),
                    event.contact_id(),
                    log.describe()
                )
            });
            continue;
        };
        if !filter.passes(&transaction) {
            found.left_out.push(event.clone());
            continue;
        }
        let content = digest::digest(&[compact(text).as_bytes()]);
        found.deliveries.push(Delivery {
            contact_id: Arc::clone(&wanted.id),
            key: digest::key(&wanted.id, event.key_part()),
            key_part: event.key_part().to_owned(),
            event: digest::version(event.md5()),
            version: digest::short(content),
            content: Content::Version {
                contact: Arc::clone(&contact),
                transaction: text.into(),
                digest: content,
            },
            round,
            tries: 0,
            spent: 0,
            first_failure: None,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_in_the_order_of_their_transactions() {
        let event = |text: &str| Event::parse(text).unwrap();
        let names = |events: Vec<&Event>| -> Vec<String> {
            events
                .into_iter()
                .map(|event| format!("{} {}", event.key_part(), event.md5()))
                .collect()
        };
        let events = [
            event("2024-03-05T09:15:43.000Z0001|a|C"),
            event("2024-03-05T09:15:42.000Z10000|b|C"),
            event("2024-03-05T09:15:42.000Z9999|c|C"),
            event("2024-03-05T09:15:42.5Z0003|d|C"),
            event("2024-03-05T09:15:43.000Z0001|e|C"),
        ];
        assert_eq!(
            names(order_of_events(&events)),
            [
                "2024-03-05T09:15:42.000Z9999 c",
                "2024-03-05T09:15:42.000Z10000 b",
                "2024-03-05T09:15:42.5Z0003 d",
                "2024-03-05T09:15:43.000Z0001 e",
            ]
        );
    }
}
