//! What the database is known to hold, and whether it still does: tables, columns, rows.

use std::collections::{BTreeMap, HashSet};

use super::witness;
use crate::destination::sql::{MissingColumn, Sink, StoredContact};
use crate::error::Result;
use crate::state::{Checkpoint, Reason, Witness};
use crate::tables::batch::Batch;
use crate::tables::fields::Naming;
use crate::tables::schema::{Schema, Table, TableSchema};

/// Something that is not any more as it was written, so that everything has to be copied again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What kind of loss.
    pub reason: Reason,
    /// What the admin is told.
    pub told: String,
}

/// What was written, as far as it is remembered. It is saved with the checkpoint.
#[derive(Debug, Default)]
pub struct Holdings {
    /// The columns that are written, by table, in the database's order. Empty before the first look.
    pub columns: BTreeMap<Table, Vec<String>>,
    /// The columns that should be written and could not be added.
    pub unstored: BTreeMap<Table, Vec<String>>,
    /// Rows that were written.
    pub witnesses: Vec<Witness>,
    /// Whether tables were made in an earlier run, or in this one.
    made: bool,
}

impl Holdings {
    /// What a checkpoint says.
    pub fn of(checkpoint: Option<&Checkpoint>) -> Self {
        checkpoint.map_or_else(Holdings::default, |checkpoint| Holdings {
            columns: checkpoint.columns.clone(),
            unstored: checkpoint.unstored.clone(),
            witnesses: checkpoint.witnesses.clone(),
            made: checkpoint.trusted_after.is_some(),
        })
    }

    /// Puts it into the checkpoint.
    pub fn save_in(&self, checkpoint: &mut Checkpoint) {
        checkpoint.columns.clone_from(&self.columns);
        checkpoint.unstored.clone_from(&self.unstored);
        checkpoint.witnesses.clone_from(&self.witnesses);
    }

