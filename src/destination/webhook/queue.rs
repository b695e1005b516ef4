//! Deliveries that wait, contact by contact: the next one of a contact is handed out only when the one before is done.
//! Pure: time is passed in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::gate::FirstFailure;

/// What is to be posted.
#[derive(Debug, Clone)]
pub enum Content {
    /// A transaction in the version that the API has now; the body is made when it is sent.
    Version {
        /// The contact as JSON, without its task log.
        contact: Arc<str>,
        /// The transaction as JSON.
        transaction: Box<str>,
        /// Digest of the transaction, without blanks.
        digest: [u8; 16],
    },
    /// A request of the spool, word for word.
    Spooled {
        /// `webhook-id`
        id: String,
        /// The body.
        body: String,
    },
}

/// A transaction on its way.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Contact id.
    pub contact_id: Arc<str>,
    /// `fired` and sequence number, as in the event.
    pub key_part: String,
    /// Key in the ledger.
    pub key: u64,
    /// Version in the event list, as in the ledger.
    pub event: u32,
    /// Version in the document, as in the ledger.
    pub version: u32,
    /// What is to be posted.
    pub content: Content,
    /// The round that it belongs to.
    pub round: u64,
    /// Attempts made, without those during outages.
    pub tries: u32,
    /// Attempts that count.
    pub spent: u32,
    /// When it failed first.
    pub first_failure: Option<FirstFailure>,
}

impl Delivery {
    fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Version {
                contact,
                transaction,
                ..
            } => contact.len() + transaction.len(),
            Content::Spooled { id, body } => id.len() + body.len(),
        };
        content + self.key_part.len() + size_of::<Delivery>()
    }
}

/// All that waits or is being sent.
#[derive(Debug, Default)]
pub struct Queue {
    contacts: HashMap<Arc<str>, VecDeque<Delivery>>,
    ready: VecDeque<Arc<str>>,
    aside: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
    busy: usize,
    versions: HashSet<(u64, u32)>,
    rounds: BTreeMap<u64, usize>,
    bytes: usize,
}

impl Queue {
    /// Adds a delivery behind all others of its contact.
    pub fn put(&mut self, delivery: Delivery) {
        self.bytes += delivery.bytes();
        self.versions.insert((delivery.key, delivery.event));
        *self.rounds.entry(delivery.round).or_default() += 1;
        let id = Arc::clone(&delivery.contact_id);
        let waiting = self.contacts.entry(Arc::clone(&id)).or_insert_with(|| {
            self.ready.push_back(id);
            VecDeque::new()
        });
        waiting.push_back(delivery);
    }

    /// Hands out the first delivery of the next contact. The contact is busy until [`Queue::done`], [`Queue::put_aside`]
    /// or [`Queue::put_back`].
    pub fn take(&mut self) -> Option<Delivery> {
        let id = self.ready.pop_front()?;
        let delivery = self.contacts.get_mut(&id)?.pop_front()?;
        self.busy += 1;
        Some(delivery)
    }

    /// A delivery that was handed out is over.
    pub fn done(&mut self, delivery: &Delivery) {
        self.busy -= 1;
        self.bytes = self.bytes.saturating_sub(delivery.bytes());
        self.versions.remove(&(delivery.key, delivery.event));
        if let Some(open) = self.rounds.get_mut(&delivery.round) {
            *open -= 1;
            if *open == 0 {
                self.rounds.remove(&delivery.round);
            }
        }
        let id = &delivery.contact_id;
        if self.contacts.get(id).is_some_and(VecDeque::is_empty) {
            self.contacts.remove(id);
        } else {
            self.ready.push_back(Arc::clone(id));
        }
    }

    /// A delivery that was handed out is to be tried again at `at`; until then its contact rests.
    pub fn put_aside(&mut self, delivery: Delivery, at: Instant) {
        let id = self.return_to_contact(delivery);
        self.aside.push(Reverse((at, id)));
    }

    /// A delivery that was handed out is to be tried again, after those of other contacts.
    pub fn put_back(&mut self, delivery: Delivery) {
        let id = self.return_to_contact(delivery);
        self.ready.push_back(id);
    }

    fn return_to_contact(&mut self, delivery: Delivery) -> Arc<str> {
        self.busy -= 1;
        let id = Arc::clone(&delivery.contact_id);
        self.contacts
            .entry(Arc::clone(&id))
            .or_default()
            .push_front(delivery);
        id
    }

    /// Makes contacts whose rest is over ready; returns when the next one will be.
    pub fn wake(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((at, _))) = self.aside.peek() {
            if *at > now {
                return Some(*at);
            }
            if let Some(Reverse((_, id))) = self.aside.pop() {
                self.ready.push_back(id);
            }
        }
        None
    }

    /// Whether something is being sent or could be.
    pub fn is_moving(&self) -> bool {
        self.busy > 0 || !self.ready.is_empty()
    }

    /// Whether something is being sent.
    pub fn is_busy(&self) -> bool {
        self.busy > 0
    }

    /// Whether a delivery could be handed out.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether this version of a transaction is here.
    pub fn holds(&self, key: u64, event: u32) -> bool {
        self.versions.contains(&(key, event))
    }

    /// The rounds of which something is here.
    pub fn open_rounds(&self) -> BTreeSet<u64> {
        self.rounds.keys().copied().collect()
    }

    /// Bytes of all that is here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of deliveries that are here.
    pub fn len(&self) -> usize {
        self.rounds.values().sum()
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }
}

#[cfg(test)]
mod tests;
