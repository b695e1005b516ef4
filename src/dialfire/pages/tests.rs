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
