//! Every statement of the sink: what it says, and that SQL Server 2008 knows all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;
use crate::destination::sql::sqlserver::column::Described;
use crate::tables::schema::{ColumnKind, Schema};

/// scripts/check-sql.sh names a file, and lets sqlfluff read it.
const FILE: &str = "DBSYNC_TEST_STATEMENTS";

fn real(name: &str, kind: &str, length: i64) -> RealColumn {
    let described = Described {
        name: kind,
        length,
        precision: 38,
        scale: 10,
    };
    RealColumn {
        name: name.to_owned(),
        declared: described.declared(),
        holds: described.holds(),
        nullable: name != "$id",
        computed: false,
        collation: "Latin1_General_CI_AS".to_owned(),
    }
}

/// One of each kind, with names and values that break careless quoting.
fn all() -> Vec<String> {
    let hostile = ["order", "a]b", "x'); DROP TABLE y;--", "[x]", "Zähler Nr"];
    let schema = Schema::new("it's ]").with_contact_columns(hostile.iter().enumerate().map(
        |(number, name)| Column {
            name: (*name).to_owned(),
            kind: [ColumnKind::Text, ColumnKind::Number, ColumnKind::Bool][number % 3],
        },
    ));
    let mut statements: Vec<String> = SETTINGS.map(str::to_owned).into();
    statements.push(lock_timeout(Duration::from_secs(60)));
    statements.extend(
        [
            UPDATEABILITY,
            VERSION,
            TEMPORARY_COLLATION,
            BEGIN,
            COMMIT,
            ROLLBACK,
        ]
        .map(str::to_owned),
    );
    statements.push(PERMISSION_TO_CREATE.to_owned());
    statements.push(permission_on_schema("ALTER"));
    let key = PrimaryKey {
        name: "PK ]".to_owned(),
        columns: vec!["a]b".to_owned(), "id".to_owned()],
        clustered: false,
        options: vec!["FILLFACTOR = 80".to_owned(), "PAD_INDEX = ON".to_owned()],
        filegroup: Some("PRIMARY".to_owned()),
    };
    for table in schema.tables() {
        let name = &table.name;
        let ids = ["C1", "it's"];
        statements.extend([
            object_type(name),
            super::columns(name),
            column_names("it's", name),
            primary_key("dbo", name),
            primary_key_options(name),
            drop_primary_key(name, &key),
            add_primary_key(name, &key),
            dependents(&quote(name), true),
            dependents(&quote(name), false),
            refresh_view("[dbo].[it's]"),
            indexes(name),
            create_table(table, &table.columns),
            create_table(table, &table.columns[..1]),
            create_stage(table.table, 3, None),
            create_stage(table.table, 3, Some("Latin1_General_BIN2")),
            stage_text(table.table, 2, "it's", "a 'long' text"),
            drop_stage(table.table),
            clear_stage(table.table),
            delete(table, ids.into_iter()),
            stored(name, ids.into_iter()),
            distrust_after(name, "2024-03-05T09:15:42Z", None),
            trusted_after(name, "2024-03-05T09:15:42Z", Some("it's"), "it's", 9),
            distrust(name, ids.into_iter()),
            permission_on_table(name, "INSERT"),
            create_index("it's ]_contact_id", name, &["contact_id", "a]b"]),
        ]);
        statements.extend(table.columns.iter().map(|column| add_column(name, column)));
        for new in ["nvarchar(max)", "nvarchar(450)", "decimal(38,17)", "bigint"] {
            statements.push(alter_column(name, &real("a]b", "text", 16), new, true));
        }
        statements.push(trim_decimals(name, "a]b"));
        let columns = [
            real("$id", "nvarchar", 200),
            real("a]b", "nvarchar", -1),
            real("order", "decimal", 17),
            real("old", "text", 16),
            real("older", "ntext", 16),
            real("key", "varchar", 50),
            real("yes", "bit", 1),
            real("day", "datetime", 8),
        ];
        let columns: Vec<&RealColumn> = columns.iter().collect();
        statements.extend(upsert(table, &columns));
        statements.push(left_out(table, &columns));
        statements.push(sample(name, "id", 9));
        statements.push(super::rows(table, &columns, ids.into_iter()));
    }
    statements
}

