//! What is tried again with a reconcile: contacts that the API failed on, and the requests of the spool.

use std::collections::HashSet;

use super::{Tally, WebhookRun};
use crate::error::Result;
use crate::source::event::Event;

impl WebhookRun {
    /// What still waits for another try of the contacts that these events name: it has to be posted before, so that the
    /// order stays.
    pub(super) fn earlier_retries(&self, events: &[Event], tally: &Tally) -> Vec<Event> {
        let unmatched = self.unmatched();
        let waiting = (self.checkpoint.retry.iter())
            .chain(&self.checkpoint.absent)
            .chain(&unmatched)
            .chain(tally.failing.iter())
            .chain(tally.gone.iter());
        let mut waiting = waiting.peekable();
        if waiting.peek().is_none() {
            return Vec::new();
        }
        let named: HashSet<&str> = events.iter().map(Event::contact_id).collect();
        waiting
            .filter_map(|event| Event::parse(event).ok())
            .filter(|event| named.contains(event.contact_id()))
            .collect()
    }

    /// What could not be delivered is tried once more with each reconcile.
    pub(super) fn send_spooled(&mut self) -> Result<()> {
        let keys = self.sender.spool().keys();
        for key in keys {
            let entry = self.sender.spool().read(key);
            match entry {
                Ok(Some(entry)) if !self.sender.holds(entry.key, entry.event) => {
                    let delivery = entry.into_delivery(self.round);
                    self.sender.put(vec![delivery], || self.patience())?;
                }
                Ok(_) => {}
                Err(error) => log::error!("{error}"),
            }
        }
        Ok(())
    }
}
