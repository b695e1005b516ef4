//! The limit of fetching, for the benchmark: reads what dbsync2 reads, as fast as that goes, and throws it away.
//!
//! usage: fetch_loop URL CAMPAIGN CONNECTIONS [FROM], the token in `DBSYNC_CT`
//!
//! One connection lists all contacts (with FROM, those of the events since then), as many as CONNECTIONS read them
//! meanwhile; with 0 they are only listed. Prints how many contacts it were, bytes as they came in (heads included),
//! seconds, and contacts per second.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod http_client;
mod simulator;

use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use flate2::read::GzDecoder;
use http_client::{Reply, read_reply, write_request};

/// Contacts per request, as dbsync2 asks for them.
const IDS_PER_REQUEST: usize = 20;

/// A stream that counts what is read from it.
struct Counted {
    stream: TcpStream,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

/// One connection that stays open.
struct Client {
    stream: BufReader<Counted>,
    path: String,
    token: String,
}

impl Client {
    fn open(url: &str, campaign: &str) -> Client {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::with_capacity(64 * 1024, Counted { stream, bytes: 0 }),
            path: format!("/api/campaigns/{campaign}"),
            token: std::env::var("DBSYNC_CT").expect("DBSYNC_CT holds the token"),
        }
    }

    fn call(&mut self, method: &str, call: &str, body: &[u8]) -> Reply {
        let headers = [
            ("Authorization", format!("Bearer {}", self.token)),
            ("Accept-Encoding", "gzip".to_owned()),
            ("Content-Type", "application/json".to_owned()),
            ("Content-Length", body.len().to_string()),
        ];
        let target = format!("{}/{call}", self.path);
        let stream = &mut self.stream.get_mut().stream;
        write_request(stream, method, &target, &headers, body).unwrap();
        let reply = read_reply(&mut self.stream).unwrap();
        assert_eq!(reply.status, 200, "{target}");
        reply
    }

    /// A page of a list, as JSON.
    fn page(&mut self, call: &str) -> serde_json::Value {
        let mut reply = self.call("GET", call, b"");
        if reply.header("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            let mut decoder = GzDecoder::new(&reply.body[..]);
            decoder.read_to_end(&mut plain).unwrap();
            reply.body = plain;
        }
        reply.json()
    }

    /// Sends on the ids that a list names, each once, as many together as belong in a request; returns how many.
    fn list(&mut self, from: Option<&str>, chunks: &Sender<Vec<String>>) -> usize {
        let list = match from {
            None => "contacts/list?limit=1000".to_owned(),
            Some(from) => format!("contacts/transactions/?from={from}&limit=1000"),
        };
        let (mut known, mut ids, mut cursor) = (HashSet::new(), Vec::new(), String::new());
        loop {
            let page = self.page(&format!("{list}{cursor}"));
            for entry in page["results"].as_array().unwrap() {
                let id = match from {
                    None => entry["id"].as_str(),
                    Some(_) => entry.as_str().and_then(|event| event.split('|').nth(2)),
                };
                let id = id.unwrap().to_owned();
                if known.insert(id.clone()) {
                    ids.push(id);
                }
            }
            let whole = ids.len() - ids.len() % IDS_PER_REQUEST;
            for chunk in ids[..whole].chunks(IDS_PER_REQUEST) {
                chunks.send(chunk.to_vec()).unwrap();
            }
            ids.drain(..whole);
            match page["cursor"].as_str().filter(|cursor| !cursor.is_empty()) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if !ids.is_empty() {
            chunks.send(ids).unwrap();
        }
        known.len()
    }

    fn bytes(&self) -> u64 {
        self.stream.get_ref().bytes
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, campaign, connections, from) = match &arguments[..] {
        [url, campaign, connections] => (url, campaign, connections, None),
        [url, campaign, connections, from] => (url, campaign, connections, Some(from.as_str())),
        _ => panic!("usage: fetch_loop URL CAMPAIGN CONNECTIONS [FROM]"),
    };
    let connections: usize = connections.parse().unwrap();
    let begin = Instant::now();
    let (chunks, inbox) = channel();
    let inbox = Mutex::new(inbox);
    let (count, bytes) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::open(url, campaign);
                    loop {
                        let Ok(ids) = inbox.lock().unwrap().recv() else {
                            return client.bytes();
                        };
                        let body = serde_json::to_vec(&ids).unwrap();
                        client.call("POST", "contacts/?include_md5=true", &body);
                    }
                })
            })
            .collect();
        let mut lister = Client::open(url, campaign);
        let count = lister.list(from, &chunks);
        drop(chunks);
        let read: u64 = readers.into_iter().map(|r| r.join().unwrap()).sum();
        (count, read + lister.bytes())
    });
    let seconds = begin.elapsed().as_secs_f64();
    println!("contacts={count}");
    println!("bytes={bytes}");
    println!("seconds={seconds:.4}");
    println!("per_second={:.0}", count as f64 / seconds);
}
