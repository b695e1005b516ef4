//! What the server saw: counts, and the last requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::instant::Instant;

/// The calls that the API offers, and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// GET fields/list
    Fields,
    /// GET of the campaign itself
    Campaign,
    /// GET contacts/list
    List,
    /// POST contacts/
    Contacts,
    /// GET contacts/transactions/
    Events,
    /// GET inbound/calls/
    Inbound,
    /// Anything else.
    Other,
}

impl Endpoint {
    /// All of them, in the order of their numbers.
    pub const ALL: [Endpoint; 7] = [
        Endpoint::Fields,
        Endpoint::Campaign,
        Endpoint::List,
        Endpoint::Contacts,
        Endpoint::Events,
        Endpoint::Inbound,
        Endpoint::Other,
    ];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::Fields => "fields",
            Endpoint::Campaign => "campaign",
            Endpoint::List => "list",
            Endpoint::Contacts => "contacts",
            Endpoint::Events => "events",
            Endpoint::Inbound => "inbound",
            Endpoint::Other => "other",
        }
    }
}

/// One request, as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// Simulated time in milliseconds since 1970.
    pub at: Instant,
    /// What was called.
    pub endpoint: Endpoint,
    /// `GET`, `POST` …
    pub method: String,
    /// Path and query, raw.
    pub target: String,
    /// `User-Agent` header.
    pub user_agent: Option<String>,
    /// Whether there was an `Authorization` header.
    pub authorized: bool,
    /// `Accept-Encoding` header.
    pub accept_encoding: Option<String>,
    /// Ids in the body of POST contacts/.
    pub ids: usize,
}

/// Counts since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests by endpoint.
    pub requests: BTreeMap<Endpoint, u64>,
    /// Contact documents sent.
    pub documents: u64,
    /// Bytes of the answers as they went out, heads included and compressed as they were; with TLS before encryption.
    pub sent_bytes: u64,
    /// Answers to POST contacts/ that were made again, not kept ones.
    pub answers_made: u64,
    /// Ids that were asked for, where [`Config::record_ids`](super::config::Config::record_ids) is set.
    pub fetched: BTreeSet<String>,
    /// Most ids in one POST.
    pub most_ids: usize,
    /// Requests that met a fault.
    pub faults: u64,
    /// Connections open now.
    pub connections: usize,
    /// Most connections open at the same time.
    pub most_connections: usize,
    /// The last requests, oldest first; at most [`Counters::KEPT`].
    pub last: VecDeque<SeenRequest>,
}

impl Counters {
    /// How many requests are kept in full.
    pub const KEPT: usize = 5000;

    /// Number of requests of one endpoint.
    pub fn of(&self, endpoint: Endpoint) -> u64 {
        self.requests.get(&endpoint).copied().unwrap_or(0)
    }

    /// Number of all requests.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Notes a request.
    pub fn note(&mut self, request: SeenRequest) {
        *self.requests.entry(request.endpoint).or_default() += 1;
        self.most_ids = self.most_ids.max(request.ids);
        if self.last.len() == Self::KEPT {
            self.last.pop_front();
        }
        self.last.push_back(request);
    }
}
