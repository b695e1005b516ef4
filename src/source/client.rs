//! The five calls of the API as functions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use serde_json::value::RawValue;
use time::{Date, OffsetDateTime};

use super::clock::Clock;
use super::event::Event;
use super::exchange::{Exchange, Outcome, Reply, Request};
use super::fields::{self, Field};
use super::json::{self, Document};
use super::pages::{self, Entry, PageAndCursor, PageError, Pages, Skipped, Unusable, name};
use super::query::{day_stamp, encoded, query_value, time_stamp};
use crate::error::{Error, Result};
use crate::logging::limit::{Line, LogLimit};
use crate::net::http::{Http, Limits};
use crate::net::large::Held;
use crate::net::retry::{Attempt, Pause, RetryPolicy};
use crate::net::secret::Secret;
use crate::net::tls::Roots;

/// Entries per page: what the old client asked for; nothing higher was ever seen.
const PAGE_LIMIT: u32 = 1000;

/// How often a batch of contacts is asked for that may itself be the cause of the failure, before it is to be split.
const ATTEMPTS_PER_BATCH: u32 = 3;

/// What a [`Client`] is made of.
pub struct Options {
    /// Base address, such as `https://api.dialfire.com`.
    pub api_url: String,
    /// Campaign id.
    pub campaign: String,
    /// Token of the campaign.
    pub token: Secret,
    /// Whom to trust.
    pub roots: Roots,
    /// The way out, see [`proxy::from_environment`](crate::net::proxy::from_environment).
    pub proxy: Option<ureq::Proxy>,
    /// What one request may take.
    pub limits: Limits,
    /// How often and how patiently a request is tried.
    pub retry: RetryPolicy,
    /// How to wait between attempts, and when to stop.
    pub pause: Pause,
}

/// The API of one campaign. Cheap to clone, shared by all threads.
#[derive(Clone)]
pub struct Client {
    exchange: Arc<Exchange>,
    /// Path of the campaign.
    path: Arc<str>,
    skipped: Arc<AtomicU64>,
    /// Why entries were left out, how often, and up to which number that was logged.
    reasons: Arc<Mutex<BTreeMap<String, (u64, u64)>>>,
    /// Batches of contacts that the server failed on, by status.
    failures: Arc<Mutex<LogLimit<u16>>>,
}

/// An entry of the list of contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Contact id, not empty.
    pub id: String,
    /// Checksum of the contact, where the list has one.
    pub md5: Option<String>,
}

impl Listed {
    /// Reads one entry of the list.
    ///
    /// # Errors
    /// What is wrong with an entry that names no contact, without any of its content.
    pub fn read(entry: &RawValue) -> std::result::Result<Listed, Unusable> {
        let document = Document::of(entry).ok_or(Unusable::Unreadable("it is not an object"))?;
        let scalar = |key: &str| match document.root().get(key) {
            json::Value::Text(text) if !text.is_empty() => Some(text.into_owned()),
            json::Value::Number(digits) => Some(digits.to_owned()),
            _ => None,
        };
        let id = scalar("id").ok_or(Unusable::Unreadable("it has no id"))?;
        let md5 = scalar("md5");
        name(&id)?;
        name(md5.as_deref().unwrap_or_default())?;
        Ok(Listed { id, md5 })
    }
}

impl Entry for Listed {
    fn identity(&self) -> u64 {
        pages::identity(&self.id)
    }
}

/// An inbound call, as the server wrote it.
#[derive(Debug, Clone)]
pub struct InboundCall {
    /// The object.
    pub json: Box<RawValue>,
    identity: u64,
}

impl InboundCall {
    /// Reads one entry of the list: an object with an id.
    ///
    /// # Errors
    /// What is wrong with an entry that is not a call, without any of its content.
    pub fn read(entry: &RawValue) -> std::result::Result<InboundCall, Unusable> {
        let document = Document::of(entry).ok_or(Unusable::Unreadable("it is not an object"))?;
        let id = document.root().get("id").to_text();
        let id = id.ok_or(Unusable::Unreadable("it has no id"))?;
        Ok(InboundCall {
            identity: pages::identity(name(&id)?),
            json: entry.to_owned(),
        })
    }
}

impl Entry for InboundCall {
    fn identity(&self) -> u64 {
        self.identity
    }
}

/// Which events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Begin of the window.
    pub from: OffsetDateTime,
    /// End of the window; open if `None`.
    pub to: Option<OffsetDateTime>,
    /// Only transactions of type `update`.
    pub updates_only: bool,
    /// Only tasks whose name begins with one of these; all if empty.
    pub tasks: Vec<String>,
}

/// What came of a batch of contacts.
#[derive(Debug)]
pub enum Fetched<T> {
    /// The documents, as read.
    Read(T, Held),
    /// The server refused this batch or failed on it; a smaller one may do.
    RefusedBatch {
        /// HTTP status; 200 if the answer was too long or could not be read.
        status: u16,
        /// What the server said.
        reason: String,
    },
}

