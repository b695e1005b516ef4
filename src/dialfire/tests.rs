//! Tests of the client against a scripted server on this computer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use time::macros::{date, datetime};

use super::client::{Client, EventQuery, Fetched, Listed, Options};
use super::http::Limits;
use super::pages::PageError;
use super::retry::{Pause, RetryPolicy};
use super::scripted::{Server, Step, answer, ok, status};
use crate::cli::settings::Secret;
use crate::error::{Error, ErrorKind};
use crate::tls::Roots;

const TOKEN: &str = "tok-SECRET_0123456789";
const LISTING: &str = "/api/campaigns/CAMP/contacts/list?limit=1000";

/// A client whose waits are recorded instead of waited, and as long as they can be.
struct Setup {
    options: Options,
    waits: Arc<Mutex<Vec<Duration>>>,
}

fn setup(url: &str) -> Setup {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&waits);
    let pause = Pause {
        sleep: Arc::new(move |wait| {
            record.lock().unwrap().push(wait);
            Ok(())
        }),
        random: Arc::new(|| u64::MAX),
    };
    let options = Options {
        api_url: url.to_owned(),
        campaign: "CAMP".to_owned(),
        token: Secret::new(TOKEN),
        roots: Roots::load(None).unwrap(),
        proxy: None,
        limits: Limits {
            total: Duration::from_secs(20),
            ..Limits::default()
        },
        retry: RetryPolicy {
            attempts: 4,
            ..RetryPolicy::default()
        },
        pause,
    };
    Setup { options, waits }
}

impl Setup {
    fn client(self) -> Client {
        Client::new(self.options).unwrap()
    }
}

fn client(server: &Server) -> Client {
    setup(&server.url()).client()
}

/// The text of an error of this kind, after a look for secrets in it.
fn text(error: &Error, kind: ErrorKind) -> String {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!error.to_string().contains("SECRET"), "{error}");
    error.to_string()
}

