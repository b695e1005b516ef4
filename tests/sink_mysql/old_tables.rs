//! Tables that others made: the vendor's client, other programs, other versions.

use super::*;

/// The tables as the vendor's client 1.15.0 makes them.
fn old_tables(db: &mut Database) {
    let string = "varchar(50)";
    let mut contacts = vec![format!("`$id` {string} NOT NULL")];
    for name in ["$md5", "$ref", "$version", "$status", "$phone", "$changed"] {
        contacts.push(format!("`{name}` {string}"));
    }
    contacts.extend(
        [
            "`$comment` text",
            "`$recording` varchar(100)",
            "`n` numeric",
            "`t` text",
            "`Old` text",
        ]
        .map(str::to_owned),
    );
    db.run(&format!(
        "CREATE TABLE dfire_contacts ({}, PRIMARY KEY (`$id`), INDEX `$id|$md5` (`$id`, `$md5`)) CHARACTER SET utf16",
        contacts.join(", ")
    ));
    db.run(
        "CREATE TABLE dfire_transactions (`id` varchar(50) NOT NULL, `contact_id` varchar(50), `fired` varchar(50), \
         `edit_time_sec` numeric, `isHI` boolean, `user` varchar(50), PRIMARY KEY (id)) CHARACTER SET utf16",
    );
    db.run("INSERT INTO dfire_contacts (`$id`, `$ref`, `$phone`, n, Old) VALUES ('old1', 'äö', '+49', 7, 'mine')");
}

#[test]
fn tables_of_the_old_client_are_used_and_widened_where_needed() {
    let mut db = Database::new("takeover");
    old_tables(&mut db);
    let schema = schema(&[
        ("n", ColumnKind::Number),
        ("t", ColumnKind::Text),
        ("new", ColumnKind::Text),
    ]);
    let mut sink = db.sink();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    let small = [
        ("$id", Some("a")),
        ("$ref", Some("ä🎉")),
        ("$phone", Some("123")),
        ("n", Some("12")),
        ("new", Some("new")),
    ];
    sink.write(&one(&schema, Table::Contacts, &small)).unwrap();
    assert_eq!(
        db.column_type("dfire_contacts", "$ref"),
        "varchar(50)|YES|utf16_general_ci"
    );
    assert_eq!(
        db.column_type("dfire_contacts", "n"),
        "decimal(10,0)|YES|NULL"
    );

    let (id, md5, long) = ("k".repeat(60), "m".repeat(60), "ü🎉".repeat(40_000));
    let large = [
        ("$id", Some(id.as_str())),
        ("$md5", Some(&md5)),
        ("$ref", Some(&long)),
        ("$comment", Some(&long)),
        ("n", Some("12345678901.5")),
    ];
    sink.write(&one(&schema, Table::Contacts, &large)).unwrap();
    let times = [
        ("id", Some("t1")),
        ("contact_id", Some("a")),
        ("edit_time_sec", Some("1.25")),
        ("isHI", Some("1")),
        ("wait_time_sec", Some("0.5")),
    ];
    sink.write(&one(&schema, Table::Transactions, &times))
        .unwrap();
    assert_eq!(
        db.column_type("dfire_contacts", "$id"),
        "varchar(191)|NO|utf8mb4_bin"
    );
    assert!(
        db.column_type("dfire_contacts", "$md5")
            .starts_with("varchar(191)|YES|utf8mb4")
    );
    assert!(
        db.column_type("dfire_contacts", "$ref")
            .starts_with("longtext|YES|utf8mb4")
    );
    assert!(
        db.column_type("dfire_contacts", "$comment")
            .starts_with("longtext|YES|utf8mb4")
    );
    assert_eq!(
        db.column_type("dfire_contacts", "n"),
        "decimal(65,30)|YES|NULL"
    );
    // What has room keeps its type.
    assert_eq!(
        db.column_type("dfire_contacts", "$phone"),
        "varchar(50)|YES|utf16_general_ci"
    );
    assert_eq!(
        db.rows(&format!(
            "SELECT `$md5`, `$ref`, `$comment`, n + 0 FROM dfire_contacts WHERE `$id` = '{id}'"
        )),
        [format!(
            "{md5}|{long}|{long}|12345678901.5{}",
            "0".repeat(29)
        )]
    );
    assert_eq!(
        db.rows("SELECT `$ref`, `$phone`, round(n), Old, new FROM dfire_contacts WHERE `$id` IN ('a', 'old1') ORDER BY `$id`"),
        ["ä🎉|123|12|NULL|new", "äö|+49|7|mine|NULL"]
    );
    assert_eq!(
        db.rows(
            "SELECT round(edit_time_sec, 2), isHI, round(wait_time_sec, 2) FROM dfire_transactions"
        ),
        ["1.25|1|0.50"]
    );
    assert_eq!(sink.stored(&["a"]).unwrap()[0].id, "a");
    sink.write(&one(
        &schema,
        Table::Contacts,
        &[
            ("$id", Some("a")),
            ("$md5", Some("x")),
            ("$changed", Some("2024")),
        ],
    ))
    .unwrap();
    assert_eq!(sink.distrust_after("2023", "camp").unwrap(), 2);
}