/// What went over the network so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Requests sent, with repeated ones.
    pub requests: u64,
    /// Bytes received, decompressed, without headers.
    pub bytes: u64,
    /// Entries of listings that were left out because they could not be read.
    pub skipped: u64,
}

impl Client {
    /// Sets up a client; connects to nothing yet.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for an address or a token that can't be used.
    pub fn new(options: Options) -> Result<Client> {
        let http = Http::new(
            &options.api_url,
            options.token,
            &options.roots,
            options.proxy,
            options.limits,
        )?;
        Ok(Client {
            path: format!("/api/campaigns/{}", encoded(&options.campaign, "-._~")).into(),
            exchange: Arc::new(Exchange {
                http,
                campaign: options.campaign,
                clock: Clock::new(),
                retry: options.retry,
                pause: options.pause,
            }),
            skipped: Arc::default(),
            reasons: Arc::default(),
            failures: Arc::default(),
        })
    }

    /// The custom fields of the campaign, in their order.
    ///
    /// # Errors
    /// Those of [`Exchange::run`], and [`Setup`](crate::error::ErrorKind::Setup) for an unknown campaign.
    pub fn fields(&self) -> Result<Vec<Field>> {
        let call = "GET fields/list";
        let path = self.path("/fields/list");
        match self.exchange.run(
            Request {
                call,
                path: &path,
                body: None,
            },
            fields::read_list,
        )? {
            Reply::Read(fields, _) => return Ok(fields),
            Reply::Refused { status: 404, .. } => {
                log::info!("{call} is not there: the fields are read from the campaign itself")
            }
            Reply::Refused { status, said } => {
                return Err(self.exchange.refusal(call, status, &said));
            }
        }
        let call = "GET campaign";
        match self.exchange.run(
            Request {
                call,
                path: &self.path,
                body: None,
            },
            fields::read_campaign,
        )? {
            Reply::Read(fields, _) => Ok(fields),
            Reply::Refused { status, said } => Err(self.exchange.refusal(call, status, &said)),
        }
    }

    /// The contacts of the campaign with their checksums; those changed on that day (UTC) or later, or all of them.
    /// A contact may be listed twice.
    pub fn contact_list(&self, changed_since: Option<Date>) -> Pages<Listed> {
        let mut path = self.path(&format!("/contacts/list?limit={PAGE_LIMIT}"));
        if let Some(day) = changed_since {
            path.push_str("&changedSince=");
            path.push_str(&day_stamp(day));
        }
        self.pages("GET contacts/list", path, Listed::read)
    }

    /// The transaction events of a time window.
    ///
    /// `hi=true` is never sent: the server's idea of human interaction differs from the old client's local rule,
    /// which decides here as well.
    pub fn events(&self, query: &EventQuery) -> Pages<Event> {
        let mut path = self.path(&format!(
            "/contacts/transactions/?from={}",
            time_stamp(query.from)
        ));
        if let Some(to) = query.to {
            path.push_str("&to=");
            path.push_str(&time_stamp(to));
        }
        if query.updates_only {
            path.push_str("&type=update");
        }
        if !query.tasks.is_empty() {
            path.push_str("&tasks=");
            path.push_str(&query_value(&query.tasks.join(",")));
        }
        path.push_str(&format!("&limit={PAGE_LIMIT}"));
        self.pages("GET contacts/transactions", path, Event::read)
    }

    /// The inbound calls of a time window, as the server wrote them.
    pub fn inbound_calls(
        &self,
        from: Option<OffsetDateTime>,
        to: Option<OffsetDateTime>,
    ) -> Pages<InboundCall> {
        let mut path = self.path(&format!("/inbound/calls/?limit={PAGE_LIMIT}"));
        for (name, time) in [("from", from), ("to", to)] {
            if let Some(time) = time {
                path.push_str(&format!("&{name}={}", time_stamp(time)));
            }
        }
        self.pages("GET inbound/calls", path, InboundCall::read)
    }

