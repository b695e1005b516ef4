//! The listing thread: what a round has to look at, page by page, no faster than the main thread asks for it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender};

use time::{Date, OffsetDateTime};

use super::fetch::Answer;
use super::profile::{Activity, Profile};
use crate::error::{Error, Result};
use crate::source::client::{Client, EventQuery, InboundCall, Listed};
use crate::source::event::Event;
use crate::source::pages::{Entry, Page, PageError, Pages};

/// Events are gathered over so many pages before they are handed on, so that a contact with events on several of
/// them is fetched once, and after all of them were listed.
pub const EVENT_PAGES: usize = 20;

/// What the main thread is told by the listing thread and by the fetching threads.
pub enum Message {
    /// The first answer of this round came at this time of Dialfire's clock.
    Answered(OffsetDateTime),
    /// Transaction events.
    Events(Vec<Event>),
    /// Inbound calls, unparsed.
    Calls(Vec<InboundCall>),
    /// Entries of the list of contacts.
    Listed(Vec<Listed>),
    /// Everything is listed.
    AllListed,
    /// Contacts as rows.
    Fetched(Box<Answer>),
    /// The round can't be completed.
    Failed(Error),
}

/// What one round lists.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Transaction events, if any.
    pub events: Option<EventQuery>,
    /// Inbound calls from here on; from the beginning if the inner value is `None`.
    pub calls: Option<Option<OffsetDateTime>>,
    /// Contacts changed on this day or later; all if the inner value is `None`.
    pub contacts: Option<Option<Date>>,
}

/// Lists everything in the scope. Each message waits for a credit from the main thread; the end of the main thread's
/// interest (both channels closed) ends it.
pub fn list(
    client: &Client,
    scope: &Scope,
    profile: &Profile,
    credits: &Receiver<()>,
    inbox: &SyncSender<Message>,
) {
    let lister = Lister {
        client,
        profile,
        credits,
        inbox,
        may_send: Cell::new(false),
    };
    // Without a last message the main thread would wait for ever.
    let last = match catch_unwind(AssertUnwindSafe(|| lister.all(scope))) {
        Ok(Ok(())) => Message::AllListed,
        Ok(Err(error)) => Message::Failed(error),
        Err(_) => Message::Failed(Error::transient(
            "an internal error while listing (see the log)",
        )),
    };
    let _ = inbox.send(last);
}

struct Lister<'a> {
    client: &'a Client,
    profile: &'a Profile,
    credits: &'a Receiver<()>,
    inbox: &'a SyncSender<Message>,
    /// Whether a credit was taken that no message has used up yet.
    may_send: Cell<bool>,
}

impl Lister<'_> {
    fn all(&self, scope: &Scope) -> Result<()> {
        let mut answered = false;
        let mut tell_time = || -> Result<()> {
            if !std::mem::replace(&mut answered, true) {
                let clock = self.client.clock();
                self.send(Message::Answered(
                    clock.last_answer_time().unwrap_or_else(|| clock.now()),
                ))?;
            }
            Ok(())
        };
        if let Some(query) = &scope.events {
            let mut pages = self.client.events(query);
            loop {
                self.wait_for_credit()?;
                let mut gathered = Vec::new();
                let mut at_end = false;
                for _ in 0..EVENT_PAGES {
                    match self.next(&mut pages, "transaction events")? {
                        Some(page) => gathered.extend(page.items),
                        None => {
                            at_end = true;
                            break;
                        }
                    }
                    tell_time()?;
                }
                self.send_page(Message::Events(gathered))?;
                if at_end {
                    break;
                }
            }
        }
        if let Some(from) = scope.calls {
            // The window's end lies in the future: a call may be dated by the telephone system's clock.
            let now = self.client.clock().now();
            let to = now.saturating_add(time::Duration::minutes(10));
            let mut pages = self.client.inbound_calls(from, Some(to));
            self.wait_for_credit()?;
            while let Some(page) = self.next(&mut pages, "inbound calls")? {
                tell_time()?;
                self.send_page(Message::Calls(page.items))?;
                self.wait_for_credit()?;
            }
        }
        if let Some(changed_since) = scope.contacts {
            let mut pages = self.client.contact_list(changed_since);
            self.wait_for_credit()?;
            while let Some(page) = self.next(&mut pages, "the list of contacts")? {
                tell_time()?;
                self.send_page(Message::Listed(page.items))?;
                self.wait_for_credit()?;
            }
        }
        Ok(())
    }

    fn wait_for_credit(&self) -> Result<()> {
        if !self.may_send.get() {
            self.credits.recv().map_err(|_| Error::stopped())?;
            self.may_send.set(true);
        }
        Ok(())
    }

    fn next<T: Entry>(&self, pages: &mut Pages<T>, what: &str) -> Result<Option<Page<T>>> {
        self.profile
            .measure(Activity::Listing, || pages.next_page())
            .map_err(|error| match error {
                PageError::Expired(error) => Error::transient(format!(
                    "cannot go on listing {what}, beginning again: {error}"
                )),
                PageError::Failed(error) => error,
            })
    }

    fn send_page(&self, page: Message) -> Result<()> {
        self.may_send.set(false);
        self.send(page)
    }

    fn send(&self, message: Message) -> Result<()> {
        self.inbox.send(message).map_err(|_| Error::stopped())
    }
}
