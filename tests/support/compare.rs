//! Compares what the simulator holds with what the database holds, row by row, value by value.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest, Md5};

use super::database::{Database, Row, plain_decimal};
use super::servers::Kind;
use super::simulator::{Rows, Simulator, Truth, TruthFilter, Which};

/// So many differences are shown.
const SHOWN: usize = 12;

/// Fails unless the tables with the prefix `dfire_` hold exactly the truth of all contacts that exist, and those
/// deleted ones that were copied before in their last state.
pub fn assert_equal(sim: &Simulator, filter: &TruthFilter, database: &Database) {
    assert_holds(&truth_of(sim, filter, database), database, "dfire_");
}

/// The truth of all contacts that exist, and of those deleted ones that the tables with the prefix `dfire_` hold in
/// their last state.
pub fn truth_of(sim: &Simulator, filter: &TruthFilter, database: &Database) -> Truth {
    let mut truth = sim.truth(filter, &Which::All);
    // By their transactions, too: in SQL Server a contact may share its row with another one, see `twin`.
    let stored: BTreeSet<String> = [("$id", "contacts"), ("contact_id", "transactions")]
        .into_iter()
        .flat_map(|(column, table)| {
            database.query(&format!(
                "SELECT {} FROM dfire_{table}",
                database.kind.quote(column)
            ))
        })
        .filter_map(|mut row| row.remove(0))
        .collect();
    let deleted = sim.deleted().intersection(&stored).cloned().collect();
    truth.extend(sim.truth(filter, &Which::Ids(deleted)));
    truth
}

/// Fails unless the tables hold exactly these rows.
pub fn assert_holds(truth: &Truth, database: &Database, prefix: &str) {
    let differences = differences(truth, database, prefix);
    let count = differences.len();
    let shown: Vec<String> = differences.into_iter().take(SHOWN).collect();
    assert!(
        count == 0,
        "{:?}: {count} differences:\n{}",
        database.kind,
        shown.join("\n")
    );
}

/// What differs, in words.
pub fn differences(truth: &Truth, database: &Database, prefix: &str) -> Vec<String> {
    let mut differences = Vec::new();
    for (table, wanted) in truth.tables() {
        let mut found = 0;
        database.for_each_row_as_stored(&format!("{prefix}{table}"), |key, row| {
            found += 1;
            match wanted.get(key) {
                None => differences.push(format!("{table} {key}: too much: {:?}", present(&row))),
                Some(wanted_row) => {
                    let mut found = Vec::new();
                    compare_row(table, key, wanted_row, &row, database.kind, &mut found);
                    if found.is_empty() || !is_of_twin(database.kind, wanted, key, &row) {
                        differences.append(&mut found);
                    }
                }
            }
        });
        if found < wanted.len() {
            let keys = database.dump(&format!("{prefix}{table}"));
            differences.extend(
                wanted
                    .iter()
                    .filter(|(key, _)| !keys.contains_key(*key))
                    .filter(|(key, _)| {
                        !twin(database.kind, wanted, key)
                            .is_some_and(|twin| keys.contains_key(twin))
                    })
                    .map(|(key, row)| format!("{table} {key}: missing: {:?}", present(row))),
            );
        }
    }
    differences
}

/// The key that differs from this one in case only: the same to SQL Server, unless its collation says otherwise.
pub fn twin<'a>(kind: Kind, wanted: &'a Rows, key: &str) -> Option<&'a str> {
    let folded = key.to_ascii_uppercase();
    let other = [folded.clone(), folded.to_ascii_lowercase()]
        .into_iter()
        .find(|other| *other != key && wanted.contains_key(other))
        .filter(|_| kind == Kind::SqlServer)?;
    wanted.get_key_value(&other).map(|(key, _)| key.as_str())
}

/// Whether a row is that of the key's twin, which was written later. README documents that they share a row.
fn is_of_twin(kind: Kind, wanted: &Rows, key: &str, row: &Row) -> bool {
    let Some(twin) = twin(kind, wanted, key) else {
        return false;
    };
    let mut expected = wanted[twin].clone();
    expected.extend(
        wanted[key]
            .get_key_value("$id")
            .map(|(name, id)| (name.clone(), id.clone())),
    );
    let mut differences = Vec::new();
    compare_row("", key, &expected, row, kind, &mut differences);
    differences.is_empty()
}

/// A value as a database can hold it: PostgreSQL can't hold NUL, nor can all that is compatible with SQL Server; README
/// documents what stands for it.
pub fn as_stored(kind: Kind, value: &Option<String>) -> Option<String> {
    match kind {
        Kind::Postgres | Kind::SqlServer => {
            value.as_ref().map(|text| text.replace('\0', "\u{2400}"))
        }
        _ => value.clone(),
    }
}

fn compare_row(
    table: &str,
    key: &str,
    wanted: &BTreeMap<String, Option<String>>,
    row: &Row,
    kind: Kind,
    differences: &mut Vec<String>,
) {
    let mut matched = vec!["$changed".to_owned()];
    for (name, value) in wanted {
        let column = column_of(name, row);
        let value = as_stored(kind, value);
        let stored = row.get(&column);
        let equal = match stored {
            // A text in a column that was made for numbers may be a number, or not.
            Some(stored) => {
                *stored == value
                    || (kind == Kind::Sqlite
                        && value.is_some()
                        && stored.as_deref().map(plain_decimal) == value)
            }
            None => value.is_none(),
        };
        if !equal {
            differences.push(format!(
                "{table} {key}: {name} is {stored:?}, should be {value:?}"
            ));
        }
        matched.push(column);
    }
    for (column, value) in row {
        if value.is_some() && !matched.contains(column) {
            differences.push(format!(
                "{table} {key}: {column} is {value:?}, should be NULL"
            ));
        }
    }
    let changed = row.get("$changed").cloned().flatten().unwrap_or_default();
    if changed.len() != 20 || !changed.ends_with('Z') {
        differences.push(format!("{table} {key}: $changed is {changed:?}"));
    }
}

/// The column that holds a field: its own name, else the name with the documented suffix.
fn column_of(name: &str, row: &Row) -> String {
    if row.contains_key(name) {
        return name.to_owned();
    }
    let hash: String = Md5::digest(name.as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let suffix = format!("_{hash}");
    row.keys()
        .find(|column| column.ends_with(&suffix))
        .cloned()
        .unwrap_or_else(|| name.to_owned())
}

fn present(row: &BTreeMap<String, Option<String>>) -> BTreeMap<&String, &String> {
    row.iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (name, value)))
        .take(6)
        .collect()
}
