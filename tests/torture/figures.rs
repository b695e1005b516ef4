//! What was done to a target, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// Counts of one target, over all its lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Campaigns begun, and comparisons made.
    pub lives: u64,
    pub comparisons: u64,
    /// Good rounds that were seen in the status file, of all processes.
    pub rounds: u64,
    /// Starts of the program; and of those, after it had ended by itself because of a fault at its start.
    pub starts: u64,
    pub failed_starts: u64,
    /// Faults by their names.
    pub faults: BTreeMap<&'static str, u64>,
    /// Requests of the API that met a fault.
    pub wrong_answers: u64,
    /// Contacts deleted and custom fields added, deleted, renamed or changed in type meanwhile.
    pub deleted_contacts: u64,
    pub altered_fields: u64,
    /// Minutes of simulated time.
    pub minutes: u64,
    /// Rows, or transactions, that were compared.
    pub compared: u64,
    /// Of them those that were not as they should be.
    pub differences: u64,
}

impl Figures {
    /// One more fault.
    pub fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }
}

impl AddAssign<&Figures> for Figures {
    fn add_assign(&mut self, other: &Figures) {
        self.lives += other.lives;
        self.comparisons += other.comparisons;
        self.rounds += other.rounds;
        self.starts += other.starts;
        self.failed_starts += other.failed_starts;
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        self.wrong_answers += other.wrong_answers;
        self.deleted_contacts += other.deleted_contacts;
        self.altered_fields += other.altered_fields;
        self.minutes += other.minutes;
        self.compared += other.compared;
        self.differences += other.differences;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "campaigns {}, simulated days {:.1}, rounds {}, starts {} ({} of them failed under a fault)",
            self.lives,
            self.minutes as f64 / 1440.0,
            self.rounds,
            self.starts,
            self.failed_starts
        )?;
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(
            f,
            "  faults: {}; wrong answers of the API {}, contacts deleted {}, fields altered {}",
            faults.join(", "),
            self.wrong_answers,
            self.deleted_contacts,
            self.altered_fields
        )?;
        write!(
            f,
            "  comparisons {}, compared {}, differences {}",
            self.comparisons, self.compared, self.differences
        )
    }
}
