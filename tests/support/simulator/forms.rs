//! Forms of answers that nobody has seen: other keys, other wrappings, times written in another way.

use serde_json::{Value, json};

use super::counters::Endpoint;
use super::instant::{HOUR, Instant, local, zulu};

/// How a time of firing is written, in an event or in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// As is known: with `Z` in documents, in events with the sequence number behind it.
    Known,
    /// With `Z` and the sequence number.
    Whole,
    /// With `Z` alone.
    Zulu,
    /// Without a zone.
    NoZone,
    /// Without a zone, the sequence number behind the milliseconds.
    NoZoneAndNumber,
    /// With the offset of another zone, and the sequence number.
    Offset,
    /// In another zone, of which nothing is said.
    OtherZone,
    /// To the second, and in events the sequence number.
    Seconds,
    /// Microseconds.
    Micros,
    /// Milliseconds since 1970.
    Epoch,
    /// Day, month, year, and in events the sequence number.
    German,
}

impl TimeForm {
    /// All but the known one.
    pub const ODD: [TimeForm; 10] = [
        TimeForm::Whole,
        TimeForm::Zulu,
        TimeForm::NoZone,
        TimeForm::NoZoneAndNumber,
        TimeForm::Offset,
        TimeForm::OtherZone,
        TimeForm::Seconds,
        TimeForm::Micros,
        TimeForm::Epoch,
        TimeForm::German,
    ];

    /// The text in an event, which tells events of one second apart; `None` for the known form.
    pub fn in_event(self, at: Instant, sequence: u64) -> Option<String> {
        let text = self.text(at, sequence)?;
        Some(match self {
            TimeForm::Seconds => format!("{text}{sequence:04}"),
            TimeForm::German => format!("{text} #{sequence}"),
            _ => text,
        })
    }

    /// Whether events that were fired in the same millisecond differ in it.
    pub fn tells_apart(self) -> bool {
        !matches!(
            self,
            TimeForm::Zulu
                | TimeForm::NoZone
                | TimeForm::OtherZone
                | TimeForm::Micros
                | TimeForm::Epoch
        )
    }

    /// The text in a document; `None` for the known form.
    pub fn text(self, at: Instant, sequence: u64) -> Option<String> {
        let numbered = |text: String| format!("{text}{sequence:04}");
        Some(match self {
            TimeForm::Known => return None,
            TimeForm::Whole => numbered(zulu(at)),
            TimeForm::Zulu => zulu(at),
            TimeForm::NoZone => local(at),
            TimeForm::NoZoneAndNumber => numbered(local(at)),
            TimeForm::Offset => numbered(format!("{}+01:00", local(at + HOUR))),
            TimeForm::OtherZone => local(at + 2 * HOUR),
            TimeForm::Seconds => format!("{}Z", &local(at)[..19]),
            TimeForm::Micros => format!("{}987Z", local(at)),
            TimeForm::Epoch => at.to_string(),
            TimeForm::German => {
                let text = local(at);
                let (year, month, day) = (&text[..4], &text[5..7], &text[8..10]);
                format!("{day}.{month}.{year} {}", &text[11..19])
            }
        })
    }
}

/// The form of whole answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerForm {
    /// As is known.
    Known,
    /// Listings have `items` instead of `results`.
    OtherKey,
    /// The same, and count nothing.
    OtherKeyUncounted,
    /// Every answer is the `data` of an object.
    Data,
    /// Documents are the `contacts` of an object.
    WrappedContacts,
    /// Each document is the `contact` of an object.
    EachWrapped,
    /// Documents have `id` instead of `$id`.
    NoDollar,
    /// Documents are those of other contacts.
    OtherContacts,
    /// Listings count entries and have none.
    CountOnly,
    /// Listings have `next` instead of `cursor`.
    Next,
    /// Entries are objects with unknown keys.
    OtherNames,
    /// Entries name no contact.
    NoContact,
    /// Ids in the list of contacts are in another place.
    Ids,
    /// An error under status 200.
    ErrorInside,
    /// The transactions of most contacts are fired some minutes later than the events say.
    MostLater,
    /// Those of few are.
    FewLater,
    /// Documents have `$taskLog` instead of `$task_log`.
    LogKey,
    /// The log is JSON in a text.
    LogText,
    /// The log is an object with the numbers of its entries.
    LogObject,
    /// The entries of the log have `transaction` instead of `transactions`.
    TransactionKey,
    /// The transactions of an entry are an object with their numbers.
    TransactionsObject,
    /// Transactions have `firedAt` instead of `fired`.
    FiredKey,
    /// Connections are an object with their numbers.
    ConnectionsObject,
    /// Recordings are an object with their numbers.
    RecordingsObject,
    /// The log has nulls in place of its entries.
    LogNulls,
    /// Transactions are numbers.
    TransactionNumbers,
    /// Connections are JSON in a text.
    ConnectionsText,
    /// Connections are numbers.
    ConnectionNumbers,
    /// Transactions have `calls` instead of `connections`.
    ConnectionsKey,
    /// Recordings are JSON in a text.
    RecordingsText,
    /// Connections have `audio` instead of `recordings`.
    RecordingsKey,
    /// Recordings are nulls.
    RecordingNulls,
    /// Connections have `hungUp` instead of `disconnected`.
    DisconnectedKey,
}

