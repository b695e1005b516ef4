//! What a request looks like, and when it is made.

use std::time::Instant;

use super::*;
use crate::support::receiver::Reply;

#[test]
fn headers_are_those_of_standard_webhooks_and_those_that_were_asked_for() {
    let sim = Simulator::start(campaign(300));
    let receiver = Receiver::start();
    let (program, _) = since(&sim, &receiver, 20);
    let key = program.directory().join("key");
    std::fs::write(&key, "FILE-SECRET\nsecond line\n").unwrap();
    let url = receiver
        .url()
        .replace("http://", "http://me:p%40ss-SECRET@");
    let program = program
        .arg("--url", &url)
        .variable(
            "DBSYNC_HEADER",
            &format!("X-Key: @{}\nX-Other: plain-SECRET", key.display()),
        )
        .variable("DBSYNC_WEBHOOK_SECRET", "whsec_TUFLRS1TRUNSRVQ=")
        .arg("--l", "5");
    receiver.behave(|_| Reply::status(400));
    assert_eq!(
        program.start_with("webhook", &["--once"]).wait(MINUTE).code,
        Some(1)
    );
    receiver.mend();
    succeed_once(&program);
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let arrivals = receiver.arrivals();
    for arrival in &arrivals {
        assert_eq!(
            (arrival.method.as_str(), arrival.target.as_str()),
            ("POST", "/in?from=dialfire")
        );
        for (name, value) in [
            ("content-type", "application/json"),
            ("authorization", "Basic bWU6cEBzcy1TRUNSRVQ="),
            ("x-key", "FILE-SECRET"),
            ("x-other", "plain-SECRET"),
        ] {
            assert_eq!(arrival.header(name), Some(value));
        }
        let agent = arrival.header("user-agent").unwrap();
        assert!(agent.starts_with("dbsync2/"), "{agent}");
        let sent: i64 = arrival
            .header("webhook-timestamp")
            .unwrap()
            .parse()
            .unwrap();
        assert!((now - 60..=now).contains(&sent));
        assert!(
            arrival
                .header("webhook-signature")
                .unwrap()
                .starts_with("v1,")
        );
    }
    // Nothing of it is written anywhere.
    let mut files = vec![program.directory().to_owned()];
    let mut looked_at = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if path != key {
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for secret in ["SECRET", "cEBzcy1", "TUFLRS1", "MAKE-"] {
                assert!(!text.contains(secret), "{secret} in {}", path.display());
            }
            looked_at += 1;
        }
    }
    assert!(looked_at >= 4, "{looked_at}");
}

#[test]
fn without_keys_nothing_is_signed() {
    let sim = Simulator::start(campaign(60));
    let receiver = Receiver::start();
    let (program, _) = since(&sim, &receiver, 20);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert!(!arrivals.is_empty());
    assert!(
        arrivals
            .iter()
            .all(|a| a.header("webhook-signature").is_none())
    );
}

#[test]
fn redirects_are_not_followed() {
    let sim = Simulator::start(campaign(300));
    let (receiver, elsewhere) = (Receiver::start(), Receiver::start());
    let (program, _) = since(&sim, &receiver, 20);
    let to = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let location = to.clone();
        receiver.behave(move |_| Reply::Status(status, vec![("Location", location.clone())]));
        let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
        assert_eq!(ended.code, Some(1));
        let log = program.log();
        let to = to.trim_end_matches("?from=dialfire");
        let told = format!("HTTP {status}: it points to {to}, and redirects are not followed");
        assert!(log.contains(&told), "{}", tail(&log));
    }
    assert_eq!(elsewhere.count(), 0);
    receiver.mend();
    succeed_once(&program);
    assert!(receiver.arrivals().iter().any(|arrival| arrival.accepted));
}

