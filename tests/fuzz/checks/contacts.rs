//! The answer to `POST contacts` → documents → rows, and request bodies for a web service.

use dbsync2::destination::webhook::payload::{self, TaskLog};
use dbsync2::source::contacts::each_contact;
use dbsync2::source::event::Event;
use dbsync2::source::json::{Document, Object, Value};
use dbsync2::tables::batch::Batch;
use dbsync2::tables::fields::FieldLimit;
use dbsync2::tables::fields::{CustomField, Layout, NameUnit, Naming};
use dbsync2::tables::filter::Filter;
use dbsync2::tables::filter::FilterMode;
use dbsync2::tables::rows::{Remarks, RowMaker};
use dbsync2::tables::schema::{ColumnKind, Table};
use serde_json::value::RawValue;

use super::memory::bounded;

/// Reads the input as an array of contacts, and as the only contact of one.
pub fn contacts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    rows(text);
    bodies(text);
    if let Ok(raw) = serde_json::from_str::<&RawValue>(text)
        && let Some(document) = bounded(text.len(), || Document::of(raw))
    {
        reads_as_serde_does(&document.root(), text);
        rows(&format!("[{text}]"));
    }
}

fn layout() -> Layout {
    let naming = Naming {
        longest: 63,
        unit: NameUnit::Bytes,
        ignores_case: false,
    };
    let mut layout = Layout::new("dfire_", naming, FieldLimit::All, &[]);
    let field = |key: &str, is_number| CustomField {
        key: key.to_owned(),
        is_number,
    };
    layout.add_fields(
        &[
            field("a", false),
            field("n", true),
            field("Umsatz", true),
            field("", false),
        ],
        &[],
    );
    layout
}

/// The ids that are asked for: those of the documents, as the list of contacts would name them.
fn ids(text: &str) -> Vec<String> {
    let documents: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    let mut ids: Vec<String> = documents
        .into_iter()
        .filter_map(|raw| {
            let document = Document::of(raw)?;
            Some(document.root().get("$id").to_text()?.into_owned())
        })
        .take(20)
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

fn rows(text: &str) {
    let (layout, ids) = (layout(), ids(text));
    for mode in [FilterMode::All, FilterMode::HiUpdatesOnly] {
        let filter = Filter {
            mode,
            task_prefixes: Vec::new(),
        };
        let maker = RowMaker {
            layout: &layout,
            filter: &filter,
            stamp: "2024-03-08T00:00:00Z",
        };
        let (mut batch, mut remarks) = (Batch::for_schema(layout.schema()), Remarks::default());
        let read = bounded(text.len(), || {
            each_contact(text, &ids, |_, contact| {
                maker.contact(contact, &mut batch, &mut remarks)
            })
        });
        // No array, or rows that would take many times as much as their document.
        let Ok(unanswered) = read else { continue };
        assert_eq!(
            batch.rows(Table::Contacts).len() + unanswered.len(),
            ids.len(),
            "each contact has one row or is unanswered"
        );
        for table in Table::ALL {
            check_rows(&batch, table, &layout, &ids);
        }
    }
}

fn check_rows(batch: &Batch, table: Table, layout: &Layout, ids: &[String]) {
    let schema = layout.schema().table(table);
    let contact = schema.position(match table {
        Table::Contacts => "$id",
        _ => "contact_id",
    });
    for row in batch.rows(table).iter() {
        assert!(!row.key().is_empty(), "a row without key");
        let contact = contact.and_then(|column| row.get(column)).unwrap();
        assert!(
            ids.iter().any(|id| id == contact),
            "a row of another contact"
        );
        for (column, value) in schema.columns.iter().zip(row.values()) {
            let Some(value) = value else { continue };
            match column.kind {
                ColumnKind::Number => assert!(is_plain_decimal(value), "{value}"),
                ColumnKind::Bool => assert!(matches!(value, "0" | "1"), "{value}"),
                ColumnKind::Key | ColumnKind::Time | ColumnKind::Text => assert!(!value.is_empty()),
            }
        }
    }
}

fn is_plain_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    !whole.is_empty()
        && !fraction.is_empty()
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
}

/// Bodies of requests are JSON, and hold the contact without its history and one transaction, as they were written.
fn bodies(text: &str) {
    let events: Vec<Event> = [
        "2024-03-05T09:15:42.468Z0217|m|C|0,0",
        "2024-03-05T09:15:42.468Z|m|C|7,7",
        "1|m|C",
    ]
    .into_iter()
    .map(|event| Event::parse(event).unwrap())
    .collect();
    let ids = ids(text);
    let mut bodies = Vec::new();
    let read = bounded(text.len(), || {
        each_contact(text, &ids, |_, contact| {
            let log = TaskLog::of(contact);
            for event in &events {
                if let Some((_, transaction)) = log.find(&[event])[0] {
                    let contact = payload::contact(contact);
                    bodies.push(payload::body(&contact, transaction, "new"));
                    break;
                }
            }
            Ok(())
        })
    });
    if read.is_err() {
        return;
    }
    for body in bodies {
        let Ok(body) = serde_json::from_str::<serde_json::Value>(&body) else {
            // Valid, but nested deeper than this reader goes.
            assert!(serde_json::from_str::<&RawValue>(&body).is_ok(), "{body}");
            continue;
        };
        assert!(body["contact"].is_object() && body["contact"].get("$task_log").is_none());
        assert!(body["transaction"].is_object());
    }
}

/// Keys and values are those that another reader of JSON finds.
fn reads_as_serde_does(object: &Object<'_>, text: &str) {
    let Ok(wanted) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
    else {
        return;
    };
    let keys: std::collections::BTreeSet<String> =
        object.entries().map(|(key, _)| key.into_owned()).collect();
    assert!(keys.iter().eq(wanted.keys()), "{keys:?}");
    for (key, value) in &wanted {
        match object.get(key) {
            Value::Null => assert!(value.is_null()),
            Value::Bool(found) => assert_eq!(value, &found),
            Value::Number(_) => assert!(value.is_number()),
            Value::Text(found) => assert_eq!(value, found.as_ref()),
            Value::Nested(json) => assert_eq!(
                &serde_json::from_str::<serde_json::Value>(json).unwrap(),
                value
            ),
        }
        let is_object = |value: &serde_json::Value| value.is_object();
        let list = [
            "$task_log",
            "transactions",
            "connections",
            "recordings",
            "third_party_connections",
        ];
        if list.contains(&key.as_str()) {
            let found: Vec<bool> = object.elements(key).map(|e| e.is_some()).collect();
            let elements = value.as_array().into_iter().flatten();
            assert_eq!(found, elements.map(is_object).collect::<Vec<bool>>());
        }
    }
}
