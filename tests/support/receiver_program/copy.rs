//! A plain program that does what webhook does, and keeps none of its promises: nothing is remembered, retried, checked
//! or filtered. Each of its threads asks for some contacts and posts their transactions, one after the other.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Flags, agent, post_one, print_speed};

/// As webhook asks for them.
const IDS_PER_REQUEST: usize = 20;

/// An object with its keys in their order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    transactions: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Page {
    results: Vec<Listed>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

pub fn run(flags: &Flags) {
    let agent = agent(flags.connections);
    let token = std::env::var("DBSYNC_CT").expect("DBSYNC_CT holds the token");
    let token = format!("Bearer {token}");
    let path = format!("{}/api/campaigns/{}/contacts", flags.api, flags.campaign);
    let begin = Instant::now();
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let address = format!("{path}/list?limit=1000{cursor}");
        let mut response = agent
            .get(&address)
            .header("authorization", &token)
            .call()
            .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let page: Page = serde_json::from_str(&text).unwrap();
        ids.extend(page.results.into_iter().map(|listed| listed.id));
        match page.cursor.filter(|cursor| !cursor.is_empty()) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let (chunks, count) = (Mutex::new(ids.chunks(IDS_PER_REQUEST)), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..flags.connections {
            scope.spawn(|| {
                loop {
                    let Some(ids) = chunks.lock().unwrap().next() else {
                        return;
                    };
                    let mut response = agent
                        .post(format!("{path}/?include_md5=true"))
                        .header("authorization", &token)
                        .header("content-type", "application/json")
                        .send(serde_json::to_string(ids).unwrap())
                        .unwrap();
                    let answer = response.body_mut().read_to_string().unwrap();
                    let contacts: Vec<Fields<'_>> = serde_json::from_str(&answer).unwrap();
                    for contact in contacts {
                        count.fetch_add(post_all(&agent, &flags.url, contact), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    print_speed(count.into_inner(), begin);
}

/// Posts the transactions of a contact; returns how many there are.
fn post_all(agent: &ureq::Agent, url: &str, contact: Fields<'_>) -> usize {
    let (mut json, mut log) = (String::from("{"), "[]");
    for (key, value) in contact.0 {
        if key == "$task_log" {
            log = value.get();
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&serde_json::to_string(&key).unwrap());
        json.push(':');
        json.push_str(value.get());
    }
    json.push('}');
    let entries: Vec<Entry<'_>> = serde_json::from_str(log).unwrap();
    let mut count = 0;
    for transaction in entries.iter().flat_map(|entry| &entry.transactions) {
        let body = format!(
            "{{\"contact\":{json},\"transaction\":{},\"state\":\"new\"}}",
            transaction.get()
        );
        post_one(agent, url, &body);
        count += 1;
    }
    count
}
