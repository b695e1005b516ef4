//! What is written in one database transaction.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

pub use super::buffer::{Row, Rows};
use super::schema::{Schema, Table};

/// Where a unit (a contact with its rows, or one inbound call) begins: row numbers per table, and of the placeholders.
#[derive(Debug, Clone, Copy)]
struct Mark {
    rows: [usize; 5],
    placeholders: usize,
}

/// What is written in one database transaction: whole contacts with all their rows, and inbound calls.
///
/// Several rows may have the same key; the last one counts. Sinks receive batches without such duplicates
/// (see [`Batch::without_duplicates`]).
#[derive(Debug, Clone, Default)]
pub struct Batch {
    rows: [Rows; 5],
    units: Vec<Mark>,
    /// Ids of recording rows to delete before the rows are written: placeholders whose location has arrived.
    pub placeholders: Vec<String>,
    /// No contact of it is in the database, so none of its rows is expected there. A hint: a sink may use it to insert
    /// faster, but has to replace rows that are there after all.
    pub is_new: bool,
    /// Everything is done as always, and undone instead of committed: this finds out whether the database would take it.
    pub is_rehearsal: bool,
    /// Tables, in the order of [`Table::ALL`], whose rows are only added: where a key is there already, that is refused. A
    /// table that lets nobody change its rows may still take new ones.
    pub only_adds: [bool; 5],
}

impl Batch {
    /// An empty batch for tables with so many columns, in the order of [`Table::ALL`].
    pub fn new(columns: [usize; 5]) -> Self {
        Batch {
            rows: columns.map(Rows::new),
            units: Vec::new(),
            placeholders: Vec::new(),
            is_new: false,
            is_rehearsal: false,
            only_adds: [false; 5],
        }
    }

    /// An empty batch for these tables.
    pub fn for_schema(schema: &Schema) -> Self {
        Batch::new(Table::ALL.map(|table| schema.table(table).columns.len()))
    }

    /// The rows of one table.
    pub fn rows(&self, table: Table) -> &Rows {
        let [
            contacts,
            transactions,
            connections,
            recordings,
            inbound_calls,
        ] = &self.rows;
        match table {
            Table::Contacts => contacts,
            Table::Transactions => transactions,
            Table::Connections => connections,
            Table::Recordings => recordings,
            Table::InboundCalls => inbound_calls,
        }
    }

    /// The rows of one table, to add to.
    pub fn rows_mut(&mut self, table: Table) -> &mut Rows {
        let [
            contacts,
            transactions,
            connections,
            recordings,
            inbound_calls,
        ] = &mut self.rows;
        match table {
            Table::Contacts => contacts,
            Table::Transactions => transactions,
            Table::Connections => connections,
            Table::Recordings => recordings,
            Table::InboundCalls => inbound_calls,
        }
    }

    /// Whether rows of this table are only added: see [`Batch::only_adds`].
    pub fn only_adds_to(&self, table: Table) -> bool {
        self.only_adds.get(table.index()).is_some_and(|only| *only)
    }

    /// The rows added from now on, up to the next call, belong together: one contact, or one inbound call.
    pub fn begin_unit(&mut self) {
        self.units.push(self.mark());
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Number of rows per table, in the order of [`Table::ALL`].
    pub fn counts(&self) -> [usize; 5] {
        self.rows.each_ref().map(Rows::len)
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(Rows::is_empty) && self.placeholders.is_empty()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(Rows::bytes).sum()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.rows.iter_mut().for_each(Rows::clear);
        self.units.clear();
        self.placeholders.clear();
        self.is_new = false;
        self.is_rehearsal = false;
        self.only_adds = [false; 5];
    }

    /// Gives back the memory that no row uses: for a batch that is complete and waits.
    pub fn shrink(&mut self) {
        self.rows.iter_mut().for_each(Rows::shrink);
    }

    /// Appends another batch; missing columns become NULL.
    pub fn append(&mut self, other: &Batch) {
        self.is_new = other.is_new && (self.is_new || self.is_empty());
        let base = self.mark();
        self.units.extend(other.units.iter().map(|unit| Mark {
            rows: std::array::from_fn(|table| {
                base.rows.get(table).copied().unwrap_or(0)
                    + unit.rows.get(table).copied().unwrap_or(0)
            }),
            placeholders: base.placeholders + unit.placeholders,
        }));
        for table in Table::ALL {
            self.rows_mut(table).append(other.rows(table));
        }
        self.placeholders.extend(other.placeholders.iter().cloned());
    }

    /// The units from `from` to before `to` as a batch of their own.
    pub fn slice(&self, from: usize, to: usize) -> Batch {
        let mut part = Batch::new(self.rows.each_ref().map(Rows::columns));
        for unit in from..to.min(self.units.len()) {
            part.begin_unit();
            let start = self.units.get(unit).copied().unwrap_or_else(|| self.mark());
            let end = self
                .units
                .get(unit + 1)
                .copied()
                .unwrap_or_else(|| self.mark());
            for (index, table) in Table::ALL.into_iter().enumerate() {
                let (first, last) = (start.rows.get(index).copied(), end.rows.get(index).copied());
                for row in first.unwrap_or(0)..last.unwrap_or(0) {
                    part.rows_mut(table).push(self.rows(table).row(row));
                }
            }
            let placeholders = self
                .placeholders
                .get(start.placeholders..end.placeholders)
                .unwrap_or(&[]);
            part.placeholders.extend(placeholders.iter().cloned());
        }
        part
    }

    /// A batch with nothing but the rows of one table, as one unit.
    pub fn only(&self, table: Table) -> Batch {
        let mut part = Batch::new(self.rows.each_ref().map(Rows::columns));
        part.begin_unit();
        part.rows_mut(table).append(self.rows(table));
        part
    }

    /// A batch with nothing but one row.
    pub fn single(&self, table: Table, row: usize) -> Batch {
        let mut part = Batch::new(self.rows.each_ref().map(Rows::columns));
        part.begin_unit();
        part.rows_mut(table).push(self.rows(table).row(row));
        part
    }

    /// The same batch with each key once per table: the last row counts.
    pub fn without_duplicates(&self) -> Cow<'_, Batch> {
        if !self.rows.iter().any(has_duplicates) {
            return Cow::Borrowed(self);
        }
        let mut clean = Batch::new(self.rows.each_ref().map(Rows::columns));
        clean.begin_unit();
        clean.placeholders.clone_from(&self.placeholders);
        clean.is_new = self.is_new;
        clean.is_rehearsal = self.is_rehearsal;
        clean.only_adds = self.only_adds;
        for table in Table::ALL {
            let rows = self.rows(table);
            let last: HashMap<&str, usize> = rows
                .iter()
                .enumerate()
                .map(|(index, row)| (row.key(), index))
                .collect();
            for (index, row) in rows.iter().enumerate() {
                if last.get(row.key()) == Some(&index) {
                    clean.rows_mut(table).push(row);
                }
            }
        }
        Cow::Owned(clean)
    }

