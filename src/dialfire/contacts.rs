//! The answer to `POST contacts`: documents, of which each asked-for contact has one or none.

use std::collections::HashSet;

use super::json::{Document, Object, each_element};

/// The most documents in an answer. At most 20 contacts are asked for, of which the server might send several versions.
const MOST_DOCUMENTS: usize = 1000;

/// Hands out the documents of an answer, and returns the ids that it has none for. Of a contact that is there twice the
/// last document counts.
///
/// # Errors
/// What is wrong with the answer, or with a document by the judgement of `each`.
pub fn each_contact(
    text: &str,
    ids: &[String],
    mut each: impl FnMut(&str, &Object<'_>) -> Result<(), String>,
) -> Result<Vec<String>, String> {
    let (mut documents, mut count) = (Vec::new(), 0_usize);
    each_element(text, |document| {
        count += 1;
        if count <= MOST_DOCUMENTS {
            documents.push(document);
        }
    })
    .map_err(|_| "no whole JSON array".to_owned())?;
    if count > MOST_DOCUMENTS {
        return Err(format!(
            "{count} documents, although {} contacts were asked for",
            ids.len()
        ));
    }
    let mut missing: HashSet<&str> = ids.iter().map(String::as_str).collect();
    // From the end: of a document twice in one answer the last one counts.
    for document in documents.into_iter().rev() {
        let Some(document) = Document::of(document) else {
            continue;
        };
        let contact = document.root();
        if let Some(id) = contact.get("$id").to_text()
            && missing.remove(id.as_ref())
        {
            each(&id, &contact)?;
        }
    }
    Ok(ids
        .iter()
        .filter(|id| missing.contains(id.as_str()))
        .cloned()
        .collect())
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
