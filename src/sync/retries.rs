//! What is tried again with the next reconcile: so much of it can wait, and no more.

use std::collections::{BTreeSet, HashSet};

use crate::error::{Error, Result};
use crate::state::MAX_RETRIES;

/// Texts that are gathered to be tried again: as many as can wait, and one more, by which is known that there are too many.
#[derive(Debug, Default)]
pub struct Gathered {
    texts: BTreeSet<String>,
    beyond: usize,
}

impl Gathered {
    /// Adds one, or only counts it where there are too many.
    pub fn add(&mut self, text: &str) {
        if self.texts.len() <= MAX_RETRIES {
            self.texts.insert(text.to_owned());
        } else if !self.texts.contains(text) {
            self.beyond += 1;
        }
    }

    /// How many there are, with those that were only counted.
    pub fn count(&self) -> usize {
        self.texts.len() + self.beyond
    }

    /// How many were only counted.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// Those that were added, none twice.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.texts.iter()
    }
}

impl IntoIterator for Gathered {
    type Item = String;
    type IntoIter = std::collections::btree_set::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.texts.into_iter()
    }
}

/// Adds what is `failing` to what waits for another try; of what waited, what was `tried` now stays only if it failed once
/// more.
///
/// # Errors
/// [`Transient`](crate::error::ErrorKind::Transient) where more than `most` would wait: then all stays as it was, and the
/// time in which the new ones lie has to be read again, so that none is forgotten.
pub fn retry_later(
    waiting: &mut Vec<String>,
    tried: Vec<String>,
    failing: impl IntoIterator<Item = String>,
    most: usize,
) -> Result<()> {
    let tried: HashSet<String> = tried.into_iter().collect();
    let together: BTreeSet<String> = waiting
        .iter()
        .filter(|text| !tried.contains(*text))
        .cloned()
        .chain(failing)
        .collect();
    if together.len() > most {
        return Err(Error::transient(format!(
            "too much fails: more than {most} entries would wait for another try (the errors before this one say why)"
        )));
    }
    *waiting = together.into_iter().collect();
    Ok(())
}

/// Adds what may stay as it is, such as in a table that is meant to be added to only, until `most` wait: it keeps out nothing
/// else, and whatever there is no room for is left as it is.
pub fn retry_if_room(
    waiting: &mut Vec<String>,
    staying: impl IntoIterator<Item = String>,
    most: usize,
) {
    let known: HashSet<String> = waiting.iter().cloned().collect();
    let new = staying.into_iter().filter(|text| !known.contains(text));
    let room = most.saturating_sub(waiting.len());
    waiting.extend(new.take(room));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::ErrorKind;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn so_many_are_gathered_and_the_rest_is_counted() {
        let mut gathered = Gathered::default();
        for number in 0..3 * MAX_RETRIES {
            gathered.add(&number.to_string());
        }
        gathered.add("0");
        assert_eq!(gathered.beyond(), 2 * MAX_RETRIES - 1);
        assert_eq!(gathered.iter().count(), MAX_RETRIES + 1);
        let kept = retry_later(&mut Vec::new(), Vec::new(), gathered, MAX_RETRIES);
        assert_eq!(kept.unwrap_err().kind(), ErrorKind::Transient);
    }

    #[test]
    fn what_is_too_much_to_wait_keeps_its_time_open() {
        let mut waiting = Vec::new();
        retry_later(&mut waiting, Vec::new(), texts(&["B", "A", "B"]), 2).unwrap();
        assert_eq!(waiting, ["A", "B"]);
        let tried = waiting.clone();
        let error = retry_later(&mut waiting, tried.clone(), texts(&["C", "B", "B"]), 1);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Transient);
        assert_eq!(waiting, ["A", "B"]);
        let error = retry_later(&mut waiting, Vec::new(), texts(&["C"]), 2);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Transient);
        assert_eq!(waiting, ["A", "B"]);
        retry_later(&mut waiting, tried, texts(&["C", "B"]), 2).unwrap();
        assert_eq!(waiting, ["B", "C"]);
    }

    #[test]
    fn what_stays_waits_while_there_is_room() {
        let mut waiting = texts(&["A"]);
        retry_if_room(&mut waiting, texts(&["A", "B", "C"]), 2);
        assert_eq!(waiting, ["A", "B"]);
        retry_if_room(&mut waiting, texts(&["D"]), 1);
        assert_eq!(waiting, ["A", "B"]);
    }
}
