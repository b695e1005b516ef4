//! A simulator of the Dialfire API, and the judge of what a client made of it.
//!
//! ```ignore
//! let sim = Simulator::start(Config { contacts: 500, ..Config::default() });
//! // … run a client against sim.url(), sim.campaign(), sim.token() …
//! sim.advance(Duration::from_secs(3600));                // time moves only when told
//! let truth = sim.truth(&TruthFilter::default(), &Which::All);
//! assert_eq!(truth.contacts.len(), 500);                  // key → column → value (None is NULL)
//! ```
//!
//! * Each contact is a pure function of seed, number and time; nothing is kept but a small index for contacts/list.
//! * [`Simulator::truth`] is derived from the model, not from the JSON. A column that a row doesn't name is NULL.
//!   Column names are the API's names; a test maps those that its database can't tell apart. Numbers of number
//!   columns are normalised (`1e5` → `100000`, `2.50` → `2.5`), so normalise what is read before comparing.
//! * [`Simulator::truth_of`] gives one contact's rows, for campaigns too large for [`Simulator::truth`].
//! * Deleted contacts: [`Simulator::deleted`] names them; [`Which::All`] leaves them out, [`Which::Ids`] gives their
//!   last state. A contact does not change in the four days before its deletion.
//! * A client that was not told to fetch everything knows the contacts that it asked for: run it with
//!   [`Config::record_ids`] and compare with `Which::Ids(sim.counters().fetched)`, or choose by
//!   [`Simulator::last_change`].
//! * U+0000 in texts is off unless [`Config::nul_characters`] is set; the truth then has it as it was sent.
//! * `tests/support/tls` holds a certificate for `localhost` and 127.0.0.1 and the root that signed it.
//! * Faults: [`Simulator::set_faults`] by rate, [`Simulator::fail_next`] by schedule, [`Simulator::outage`],
//!   [`Simulator::deny`].
//! * Under `events_by: Fired` with `md5_covers: ContactOnly` late data arrive within 20 h after `fired`, under all
//!   other readings within 3 days; inbound calls end within 2 h.

#![allow(dead_code, unused_imports, reason = "each binary uses another part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod api;
pub mod campaign;
pub mod clock;
pub mod config;
pub mod connections;
pub mod contacts;
pub mod control;
pub mod counters;
pub mod cursor;
pub mod document;
pub mod events;
pub mod faults;
pub mod fields;
pub mod forms;
pub mod http;
pub mod ids;
pub mod inbound;
pub mod instant;
pub mod json;
pub mod listing;
pub mod numbers;
pub mod posts;
pub mod random;
pub mod server;
pub mod transactions;
pub mod truth;
pub mod values;
pub mod visit;
pub mod wire;
pub mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

pub use campaign::Existence;
pub use config::{
    AddedField, Config, CursorLife, EmptyAs, EventForm, EventsBy, FieldEnd, FieldsAt, InboundBy,
    Md5Covers, Readings, TlsFiles, UnknownIds,
};
pub use counters::{Counters, Endpoint, SeenRequest};
pub use faults::{Fault, Faults};
pub use fields::Field;
pub use forms::{AnswerForm, TimeForm};
pub use posts::Post;
pub use truth::{FilterMode, Row, Rows, Truth, TruthFilter};

use instant::{Instant, from_datetime, to_datetime};
use server::Server;
use world::World;

/// Whose rows are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All contacts that exist, and all inbound calls.
    All,
    /// All contacts, deleted ones in their last state, and all inbound calls.
    AllAndDeleted,
    /// These contacts, deleted ones in their last state; no inbound calls.
    Ids(BTreeSet<String>),
}

/// A running simulator; ends when dropped.
#[derive(Debug)]
pub struct Simulator {
    world: Arc<World>,
    server: Server,
}

