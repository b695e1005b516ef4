//! Memory where the API, or a web service, does its worst: it stays below the number that the README names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::hostile_api::HostileApi;
use crate::support::receiver::{Receiver, Reply};

/// The number of the README and of the systemd unit, in MB.
pub(super) fn promised() -> u64 {
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let number = |text: &str, before: &str, behind: &str| -> u64 {
        let (_, rest) = text.split_once(before).expect(before);
        rest.split_once(behind).unwrap().0.trim().parse().unwrap()
    };
    let readme = number(&read("README.md"), "never holds more than", "MB");
    let unit = number(
        &read("scripts/service/dbsync2@.service"),
        "MemoryMax=",
        "M\n",
    );
    assert_eq!(readme, unit, "README and unit name different numbers");
    readme
}

/// Runs a mode to its end, or for so long, and returns the high-water mark of its resident memory in MB.
fn peak_of(program: &Program, mode: &str, time: Duration) -> u64 {
    let mut running = program.start(mode);
    let begin = std::time::Instant::now();
    let mut peak = 0;
    while !running.has_ended() && begin.elapsed() < time {
        peak = peak.max(high_water_mark(running.pid()));
        std::thread::sleep(Duration::from_millis(2));
    }
    if !running.has_ended() {
        running.kill();
    }
    peak / 1024
}

/// Contacts of 16 MB per answer, one way and another.
fn contacts(ids: &[String], shape: &str) -> String {
    let length = (16 << 20) / ids.len() - 1000;
    let documents: Vec<String> = ids
        .iter()
        .map(|id| match shape {
            "texts" => format!(
                r#"{{"$id":"{id}","$comment":"{}"}}"#,
                "ü".repeat(length / 2)
            ),
            "escapes" => format!(r#"{{"$id":"{id}","$comment":"{}"}}"#, r"\n".repeat(length / 2)),
            _ => {
                let one = r#"{"fired":"2024-03-05T09:15:42.468Z","task":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","status":"success"}"#;
                let many = vec![one; length / (one.len() + 1)].join(",");
                format!(r#"{{"$id":"{id}","$task_log":[{{"transactions":[{many}]}}]}}"#)
            }
        })
        .collect();
    format!("[{}]", documents.join(","))
}

pub(super) fn api(shape: &'static str) -> HostileApi {
    let pages = Arc::new(AtomicUsize::new(0));
    HostileApi::start(move |first, body| {
        if first.contains("contacts/list") {
            let page = pages.fetch_add(1, Ordering::SeqCst);
            let entries: Vec<String> = (0..3000)
                .map(|n| {
                    format!(
                        r#"{{"id":"{:0>200}","md5":"{:0>200}"}}"#,
                        page * 3000 + n,
                        n
                    )
                })
                .collect();
            format!(
                r#"{{"count":3000,"results":[{}],"cursor":"{:0>8000}"}}"#,
                entries.join(","),
                page
            )
        } else if first.contains("transactions/") {
            let page = pages.fetch_add(1, Ordering::SeqCst);
            let entries: Vec<String> = (0..3000)
                .map(|n| {
                    format!(
                        r#""2024-03-05T09:15:42.468Z{:0>170}|{n:0>200}|{:0>200}|1,2""#,
                        n,
                        page * 3000 + n
                    )
                })
                .collect();
            format!(
                r#"{{"count":3000,"results":[{}],"cursor":"{:0>8000}"}}"#,
                entries.join(","),
                page
            )
        } else if first.starts_with("POST") {
            let ids: Vec<String> = serde_json::from_slice(body).unwrap();
            contacts(&ids, shape)
        } else if first.contains("fields/list") {
            "[]".to_owned()
        } else {
            r#"{"count":0,"results":[]}"#.to_owned()
        }
    })
}

#[test]
fn a_hostile_api_takes_no_more_memory_than_is_promised() {
    let promised = promised();
    let sim = Simulator::start(Config {
        contacts: 1,
        ..Config::default()
    });
    let database = fresh_database(Kind::Sqlite);
    let receiver = Receiver::start();
    for shape in ["texts", "escapes", "transactions"] {
        for (mode, url) in [("db_init", &database.url), ("webhook", &receiver.url())] {
            let api = api(shape);
            let program = Program::new(&sim, url)
                .arg("--api-url", &api.url())
                .arg("--s", "2024-01-01");
            let peak = peak_of(&program, mode, Duration::from_secs(15));
            println!("{mode}, {shape}: {peak} MB of {promised} MB");
            assert!(peak > 30, "{peak} MB: nothing came");
            assert!(peak < promised, "{mode}, {shape}: {peak} MB");
        }
    }
}

/// New contacts without end, of whom not one ever comes: neither they nor what names them is gathered.
#[test]
fn contacts_that_never_come_take_no_more_memory_the_more_they_are() {
    const ENOUGH: usize = 300_000;
    let sim = Simulator::start(Config {
        contacts: 1,
        ..Config::default()
    });
    for (mode, list) in [("db_init", "contacts/list"), ("db_sync", "transactions/")] {
        let database = fresh_database(Kind::Sqlite);
        let (pages, asked) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let asked_for = Arc::clone(&asked);
        let api = HostileApi::start(move |first, body| {
            if first.starts_with("POST") {
                let ids: Vec<String> = serde_json::from_slice(body).unwrap();
                asked_for.fetch_add(ids.len(), Ordering::SeqCst);
                return "[]".to_owned();
            }
            if first.contains("fields/list") {
                return "[]".to_owned();
            }
            if !first.contains(list) {
                return r#"{"count":0,"results":[]}"#.to_owned();
            }
            let page = pages.fetch_add(1, Ordering::SeqCst);
            let entries: Vec<String> = (page * 3000..(page + 1) * 3000)
                .map(|id| match mode {
                    "db_init" => format!(r#"{{"id":"{id:0>200}","md5":"m"}}"#),
                    _ => format!(r#""2099-03-05T09:15:42.468Z0001|m|{id:0>200}|1,2""#),
                })
                .collect();
            let entries = entries.join(",");
            format!(r#"{{"count":3000,"results":[{entries}],"cursor":"{page}"}}"#)
        });
        let program = Program::new(&sim, &database.url).arg("--api-url", &api.url());
        let mut running = program.start(mode);
        let begin = std::time::Instant::now();
        while asked.load(Ordering::SeqCst) < ENOUGH {
            assert!(!running.has_ended(), "{}", program.log());
            assert!(begin.elapsed() < Duration::from_secs(300), "it hangs");
            std::thread::sleep(Duration::from_millis(10));
        }
        let peak = high_water_mark(running.pid()) / 1024;
        running.kill();
        println!("{mode}: {peak} MB");
        // What is listed at a time, and what is remembered of it.
        assert!(peak < 200, "{mode}: {peak} MB for {ENOUGH} contacts");
        let lines = program.log().matches("returned no document").count();
        assert!(lines <= 6, "{lines} lines");
    }
}

#[test]
fn a_hostile_web_service_takes_no_more_memory_than_is_promised() {
    let promised = promised();
    let sim = Simulator::start(Config::default());
    let receiver = Receiver::start();
    let body = "x".repeat(8 << 20);
    receiver.behave(move |_| Reply::Status(400, vec![("X-Body", body[..20_000].to_owned())]));
    let program = Program::new(&sim, &receiver.url()).arg("--s", "2024-01-01");
    let peak = peak_of(&program, "webhook", Duration::from_secs(5));
    println!("web service: {peak} MB of {promised} MB");
    assert!(peak < promised, "{peak} MB");
}
