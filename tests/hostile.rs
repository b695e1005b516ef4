//! Names of fields and values that break careless programs: what comes back from each database is what was sent, or what
//! the README says stands for it.
//!
//! The same cases in each run; `DBSYNC_TEST_CASES` says how many per database, `DBSYNC_TEST_SEED` which other ones.

mod expected;
mod generate;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::env;

use dbsync2::destination::sql::Target;
use dbsync2::source::contacts::each_contact;
use dbsync2::source::json::mend_surrogates;
use dbsync2::tables::batch::Batch;
use dbsync2::tables::fields::FieldLimit;
use dbsync2::tables::fields::{CustomField, Layout, Slot};
use dbsync2::tables::filter::Filter;
use dbsync2::tables::filter::FilterMode;
use dbsync2::tables::rows::{Remarks, RowMaker};
use dbsync2::tables::schema::{ColumnKind, Table};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::support::database::{Database, Row, fresh_database, plain_decimal};
use crate::support::servers::Kind;
use generate::{Case, Field};

const STAMP: &str = "2024-03-08T00:00:00Z";

/// Columns of transactions that get a value of any kind.
const OF_TRANSACTIONS: [(&str, ColumnKind); 4] = [
    ("task", ColumnKind::Text),
    ("result", ColumnKind::Text),
    ("pause_time_sec", ColumnKind::Number),
    ("isHI", ColumnKind::Bool),
];

fn setting(name: &str, default: u32) -> u32 {
    env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn comes_back(kind: Kind, cases: u32) {
    let database = fresh_database(kind);
    let config = Config {
        cases: setting("DBSYNC_TEST_CASES", cases),
        max_shrink_iters: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let seed = setting("DBSYNC_TEST_SEED", 1).to_le_bytes().repeat(8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let number = Cell::new(0);
    let result = runner.run(&generate::case(), |case| {
        number.set(number.get() + 1);
        one_case(&database, &case, &format!("h{}_", number.get())).map_err(TestCaseError::fail)
    });
    if let Err(failure) = result {
        panic!("{kind:?}: {failure}");
    }
}

/// Document → rows → database, twice, and back.
fn one_case(database: &Database, case: &Case, prefix: &str) -> Result<(), String> {
    let target = Target::new(&database.url, None).map_err(|e| e.to_string())?;
    let mut sink = target.open().map_err(|e| e.to_string())?;
    let layout = layout(case, prefix, &target);
    let missing = sink.prepare(layout.schema()).map_err(|e| e.to_string())?;
    if !missing.is_empty() {
        return Err(format!("columns that could not be added: {missing:?}"));
    }
    for _ in 0..2 {
        let batch = batch(case, &layout)?;
        sink.write(&batch).map_err(|e| e.to_string())?;
    }
    let contacts = rows(database, &format!("{prefix}contacts"));
    let transactions = rows(database, &format!("{prefix}transactions"));
    // All that the nth value of a contact is written beside.
    let all = |place: usize| {
        case.contacts
            .iter()
            .filter_map(move |values| values.get(place))
    };
    for (number, values) in case.contacts.iter().enumerate() {
        let row = contacts
            .get(&format!("C{number}"))
            .ok_or("a contact is missing")?;
        for (place, (field, value)) in case.fields.iter().zip(values).enumerate() {
            let column = column(&layout, field)?;
            let wanted = expected::stored(database.kind, field.kind(), value, all(place));
            compare(row, &column, field.kind(), &wanted)?;
        }
        let row = transactions
            .values()
            .find(|row| row["contact_id"].as_deref() == Some(&format!("C{number}")))
            .ok_or("a transaction is missing")?;
        let places = (0..values.len()).cycle();
        for ((column, kind), place) in OF_TRANSACTIONS.iter().zip(places) {
            let wanted = expected::stored(database.kind, *kind, &values[place], all(place));
            compare(row, column, *kind, &wanted)?;
        }
    }
    Ok(())
}

fn layout(case: &Case, prefix: &str, target: &Target) -> Layout {
    let mut layout = Layout::new(prefix, target.naming(), FieldLimit::All, &[]);
    let fields: Vec<CustomField> = case
        .fields
        .iter()
        .map(|field| CustomField {
            key: field.name.clone(),
            is_number: field.is_number,
        })
        .collect();
    layout.add_fields(&fields, &[]);
    for field in &case.fields {
        layout.add_system_key(&field.name);
    }
    layout
}

fn column(layout: &Layout, field: &Field) -> Result<String, String> {
    match layout.slot(&field.name) {
        Some(Slot::Column(index, _)) => {
            let columns = &layout.schema().table(Table::Contacts).columns;
            Ok(columns[index].name.clone())
        }
        other => Err(format!("{:?} has no column: {other:?}", field.name)),
    }
}

fn batch(case: &Case, layout: &Layout) -> Result<Batch, String> {
    let mut text = case.to_json(&OF_TRANSACTIONS.map(|(name, _)| name));
    mend_surrogates(&mut text);
    let filter = Filter {
        mode: FilterMode::All,
        task_prefixes: Vec::new(),
    };
    let maker = RowMaker {
        layout,
        filter: &filter,
        stamp: STAMP,
    };
    let ids: Vec<String> = (0..case.contacts.len()).map(|n| format!("C{n}")).collect();
    let mut batch = Batch::for_schema(layout.schema());
    let missing = each_contact(&text, &ids, |_, contact| {
        maker.contact(contact, &mut batch, &mut Remarks::default())
    })?;
    match missing.is_empty() {
        true => Ok(batch),
        false => Err(format!("no documents of {missing:?}")),
    }
}

fn rows(database: &Database, table: &str) -> BTreeMap<String, Row> {
    database.dump(table)
}

fn compare(
    row: &Row,
    column: &str,
    kind: ColumnKind,
    wanted: &Option<String>,
) -> Result<(), String> {
    let found = row
        .get(column)
        .ok_or_else(|| format!("no column {column:?} in the database"))?;
    // In columns for texts numbers keep their zeros.
    let found = match kind {
        ColumnKind::Number => &found.as_deref().map(plain_decimal),
        _ => found,
    };
    if found == wanted {
        return Ok(());
    }
    let short = |text: &Option<String>| -> Option<String> {
        text.as_ref().map(|text| text.chars().take(500).collect())
    };
    Err(format!(
        "{column:?} ({kind:?}) is {:?}, should be {:?}",
        short(found),
        short(wanted)
    ))
}

#[test]
fn hostile_names_and_values_come_back_from_sqlite() {
    comes_back(Kind::Sqlite, 60);
}

#[test]
fn hostile_names_and_values_come_back_from_postgresql() {
    comes_back(Kind::Postgres, 30);
}

#[test]
fn hostile_names_and_values_come_back_from_mariadb() {
    comes_back(Kind::Mysql, 20);
}

#[test]
fn hostile_names_and_values_come_back_from_sql_server() {
    comes_back(Kind::SqlServer, 20);
}
