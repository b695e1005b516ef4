//! Schemas and batches for the tests of sinks.

use dbsync2::tables::batch::Batch;
use dbsync2::tables::schema::{Column, ColumnKind, Schema, Table};

/// Columns and values of one row; columns that are not named are NULL.
pub type Values<'a> = &'a [(&'a str, Option<&'a str>)];

/// The schema with the prefix `dfire_` and these custom fields.
pub fn schema(fields: &[(&str, ColumnKind)]) -> Schema {
    Schema::new("dfire_").with_contact_columns(fields.iter().map(|(name, kind)| Column {
        name: (*name).to_owned(),
        kind: *kind,
    }))
}

/// An empty batch for this schema.
pub fn empty(schema: &Schema) -> Batch {
    Batch::new(Table::ALL.map(|table| schema.table(table).columns.len()))
}

/// Adds a row.
pub fn add(batch: &mut Batch, schema: &Schema, table: Table, values: Values<'_>) {
    let rows = batch.rows_mut(table);
    rows.begin();
    for (column, value) in values {
        let position = schema
            .table(table)
            .position(column)
            .expect("column of the schema");
        if let Some(value) = value {
            rows.set(position, value);
        }
    }
}

/// A batch with one row.
pub fn one(schema: &Schema, table: Table, values: Values<'_>) -> Batch {
    let mut batch = empty(schema);
    add(&mut batch, schema, table, values);
    batch
}

/// Texts that break careless quoting, escaping or encoding.
pub fn odd_texts() -> Vec<String> {
    [
        "",
        " ",
        "plain",
        "Zoë Müller – 東京 🎉👩‍👩‍👧",
        "it's \"quoted\" `back` \\ back\\\\slash \\",
        "line\nbreak\r\ntab\tend",
        "nul\0inside\0",
        "backslash zero \\0 \\n \\' \\",
        "trailing blanks   ",
        "'); DROP TABLE dfire_contacts; --",
        "\u{1a} control \u{1}\u{7f} \u{feff}bom \u{202e}rtl",
        "% _ %s {} $1 ? :name @var",
        "NULL",
        "a\u{301} combining, \u{ffff} \u{10ffff}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["x".repeat(1_000_000), "ü🎉\\'".repeat(100_000)])
    .collect()
}

/// Column names that break careless quoting.
pub const HOSTILE_NAMES: [&str; 12] = [
    "order",
    "Zähler Nr",
    "a\"b",
    "a`b",
    "x'); DROP TABLE y;--",
    "[bracket]",
    "1 digit",
    "semi;colon",
    "back\\slash",
    "per%cent",
    "question?",
    "$$stage_user",
];
