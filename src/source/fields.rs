//! The custom fields of a campaign, from `fields/list` or from the campaign itself.

use std::collections::HashSet;

use super::json::{Document, Object, Value, each_element};
use super::json_error::json_problem;

/// A custom field of the campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name exactly as the admin of the campaign chose it; the key in the contacts' documents. Not empty.
    pub name: String,
    /// The type as Dialfire names it, such as `text`, `date`, `number`; empty if missing. New ones may appear.
    pub field_type: String,
}

impl Field {
    /// Whether its values are numbers by its type. All other types, known or not, are text.
    pub fn is_number(&self) -> bool {
        self.field_type == "number"
    }
}

/// The most fields of a campaign, far more than any database can hold; further ones are left out, and logged.
const MAX_FIELDS: usize = 20_000;

/// The longest name of a field in bytes; longer ones are left out, and counted in the log.
pub const MAX_FIELD_NAME: usize = 1000;

/// Reads the answer of `fields/list`: an array of form elements, in their order.
///
/// # Errors
/// What is wrong with an answer that is no JSON array, without any of its content.
pub fn read_list(text: &str) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    let mut names = HashSet::new();
    let mut too_many = false;
    let (mut elements, mut forms, mut too_long) = (0_usize, 0_usize, 0_usize);
    each_element(text, |element| {
        elements += 1;
        let Some(element) = Document::of(element) else {
            return;
        };
        let element = element.root();
        forms += usize::from(
            ["type", "name"]
                .iter()
                .any(|key| element.get(key) != Value::Null),
        );
        let Some(field) = field(&element) else { return };
        if field.name.len() > MAX_FIELD_NAME {
            too_long += 1;
        } else if fields.len() >= MAX_FIELDS {
            too_many = true;
        } else if names.insert(field.name.clone()) {
            // Of equal names the first one counts.
            fields.push(field);
        }
    })
    .map_err(|e| json_problem(&e))?;
    if elements > 0 && forms == 0 {
        return Err(format!(
            "not the JSON expected: not one of {elements} elements is a field or a part of the form"
        ));
    }
    if too_long > 0 {
        log::warn!(
            "{too_long} fields have names of more than {MAX_FIELD_NAME} bytes: they are left out"
        );
    }
    if too_many {
        log::warn!("the campaign has more than {MAX_FIELDS} fields: those behind are left out");
    }
    Ok(fields)
}

/// Reads the answer of `GET campaigns/{campaign}`, the predecessor of `fields/list`: the same elements in `form.elements`.
///
/// # Errors
/// What is wrong with an answer that has no such list, without any of its content.
pub fn read_campaign(text: &str) -> Result<Vec<Field>, String> {
    let nested = |text: &str, key: &str| -> Option<String> {
        match Document::parse(text)?.root().get(key) {
            Value::Nested(json) => Some(json.to_owned()),
            _ => None,
        }
    };
    let elements = nested(text, "form").and_then(|form| nested(&form, "elements"));
    match elements {
        Some(elements) => read_list(&elements),
        None => Err("not the JSON expected: form.elements are missing".to_owned()),
    }
}

/// The field that a form element is, if it is one: no layout, not deleted, with a name.
fn field(element: &Object<'_>) -> Option<Field> {
    match element.get("type") {
        Value::Null => {}
        Value::Text(kind) if kind == "field" => {}
        _ => return None,
    }
    if element.get("deleted") == Value::Bool(true) || text(element, "deleted") == "true" {
        return None;
    }
    let name = text(element, "name");
    (!name.is_empty()).then(|| Field {
        name,
        field_type: text(element, "fieldType"),
    })
}

