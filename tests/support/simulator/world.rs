//! Everything the server's threads share.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::campaign::{Campaign, Existence};
use super::clock::Clock;
use super::config::Config;
use super::contacts::Contacts;
use super::counters::Counters;
use super::cursor::Cursors;
use super::events::EventCache;
use super::faults::FaultPlan;
use super::fields::{self, Field};
use super::forms::AnswerForm;
use super::inbound;
use super::instant::Instant;
use super::listing::Listing;
use super::truth::{self, Truth, TruthFilter};

/// The simulated campaign with its clock, and what happens to its server.
#[derive(Debug)]
pub struct World {
    /// Who exists and what happens.
    pub campaign: Campaign,
    /// Simulated time.
    pub clock: Clock,
    /// Makes contact documents.
    pub contacts: Contacts,
    /// Index of contacts/list.
    pub listing: Mutex<Listing>,
    /// Index of the events.
    pub events: EventCache,
    /// Cursors.
    pub cursors: Cursors,
    /// What goes wrong.
    pub faults: Mutex<FaultPlan>,
    /// The form of answers.
    pub form: Mutex<AnswerForm>,
    /// The token that is accepted.
    pub token: Mutex<String>,
    /// What was seen.
    pub counters: Mutex<Counters>,
    /// Answers to POST contacts/, where they are kept.
    pub answers: Mutex<KeptAnswers>,
    /// Set when the server ends.
    pub stopping: AtomicBool,
}

/// The body of a request, and whether its answer is compressed.
pub type Question = (Vec<u8>, bool);

/// The answers of one instant by what was asked; as time only moves forward, older ones are never right again.
#[derive(Debug, Default)]
pub struct KeptAnswers {
    at: Instant,
    answers: HashMap<Question, Arc<Vec<u8>>>,
}

impl KeptAnswers {
    /// The answer that was kept at this instant.
    pub fn get(&self, now: Instant, question: &Question) -> Option<Arc<Vec<u8>>> {
        self.answers
            .get(question)
            .filter(|_| self.at == now)
            .cloned()
    }

    /// Keeps an answer, and forgets those of other instants.
    pub fn keep(&mut self, now: Instant, question: Question, answer: Arc<Vec<u8>>) {
        if std::mem::replace(&mut self.at, now) != now {
            self.answers.clear();
        }
        self.answers.insert(question, answer);
    }
}

impl World {
    /// The world of these settings, at its start.
    pub fn new(config: Config) -> Self {
        let campaign = Campaign::new(config);
        World {
            clock: Clock::new(campaign.start, campaign.config.realtime),
            contacts: Contacts::new(&campaign),
            listing: Mutex::default(),
            events: EventCache::default(),
            cursors: Cursors::default(),
            faults: Mutex::new(FaultPlan::new(campaign.config.seed)),
            form: Mutex::new(AnswerForm::Known),
            token: Mutex::new(campaign.config.token.clone()),
            counters: Mutex::default(),
            answers: Mutex::default(),
            stopping: AtomicBool::new(false),
            campaign,
        }
    }

    /// The custom fields that exist at an instant, in the order of the list, deleted ones included.
    pub fn fields(&self, now: Instant) -> Vec<Field> {
        fields::listed(&self.campaign.config, now)
    }

    /// The true rows of contact number `contact`; of a deleted one as it was when it was deleted.
    pub fn truth_of(&self, contact: u32, filter: &TruthFilter, now: Instant) -> Option<Truth> {
        let document = self.contacts.contact(&self.campaign, contact, now)?;
        Some(truth::of_contact(&document, filter, &self.fields(now)))
    }

    /// The true rows of the inbound calls that rang at or after an instant.
    pub fn inbound_truth(&self, from: Option<Instant>, now: Instant) -> Truth {
        let mut truth = Truth::default();
        for call in inbound::all(&self.campaign, now).filter(|c| from.is_none_or(|f| c.rang >= f)) {
            let row = truth::of_inbound(&call.document(&self.campaign, now));
            let id = row.get("id").cloned().flatten().unwrap_or_default();
            truth.inbound_calls.insert(id, row);
        }
        truth
    }

    /// Ids of the contacts that have been deleted.
    pub fn deleted(&self, now: Instant) -> BTreeSet<String> {
        (0..self.campaign.population(now))
            .filter(|contact| self.campaign.existence(*contact, now) == Existence::Deleted)
            .map(|contact| self.campaign.id(contact))
            .collect()
    }
}
