//! Fields whose names a database may take for the same: each keeps a column of its own.

use dbsync2::destination::sql::Target;
use dbsync2::tables::batch::Batch;
use dbsync2::tables::fields::FieldLimit;
use dbsync2::tables::fields::{CustomField, Layout, Slot};
use dbsync2::tables::schema::Table;

use crate::support::database::fresh_database;
use crate::support::servers::Kind;

/// Pairs that differ in case, by a ligature, an accent, a letter that looks alike, width, kana or blanks.
const NAMES: [&str; 22] = [
    "İ", "i\u{307}", "I", "ı", "Straße", "STRASSE", "strasse", "K", "\u{212a}", "ΣΑΣ", "σας", "É",
    "é", "e\u{301}", "Ａ", "a", "か", "カ", "ǅ", "ǆ", " blank", "blank",
];

#[test]
fn each_field_has_a_column_of_its_own_on_every_database() {
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let mut before = None;
        // The fields come in any order, and the program starts again each time.
        for turn in 0..4 {
            let mut names = NAMES;
            names.rotate_left(turn * 5);
            if turn % 2 == 1 {
                names.reverse();
            }
            if turn == 0 {
                names = NAMES;
            }
            let target = Target::new(&database.url, None).unwrap();
            let mut sink = target.open().unwrap();
            let empty = Layout::new("dfire_", target.naming(), FieldLimit::All, &[]);
            let existing = sink.columns(empty.schema().table(Table::Contacts)).unwrap();
            let mut layout = Layout::new("dfire_", target.naming(), FieldLimit::All, &existing);
            let fields = names.map(|name| CustomField {
                key: name.to_owned(),
                is_number: false,
            });
            layout.add_fields(&fields, &existing);
            assert_eq!(sink.prepare(layout.schema()).unwrap(), [], "{kind:?}");
            let widths = Table::ALL.map(|table| layout.schema().table(table).columns.len());
            let mut batch = Batch::new(widths);
            let rows = batch.rows_mut(Table::Contacts);
            rows.begin();
            rows.set(0, "C1");
            for name in NAMES {
                match layout.slot(name) {
                    Some(Slot::Column(at, _)) => rows.set(at, &format!("value of {name}")),
                    other => panic!("{kind:?}: {name}: {other:?}"),
                }
            }
            sink.write(&batch).unwrap();
            let mut row = database.dump("dfire_contacts").remove("C1").unwrap();
            row.retain(|_, value| value.as_deref().is_some_and(|v| v.starts_with("value of ")));
            assert_eq!(row.len(), NAMES.len(), "{kind:?}: {row:?}");
            assert_eq!(
                *before.get_or_insert_with(|| row.clone()),
                row,
                "{kind:?}, start {turn}"
            );
        }
    }
}
