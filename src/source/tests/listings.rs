//! Contacts, events, inbound calls and fields, page by page.

use super::*;

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
fn ids_and_checksums_of_more_than_200_bytes_are_left_out() {
    let (fits, longer) = ("x".repeat(200), "y".repeat(201));
    let contacts = format!(
        r#"{{"results":[{{"id":"{fits}","md5":"{fits}"}},{{"id":"{longer}"}},{{"id":"C","md5":"{longer}"}}]}}"#
    );
    let calls = format!(r#"{{"results":[{{"id":"{fits}"}},{{"id":"{longer}"}}]}}"#);
    let server = Server::start(vec![ok(&contacts), ok(&calls)]);
    let client = client(&server);
    assert_eq!(ids(&client), [fits]);
    let calls = client.inbound_calls(None, None).next_page();
    assert_eq!(calls.unwrap().unwrap().items.len(), 1);
    assert_eq!(client.traffic().skipped, 3);
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
    let error = failed(pages.next_page());
    assert!(
        text(&error, ErrorKind::Transient)
            .starts_with("GET contacts/list: endless listing: the server repeats a cursor; ")
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
        (page.items[0].contact_id(), page.items[0].sequence()),
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
    assert_eq!(page.items[0].json.get(), call);
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