    fn mark(&self) -> Mark {
        Mark {
            rows: self.counts(),
            placeholders: self.placeholders.len(),
        }
    }
}

fn has_duplicates(rows: &Rows) -> bool {
    let mut seen = HashSet::with_capacity(rows.len());
    rows.iter().any(|row| !seen.insert(row.key()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contacts with one text column behind the key, and a recording each.
    fn batch(contacts: &[(&str, Option<&str>)]) -> Batch {
        let mut batch = Batch::new([2, 1, 1, 1, 1]);
        for (id, text) in contacts {
            batch.begin_unit();
            let rows = batch.rows_mut(Table::Contacts);
            rows.begin();
            rows.set(0, id);
            if let Some(text) = text {
                rows.set(1, text);
            }
            let rows = batch.rows_mut(Table::Recordings);
            rows.begin();
            rows.set(0, &format!("r-{id}"));
            batch.placeholders.push(format!("p-{id}"));
        }
        batch
    }

    fn contacts(batch: &Batch) -> Vec<(String, Option<String>)> {
        let owned = |row: Row<'_>| (row.key().to_owned(), row.get(1).map(str::to_owned));
        batch.rows(Table::Contacts).iter().map(owned).collect()
    }

    fn pair(id: &str, text: Option<&str>) -> (String, Option<String>) {
        (id.to_owned(), text.map(str::to_owned))
    }

    #[test]
    fn the_last_of_equal_keys_stays() {
        let given = batch(&[
            ("a", Some("1")),
            ("b", None),
            ("a", Some("2")),
            ("c", Some("")),
        ]);
        let clean = given.without_duplicates();
        assert_eq!(
            contacts(&clean),
            [pair("b", None), pair("a", Some("2")), pair("c", Some(""))]
        );
        assert_eq!(clean.counts(), [3, 0, 0, 3, 0]);
        assert_eq!(clean.placeholders.len(), 4);
        assert!(matches!(
            batch(&[("a", None), ("b", None)]).without_duplicates(),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn a_slice_holds_whole_units() {
        let mut given = batch(&[("a", Some("1"))]);
        given.append(&batch(&[("b", None), ("c", Some("3"))]));
        assert_eq!(given.units(), 3);
        let part = given.slice(1, 3);
        assert_eq!(contacts(&part), [pair("b", None), pair("c", Some("3"))]);
        assert_eq!(part.counts(), [2, 0, 0, 2, 0]);
        assert_eq!(part.placeholders, ["p-b", "p-c"]);
        assert_eq!(given.slice(0, 1).placeholders, ["p-a"]);
        assert_eq!(given.single(Table::Recordings, 2).counts(), [0, 0, 0, 1, 0]);
        let only = given.only(Table::Recordings);
        assert_eq!((only.counts(), only.units()), ([0, 0, 0, 3, 0], 1));
    }

    #[test]
    fn rows_of_an_earlier_layout_get_null_in_later_columns() {
        let mut wide = Batch::new([3, 1, 1, 1, 1]);
        wide.append(&batch(&[("a", Some("1"))]));
        let row = wide.rows(Table::Contacts).row(0);
        assert_eq!(
            row.values().collect::<Vec<_>>(),
            [Some("a"), Some("1"), None]
        );
    }
}
