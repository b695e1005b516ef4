//! The documents of contacts, and batches that are refused.

use super::*;

fn two() -> Vec<String> {
    vec!["C1".to_owned(), "C\"2".to_owned()]
}

/// Status and reason of a batch that was refused.
fn refused<T: std::fmt::Debug>(fetched: Fetched<T>) -> (u16, String) {
    match fetched {
        Fetched::RefusedBatch { status, reason } => (status, reason),
        Fetched::Read(..) => panic!("{fetched:?}"),
    }
}

/// Reads an array and counts it.
fn count(text: &str) -> Result<usize, String> {
    serde_json::from_str::<Vec<serde_json::Value>>(text)
        .map(|all| all.len())
        .map_err(|_| "no array".to_owned())
}

#[test]
fn contacts_are_posted_anew_with_each_attempt() {
    let server = Server::start(vec![
        status(500, ""),
        status(503, ""),
        ok("[{"),
        ok(r#"[{"$id":"C1"},null]"#),
    ]);
    let mut seen = Vec::new();
    let fetched = client(&server)
        .contacts(&two(), |text| {
            seen.push(text.to_owned());
            count(text)
        })
        .unwrap();
    assert!(matches!(fetched, Fetched::Read(2, None)));
    assert_eq!(seen, ["[{", r#"[{"$id":"C1"},null]"#]);
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    for request in requests {
        assert!(
            request.starts_with("POST /api/campaigns/CAMP/contacts/?include_md5=true HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request
                .to_ascii_lowercase()
                .contains("\r\ncontent-type: application/json\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with("\r\n\r\n[\"C1\",\"C\\\"2\"]"),
            "{request}"
        );
    }
}

#[test]
fn a_batch_that_is_refused_is_left_to_the_caller() {
    for code in [400, 404, 410, 413, 414, 422] {
        let server = Server::start(vec![status(code, "too many ids")]);
        let fetched = client(&server).contacts(&two(), count).unwrap();
        assert_eq!(
            refused(fetched),
            (code, format!("HTTP {code}: too many ids"))
        );
    }
    let server = Server::start(vec![status(405, "")]);
    let error = client(&server).contacts(&two(), count).unwrap_err();
    assert_eq!(
        text(&error, ErrorKind::Setup),
        "POST contacts: Dialfire refuses the request for campaign CAMP: HTTP 405"
    );
}

#[test]
fn a_batch_that_fails_for_its_content_is_given_up_after_three_attempts() {
    let server = Server::start(vec![
        status(500, ""),
        status(503, ""),
        status(500, ""),
        status(500, "boom"),
    ]);
    let mut patient = setup(&server.url());
    patient.options.retry.attempts = 10;
    let fetched = patient.client().contacts(&two(), count).unwrap();
    assert_eq!(refused(fetched), (500, "HTTP 500: boom".to_owned()));

    let server = Server::start(vec![ok("[{"), ok("{}"), ok("[1")]);
    let fetched = client(&server).contacts(&two(), count).unwrap();
    assert_eq!(refused(fetched), (200, "no array".to_owned()));

    let server = Server::start((0..3).map(|_| ok(&" ".repeat(101))).collect());
    let mut narrow = setup(&server.url());
    narrow.options.limits.body = 100;
    let fetched = narrow.client().contacts(&two(), count).unwrap();
    assert_eq!(
        refused(fetched),
        (200, "the answer is longer than 100 bytes".to_owned())
    );
}

#[test]
fn trouble_on_the_way_does_not_blame_the_batch() {
    let server = Server::start(vec![ok(""), ok("<html>"), status(502, ""), status(503, "")]);
    let error = client(&server).contacts(&two(), count).unwrap_err();
    assert_eq!(
        text(&error, ErrorKind::Transient),
        "POST contacts failed 4 times, the last time: HTTP 503"
    );
}

#[test]
fn wrong_utf8_and_a_byte_order_mark_are_tolerated() {
    let body = b"\xef\xbb\xbf[\"M\xfcller\"]";
    let server = Server::start(vec![Step::Send(answer(200, "Connection: close\r\n", body))]);
    let fetched = client(&server)
        .contacts(&two(), |text| Ok(text.to_owned()))
        .unwrap();
    let Fetched::Read(fetched, None) = fetched else {
        panic!("{fetched:?}");
    };
    assert_eq!(fetched, "[\"M\u{fffd}ller\"]");
}

#[test]
fn half_surrogate_pairs_are_replaced_in_every_answer() {
    let server = Server::start(vec![
        ok(r#"[{"name":"a\ud800b"}]"#),
        ok(r#"{"results":[{"id":"\udc00"},{"id":"\ud83d\ude42"}]}"#),
        ok(r#"{"results":[{"id":"\ud800"}]}"#),
    ]);
    let client = client(&server);
    assert_eq!(client.fields().unwrap()[0].name, "a\u{fffd}b");
    assert_eq!(ids(&client), ["\u{fffd}", "🙂"]);
    let call = client.inbound_calls(None, None).next_page();
    assert_eq!(
        call.unwrap().unwrap().items[0].json.get(),
        r#"{"id":"\ufffd"}"#
    );
}