#[test]
fn the_rate_holds_for_all_lanes_together() {
    let sim = Simulator::start(campaign(100));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 20);
    let program = program.arg("--wr", "40").arg("--wb", "5");
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    let times: Vec<Instant> = arrivals.iter().map(|arrival| arrival.at).collect();
    // Arrivals may bunch up on the way: over any stretch one more than the rate and the burst allow.
    for (place, from) in times.iter().enumerate() {
        for (count, to) in times.iter().skip(place).enumerate() {
            let most = 7.0 + (*to - *from).as_secs_f64() * 40.0 + 4.0;
            assert!((count as f64) < most, "{count} in {:?}", *to - *from);
        }
    }
}

#[test]
fn a_receiver_that_asks_to_wait_is_left_alone_by_all_lanes() {
    for status in [429, 503] {
        let sim = Simulator::start(campaign(800));
        let receiver = Receiver::start();
        let (program, since) = since(&sim, &receiver, 20);
        let mut count = 0;
        receiver.behave(move |_| {
            count += 1;
            match count {
                10 => Reply::Status(status, vec![("Retry-After", "2".to_owned())]),
                _ => Reply::ok(),
            }
        });
        succeed_once(&program);
        let arrivals = receiver.arrivals();
        assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
        let refused = arrivals.iter().position(|a| !a.accepted).unwrap();
        // What was under way arrives yet, and what others send before the lane that was told gets its turn; then all lanes
        // rest, and most is still to come.
        let rest = arrivals
            .windows(2)
            .position(|pair| pair[1].at - pair[0].at > Duration::from_millis(1500))
            .unwrap();
        let half = arrivals.len() / 2;
        assert!((refused..half).contains(&rest), "{refused}, {rest}, {half}");
        assert!(half > 50, "{half}");
        assert_eq!(spool(&program), [serde_json::Value::Null; 0]);
    }
}

#[test]
fn connections_are_used_again() {
    let sim = Simulator::start(campaign(300));
    let receiver = Receiver::start();
    let (program, _) = since(&sim, &receiver, 100);
    let program = program.arg("--w", "4");
    succeed_once(&program);
    let (requests, connections) = (receiver.count(), receiver.connections());
    assert!(
        requests > 300 && connections <= 4,
        "{requests} over {connections}"
    );
}

#[test]
fn a_contact_is_posted_by_one_lane_at_a_time() {
    let sim = Simulator::start(campaign(100));
    let receiver = Receiver::start();
    let (program, since) = since(&sim, &receiver, 100);
    // Slow answers, so that lanes overlap.
    receiver.fail_at_rate(3, 0.1, vec![Reply::Silence(Duration::from_millis(40))]);
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
    // A transaction that was not answered comes again before the next one of its contact comes.
    let mut open = std::collections::HashMap::new();
    for arrival in &arrivals {
        if let Some(key) = open.get(&arrival.contact_id) {
            assert_eq!(*key, arrival.key());
        }
        if arrival.accepted {
            open.remove(&arrival.contact_id);
        } else {
            open.insert(arrival.contact_id.clone(), arrival.key());
        }
    }
}

#[test]
fn check_looks_at_the_web_service_and_changes_nothing() {
    let sim = Simulator::start(campaign(20));
    let mut receiver = Receiver::start();
    let program = program(&sim, &receiver);
    let ended = program.run("check");
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(
        ended
            .stdout
            .contains("can be reached, answers HEAD with 405")
    );
    assert_eq!(receiver.count(), 0);
    receiver.go_down();
    assert_eq!(program.run("check").code, Some(1));
}

#[test]
fn a_private_root_is_trusted_only_where_it_is_named() {
    let sim = Simulator::start(campaign(200));
    let tls = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
    let receiver = Receiver::start_with_tls(&tls);
    let (program, since) = since(&sim, &receiver, 20);
    let ended = program.start_with("webhook", &["--once"]).wait(MINUTE);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("--ca-file"), "{}", ended.stdout);
    let program = program.arg("--ca-file", tls.join("ca.pem").to_str().unwrap());
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert_delivered(&sim, &all(), since, &arrivals, Allowed::default());
}
