//! A transaction event: one entry of `contacts/transactions`, which says that a transaction of a contact is new or changed.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::fired::Fired;
use super::json::{Document, Value};
use super::pages::{self, Entry, Unusable, name};

/// One event. Only the contact id is certain to be there; all else is as the server sent it.
///
/// Of a backlog very many wait at a time: it holds one text, and what is seldom asked for is worked out then.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Key part, checksum and contact id, one behind the other.
    text: Box<str>,
    /// Where in it the second and the third begin.
    md5: u32,
    contact_id: u32,
    pointer: Option<(u32, u32)>,
}

impl Event {
    /// Reads one entry of the results: the string form `fired+sequence|md5|contact|pointer`, or the older object form.
    ///
    /// # Errors
    /// What is wrong with an entry that names no contact, without any of its content.
    pub fn read(entry: &RawValue) -> Result<Event, Unusable> {
        let written = entry.get().strip_prefix('"');
        let written = written.and_then(|text| text.strip_suffix('"'));
        if let Some(text) = written.filter(|text| !text.contains('\\')) {
            return Event::parse(text);
        }
        if let Ok(text) = serde_json::from_str::<String>(entry.get()) {
            return Event::parse(&text);
        }
        const NEITHER: Unusable = Unusable::Unreadable("it is neither a text nor an event object");
        // The form of the first generation of the API.
        let document = Document::of(entry).ok_or(NEITHER)?;
        let object = document.root();
        let text = |key: &str| match object.get(key) {
            Value::Text(text) => Ok(text),
            Value::Number(digits) => Ok(Cow::Borrowed(digits)),
            Value::Null => Ok(Cow::Borrowed("")),
            _ => Err(NEITHER),
        };
        let (fired, md5, contact_id) = (text("fired")?, text("md5")?, text("contact_id")?);
        let sequence = match object.get("seqnr") {
            Value::Text(digits) => number(&digits),
            Value::Number(digits) => number(digits),
            _ => None,
        };
        // The string form has four digits; the same transaction shall have the same key in both forms.
        let key_part = match sequence {
            Some(n) if cut_after_z(&fired).1.is_empty() => Cow::Owned(format!("{fired}{n:04}")),
            _ => fired,
        };
        let pointer = match object.get("pointer") {
            Value::Text(text) => pointer(&text),
            Value::Nested(list) => list
                .strip_prefix('[')
                .and_then(|list| list.strip_suffix(']'))
                .and_then(pointer),
            _ => None,
        };
        Event::assemble(&key_part, &md5, &contact_id, pointer)
    }

    /// Reads the string form. The number behind `Z` may have any count of digits; parts behind the fourth are ignored.
    ///
    /// # Errors
    /// What is wrong with an entry of less than three parts or without a contact id, without any of its content.
    pub fn parse(text: &str) -> Result<Event, Unusable> {
        let mut parts = text.split('|');
        let (Some(key_part), Some(md5), Some(contact_id)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(Unusable::Unreadable("it has less than three parts"));
        };
        Event::assemble(key_part, md5, contact_id, parts.next().and_then(pointer))
    }

    fn assemble(
        key_part: &str,
        md5: &str,
        contact_id: &str,
        pointer: Option<(u32, u32)>,
    ) -> Result<Event, Unusable> {
        let key_part = name(key_part.trim())?;
        let (md5, contact_id) = (name(md5.trim())?, name(contact_id.trim())?);
        if contact_id.is_empty() {
            return Err(Unusable::Unreadable("it names no contact"));
        }
        let begin = |length: usize| u32::try_from(length).map_err(|_| Unusable::TooLong);
        Ok(Event {
            md5: begin(key_part.len())?,
            contact_id: begin(key_part.len() + md5.len())?,
            text: [key_part, md5, contact_id].concat().into(),
            pointer,
        })
    }

    /// The first part as a whole: `fired` and the sequence number behind it. With the contact id it identifies the
    /// transaction.
    pub fn key_part(&self) -> &str {
        self.part(0, self.md5)
    }

    /// Checksum of the transaction, changes with each change. If empty, nothing is known of changes.
    pub fn md5(&self) -> &str {
        self.part(self.md5, self.contact_id)
    }

    /// The contact, never empty.
    pub fn contact_id(&self) -> &str {
        self.part(self.contact_id, u32::MAX)
    }

    /// When the transaction was fired, up to and including the `Z`, as in the contact's document.
    pub fn fired(&self) -> &str {
        cut_after_z(self.key_part()).0
    }