impl Simulator {
    /// Starts a simulator on its own port.
    ///
    /// # Panics
    /// If the port is taken or the TLS files are no good.
    pub fn start(config: Config) -> Self {
        let world = Arc::new(World::new(config));
        let server = Server::start(Arc::clone(&world)).expect("a free port on 127.0.0.1");
        Simulator { world, server }
    }

    /// Base address of the API, without a slash at the end. With TLS its host is `localhost`.
    pub fn url(&self) -> String {
        let port = self.server.address.port();
        match self.world.campaign.config.tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        }
    }

    /// Campaign id.
    pub fn campaign(&self) -> &str {
        &self.world.campaign.config.campaign
    }

    /// The token that is accepted at the start.
    pub fn token(&self) -> &str {
        &self.world.campaign.config.token
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.world.campaign.config
    }

    /// Simulated time.
    pub fn now(&self) -> OffsetDateTime {
        to_datetime(self.instant())
    }

    fn instant(&self) -> Instant {
        self.world.clock.now()
    }

    /// Moves simulated time on.
    pub fn advance(&self, by: Duration) {
        self.world.clock.advance(by.as_millis() as i64);
    }

    /// Moves simulated time on to an instant, which must not be in the past.
    pub fn set_time(&self, to: OffsetDateTime) {
        self.world.clock.set(from_datetime(to));
    }

    /// The custom fields that exist now, in the order of the list, deleted ones included.
    pub fn fields(&self) -> Vec<Field> {
        self.world.fields(self.instant())
    }

    /// The true rows at this moment. For large campaigns use [`Simulator::truth_of`].
    pub fn truth(&self, filter: &TruthFilter, which: &Which) -> Truth {
        let now = self.instant();
        let campaign = &self.world.campaign;
        let mut truth = match which {
            Which::Ids(_) => Truth::default(),
            Which::All | Which::AllAndDeleted => self.world.inbound_truth(None, now),
        };
        let contacts: Vec<u32> = match which {
            Which::Ids(ids) => ids.iter().filter_map(|id| campaign.find(id, now)).collect(),
            Which::AllAndDeleted => (0..campaign.population(now)).collect(),
            Which::All => (0..campaign.population(now))
                .filter(|contact| campaign.existence(*contact, now) == Existence::Live)
                .collect(),
        };
        for contact in contacts {
            if let Some(rows) = self.world.truth_of(contact, filter, now) {
                truth.extend(rows);
            }
        }
        truth
    }

    /// Number of contacts up to now, deleted ones included: indices for the following functions.
    pub fn contact_count(&self) -> u32 {
        self.world.campaign.population(self.instant())
    }

    /// The true rows of one contact now; of a deleted one as it was when it was deleted.
    pub fn truth_of(&self, contact: u32, filter: &TruthFilter) -> Option<Truth> {
        self.world.truth_of(contact, filter, self.instant())
    }

    /// The true rows of the inbound calls that rang at or after an instant.
    pub fn inbound_truth(&self, from: Option<OffsetDateTime>) -> Truth {
        self.world
            .inbound_truth(from.map(from_datetime), self.instant())
    }

    /// `$id` of a contact.
    pub fn contact_id(&self, contact: u32) -> String {
        self.world.campaign.id(contact)
    }

    /// Whether a contact is there now.
    pub fn existence(&self, contact: u32) -> Existence {
        self.world.campaign.existence(contact, self.instant())
    }

    /// When a contact last changed, as its `$md5` shows it: a client that knows only changes since a day
    /// knows exactly the contacts with a later change.
    pub fn last_change(&self, contact: u32) -> Option<OffsetDateTime> {
        let campaign = &self.world.campaign;
        let now = self.instant();
        let until = campaign.deleted(contact).map_or(now, |at| at.min(now));
        campaign.last_change(contact, until).map(to_datetime)
    }

    /// The same by its id; `None` for one that never existed.
    pub fn last_change_of(&self, id: &str) -> Option<OffsetDateTime> {
        self.last_change(self.world.campaign.find(id, self.instant())?)
    }

    /// What a contact had in a custom field just before an instant, as a text column would hold it; of a deleted one at its
    /// deletion.
    pub fn field_before(&self, id: &str, field: &str, before: OffsetDateTime) -> Option<String> {
        let at = from_datetime(before) - 1;
        let contact = self.world.campaign.find(id, self.instant())?;
        let document = self
            .world
            .contacts
            .contact(&self.world.campaign, contact, at)?;
        truth::text(document.fields.get(field))
    }

    /// All that a contact ever had in a custom field before an instant.
    pub fn field_values(
        &self,
        id: &str,
        field: &str,
        before: OffsetDateTime,
    ) -> BTreeSet<Option<String>> {
        let campaign = &self.world.campaign;
        let found = campaign.find(id, self.instant());
        let visits = found.map(|contact| campaign.visits(contact, from_datetime(before)));
        let edits = visits.into_iter().flatten().map(|visit| visit.edited);
        edits
            .map(|at| to_datetime(at + 1).min(before))
            .map(|at| self.field_before(id, field, at))
            .collect()
    }

    /// The transactions that the event list names now under this filter, of contacts that exist: what a client that posts
    /// everything since an instant has to have posted, contact by contact in their order.
    pub fn posts(&self, filter: &TruthFilter, since: OffsetDateTime) -> Vec<Post> {
        posts::all(&self.world, filter, from_datetime(since), self.instant())
    }

    /// A contact as it is now, by its id.
    pub fn document(&self, id: &str) -> Option<document::Contact> {
        let (campaign, now) = (&self.world.campaign, self.instant());
        let contact = campaign.find(id, now)?;
        self.world.contacts.contact(campaign, contact, now)
    }

    /// Ids of the contacts that have been deleted.
    pub fn deleted(&self) -> BTreeSet<String> {
        self.world.deleted(self.instant())
    }

    /// Faults at a rate from now on; [`Faults::none`] ends them.
    pub fn set_faults(&self, faults: Faults) {
        self.world.faults.lock().unwrap().set(faults);
    }

    /// The next `times` requests of an endpoint (`None`: of any) meet this fault.
    pub fn fail_next(&self, endpoint: Option<Endpoint>, fault: Fault, times: usize) {
        self.world
            .faults
            .lock()
            .unwrap()
            .schedule(endpoint, fault, times);
    }

    /// Forgets the faults of [`Simulator::fail_next`] that still wait for their request.
    pub fn forget_next(&self) {
        self.world.faults.lock().unwrap().unschedule();
    }

    /// From now on another token is accepted, and the one before no longer is.
    pub fn renew_token(&self, token: &str) {
        token.clone_into(&mut self.world.token.lock().unwrap());
    }

    /// How many faults of [`Simulator::fail_next`] still wait for their request.
    pub fn faults_waiting(&self) -> usize {
        self.world.faults.lock().unwrap().waiting()
    }

    /// Whether all connections are reset without an answer.
    pub fn outage(&self, on: bool) {
        self.world.faults.lock().unwrap().outage = on;
    }

    /// Whether everything is answered with 403.
    pub fn deny(&self, on: bool) {
        self.world.faults.lock().unwrap().deny = on;
    }

    /// By how many seconds the `Date` of answers is ahead.
    pub fn date_ahead(&self, seconds: i64) {
        self.world.faults.lock().unwrap().date_ahead = seconds;
    }

    /// Gives answers this form from now on.
    pub fn set_form(&self, form: AnswerForm) {
        *self.world.form.lock().unwrap() = form;
    }

    /// What was seen since the start or the last reset.
    pub fn counters(&self) -> Counters {
        self.world.counters.lock().unwrap().clone()
    }

    /// Begins to count again; open connections stay counted.
    pub fn reset_counters(&self) {
        let mut counters = self.world.counters.lock().unwrap();
        let connections = counters.connections;
        *counters = Counters {
            connections,
            most_connections: connections,
            ..Counters::default()
        };
    }
}
