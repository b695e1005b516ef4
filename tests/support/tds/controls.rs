//! How a test makes the server fail.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};

/// Failures that wait for their statement.
#[derive(Debug, Default)]
pub struct Controls {
    failures: Mutex<Vec<(i32, u32)>>,
    /// Bulk loads lose their connection at this row; 0 is never.
    bulk_breaks_at: AtomicU64,
    statements: AtomicU64,
    sessions: AtomicU16,
    waiting: AtomicUsize,
}

/// A session stands before a lock for as long as this lives.
pub struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Controls {
    /// The next `times` statements that write to a permanent table fail with this error.
    pub fn fail_next(&self, number: i32, times: u32) {
        self.failures().push((number, times));
    }

    /// What the next write fails with.
    pub fn take_failure(&self) -> Option<i32> {
        let mut failures = self.failures();
        let (number, times) = failures.first_mut()?;
        let number = *number;
        *times = times.saturating_sub(1);
        if *times == 0 {
            failures.remove(0);
        }
        Some(number)
    }

    /// How many writes are still to fail.
    pub fn pending_failures(&self) -> u32 {
        self.failures().iter().map(|(_, times)| times).sum()
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Vec<(i32, u32)>> {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next bulk load loses its connection at this row (counted from 1).
    pub fn break_bulk_load_at(&self, row: u64) {
        self.bulk_breaks_at.store(row, Ordering::SeqCst);
    }

    /// Whether this row of a bulk load is the one to break at; only once.
    pub fn breaks_here(&self, row: u64) -> bool {
        self.bulk_breaks_at
            .compare_exchange(row, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// A session stands before a lock from now on.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(&self.waiting)
    }

    /// How many sessions stand before a lock.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub fn count_statement(&self) {
        self.statements.fetch_add(1, Ordering::SeqCst);
    }

    /// Statements run since the start, in all sessions.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::SeqCst)
    }

    /// A number for a new session, from 51 on as on a real server.
    pub fn next_session(&self) -> u16 {
        51 + self.sessions.fetch_add(1, Ordering::SeqCst)
    }
}