#[test]
fn a_field_that_changed_its_type_and_a_narrow_encoding() {
    let mut db = Database::new("retyped");
    db.run(
        "CREATE TABLE dfire_contacts (`$id` varchar(50) CHARACTER SET ascii NOT NULL PRIMARY KEY, n decimal(10,0), \
         i int, d double, l varchar(100) CHARACTER SET latin1, u varchar(100) CHARACTER SET utf8mb3)",
    );
    db.run("INSERT INTO dfire_contacts (`$id`, n, l) VALUES ('old', 5, 'ä')");
    let fields = ["n", "i", "d", "l", "u"].map(|name| {
        (
            name,
            if name == "i" || name == "d" {
                ColumnKind::Number
            } else {
                ColumnKind::Text
            },
        )
    });
    let schema = schema(&fields);
    let mut sink = db.sink();
    sink.prepare(&schema).unwrap();
    let row = [
        ("$id", Some("Ä")),
        ("n", Some("0049")),
        ("i", Some("3000000000")),
        ("d", Some("0.12345678901234567890")),
        ("l", Some("東")),
        ("u", Some("🎉")),
    ];
    sink.write(&one(&schema, Table::Contacts, &row)).unwrap();
    assert_eq!(
        db.rows("SELECT `$id`, n, round(i), round(d, 20), l, u FROM dfire_contacts ORDER BY n"),
        [
            "Ä|0049|3000000000|0.12345678901234567890|東|🎉",
            "old|5|NULL|NULL|ä|NULL"
        ]
    );
    assert_eq!(
        db.column_type("dfire_contacts", "$id"),
        "varchar(50)|NO|utf8mb4_bin"
    );
}

#[test]
fn without_the_privilege_to_widen_only_the_rows_that_need_it_are_refused() {
    let mut db = Database::new("noalter");
    let full = schema(&[("note", ColumnKind::Text)]);
    db.run("CREATE TABLE dfire_contacts (`$id` varchar(50) NOT NULL PRIMARY KEY, note varchar(5), n decimal(5,1))");
    let schema = schema(&[("note", ColumnKind::Text), ("n", ColumnKind::Number)]);
    db.sink().prepare(&full).unwrap();
    let url = db.user("noalter", "SELECT, INSERT, UPDATE, DELETE, CREATE");
    let mut sink = open(&url).unwrap();
    assert_eq!(sink.prepare(&schema).unwrap(), []);
    for (column, value) in [
        ("note", "secret value"),
        ("n", "1.25"),
        ("n", "123456"),
        ("$id", &"x".repeat(51)),
    ] {
        let mut batch = one(
            &schema,
            Table::Contacts,
            &[("$id", Some("good")), ("note", Some("short"))],
        );
        add(
            &mut batch,
            &schema,
            Table::Contacts,
            &[("$id", Some("bad")), (column, Some(value))],
        );
        let error = sink.write(&batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("the column {column} (")),
            "{error}"
        );
        assert!(
            column == "$id" || !error.to_string().contains(value),
            "{error}"
        );
        assert_eq!(db.rows("SELECT count(*) FROM dfire_contacts"), ["0"]);
    }
    let missing = sink
        .prepare(&crate::sink_rows::schema(&[("more", ColumnKind::Text)]))
        .unwrap();
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (missing[0].table, missing[0].column.as_str()),
        (Table::Contacts, "more")
    );
    assert!(
        missing[0]
            .reason
            .contains("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX"),
        "{}",
        missing[0].reason
    );
    sink.write(&one(&schema, Table::Contacts, &[("$id", Some("good"))]))
        .unwrap();
    assert_eq!(db.rows("SELECT `$id` FROM dfire_contacts"), ["good"]);
}

#[test]
fn tables_of_other_programs_are_refused() {
    for (name, sql, problem) in [
        (
            "nokey",
            "CREATE TABLE dfire_contacts (name text)",
            "has no column $id",
        ),
        (
            "nounique",
            "CREATE TABLE dfire_contacts (`$id` varchar(50), INDEX (`$id`))",
            "has no primary key on $id",
        ),
        (
            "view",
            "CREATE VIEW dfire_recordings AS SELECT 1 AS id",
            "is a view",
        ),
    ] {
        let mut db = Database::new(name);
        db.run(sql);
        let error = db.sink().prepare(&schema(&[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
        assert!(
            error.to_string().contains(problem) && error.to_string().contains("--tp"),
            "{error}"
        );
    }
}
