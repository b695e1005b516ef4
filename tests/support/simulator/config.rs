//! What the simulator is asked to play: the campaign, the readings of the open questions, the server.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::forms::TimeForm;

/// Everything about a simulated campaign and its server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Same seed and same settings: same bytes.
    pub seed: u64,
    /// Contacts that exist at the start.
    pub contacts: u32,
    /// Simulated time at the start.
    pub start: OffsetDateTime,
    /// Campaign id.
    pub campaign: String,
    /// The token that is accepted.
    pub token: String,
    /// Answers to the open questions of the API.
    pub readings: Readings,
    /// Length of the past in which contacts were created and called.
    pub history: Duration,
    /// Calls of an agent per contact in the past, on average; each makes one to four transactions.
    pub visits: f64,
    /// Connections per call, on average.
    pub connections: f64,
    /// Recordings per connection, on average.
    pub recordings: f64,
    /// Custom fields at the start that are columns; deleted ones and layout elements come on top.
    pub custom_fields: usize,
    /// Share of the contacts that change per simulated day (0 to 12, above 1: several times a day).
    pub daily_share: f64,
    /// Contacts created per simulated day after the start.
    pub new_per_day: f64,
    /// Share of the contacts that are deleted at some instant.
    pub deleted_share: f64,
    /// Share of the transactions that the API shows only 1 to 40 minutes after they fired.
    pub published_late: f64,
    /// Share of the calls whose connections, recordings, `revoked` or times come later.
    pub late_share: f64,
    /// Inbound calls per day.
    pub inbound_per_day: u32,
    /// Odd names, values, types and shapes.
    pub oddities: bool,
    /// With oddities: U+0000 in some texts.
    pub nul_characters: bool,
    /// With oddities: some texts of 100 KB and more.
    pub long_texts: bool,
    /// Custom fields with names of more than 64 characters that differ only at their end.
    pub long_field_names: bool,
    /// Custom fields that the admin adds while the simulation runs.
    pub added_fields: Vec<AddedField>,
    /// From this time after the start on, contacts that change carry a `$new_thing`.
    pub new_key_after: Option<Duration>,
    /// Whether answers are compressed for clients that accept gzip.
    pub gzip: bool,
    /// Certificate and key for HTTPS; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// Port on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// Whether simulated time also moves by itself, as fast as real time.
    pub realtime: bool,
    /// Whether answers with contacts are kept and sent again to the same question, which makes them cheap. Only where time
    /// and settings stay as they are: for the benchmark.
    pub keep_answers: bool,
    /// Whether the ids of all contacts that were asked for are kept in the counters.
    pub record_ids: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 1,
            contacts: 200,
            start: datetime!(2025-03-10 09:30:00 UTC),
            campaign: "DEMQ2345WXYZ6789".to_owned(),
            token: "simulated-token_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                .to_owned(),
            readings: Readings::default(),
            history: Duration::from_secs(180 * 86_400),
            visits: 2.0,
            connections: 1.2,
            recordings: 0.8,
            custom_fields: 40,
            daily_share: 0.1,
            new_per_day: 5.0,
            deleted_share: 0.01,
            published_late: 0.02,
            late_share: 0.3,
            inbound_per_day: 5,
            oddities: true,
            nul_characters: false,
            long_texts: true,
            long_field_names: false,
            added_fields: vec![
                AddedField::new(3600, "Nachtrag", "text"),
                AddedField::new(3 * 3600, "nachtrag", "textarea"),
                AddedField::new(5 * 3600, "Zusatz Nr", "number"),
            ],
            new_key_after: Some(Duration::from_secs(2 * 3600)),
            gzip: true,
            tls: None,
            port: 0,
            realtime: false,
            keep_answers: false,
            record_ids: false,
        }
    }
}

/// A custom field that appears while the simulation runs.
#[derive(Debug, Clone)]
pub struct AddedField {
    /// When, after the start.
    pub after: Duration,
    /// Its name.
    pub name: String,
    /// Its `fieldType`.
    pub kind: String,
    /// When it ends, and how.
    pub end: Option<(Duration, FieldEnd)>,
}

/// How a custom field ends. Its values do not change any more from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldEnd {
    /// Deleted: the list marks it, documents still carry its values.
    Deleted,
    /// Gone from the list and from the documents, as where it was given another name.
    Gone,
    /// Gone from the list, where another one of the same name and of another type stands now. Documents carry the old
    /// values until the contact gets a new one.
    Replaced,
}

