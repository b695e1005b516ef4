//! One request: its headers, attempts, waits and limits.

use super::*;

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
    assert_eq!(text.chars().count(), head.len() + 200);
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
            ok(r#"{"text":"SECRET"}"#),
            "not the JSON expected: results are missing (there are the keys text)",
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

/// What stands beside the body counts as well, and ends long before the time limit.
#[test]
fn endless_informational_answers_chunk_extensions_and_trailers_end_at_the_size_limit() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, piece) in [
        (
            String::new(),
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100),
        ),
        (
            chunked.to_owned(),
            format!("1;{}\r\n \r\n", "x".repeat(500)).repeat(20),
        ),
        (format!("{chunked}0\r\n"), "X-Trailer: 1\r\n".repeat(1000)),
    ] {
        let endless = Step::Repeat {
            head: head.into_bytes(),
            piece: piece.into_bytes(),
            pause: Duration::ZERO,
        };
        let server = Server::start(vec![endless, ok(ONE)]);
        let mut setup = setup(&server.url());
        setup.options.limits.body = 50_000;
        setup.options.retry.attempts = 1;
        let client = setup.client();
        let begin = Instant::now();
        failed(client.contact_list(None).next_page());
        assert!(begin.elapsed() < secs(15), "{:?}", begin.elapsed());
        assert_eq!(ids(&client), ["C1"]);
    }
}

#[test]
fn an_answer_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
    let padded = |length: usize| format!("{ONE:length$}");
    let server = Server::start(vec![ok(&padded(5000)), ok(&padded(5001))]);
    let mut setup = setup(&server.url());
    setup.options.limits.body = 5000;
    setup.options.retry.attempts = 1;
    let client = setup.client();
    assert_eq!(ids(&client), ["C1"]);
    let error = failed(client.contact_list(None).next_page());
    assert!(text(&error, ErrorKind::Transient).ends_with("longer than 5000 bytes"));
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