    /// `fired` as a time, where it is one.
    pub fn fired_at(&self) -> Option<OffsetDateTime> {
        self.moment().map(|moment| moment.at)
    }

    /// The first part as a time, where it is one.
    pub fn moment(&self) -> Option<Fired> {
        // What stands behind the time may be anything.
        Fired::read(self.key_part()).or_else(|| Fired::read(self.fired()))
    }

    /// The sequence number of the transaction, where it is a number.
    pub fn sequence(&self) -> Option<u64> {
        number(cut_after_z(self.key_part()).1)
            .or_else(|| self.moment().and_then(|moment| moment.sequence))
    }

    /// Indexes of the log entry and of the transaction in it. May be out of date.
    pub fn pointer(&self) -> Option<(u32, u32)> {
        self.pointer
    }

    /// Whether it was fired before this time; one without a time never was.
    pub fn is_before(&self, time: Option<OffsetDateTime>) -> bool {
        time.is_some_and(|time| self.fired_at().is_some_and(|at| at < time))
    }

    fn part(&self, from: u32, to: u32) -> &str {
        let length = self.text.len();
        let at = |n: u32| usize::try_from(n).map_or(length, |n| n.min(length));
        self.text.get(at(from)..at(to)).unwrap_or_default()
    }
}

impl Entry for Event {
    fn identity(&self) -> u64 {
        pages::identity((self.key_part(), self.contact_id()))
    }
}

/// As the list writes it, without the pointer.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}|{}|{}",
            self.key_part(),
            self.md5(),
            self.contact_id()
        )
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}|{:?}", self.pointer)
    }
}

/// Splits behind the first `Z`; without one everything is the first half.
fn cut_after_z(text: &str) -> (&str, &str) {
    text.find('Z')
        .and_then(|at| text.split_at_checked(at + 1))
        .unwrap_or((text, ""))
}