impl AddedField {
    /// A field that appears so many seconds after the start.
    pub fn new(seconds: u64, name: &str, kind: &str) -> Self {
        AddedField {
            after: Duration::from_secs(seconds),
            name: name.to_owned(),
            kind: kind.to_owned(),
            end: None,
        }
    }

    /// It ends so many seconds after the start.
    pub fn until(mut self, seconds: u64, end: FieldEnd) -> Self {
        self.end = Some((Duration::from_secs(seconds), end));
        self
    }
}

/// PEM files for HTTPS.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// One answer to each open question of the API: the rustdoc of `dialfire` lists them.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// Which time `from`/`to` of the event list mean; the list is in ascending order of that time.
    pub events_by: EventsBy,
    /// What changes `$md5` and the changed date of a contact.
    pub md5_covers: Md5Covers,
    /// Answer to ids that don't exist (any more).
    pub unknown_ids: UnknownIds,
    /// Whether deleted contacts vanish from contacts/list.
    pub deleted_vanish: bool,
    /// Whether `to` itself belongs to the range.
    pub to_inclusive: bool,
    /// Shape of the events.
    pub event_form: EventForm,
    /// Whether an event has the pointer into the task log.
    pub pointer: bool,
    /// Digits of the sequence number behind `fired` in an event.
    pub suffix_digits: usize,
    /// How an empty value is written.
    pub empty_as: EmptyAs,
    /// Which time `from`/`to` of the inbound calls mean.
    pub inbound_by: InboundBy,
    /// How long a cursor works.
    pub cursor_life: CursorLife,
    /// More ids than this in one POST are refused with 413.
    pub max_ids: Option<usize>,
    /// Most entries per page, whatever `limit` says; also the `limit` of requests without one.
    pub page_cap: usize,
    /// Where the fields are found.
    pub fields_at: FieldsAt,
    /// How the first part of an event is written.
    pub event_time: TimeForm,
    /// How `fired` is written in documents.
    pub fired: TimeForm,
}

impl Default for Readings {
    fn default() -> Self {
        Readings {
            events_by: EventsBy::Fired,
            md5_covers: Md5Covers::Everything,
            unknown_ids: UnknownIds::Absent,
            deleted_vanish: true,
            to_inclusive: false,
            event_form: EventForm::Text,
            pointer: true,
            suffix_digits: 4,
            empty_as: EmptyAs::Text,
            inbound_by: InboundBy::CallTime,
            cursor_life: CursorLife::default(),
            max_ids: None,
            page_cap: 1000,
            fields_at: FieldsAt::List,
            event_time: TimeForm::Known,
            fired: TimeForm::Known,
        }
    }
}

/// Which time the event list goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventsBy {
    /// `fired` of the transaction.
    Fired,
    /// The last change of the transaction.
    Modified,
}

/// What a contact's checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Md5Covers {
    /// The contact and its task log, with whatever arrives late.
    Everything,
    /// Edits and new transactions, but not what is added to a transaction later.
    ContactOnly,
}

/// Answer of POST contacts/ to ids that don't exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownIds {
    /// No element in the answer.
    Absent,
    /// A `null` in the answer.
    Null,
    /// 404 for the whole request.
    Error404,
    /// 500 for the whole request.
    Error500,
}

/// Shape of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventForm {
    /// Parts separated by `|`.
    Text,
    /// An object, as in the first API generation.
    Object,
}

/// How an empty value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyAs {
    /// `""`
    Text,
    /// The key is left out.
    Missing,
    /// `null`
    Null,
}

/// Which time the inbound list goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundBy {
    /// `call_time`
    CallTime,
    /// The last change of the call.
    Modified,
}

/// How long a cursor works; forever by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorLife {
    /// How often one cursor may be sent.
    pub uses: Option<u32>,
    /// Simulated seconds after which it is refused.
    pub seconds: Option<u32>,
    /// The status of the refusal.
    pub status: u16,
}

impl Default for CursorLife {
    fn default() -> Self {
        CursorLife {
            uses: None,
            seconds: None,
            status: 400,
        }
    }
}

/// Where the custom fields are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldsAt {
    /// `fields/list`
    List,
    /// Only the predecessor, `form.elements` of the campaign itself; `fields/list` answers 404.
    Campaign,
}
