//! Requests, refusals and transport.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::ids;
use crate::support::http_client::{Reply, get, path, post, read_reply, send, write_request};
use crate::support::simulator::{
    Config, CursorLife, Endpoint, Readings, Simulator, TlsFiles, TruthFilter, UnknownIds, Which,
};

fn ids_of(sim: &Simulator, count: u32) -> Vec<String> {
    (0..)
        .map(|c| sim.contact_id(c))
        .take(count as usize)
        .collect()
}

#[test]
fn requests_are_refused_as_the_api_does() {
    let readings = Readings {
        max_ids: Some(2),
        page_cap: 10,
        cursor_life: CursorLife {
            uses: Some(1),
            seconds: Some(60),
            status: 410,
        },
        ..Readings::default()
    };
    let sim = Simulator::start(Config {
        contacts: 30,
        readings,
        ..Config::default()
    });
    let status = |target: &str, headers: &[(&str, &str)]| {
        send(&sim, "GET", target, headers, b"").unwrap().status
    };
    let fields = path(&sim, "fields/list");
    assert_eq!(status(&fields, &[]), 200);
    let wrong = send(
        &sim,
        "GET",
        &fields,
        &[("Authorization", "Bearer wrong")],
        b"",
    )
    .unwrap();
    assert_eq!(
        (wrong.status, wrong.text().as_str()),
        (403, "403 - Forbidden")
    );
    assert_eq!(status("/api/campaigns/OTHERS/fields/list", &[]), 403);
    assert_eq!(status(&path(&sim, "nothing"), &[]), 404);
    for query in [
        "contacts/transactions/",
        "contacts/transactions/?from=",
        "inbound/calls/?from=",
        "contacts/list?limit=0",
        "contacts/list?changedSince=2025-01-01T00:00:00",
        "contacts/list?cursor=x",
    ] {
        assert_eq!(status(&path(&sim, query), &[]), 400, "{query}");
    }
    assert_eq!(post(&sim, &ids_of(&sim, 3)).status, 413);
    assert_eq!(
        post(&sim, &ids_of(&sim, 2))
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let cursor = get(&sim, "contacts/list").json()["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let next = path(&sim, &format!("contacts/list?cursor={cursor}"));
    assert_eq!(
        status(
            &path(
                &sim,
                &format!("contacts/list?changedSince=2025-01-01&cursor={cursor}")
            ),
            &[]
        ),
        400
    );
    assert_eq!(status(&next, &[]), 200);
    assert_eq!(status(&next, &[]), 410);
    let cursor = get(&sim, "contacts/list").json()["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    sim.advance(Duration::from_secs(61));
    assert_eq!(
        status(&path(&sim, &format!("contacts/list?cursor={cursor}")), &[]),
        410
    );
}

#[test]
fn http_is_spoken_properly() {
    let sim = Simulator::start(Config {
        record_ids: true,
        ..Config::default()
    });
    let headers = |more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("Authorization", format!("Bearer {}", sim.token())),
            ("User-Agent", "test/1".to_owned()),
        ];
        all.extend(more.iter().map(|(n, v)| (*n, (*v).to_owned())));
        all
    };
    let mut stream =
        BufReader::new(TcpStream::connect(sim.url().trim_start_matches("http://")).unwrap());
    let mut ask = |method: &str, call: &str, more: &[(&'static str, &str)], body: &[u8]| -> Reply {
        write_request(
            stream.get_mut(),
            method,
            &path(&sim, call),
            &headers(more),
            body,
        )
        .unwrap();
        read_reply(&mut stream).unwrap()
    };
    let plain = ask("GET", "contacts/list", &[], b"");
    assert_eq!(plain.header("date"), Some("Mon, 10 Mar 2025 09:30:00 GMT"));
    let packed = ask(
        "GET",
        "contacts/list",
        &[("Accept-Encoding", "gzip, br")],
        b"",
    );
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.body.len());
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(&packed.body[..]),
        &mut unpacked,
    )
    .unwrap();
    assert_eq!(unpacked, plain.body);
    let id = sim.contact_id(0);
    let chunks = format!(
        "5;x=y\r\n[ \"{}\r\n{:x}\r\n{}\"]\r\n0\r\n\r\n",
        &id[..2],
        id.len(),
        &id[2..]
    );
    let chunked = ask(
        "POST",
        "contacts/",
        &[("Transfer-Encoding", "chunked")],
        chunks.as_bytes(),
    );
    assert_eq!(chunked.json()[0]["$id"], id);
    assert!(
        chunked.json()[0].get("$md5").is_none(),
        "only with include_md5=true"
    );
    sim.advance(Duration::from_millis(61_500));
    assert_eq!(
        ask("GET", "fields/list", &[], b"").header("date"),
        Some("Mon, 10 Mar 2025 09:31:01 GMT")
    );

    let counters = sim.counters();
    assert_eq!(
        (
            counters.of(Endpoint::List),
            counters.total(),
            counters.documents
        ),
        (2, 4, 1)
    );
    assert_eq!((counters.most_connections, counters.most_ids), (1, 1));
    assert_eq!(counters.fetched, BTreeSet::from([id]));
    let last = counters.last.back().unwrap();
    assert_eq!(
        (last.user_agent.as_deref(), last.authorized),
        (Some("test/1"), true)
    );
    sim.reset_counters();
    assert_eq!(sim.counters().total(), 0);
}

