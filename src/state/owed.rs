//! What is owed: everything that has to be copied again although the checkpoint's times lie behind it.
//!
//! There is one such note, whatever the reason. It is saved before the first row of the work is written, and removed when
//! all of the work is done, so that a kill, a failure or another mode in between changes nothing.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Contacts and inbound calls that have to be listed once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owed {
    /// Those changed since then; all of the campaign's whole past if `None`.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// Why.
    pub reason: Reason,
}

/// Why something is owed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A copy has begun.
    #[default]
    Copy,
    /// Filter or fields are not those that rows were written under.
    Shape,
    /// A column came into being after rows were written without it.
    Columns,
    /// Tables, columns or rows that were written are gone.
    Lost,
    /// The database holds an earlier state of what was written.
    Restored,
    /// The checkpoint was damaged.
    Checkpoint,
    /// Very many documents hold what can't be read.
    Unread,
}

impl Default for Owed {
    /// Everything: what an unreadable note may have meant.
    fn default() -> Self {
        Owed {
            since: None,
            reason: Reason::Copy,
        }
    }
}

impl Owed {
    /// What is owed when this is owed as well.
    pub fn add(owed: &mut Option<Owed>, more: Owed) {
        *owed = Some(match owed.take() {
            None => more,
            Some(known) => Owed {
                since: earlier(known.since, more.since),
                reason: more.reason,
            },
        });
    }
}

/// The earlier of two times, of which `None` is the beginning of everything.
pub fn earlier(a: Option<OffsetDateTime>, b: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    a.zip(b).map(|(a, b)| a.min(b))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Copy => "a copy was begun and is not complete",
            Reason::Shape => "filter or fields have changed",
            Reason::Columns => "columns were added after rows had been written without them",
            Reason::Lost => "tables, columns or rows were lost",
            Reason::Restored => "the database went back to an earlier state",
            Reason::Checkpoint => "the checkpoint was damaged",
            Reason::Unread => "the documents of very many contacts could not be read as a whole",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn debts_are_added_up() {
        let (early, late) = (
            Some(datetime!(2024-01-01 0:00 UTC)),
            Some(datetime!(2024-03-01 0:00 UTC)),
        );
        let since = |first, second| {
            let mut owed = None;
            for since in [first, second] {
                let reason = Reason::Lost;
                Owed::add(&mut owed, Owed { since, reason });
            }
            owed.map(|owed| owed.since)
        };
        assert_eq!(since(early, late), Some(early));
        assert_eq!(since(late, early), Some(early));
        assert_eq!(since(None, late), Some(None));
        assert_eq!(since(late, None), Some(None));
    }
}
