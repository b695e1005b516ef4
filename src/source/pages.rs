//! Cursor paging: a listing of the API, page by page.
//!
//! A listing that brings nothing new any more is given up: by the number of its pages, and by time.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::json::{Document, Object, Value, each_element};
use super::json_error::json_problem;
use super::shape::{keys, shape};
use crate::error::Error;

/// The longest id, event part or checksum in bytes, several times what the API gives. What names something goes into the
/// checkpoint, into the log and into memory by the thousand.
pub const MAX_ID: usize = 200;

/// The longest cursor: a request with a longer one would not be taken.
const MAX_CURSOR: usize = 8_000;

/// Pages in a row that hold nothing at all but a cursor, or nothing that was not listed before: then a listing counts as
/// endless.
const MAX_EMPTY_PAGES: u32 = 1000;
const MAX_REPEATED_PAGES: u32 = 100;

/// The time that a listing may go on without anything new, over several pages.
const MAX_TIME_WITHOUT_NEWS: Duration = Duration::from_secs(1800);
const MIN_PAGES_WITHOUT_NEWS: u32 = 10;

/// Pages of one listing: a hundred million entries in pages of the usual size.
const MAX_PAGES: usize = 100_000;

/// Entries that are remembered to recognize repeated ones: between one and two times as many.
const REMEMBERED_ENTRIES: usize = 50_000;

/// The most entries of a page: three times as many as are asked for. A page of 64 MB could hold ten million small ones,
/// which take far more memory than they are long.
const MAX_ENTRIES: usize = 3000;

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries that could be read, in their order.
    pub items: Vec<T>,
    /// Number of entries on the page, with those that were left out.
    pub count: usize,
    /// Whether the answer speaks of entries: its own `count` is not 0.
    pub claims_entries: bool,
}

/// What a listing lists.
pub trait Entry {
    /// What tells it from other entries, whatever its version.
    fn identity(&self) -> u64;
}

/// The identity of what these texts name together.
pub fn identity(parts: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(parts)
}

/// Why a page could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageError {
    /// The server no longer knows the cursor (400, 404 or 410, the answer to an old one is not documented):
    /// the listing has to be started again.
    Expired(Error),
    /// Everything else. After a [`Transient`](crate::error::ErrorKind::Transient) error the page may be asked for again.
    Failed(Error),
}

impl From<PageError> for Error {
    fn from(error: PageError) -> Error {
        match error {
            PageError::Expired(error) | PageError::Failed(error) => error,
        }
    }
}

/// A page with the cursor of the next one, as the server sent it.
pub type PageAndCursor<T> = (Page<T>, Option<String>);

type Fetch<T> = dyn FnMut(Option<&str>) -> Result<PageAndCursor<T>, PageError> + Send;

/// A listing. Holds one cursor, no page.
pub struct Pages<T> {
    call: String,
    fetch: Box<Fetch<T>>,
    next: Next,
    /// Hashes of the cursors of this listing.
    seen: HashSet<u64>,
    known: Known,
    pages: usize,
    entries: usize,
    claims_entries: bool,
    /// Pages since the last one with a new entry: empty ones, and others.
    empty_run: u32,
    repeated_run: u32,
    last_news: Instant,
}

enum Next {
    First,
    Cursor(String),
    Endless(&'static str),
    End,
}

/// The entries listed last, of which the older half is forgotten when there are too many.
#[derive(Default)]
struct Known {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Known {
    /// Remembers an entry; whether it is a new one.
    fn insert(&mut self, entry: u64) -> bool {
        if self.young.len() >= REMEMBERED_ENTRIES {
            self.old = std::mem::take(&mut self.young);
        }
        let is_new = !self.old.contains(&entry);
        self.young.insert(entry) && is_new
    }
}

impl<T: Entry> Pages<T> {
    /// A listing whose pages `fetch` gets for a cursor; `call` names it in messages.
    pub fn new(
        call: &str,
        fetch: impl FnMut(Option<&str>) -> Result<PageAndCursor<T>, PageError> + Send + 'static,
    ) -> Pages<T> {
        Pages {
            call: call.to_owned(),
            fetch: Box::new(fetch),
            next: Next::First,
            seen: HashSet::new(),
            known: Known::default(),
            pages: 0,
            entries: 0,
            claims_entries: false,
            empty_run: 0,
            repeated_run: 0,
            last_news: Instant::now(),
        }
    }

