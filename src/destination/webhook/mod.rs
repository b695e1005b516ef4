//! The web-service destination: one POST per transaction, in order per contact, at least once, each version once.
//!
//! [`payload`] makes the body from a contact's document, [`signature`] its headers, [`receiver`] makes one attempt.
//! [`queue`] keeps contacts in order, [`gate`] says when the next attempt may be made (rate, pauses, outages), and
//! [`sender`] runs the lanes between them. What was delivered stands in the [`ledger`], what could not be in the [`spool`].

pub mod digest;
pub mod gate;
pub mod ledger;
pub mod payload;
pub mod queue;
pub mod rate;
pub mod receiver;
pub mod sender;
pub mod signature;
pub mod spool;
