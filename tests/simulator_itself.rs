//! The simulator itself: a judge that errs is worse than none.

mod changes;
mod faulty;
mod oddities;
mod protocol;
mod rules;
mod serving;

use crate::support::http_client::pages;
use crate::support::simulator::{Row, Simulator};

/// All ids that contacts/list shows.
fn ids(sim: &Simulator) -> Vec<String> {
    let (entries, _) = pages(sim, "contacts/list?limit=1000");
    entries
        .iter()
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

/// A row without the columns that are NULL.
fn without_nulls(row: &Row) -> Row {
    row.iter()
        .filter(|(_, cell)| cell.is_some())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}
