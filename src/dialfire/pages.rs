//! Cursor paging: a listing of the API, page by page.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use serde_json::value::RawValue;

use super::http::json_problem;
use super::json::{Document, Value, each_element};
use crate::error::Error;

/// Pages in a row that hold nothing but a cursor, after which a listing counts as endless.
const LONGEST_EMPTY_RUN: u32 = 1000;

/// The most entries of a page: three times as many as are asked for. A page of 64 MB could hold ten million small ones,
/// which take far more memory than they are long.
const MOST_ENTRIES: usize = 3000;

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries that could be read, in their order.
    pub items: Vec<T>,
    /// Number of entries on the page, with those that were left out.
    pub count: usize,
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
    empty_run: u32,
}

enum Next {
    First,
    Cursor(String),
    Endless(&'static str),
    End,
}

impl<T> Pages<T> {
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
            empty_run: 0,
        }
    }

    /// The next page, `None` after the last one.
    ///
    /// # Errors
    /// [`PageError::Expired`] if the cursor is no longer known. [`PageError::Failed`] if the request failed, and if the
    /// listing is endless: a cursor that was there before (the page that brought it is still given out), or a thousand
    /// empty pages in a row. The listing stays where it is, so that the call can be repeated.
    pub fn next_page(&mut self) -> Result<Option<Page<T>>, PageError> {
        let cursor = match &self.next {
            Next::First => None,
            Next::Cursor(cursor) => Some(cursor.as_str()),
            Next::Endless(how) => {
                return Err(PageError::Failed(Error::transient(format!(
                    "{}: endless listing: {how}",
                    self.call
                ))));
            }
            Next::End => return Ok(None),
        };
        let (page, next) = (self.fetch)(cursor)?;
        self.empty_run = if page.count == 0 {
            self.empty_run + 1
        } else {
            0
        };
        self.next = match next {
            None => Next::End,
            Some(cursor) if !self.seen.insert(hash(&cursor)) => {
                Next::Endless("the server repeats a cursor")
            }
            Some(_) if self.empty_run >= LONGEST_EMPTY_RUN => {
                Next::Endless("the server sends nothing but empty pages")
            }
            Some(cursor) => Next::Cursor(cursor),
        };
        Ok(Some(page))
    }
}

/// 8 bytes per page instead of a cursor of hundreds.
fn hash(cursor: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(cursor)
}

/// Entries of a page that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: usize,
    /// What is wrong with the first one.
    pub first: String,
}

/// Reads a page, `{count, results, cursor}`, and each entry with `read_entry`; entries that it refuses are left out.
///
/// `results` may be missing only if `count` is 0: otherwise an error message in JSON would pass as the end of a listing.
/// A cursor that is missing, null or empty is the end.
///
/// # Errors
/// What is wrong with an answer that is no page, without any of its content.
pub fn read_page<T>(
    text: &str,
    mut read_entry: impl FnMut(&RawValue) -> Result<T, String>,
) -> Result<(PageAndCursor<T>, Option<Skipped>), String> {
    let document = Document::parse(text).ok_or_else(|| no_object(text))?;
    let body = document.root();
    let results = match body.get("results") {
        Value::Nested(results) if results.starts_with('[') => results,
        Value::Null if body.get("count") == Value::Number("0") => "[]",
        Value::Null => return Err("not the JSON expected: results are missing".to_owned()),
        _ => return Err("not the JSON expected: the results are no list".to_owned()),
    };
    let cursor = match body.get("cursor") {
        Value::Null => None,
        Value::Text(cursor) => Some(cursor.into_owned()).filter(|c| !c.is_empty()),
        Value::Number(cursor) => Some(cursor.to_owned()),
        _ => return Err("not the JSON expected: the cursor is no text".to_owned()),
    };
    let mut items = Vec::new();
    let mut skipped: Option<Skipped> = None;
    let mut count = 0_usize;
    each_element(results, |entry| {
        count += 1;
        if count > MOST_ENTRIES {
            return;
        }
        match read_entry(entry) {
            Ok(item) => items.push(item),
            Err(reason) => {
                skipped
                    .get_or_insert(Skipped {
                        count: 0,
                        first: reason,
                    })
                    .count += 1
            }
        }
    })
    .map_err(|e| json_problem(&e))?;
    if count > MOST_ENTRIES {
        return Err(format!(
            "a page of {count} entries, although far less were asked for"
        ));
    }
    Ok(((Page { items, count }, cursor), skipped))
}

/// What is wrong with a text that is no JSON object.
fn no_object(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => "not the JSON expected: it is no object".to_owned(),
        Err(error) => json_problem(&error),
    }
}

#[cfg(test)]
mod tests;
