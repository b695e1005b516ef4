//! Notices that the database lost what was written into it: a table was emptied, or dropped and made again by another
//! campaign that shares it; the database was restored from a backup; a standby took over that lacked the latest rows.
//!
//! That a table is there proves nothing, nor does anything that could be noted beside it: only rows do. So some rows of
//! each table are remembered, the [`Witness`]es, and looked for whenever the database is opened and with each reconcile.
//! No marks are left in the database: the tables are those of the vendor's client, and need no further privileges.
//!
//! Rows are deleted on purpose as well. Therefore a loss is only what more than half of a table's witnesses say, and most
//! of these are the rows written last, which nobody deletes for their age. Rows that were written since the last look
//! prove nothing, as the loss may lie between: they are young until the next one.
//!
//! A column that was dropped and made again may stand where it stood, so that its values have to tell: a witness remembers
//! which columns were not NULL when it was looked at. Where none of a column's witnesses has a value any more although
//! nobody wrote these rows, the column's values are lost.

use std::collections::{BTreeMap, HashMap, HashSet};

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::destination::sql::{Sink, StoredContact};
use crate::error::Result;
use crate::state::{MAX_KEEPERS, MAX_WITNESSES, Reason, Witness};
use crate::tables::batch::Batch;
use crate::tables::schema::{Schema, Table, TableSchema};
use crate::text;

/// Another instance that writes the same contact has its own reading of Dialfire's clock.
const TOLERANCE: Duration = Duration::seconds(10);

/// The most of one batch: those of several batches are less likely to be all lost or deleted together.
const MAX_OF_A_BATCH: usize = 4;

/// As many witnesses of a table are those with the smallest keys, whenever they were written: a sample of all rows, where
/// those written last are written over and over.
const SAMPLE: usize = 4;

/// The witnesses of which a column is remembered: those written last, as somebody may empty a column of old rows.
const MAX_OF_A_COLUMN: usize = 4;

/// A column that is emptied on purpose, so that a contact is fetched again.
const EMPTIED: &str = "$md5";

/// So many columns are named.
const MAX_NAMED: usize = 3;

/// What the database holds of a witness.
struct Found {
    filled: Vec<String>,
    /// A contact's time of writing.
    changed: Option<String>,
}

/// What the database holds of the witnesses.
type Present = HashMap<(Table, String), Found>;

/// Takes witnesses from a batch that was written. Of its contacts, `stored` is what the database now tells of them.
pub fn note(
    witnesses: &mut Vec<Witness>,
    batch: &Batch,
    schema: &Schema,
    stored: Vec<StoredContact>,
) {
    let mut changed: HashMap<String, String> = (stored.into_iter())
        .filter_map(|contact| Some((contact.id, contact.changed?)))
        .collect();
    // What is written again is there again, whatever had happened to it.
    forget(witnesses, batch);
    for table in Table::ALL {
        let rows = batch.rows(table);
        let (Some(smallest), count) = (rows.iter().map(|row| row.key()).min(), rows.len()) else {
            continue;
        };
        let mut new: Vec<&str> = last_of(batch, table);
        if count > MAX_OF_A_BATCH && !new.contains(&smallest) {
            new.push(smallest);
        }
        witnesses.splice(
            ..0,
            new.into_iter().map(|key| Witness {
                table,
                id: key.to_owned(),
                changed: changed.remove(key).filter(|_| table == Table::Contacts),
                young: true,
                ..Witness::default()
            }),
        );
        bound(witnesses, table);
        keep(witnesses, batch, schema.table(table));
    }
}

/// Forgets the rows of a batch of which some were refused or kept back: nobody knows which of them are as they were.
pub fn forget(witnesses: &mut Vec<Witness>, batch: &Batch) {
    let written: HashSet<(Table, &str)> = (Table::ALL.into_iter())
        .flat_map(|table| batch.rows(table).iter().map(move |row| (table, row.key())))
        .collect();
    witnesses.retain(|witness| {
        let is_deleted =
            witness.table == Table::Recordings && batch.placeholders.contains(&witness.id);
        !is_deleted && !written.contains(&(witness.table, witness.id.as_str()))
    });
}