    /// The next page, `None` after the last one.
    ///
    /// # Errors
    /// [`PageError::Expired`] if the cursor is no longer known. [`PageError::Failed`] if the request failed, if the answer
    /// counts entries that the listing does not have, and if the listing is endless: a cursor that was there before (the
    /// page that brought it is still given out), or many pages without a new entry. The listing stays where it is, so that
    /// the call can be repeated.
    pub fn next_page(&mut self) -> Result<Option<Page<T>>, PageError> {
        let cursor = match &self.next {
            Next::First => None,
            Next::Cursor(cursor) => Some(cursor.as_str()),
            Next::Endless(how) => {
                return Err(PageError::Failed(Error::transient(format!(
                    "{}: endless listing: {how}; it is given up after {} pages, and nothing counts as read",
                    self.call, self.pages
                ))));
            }
            Next::End => return Ok(None),
        };
        let (page, next) = (self.fetch)(cursor)?;
        self.pages += 1;
        self.entries += page.count;
        self.claims_entries |= page.claims_entries;
        if next.is_none() && self.entries == 0 && self.claims_entries {
            return Err(PageError::Failed(Error::transient(format!(
                "{}: the answer counts entries and lists none",
                self.call
            ))));
        }
        let mut has_news = false;
        for item in &page.items {
            has_news |= self.known.insert(item.identity());
        }
        if has_news {
            (self.empty_run, self.repeated_run) = (0, 0);
            self.last_news = Instant::now();
        } else if page.count == 0 {
            self.empty_run += 1;
        } else {
            self.repeated_run += 1;
        }
        self.next = match next {
            None => Next::End,
            Some(cursor) if !self.seen.insert(identity(&cursor)) => {
                Next::Endless("the server repeats a cursor")
            }
            Some(cursor) => match self.without_end() {
                Some(how) => Next::Endless(how),
                None => Next::Cursor(cursor),
            },
        };
        Ok(Some(page))
    }

    /// Why the listing is not followed any further.
    fn without_end(&self) -> Option<&'static str> {
        if self.empty_run >= MAX_EMPTY_PAGES {
            return Some("the server sends nothing but empty pages");
        }
        if self.repeated_run >= MAX_REPEATED_PAGES {
            return Some("the server sends nothing but what it has listed before");
        }
        if self.empty_run + self.repeated_run >= MIN_PAGES_WITHOUT_NEWS
            && self.last_news.elapsed() >= MAX_TIME_WITHOUT_NEWS
        {
            return Some("for half an hour the server has listed nothing new");
        }
        (self.pages >= MAX_PAGES).then_some("it has more pages than any campaign")
    }
}

/// Entries of a page that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: usize,
    /// What is wrong with the first one.
    pub first: String,
}

/// Why an entry of a page is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It is not what such an entry should be.
    Unreadable(&'static str),
    /// Its id, or another part that names something, is too long.
    TooLong,
}

/// A text that names something, if it is not too long.
///
/// # Errors
/// [`Unusable::TooLong`].
pub fn name(text: &str) -> Result<&str, Unusable> {
    match text.len() {
        0..=MAX_ID => Ok(text),
        _ => Err(Unusable::TooLong),
    }
}