fn text(element: &Object<'_>, key: &str) -> String {
    match element.get(key) {
        Value::Text(text) => text.into_owned(),
        Value::Number(number) => number.to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;

    fn fields(json: &str) -> Vec<(String, String)> {
        read_list(json)
            .unwrap()
            .into_iter()
            .map(|f| (f.name, f.field_type))
            .collect()
    }

    fn pair(name: &str, field_type: &str) -> (String, String) {
        (name.to_owned(), field_type.to_owned())
    }

    #[test]
    fn fields_come_in_their_order_and_layout_is_left_out() {
        let json = r#"[
            {"type":"headline","name":"Kunde"},
            {"type":"field","fieldType":"text","name":"Größe","state":"hidden","deleted":false,"width":3},
            {"type":"field","fieldType":"number","name":"1. Betrag"},
            {"type":["field"],"name":"odd"},
            {"type":"separator"},
            {"type":"field","fieldType":"textarea","name":"_notiz"}
        ]"#;
        assert_eq!(
            fields(json),
            [
                pair("Größe", "text"),
                pair("1. Betrag", "number"),
                pair("_notiz", "textarea")
            ]
        );
    }

    #[test]
    fn deleted_ones_are_left_out() {
        let json = r#"[{"type":"field","name":"a","deleted":true},{"type":"field","name":"b","deleted":"true"},
                       {"type":"field","name":"c","deleted":null},{"type":"field","name":"d","deleted":"false"}]"#;
        assert_eq!(fields(json), [pair("c", ""), pair("d", "")]);
    }

    #[test]
    fn a_deleted_field_does_not_hide_one_of_the_same_name() {
        let json = r#"[{"type":"field","name":"a","fieldType":"text","deleted":true},{"type":"field","name":"a","fieldType":"number"}]"#;
        assert_eq!(fields(json), [pair("a", "number")]);
    }

    #[test]
    fn of_equal_names_the_first_counts_and_case_is_kept_apart() {
        let json = r#"[{"type":"field","name":"Titel","fieldType":"text"},{"type":"field","name":"titel","fieldType":"radiogroup"},
                       {"type":"field","name":"Titel","fieldType":"number"}]"#;
        assert_eq!(
            fields(json),
            [pair("Titel", "text"), pair("titel", "radiogroup")]
        );
    }

    #[test]
    fn odd_elements_are_tolerated() {
        let json = r#"[null, 7, "x", [], {}, {"name":"no type","fieldType":"hologram"}, {"type":null,"name":"null type"},
                       {"type":"field","name":""}, {"type":"field","name":null}, {"type":"field","name":42,"fieldType":{"a":1}}]"#;
        assert_eq!(
            fields(json),
            [
                pair("no type", "hologram"),
                pair("null type", ""),
                pair("42", "")
            ]
        );
    }

    #[test]
    fn only_the_type_number_is_a_number() {
        let is_number = |t: &str| {
            Field {
                name: "x".to_owned(),
                field_type: t.to_owned(),
            }
            .is_number()
        };
        assert!(is_number("number"));
        assert!(
            !is_number("text") && !is_number("") && !is_number("Number") && !is_number("hologram")
        );
    }

    /// The limit counts bytes, as a database's own limit for names does.
    #[test]
    fn a_name_of_the_longest_length_is_kept_and_one_byte_more_is_left_out() {
        let longest = "ü".repeat(MAX_FIELD_NAME / 2);
        let longer = format!("{longest}x");
        assert_eq!((longest.len(), longer.len()), (1000, 1001));
        let json = format!(r#"[{{"name":"{longer}"}},{{"name":"{longest}"}},{{"name":"a"}}]"#);
        assert_eq!(fields(&json), [pair(&longest, ""), pair("a", "")]);
        // In the answer it may be written with more bytes than it has.
        let escaped = longest.replace('ü', r"\u00fc");
        assert_eq!(
            fields(&format!(r#"[{{"name":"{escaped}"}}]"#)),
            [pair(&longest, "")]
        );
    }

    #[test]
    fn the_fields_behind_the_largest_number_are_left_out() {
        let list = |count: usize| {
            let elements: Vec<String> = (0..count)
                .map(|n| format!(r#"{{"type":"field","name":"f{n}"}}"#))
                .collect();
            format!("[{}]", elements.join(","))
        };
        assert_eq!(fields(&list(19_999)).len(), 19_999);
        let full = fields(&list(20_000));
        assert_eq!(full.len(), 20_000);
        assert_eq!(full.last(), Some(&pair("f19999", "")));
        assert_eq!(fields(&list(20_001)), full);
        // What is no field of its own takes no place.
        let repeated =
            list(19_999).replacen('[', r#"[{"name":"f0"},{"type":"box","name":"b"},"#, 1);
        assert_eq!(fields(&repeated).len(), 19_999);
    }

    #[test]
    fn anything_but_a_list_is_an_error_that_quotes_nothing() {
        for json in [
            "",
            "{}",
            "null",
            "\"secret\"",
            "<html>secret</html>",
            "[{\"name\":\"secret\"}",
        ] {
            let reason = read_list(json).unwrap_err();
            assert!(
                reason.starts_with("not the JSON expected: ") && !reason.contains("secret"),
                "{json}: {reason}"
            );
        }
        assert_eq!(fields("[]"), []);
    }

    #[test]
    fn the_campaign_itself_holds_the_same_elements() {
        let json = r#"{"id":"C","form":{"title":"x","elements":[{"type":"field","name":"a","fieldType":"date"},{"type":"box","name":"b"}]}}"#;
        assert_eq!(
            read_campaign(json).unwrap(),
            [Field {
                name: "a".to_owned(),
                field_type: "date".to_owned()
            }]
        );
        for json in ["{}", "[]", r#"{"form":{}}"#, r#"{"form":{"elements":{}}}"#] {
            assert!(read_campaign(json).is_err(), "{json}");
        }
    }
}
