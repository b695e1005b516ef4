//! From a contact's document to request bodies: values stay exactly as the API wrote them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::dialfire::event::Event;
use crate::dialfire::json::Object;

/// The key that is left out: the history, of which each request has one transaction.
const TASK_LOG: &str = "$task_log";

/// A transaction, and its text.
type Transaction<'a> = (Object<'a>, &'a str);

/// The transactions of a contact, by log entry.
pub struct TaskLog<'a>(Object<'a>);

impl<'a> TaskLog<'a> {
    /// Those of a contact's document; what is no array has none.
    pub fn of(contact: &Object<'a>) -> TaskLog<'a> {
        TaskLog(*contact)
    }

    /// The transaction that an event names: where it points if that is the right one, else wherever it is.
    pub fn find(&self, event: &Event) -> Option<Transaction<'a>> {
        let is_right = |transaction: &Transaction<'a>| is_named(event, &transaction.0);
        event
            .pointer()
            .and_then(|(entry, transaction)| self.at(entry, transaction))
            .filter(is_right)
            .or_else(|| self.all().find(is_right))
    }

    fn at(&self, entry: u32, transaction: u32) -> Option<Transaction<'a>> {
        let (entry, transaction) = (entry.try_into().ok()?, transaction.try_into().ok()?);
        let (entry, _) = self.0.elements(TASK_LOG).nth(entry)??;
        entry.elements("transactions").nth(transaction)?
    }

    fn all(&self) -> impl Iterator<Item = Transaction<'a>> + use<'a> {
        let entries = self.0.objects(TASK_LOG);
        entries.flat_map(|entry| entry.elements("transactions").flatten())
    }
}

/// Whether an event names this transaction: the same time of firing, and the same sequence number where both have one.
fn is_named(event: &Event, transaction: &Object<'_>) -> bool {
    let fired = transaction.get("fired").to_text().is_some_and(|fired| {
        fired == event.fired()
            || event.fired_at().is_some_and(|at| {
                // Trailing zeros of the fraction may be missing.
                OffsetDateTime::parse(&fired, &Rfc3339).is_ok_and(|fired| fired == at)
            })
    });
    let sequence = transaction
        .get("sequence_nr")
        .to_text()
        .and_then(|number| number.parse::<u64>().ok());
    fired
        && sequence
            .zip(event.sequence())
            .is_none_or(|(one, other)| one == other)
}

/// The contact as JSON: every key in its order, every value as the API wrote it, without the task log.
pub fn contact(document: &Object<'_>) -> String {
    let fields = || {
        let written = document.keys().zip(document.as_written());
        written.filter_map(|(key, field)| (key != TASK_LOG).then_some(field))
    };
    // Most documents are long: growing by and by would copy them several times.
    let length: usize = fields()
        .map(|(key, value)| key.len() + value.len() + 2)
        .sum();
    let mut json = String::with_capacity(length + 2);
    json.push('{');
    for (written, value) in fields() {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(written);
        json.push(':');
        json.push_str(value);
    }
    json.push('}');
    json
}

/// The body of a request.
pub fn body(contact: &str, transaction: &str, state: &str) -> String {
    [
        "{\"contact\":",
        contact,
        ",\"transaction\":",
        transaction,
        ",\"state\":\"",
        state,
        "\"}",
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dialfire::json::Document;

    const DOCUMENT: &str = r#"{ "$id" : "C", "$task_log":[
        {"transactions":[{"fired":"2024-03-05T09:15:42.100Z","sequence_nr":1},{"fired":"2024-03-05T09:15:42.1Z","sequence_nr":2,"n":1}]},
        null, {"transactions":null}, {"transactions":[null,{"fired":"2024-03-05T09:15:43Z"}]}],
        "zahl":1e5, "a\u00e4\"b":[1, 2.50], "zahl":0.70 }"#;

    fn found(event: &str) -> Option<String> {
        let document = Document::parse(DOCUMENT).unwrap();
        let event = Event::parse(event).unwrap();
        TaskLog::of(&document.root())
            .find(&event)
            .map(|(_, text)| text.to_owned())
    }

    #[test]
    fn the_pointer_is_followed_only_to_the_right_transaction() {
        let first = r#"{"fired":"2024-03-05T09:15:42.100Z","sequence_nr":1}"#;
        let second = r#"{"fired":"2024-03-05T09:15:42.1Z","sequence_nr":2,"n":1}"#;
        let third = r#"{"fired":"2024-03-05T09:15:43Z"}"#;
        for (event, wanted) in [
            ("2024-03-05T09:15:42.100Z0001|m|C|0,0", Some(first)),
            ("2024-03-05T09:15:42.100Z0002|m|C|0,1", Some(second)),
            // Stale pointers, and none.
            ("2024-03-05T09:15:42.100Z0002|m|C|0,0", Some(second)),
            ("2024-03-05T09:15:42.100Z0001|m|C|9,9", Some(first)),
            ("2024-03-05T09:15:42.100Z0002|m|C", Some(second)),
            ("2024-03-05T09:15:43.000Z0009|m|C|3,0", Some(third)),
            // Not there (yet).
            ("2024-03-05T09:15:42.100Z0003|m|C|0,0", None),
            ("2024-03-05T09:15:44.000Z0001|m|C|0,0", None),
        ] {
            assert_eq!(found(event).as_deref(), wanted, "{event}");
        }
    }

    #[test]
    fn the_contact_keeps_order_and_values() {
        let contact = |text| contact(&Document::parse(text).unwrap().root());
        assert_eq!(
            contact(DOCUMENT),
            r#"{"$id":"C","zahl":1e5,"a\u00e4\"b":[1, 2.50],"zahl":0.70}"#
        );
        assert_eq!(contact("{}"), "{}");
        assert_eq!(contact(r#"{"$task_lo\u0067":[]}"#), "{}");
        assert_eq!(
            body("{}", "{\"a\":1}", "new"),
            r#"{"contact":{},"transaction":{"a":1},"state":"new"}"#
        );
    }

    #[test]
    fn a_document_without_a_log_has_no_transactions() {
        for text in ["{}", r#"{"$task_log":null}"#, r#"{"$task_log":{"0":1}}"#] {
            let document = Document::parse(text).unwrap();
            assert_eq!(TaskLog::of(&document.root()).all().count(), 0, "{text}");
        }
    }
}