#[test]
fn every_statement_is_one_that_sql_server_2008_knows() {
    let statements = all();
    assert_eq!(statements.len(), 26 + 5 * 35 + 22 + 22 + 30 + 8 + 17 + 5);
    for sql in &statements {
        let words: Vec<String> = sql
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .map(str::to_uppercase)
            .collect();
        for newer in [
            "MERGE",
            "OPENJSON",
            "TRY_CONVERT",
            "TRY_CAST",
            "STRING_AGG",
            "STRING_SPLIT",
            "CONCAT",
            "IIF",
            "OFFSET",
            "FETCH",
            "THROW",
            "TRIM",
        ] {
            assert!(!words.iter().any(|word| word == newer), "{newer}: {sql}");
        }
        let one_by_one = sql.matches(" ADD ").count() <= 1;
        assert!(one_by_one && !sql.contains("IF EXISTS"), "{sql}");
        assert!(
            !sql.contains(';') || sql.contains("DROP TABLE y;--"),
            "{sql}"
        );
    }
    if let Some(file) = std::env::var_os(FILE) {
        let text: Vec<String> = statements
            .iter()
            .map(|sql| format!("{sql};\nGO\n"))
            .collect();
        std::fs::write(file, text.concat()).unwrap();
    }
}

#[test]
fn the_upsert_of_a_table() {
    let schema = Schema::new("p_");
    let columns = [
        real("id", "nvarchar", 200),
        real("a]b", "nvarchar", -1),
        real("n", "decimal", 17),
        real("x", "text", 16),
    ];
    let [update, insert] = upsert(
        schema.table(Table::Recordings),
        &columns.iter().collect::<Vec<_>>(),
    );
    assert_eq!(
        update,
        "UPDATE d SET [a]]b] = s.[c1], [n] = CONVERT(decimal(38,10), s.[c2]), [x] = CONVERT(varchar(max), s.[c3]) \
         FROM [p_recordings] AS d WITH (UPDLOCK, HOLDLOCK) INNER JOIN [#stage_recordings] AS s ON d.[id] = s.[c0]"
    );
    assert_eq!(
        insert,
        "INSERT INTO [p_recordings] ([id], [a]]b], [n], [x]) \
         SELECT s.[c0], s.[c1], CONVERT(decimal(38,10), s.[c2]), CONVERT(varchar(max), s.[c3]) \
         FROM [#stage_recordings] AS s WHERE NOT EXISTS \
         (SELECT 1 FROM [p_recordings] AS d WITH (UPDLOCK, HOLDLOCK) WHERE d.[id] = s.[c0])"
    );
}

#[test]
fn a_primary_key_is_made_again_as_it_was() {
    let mut key = PrimaryKey {
        name: "PK".to_owned(),
        columns: vec!["id".to_owned()],
        clustered: true,
        options: Vec::new(),
        filegroup: None,
    };
    assert_eq!(
        add_primary_key("t", &key),
        "ALTER TABLE [t] ADD CONSTRAINT [PK] PRIMARY KEY CLUSTERED ([id])"
    );
    key.clustered = false;
    key.options = vec!["FILLFACTOR = 80".to_owned(), "PAD_INDEX = ON".to_owned()];
    key.filegroup = Some("fast".to_owned());
    assert_eq!(
        add_primary_key("t", &key),
        "ALTER TABLE [t] ADD CONSTRAINT [PK] PRIMARY KEY NONCLUSTERED ([id]) WITH (FILLFACTOR = 80, PAD_INDEX = ON) ON [fast]"
    );
}

#[test]
fn names_and_texts_are_quoted() {
    assert_eq!(quote("a]b[c"), "[a]]b[c]");
    assert_eq!(literal("it's"), "N'it''s'");
    assert_eq!(
        object_type("it's ]"),
        "SELECT o.[type], s.[name] FROM sys.objects AS o INNER JOIN sys.schemas AS s ON s.[schema_id] = o.[schema_id] \
         WHERE o.[object_id] = OBJECT_ID(N'[it''s ]]]')"
    );
}

#[test]
fn a_table_is_created_with_as_many_columns_as_fit() {
    let schema = Schema::new("p_").with_contact_columns((0..1500).map(|number| Column {
        name: format!("f{number}"),
        kind: ColumnKind::Text,
    }));
    let contacts = schema.table(Table::Contacts);
    let sql = create_table(contacts, &contacts.columns);
    assert_eq!(sql.matches(" nvarchar(").count(), 1024);
    assert!(sql.starts_with(
        "IF OBJECT_ID(N'[p_contacts]') IS NULL CREATE TABLE [p_contacts] ([$id] nvarchar(100) NOT NULL PRIMARY KEY, "
    ));
}
