//! Cursor paging: a listing of the API, page by page.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::http::json_problem;
use crate::error::Error;

/// Pages in a row that hold nothing but a cursor, after which a listing counts as endless.
const LONGEST_EMPTY_RUN: u32 = 1000;

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
    #[derive(Deserialize)]
    struct Body<'a> {
        count: Option<Value>,
        #[serde(borrow)]
        results: Option<Vec<&'a RawValue>>,
        cursor: Option<Value>,
    }
    let body: Body<'_> = serde_json::from_str(text).map_err(|e| json_problem(&e))?;
    let results = match body.results {
        Some(results) => results,
        None if body.count == Some(Value::from(0)) => Vec::new(),
        None => return Err("not the JSON expected: results are missing".to_owned()),
    };
    let cursor = match body.cursor {
        None => None,
        Some(Value::String(cursor)) => Some(cursor).filter(|c| !c.is_empty()),
        Some(Value::Number(cursor)) => Some(cursor.to_string()),
        Some(_) => return Err("not the JSON expected: the cursor is no text".to_owned()),
    };
    let mut items = Vec::with_capacity(results.len());
    let mut skipped: Option<Skipped> = None;
    for entry in &results {
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
    }
    Ok((
        (
            Page {
                items,
                count: results.len(),
            },
            cursor,
        ),
        skipped,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::error::ErrorKind;

    type Asked = Arc<Mutex<Vec<Option<String>>>>;
    type Script = VecDeque<Result<PageAndCursor<u32>, PageError>>;

    fn page(items: &[u32], cursor: Option<&str>) -> Result<PageAndCursor<u32>, PageError> {
        Ok((
            Page {
                items: items.to_vec(),
                count: items.len(),
            },
            cursor.map(str::to_owned),
        ))
    }

    /// A listing that plays `script`, and the cursors it asks for.
    fn listing(
        script: impl IntoIterator<Item = Result<PageAndCursor<u32>, PageError>>,
    ) -> (Pages<u32>, Asked) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let mut script: Script = script.into_iter().collect();
        let pages = Pages::new("GET things", move |cursor| {
            log.lock().unwrap().push(cursor.map(str::to_owned));
            script.pop_front().expect("no page was to be asked for")
        });
        (pages, asked)
    }

    fn items(pages: &mut Pages<u32>) -> Vec<u32> {
        pages.next_page().unwrap().unwrap().items
    }

    #[test]
    fn pages_are_read_until_there_is_no_cursor() {
        let (mut pages, asked) = listing([
            page(&[1, 2], Some("a")),
            page(&[], Some("b")),
            page(&[3], None),
        ]);
        assert_eq!(items(&mut pages), [1, 2]);
        assert_eq!(items(&mut pages), [0_u32; 0]);
        assert_eq!(items(&mut pages), [3]);
        assert_eq!(pages.next_page().unwrap(), None);
        assert_eq!(pages.next_page().unwrap(), None);
        assert_eq!(
            *asked.lock().unwrap(),
            [None, Some("a".to_owned()), Some("b".to_owned())]
        );
    }

    #[test]
    fn a_failed_page_is_asked_for_again() {
        let failed = PageError::Failed(Error::transient("trouble"));
        let (mut pages, asked) =
            listing([page(&[1], Some("a")), Err(failed.clone()), page(&[2], None)]);
        assert_eq!(items(&mut pages), [1]);
        assert_eq!(pages.next_page().unwrap_err(), failed);
        assert_eq!(items(&mut pages), [2]);
        assert_eq!(
            *asked.lock().unwrap(),
            [None, Some("a".to_owned()), Some("a".to_owned())]
        );
    }

    fn endless(pages: &mut Pages<u32>) -> String {
        let PageError::Failed(error) = pages.next_page().unwrap_err() else {
            panic!("expired")
        };
        assert_eq!(error.kind(), ErrorKind::Transient);
        error.to_string()
    }

    #[test]
    fn a_repeated_cursor_is_an_error_after_its_page() {
        let message = "GET things: endless listing: the server repeats a cursor";
        let (mut pages, _) = listing([page(&[1], Some("a")), page(&[2], Some("a"))]);
        assert_eq!((items(&mut pages), items(&mut pages)), (vec![1], vec![2]));
        assert_eq!(endless(&mut pages), message);
        assert_eq!(endless(&mut pages), message);

        let (mut circle, _) = listing([
            page(&[1], Some("a")),
            page(&[2], Some("b")),
            page(&[3], Some("a")),
        ]);
        for _ in 0..3 {
            items(&mut circle);
        }
        assert_eq!(endless(&mut circle), message);
    }

    #[test]
    fn a_thousand_empty_pages_in_a_row_are_an_error() {
        let names: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
        let script = names
            .iter()
            .enumerate()
            .map(|(n, c)| page(if n == 500 { &[1] } else { &[] }, Some(c.as_str())));
        let (mut pages, asked) = listing(script);
        for _ in 0..1501 {
            items(&mut pages);
        }
        assert_eq!(
            endless(&mut pages),
            "GET things: endless listing: the server sends nothing but empty pages"
        );
        assert_eq!(asked.lock().unwrap().len(), 1501);
    }

    fn numbers(text: &str) -> Result<(PageAndCursor<u32>, Option<Skipped>), String> {
        read_page(text, |entry| {
            serde_json::from_str(entry.get()).map_err(|_| "it is no number".to_owned())
        })
    }

    #[test]
    fn a_page_is_read_with_its_cursor() {
        let (page, skipped) =
            numbers(r#"{"count":2,"results":[7,8],"cursor":"CkQ-_w==","more":{}}"#).unwrap();
        assert_eq!(
            page,
            (
                Page {
                    items: vec![7, 8],
                    count: 2
                },
                Some("CkQ-_w==".to_owned())
            )
        );
        assert_eq!(skipped, None);
    }

    #[test]
    fn the_end_has_no_cursor_in_three_ways() {
        for cursor in ["", r#","cursor":null"#, r#","cursor":"""#] {
            let ((page, next), _) = numbers(&format!(r#"{{"results":[7]{cursor}}}"#)).unwrap();
            assert_eq!((page.items, next), (vec![7], None), "{cursor}");
        }
    }

    #[test]
    fn odd_entries_are_left_out_and_counted() {
        let ((page, _), skipped) =
            numbers(r#"{"count":"x","results":[7,"a",null,8],"cursor":12}"#).unwrap();
        assert_eq!(
            page,
            Page {
                items: vec![7, 8],
                count: 4
            }
        );
        assert_eq!(
            skipped,
            Some(Skipped {
                count: 2,
                first: "it is no number".to_owned()
            })
        );
    }

    #[test]
    fn a_number_as_cursor_is_passed_on_as_text() {
        assert_eq!(
            numbers(r#"{"results":[],"cursor":12}"#).unwrap().0.1,
            Some("12".to_owned())
        );
    }

    #[test]
    fn results_may_be_missing_only_with_a_count_of_nothing() {
        for text in [r#"{"count":0}"#, r#"{"count":0,"results":null}"#] {
            assert_eq!(
                numbers(text).unwrap().0,
                (
                    Page {
                        items: vec![],
                        count: 0
                    },
                    None
                )
            );
        }
        for text in ["{}", r#"{"count":3}"#, r#"{"error":"secret"}"#] {
            assert_eq!(
                numbers(text).unwrap_err(),
                "not the JSON expected: results are missing"
            );
        }
    }

    #[test]
    fn other_answers_are_refused_without_quoting_them() {
        for text in [
            "",
            "null",
            "\"secret\"",
            "<p>secret",
            r#"{"results":["secret""#,
            r#"{"results":{"a":"secret"}}"#,
        ] {
            let reason = numbers(text).unwrap_err();
            assert!(
                reason.starts_with("not the JSON expected: ") && !reason.contains("secret"),
                "{text}: {reason}"
            );
        }
        assert_eq!(
            numbers(r#"{"results":[],"cursor":{}}"#).unwrap_err(),
            "not the JSON expected: the cursor is no text"
        );
    }
}
