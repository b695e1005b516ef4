//! `--fm` and `--fp`: which transactions are stored.

use crate::source::json::{Object, Value};

/// Which transactions are stored (`--fm`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterMode {
    /// All of them.
    All,
    /// Only those of type `update`.
    UpdatesOnly,
    /// Only those of type `update` that a human made.
    HiUpdatesOnly,
}

/// The filter of one run. The contact's own row is stored whatever the filter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// `--fm`
    pub mode: FilterMode,
    /// `--fp`: a transaction passes if its task begins with one of them, or if there is none.
    pub task_prefixes: Vec<String>,
}

impl Filter {
    /// Whether a transaction is stored, by the old client's local rules: a missing type, task or
    /// detail passes; human interaction means a user, and a detail other than `$assigned`.
    pub fn passes(&self, transaction: &Object<'_>) -> bool {
        let kind = match self.mode {
            FilterMode::All => true,
            FilterMode::UpdatesOnly => is_update(transaction),
            FilterMode::HiUpdatesOnly => {
                is_update(transaction)
                    && transaction.get("user").to_text().is_some()
                    && !matches!(transaction.get("status_detail"), Value::Text(detail) if detail == "$assigned")
            }
        };
        kind && (self.task_prefixes.is_empty()
            || match transaction.get("task").to_text() {
                Some(task) => self
                    .task_prefixes
                    .iter()
                    .any(|prefix| task.starts_with(prefix.as_str())),
                None => true,
            })
    }
}

fn is_update(transaction: &Object<'_>) -> bool {
    transaction
        .get("type")
        .to_text()
        .is_none_or(|kind| kind == "update")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::source::json::Document;

    fn passes(mode: FilterMode, prefixes: &[&str], transaction: &str) -> bool {
        Filter {
            mode,
            task_prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
        }
        .passes(&Document::parse(transaction).unwrap().root())
    }

    #[test]
    fn updates_only_lets_updates_and_missing_types_pass() {
        assert!(passes(FilterMode::UpdatesOnly, &[], r#"{"type":"update"}"#));
        assert!(passes(FilterMode::UpdatesOnly, &[], r#"{"type":""}"#));
        assert!(passes(FilterMode::UpdatesOnly, &[], "{}"));
        assert!(!passes(
            FilterMode::UpdatesOnly,
            &[],
            r#"{"type":"dial_result"}"#
        ));
        assert!(passes(FilterMode::All, &[], r#"{"type":"dial_result"}"#));
    }

    #[test]
    fn human_updates_need_a_user_and_another_detail_than_assigned() {
        let hi = FilterMode::HiUpdatesOnly;
        assert!(passes(
            hi,
            &[],
            r#"{"type":"update","user":"U","status_detail":"x"}"#
        ));
        assert!(passes(hi, &[], r#"{"user":"U"}"#));
        assert!(!passes(
            hi,
            &[],
            r#"{"user":"U","status_detail":"$assigned"}"#
        ));
        assert!(!passes(hi, &[], r#"{"user":""}"#));
        assert!(!passes(hi, &[], r#"{"user":null}"#));
        assert!(!passes(hi, &[], r#"{"type":"dial_result","user":"U"}"#));
    }

    #[test]
    fn tasks_pass_by_prefix() {
        assert!(passes(
            FilterMode::All,
            &["fc_", "qc_"],
            r#"{"task":"qc_check"}"#
        ));
        assert!(!passes(FilterMode::All, &["fc_"], r#"{"task":"qc_check"}"#));
        assert!(passes(FilterMode::All, &["fc_"], "{}"));
        assert!(passes(FilterMode::All, &["fc_"], r#"{"task":""}"#));
    }
}
