//! What is tried again with a reconcile: contacts that the API failed on, and the requests of the spool.

use std::collections::{BTreeSet, HashSet};

use super::Courier;
use crate::dialfire::event::Event;
use crate::error::{Error, Result};
use crate::sync::backlog::Listed;
use crate::webhook::queue::{Content, Delivery};

impl Courier {
    /// What still waits for another try of the contacts that these events name: it has to be posted before, so that the
    /// order stays.
    pub(super) fn those_before(&self, events: &[Listed], failing: &[Event]) -> Vec<Event> {
        let retry = &self.checkpoint.retry;
        if retry.is_empty() && failing.is_empty() {
            return Vec::new();
        }
        let named: HashSet<&str> = events.iter().map(Listed::contact_id).collect();
        retry
            .iter()
            .filter_map(|event| Event::parse(event).ok())
            .chain(failing.iter().cloned())
            .filter(|event| named.contains(event.contact_id.as_str()))
            .collect()
    }

    /// What could not be delivered is tried once more with each reconcile.
    pub(super) fn send_spooled(&mut self) -> Result<()> {
        let keys = self.sender.spool().keys();
        for key in keys {
            let entry = self.sender.spool().read(key);
            match entry {
                Ok(Some(entry)) if !self.sender.holds(entry.key, entry.event) => {
                    let delivery = Delivery {
                        contact_id: entry.contact.into(),
                        key_part: entry.transaction,
                        key: entry.key,
                        event: entry.event,
                        version: entry.content,
                        content: Content::Spooled {
                            id: entry.id,
                            body: entry.body,
                        },
                        round: self.round,
                        tries: 0,
                        spent: 0,
                        first_failure: None,
                    };
                    self.sender.put(vec![delivery], || self.patience())?;
                }
                Ok(_) => {}
                Err(error) => log::error!("{error}"),
            }
        }
        Ok(())
    }
}

/// Contacts that the API fails on are asked for again at the next reconcile, those that were `tried` now only if it failed
/// once more.
///
/// # Errors
/// [`Transient`](crate::error::ErrorKind::Transient) where more than `most` would wait: then all stays as it was, and the
/// time in which the new ones lie has to be read again, so that none is forgotten.
pub(super) fn retry_later(
    retry: &mut Vec<String>,
    tried: Vec<String>,
    failing: &[Event],
    most: usize,
) -> Result<()> {
    let tried: HashSet<String> = tried.into_iter().collect();
    let waiting: BTreeSet<String> = retry
        .iter()
        .filter(|text| !tried.contains(*text))
        .cloned()
        .chain(
            failing
                .iter()
                .map(|event| format!("{}|{}|{}", event.key_part, event.md5, event.contact_id)),
        )
        .collect();
    if waiting.len() > most {
        return Err(Error::transient(format!(
            "the API fails on the contacts of {} transactions, and no more than {most} can wait for another try",
            waiting.len()
        )));
    }
    *retry = waiting.into_iter().collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_too_much_to_wait_keeps_its_time_open() {
        let texts = [
            "2024-03-05T09:15:42Z1|m|A",
            "2024-03-05T09:15:43Z1|m|B",
            "2024-03-05T09:15:44Z1|m|C",
        ];
        let [a, b, c] = texts.map(|text| Event::parse(text).unwrap());
        let mut retry = Vec::new();
        retry_later(&mut retry, Vec::new(), &[b.clone(), a, b.clone()], 2).unwrap();
        assert_eq!(retry, texts[..2]);
        let tried = retry.clone();
        let error = retry_later(
            &mut retry,
            tried.clone(),
            &[c.clone(), b.clone(), b.clone()],
            1,
        );
        assert_eq!(
            error.unwrap_err().kind(),
            crate::error::ErrorKind::Transient
        );
        assert_eq!(retry, texts[..2]);
        retry_later(&mut retry, tried, &[c, b], 2).unwrap();
        assert_eq!(retry, texts[1..]);
    }
}
