//! What is said once in a run, however often its database is opened.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What was said. A clone shares it.
#[derive(Debug, Clone, Default)]
pub struct Said(Arc<Mutex<HashSet<String>>>);

impl Said {
    /// Whether this was not said before; from now on it was.
    pub(super) fn is_new(&self, what: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !said.contains(what) && said.insert(what.to_owned())
    }

    /// Logs a warning, unless it was logged before.
    pub(super) fn warn(&self, message: &str) {
        if self.is_new(message) {
            log::warn!("{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_was_said() {
        let said = Said::default();
        assert!(said.is_new("a") && said.is_new("b"));
        let other = said.clone();
        assert!(!other.is_new("a") && other.is_new("c") && !said.is_new("c"));
        assert!(Said::default().is_new("a"));
    }
}