impl AnswerForm {
    /// Under which everything works.
    pub const LEGIBLE: [AnswerForm; 2] = [AnswerForm::WrappedContacts, AnswerForm::EachWrapped];

    /// Under which nothing can be read.
    pub const ILLEGIBLE: [AnswerForm; 11] = [
        AnswerForm::OtherKey,
        AnswerForm::OtherKeyUncounted,
        AnswerForm::Data,
        AnswerForm::NoDollar,
        AnswerForm::OtherContacts,
        AnswerForm::CountOnly,
        AnswerForm::Next,
        AnswerForm::OtherNames,
        AnswerForm::NoContact,
        AnswerForm::Ids,
        AnswerForm::ErrorInside,
    ];

    /// Under which documents hold no transaction that could be found.
    pub const WITHOUT_TRANSACTIONS: [AnswerForm; 3] = [
        AnswerForm::LogKey,
        AnswerForm::TransactionKey,
        AnswerForm::FiredKey,
    ];

    /// Under which a list of a document is none.
    pub const NO_LISTS: [AnswerForm; 13] = [
        AnswerForm::LogText,
        AnswerForm::LogObject,
        AnswerForm::TransactionsObject,
        AnswerForm::ConnectionsObject,
        AnswerForm::RecordingsObject,
        AnswerForm::LogNulls,
        AnswerForm::TransactionNumbers,
        AnswerForm::ConnectionsText,
        AnswerForm::ConnectionNumbers,
        AnswerForm::ConnectionsKey,
        AnswerForm::RecordingsText,
        AnswerForm::RecordingsKey,
        AnswerForm::RecordingNulls,
    ];

    /// The body of a right answer in this form.
    pub fn apply(self, endpoint: Endpoint, body: Vec<u8>) -> Vec<u8> {
        let is_list = matches!(
            endpoint,
            Endpoint::List | Endpoint::Events | Endpoint::Inbound
        );
        let text = String::from_utf8(body).unwrap();
        let changed = match (self, endpoint) {
            (AnswerForm::Known, _) => text,
            (AnswerForm::Data, Endpoint::List | Endpoint::Events | Endpoint::Contacts) => {
                format!("{{\"data\":{text}}}")
            }
            (AnswerForm::WrappedContacts, Endpoint::Contacts) => {
                format!("{{\"count\":1,\"contacts\":{text}}}")
            }
            (AnswerForm::EachWrapped, Endpoint::Contacts) => {
                let documents: Vec<&serde_json::value::RawValue> =
                    serde_json::from_str(&text).unwrap();
                let wrapped: Vec<String> = documents
                    .into_iter()
                    .map(|document| format!("{{\"contact\":{document}}}"))
                    .collect();
                format!("[{}]", wrapped.join(","))
            }
            (AnswerForm::NoDollar, Endpoint::Contacts) => text.replace("\"$id\"", "\"_id\""),
            (AnswerForm::OtherContacts, Endpoint::Contacts) => {
                let mut parts = text.split("\"$id\"");
                let first = parts.next().unwrap().to_owned();
                parts.fold(first, |all, part| {
                    all + "\"$id\"" + &part.replacen('"', "\"X", 1)
                })
            }
            (AnswerForm::ErrorInside, _) if is_list => {
                r#"{"count":0,"results":[],"error":{"code":17}}"#.to_owned()
            }
            _ if is_list => self.list(endpoint, &text),
            (_, Endpoint::Contacts) => self.documents(&text),
            _ => text,
        };
        changed.into_bytes()
    }

