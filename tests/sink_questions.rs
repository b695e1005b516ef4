//! What the engine asks of each database between writes: whether it answers, and whether rows are still there.

use dbsync2::sink::Target;
use dbsync2::tables::schema::Table;

use crate::sink_rows::{add, empty, schema};
use crate::support::database::fresh_database;
use crate::support::servers::Kind;

#[test]
fn each_database_says_that_it_answers_and_which_rows_it_holds() {
    for kind in Kind::ALL {
        let database = fresh_database(kind);
        let schema = schema(&[]);
        let mut sink = Target::new(&database.url, None).unwrap().open().unwrap();
        sink.alive().unwrap();
        assert_eq!(sink.prepare(&schema).unwrap(), []);
        assert_eq!(sink.index(&schema).unwrap(), []);
        for table in Table::ALL {
            assert_eq!(sink.count(table, 10).unwrap(), 0, "{kind:?}");
            let mut batch = empty(&schema);
            for key in ["a", "b'", "C"] {
                add(&mut batch, &schema, table, &[(table.key(), Some(key))]);
            }
            sink.write(&batch).unwrap();
            let mut present = sink.present(table, &["b'", "C", "d\0"]).unwrap();
            present.sort();
            assert_eq!(present, ["C", "b'"], "{kind:?} {table:?}");
            assert_eq!(sink.present(table, &["d"]).unwrap(), [""; 0], "{kind:?}");
            assert_eq!(sink.count(table, 10).unwrap(), 3, "{kind:?}");
            assert_eq!(sink.count(table, 2).unwrap(), 2, "{kind:?}");
        }
        sink.alive().unwrap();
    }
}