/// Takes rows of a batch that have a value in columns which no witness is known to fill.
fn keep(witnesses: &mut Vec<Witness>, batch: &Batch, schema: &TableSchema) {
    let table = schema.table;
    let mut open: Vec<(usize, &str)> = {
        let filled: HashSet<String> = (witnesses.iter())
            .filter(|witness| witness.table == table)
            .flat_map(|witness| witness.filled.iter().map(|name| name.to_lowercase()))
            .collect();
        // Without the key.
        (schema.columns.iter().enumerate().skip(1))
            .filter(|(_, column)| {
                column.name != EMPTIED && !filled.contains(&column.name.to_lowercase())
            })
            .map(|(position, column)| (position, column.name.as_str()))
            .collect()
    };
    let mut new = 0;
    for row in batch.rows(table).iter() {
        if open.is_empty() || new == MAX_KEEPERS {
            break;
        }
        let (fills, others): (Vec<_>, Vec<_>) =
            (open.iter()).partition(|(position, _)| row.get(*position).is_some());
        if fills.is_empty() {
            continue;
        }
        open = others;
        new += 1;
        let filled = fills.into_iter().map(|(_, name)| name.to_owned());
        let known = (witnesses.iter_mut())
            .find(|witness| witness.table == table && witness.id == row.key());
        if let Some(witness) = known {
            witness.filled.extend(filled);
            witness.keeps = true;
        } else {
            let witness = Witness {
                table,
                id: row.key().to_owned(),
                young: true,
                filled: filled.collect(),
                keeps: true,
                ..Witness::default()
            };
            witnesses.insert(0, witness);
        }
    }
}

/// The keys of the rows of a batch that become witnesses.
pub fn last_of(batch: &Batch, table: Table) -> Vec<&str> {
    let rows = batch.rows(table);
    let first = rows.len().saturating_sub(MAX_OF_A_BATCH);
    (first..rows.len()).map(|row| rows.row(row).key()).collect()
}

/// Keeps a sample of a table, the newest that were looked at, and the newest of all: however much is written until the
/// next look, some are left that can tell of a loss.
fn bound(witnesses: &mut Vec<Witness>, table: Table) {
    let mut keys: Vec<String> = (witnesses.iter())
        .filter(|witness| witness.table == table)
        .map(|witness| witness.id.clone())
        .collect();
    keys.sort_unstable();
    keys.truncate(SAMPLE);
    let (mut young, mut old, mut keepers) = (0, 0, 0);
    witnesses.retain(|witness| {
        if witness.table == table && witness.keeps && keepers < MAX_KEEPERS {
            keepers += 1;
            return true;
        }
        if witness.table != table || keys.contains(&witness.id) {
            return true;
        }
        let newest = if witness.young { &mut young } else { &mut old };
        *newest += 1;
        *newest <= (MAX_WITNESSES - SAMPLE) / 2
    });
}

/// Looks for the witnesses, and at these columns of theirs. Those that are there have been looked at now; of those that are
/// not, nobody asks again. Where they say that something was lost, all of them are left as they were, and the answer says
/// what.
///
/// # Errors
/// As [`Sink::stored`].
pub fn look(
    witnesses: &mut Vec<Witness>,
    sink: &mut dyn Sink,
    columns: &BTreeMap<Table, Vec<String>>,
) -> Result<Option<(Reason, String)>> {
    let mut present = Present::new();
    for table in Table::ALL {
        let of_table = |witness: &&Witness| witness.table == table;
        let keys: Vec<&str> = (witnesses.iter().filter(of_table))
            .map(|witness| witness.id.as_str())
            .collect();
        if keys.is_empty() {
            continue;
        }
        let mut changed = HashMap::new();
        if table == Table::Contacts {
            let stored = sink.stored(&keys)?;
            if let Some((witness, found)) = older(witnesses, &stored) {
                let told = format!(
                    "the database holds contact {} as of {found}, but had it as of {}: it was restored from a backup, or a \
                     server took over that lacked the latest rows",
                    witness.id,
                    witness.changed.as_deref().unwrap_or_default()
                );
                return Ok(Some((Reason::Restored, told)));
            }
            changed.extend(
                stored
                    .into_iter()
                    .map(|contact| (contact.id, contact.changed)),
            );
        }
        let columns: Vec<&str> = (columns.get(&table).into_iter().flatten())
            .map(String::as_str)
            .filter(|column| *column != EMPTIED)
            .collect();
        for row in sink.present(table, &keys, &columns)? {
            let filled = (columns.iter().zip(row.filled))
                .filter(|(_, filled)| *filled)
                .map(|(column, _)| (*column).to_owned());
            let found = Found {
                filled: filled.collect(),
                changed: changed.remove(&row.key).flatten(),
            };
            present.insert((table, row.key), found);
        }
        let lost = gone(witnesses, table, &present);
        if let Some(told) = lost.or_else(|| emptied(witnesses, table, &present, &columns)) {
            return Ok(Some((Reason::Lost, told)));
        }
    }
    witnesses.retain(|witness| present.contains_key(&(witness.table, witness.id.clone())));
    remember(witnesses, present);
    Ok(None)
}