    fn documents(self, text: &str) -> String {
        let documents: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
        let changed = documents.into_iter().map(|text| {
            let before: Value = serde_json::from_str(&with_marked_numbers(text.get())).unwrap();
            let mut document = before.clone();
            self.document(&mut document);
            // What does not change stays as it was written.
            match document == before {
                true => text.get().to_owned(),
                false => without_marks(&document.to_string()),
            }
        });
        format!("[{}]", changed.collect::<Vec<_>>().join(","))
    }

    fn document(self, document: &mut Value) {
        let last = document["$id"].as_str().and_then(|id| id.chars().last());
        let is_of_few = last.is_some_and(|last| ('A'..='G').contains(&last));
        let entries = |document: &mut Value, each: &mut dyn FnMut(&mut Value)| {
            let entries = document.get_mut("$task_log").and_then(Value::as_array_mut);
            (entries.into_iter().flatten())
                .filter(|entry| entry.is_object())
                .for_each(each);
        };
        let transactions = |document: &mut Value, each: &mut dyn FnMut(&mut Value)| {
            entries(document, &mut |entry| {
                let transactions = entry.get_mut("transactions").and_then(Value::as_array_mut);
                (transactions.into_iter().flatten())
                    .filter(|transaction| transaction.is_object())
                    .for_each(&mut *each);
            });
        };
        let connections = |document: &mut Value, each: &mut dyn FnMut(&mut Value)| {
            transactions(document, &mut |transaction| {
                let calls = transaction
                    .get_mut("connections")
                    .and_then(Value::as_array_mut);
                (calls.into_iter().flatten())
                    .filter(|call| call.is_object())
                    .for_each(&mut *each);
            });
        };
        match self {
            AnswerForm::MostLater | AnswerForm::FewLater
                if is_of_few == (self == AnswerForm::FewLater) =>
            {
                transactions(document, &mut |transaction| {
                    later(&mut transaction["fired"])
                });
            }
            AnswerForm::LogKey => rename(document, "$task_log", "$taskLog"),
            AnswerForm::LogText => in_a_text(document, "$task_log"),
            AnswerForm::LogObject => numbered(document, "$task_log"),
            AnswerForm::TransactionKey => {
                entries(document, &mut |entry| {
                    rename(entry, "transactions", "transaction")
                });
            }
            AnswerForm::TransactionsObject => {
                entries(document, &mut |entry| numbered(entry, "transactions"));
            }
            AnswerForm::FiredKey => {
                transactions(document, &mut |transaction| {
                    rename(transaction, "fired", "firedAt")
                });
            }
            AnswerForm::ConnectionsObject => {
                transactions(document, &mut |transaction| {
                    numbered(transaction, "connections")
                });
            }
            AnswerForm::RecordingsObject => {
                connections(document, &mut |call| numbered(call, "recordings"));
            }
            AnswerForm::LogNulls => replaced(document, "$task_log", &json!(null)),
            AnswerForm::TransactionNumbers => {
                entries(document, &mut |entry| {
                    replaced(entry, "transactions", &json!(4))
                });
            }
            AnswerForm::ConnectionsText => transactions(document, &mut |transaction| {
                in_a_text(transaction, "connections")
            }),
            AnswerForm::ConnectionNumbers => transactions(document, &mut |transaction| {
                replaced(transaction, "connections", &json!(4))
            }),
            AnswerForm::ConnectionsKey => transactions(document, &mut |transaction| {
                rename(transaction, "connections", "calls")
            }),
            AnswerForm::RecordingsText => {
                connections(document, &mut |call| in_a_text(call, "recordings"));
            }
            AnswerForm::RecordingsKey => {
                connections(document, &mut |call| rename(call, "recordings", "audio"));
            }
            AnswerForm::RecordingNulls => connections(document, &mut |call| {
                replaced(call, "recordings", &json!(null))
            }),
            AnswerForm::DisconnectedKey => {
                connections(document, &mut |call| rename(call, "disconnected", "hungUp"));
            }
            _ => {}
        }
    }

