//! From a contact's document to request bodies: values stay exactly as the API wrote them.

use std::collections::HashSet;

use crate::source::event::Event;
use crate::source::fired::Fired;
use crate::source::json::Object;
use crate::text;

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

    /// The transactions that these events name, each for one event at most.
    ///
    /// First those are taken that an event names by their time and sequence number, where it points or wherever they are.
    /// What then remains may be written differently in the list and in the document: of it the transaction counts that
    /// contradicts an event in nothing and is the only one, or the one that it points to.
    pub fn find(&self, events: &[&Event]) -> Vec<Option<Transaction<'a>>> {
        let mut taken: HashSet<*const u8> = HashSet::new();
        let mut found: Vec<_> = (events.iter())
            .map(|event| self.named(event, &mut taken))
            .collect();
        if found.iter().all(Option::is_some) {
            return found;
        }
        for (event, found) in events.iter().zip(&mut found) {
            if found.is_none() {
                *found = self.likely(event, &taken);
                taken.extend(found.map(|(_, text)| text.as_ptr()));
            }
        }
        found
    }

    fn named(&self, event: &Event, taken: &mut HashSet<*const u8>) -> Option<Transaction<'a>> {
        let is_right = |transaction: &Transaction<'a>| {
            is_named(event, &transaction.0) && !taken.contains(&transaction.1.as_ptr())
        };
        let found = self
            .pointed_at(event)
            .filter(is_right)
            .or_else(|| self.all().find(is_right))?;
        taken.insert(found.1.as_ptr());
        Some(found)
    }

    fn likely(&self, event: &Event, taken: &HashSet<*const u8>) -> Option<Transaction<'a>> {
        let likeness = |transaction: &Transaction<'a>| match taken.contains(&transaction.1.as_ptr())
        {
            true => None,
            false => likeness(event, &transaction.0),
        };
        let pointed_at = self.pointed_at(event);
        if let Some(transaction) = pointed_at.filter(|found| likeness(found).is_some()) {
            return Some(transaction);
        }
        let mut likely: Vec<_> = self
            .all()
            .filter_map(|transaction| Some((likeness(&transaction)?, transaction)))
            .filter(|(likeness, _)| *likeness > Likeness::Possible)
            .collect();
        let best = likely.iter().map(|(likeness, _)| *likeness).max()?;
        likely.retain(|(likeness, _)| *likeness == best);
        match likely.as_slice() {
            [(_, only)] => Some(*only),
            _ => None,
        }
    }

    fn pointed_at(&self, event: &Event) -> Option<Transaction<'a>> {
        let (entry, transaction) = event.pointer()?;
        self.at(entry, transaction)
    }

    /// How many transactions there are, and how the last one's time is written: to explain why none was found.
    pub fn describe(&self) -> String {
        let last = self.all().last();
        let fired = last.and_then(|(transaction, _)| transaction.get("fired").to_text());
        format!(
            "{} transactions, the last one fired at {:?}",
            self.all().count(),
            text::foreign(&fired.unwrap_or_default())
        )
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

/// When a transaction was fired, as its document writes it, and its sequence number.
fn fired(transaction: &Object<'_>) -> (String, Option<Fired>, Option<u64>) {
    let fired = transaction.get("fired").to_text().unwrap_or_default();
    let moment = Fired::read(&fired);
    let sequence = transaction
        .get("sequence_nr")
        .to_text()
        .and_then(|number| number.parse::<u64>().ok())
        .or_else(|| moment.and_then(|moment| moment.sequence));
    (fired.into_owned(), moment, sequence)
}

/// Whether an event names this transaction: the same time of firing, and the same sequence number where both have one.
fn is_named(event: &Event, transaction: &Object<'_>) -> bool {
    let (fired, moment, sequence) = fired(transaction);
    if fired.is_empty() {
        return false;
    }
    let same_time =
        fired == event.fired() || moment.is_some_and(|moment| event.fired_at() == Some(moment.at));
    fired == event.key_part()
        || (same_time
            && sequence
                .zip(event.sequence())
                .is_none_or(|(one, other)| one == other))
}

/// How likely it is that an event means a transaction which it does not name by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// Nothing contradicts it.
    Possible,
    /// On the same day, as far as the times can be read.
    SameDay,
    /// The times may be the same.
    SameTime,
    /// The sequence numbers are the same, and the times may be.
    SameNumber,
}