/// Reads a page, `{count, results, cursor}`, and each entry with `read_entry`; entries that it refuses are left out.
///
/// `results` may be missing only if `count` is 0: otherwise an error message in JSON would pass as the end of a listing.
/// A cursor that is missing, null or empty is the end.
///
/// # Errors
/// What is wrong with an answer that is no page, or one of whose entries not one can be read, without any of its content.
pub fn read_page<T>(
    text: &str,
    mut read_entry: impl FnMut(&RawValue) -> Result<T, Unusable>,
) -> Result<(PageAndCursor<T>, Option<Skipped>), String> {
    let document = Document::parse(text).ok_or_else(|| no_object(text))?;
    let body = document.root();
    refuse_other_forms(&body)?;
    let claims_entries = match body.get("count") {
        Value::Number(count) => count.parse::<f64>().is_ok_and(|count| count > 0.0),
        _ => false,
    };
    let results = match body.get("results") {
        Value::Nested(results) if results.starts_with('[') => results,
        Value::Null if body.get("count") == Value::Number("0") => "[]",
        Value::Null => {
            return Err(format!(
                "not the JSON expected: results are missing (there are {})",
                keys(&body)
            ));
        }
        _ => return Err("not the JSON expected: the results are no list".to_owned()),
    };
    let cursor = match body.get("cursor") {
        Value::Null => None,
        Value::Text(cursor) => Some(cursor.into_owned()).filter(|c| !c.is_empty()),
        Value::Number(cursor) => Some(cursor.to_owned()),
        _ => return Err("not the JSON expected: the cursor is not text".to_owned()),
    };
    if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.len() > MAX_CURSOR) {
        return Err(format!(
            "a cursor of {} bytes, more than {MAX_CURSOR}",
            cursor.len()
        ));
    }
    let mut items = Vec::new();
    let mut skipped: Option<Skipped> = None;
    let mut example: Option<String> = None;
    let mut count = 0_usize;
    each_element(results, |entry| {
        count += 1;
        if count > MAX_ENTRIES {
            return;
        }
        let first = match read_entry(entry) {
            Ok(item) => return items.push(item),
            Err(Unusable::TooLong) => {
                format!("an id or another name in it is longer than {MAX_ID} bytes")
            }
            Err(Unusable::Unreadable(why)) => why.to_owned(),
        };
        example.get_or_insert_with(|| format!("{first} (like {})", shape(entry)));
        skipped.get_or_insert(Skipped { count: 0, first }).count += 1;
    })
    .map_err(|e| json_problem(&e))?;
    if count > MAX_ENTRIES {
        return Err(format!(
            "a page of {count} entries, although far less were asked for"
        ));
    }
    if let Some(example) = example
        && items.is_empty()
    {
        return Err(format!(
            "not one of the {count} entries of a page can be read; of the first: {example}"
        ));
    }
    let page = Page {
        items,
        count,
        claims_entries,
    };
    Ok(((page, cursor), skipped))
}

/// What says that there is more, or something else, than is read here: it would pass as the end of a listing.
fn refuse_other_forms(body: &Object<'_>) -> Result<(), String> {
    let is_empty = |value: &Value<'_>| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Text(text) => text.is_empty(),
        Value::Nested(json) => matches!(*json, "[]" | "{}"),
        Value::Number(_) | Value::Bool(true) => false,
    };
    // Looked up once: an object may have very many keys.
    let no_results = body.get("results") == Value::Null;
    let no_cursor = body.get("cursor") == Value::Null;
    for (key, value) in body.entries() {
        if matches!(&*key, "count" | "results" | "cursor") || is_empty(&value) {
            continue;
        }
        let key = key.to_ascii_lowercase();
        let lists = matches!(&value, Value::Nested(json) if json.starts_with('['));
        let problem = if matches!(&*key, "error" | "errors" | "exception") {
            "has an error"
        } else if lists && no_results {
            "has a list"
        } else if no_cursor
            && [
                "cursor",
                "next",
                "pagetoken",
                "page_token",
                "hasmore",
                "has_more",
            ]
            .iter()
            .any(|word| key.contains(word))
        {
            "seems to go on"
        } else {
            continue;
        };
        return Err(format!(
            "not the JSON expected: the answer {problem} under another key (there are {})",
            keys(body)
        ));
    }
    Ok(())
}

/// What is wrong with a text that is no JSON object.
fn no_object(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => "not the JSON expected: it is not an object".to_owned(),
        Err(error) => json_problem(&error),
    }
}

#[cfg(test)]
mod tests;
