//! Signatures are accepted by implementations that are not ours: the reference library, and the README's snippets.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::*;

const OLD_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER_KEY: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What a verifier says to requests, which it gets as JSON lines: true or false for each.
fn verdicts(command: &mut Command, requests: &[serde_json::Value]) -> Vec<bool> {
    let lines: String = requests.iter().map(|r| format!("{r}\n")).collect();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{command:?}: {error} (run scripts/test.sh, which installs it)")
        });
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line == "yes").collect()
}

fn snippet(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/support/snippets")
        .join(name)
}

#[test]
fn every_request_is_accepted_by_others_and_no_changed_one_is() {
    let sim = Simulator::start(campaign(100));
    let receiver = Receiver::start();
    let (program, _) = since(&sim, &receiver, 40);
    let keys = program.directory().join("keys");
    std::fs::write(&keys, format!("{OLD_KEY} {NEW_KEY}\n")).unwrap();
    let program = program.arg("--webhook-secret-file", keys.to_str().unwrap());
    succeed_once(&program);
    let arrivals = receiver.arrivals();
    assert!(arrivals.len() > 50);
    let mut requests = Vec::new();
    let mut wanted = Vec::new();
    for arrival in &arrivals {
        let headers: serde_json::Map<String, serde_json::Value> = arrival
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let body = &*arrival.body;
        for (key, body, is_genuine) in [
            (OLD_KEY, body.to_owned(), true),
            (NEW_KEY, body.to_owned(), true),
            (OTHER_KEY, body.to_owned(), false),
            (NEW_KEY, body.replacen('{', "{ ", 1), false),
        ] {
            requests.push(json!({"headers": headers, "body": body, "secret": key}));
            wanted.push(is_genuine);
        }
        let mut old = headers.clone();
        old.insert("webhook-timestamp".to_owned(), "1600000000".into());
        requests.push(json!({"headers": old, "body": body, "secret": OLD_KEY}));
        wanted.push(false);
    }
    let python = std::env::var("DBSYNC_TEST_PYTHON")
        .expect("DBSYNC_TEST_PYTHON is set (run scripts/test.sh, which installs what is needed)");
    let run = snippet("run.py");
    for command in [
        Command::new(&python).arg(&run).arg("library"),
        Command::new(&python).arg(&run).arg("snippet"),
        Command::new("node").arg(snippet("run.js")),
        Command::new("php").arg(snippet("run.php")),
    ] {
        assert_eq!(verdicts(command, &requests), wanted, "{command:?}");
    }
}

#[test]
fn the_readme_shows_the_snippets_that_were_tested() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for name in ["verify.py", "verify.js", "verify.php"] {
        let text = std::fs::read_to_string(snippet(name)).unwrap();
        let text = text.trim_start_matches("<?php\n").trim();
        assert!(readme.contains(text), "{name}");
    }
}