/// What is to be said where columns have lost their values: none of their witnesses has one any more, and none of these
/// rows was written since.
fn emptied(
    witnesses: &[Witness],
    table: Table,
    present: &Present,
    columns: &[&str],
) -> Option<String> {
    let (mut kept, mut lost) = (HashSet::new(), HashSet::new());
    for witness in witnesses {
        let Some(found) = present.get(&(table, witness.id.clone())) else {
            continue;
        };
        if witness.table != table || witness.young || was_written(witness, found) {
            continue;
        }
        kept.extend(found.filled.iter().map(String::as_str));
        lost.extend(witness.filled.iter().map(String::as_str));
    }
    let lost: Vec<&str> = (columns.iter().copied())
        .filter(|column| lost.contains(column) && !kept.contains(column))
        .collect();
    (!lost.is_empty()).then(|| {
        let count = lost.len().saturating_sub(MAX_NAMED);
        let more = if count > 0 {
            format!(" and {count} more")
        } else {
            String::new()
        };
        let named: Vec<_> = (lost.into_iter().take(MAX_NAMED))
            .map(|name| format!("\"{}\"", text::foreign(name)))
            .collect();
        format!(
            "columns of table {} have lost their values, such as by being dropped and added again: {}{more}",
            table.suffix(),
            named.join(", "),
        )
    })
}

/// Whether a contact was written since its time of writing was noted, or may have been. Of other rows nobody can tell: they
/// keep what they have as a rule.
fn was_written(witness: &Witness, found: &Found) -> bool {
    witness.table == Table::Contacts
        && (witness.changed.is_none() || witness.changed != found.changed)
}

/// Takes note of what the witnesses, all of which are there, are like now.
fn remember(witnesses: &mut [Witness], mut present: Present) {
    let mut known: HashMap<(Table, String), usize> = HashMap::new();
    for witness in witnesses {
        witness.young = false;
        witness.keeps = false;
        witness.filled.clear();
        let Some(found) = present.remove(&(witness.table, witness.id.clone())) else {
            continue;
        };
        if witness.table == Table::Contacts && witness.changed.is_none() {
            witness.changed.clone_from(&found.changed);
        }
        if was_written(witness, &found) {
            continue;
        }
        for column in found.filled {
            let count = known.entry((witness.table, column.clone())).or_default();
            witness.keeps |= *count == 0;
            *count += 1;
            if *count <= MAX_OF_A_COLUMN {
                witness.filled.push(column);
            }
        }
    }
}

/// What is to be said where more than half of the rows that must be in a table are not.
fn gone(witnesses: &[Witness], table: Table, present: &Present) -> Option<String> {
    let old: Vec<&Witness> = (witnesses.iter())
        .filter(|witness| witness.table == table && !witness.young)
        .collect();
    let gone = (old.iter())
        .filter(|witness| !present.contains_key(&(table, witness.id.clone())))
        .count();
    (gone * 2 > old.len()).then(|| {
        format!(
            "{gone} of {} rows that were written into the table {} are not there any more: it was emptied or made again, \
             or the database was restored",
            old.len(),
            table.suffix()
        )
    })
}

/// The first contact that the database holds as it was written earlier than it once told, and when that is.
fn older<'a>(witnesses: &'a [Witness], stored: &[StoredContact]) -> Option<(&'a Witness, String)> {
    let mut now: HashMap<&str, &str> = (stored.iter())
        .filter_map(|contact| Some((contact.id.as_str(), contact.changed.as_deref()?)))
        .collect();
    (witnesses.iter())
        .filter(|witness| witness.table == Table::Contacts)
        .find_map(|witness| {
            let found = now.remove(witness.id.as_str())?;
            let (then, now) = (moment(witness.changed.as_deref()?)?, moment(found)?);
            (now.saturating_add(TOLERANCE) < then).then(|| (witness, found.to_owned()))
        })
}

