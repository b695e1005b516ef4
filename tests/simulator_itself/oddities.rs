//! The odd names, values and shapes that the data are made of do occur.

use std::collections::BTreeMap;

use super::ids;
use crate::support::http_client::post;
use crate::support::reading;
use crate::support::simulator::{Config, Simulator, Truth, TruthFilter, Which};

/// How many connections stand above one.
fn depth(truth: &Truth, id: &str) -> usize {
    let parent = truth
        .connections
        .get(id)
        .and_then(|row| row["parent_connection_id"].as_ref());
    parent.map_or(0, |parent| 1 + depth(truth, parent))
}

#[test]
fn oddities_do_occur() {
    let config = Config {
        contacts: 500,
        nul_characters: true,
        long_field_names: true,
        custom_fields: 120,
        ..Config::default()
    };
    let sim = Simulator::start(config);
    let text = post(&sim, &ids(&sim)).text();
    let longest = reading::contacts(&text)
        .iter()
        .flatten()
        .flat_map(|c| c.fields.0.iter())
        .map(|(_, v)| format!("{v:?}").len())
        .max();
    assert!(longest > Some(100_000), "{longest:?}");
    for part in [
        "\"x'); DROP TABLE y;--\":",
        "\"a\\\"b\":",
        "\"a`b\":",
        "\"Ärger\":",
        "\"ärger\":",
        "\"Altfeld\":",
        "\"Feld 120\":",
        "\\u0000",
        "\\u0001",
        "\\\\N",
        "\\r\\n",
        "Leerzeichen   \"",
        "\\uD83D",
        "🙂",
        ":1e5",
        ":2.50",
        "12345678901234567890",
        "\"$follow_up_date\":\"auto\"",
        "\"$$süd_task\"",
        "\"$changed\":\"2001",
        "\"$task_log\":null",
        "{\"$task_log\":[",
        "\"transactions\":null",
        "\"transactions\":\"\"",
        "\"fired\":null",
        "\"connections\":null",
        "\"connections\":[]",
        "\"connections\":{",
        "\"id\":null",
        "\"technology\":\"transfer\"",
        "\"location\":null",
        "\"location\":\"\"",
        "\"isThirdPartyConnection\":\"true\"",
        "\"code\":\"200\"",
        "\"code\":null",
        "\"disconnected\":\"unbekannt\"",
        " : ",
        "Abteilung Ende\":",
        "doppelt, zählt nicht",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let documents: serde_json::Value = serde_json::from_str(&text).unwrap();
    let documents = documents.as_array().unwrap();
    assert!(documents.iter().any(|d| d.get("$task_log").is_none()));
    assert!(documents.iter().any(|d| d.get("$md5").is_none()));
    let lower = documents
        .iter()
        .filter(|d| d["$id"].as_str().unwrap().contains(char::is_lowercase));
    assert!(lower.count() > 0);
    let truth = sim.truth(&TruthFilter::default(), &Which::All);
    let depths = truth.connections.keys().map(|id| depth(&truth, id));
    assert!(depths.max() >= Some(3));
    let mut fired = BTreeMap::<_, usize>::new();
    for row in truth.transactions.values() {
        *fired
            .entry((&row["contact_id"], &row["fired"]))
            .or_default() += 1;
    }
    assert!(fired.values().any(|count| *count == 2));
    assert!(
        fired
            .keys()
            .any(|(_, fired)| fired.as_ref().unwrap().len() == 22)
    );
}