/// `None` where the times or the sequence numbers contradict each other.
fn likeness(event: &Event, transaction: &Object<'_>) -> Option<Likeness> {
    let (fired, moment, sequence) = fired(transaction);
    let numbers = sequence.zip(event.sequence());
    if numbers.is_some_and(|(one, other)| one != other) {
        return None;
    }
    let times = moment.zip(event.moment());
    if times.is_some_and(|(one, other)| !one.may_be(other)) {
        return None;
    }
    let day = |text: &str| text.get(..10).map(str::to_owned);
    let days = day(&fired).zip(day(event.key_part()));
    Some(if numbers.is_some() {
        Likeness::SameNumber
    } else if times.is_some() {
        Likeness::SameTime
    } else if days.is_some_and(|(one, other)| one == other) {
        Likeness::SameDay
    } else {
        Likeness::Possible
    })
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::source::json::Document;

    const DOCUMENT: &str = r#"{ "$id" : "C", "$task_log":[
        {"transactions":[{"fired":"2024-03-05T09:15:42.100Z","sequence_nr":1},{"fired":"2024-03-05T09:15:42.1Z","sequence_nr":2,"n":1}]},
        null, {"transactions":null}, {"transactions":[null,{"fired":"2024-03-05T09:15:43Z"}]}],
        "zahl":1e5, "a\u00e4\"b":[1, 2.50], "zahl":0.70 }"#;

    fn found(event: &str) -> Option<String> {
        let document = Document::parse(DOCUMENT).unwrap();
        let event = Event::parse(event).unwrap();
        let found = TaskLog::of(&document.root()).find(&[&event]);
        found[0].map(|(_, text)| text.to_owned())
    }

    /// Which transactions of a document the events name, by their `n`.
    fn named(document: &str, events: &[&str]) -> Vec<Option<String>> {
        let document = Document::parse(document).unwrap();
        let events: Vec<Event> = events
            .iter()
            .map(|text| Event::parse(text).unwrap())
            .collect();
        let events: Vec<&Event> = events.iter().collect();
        let found = TaskLog::of(&document.root()).find(&events);
        let number = |(object, _): (Object<'_>, _)| object.get("n").to_text().unwrap().into_owned();
        found.into_iter().map(|found| found.map(number)).collect()
    }

    /// A document with one log entry of these transactions.
    fn document(transactions: &[&str]) -> String {
        let numbered: Vec<String> = transactions
            .iter()
            .enumerate()
            .map(|(n, fields)| format!("{{\"n\":{n},{fields}}}"))
            .collect();
        format!(
            r#"{{"$task_log":[{{"transactions":[{}]}}]}}"#,
            numbered.join(",")
        )
    }

    #[test]
    fn times_that_are_written_differently_are_the_same() {
        let others = [
            r#""fired":"2024-03-05T09:15:41.468Z","sequence_nr":216"#,
            r#""fired":"2024-03-06T09:15:42.468Z","sequence_nr":217"#,
        ];
        for fired in [
            r#""fired":"2024-03-05T09:15:42.468Z","sequence_nr":217"#,
            r#""fired":"2024-03-05T09:15:42.468Z0217""#,
            r#""fired":"2024-03-05T09:15:42.468""#,
            r#""fired":"2024-03-05T10:15:42.468+01:00","sequence_nr":217"#,
            r#""fired":"2024-03-05T09:15:42.468123Z""#,
            r#""fired":"2024-03-05T09:15:42Z""#,
            r#""fired":1709630142468"#,
            // In a zone that is not named.
            r#""fired":"2024-03-05T10:15:42.468","sequence_nr":"217""#,
            // In a form that nobody foresaw.
            r#""fired":"05.03.2024 09:15:42","sequence_nr":217"#,
            r#""fired":"2024-03-05 nine o'clock""#,
        ] {
            let document = document(&[others[0], fired, others[1]]);
            for pointer in ["", "|0,1"] {
                let event = format!("2024-03-05T09:15:42.468Z0217|m|C{pointer}");
                assert_eq!(
                    named(&document, &[&event]),
                    [Some("1".to_owned())],
                    "{fired}"
                );
            }
        }
    }

    #[test]
    fn the_event_may_be_written_in_any_way_as_well() {
        let document = document(&[
            r#""fired":"2024-03-05T09:15:41.468Z","sequence_nr":216"#,
            r#""fired":"2024-03-05T09:15:42.468Z","sequence_nr":217"#,
        ]);
        for part in [
            "2024-03-05T09:15:42.468Z217",
            "2024-03-05T09:15:42.468Z000217",
            "2024-03-05T09:15:42.468",
            "2024-03-05T09:15:42.4680217",
            "2024-03-05 09:15:42.468+00:000217",
            "2024-03-05T11:15:42.468+02:000217",
            "2024-03-05T11:15:42.4680217",
            "2024-03-05T09:15:42Z0217",
            "1709630142468",
            "17096301424680217",
        ] {
            let found = named(&document, &[&format!("{part}|m|C")]);
            assert_eq!(found, [Some("1".to_owned())], "{part}");
        }
    }

    #[test]
    fn nothing_is_guessed_where_it_could_be_wrong() {
        let document = document(&[
            r#""fired":"2024-03-05T09:15:42.468Z""#,
            r#""fired":"2024-03-05T12:00:00.100Z","sequence_nr":7"#,
        ]);
        for event in [
            // Another transaction of the same day, which the document does not have yet.
            "2024-03-05T09:15:43.468Z0001|m|C|0,0",
            "2024-03-05T12:00:00.100Z0008|m|C|0,1",
            "2024-03-05T18:01:02.003Z0008|m|C",
        ] {
            assert_eq!(named(&document, &[event]), [None], "{event}");
        }
        // Two that could be meant, and no pointer.
        let twice = self::document(&[
            r#""fired":"2024-03-05 nine""#,
            r#""fired":"2024-03-05 ten""#,
        ]);
        assert_eq!(named(&twice, &["2024-03-05T09:15:42.468Z0001|m|C"]), [None]);
        let pointed = named(&twice, &["2024-03-05T09:15:42.468Z0001|m|C|0,1"]);
        assert_eq!(pointed, [Some("1".to_owned())]);
    }

    #[test]
    fn no_transaction_is_given_to_two_events() {
        let document = document(&[
            r#""fired":"2024-03-05T09:15:42.468Z""#,
            r#""fired":"2024-03-05T09:15:42.468Z""#,
        ]);
        let events = [
            "2024-03-05T09:15:42.468Z0001|m|C",
            "2024-03-05T09:15:42.468Z0002|m|C",
            "2024-03-05T09:15:42.468Z0003|m|C",
        ];
        let found = named(&document, &events);
        assert_eq!(found, [Some("0".to_owned()), Some("1".to_owned()), None]);
        let odd = self::document(&[r#""fired":"2024-03-05 nine""#]);
        let found = named(&odd, &events);
        assert_eq!(found, [Some("0".to_owned()), None, None]);
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
