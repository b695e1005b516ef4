//! How much memory the rows of one contact may take.

use crate::source::json::Object;
use crate::tables::batch::Batch;

/// The rows of a contact may take so many times the bytes of its document, and [`ROWS_AT_LEAST`] more. Real ones take less
/// than twice as many; a hostile document of a few bytes per transaction, or one that repeats a huge id, could fill the
/// memory.
const ROWS_PER_DOCUMENT: usize = 6;

/// Bytes that the rows of any contact may take.
const ROWS_AT_LEAST: usize = 64 << 10;

/// Bytes that a placeholder takes.
const PLACEHOLDER: usize = size_of::<String>() + 32;

/// How large a batch may become by the rows of one contact.
#[derive(Clone, Copy)]
pub(super) struct MemoryBudget {
    most: usize,
}

impl MemoryBudget {
    pub(super) fn of(contact: &Object<'_>, batch: &Batch) -> MemoryBudget {
        let rows = ROWS_PER_DOCUMENT.saturating_mul(contact.length_of_document());
        MemoryBudget {
            most: held(batch)
                .saturating_add(rows)
                .saturating_add(ROWS_AT_LEAST),
        }
    }

    /// Whether so many bytes more are within it.
    pub(super) fn has(self, batch: &Batch, more: usize) -> Result<(), String> {
        if held(batch).saturating_add(more) <= self.most {
            return Ok(());
        }
        Err(format!(
            "the rows of a contact would take more than {ROWS_PER_DOCUMENT} times the size of its document"
        ))
    }
}

fn held(batch: &Batch) -> usize {
    batch.bytes() + batch.placeholders.len() * PLACEHOLDER
}
