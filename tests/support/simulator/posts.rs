//! What a web service has to know: the transactions that the event list names, each in its present version.

use super::campaign::Existence;
use super::document::Value;
use super::instant::Instant;
use super::json::Writer;
use super::truth::{FilterMode, TruthFilter, text};
use super::visit::{FiredForm, Planned, Visit};
use super::world::World;

/// A transaction to be posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// Contact id.
    pub contact: String,
    /// `fired` as the document writes it.
    pub fired: String,
    /// When it fired.
    pub at: Instant,
    /// `sequence_nr`
    pub sequence: String,
    /// The transaction as the document writes it.
    pub transaction: String,
}

/// All of them, contact by contact, in the order of time and sequence number.
pub fn all(world: &World, filter: &TruthFilter, since: Instant, now: Instant) -> Vec<Post> {
    (0..world.campaign.population(now))
        .filter(|contact| world.campaign.existence(*contact, now) == Existence::Live)
        .flat_map(|contact| of_contact(world, contact, filter, since, now))
        .collect()
}

fn of_contact(
    world: &World,
    contact: u32,
    filter: &TruthFilter,
    since: Instant,
    now: Instant,
) -> Vec<Post> {
    let campaign = &world.campaign;
    let mut posts = Vec::new();
    let visits = campaign.visits(contact, now);
    let logged = visits
        .iter()
        .filter(|visit| !visit.transactions.is_empty())
        .enumerate();
    for (ordinal, visit) in logged {
        let named = visit.transactions.iter().filter(|planned| {
            planned.visible <= now
                && planned.fired >= since
                && matches!(planned.form, FiredForm::Full | FiredForm::Short)
                && is_asked_for(world, visit, planned, filter)
        });
        let mut named: Vec<&Planned> = named.collect();
        if named.is_empty() {
            continue;
        }
        named.sort_by_key(|planned| (planned.fired, planned.rank));
        let Some(document) = world.contacts.contact(campaign, contact, now) else {
            continue;
        };
        let entry = visit.entry(campaign, ordinal, now);
        for planned in named {
            let sequence = Visit::sequence(planned, ordinal).to_string();
            let transaction = entry.iter().flat_map(|entry| entry.transactions.elements());
            let transaction = transaction
                .flatten()
                .find(|t| *t.fields.get("sequence_nr") == Value::number(&sequence))
                .expect("what is visible stands in the document");
            let mut writer = Writer::new(campaign.config.readings.empty_as);
            writer.set_style(document.style);
            writer.transaction(transaction);
            let Value::String(fired) = transaction.fields.get("fired") else {
                panic!("transactions of this form have a time");
            };
            posts.push(Post {
                contact: campaign.id(contact),
                fired: fired.to_string(),
                at: planned.fired,
                sequence,
                transaction: String::from_utf8(writer.out).unwrap(),
            });
        }
    }
    posts
}

/// The event list leaves out what has another type or task, also none; human interaction is decided by the document.
fn is_asked_for(world: &World, visit: &Visit, planned: &Planned, filter: &TruthFilter) -> bool {
    let facts = visit.facts(&world.campaign, planned);
    let is_update = text(&facts.kind).as_deref() == Some("update");
    let is_human =
        text(&facts.user).is_some() && text(&facts.detail).as_deref() != Some("$assigned");
    let mode = match filter.mode {
        FilterMode::All => true,
        FilterMode::UpdatesOnly => is_update,
        FilterMode::HiUpdatesOnly => is_update && is_human,
    };
    let task = text(&facts.task).unwrap_or_default();
    mode && (filter.prefixes.is_empty() || filter.prefixes.iter().any(|p| task.starts_with(p)))
}