    /// Makes the tables what they have to be. Where something was lost, nothing is done before that was noted: the answer
    /// says what.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn prepare(
        &mut self,
        sink: &mut dyn Sink,
        schema: &Schema,
        naming: Naming,
    ) -> Result<std::result::Result<Vec<MissingColumn>, Loss>> {
        let mut before = BTreeMap::new();
        for table in schema.tables() {
            before.insert(table.table, sink.columns(table)?);
        }
        if let Some(loss) = self.lost(schema, naming, &before) {
            return Ok(Err(loss));
        }
        let missing = sink.prepare(schema)?;
        let mut now = BTreeMap::new();
        let mut unstored: BTreeMap<Table, Vec<String>> = BTreeMap::new();
        for column in &missing {
            let of_table = unstored.entry(column.table).or_default();
            of_table.push(column.column.clone());
        }
        for table in schema.tables() {
            let known = before.remove(&table.table).unwrap_or_default();
            let wanted = Names::wanted(table, naming, unstored.get(&table.table));
            let columns = if wanted.are_all_in(&known) {
                known
            } else {
                sink.columns(table)?
            };
            now.insert(table.table, wanted.those_of(columns));
        }
        if let Some(loss) = self.appeared(naming, &now) {
            return Ok(Err(loss));
        }
        if let Some((reason, told)) = witness::look(&mut self.witnesses, sink, &now)? {
            return Ok(Err(Loss { reason, told }));
        }
        (self.columns, self.unstored, self.made) = (now, unstored, true);
        Ok(Ok(missing))
    }

    /// Tables and columns that were written and are not there, before they are made again.
    fn lost(
        &mut self,
        schema: &Schema,
        naming: Naming,
        before: &BTreeMap<Table, Vec<String>>,
    ) -> Option<Loss> {
        if !self.made {
            return None;
        }
        let lost = |told: String| {
            let reason = Reason::Lost;
            Some(Loss { reason, told })
        };
        let gone: Vec<&str> = (schema.tables())
            .filter(|table| before.get(&table.table).is_none_or(Vec::is_empty))
            .map(|table| table.name.as_str())
            .collect();
        if !gone.is_empty() {
            return lost(format!(
                "tables are gone and made again, empty: {}",
                gone.join(", ")
            ));
        }
        if self.columns.is_empty() {
            // An earlier version remembered no columns: those that are there are the ones it wrote.
            self.columns = (schema.tables())
                .map(|table| {
                    let there = before.get(&table.table).cloned().unwrap_or_default();
                    let wanted = Names::wanted(table, naming, None);
                    (table.table, wanted.those_of(there))
                })
                .collect();
        }
        let gone: Vec<String> = (schema.tables())
            .flat_map(|table| {
                let wanted = Names::wanted(table, naming, None);
                let there = Names::of(before.get(&table.table), naming);
                let known = self.columns.get(&table.table).into_iter().flatten();
                known
                    .filter(move |name| {
                        (wanted.contains(name) || name.starts_with('$')) && !there.contains(name)
                    })
                    .map(move |name| format!("{}.{name}", table.name))
            })
            .collect();
        if gone.is_empty() {
            return None;
        }
        lost(format!(
            "columns are gone and made again, empty: {}",
            gone.join(", ")
        ))
    }

    /// Columns that are there by now and that rows were written without.
    fn appeared(&self, naming: Naming, now: &BTreeMap<Table, Vec<String>>) -> Option<Loss> {
        if self.columns.is_empty() {
            return None;
        }
        let base = Schema::new("");
        for (table, now) in now {
            let known = Names::of(self.columns.get(table), naming);
            let unstored = Names::of(self.unstored.get(table), naming);
            let base = Names::wanted(base.table(*table), naming, None);
            // Contacts are written without a column that only documents from now on need; others of the campaign's fields
            // change the shape.
            let new = (now.iter()).find(|name| {
                unstored.contains(name) || (base.contains(name) && !known.contains(name))
            });
            if let Some(name) = new {
                return Some(Loss {
                    reason: Reason::Columns,
                    told: format!(
                        "the column \"{name}\" of table {} can be stored by now",
                        table.suffix()
                    ),
                });
            }
            // One that is added again stands at the end. Where it was the last before, only its values tell: see
            // `witness`.
            let there = Names::of(Some(now), naming);
            let before = self.columns.get(table).into_iter().flatten();
            let before = before.filter(|name| there.contains(name));
            let after = now.iter().filter(|name| known.contains(name));
            if let Some((_, moved)) = before
                .zip(after)
                .find(|(before, after)| known.folded(before) != known.folded(after))
            {
                return Some(Loss {
                    reason: Reason::Lost,
                    told: format!(
                        "columns of table {} were dropped and added again, before or at \"{moved}\"",
                        table.suffix()
                    ),
                });
            }
        }
        None
    }

    /// Takes note of a batch that was written.
    pub fn note(&mut self, batch: &Batch, schema: &Schema, stored: Vec<StoredContact>) {
        witness::note(&mut self.witnesses, batch, schema, stored);
    }

    /// Forgets what was known of the rows of a batch that was not written whole.
    pub fn doubt(&mut self, batch: &Batch) {
        witness::forget(&mut self.witnesses, batch);
    }

    /// From now on nothing is known: what was lost is noted elsewhere.
    pub fn forget(&mut self) {
        *self = Holdings::default();
    }
}

/// Names of columns, compared as the database does.
struct Names {
    folded: HashSet<String>,
    naming: Naming,
}

impl Names {
    fn new<'a>(names: impl Iterator<Item = &'a String>, naming: Naming) -> Self {
        let mut all = Names {
            folded: HashSet::new(),
            naming,
        };
        all.folded = names.map(|name| all.folded(name)).collect();
        all
    }

    fn of(names: Option<&Vec<String>>, naming: Naming) -> Self {
        Names::new(names.into_iter().flatten(), naming)
    }

    /// The columns of a table that are to be written, without those that can't be.
    fn wanted(table: &TableSchema, naming: Naming, unstored: Option<&Vec<String>>) -> Self {
        let unstored = Names::of(unstored, naming);
        let columns = table.columns.iter().map(|column| &column.name);
        Names::new(columns.filter(|name| !unstored.contains(name)), naming)
    }

    fn contains(&self, name: &str) -> bool {
        self.folded.contains(&self.folded(name))
    }

    fn are_all_in(&self, columns: &[String]) -> bool {
        let there: HashSet<String> = columns.iter().map(|name| self.folded(name)).collect();
        self.folded.is_subset(&there)
    }

    /// Those of these columns, in their order.
    fn those_of(&self, columns: Vec<String>) -> Vec<String> {
        let mut columns = columns;
        columns.retain(|name| self.contains(name));
        columns
    }

    fn folded(&self, name: &str) -> String {
        if self.naming.ignores_case {
            name.to_lowercase()
        } else {
            name.to_owned()
        }
    }
}
