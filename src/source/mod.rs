//! The source: the REST API of Dialfire, read only. Knows nothing of SQL.
//!
//! [`client::Client`] has one function per call of the API. Below it, [`net::http`](crate::net::http) makes one request,
//! [`exchange`] judges the answer, [`net::retry`](crate::net::retry) repeats it until it succeeds, [`pages`] follows
//! cursors, [`clock`] keeps the server's time.
//!
//! What follows is all that is known of the API. It was gathered from the vendor's pages, from public clients and from
//! what users published of their tables; the vendor promises none of it.
//!
//! # Rules of all calls
//!
//! - Base address `https://api.dialfire.com`, token in `Authorization: Bearer …`. A token is about 100 URL-safe base64
//!   characters, and belongs to one campaign or to a company.
//! - Ids of campaigns, contacts, tasks and versions have 16 characters out of `2-9 A-H J-N P-Z` and are random: their order
//!   says nothing. Nothing relies on the alphabet.
//! - Times in queries are UTC, `YYYY-MM-DDThh:mm:ss.fff` without `Z`; a plain day is taken as well.
//! - 200 is success. 403 is plain text, and covers a wrong token, a missing permission and a wrong path. 404 is an unknown
//!   object. Bodies of errors are no JSON. 401, 429, `Retry-After` and limits of the rate were never seen.
//! - Paging: an answer with a `cursor` that is not empty has a next page, which is asked for with the cursor unchanged and
//!   all other parameters the same. `count` is the number of entries of the page. A cursor lives for an unknown time.
//!
//! # The calls
//!
//! All paths are below `/api/campaigns/{campaign}/`.
//!
//! | Call | Parameters | Answer |
//! | --- | --- | --- |
//! | `GET fields/list` | – | an array of objects: `type` (`field`, or something of the form's layout), `fieldType`, `name`, `deleted` |
//! | `GET contacts/list` | `limit`, `changedSince` (a day), `cursor` | `results` of `{id, md5}`, in the order of the day of change |
//! | `POST contacts/?include_md5=true` | body: an array of ids | an array of contact documents, in any order |
//! | `GET contacts/transactions/` | `from`, `to`, `type=update`, `hi=true`, `tasks=prefix,prefix`, `limit`, `cursor` | `results` of events |
//! | `GET inbound/calls/` | `from`, `to`, `limit`, `cursor` | `results` of calls |
//!
//! - The older place of the fields is `form.elements` of the campaign itself; it is asked where `fields/list` answers 404.
//! - Pages of 1,000 entries are the largest that were seen, and 20 to 30 ids per request of contacts.
//! - A contact that changes while it is listed can be listed twice.
//! - An event is a text of parts divided by `|`: the time at which the transaction was fired, directly followed by a
//!   sequence number of four digits; the checksum of the transaction; the contact's id; and a pointer into the task log.
//!   The first generation of the API returned an object with these values. The checksum changes when connections or
//!   recordings are added to the transaction.
//!
//! # Documents
//!
//! - Everything is text as a rule, but booleans, numbers, arrays and objects occur anywhere. A value that is absent is `""`,
//!   `null` or a missing key: the three are one.
//! - Custom fields have the names that people gave them: umlauts, digits first, `id` and `status`, and pairs that differ
//!   only in case. Kinds of fields: `text`, `date`, `calendar`, `phone`, `radiogroup`, `dropdown`, `autocomplete`, `checkbox`,
//!   `number`, `textarea`; what is unknown counts as text. A `number` may have decimals, or hold text.
//! - `$task_log` is an array of visits of a stage, each with `transactions`, each with `connections`, each with `recordings`
//!   and, nested to any depth, `third_party_connections`. A connection without `disconnected` is not over.
//! - `$follow_up_date` may be a word such as `auto`; times of connections and recordings come with and without `Z`, and some
//!   are no times. `location` of a recording is `null` until it was uploaded; then it is an address that can be read
//!   without a token: the address is the secret. `duration` of a connection is in milliseconds, `…_time_sec` in seconds.
//! - `user_loginName` can be a digest in place of a name; transactions of machines have no user; about half of all
//!   transactions have no connection.
//! - `hi` means a human's interaction: the server decides it by its own rule; [`Filter`](crate::tables::filter::Filter)
//!   repeats the vendor's client's rule for documents.
//!
//! # What nobody knows, and what the program does
//!
//! Each question has a switch in the simulator of the tests (`Readings` in `tests/support/simulator/config.rs`), and the
//! copy is compared with the truth under each.
//!
//! | Question | What makes both answers right |
//! | --- | --- |
//! | Do `from` and `to` of events mean the time fired or the time changed? | polls overlap by `--overlap`, a look back reads three hours more, a reconcile a day, and compares the list of contacts |
//! | Is `to` itself part of the range? | ranges overlap |
//! | Does the checksum of a contact cover what is added to its transactions later? | the events of the look back report it too |
//! | What is answered for ids that are unknown or deleted? | absent, `null`, 404 and 500 are all taken: the batch is halved until the id is alone |
//! | How many ids may one request have? | a refused batch is halved |
//! | When does a cursor end? | a refused cursor begins its range again; what was read twice is written once |
//! | Do deleted contacts leave `contacts/list`? | a row is never deleted for it |
//! | Is the fourth part of an event there, and has its number four digits? | the time is cut at `Z`, the pointer is not used |
//! | How are times written in events and in documents? | they are compared as times, not as texts ([`fired`]) |
//! | Which time do `from` and `to` of inbound calls mean; do calls in progress appear? | overlapping ranges; a call is written again when it has changed |
//! | What do keys of a contact mean that no field explains? | the fields are read again; a key without a field is left out and reported |
//! | Are the lists of a document lists of objects, under the known keys? | anything else makes the contact incomplete; that no document has a transaction is held against the events |
//! | Can a list be empty by mistake? | it is held against what was listed and copied before, for a day |
//! | Can a connection move to another transaction? | its row is written again by its own key |

pub mod client;
pub mod clock;
pub mod contacts;
pub mod event;
pub mod exchange;
pub mod fields;
pub mod fired;
pub mod json;
mod json_error;
pub mod pages;
pub mod query;
pub mod shape;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
