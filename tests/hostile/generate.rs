//! Contacts with hostile field names and values.

use std::collections::BTreeSet;

use dbsync2::tables::schema::{ColumnKind, Table, columns};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The campaign and some contacts of it.
#[derive(Debug, Clone)]
pub struct Case {
    pub fields: Vec<Field>,
    /// The values of each contact, one per field.
    pub contacts: Vec<Vec<Value>>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub is_number: bool,
}

impl Field {
    pub fn kind(&self) -> ColumnKind {
        // Keys that begin with `$` are no fields of the campaign.
        match self.is_number && !self.name.starts_with('$') {
            true => ColumnKind::Number,
            false => ColumnKind::Text,
        }
    }
}

/// A value of a document.
#[derive(Clone)]
pub enum Value {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    /// UTF-16, which may hold half surrogate pairs.
    Text(Vec<u16>),
    /// An array or object as it is written, without blanks.
    Nested(String),
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json: String = self.to_json().chars().take(300).collect();
        f.write_str(&json)
    }
}

impl Value {
    pub fn to_json(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) | Value::Nested(text) => text.clone(),
            Value::Text(units) => {
                let mut json = String::from("\"");
                for unit in char::decode_utf16(units.iter().copied()) {
                    match unit {
                        Ok(c) => {
                            let quoted = serde_json::to_string(&c).unwrap();
                            json.push_str(&quoted[1..quoted.len() - 1]);
                        }
                        Err(half) => {
                            json.push_str(&format!("\\u{:04x}", half.unpaired_surrogate()));
                        }
                    }
                }
                json.push('"');
                json
            }
        }
    }
}

impl Case {
    /// The answer of the API. The transaction of a contact has the contact's values in `columns` as well.
    pub fn to_json(&self, columns: &[&str]) -> String {
        let contacts: Vec<String> = self
            .contacts
            .iter()
            .enumerate()
            .map(|(number, values)| {
                let mut json = format!("{{\"$id\":\"C{number}\"");
                for (field, value) in self.fields.iter().zip(values) {
                    let name = serde_json::to_string(&field.name).unwrap();
                    json.push_str(&format!(",{name}:{}", value.to_json()));
                }
                let mut transaction = String::from("{\"fired\":\"2024-03-05T09:15:42Z\"");
                for (column, value) in columns.iter().zip(values.iter().cycle()) {
                    transaction.push_str(&format!(",\"{column}\":{}", value.to_json()));
                }
                json.push_str(&format!(
                    ",\"$task_log\":[{{\"transactions\":[{transaction}}}]}}]}}"
                ));
                json
            })
            .collect();
        format!("[{}]", contacts.join(","))
    }
}

pub fn case() -> impl Strategy<Value = Case> {
    (
        vec((name(), any::<bool>()), 1..8),
        vec(vec(value(), 8), 1..4),
    )
        .prop_map(|(fields, contacts)| {
            let mut known: BTreeSet<String> = columns(Table::Contacts)
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .chain(["$task_log".to_owned(), String::new()])
                .collect();
            let fields: Vec<Field> = fields
                .into_iter()
                .filter(|(name, _)| known.insert(name.clone()))
                .map(|(name, is_number)| Field { name, is_number })
                .collect();
            Case { fields, contacts }
        })
}