fn number(digits: &str) -> Option<u64> {
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

fn pointer(text: &str) -> Option<(u32, u32)> {
    let (entry, transaction) = text.split_once(',')?;
    entry
        .trim()
        .parse()
        .ok()
        .zip(transaction.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use time::macros::datetime;

    use super::*;

    const MD5: &str = "0123456789abcdef0123456789abcdef";

    fn read(json: &str) -> Result<Event, Unusable> {
        Event::read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_string_form_is_read() {
        let event = read(&format!(
            "\"2024-03-05T09:15:42.468Z0217|{MD5}|ABCD2345EFGH6789|6,166\""
        ))
        .unwrap();
        assert_eq!(event.fired(), "2024-03-05T09:15:42.468Z");
        assert_eq!(event.key_part(), "2024-03-05T09:15:42.468Z0217");
        assert_eq!(event.sequence(), Some(217));
        assert_eq!(event.md5(), MD5);
        assert_eq!(event.contact_id(), "ABCD2345EFGH6789");
        assert_eq!(event.pointer(), Some((6, 166)));
        let at = datetime!(2024-03-05 09:15:42.468 UTC);
        assert_eq!(event.fired_at(), Some(at));
        let later = at + time::Duration::MILLISECOND;
        assert_eq!(
            [None, Some(at), Some(later)].map(|time| event.is_before(time)),
            [false, false, true]
        );
        assert!(!Event::parse("yesterday|m|c").unwrap().is_before(Some(at)));
    }

    #[test]
    fn the_number_behind_z_has_any_count_of_digits() {
        for (suffix, sequence) in [
            ("", None),
            ("7", Some(7)),
            ("0000", Some(0)),
            ("123456", Some(123_456)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("x1", None),
            ("+5", None),
            ("Z7", None),
        ] {
            let event = Event::parse(&format!("2024-03-05T09:15:42.468Z{suffix}|m|c")).unwrap();
            assert_eq!(event.sequence(), sequence, "{suffix}");
            assert_eq!(event.fired(), "2024-03-05T09:15:42.468Z");
            assert_eq!(
                event.key_part(),
                format!("2024-03-05T09:15:42.468Z{suffix}")
            );
        }
    }

    #[test]
    fn fired_is_kept_even_if_it_is_no_time() {
        for (part, fired, at) in [
            (
                "2024-03-05T09:15:42Z1",
                "2024-03-05T09:15:42Z",
                Some(datetime!(2024-03-05 09:15:42 UTC)),
            ),
            (
                "2024-03-05T09:15:42.4Z1",
                "2024-03-05T09:15:42.4Z",
                Some(datetime!(2024-03-05 09:15:42.4 UTC)),
            ),
            ("yesterday", "yesterday", None),
            ("2024-13-05T09:15:42Z1", "2024-13-05T09:15:42Z", None),
            ("Ärger Z1", "Ärger Z", None),
            ("", "", None),
        ] {
            let event = Event::parse(&format!("{part}|m|c")).unwrap();
            assert_eq!((event.fired(), event.fired_at()), (fired, at));
        }
    }

    #[test]
    fn the_pointer_is_optional() {
        for (tail, pointer) in [
            ("", None),
            ("|", None),
            ("|6", None),
            ("|a,b", None),
            ("|-1,2", None),
            ("|0,0", Some((0, 0))),
            ("| 6 , 166 ", Some((6, 166))),
            ("|6,166|more", Some((6, 166))),
            ("|99999999999999999999999,1", None),
        ] {
            assert_eq!(
                Event::parse(&format!("2024-03-05T09:15:42.468Z0217|{MD5}|C{tail}"))
                    .unwrap()
                    .pointer(),
                pointer,
                "{tail}"
            );
        }
    }

    #[test]
    fn the_object_form_is_read_like_the_string_form() {
        let string = read(&format!(
            "\"2024-03-05T09:15:42.468Z0217|{MD5}|ABCD|6,166\""
        ))
        .unwrap();
        for (seqnr, pointer) in [
            ("217", "\"6,166\""),
            ("\"217\"", "[6,166]"),
            ("\"0217\"", "[6,166]"),
        ] {
            let object = read(&format!(
                r#"{{"fired":"2024-03-05T09:15:42.468Z","seqnr":{seqnr},"type":"update","hi":true,"task":"fc_x","pointer":{pointer},"md5":"{MD5}","contact_id":"ABCD"}}"#
            ))
            .unwrap();
            assert_eq!(object, string);
        }
    }

    #[test]
    fn an_object_may_lack_all_but_the_contact() {
        let event = read(r#"{"contact_id":"ABCD","pointer":[1],"seqnr":-3,"fired":null}"#).unwrap();
        assert_eq!(event.contact_id(), "ABCD");
        assert_eq!(
            (
                event.fired(),
                event.md5(),
                event.sequence(),
                event.pointer()
            ),
            ("", "", None, None)
        );
        let event =
            read(r#"{"contact_id":"ABCD","fired":"2024-03-05T09:15:42.468Z0009","seqnr":9}"#)
                .unwrap();
        assert_eq!(
            (event.key_part(), event.sequence()),
            ("2024-03-05T09:15:42.468Z0009", Some(9))
        );
    }

    #[test]
    fn entries_that_name_no_contact_are_refused_without_quoting_them() {
        for (json, reason) in [
            ("\"\"", "it has less than three parts"),
            (
                "\"2024-03-05T09:15:42.468Z0217|secret\"",
                "it has less than three parts",
            ),
            (
                "\"2024-03-05T09:15:42.468Z0217|secret|\"",
                "it names no contact",
            ),
            (
                "\"2024-03-05T09:15:42.468Z0217|secret|  |1,2\"",
                "it names no contact",
            ),
            ("{}", "it names no contact"),
            (r#"{"contact_id":""}"#, "it names no contact"),
            (
                r#"{"contact_id":["secret"]}"#,
                "it is neither a text nor an event object",
            ),
            ("null", "it is neither a text nor an event object"),
            ("17", "it is neither a text nor an event object"),
            ("[\"secret\"]", "it is neither a text nor an event object"),
        ] {
            assert_eq!(
                read(json).unwrap_err(),
                Unusable::Unreadable(reason),
                "{json}"
            );
        }
    }

    #[test]
    fn parts_of_more_than_200_bytes_are_refused() {
        let (fits, longer) = ("x".repeat(200), "x".repeat(201));
        for (one, two, three) in [(&*fits, "m", "C"), ("f", &fits, "C"), ("f", "m", &fits)] {
            assert!(Event::parse(&format!("{one}|{two}|{three}")).is_ok());
        }
        for (one, two, three) in [
            (&*longer, "m", "C"),
            ("f", &longer, "C"),
            ("f", "m", &longer),
        ] {
            let error = Event::parse(&format!("{one}|{two}|{three}")).unwrap_err();
            assert_eq!(error, Unusable::TooLong);
        }
        let object = format!(r#"{{"contact_id":"{longer}"}}"#);
        assert_eq!(read(&object).unwrap_err(), Unusable::TooLong);
    }

    #[test]
    fn escapes_of_json_are_undone() {
        assert_eq!(
            read(r#""2024-03-05T09:15:42.468Z1|m|\u00c4B|1,2""#)
                .unwrap()
                .contact_id(),
            "ÄB"
        );
    }
}
