//! Pages that end, go on, repeat themselves and expire.

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

impl Entry for u32 {
    fn identity(&self) -> u64 {
        u64::from(*self)
    }
}

type Asked = Arc<Mutex<Vec<Option<String>>>>;
type Script = VecDeque<Result<PageAndCursor<u32>, PageError>>;

fn page(items: &[u32], cursor: Option<&str>) -> Result<PageAndCursor<u32>, PageError> {
    Ok((
        Page {
            items: items.to_vec(),
            count: items.len(),
            claims_entries: !items.is_empty(),
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
    let message = |pages| {
        format!(
            "GET things: endless listing: the server repeats a cursor; it is given up after {pages} pages, and nothing \
             counts as read"
        )
    };
    let (mut pages, _) = listing([page(&[1], Some("a")), page(&[2], Some("a"))]);
    assert_eq!((items(&mut pages), items(&mut pages)), (vec![1], vec![2]));
    assert_eq!(endless(&mut pages), message(2));
    assert_eq!(endless(&mut pages), message(2));

    let (mut circle, _) = listing([
        page(&[1], Some("a")),
        page(&[2], Some("b")),
        page(&[3], Some("a")),
    ]);
    for _ in 0..3 {
        items(&mut circle);
    }
    assert_eq!(endless(&mut circle), message(3));
}

/// New cursors without end, and on each page what these numbers say; how many pages are read, and why no more.
fn pages_read(items_of: impl Fn(usize) -> Vec<u32>) -> (usize, String) {
    let names: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let script = names
        .iter()
        .enumerate()
        .map(|(number, cursor)| page(&items_of(number), (number < 2999).then_some(cursor)));
    let (mut pages, asked) = listing(script);
    loop {
        match pages.next_page() {
            Ok(Some(_)) => {}
            Ok(None) => return (asked.lock().unwrap().len(), String::new()),
            Err(PageError::Failed(error)) => {
                return (asked.lock().unwrap().len(), error.to_string());
            }
            Err(PageError::Expired(error)) => panic!("{error}"),
        }
    }
}

#[test]
fn a_listing_that_brings_nothing_new_is_given_up() {
    let what =
        "GET things: endless listing: the server sends nothing but what it has listed before";
    for (wanted, items_of) in [
        // One entry for ever; two in turn; repeated and empty pages in turn.
        (101, (|_| vec![7]) as fn(usize) -> Vec<u32>),
        (102, |n| vec![u32::try_from(n % 2).unwrap()]),
        (200, |n| if n % 2 == 1 { vec![7] } else { Vec::new() }),
    ] {
        let (read, error) = pages_read(items_of);
        assert!(
            read.abs_diff(wanted) <= 2,
            "{read} pages instead of {wanted}"
        );
        assert!(error.starts_with(what), "{error}");
    }
    // A long tail of known entries is followed where something new comes in between.
    let (read, _) = pages_read(|n| vec![u32::try_from(n / 99).unwrap(); 20]);
    assert_eq!(read, 3000);
}

#[test]
fn entries_are_recognized_across_many_others() {
    let mut known = Known::default();
    let many = u64::try_from(REMEMBERED_ENTRIES).unwrap();
    assert!((0..many).all(|entry| known.insert(entry)));
    assert!((0..many).all(|entry| !known.insert(entry)));
    assert!((many..5 * many).all(|entry| known.insert(entry)));
    assert!(known.young.len() + known.old.len() <= 2 * REMEMBERED_ENTRIES);
}

#[test]
fn a_count_without_entries_is_no_end() {
    let counted = |items: &[u32], cursor| {
        page(items, cursor).map(|(page, cursor)| {
            let claims = Page {
                claims_entries: true,
                ..page
            };
            (claims, cursor)
        })
    };
    let (mut pages, _) = listing([counted(&[], Some("a")), counted(&[], None)]);
    items(&mut pages);
    let error = Error::from(pages.next_page().unwrap_err());
    assert_eq!(
        error.to_string(),
        "GET things: the answer counts entries and lists none"
    );
    // Where it counts those of all pages, the last one may be empty.
    let (mut pages, _) = listing([counted(&[1], Some("a")), counted(&[], None)]);
    items(&mut pages);
    items(&mut pages);
    assert_eq!(pages.next_page().unwrap(), None);
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
    assert!(
        endless(&mut pages)
            .starts_with("GET things: endless listing: the server sends nothing but empty pages; ")
    );
    assert_eq!(asked.lock().unwrap().len(), 1501);
}

fn numbers(text: &str) -> Result<(PageAndCursor<u32>, Option<Skipped>), String> {
    read_page(text, |entry| {
        serde_json::from_str(entry.get()).map_err(|_| Unusable::Unreadable("it is no number"))
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
                count: 2,
                claims_entries: true
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
            count: 4,
            claims_entries: false
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
                    count: 0,
                    claims_entries: false
                },
                None
            )
        );
    }
    for (text, keys) in [
        ("{}", "no keys"),
        (r#"{"count":3}"#, "the keys count"),
        (r#"{"text":"secret"}"#, "the keys text"),
    ] {
        assert_eq!(
            numbers(text).unwrap_err(),
            format!("not the JSON expected: results are missing (there are {keys})")
        );
    }
}

#[test]
fn entries_or_a_cursor_under_another_key_are_no_end() {
    for (text, what) in [
        (r#"{"count":0,"items":[1]}"#, "has a list"),
        (r#"{"count":1,"data":[1],"cursor":"x"}"#, "has a list"),
        (
            r#"{"count":1,"results":[1],"next":"/page/2"}"#,
            "seems to go on",
        ),
        (r#"{"results":[1],"cursor":"","nextCursor":"x"}"#, ""),
        (r#"{"results":[1],"nextPageToken":"x"}"#, "seems to go on"),
        (
            r#"{"results":[1],"cursor":null,"hasMore":true}"#,
            "seems to go on",
        ),
        (
            r#"{"count":0,"results":[],"error":"secret"}"#,
            "has an error",
        ),
    ] {
        if what.is_empty() {
            // An empty cursor is one: that is the end.
            assert!(numbers(text).is_ok(), "{text}");
            continue;
        }
        let error = numbers(text).unwrap_err();
        let wanted = format!("not the JSON expected: the answer {what} under another key");
        assert!(
            error.starts_with(&wanted) && !error.contains("secret"),
            "{error}"
        );
    }
    for text in [
        r#"{"results":[1],"more":{},"total":7,"took":"3 ms"}"#,
        r#"{"count":0,"results":[],"next":null,"error":"","errors":[]}"#,
        r#"{"results":[1],"cursor":"a","next":"b","hasMore":true}"#,
    ] {
        assert!(numbers(text).is_ok(), "{text}");
    }
}

#[test]
fn a_page_of_which_nothing_can_be_read_is_no_page() {
    let error = numbers(r#"{"count":2,"results":[{"Id":"secret"},"b"]}"#).unwrap_err();
    assert_eq!(
        error,
        "not one of the 2 entries of a page can be read; of the first: it is no number (like an object with the keys Id)"
    );
    // What is too long is left out, but not all of a page.
    let read = |text| {
        read_page(text, |entry| match entry.get() {
            "1" => Err(Unusable::TooLong),
            "null" => Err(Unusable::Unreadable("it is no number")),
            other => Ok(other.len()),
        })
    };
    let (_, skipped) = read(r#"{"results":[1,2,1,null]}"#).unwrap();
    assert_eq!(skipped.unwrap().count, 3);
    for text in [r#"{"results":[1,1]}"#, r#"{"results":[1,null]}"#] {
        assert_eq!(
            read(text).unwrap_err(),
            "not one of the 2 entries of a page can be read; of the first: an id or another name in it is longer than 200 \
             bytes (like 9)"
        );
    }
}

#[test]
fn a_cursor_may_have_so_many_bytes_and_not_one_more() {
    let text = |length: usize| format!(r#"{{"results":[],"cursor":"{}"}}"#, "x".repeat(length));
    assert!(numbers(&text(MAX_CURSOR)).is_ok());
    assert_eq!(
        numbers(&text(MAX_CURSOR + 1)).unwrap_err(),
        "a cursor of 8001 bytes, more than 8000"
    );
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
        "not the JSON expected: the cursor is not text"
    );
}

#[test]
fn a_page_of_far_more_entries_than_were_asked_for_is_refused() {
    let read = |count: usize| {
        let text = format!(r#"{{"results":[{}]}}"#, vec!["1"; count].join(","));
        read_page(&text, |entry| Ok(entry.get().to_owned())).map(|((page, _), _)| page.items.len())
    };
    assert_eq!(read(3000), Ok(3000));
    assert_eq!(
        read(3001).unwrap_err(),
        "a page of 3001 entries, although far less were asked for"
    );
}
