//! Tables that take no rows for now, or none of a kind, and what can be written meanwhile: the rows of the other tables.
//!
//! A contact of which rows are kept back is written without its `$md5`, so that it is not taken for complete.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::probe::Extent;
use super::stored::{StoredRows, is_same};
use crate::error::Error;
use crate::tables::batch::{Batch, Row, Rows};
use crate::tables::schema::{Schema, Table, TableSchema};

/// The waits until a table is tried again while batches are written: doubling from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A table that takes no rows, or none of a kind.
#[derive(Debug)]
pub struct Closed {
    /// Of the row by which this was found out.
    pub key: String,
    /// Why that row was refused.
    pub reason: Error,
    /// What it refuses.
    pub extent: Extent,
    wait: Duration,
    next_try: Instant,
}

impl Closed {
    /// It still takes none.
    pub fn wait_longer(&mut self) {
        self.next_try = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(MAX_WAIT);
    }
}

/// The tables that take no rows, or none of a kind.
#[derive(Debug, Default)]
pub struct ClosedTables {
    tables: [Option<Closed>; 5],
    error: Option<Error>,
}

/// Why a row is not written to a table that is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// It is written when the table takes it.
    Waits,
    /// The stored row stays as it is, and is another one.
    Stays,
    /// The stored row is the same.
    Same,
}

impl LeftOut {
    /// What becomes of a row in a table that refuses this; `None` where the table should take it.
    pub fn of(
        extent: Extent,
        schema: &TableSchema,
        row: Row<'_>,
        stored: Option<Row<'_>>,
    ) -> Option<Self> {
        match (extent, stored) {
            (Extent::All, _) | (Extent::New, None) => Some(LeftOut::Waits),
            (Extent::Changes, Some(stored)) if is_same(schema, row, stored) => Some(LeftOut::Same),
            (Extent::Changes, Some(_)) => Some(LeftOut::Stays),
            (Extent::Changes, None) | (Extent::New, Some(_)) => None,
        }
    }
}

/// What of a batch can be written.
#[derive(Debug)]
pub struct Stripped<'a> {
    /// The rows that the tables should take.
    pub batch: Cow<'a, Batch>,
    /// Whether rows are kept back.
    pub keeps_back: bool,
    /// Contacts of which rows are kept back.
    pub contacts: Vec<String>,
    /// Whether inbound calls are kept back.
    pub keeps_calls: bool,
    /// Those that are, with the times of their rows. One whose stored row stays would stay each time it is read.
    pub calls: Vec<(String, Option<String>)>,
    /// How many stored rows stay as they are, and are others.
    pub stay: u64,
    /// Contacts of which some do, and whose own rows can't say so: their checksums stay as well.
    pub unmarked: Vec<String>,
}

impl<'a> Stripped<'a> {
    /// Nothing is left out of this batch.
    pub fn none(batch: &'a Batch) -> Self {
        Stripped {
            batch: Cow::Borrowed(batch),
            keeps_back: false,
            contacts: Vec::new(),
            keeps_calls: false,
            calls: Vec::new(),
            stay: 0,
            unmarked: Vec::new(),
        }
    }
}

