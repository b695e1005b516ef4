//! How much of the same the tests do: what a run of all tests leaves to `scripts/test.sh --nightly` is all here.
//!
//! `DBSYNC_TEST_SIZE=full` asks for all of it. Each promise has its test in either size.

use std::time::Duration;

use super::servers::Kind;

/// Numbers of repetitions.
pub struct Size {
    /// Kills of a copy in each of the two modes, in groups of ten that each end with a comparison.
    pub kill_groups: usize,
    /// Contacts of the copy that is compared with the truth after three days of faults.
    pub contacts: u32,
    /// Signals to a copy in each of the two modes.
    pub signals: u64,
    /// Transactions, kills and the silence of the web service in the test that kills webhook.
    pub webhook_contacts: u32,
    pub webhook_kills: u32,
    pub webhook_silence: Duration,
}

/// Of tests with this kind of database. SQLite, the quickest, gets all of it in each run.
pub fn size(kind: Kind) -> Size {
    let is_full = match std::env::var("DBSYNC_TEST_SIZE").as_deref() {
        Err(_) | Ok("") => false,
        Ok("full") => true,
        Ok(other) => panic!("DBSYNC_TEST_SIZE is {other:?}: only \"full\" is known"),
    };
    let every = is_full || kind == Kind::Sqlite;
    Size {
        kill_groups: if every { 10 } else { 1 },
        contacts: if every { 20_000 } else { 4_000 },
        signals: if every { 20 } else { 5 },
        webhook_contacts: if is_full { 7500 } else { 2200 },
        webhook_kills: if is_full { 100 } else { 20 },
        webhook_silence: Duration::from_secs(if is_full { 10 } else { 1 }),
    }
}
