//! Values, rows and batches that are larger than the server takes.

use super::*;

/// Both ways to write: as a statement, and by the bulk loader.
#[test]
fn a_number_that_no_type_holds_makes_its_column_one_for_texts() {
    for bulk in [false, true] {
        let mut db = Database::new(&format!("long_numbers_{bulk}"));
        let schema = schema(&[("n", ColumnKind::Number), ("m", ColumnKind::Number)]);
        let mut sink = db.sink();
        sink.prepare(&schema).unwrap();
        let mut write = |id: &str, n: Option<&str>| {
            let row = [("$id", Some(id)), ("n", n), ("m", Some("0.5"))];
            let mut batch = one(&schema, Table::Contacts, &row);
            batch.is_new = bulk;
            sink.write(&batch).unwrap();
        };
        write("a", Some("100"));
        write("b", Some("-12.50"));
        write("c", Some("0"));
        write("d", None);
        let long = format!("-{}.{}", "12345".repeat(80), "6789".repeat(20));
        write("e", Some(&long));
        write("f", Some("0.25"));
        assert_eq!(
            db.rows("SELECT `$id`, n, m + 0 FROM dfire_contacts ORDER BY `$id`"),
            [
                ("a", "100"),
                ("b", "-12.5"),
                ("c", "0"),
                ("d", "NULL"),
                ("e", &long),
                ("f", "0.25")
            ]
            .map(|(id, n)| format!("{id}|{n}|0.5{}", "0".repeat(29)))
        );
        let types = ["n", "m"].map(|name| db.column_type("dfire_contacts", name));
        assert!(types[0].starts_with("longtext|YES|utf8mb4"), "{}", types[0]);
        assert_eq!(types[1], "decimal(65,30)|YES|NULL");
    }
}

#[test]
fn hundreds_of_custom_columns_and_as_many_as_the_server_takes() {
    let mut db = Database::new("many");
    let names: Vec<String> = (0..1100).map(|i| format!("f{i}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema(&fields[..300])).unwrap(), []);
    let schema300 = schema(&fields[..300]);
    let mut row = vec![("$id", Some("a"))];
    row.extend(fields[..300].iter().map(|(name, _)| (*name, Some(*name))));
    sink.write(&one(&schema300, Table::Contacts, &row)).unwrap();
    assert_eq!(db.rows("SELECT f0, f299 FROM dfire_contacts"), ["f0|f299"]);
    // InnoDB ends at 1,017 columns; 22 are our own.
    let all = schema(&fields);
    let missing = sink.prepare(&all).unwrap();
    assert_eq!(missing.len(), 1100 - 995);
    assert_eq!(missing[0].column, "f995");
    sink.write(&one(
        &all,
        Table::Contacts,
        &[("$id", Some("b")), ("f994", Some("last"))],
    ))
    .unwrap();
    assert_eq!(
        db.rows("SELECT f994 FROM dfire_contacts WHERE `$id` = 'b'"),
        ["last"]
    );
}

#[test]
fn a_row_too_large_for_a_page_is_refused_and_no_other() {
    let mut db = Database::new("page");
    let names: Vec<String> = (0..400).map(|i| format!("f{i}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Text))
        .collect();
    let schema = schema(&fields);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let value = "v".repeat(38);
    let mut row = vec![("$id", Some("a"))];
    row.extend(fields.iter().map(|(name, _)| (*name, Some(value.as_str()))));
    let error = sink
        .write(&one(&schema, Table::Contacts, &row))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(
        error.to_string().contains("too large for a page of InnoDB"),
        "{error}"
    );
    sink.write(&one(&schema, Table::Contacts, &row[..100]))
        .unwrap();
    assert_eq!(db.rows("SELECT count(*) FROM dfire_contacts"), ["1"]);
}

#[test]
fn large_batches_are_split_and_a_row_larger_than_a_packet_is_refused() {
    let mut db = Database::new("packet");
    let schema = schema(&[("note", ColumnKind::Text)]);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let most: usize = db
        .rows("SELECT @@max_allowed_packet")
        .concat()
        .parse()
        .unwrap();
    let mut batch = empty(&schema);
    // Quotes count twice; together more than any packet.
    let note = "'".repeat(most / 5);
    for i in 0..7 {
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some(&format!("id{i}"))), ("note", Some(&note))],
        );
    }
    for i in 0..5000 {
        add(
            &mut batch,
            &schema,
            Table::Recordings,
            &[
                ("id", Some(&format!("r{i}"))),
                ("location", Some(&note[..300])),
            ],
        );
    }
    sink.write(&batch).unwrap();
    assert_eq!(
        db.rows("SELECT count(*), min(length(note)), max(length(note)) FROM dfire_contacts"),
        [format!("7|{0}|{0}", most / 5)]
    );
    assert_eq!(
        db.rows("SELECT count(*), min(length(location)) FROM dfire_recordings"),
        ["5000|300"]
    );
    let huge = "'".repeat(most / 2);
    let error = sink
        .write(&one(
            &schema,
            Table::Contacts,
            &[("$id", Some("huge")), ("note", Some(&huge))],
        ))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error
            .to_string()
            .contains("the row has more bytes than max_allowed_packet"),
        "{error}"
    );
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("next"))]))
        .unwrap();
    assert_eq!(db.rows("SELECT count(*) FROM dfire_contacts"), ["8"]);
}
