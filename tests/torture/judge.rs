//! What must be true once all faults have ended and one reconcile has run.
//!
//! **Databases.** Each row of the five tables equals the truth, value by value: all contacts that exist, and deleted ones
//! as they were last. Columns are never removed, and what happens to a field changes no contact. So the column of a field
//! that was deleted or renamed may hold what a contact had there when it was last written, or NULL; and of a field that has another
//! type now, a contact that has not changed since may still have the value in the form of the type before; and as a number
//! column stays one until a value comes that is no number, needless zeros of texts are not kept there. Any other value is
//! a difference.
//!
//! **Web services.** The present version of each transaction arrived, and nothing that should not; one `webhook-id` never
//! stands for two versions. Where neither the ledger nor the spool was cut, what is repeated or wrongly called `new` must
//! be excused by a kill: at most what was under way. A cut ledger forgets deliveries: they come once more.

use std::collections::HashMap;

use super::schedule::ALTERED;
use super::site::{Site, Verdict};
use crate::support::compare::{as_stored, differences, truth_of, twin};
use crate::support::deliveries::{Allowed, missing, superfluous, wrong_states};
use crate::support::servers::Kind;
use crate::support::simulator::numbers::normalise;
use crate::support::simulator::{FieldEnd, Row, Simulator, TruthFilter};

use time::OffsetDateTime;

/// So many differences are told.
const SHOWN: usize = 12;

/// Requests under way at the same time.
const LANES: usize = 8;

/// Rows or transactions compared, and what is wrong.
pub struct Judgement {
    pub compared: u64,
    pub differences: Vec<String>,
}

impl Judgement {
    /// # Errors
    /// The differences in words.
    pub fn verdict(&self) -> Verdict<()> {
        if self.differences.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = self
            .differences
            .iter()
            .take(SHOWN)
            .map(String::as_str)
            .collect();
        Err(format!(
            "{} differences among {} compared:\n{}",
            self.differences.len(),
            self.compared,
            shown.join("\n")
        ))
    }
}

/// Compares what the destination holds with the truth.
pub fn judge(site: &Site<'_>, since: OffsetDateTime) -> Judgement {
    let filter = TruthFilter::default();
    if let Some(receiver) = site.destination.receiver() {
        let posts = site.sim.posts(&filter, since);
        let arrivals = receiver.arrivals();
        let mut differences = missing(&posts, &arrivals);
        differences.extend(superfluous(&site.sim, &posts, &arrivals));
        let (wrong, excused) = wrong_states(
            &arrivals,
            Allowed {
                kills: site.kills.max(usize::from(site.ledger_cut)),
            },
        );
        if !site.ledger_cut {
            differences.extend(wrong);
            if excused > site.kills * LANES {
                differences.push(format!(
                    "{excused} repetitions and wrong states at {} kills",
                    site.kills
                ));
            }
        }
        return Judgement {
            compared: posts.len() as u64,
            differences,
        };
    }
    let database = site.destination.database().unwrap();
    let mut truth = truth_of(&site.sim, &filter, database);
    let stored = database.dump("dfire_contacts");
    for (id, row) in &stored {
        let twin = twin(database.kind, &truth.contacts, id).map(str::to_owned);
        let writers: Vec<&str> = twin
            .iter()
            .map(String::as_str)
            .chain([id.as_str()])
            .collect();
        for writer in &writers {
            if let Some(wanted) = truth.contacts.get_mut(*writer) {
                allow_altered_fields(&site.sim, database.kind, wanted, &writers, row);
            }
        }
    }
    Judgement {
        compared: truth.counts().iter().map(|count| *count as u64).sum(),
        differences: differences(&truth, database, "dfire_"),
    }
}

/// Takes over into the truth what a contact's row may hold of fields that have ended or changed. The contacts that share
/// the row may have written them both: one that has ended stays as the first of them left it.
fn allow_altered_fields(
    sim: &Simulator,
    kind: Kind,
    row: &mut Row,
    writers: &[&str],
    stored: &Row,
) {
    let start = sim.config().start;
    let now = sim.now();
    for field in &sim.config().added_fields {
        let Some((after, how)) = field.end else {
            continue;
        };
        let ended = start + after;
        let Some(found) = stored.get(&field.name).filter(|_| ended <= now) else {
            continue;
        };
        let allowed = match how {
            FieldEnd::Deleted | FieldEnd::Gone => {
                let mut values =
                    (writers.iter()).flat_map(|id| sim.field_values(id, &field.name, ended));
                found.is_none() || values.any(|value| as_stored(kind, &value) == *found)
            }
            FieldEnd::Replaced => {
                let wanted = as_stored(kind, &row.get(&field.name).cloned().flatten());
                as_number(found) == as_number(&wanted)
                    || writers.iter().any(|id| {
                        let last = as_stored(kind, &sim.field_before(id, &field.name, ended));
                        sim.last_change_of(id)
                            .is_some_and(|changed| changed <= ended)
                            && (found.is_none() || as_number(found) == as_number(&last))
                    })
            }
        };
        if allowed {
            row.insert(field.name.clone(), found.clone());
        }
    }
}

/// A number without needless zeros; a text that is none as it is.
pub fn as_number(text: &Option<String>) -> Option<String> {
    text.as_deref()
        .map(|text| normalise(text).unwrap_or_else(|| text.to_owned()))
}

/// How many of the altered fields have begun or ended by now, by their changes.
pub fn altered(sim: &Simulator) -> u64 {
    let passed = sim.now() - sim.config().start;
    let mut changes: HashMap<(&str, u64), ()> = HashMap::new();
    for field in &sim.config().added_fields {
        let times = [Some(field.after), field.end.map(|(after, _)| after)];
        for time in times.into_iter().flatten() {
            if ALTERED.contains(&field.name.as_str()) && !time.is_zero() && time <= passed {
                changes.insert((&field.name, time.as_secs()), ());
            }
        }
    }
    changes.len() as u64
}