fn moment(stamp: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(stamp, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(filled: &[&str], changed: Option<&str>) -> Found {
        Found {
            filled: filled.iter().map(|&name| name.to_owned()).collect(),
            changed: changed.map(str::to_owned),
        }
    }

    fn contact(id: &str, changed: Option<&str>) -> Witness {
        Witness {
            id: id.to_owned(),
            changed: changed.map(str::to_owned),
            ..Witness::default()
        }
    }

    fn found_older(changed: Option<&str>) -> Option<String> {
        let witnesses = ["2024-03-05T10:00:00Z", "2024-03-05T12:00:00Z"]
            .map(|changed| contact(&format!("C{changed}"), Some(changed)));
        let stored = StoredContact {
            id: "C2024-03-05T12:00:00Z".to_owned(),
            md5: None,
            changed: changed.map(str::to_owned),
        };
        older(&witnesses, &[stored]).map(|(witness, found)| format!("{} {found}", witness.id))
    }

    #[test]
    fn only_an_earlier_time_of_writing_contradicts() {
        assert_eq!(
            found_older(Some("2024-03-05T11:59:00Z")).as_deref(),
            Some("C2024-03-05T12:00:00Z 2024-03-05T11:59:00Z")
        );
        for other in [
            "2024-03-05T12:00:00Z",
            "2024-03-05T11:59:50Z",
            "2025-01-01T00:00:00Z",
            // Changed by somebody, or made by the database.
            "",
            "yesterday",
            "2024-03-05 11:00:00",
        ] {
            assert_eq!(found_older(Some(other)), None, "{other}");
        }
        assert_eq!(found_older(None), None);
    }

    /// A batch of transactions with these keys.
    fn batch(keys: &[&str]) -> Batch {
        let mut batch = Batch::new([1; 5]);
        for key in keys {
            batch.begin_unit();
            let rows = batch.rows_mut(Table::Transactions);
            rows.begin();
            rows.set(0, key);
        }
        batch
    }

    fn schema() -> Schema {
        Schema::new("")
    }

    fn ids(witnesses: &[Witness]) -> Vec<&str> {
        witnesses.iter().map(|witness| &*witness.id).collect()
    }

    #[test]
    #[allow(clippy::indexing_slicing)]
    fn the_last_rows_and_a_sample_of_all_are_remembered() {
        let (mut witnesses, schema) = (Vec::new(), schema());
        note(
            &mut witnesses,
            &batch(&["t5", "t4", "t3", "t2", "t9"]),
            &schema,
            Vec::new(),
        );
        assert_eq!(ids(&witnesses), ["t4", "t3", "t2", "t9"]);
        note(
            &mut witnesses,
            &batch(&["a", "t6", "t7", "t8", "u"]),
            &schema,
            Vec::new(),
        );
        assert_eq!(
            ids(&witnesses),
            ["t6", "t7", "t8", "u", "a", "t4", "t3", "t2", "t9"]
        );
        assert!(witnesses.iter().all(|witness| witness.young));
        for number in 0..100 {
            let key = format!("x{number}");
            note(&mut witnesses, &batch(&[&key]), &schema, Vec::new());
        }
        // None was looked at.
        assert_eq!(
            ids(&witnesses),
            [
                "x99", "x98", "x97", "x96", "x95", "x94", "a", "t4", "t3", "t2"
            ]
        );
        for witness in &mut witnesses {
            witness.young = false;
        }
        for number in 0..100 {
            let key = format!("y{number}");
            note(&mut witnesses, &batch(&[&key]), &schema, Vec::new());
        }
        assert_eq!(witnesses.len(), MAX_WITNESSES);
        let ids = ids(&witnesses);
        assert_eq!(ids[4..8], ["y95", "y94", "x99", "x98"]);
    }

    #[test]
    fn rows_of_a_batch_that_was_not_written_whole_prove_nothing() {
        let of = |table, id| Witness {
            table,
            ..contact(id, None)
        };
        let mut witnesses = vec![
            of(Table::Transactions, "t1"),
            of(Table::Connections, "t1"),
            of(Table::Recordings, "p"),
            of(Table::Recordings, "q"),
            of(Table::Transactions, "t2"),
        ];
        let mut batch = batch(&["t1", "t3"]);
        batch.placeholders.push("p".to_owned());
        forget(&mut witnesses, &batch);
        assert_eq!(ids(&witnesses), ["t1", "q", "t2"]);
        assert_eq!(witnesses.first().map(|w| w.table), Some(Table::Connections));
    }

    #[test]
    #[allow(clippy::indexing_slicing)]
    fn a_row_that_is_written_again_is_young_again_and_a_placeholder_is_none() {
        let mut witnesses = vec![
            Witness {
                table: Table::Transactions,
                ..contact("t1", None)
            },
            Witness {
                table: Table::Recordings,
                ..contact("r1", None)
            },
        ];
        let mut written = batch(&["t1"]);
        written.placeholders.push("r1".to_owned());
        note(&mut witnesses, &written, &schema(), Vec::new());
        assert_eq!(ids(&witnesses), ["t1"]);
        assert!(witnesses[0].young);
    }

    #[test]
    fn more_than_half_of_the_rows_that_were_looked_at_before_have_to_be_gone() {
        let of = |old: usize, young: usize, present: usize| {
            let witnesses: Vec<Witness> = (0..old + young)
                .map(|number| Witness {
                    table: Table::Transactions,
                    young: number >= old,
                    ..contact(&number.to_string(), None)
                })
                .collect();
            let present = (0..present)
                .chain(old..old + young)
                .map(|number| ((Table::Transactions, number.to_string()), found(&[], None)))
                .collect();
            gone(&witnesses, Table::Transactions, &present).is_some()
        };
        assert!(of(1, 0, 0) && of(1, 9, 0) && of(16, 0, 7));
        assert!(!of(0, 9, 0) && !of(16, 0, 8) && !of(1, 0, 1));
    }

    #[test]
    #[allow(clippy::indexing_slicing)]
    fn a_column_that_no_witness_has_a_value_for_any_more_has_lost_them() {
        let (then, later) = (Some("2024-03-05T10:00:00Z"), Some("2024-03-05T11:00:00Z"));
        let key = |id: &str| (Table::Contacts, id.to_owned());
        let looked = |witnesses: &mut Vec<Witness>, all: &[(&str, &[&str], Option<&str>)]| {
            let present = |_: ()| -> Present {
                (all.iter())
                    .map(|(id, filled, changed)| (key(id), found(filled, *changed)))
                    .collect()
            };
            let told = emptied(witnesses, Table::Contacts, &present(()), &["a", "b", "z"]);
            if told.is_none() {
                remember(witnesses, present(()));
            }
            told
        };
        let mut witnesses = vec![contact("1", None), contact("2", then)];
        let begin: [(&str, &[&str], _); 2] = [("1", &["a", "z"], then), ("2", &["b", "z"], then)];
        assert_eq!(looked(&mut witnesses, &begin), None);
        assert_eq!(witnesses[0].filled, ["a", "z"]);
        assert_eq!(witnesses[0].changed.as_deref(), then);
        // A value is left, or the row was written since.
        for (first, second, changed) in [
            (&["a"][..], &["b", "z"][..], then),
            (&["b"][..], &["b", "z"][..], later),
        ] {
            let all: [(&str, &[&str], _); 2] = [("1", first, changed), ("2", second, then)];
            assert_eq!(looked(&mut witnesses.clone(), &all), None, "{all:?}");
        }
        let all: [(&str, &[&str], _); 2] = [("1", &["a"], then), ("2", &["b"], then)];
        let told = looked(&mut witnesses, &all).unwrap_or_default();
        assert!(
            told.contains("have lost their values") && told.ends_with(": \"z\""),
            "{told}"
        );
        for witness in &mut witnesses {
            witness.young = true;
        }
        assert_eq!(looked(&mut witnesses, &all), None);
    }

    #[test]
    fn a_row_stays_a_witness_for_a_column_that_few_rows_fill() {
        let (mut witnesses, schema) = (Vec::new(), schema());
        let columns = schema.table(Table::Transactions).columns.len();
        let mut batch = Batch::new([columns; 5]);
        for number in 0..9 {
            batch.begin_unit();
            let rows = batch.rows_mut(Table::Transactions);
            rows.begin();
            rows.set(0, &format!("t{number}"));
            if number == 4 {
                rows.set(columns - 1, "x");
            }
        }
        note(&mut witnesses, &batch, &schema, Vec::new());
        let keeper = |witnesses: &[Witness]| {
            (witnesses.iter())
                .filter(|witness| witness.id == "t4" && witness.keeps)
                .count()
        };
        assert_eq!(keeper(&witnesses), 1);
        for number in 0..100 {
            let key = format!("u{number}");
            note(&mut witnesses, &self::batch(&[&key]), &schema, Vec::new());
        }
        assert_eq!(keeper(&witnesses), 1);
        assert!(witnesses.len() <= MAX_WITNESSES + MAX_KEEPERS);
    }
}
