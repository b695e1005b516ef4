//! What the documents of a copy hold of transactions and connections. Where they hold none although the event list names
//! some, they are written in a way that is not understood: nothing else would show it.

use std::collections::HashSet;

use time::OffsetDateTime;

use super::engine::Engine;
use super::fetch::IDS_PER_REQUEST;
use super::pass::Tally;
use super::webhook::MANY_CONTACTS;
use crate::error::{Error, ErrorKind, Result};
use crate::source::client::{EventQuery, Fetched};
use crate::source::contacts::each_contact;
use crate::source::pages::PageError;
use crate::source::shape;
use crate::tables::rows::has_transactions;
use crate::text;

/// So many contacts without any transaction make one suspicious: of a campaign that was never called all are so. Of a copy of
/// everything one is enough.
const MANY: usize = 20;

/// How many contacts came, by what their documents hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readings {
    /// With a transaction.
    with: usize,
    /// Without any.
    without: usize,
    /// Of those that events name: with a transaction.
    named_with: usize,
    /// And without any.
    named_without: usize,
    /// Connections that became rows, and those that were left out.
    connections: usize,
    connections_left_out: usize,
}

impl Readings {
    /// A contact came.
    pub fn take(&mut self, is_named: bool, has_some: bool) {
        let count = match has_some {
            true => &mut self.with,
            false => &mut self.without,
        };
        *count += 1;
        if is_named {
            let count = match has_some {
                true => &mut self.named_with,
                false => &mut self.named_without,
            };
            *count += 1;
        }
    }

    /// Connections came.
    pub fn take_connections(&mut self, stored: usize, left_out: usize) {
        self.connections += stored;
        self.connections_left_out += left_out;
    }

    /// Adds those of a round to those of the rounds before it in which events named contacts without transactions only.
    ///
    /// # Errors
    /// [`Transient`](ErrorKind::Transient) where most of many contacts that events name hold no transaction.
    pub fn judge(&mut self, round: Readings) -> Result<()> {
        self.named_with += round.named_with;
        self.named_without += round.named_without;
        let (with, without) = (self.named_with, self.named_without);
        if without >= MANY_CONTACTS && without > with {
            return Err(Error::transient(format!(
                "the event list names transactions of {} contacts, and the documents of {without} of them hold none that can \
                 be read",
                with + without
            )));
        }
        if with > 0 {
            *self = Readings::default();
        }
        Ok(())
    }
}

/// What is wrong with a pass that ended.
#[derive(Debug)]
pub enum Doubt {
    /// Nobody is listed although events name contacts: they may have been deleted.
    Unlisted(String),
    /// Whether there are transactions can't be asked.
    Unasked(String),
    /// Documents hold what can't be read.
    Unread(String),
}

/// What is wrong where contacts came, and not one with a transaction, or where nobody is listed: the event list is asked
/// whether there are any. `is_copy` means that everything since then was to come.
///
/// # Errors
/// That of the API.
pub fn unread(
    engine: &Engine,
    tally: &Tally,
    since: Option<OffsetDateTime>,
    is_copy: bool,
) -> Result<Option<Doubt>> {
    let readings = tally.readings;
    // Of a few contacts that change, all may have been called without an end long ago.
    let has_stored = engine.board.borrow().status.written.connections > 0;
    if is_copy && !has_stored && readings.connections == 0 && readings.connections_left_out >= MANY
    {
        return Ok(Some(Doubt::Unread(format!(
            "not one of {} connections of earlier days has an end, and an id or a time, that can be read",
            readings.connections_left_out
        ))));
    }
    let is_listed = tally.contacts > 0 || tally.fetched > 0;
    let many = if is_copy { 1 } else { MANY };
    // What was fetched before the question failed is not fetched again.
    let is_open = is_copy && engine.checkpoint.unasked;
    if readings.with > 0
        || (is_listed && readings.without < many && !is_open)
        || !(is_listed || is_copy)
    {
        return Ok(None);
    }
    let client = engine.client();
    let mut pages = client.events(&EventQuery {
        from: since.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        to: None,
        updates_only: false,
        tasks: Vec::new(),
    });
    let events = match pages.next_page() {
        Ok(page) => page.map(|page| page.items).unwrap_or_default(),
        Err(PageError::Expired(error) | PageError::Failed(error)) => {
            if error.kind() == ErrorKind::Stopped {
                return Err(error);
            }
            return Ok(Some(Doubt::Unasked(format!(
                "not one of the contacts that came has a transaction, and whether there are any can't be asked: {error}"
            ))));
        }
    };
    let mut known = HashSet::new();
    let ids: Vec<String> = (events.iter().map(|event| event.contact_id()))
        .filter(|id| known.insert(*id))
        .take(IDS_PER_REQUEST)
        .map(str::to_owned)
        .collect();
    if ids.is_empty() {
        return Ok(None);
    }
    if !is_listed {
        return Ok(Some(Doubt::Unlisted(
            "Dialfire lists no contact, and its event list names some".to_owned(),
        )));
    }
    // They are asked for once more: what events name may be others than those that came.
    let read = client.contacts(&ids, |text| {
        let (mut with, mut example) = (0, None);
        each_contact(text, &ids, |id, contact| {
            with += usize::from(has_transactions(id, contact));
            example = Some(format!(
                "that of contact {} has {}",
                text::foreign(id),
                shape::keys(contact)
            ));
            Ok(())
        })?;
        Ok((with, example))
    })?;
    Ok(match read {
        Fetched::Read((0, Some(example)), _) => Some(Doubt::Unread(format!(
            "the event list names transactions, and no document of a contact holds one that can be read: {example}"
        ))),
        Fetched::RefusedBatch {
            status: 200 | 500..,
            reason,
        } => Some(Doubt::Unread(format!(
            "the event list names transactions, and the documents of their contacts can't be read: {reason}"
        ))),
        _ => None,
    })
}
