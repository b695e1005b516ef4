//! What a contact becomes: tables, columns and rows, without knowledge of HTTP or of any database.
//!
//! # What must stay as the vendor's client has it
//!
//! Reports of users stand on tables that the vendor's client 1.15.0 made. They go on working, on old tables and new ones:
//!
//! - **Tables**: `contacts`, `transactions`, `connections`, `recordings`, `inbound_calls`, with the prefix of `--tp` (none by
//!   default). The vendor's first client wrote other tables with other ids, which are not continued.
//! - **Columns**: names, order and kinds are those of [`schema`]; custom fields follow, in the order of `fields/list`. Types
//!   of columns that exist are kept, until a value does not fit: then the column is widened, as nothing is cut.
//!   `wait_time_sec` comes from a later version of that client.
//! - **Keys**: `$id` of contacts, `id` of the others. No foreign keys. That client's only other index is named
//!   `$id|$md5`.
//! - **Ids** ([`ids`]): of a transaction, the md5 of the contact's id and `fired`, in lower-case hexadecimal digits; of a
//!   connection and an inbound call, their own; of a recording, the md5 of the connection's id and `location`, or `started`
//!   where `location` is null. A recording that first had no `location` gets another id with it: the row of the first is
//!   its placeholder, and is deleted.
//! - **Parents**: a connection among `third_party_connections` has the connection around it as its parent, and one whose
//!   `technology` is `transfer` the connection before it in the same transaction, stored or not.
//! - **Left out**: a connection without `disconnected` or without any id, with all that belongs to it.
//! - **Values**: an empty text is NULL; a boolean in a text column is `1` or `0`; arrays and objects are JSON text;
//!   `isThirdPartyConnection` is text, as the document has it. `$changed` is the time of writing, UTC, with seconds and `Z`.
//! - **Inbound calls**: `calling_number`, `called_number`, `call_time`, `connect_time` and `hangup_time` of the API are the
//!   columns `remote_number`, `line_number`, `started`, `connected` and `disconnected`.
//! - **Filters** ([`filter`]): `--fm` and `--fp` choose transactions; the contact's own row is always written.
//!
//! # What is better
//!
//! Two transactions of one contact that were fired in the same millisecond are two rows. Decimals keep their digits. A key
//! that a document has no more becomes NULL. A checksum is only stored when all rows of its contact are.

pub mod batch;
pub mod buffer;
pub mod fields;
pub mod filter;
pub mod ids;
pub mod numbers;
pub mod rows;
pub mod schema;
