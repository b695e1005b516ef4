//! Event strings, pages of listings, and the list of fields.

use dbsync2::destination::sql::dialect;
use dbsync2::source::client::{InboundCall, Listed};
use dbsync2::source::event::Event;
use dbsync2::source::pages::Unusable;
use dbsync2::source::{fields, pages};
use dbsync2::tables::fields::FieldLimit;
use dbsync2::tables::fields::{CustomField, Layout, NameUnit, Naming, Slot};
use dbsync2::tables::schema::Table;
use serde_json::value::RawValue;

use super::memory::bounded;

/// Reads the input as the string form of an event and as an entry of a page.
pub fn event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(event) = bounded(text.len(), || Event::parse(text)) {
        says_the_same_again(&event);
        let parts: Vec<&str> = text.split('|').map(str::trim).collect();
        assert_eq!(event.key_part(), parts[0]);
        assert_eq!(event.md5(), parts[1]);
        assert_eq!(event.contact_id(), parts[2]);
    }
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    if let Ok(event) = bounded(text.len(), || Event::read(raw)) {
        // What stands in an object may hold the separator.
        let separated = [event.key_part(), event.md5(), event.contact_id()];
        if !separated.iter().any(|part| part.contains('|')) {
            says_the_same_again(&event);
        }
    }
}

fn says_the_same_again(event: &Event) {
    assert!(!event.contact_id().is_empty());
    assert!(event.key_part().starts_with(event.fired()));
    let mut text = format!(
        "{}|{}|{}",
        event.key_part(),
        event.md5(),
        event.contact_id()
    );
    if let Some((entry, transaction)) = event.pointer() {
        text.push_str(&format!("|{entry},{transaction}"));
    }
    assert_eq!(&Event::parse(&text).unwrap(), event);
}

/// Reads the input as a page of events, of contacts and of inbound calls.
pub fn page(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    read_page(text, Event::read);
    read_page(text, Listed::read);
    read_page(text, InboundCall::read);
}

fn read_page<T>(text: &str, read_entry: impl FnMut(&RawValue) -> Result<T, Unusable>) {
    let Ok(((page, cursor), skipped)) = bounded(text.len(), || pages::read_page(text, read_entry))
    else {
        return;
    };
    assert_eq!(
        page.items.len() + skipped.map_or(0, |skipped| skipped.count),
        page.count
    );
    assert_ne!(cursor.as_deref(), Some(""));
    if let Ok(wanted) = serde_json::from_str::<serde_json::Value>(text) {
        let results = wanted["results"].as_array();
        assert_eq!(page.count, results.map_or(0, Vec::len));
        if let Some(wanted) = wanted["cursor"].as_str() {
            assert_eq!(cursor.as_deref().unwrap_or_default(), wanted);
        }
    }
}

/// Reads the input as `fields/list` and as a campaign, and makes columns for it in each database.
pub fn fields(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for read in [fields::read_list, fields::read_campaign] {
        let Ok(fields) = bounded(text.len(), || read(text)) else {
            continue;
        };
        let fields: Vec<CustomField> = fields
            .into_iter()
            .map(|field| CustomField {
                is_number: field.is_number(),
                key: field.name,
            })
            .collect();
        assert!(fields.iter().all(|field| !field.key.is_empty()));
        for naming in [
            dialect::POSTGRES.naming,
            dialect::MYSQL.naming,
            dialect::SQLSERVER.naming,
            dialect::SQLITE.naming,
        ] {
            columns(&fields, naming);
        }
    }
}

/// Each field has a column or is ignored, and columns have names that the database can hold and tell apart.
fn columns(fields: &[CustomField], naming: Naming) {
    let mut layout = Layout::new("dfire_", naming, FieldLimit::All, &[]);
    layout.add_fields(fields, &[]);
    let columns = &layout.schema().table(Table::Contacts).columns;
    let mut names: Vec<String> = columns
        .iter()
        .map(|column| match naming.ignores_case {
            true => column.name.to_lowercase(),
            false => column.name.clone(),
        })
        .collect();
    names.sort();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
    for column in columns {
        let length = match naming.unit {
            NameUnit::Bytes => column.name.len(),
            NameUnit::BmpCharacters => column.name.encode_utf16().count(),
        };
        assert!(length > 0 && length <= naming.longest, "{:?}", column.name);
        assert!(!column.name.contains(char::is_control), "{:?}", column.name);
    }
    for field in fields.iter().filter(|field| !field.key.starts_with('$')) {
        match layout.slot(&field.key) {
            Some(Slot::Column(index, _)) => assert!(index < columns.len()),
            Some(Slot::Ignored) => assert!(columns.len() >= 2000),
            None => panic!("no slot for {:?}", field.key),
        }
    }
}