fn failed(result: Result<impl std::fmt::Debug, PageError>) -> Error {
    match result.unwrap_err() {
        PageError::Failed(error) => error,
        PageError::Expired(error) => panic!("expired: {error}"),
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ids(client: &Client) -> Vec<String> {
    client
        .contact_list(None)
        .next_page()
        .unwrap()
        .unwrap()
        .items
        .into_iter()
        .map(|listed| listed.id)
        .collect()
}

const ONE: &str = r#"{"count":1,"results":[{"id":"C1","md5":"m1"}]}"#;

#[test]
fn a_request_carries_the_token_and_says_who_asks() {
    let server = Server::start(vec![ok(ONE)]);
    // By name, so that the look-up takes part.
    let client = setup(&format!("http://localhost:{}", server.port())).client();
    assert_eq!(ids(&client), ["C1"]);
    let request = server.requests()[0].to_ascii_lowercase();
    assert!(
        request.starts_with(&format!(
            "get {} http/1.1\r\n",
            LISTING.to_ascii_lowercase()
        )),
        "{request}"
    );
    for header in [
        format!(
            "\r\nauthorization: bearer {}\r\n",
            TOKEN.to_ascii_lowercase()
        ),
        format!("\r\nuser-agent: dbsync2/{}\r\n", env!("CARGO_PKG_VERSION")),
        "\r\naccept-encoding: gzip\r\n".to_owned(),
    ] {
        assert!(request.contains(&header), "{header} in {request}");
    }
}

#[test]
fn trouble_of_the_server_is_waited_out() {
    let server = Server::start(vec![
        status(500, "oops"),
        status(503, ""),
        status(408, ""),
        ok(ONE),
    ]);
    let setup = setup(&server.url());
    let waits = Arc::clone(&setup.waits);
    let client = setup.client();
    assert_eq!(ids(&client), ["C1"]);
    assert_eq!(*waits.lock().unwrap(), [secs(1), secs(2), secs(4)]);
    assert_eq!(client.traffic().requests, 4);
    assert_eq!(client.traffic().bytes, 4 + ONE.len() as u64);
}

#[test]
fn the_last_attempt_gives_a_transient_error_that_names_call_and_reason() {
    let page = format!(
        "<html>\r\n<h1>Bad\tgateway</h1> Bearer {TOKEN} {}",
        "x".repeat(300)
    );
    let server = Server::start((0..4).map(|_| status(502, &page)).collect());
    let error = failed(client(&server).contact_list(None).next_page());
    let text = text(&error, ErrorKind::Transient);
    let begin = "GET contacts/list failed 4 times, the last time: HTTP 502: <html> <h1>Bad gateway</h1> Bearer (secret) xxx";
    assert!(text.starts_with(begin) && text.ends_with("xx…"), "{text}");
    let head = "GET contacts/list failed 4 times, the last time: HTTP 502: ";
    assert_eq!(text.chars().count(), head.len() + 200 + 1);
}

#[test]
fn a_json_error_body_is_not_quoted() {
    let server = Server::start(
        (0..4)
            .map(|_| status(500, r#"{"contact":"SECRET"}"#))
            .collect(),
    );
    let error = failed(client(&server).contact_list(None).next_page());
    assert_eq!(
        text(&error, ErrorKind::Transient),
        "GET contacts/list failed 4 times, the last time: HTTP 500"
    );
}

#[test]
fn retry_after_is_honoured() {
    let in_seconds = answer(429, "Retry-After: 30\r\nConnection: close\r\n", "slow down");
    let as_date = answer(
        503,
        "Retry-After: Tue, 05 Mar 2024 09:16:42 GMT\r\nConnection: close\r\n",
        "",
    );
    let server = Server::start(vec![Step::Send(in_seconds), Step::Send(as_date), ok(ONE)]);
    let setup = setup(&server.url());
    let waits = Arc::clone(&setup.waits);
    assert_eq!(ids(&setup.client()), ["C1"]);
    assert_eq!(*waits.lock().unwrap(), [secs(31), secs(62)]);
}

#[test]
fn a_connection_that_is_reset_or_refused_is_tried_again() {
    let server = Server::start(vec![Step::Reset, ok(ONE)]);
    let client = client(&server);
    assert_eq!(ids(&client), ["C1"]);
    let error = failed(client.contact_list(None).next_page());
    let text = text(&error, ErrorKind::Transient);
    let start = format!(
        "GET contacts/list failed 4 times, the last time: cannot connect to {}: Connection refused",
        server.url()
    );
    assert!(text.starts_with(&start), "{text}");
}

#[test]
fn answers_with_status_200_that_are_no_listing_are_tried_again() {
    let cut_by_length =
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{\"results\":["
            .to_vec();
    for (bad, reason) in [
        (
            ok(&ONE[..30]),
            "not the JSON expected: it ends too early at line 1 column 30",
        ),
        (
            Step::Send(cut_by_length),
            "the server closed the connection before the end of its answer",
        ),
        (
            ok("<!DOCTYPE html><title>Log in</title>"),
            "a web page instead of JSON: <!DOCTYPE html><title>Log in</title>",
        ),
        (ok(""), "the answer is empty"),
        (ok("  \r\n"), "the answer is empty"),
        (
            ok(r#"{"results":"SECRET"}"#),
            "not the JSON expected: the results are no list",
        ),
        (
            ok(r#"{"error":"SECRET"}"#),
            "not the JSON expected: results are missing",
        ),
        (
            ok("SECRET"),
            "not the JSON expected: wrong syntax at line 1 column 1",
        ),
    ] {
        let server = Server::start(vec![bad]);
        let mut alone = setup(&server.url());
        alone.options.retry.attempts = 1;
        let error = failed(alone.client().contact_list(None).next_page());
        assert_eq!(
            text(&error, ErrorKind::Transient),
            format!("GET contacts/list failed 1 times, the last time: {reason}")
        );
    }
    let server = Server::start(vec![ok(&ONE[..30]), ok("<html>"), ok(""), ok(ONE)]);
    assert_eq!(ids(&client(&server)), ["C1"]);
}

#[test]
fn a_slow_drip_ends_at_the_time_limit() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
    let drip = Step::Repeat {
        head,
        piece: b" ".to_vec(),
        pause: Duration::from_millis(20),
    };
    let server = Server::start(vec![drip, ok(ONE)]);
    let mut setup = setup(&server.url());
    setup.options.limits.total = Duration::from_millis(400);
    setup.options.retry.attempts = 1;
    let client = setup.client();
    let begin = Instant::now();
    let error = failed(client.contact_list(None).next_page());
    assert_eq!(
        text(&error, ErrorKind::Transient),
        "GET contacts/list failed 1 times, the last time: no complete answer within 0.4 s"
    );
    assert!(
        begin.elapsed() >= Duration::from_millis(400) && begin.elapsed() < secs(10),
        "{:?}",
        begin.elapsed()
    );
    assert!(client.traffic().bytes > 0);
    assert_eq!(ids(&client), ["C1"]);
}

#[test]
fn an_endless_body_ends_at_the_size_limit() {
    let endless = || Step::Repeat {
        head: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(),
        piece: vec![b' '; 1000],
        pause: Duration::ZERO,
    };
    let announced =
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\nConnection: close\r\n\r\n".to_vec();
    let server = Server::start(vec![endless(), Step::Send(announced), ok(ONE)]);
    let mut setup = setup(&server.url());
    setup.options.limits.body = 5000;
    setup.options.retry.attempts = 1;
    let client = setup.client();
    for _ in 0..2 {
        let error = failed(client.contact_list(None).next_page());
        assert_eq!(
            text(&error, ErrorKind::Transient),
            "GET contacts/list failed 1 times, the last time: the answer is longer than 5000 bytes"
        );
    }
    assert_eq!(client.traffic().bytes, 5000);
    assert_eq!(ids(&client), ["C1"]);
}

#[test]
fn a_refused_token_is_said_at_once() {
    for (code, body) in [(403, "403 - Forbidden"), (401, "")] {
        let server = Server::start(vec![status(code, body)]);
        let setup = setup(&server.url());
        let waits = Arc::clone(&setup.waits);
        let error = setup.client().fields().unwrap_err();
        let said = if body.is_empty() {
            String::new()
        } else {
            format!(": {body}")
        };
        assert_eq!(
            text(&error, ErrorKind::Refused),
            format!(
                "GET fields/list: Dialfire refuses access to campaign CAMP: HTTP {code}{said} (check --c and --ct)"
            )
        );
        assert!(waits.lock().unwrap().is_empty());
    }
}

#[test]
fn a_redirect_is_not_followed_and_the_token_goes_nowhere() {
    let elsewhere = Server::start(vec![ok(ONE)]);
    let location = format!(
        "Location: {}/api?t={TOKEN}\r\nConnection: close\r\n",
        elsewhere.url()
    );
    for code in [301, 302, 307, 308] {
        let server = Server::start(vec![Step::Send(answer(code, &location, "moved"))]);
        let error = failed(client(&server).contact_list(None).next_page());
        assert_eq!(
            text(&error, ErrorKind::Setup),
            format!(
                "GET contacts/list: the server answers HTTP {code} and points to {}/api?t=(secret), where the token is not sent (check --api-url)",
                elsewhere.url()
            )
        );
    }
    assert_eq!(elsewhere.requests(), [""; 0]);
}

#[test]
fn a_gzip_answer_is_unpacked() {
    // {"count":1,"results":[{"id":"C1","md5":"m1"}]} by gzip.
    const PACKED: [u8; 64] = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 171, 86, 74, 206, 47, 205, 43, 81, 178, 50, 212, 81, 42,
        74, 45, 46, 205, 41, 41, 86, 178, 138, 174, 86, 202, 76, 81, 178, 82, 114, 54, 84, 210, 81,
        202, 77, 49, 5, 50, 115, 13, 149, 106, 99, 107, 1, 107, 139, 44, 122, 46, 0, 0, 0,
    ];
    let headers = "Content-Encoding: gzip\r\nConnection: close\r\n";
    let server = Server::start(vec![
        Step::Send(answer(200, headers, &PACKED[..40])),
        Step::Send(answer(200, headers, PACKED)),
    ]);
    let client = client(&server);
    assert_eq!(ids(&client), ["C1"]);
    assert_eq!(client.traffic().requests, 2);
}

#[test]
fn the_clock_follows_the_date_of_good_answers() {
    let later = answer(
        200,
        "Date: Tue, 05 Mar 2024 10:00:00 GMT\r\nConnection: close\r\n",
        ONE,
    );
    let of_a_proxy = answer(
        502,
        "Date: Sun, 06 Nov 2044 08:49:37 GMT\r\nConnection: close\r\n",
        "",
    );
    let server = Server::start(vec![ok(ONE), Step::Send(of_a_proxy), Step::Send(later)]);
    let client = client(&server);
    assert_eq!(client.clock().last_answer_time(), None);
    ids(&client);
    assert_eq!(
        client.clock().last_answer_time(),
        Some(datetime!(2024-03-05 09:15:42 UTC))
    );
    ids(&client);
    assert_eq!(
        client.clock().last_answer_time(),
        Some(datetime!(2024-03-05 10:00:00 UTC))
    );
    let now = client.clock().now();
    assert!(
        now >= datetime!(2024-03-05 10:00:00 UTC) && now < datetime!(2024-03-05 10:01:00 UTC),
        "{now}"
    );
}

#[test]
fn without_a_date_the_local_clock_is_used() {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{ONE}",
        ONE.len()
    );
    let server = Server::start(vec![Step::Send(head.into_bytes())]);
    let client = client(&server);
    let before = time::OffsetDateTime::now_utc();
    ids(&client);
    let seen = client.clock().last_answer_time().unwrap();
    assert!(
        seen >= before && seen <= time::OffsetDateTime::now_utc(),
        "{seen}"
    );
}

#[test]
fn told_to_stop_while_waiting_ends_the_call() {
    let server = Server::start(vec![status(500, "")]);
    let mut setup = setup(&server.url());
    setup.options.pause = Pause::new(|_| Err(Error::stopped()));
    assert_eq!(setup.client().fields().unwrap_err(), Error::stopped());
}

#[test]
fn shutting_down_breaks_off_a_request() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
    let server = Server::start(vec![Step::Repeat {
        head,
        piece: b" ".to_vec(),
        pause: Duration::from_millis(5),
    }]);
    let mut setup = setup(&server.url());
    setup.options.pause = Pause::new(|_| Err(Error::stopped()));
    let client = setup.client();
    let worker = {
        let client = client.clone();
        std::thread::spawn(move || client.fields())
    };
    while server.requests().is_empty() {
        std::thread::yield_now();
    }
    let begin = Instant::now();
    client.shut_down();
    assert_eq!(worker.join().unwrap().unwrap_err(), Error::stopped());
    assert!(begin.elapsed() < secs(10));
}

#[test]
fn a_pooled_connection_is_used_again_and_a_dead_one_is_not() {
    let server = Server::start(vec![
        Step::SendAndKeep(answer(200, "", ONE)),
        Step::Send(answer(200, "", ONE)),
        ok(ONE),
    ]);
    let setup = setup(&server.url());
    let waits = Arc::clone(&setup.waits);
    let client = setup.client();
    for _ in 0..3 {
        assert_eq!(ids(&client), ["C1"]);
    }
    assert!(
        waits.lock().unwrap().len() <= 1,
        "at most the race between the close and the third request"
    );
}

#[test]
fn contacts_are_listed_page_by_page() {
    let first = r#"{"count":4,"results":[{"id":"C1","md5":"m1"},{"id":17,"md5":5},{"md5":"m"},{"id":"C3","md5":null}],"cursor":"CkQ-_w+1&x=="}"#;
    let last = r#"{"count":1,"results":[{"id":"C4"}],"cursor":""}"#;
    let server = Server::start(vec![ok(first), ok(last)]);
    let client = client(&server);
    let mut pages = client.contact_list(Some(date!(2024 - 03 - 05)));
    let page = pages.next_page().unwrap().unwrap();
    let listed = |id: &str, md5: Option<&str>| Listed {
        id: id.to_owned(),
        md5: md5.map(str::to_owned),
    };
    assert_eq!(
        page.items,
        [
            listed("C1", Some("m1")),
            listed("17", Some("5")),
            listed("C3", None)
        ]
    );
    assert_eq!((page.count, client.traffic().skipped), (4, 1));
    assert_eq!(
        pages.next_page().unwrap().unwrap().items,
        [listed("C4", None)]
    );
    assert_eq!(pages.next_page().unwrap(), None);
    assert_eq!(
        server.lines(),
        [
            format!("GET {LISTING}&changedSince=2024-03-05"),
            format!("GET {LISTING}&changedSince=2024-03-05&cursor=CkQ-_w%2B1%26x=="),
        ]
    );
}

#[test]
fn an_expired_cursor_is_told_apart() {
    for code in [400, 404, 410] {
        let server = Server::start(vec![
            ok(r#"{"results":[],"cursor":"old"}"#),
            status(code, "gone"),
        ]);
        let mut pages = client(&server).contact_list(None);
        pages.next_page().unwrap();
        let PageError::Expired(error) = pages.next_page().unwrap_err() else {
            panic!("not expired")
        };
        assert_eq!(
            text(&error, ErrorKind::Transient),
            format!("GET contacts/list: the server no longer knows the cursor: HTTP {code}: gone")
        );
    }
}

#[test]
fn a_4xx_without_a_cursor_is_for_the_admin() {
    for (code, message) in [
        (
            404,
            "GET contacts/list: Dialfire knows no campaign CAMP: HTTP 404: what? (check --c and --api-url)",
        ),
        (
            400,
            "GET contacts/list: Dialfire refuses the request for campaign CAMP: HTTP 400: what?",
        ),
    ] {
        let server = Server::start(vec![status(code, "what?")]);
        assert_eq!(
            text(
                &failed(client(&server).contact_list(None).next_page()),
                ErrorKind::Setup
            ),
            message
        );
    }
}

#[test]
fn a_repeated_cursor_ends_the_listing() {
    let page = r#"{"results":[],"cursor":"again"}"#;
    let server = Server::start(vec![ok(page), ok(page)]);
    let mut pages = client(&server).contact_list(None);
    pages.next_page().unwrap();
    pages.next_page().unwrap();
    assert_eq!(
        text(&failed(pages.next_page()), ErrorKind::Transient),
        "GET contacts/list: endless listing: the server repeats a cursor"
    );
}

#[test]
fn events_are_asked_for_by_window_type_and_task() {
    let first = r#"{"results":["2024-03-05T09:15:42.468Z0217|m|C1|6,166","odd"],"cursor":"n"}"#;
    let server = Server::start(vec![
        ok(first),
        ok(r#"{"count":0}"#),
        ok(r#"{"results":[]}"#),
    ]);
    let client = client(&server);
    let mut pages = client.events(&EventQuery {
        from: datetime!(2024-03-05 09:13:42.050 UTC),
        to: Some(datetime!(2024-03-05 09:15:42 UTC)),
        updates_only: true,
        tasks: vec!["fc_".to_owned(), "Größe & mehr".to_owned()],
    });
    let page = pages.next_page().unwrap().unwrap();
    assert_eq!(
        (page.items.len(), page.count, client.traffic().skipped),
        (1, 2, 1)
    );
    assert_eq!(
        (page.items[0].contact_id.as_str(), page.items[0].sequence),
        ("C1", Some(217))
    );
    assert_eq!(pages.next_page().unwrap().unwrap().count, 0);
    let all = EventQuery {
        from: datetime!(2024-03-05 00:00 UTC),
        to: None,
        updates_only: false,
        tasks: Vec::new(),
    };
    client.events(&all).next_page().unwrap();
    let base = "GET /api/campaigns/CAMP/contacts/transactions/?from=";
    let window = "2024-03-05T09:13:42.05&to=2024-03-05T09:15:42&type=update&tasks=fc_,Gr%C3%B6%C3%9Fe%20%26%20mehr&limit=1000";
    assert_eq!(
        server.lines(),
        [
            format!("{base}{window}"),
            format!("{base}{window}&cursor=n"),
            format!("{base}2024-03-05T00:00:00&limit=1000")
        ]
    );
}

#[test]
fn inbound_calls_come_as_they_were_written() {
    let call = r#"{"id":"I1", "connectable_time": 1.50}"#;
    let page = format!(r#"{{"count":1,"results":[{call}]}}"#);
    let server = Server::start(vec![ok(&page), ok(&page)]);
    let client = client(&server);
    let page = client
        .inbound_calls(None, None)
        .next_page()
        .unwrap()
        .unwrap();
    assert_eq!(page.items[0].get(), call);
    let from = Some(datetime!(2024-03-05 09:13:42 UTC));
    client
        .inbound_calls(from, Some(datetime!(2024-03-05 09:15:42.5 UTC)))
        .next_page()
        .unwrap();
    let base = "GET /api/campaigns/CAMP/inbound/calls/?limit=1000";
    assert_eq!(
        server.lines(),
        [
            base.to_owned(),
            format!("{base}&from=2024-03-05T09:13:42&to=2024-03-05T09:15:42.5")
        ]
    );
}

#[test]
fn fields_are_read_from_the_campaign_where_there_is_no_list() {
    let list = r#"[{"type":"field","name":"a","fieldType":"number"}]"#;
    let campaign = r#"{"form":{"elements":[{"type":"field","name":"b","fieldType":"text"}]}}"#;
    let server = Server::start(vec![
        ok(list),
        status(404, ""),
        ok(campaign),
        status(404, ""),
        status(404, "unknown"),
    ]);
    let client = client(&server);
    let names = || {
        client.fields().map(|fields| {
            fields
                .into_iter()
                .map(|field| field.name)
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(names().unwrap(), ["a"]);
    assert_eq!(names().unwrap(), ["b"]);
    assert_eq!(
        text(&names().unwrap_err(), ErrorKind::Setup),
        "GET campaign: Dialfire knows no campaign CAMP: HTTP 404: unknown (check --c and --api-url)"
    );
    assert_eq!(
        server.lines()[1..3],
        [
            "GET /api/campaigns/CAMP/fields/list",
            "GET /api/campaigns/CAMP"
        ]
    );
}

fn two() -> Vec<String> {
    vec!["C1".to_owned(), "C\"2".to_owned()]
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
    assert_eq!(fetched, Fetched::Read(2));
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
            fetched,
            Fetched::RefusedBatch {
                status: code,
                reason: format!("HTTP {code}: too many ids")
            }
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
    assert_eq!(
        fetched,
        Fetched::RefusedBatch {
            status: 500,
            reason: "HTTP 500: boom".to_owned()
        }
    );

    let server = Server::start(vec![ok("[{"), ok("{}"), ok("[1")]);
    let fetched = client(&server).contacts(&two(), count).unwrap();
    assert_eq!(
        fetched,
        Fetched::RefusedBatch {
            status: 200,
            reason: "no array".to_owned()
        }
    );

    let server = Server::start((0..3).map(|_| ok(&" ".repeat(101))).collect());
    let mut narrow = setup(&server.url());
    narrow.options.limits.body = 100;
    let fetched = narrow.client().contacts(&two(), count).unwrap();
    assert_eq!(
        fetched,
        Fetched::RefusedBatch {
            status: 200,
            reason: "the answer is longer than 100 bytes".to_owned()
        }
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
    assert_eq!(fetched, Fetched::Read("[\"M\u{fffd}ller\"]".to_owned()));
}

#[test]
fn addresses_and_tokens_that_can_not_be_used_are_usage_errors() {
    for url in [
        "",
        "api.dialfire.com",
        "ftp://api.dialfire.com",
        "https://",
        "https://a b",
        "https://host/?q=1",
    ] {
        let error = Client::new(setup(url).options).err().expect("refused");
        let text = text(&error, ErrorKind::Usage);
        assert!(
            text.contains("is no web address") && text.ends_with("(check --api-url)"),
            "{text}"
        );
    }
    let mut wrong = setup("https://api.dialfire.com");
    wrong.options.token = Secret::new("SECRET\n");
    let error = Client::new(wrong.options).err().expect("refused");
    assert_eq!(
        text(&error, ErrorKind::Usage),
        "the token holds characters that no token has (check --ct)"
    );
}

/// A root certificate in a file, and a server configuration for 127.0.0.1 that it vouches for.
fn private_root() -> (PathBuf, Arc<rustls::ServerConfig>) {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root =
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &root)
        .unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![leaf.der().clone()], key.into())
    .unwrap();
    let path = std::env::temp_dir().join(format!("dbsync2-root-{}.pem", std::process::id()));
    std::fs::write(&path, root.pem()).unwrap();
    (path, Arc::new(config))
}

#[test]
fn a_private_root_is_trusted_through_the_ca_file_only() {
    let (path, config) = private_root();
    let roots = Roots::load(Some(&path)).unwrap();
    std::fs::remove_file(&path).unwrap();

    let server = Server::start_tls(Arc::clone(&config), vec![ok(ONE)]);
    let url = format!("https://127.0.0.1:{}", server.port());
    let trusting = {
        let mut setup = setup(&url);
        setup.options.roots = roots;
        setup.client()
    };
    // First a client that doesn't know the root: its handshake fails, and the server still waits for a request.
    let stranger = setup(&url);
    let waits = Arc::clone(&stranger.waits);
    let error = stranger.client().fields().unwrap_err();
    assert_eq!(
        text(&error, ErrorKind::Setup),
        "GET fields/list: the certificate of the server is not trusted: UnknownIssuer \
         (check --ca-file, --api-url and the clock of this computer)"
    );
    assert!(waits.lock().unwrap().is_empty());
    assert_eq!(server.requests(), [""; 0]);
    assert_eq!(ids(&trusting), ["C1"]);
}

#[test]
fn a_proxy_is_asked_to_connect_and_does_not_get_the_token() {
    let proxy = Server::start(vec![
        Step::SendAndKeep(b"HTTP/1.1 200 Connected\r\n\r\n".to_vec()),
        ok(ONE),
    ]);
    let mut setup = setup("http://api.example:8123");
    setup.options.proxy =
        Some(ureq::Proxy::new(&format!("http://me:pw@127.0.0.1:{}", proxy.port())).unwrap());
    assert_eq!(ids(&setup.client()), ["C1"]);
    let requests = proxy.requests();
    assert!(
        requests[0].starts_with("CONNECT api.example:8123 HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    // me:pw in base64
    assert!(
        requests[0].contains("\r\nProxy-Authorization: Basic bWU6cHc=\r\n"),
        "{}",
        requests[0]
    );
    assert!(!requests[0].contains("SECRET"), "{}", requests[0]);
    assert!(
        requests[1].starts_with(&format!("GET {LISTING} HTTP/1.1\r\n")),
        "{}",
        requests[1]
    );
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
    assert_eq!(call.unwrap().unwrap().items[0].get(), r#"{"id":"\ufffd"}"#);
}