fn name() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "\"",
        "`",
        "'",
        "[",
        "]",
        "\\",
        ";",
        "--",
        "/*",
        "\0",
        "\n",
        "\r",
        "\t",
        "\u{1b}",
        " ",
        "%s",
        "$1",
        "?",
        ":a",
        "@b",
        "{}",
        ".",
        "\u{feff}",
        "\u{202e}",
        "مرحبا",
        "שלום",
        "🎉",
        "👩‍👩‍👧",
        "ﬁ",
        "ß",
        "ẞ",
        "İ",
        "ı",
        "ſ",
        "K",
        "Å",
        "é",
        "e\u{301}",
        "Σ",
        "ς",
        "σ",
        "\u{200d}",
        "\u{a0}",
        "漢",
        "ａ",
        "A",
        "a",
    ]);
    let whole = select(vec![
        "select",
        "SELECT",
        "order",
        "table",
        "key",
        "index",
        "group",
        "user",
        "rowid",
        "oid",
        "ctid",
        "xmin",
        "tableoid",
        "$action",
        "$ID",
        "$Status",
        "$md5 ",
        "id",
        "null",
        "default",
        "Titel",
        "titel",
        "TITEL",
        "caf\u{e9}",
        "cafe\u{301}",
        "CAFÉ",
        "Straße",
        "STRASSE",
        "ΟΔΟΣ",
        "οδος",
        "οδοσ",
        "\u{212b}",
        "\u{c5}",
    ]);
    prop_oneof![
        3 => whole.prop_map(str::to_owned),
        4 => vec(odd, 1..5).prop_map(|parts| parts.concat()),
        1 => "[a-z]{1,3}".prop_map(|end| format!("{}{end}", "long name ".repeat(30))),
        1 => "[ä-ü]{1,2}".prop_map(|end| format!("{}{end}", "ü".repeat(300))),
        2 => any::<String>(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        4 => number().prop_map(Value::Number),
        2 => number().prop_map(|number| text(&number)),
        4 => vec(piece(), 0..6).prop_map(|pieces| Value::Text(pieces.concat())),
        2 => any::<String>().prop_map(|string| text(&string)),
        1 => select(vec!["x", "ü🎉\\'", "\0", "\"\n"])
            .prop_map(|part| text(&part.repeat(1_000_000 / part.len()))),
        1 => (1..3000_usize)
            .prop_map(|depth| Value::Nested(format!("{}0{}", "[".repeat(depth), "]".repeat(depth)))),
        1 => Just(Value::Nested("{\"a\":[\"]}\\\"\",{\"\":null}],\"b\":1e5}".to_owned())),
        1 => Just(Value::Nested("[]".to_owned())),
        1 => select(vec!["true", "false", "yes", "no", "TRUE", "1", "0", "NaN", "inf", "0x1f", "1,5", "١"])
            .prop_map(text),
    ]
}

fn text(text: &str) -> Value {
    Value::Text(text.encode_utf16().collect())
}

/// Parts of a text, among them halves of surrogate pairs.
fn piece() -> impl Strategy<Value = Vec<u16>> {
    let whole = select(vec![
        "\0",
        "\\",
        "'",
        "\"",
        "`",
        "\\'",
        "\\N",
        "\\.",
        "\\0",
        "\n",
        "\r\n",
        "\t",
        "\u{1a}",
        "\u{7f}",
        "\u{1}",
        " ",
        "   ",
        "\u{feff}",
        "\u{202e}",
        "\u{ffff}",
        "\u{10ffff}",
        "🎉",
        "NULL",
        "'); DROP TABLE x; --",
        "$1",
        "?",
        "%s",
        "{a,b}",
        "\u{2400}",
        "\u{fffd}",
        "e\u{301}",
        "مرحبا",
        "a",
        "ü",
        "\u{85}",
        "\u{2028}",
    ])
    .prop_map(|text| text.encode_utf16().collect::<Vec<u16>>());
    let half = (0xd800..=0xdfff_u16).prop_map(|unit| vec![unit]);
    prop_oneof![6 => whole, 1 => half]
}

/// Numbers as JSON allows them.
fn number() -> impl Strategy<Value = String> {
    let sign = select(vec!["", "-"]);
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (sign.clone(), "(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?")
            .prop_map(|(sign, digits)| format!("{sign}{digits}")),
        (sign.clone(), "[1-9][0-9]{399}").prop_map(|(sign, digits)| format!("{sign}{digits}")),
        (sign, "[1-9](\\.[0-9]{1,20})?[eE][+-]?[0-9]{1,2}")
            .prop_map(|(sign, digits)| format!("{sign}{digits}")),
        select(vec![
            "1e400",
            "-1e-400",
            "0",
            "-0",
            "-0.0e5",
            "0.10",
            "1E+2",
            "1e999999999",
            "1e-1000"
        ])
        .prop_map(str::to_owned),
    ]
}