impl ClosedTables {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.tables.iter().any(Option::is_some)
    }

    /// Whether rows wait until one of them takes them. Changes of stored rows don't: a table that refuses them is meant to.
    pub fn keeps_back(&self) -> bool {
        (self.tables.iter().flatten()).any(|closed| closed.extent != Extent::Changes)
    }

    /// What this table refuses.
    pub fn extent(&self, table: Table) -> Option<Extent> {
        let closed = self.tables.get(table.index())?.as_ref()?;
        Some(closed.extent)
    }

    /// Whether this one takes no rows at all.
    pub fn has(&self, table: Table) -> bool {
        self.extent(table) == Some(Extent::All)
    }

    /// From now on this is one of them, as that row was refused for that reason; `error` says so to the admin.
    pub fn close(&mut self, table: Table, extent: Extent, key: &str, reason: Error, error: Error) {
        if extent != Extent::Changes {
            self.error = Some(error);
        }
        if let Some(slot) = self.tables.get_mut(table.index()) {
            let mut closed = Closed {
                key: key.to_owned(),
                reason,
                extent,
                wait: FIRST_WAIT,
                next_try: Instant::now(),
            };
            closed.wait_longer();
            *slot = Some(closed);
        }
    }

    /// It takes rows again.
    pub fn open(&mut self, table: Table) {
        if let Some(slot) = self.tables.get_mut(table.index()) {
            *slot = None;
        }
    }

    /// One of them, to be tried again.
    pub fn get_mut(&mut self, table: Table) -> Option<&mut Closed> {
        self.tables.get_mut(table.index())?.as_mut()
    }

    /// Those that it is time to try again.
    pub fn due(&self, now: Instant) -> Vec<Table> {
        let is_due = |table: &Table| {
            let closed = self.tables.get(table.index()).and_then(Option::as_ref);
            closed.is_some_and(|closed| closed.next_try <= now)
        };
        Table::ALL.into_iter().filter(is_due).collect()
    }

    /// What was last said of one for which rows wait.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Those of which the stored rows have to be known.
    pub fn partly(&self) -> impl Iterator<Item = Table> {
        (Table::ALL.into_iter())
            .filter(|table| matches!(self.extent(*table), Some(Extent::Changes | Extent::New)))
    }

    /// For each table whether rows are only added to it.
    pub fn only_adds(&self) -> [bool; 5] {
        Table::ALL.map(|table| self.extent(table) == Some(Extent::Changes))
    }

    /// Leaves out the rows that they refuse. `stored` has those of the batch that are in tables of [`ClosedTables::partly`].
    pub fn strip<'a>(
        &self,
        batch: &'a Batch,
        schema: &Schema,
        stored: &StoredRows,
    ) -> Stripped<'a> {
        let mut stripped = Stripped::none(batch);
        let mut taken = Batch::for_schema(schema);
        let md5 = schema.table(Table::Contacts).position("$md5");
        for unit in 0..batch.units() {
            let mut unit = batch.slice(unit, unit + 1);
            let contact = unit.rows(Table::Contacts).row(0).key().to_owned();
            let (mut kept_back, mut stays) = (false, false);
            for table in Table::ALL {
                let Some(extent) = self.extent(table).filter(|_| !unit.rows(table).is_empty())
                else {
                    continue;
                };
                let of_table = schema.table(table);
                let started = of_table.position("started");
                let rows = std::mem::take(unit.rows_mut(table));
                let mut open = Rows::new(rows.columns());
                for row in rows.iter() {
                    let found = stored.find(table, row.key());
                    let Some(left_out) = LeftOut::of(extent, of_table, row, found) else {
                        open.push(row);
                        continue;
                    };
                    kept_back |= left_out == LeftOut::Waits;
                    stays |= left_out == LeftOut::Stays;
                    stripped.stay += u64::from(left_out == LeftOut::Stays);
                    if table == Table::InboundCalls && left_out == LeftOut::Waits {
                        stripped.keeps_calls = true;
                        let started = started.and_then(|at| row.get(at)).map(str::to_owned);
                        stripped.calls.push((row.key().to_owned(), started));
                    }
                }
                *unit.rows_mut(table) = open;
            }
            if self.has(Table::Recordings) && !unit.placeholders.is_empty() {
                kept_back = true;
                unit.placeholders.clear();
            }
            stripped.keeps_back |= kept_back;
            if (kept_back || stays)
                && let Some(md5) = md5
            {
                unit.rows_mut(Table::Contacts).set_null(md5);
            }
            let is_marked = !unit.rows(Table::Contacts).is_empty();
            match contact.is_empty() {
                false if kept_back => stripped.contacts.push(contact),
                false if stays && !is_marked => stripped.unmarked.push(contact),
                _ => {}
            }
            taken.append(&unit);
        }
        stripped.batch = Cow::Owned(taken);
        stripped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(schema: &Schema) -> Batch {
        let mut batch = Batch::for_schema(schema);
        for id in ["a", "b"] {
            batch.begin_unit();
            let rows = batch.rows_mut(Table::Contacts);
            rows.begin();
            rows.set(0, id);
            if let Some(md5) = schema.table(Table::Contacts).position("$md5") {
                rows.set(md5, "sum");
            }
            if id == "b" {
                batch.rows_mut(Table::Recordings).begin();
                batch.rows_mut(Table::Recordings).set(0, "r");
                batch.placeholders.push("p".to_owned());
            }
        }
        batch.begin_unit();
        batch.rows_mut(Table::InboundCalls).begin();
        batch.rows_mut(Table::InboundCalls).set(0, "call");
        batch
    }

    fn stripped_of(table: Table) -> (Stripped<'static>, Vec<Option<String>>) {
        let schema = Schema::new("dfire_");
        let mut closed = ClosedTables::default();
        closed.close(
            table,
            Extent::All,
            "k",
            Error::data("no"),
            Error::transient("none"),
        );
        assert!(closed.keeps_back() && closed.has(table) && closed.due(Instant::now()).is_empty());
        let batch = batch(&schema);
        let mut stripped = closed.strip(&batch, &schema, &StoredRows::default());
        let stripped = Stripped {
            batch: Cow::Owned(std::mem::take(stripped.batch.to_mut())),
            ..stripped
        };
        closed.open(table);
        assert!(!closed.any());
        let md5 = schema.table(Table::Contacts).position("$md5").unwrap_or(0);
        let sums = (stripped.batch.rows(Table::Contacts).iter())
            .map(|row| row.get(md5).map(str::to_owned))
            .collect();
        (stripped, sums)
    }

    #[test]
    fn a_contact_of_which_rows_are_kept_back_has_no_checksum() {
        let (stripped, sums) = stripped_of(Table::Recordings);
        assert_eq!(stripped.batch.counts(), [2, 0, 0, 0, 1]);
        assert_eq!(sums, [Some("sum".to_owned()), None]);
        assert_eq!(stripped.contacts, ["b"]);
        assert!(stripped.calls.is_empty() && stripped.batch.placeholders.is_empty());
        assert_eq!(stripped.batch.units(), 3);
    }

    #[test]
    fn nothing_waits_for_a_table_that_refuses_changes() {
        let schema = Schema::new("dfire_");
        let mut closed = ClosedTables::default();
        let (no, none) = (Error::data("no"), Error::transient("none"));
        closed.close(Table::Recordings, Extent::Changes, "k", no, none);
        assert!(closed.any() && !closed.keeps_back() && closed.error().is_none());
        let batch = batch(&schema);
        let stripped = closed.strip(&batch, &schema, &StoredRows::default());
        assert_eq!(stripped.batch.counts(), [2, 0, 0, 1, 1]);
        assert!(stripped.contacts.is_empty() && !stripped.keeps_back && stripped.stay == 0);
        assert_eq!(closed.only_adds(), [false, false, false, true, false]);
    }

    #[test]
    fn new_rows_wait_for_a_table_that_refuses_them() {
        let schema = Schema::new("dfire_");
        let mut closed = ClosedTables::default();
        let (no, none) = (Error::data("no"), Error::transient("none"));
        closed.close(Table::InboundCalls, Extent::New, "k", no, none);
        assert!(closed.keeps_back() && closed.partly().eq([Table::InboundCalls]));
        let batch = batch(&schema);
        let stripped = closed.strip(&batch, &schema, &StoredRows::default());
        assert_eq!(stripped.batch.counts(), [2, 0, 0, 1, 0]);
        assert!(stripped.keeps_calls && stripped.keeps_back);
        assert_eq!(stripped.calls, [("call".to_owned(), None)]);
        assert_eq!(closed.only_adds(), [false; 5]);
    }

    #[test]
    fn a_stored_row_is_left_out_by_what_it_holds() {
        let schema = Schema::new("dfire_");
        let recordings = schema.table(Table::Recordings);
        let row = |name: &str| {
            let mut rows = Rows::new(recordings.columns.len());
            rows.begin();
            rows.set(0, "r");
            rows.set(1, name);
            rows
        };
        let (new, other) = (row("a"), row("b"));
        let of = |extent, stored: Option<&Rows>| {
            LeftOut::of(
                extent,
                recordings,
                new.row(0),
                stored.map(|rows| rows.row(0)),
            )
        };
        assert_eq!(of(Extent::Changes, Some(&new)), Some(LeftOut::Same));
        assert_eq!(of(Extent::Changes, Some(&other)), Some(LeftOut::Stays));
        assert_eq!(of(Extent::Changes, None), None);
        assert_eq!(of(Extent::New, Some(&other)), None);
        assert_eq!(of(Extent::New, None), Some(LeftOut::Waits));
        assert_eq!(of(Extent::All, Some(&new)), Some(LeftOut::Waits));
    }

    #[test]
    fn other_tables_are_written_without_contacts_and_calls() {
        let (stripped, _) = stripped_of(Table::Contacts);
        assert_eq!(stripped.batch.counts(), [0, 0, 0, 1, 1]);
        assert_eq!(stripped.contacts, ["a", "b"]);
        let (stripped, sums) = stripped_of(Table::InboundCalls);
        assert_eq!(stripped.batch.counts(), [2, 0, 0, 1, 0]);
        assert_eq!(sums, [Some("sum".to_owned()), Some("sum".to_owned())]);
        assert_eq!(stripped.calls, [("call".to_owned(), None)]);
        assert_eq!(stripped.batch.placeholders, ["p"]);
    }
}
