//! What is tried again with the next reconcile: so much of it can wait, and no more.

use std::collections::{BTreeSet, HashSet};

use crate::error::{Error, Result};

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
            "too much fails: {} entries would wait for another try, and no more than {most} can (the errors before this one \
             say why)",
            together.len()
        )));
    }
    *waiting = together.into_iter().collect();
    Ok(())
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
}