    /// The documents of these contacts: `read` gets the JSON array as text, and returns what is wrong with it (without
    /// quoting from it) if it can't be read; it may then be called again with another answer.
    ///
    /// A batch that may itself be the cause of its failure is no error but [`Fetched::RefusedBatch`], so that the caller
    /// can split it: at once for 400, 404, 410, 413, 414 and 422; after three attempts for 500, for an answer beyond the
    /// size limit and for one that `read` refuses. An empty answer or a web page instead of JSON is trouble on the way.
    ///
    /// # Errors
    /// Those of [`Exchange::run`], and [`Setup`](crate::error::ErrorKind::Setup) for any other 4xx.
    pub fn contacts<T>(
        &self,
        ids: &[String],
        mut read: impl FnMut(&str) -> std::result::Result<T, String>,
    ) -> Result<Fetched<T>> {
        let call = "POST contacts";
        let path = self.path("/contacts/?include_md5=true");
        let body = Value::from(ids).to_string();
        let exchange = &self.exchange;
        let mut suspicious = 0;
        exchange.retry.run(call, &exchange.pause, || {
            match exchange.attempt(
                Request {
                    call,
                    path: &path,
                    body: Some(&body),
                },
                &mut read,
            ) {
                Outcome::Reply(Reply::Read(documents, held)) => {
                    Attempt::Done(Fetched::Read(documents, held))
                }
                Outcome::Reply(Reply::Refused {
                    status: status @ (400 | 404 | 410 | 413 | 414 | 422),
                    said,
                }) => Attempt::Done(Fetched::RefusedBatch {
                    status,
                    reason: format!("HTTP {status}{said}"),
                }),
                Outcome::Reply(Reply::Refused { status, said }) => {
                    Attempt::Failed(exchange.refusal(call, status, &said))
                }
                Outcome::Failed(error) => Attempt::Failed(error),
                Outcome::Trouble {
                    reason,
                    retry_after,
                    of_content,
                } => {
                    suspicious += u32::from(of_content.is_some());
                    match of_content {
                        Some(status) if suspicious >= ATTEMPTS_PER_BATCH => {
                            Attempt::Done(Fetched::RefusedBatch { status, reason })
                        }
                        _ => Attempt::Again {
                            reason,
                            retry_after,
                            line: of_content.map_or(Line::Whole, |status| self.line(status)),
                        },
                    }
                }
            }
        })
    }

    /// The server's clock.
    pub fn clock(&self) -> &Clock {
        &self.exchange.clock
    }

    /// What went over the network so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.exchange.http.requests(),
            bytes: self.exchange.http.bytes(),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }

    /// Whether a server has ever answered, whatever it said.
    pub fn was_answered(&self) -> bool {
        self.exchange.http.was_answered()
    }

    /// Breaks off all requests at once and lets none begin: for the end of the program, when waiting for an answer of up
    /// to two minutes would be too long. The pause between attempts has to know of it as well.
    pub fn shut_down(&self) {
        self.exchange.http.shut_down();
    }

    /// Whether a batch of contacts that the server fails on with this status is logged: each contact may be such a one.
    fn line(&self, status: u16) -> Line {
        (self.failures.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .count(status, "", Instant::now())
    }

    /// Counts entries that were left out. For each reason the first ones are logged, and later ones when there are ten
    /// times as many: a listing is read again and again.
    fn note_skipped(&self, call: &str, skipped: &Skipped) {
        let more = skipped.count.try_into().unwrap_or(u64::MAX);
        self.skipped.fetch_add(more, Ordering::Relaxed);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = format!("{call}: {}", skipped.first);
        // Reasons are few, by the way they are made.
        let (count, logged) = reasons.entry(reason).or_default();
        *count = count.saturating_add(more);
        if *count >= logged.saturating_mul(10) {
            *logged = *count;
            log::error!(
                "{call}: {count} entries so far are left out, as they can't be used; of the first: {}",
                skipped.first
            );
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.path)
    }

    fn pages<T: Entry + 'static>(
        &self,
        call: &'static str,
        path: String,
        read_entry: impl Fn(&RawValue) -> std::result::Result<T, Unusable> + Send + 'static,
    ) -> Pages<T> {
        let client = self.clone();
        Pages::new(call, move |cursor| {
            client.page(call, &path, cursor, &read_entry)
        })
    }

    fn page<T>(
        &self,
        call: &str,
        path: &str,
        cursor: Option<&str>,
        read_entry: impl Fn(&RawValue) -> std::result::Result<T, Unusable>,
    ) -> std::result::Result<PageAndCursor<T>, PageError> {
        let path = match cursor {
            Some(cursor) => format!("{path}&cursor={}", query_value(cursor)),
            None => path.to_owned(),
        };
        let request = Request {
            call,
            path: &path,
            body: None,
        };
        match self
            .exchange
            .run(request, |text| pages::read_page(text, &read_entry))
            .map_err(PageError::Failed)?
        {
            Reply::Read((page, None), _) => Ok(page),
            Reply::Read((page, Some(skipped)), _) => {
                self.note_skipped(call, &skipped);
                Ok(page)
            }
            Reply::Refused {
                status: status @ (400 | 404 | 410),
                said,
            } if cursor.is_some() => Err(PageError::Expired(Error::transient(format!(
                "{call}: the server no longer knows the cursor: HTTP {status}{said}"
            )))),
            Reply::Refused { status, said } => Err(PageError::Failed(
                self.exchange.refusal(call, status, &said),
            )),
        }
    }
}
