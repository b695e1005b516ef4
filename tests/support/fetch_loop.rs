//! The limit that the simulator sets to the benchmark: fetches all contacts as fast as it can and throws them away.
//!
//! usage: fetch_loop URL CAMPAIGN CONNECTIONS, the token in `DBSYNC_CT`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod http_client;
mod simulator;

use std::io::BufReader;
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Instant;

use http_client::{Reply, read_reply, write_request};

/// Contacts per request, as dbsync2 asks for them.
const IDS_PER_REQUEST: usize = 20;

/// One connection that stays open.
struct Client {
    stream: BufReader<TcpStream>,
    path: String,
    token: String,
}

impl Client {
    fn open(url: &str, campaign: &str) -> Client {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::new(stream),
            path: format!("/api/campaigns/{campaign}"),
            token: std::env::var("DBSYNC_CT").expect("DBSYNC_CT holds the token"),
        }
    }

    fn call(&mut self, method: &str, call: &str, encoding: &str, body: &[u8]) -> Reply {
        let headers = [
            ("Authorization", format!("Bearer {}", self.token)),
            ("Accept-Encoding", encoding.to_owned()),
            ("Content-Type", "application/json".to_owned()),
            ("Content-Length", body.len().to_string()),
        ];
        let target = format!("{}/{call}", self.path);
        write_request(self.stream.get_mut(), method, &target, &headers, body).unwrap();
        let reply = read_reply(&mut self.stream).unwrap();
        assert_eq!(reply.status, 200, "{target}");
        reply
    }

    /// The ids of all contacts.
    fn list(&mut self) -> Vec<String> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let call = format!("contacts/list?limit=1000{cursor}");
            let page = self.call("GET", &call, "identity", b"").json();
            for entry in page["results"].as_array().unwrap() {
                ids.push(entry["id"].as_str().unwrap().to_owned());
            }
            match page["cursor"].as_str().filter(|cursor| !cursor.is_empty()) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, campaign, connections] = &arguments[..] else {
        panic!("usage: fetch_loop URL CAMPAIGN CONNECTIONS");
    };
    let begin = Instant::now();
    let ids = Client::open(url, campaign).list();
    let chunks = Mutex::new(ids.chunks(IDS_PER_REQUEST));
    std::thread::scope(|scope| {
        for _ in 0..connections.parse().unwrap() {
            scope.spawn(|| {
                let mut client = Client::open(url, campaign);
                loop {
                    let Some(ids) = chunks.lock().unwrap().next() else {
                        return;
                    };
                    let body = serde_json::to_vec(ids).unwrap();
                    client.call("POST", "contacts/?include_md5=true", "gzip", &body);
                }
            });
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    println!("{:.0} contacts/s", ids.len() as f64 / seconds);
}