    fn list(self, endpoint: Endpoint, text: &str) -> String {
        let mut list: Value = serde_json::from_str(text).unwrap();
        let object = list.as_object_mut().unwrap();
        match self {
            AnswerForm::OtherKey | AnswerForm::OtherKeyUncounted => {
                let results = object.remove("results").unwrap();
                object.insert("items".to_owned(), results);
                if self == AnswerForm::OtherKeyUncounted {
                    object.insert("count".to_owned(), json!(0));
                }
            }
            AnswerForm::CountOnly => {
                object.insert("results".to_owned(), json!([]));
                object.remove("cursor");
            }
            AnswerForm::Next => {
                let cursor = object.remove("cursor").unwrap_or_default();
                object.insert("next".to_owned(), cursor);
            }
            _ => {
                for entry in object["results"].as_array_mut().unwrap() {
                    self.entry(endpoint, entry);
                }
            }
        }
        list.to_string()
    }

    fn entry(self, endpoint: Endpoint, entry: &mut Value) {
        match (self, endpoint) {
            (AnswerForm::OtherNames, Endpoint::Events | Endpoint::List) => {
                *entry = json!({"contactId": "C", "time": "2025-03-10T09:30:00Z"});
            }
            (AnswerForm::NoContact, Endpoint::Events) => {
                let text = entry.as_str().unwrap();
                let parts: Vec<&str> = text.split('|').collect();
                *entry = json!(format!("{}|{}|", parts[0], parts[1]));
            }
            (AnswerForm::NoContact, Endpoint::List) => {
                entry["id"] = json!("");
            }
            (AnswerForm::Ids, Endpoint::List) => {
                *entry = json!({"contact": entry.clone()});
            }
            (AnswerForm::Ids, Endpoint::Events) => {
                *entry = json!([entry.clone()]);
            }
            _ => {}
        }
    }
}

fn rename(object: &mut Value, key: &str, other: &str) {
    let object = object.as_object_mut().unwrap();
    if let Some(value) = object.remove(key) {
        object.insert(other.to_owned(), value);
    }
}

/// The list under `key` becomes an object with the numbers of its elements as keys.
fn numbered(object: &mut Value, key: &str) {
    if let Some(Value::Array(list)) = object.get_mut(key) {
        let elements = std::mem::take(list).into_iter().enumerate();
        let numbered = elements.map(|(number, element)| (number.to_string(), element));
        object[key] = Value::Object(numbered.collect());
    }
}

/// The list under `key` becomes a text.
fn in_a_text(object: &mut Value, key: &str) {
    if object.get(key).is_some_and(Value::is_array) {
        object[key] = json!(object[key].to_string());
    }
}

/// Each element of the list under `key` becomes this one.
fn replaced(object: &mut Value, key: &str, by: &Value) {
    let elements = object.get_mut(key).and_then(Value::as_array_mut);
    elements
        .into_iter()
        .flatten()
        .for_each(|element| element.clone_from(by));
}

/// Begins a text that is a number.
const MARK: char = '\u{1}';

/// Numbers become texts, so that they stay as they are written.
fn with_marked_numbers(json: &str) -> String {
    let (mut out, mut rest) = (String::new(), json);
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '"' => end_of_string(rest),
            '-' | '0'..='9' => rest
                .find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c)))
                .unwrap_or(rest.len()),
            _ => next.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match next {
            '-' | '0'..='9' => out += &format!("{}", json!(format!("{MARK}{token}"))),
            _ => out += token,
        }
        rest = after;
    }
    out
}

/// Takes the marks of [`with_marked_numbers`] away again.
fn without_marks(json: &str) -> String {
    let begin = json!(MARK.to_string()).to_string();
    let begin = begin.trim_end_matches('"');
    let mut parts = json.split(begin);
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| {
        let (number, rest) = part.split_once('"').unwrap();
        all + number + rest
    })
}

/// Length of the string that a text begins with.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Another minute of the same hour.
fn later(fired: &mut Value) {
    if let Some(text) = fired.as_str().filter(|text| text.len() > 16) {
        let minute: u32 = text[14..16].parse().unwrap();
        let later = format!("{}{:02}{}", &text[..14], (minute + 7) % 60, &text[16..]);
        *fired = json!(later);
    }
}