#[test]
fn https_is_spoken_with_a_given_certificate() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls");
    let files = TlsFiles {
        certificate: format!("{folder}/server.pem").into(),
        key: format!("{folder}/server.key").into(),
    };
    let sim = Simulator::start(Config {
        contacts: 3,
        tls: Some(files),
        ..Config::default()
    });
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(format!("{folder}/ca.pem")).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let host = sim.url().trim_start_matches("https://").to_owned();
    let socket = TcpStream::connect(&host).unwrap();
    let connection =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, socket));
    let headers = [("Authorization", format!("Bearer {}", sim.token()))];
    write_request(
        stream.get_mut(),
        "GET",
        &path(&sim, "contacts/list"),
        &headers,
        b"",
    )
    .unwrap();
    assert_eq!(read_reply(&mut stream).unwrap().json()["count"], 3);
}

#[test]
fn deleted_and_unknown_ids_are_answered_by_the_reading() {
    for unknown_ids in [
        UnknownIds::Absent,
        UnknownIds::Null,
        UnknownIds::Error404,
        UnknownIds::Error500,
    ] {
        for deleted_vanish in [true, false] {
            let readings = Readings {
                unknown_ids,
                deleted_vanish,
                ..Readings::default()
            };
            let sim = Simulator::start(Config {
                contacts: 50,
                deleted_share: 0.5,
                readings,
                ..Config::default()
            });
            let deleted = sim.deleted();
            assert!(!deleted.is_empty());
            let listed: BTreeSet<String> = ids(&sim).into_iter().collect();
            assert_eq!(
                deleted.iter().any(|id| listed.contains(id)),
                !deleted_vanish
            );
            let live = sim
                .truth(&TruthFilter::default(), &Which::All)
                .contacts
                .into_keys()
                .next()
                .unwrap();
            let asked = [
                deleted.into_iter().next().unwrap(),
                live,
                "2222222222222222".to_owned(),
            ];
            let reply = post(&sim, &asked);
            match unknown_ids {
                UnknownIds::Absent => assert_eq!(reply.json().as_array().unwrap().len(), 1),
                UnknownIds::Null => {
                    let documents = reply.json();
                    let nulls = documents.as_array().unwrap().iter().filter(|d| d.is_null());
                    assert_eq!(nulls.count(), 2);
                }
                UnknownIds::Error404 => assert_eq!(reply.status, 404),
                UnknownIds::Error500 => assert_eq!(reply.status, 500),
            }
        }
    }
}

#[test]
fn the_simulator_is_controlled_from_outside() {
    let sim = Simulator::start(Config {
        contacts: 40,
        ..Config::default()
    });
    let ask = |method: &str, target: &str| send(&sim, method, target, &[], b"").unwrap();
    let status = ask("POST", "/control/advance?seconds=90.5").json();
    assert_eq!(status["now"], "2025-03-10T09:31:30.500Z");
    assert_eq!(ask("POST", "/control/advance").status, 400);
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    for (table, rows) in truth.tables() {
        let lines = ask("GET", &format!("/control/truth?table={table}")).text();
        let key = if table == "contacts" { "$id" } else { "id" };
        let keys: BTreeSet<String> = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|row| row[key].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(keys, rows.keys().cloned().collect(), "{table}");
    }
    get(&sim, "fields/list");
    assert_eq!(ask("GET", "/control/status").json()["requests_fields"], 1);
    ask("POST", "/control/deny?on=true");
    let fields = path(&sim, "fields/list");
    assert_eq!(ask("GET", &fields).status, 403);
    ask("POST", "/control/deny?on=false");
    ask("POST", "/control/outage?on=true");
    assert!(send(&sim, "GET", &fields, &[], b"").is_err());
    ask("POST", "/control/outage?on=false");
    ask("POST", "/control/faults?rate=1");
    for _ in 0..20 {
        // Whether it is an error or a wrong answer depends on the fault; the counter tells.
        let _ = send(&sim, "GET", &fields, &[], b"");
    }
    assert_eq!(sim.counters().faults, 20);
    ask("POST", "/control/faults?rate=0");
    assert_eq!(ask("GET", &fields).status, 200);
    ask("POST", "/control/delay?milliseconds=1");
    assert_eq!(ask("GET", &fields).status, 200);
    assert_eq!(sim.counters().faults, 21, "a delay is one, too");
    ask("POST", "/control/delay?milliseconds=0");
    assert_eq!(ask("GET", &fields).status, 200);
    assert_eq!(sim.counters().faults, 21);
    assert_eq!(ask("POST", "/control/delay").status, 400);
}

#[test]
fn bytes_that_go_out_are_counted_and_kept_answers_are_of_their_instant() {
    let sim = Simulator::start(Config {
        contacts: 40,
        daily_share: 12.0,
        keep_answers: true,
        ..Config::default()
    });
    let ids = ids(&sim);
    let body = serde_json::to_vec(&ids).unwrap();
    let call = path(&sim, "contacts/?include_md5=true");
    let ask = |encoding: &str| {
        sim.reset_counters();
        let headers = [("Accept-Encoding", encoding)];
        let reply = send(&sim, "POST", &call, &headers, &body).unwrap();
        let length: usize = reply.header("content-length").unwrap().parse().unwrap();
        let counters = sim.counters();
        let head = counters.sent_bytes - length as u64;
        assert!((100..300).contains(&head), "{head} bytes of head");
        (reply.body, length, counters.answers_made)
    };
    let (plain, plain_length, made) = ask("identity");
    assert_eq!(made, 1);
    let (_, length, made) = ask("gzip");
    assert_eq!(made, 1);
    assert!(length < plain_length / 2, "{length} of {plain_length}");
    assert_eq!(ask("identity"), (plain.clone(), plain_length, 0));
    sim.advance(Duration::from_secs(7200));
    let (later, _, made) = ask("identity");
    assert_eq!(made, 1);
    assert_ne!(later, plain);
}
