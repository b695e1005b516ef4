//! The answer to `POST contacts`: documents, of which each asked-for contact has one or none.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::json::{Document, Object, each_element, each_value};
use super::shape::{keys, shape};

/// The key that names a contact.
const ID: &str = "$id";

const NO_ARRAY: &str = "no whole JSON array";

/// The most documents in an answer. At most 20 contacts are asked for, of which the server might send several versions.
const MAX_DOCUMENTS: usize = 1000;

/// Hands out the documents of an answer, and returns the ids that it has none for. Of a contact that is there twice the
/// last document counts.
///
/// The answer is an array of documents. An object around that array, and one around each document, are looked through.
///
/// # Errors
/// What is wrong with the answer, or with a document by the judgement of `each`; and where there are documents, but not
/// one of a contact that was asked for: such an answer says nothing about who is missing.
pub fn each_contact(
    text: &str,
    ids: &[String],
    mut each: impl FnMut(&str, &Object<'_>) -> Result<(), String>,
) -> Result<Vec<String>, String> {
    let (mut documents, mut count) = (Vec::new(), 0_usize);
    let mut gather = |document| {
        count += 1;
        if count <= MAX_DOCUMENTS {
            documents.push(document);
        }
    };
    match text.trim_start().starts_with('{') {
        true => each_wrapped(text, gather)?,
        false => each_element(text, &mut gather).map_err(|_| NO_ARRAY.to_owned())?,
    }
    if count > MAX_DOCUMENTS {
        return Err(format!(
            "{count} documents, although {} contacts were asked for",
            ids.len()
        ));
    }
    let mut missing: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let mut foreign = None;
    // From the end: of a document twice in one answer the last one counts.
    for element in documents.into_iter().rev() {
        let Some(document) = Document::of(element) else {
            continue;
        };
        let inner = match document.root().get(ID).to_text() {
            Some(_) => None,
            None => only_object(&document.root()).and_then(Document::parse),
        };
        let contact = inner.as_ref().unwrap_or(&document).root();
        if let Some(id) = contact.get(ID).to_text()
            && missing.remove(id.as_ref())
        {
            each(&id, &contact)?;
        } else if foreign.is_none() && document.root().keys().next().is_some() {
            foreign = Some(keys(&document.root()));
        }
    }
    match foreign {
        Some(keys) if missing.len() == ids.len() && !ids.is_empty() => Err(format!(
            "documents, but not one with the {ID} of a contact that was asked for (the last one has {keys})"
        )),
        _ => Ok(ids
            .iter()
            .filter(|id| missing.contains(id.as_str()))
            .cloned()
            .collect()),
    }
}

/// The documents in an object: it is one itself, or has one list of them.
fn each_wrapped<'a>(text: &'a str, mut each: impl FnMut(&'a RawValue)) -> Result<(), String> {
    let (mut list, mut lists, mut is_document) = (None, 0, false);
    each_value(text, |key, value| {
        if value.get().starts_with('[') {
            list = Some(value);
            lists += 1;
        }
        is_document |= key == ID;
    })
    .map_err(|_| NO_ARRAY.to_owned())?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|_| NO_ARRAY.to_owned())?;
    match list {
        _ if is_document => each(whole),
        Some(list) if lists == 1 => {
            each_element(list.get(), each).map_err(|_| NO_ARRAY.to_owned())?;
        }
        _ => return Err(format!("{NO_ARRAY} but {}", shape(whole))),
    }
    Ok(())
}

/// The text of the only value of an object, if that is an object.
fn only_object<'a>(object: &Object<'a>) -> Option<&'a str> {
    let mut values = object.as_written();
    let (_, value) = values.next()?;
    (values.next().is_none() && value.starts_with('{')).then_some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str, ids: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let mut found = Vec::new();
        let missing = each_contact(text, &ids, |id, contact| {
            found.push(format!(
                "{id} {}",
                contact.get("a").to_text().unwrap_or_default()
            ));
            Ok(())
        })?;
        Ok((found, missing))
    }

    #[test]
    fn the_last_document_of_a_contact_counts_and_others_are_left_out() {
        let text = r#"[{"$id":"A","a":1},7,{"$id":"X"},{"$id":"B"},{"$id":"A","a":2}]"#;
        let (found, missing) = read(text, &["A", "B", "C"]).unwrap();
        assert_eq!(found, ["A 2", "B "]);
        assert_eq!(missing, ["C"]);
    }

    #[test]
    fn what_is_around_documents_is_looked_through() {
        for text in [
            r#"{"data":[{"$id":"A","a":1},{"$id":"B"}]}"#,
            r#" {"count":2,"results":[{"$id":"A","a":1},{"$id":"B"}],"cursor":null}"#,
            r#"[{"contact":{"$id":"A","a":1}},{"data":{"$id":"B"}}]"#,
        ] {
            let (found, missing) = read(text, &["A", "B", "C"]).unwrap();
            assert_eq!(found, ["B ", "A 1"], "{text}");
            assert_eq!(missing, ["C"], "{text}");
        }
        let (found, missing) = read(r#"{"$id":"A","a":[3]}"#, &["A"]).unwrap();
        assert_eq!((found, missing.len()), (vec!["A [3]".to_owned()], 0));
    }

    #[test]
    fn documents_of_nobody_that_was_asked_for_are_no_answer() {
        for text in [
            r#"[{"id":"A","phone":"1"},{"id":"B"}]"#,
            r#"[{"$id":"X"}]"#,
            r#"[{"error":"unknown"}]"#,
            r#"{"A":{"$id":"A"},"B":{"$id":"B"}}"#,
            r#"{"contacts":[],"others":[]}"#,
            r#"{"message":"1"}"#,
        ] {
            let error = read(text, &["A", "B"]).unwrap_err();
            assert!(error.contains("the keys "), "{error}");
            assert!(
                !error.contains('1') && !error.contains("unknown"),
                "{error}"
            );
        }
        for text in ["[]", "[null,null]", r#"{"data":[]}"#, r#"{"data":[null]}"#] {
            assert_eq!(read(text, &["A"]).unwrap().1, ["A"], "{text}");
        }
    }

    #[test]
    fn far_more_documents_than_were_asked_for_are_refused() {
        let text = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert!(read(&text(1000), &["A"]).is_ok());
        assert_eq!(
            read(&text(1001), &["A"]).unwrap_err(),
            "1001 documents, although 1 contacts were asked for"
        );
        assert_eq!(read("[{}", &["A"]).unwrap_err(), "no whole JSON array");
    }
}
