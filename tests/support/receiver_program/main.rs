//! A small web service for the demo and the benchmark, and a plain loop of requests to compare with.
//!
//! receiver listen --port N [--show] [--save FILE]   takes requests until it is ended; --show prints a line for each,
//!                                                   --save writes bodies to a file, one per line
//! receiver count --url URL                          asks such a service how many requests came since it was last asked, and
//!                                                   how many per second from the first to the last of them
//! receiver post --url URL --connections N --file FILE   posts each line of a file, prints requests per second
//! receiver copy --url URL --connections N --api URL --campaign ID   reads all contacts, the token in `DBSYNC_CT`, and
//!                                                   posts their transactions; prints requests per second
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod copy;
#[path = "../simulator/mod.rs"]
mod simulator;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lexopt::prelude::{Long, Value, ValueExt};
use simulator::http::read_request;
use simulator::wire::Wire;

#[derive(Default)]
struct Flags {
    command: String,
    port: u16,
    show: bool,
    save: Option<String>,
    url: String,
    connections: usize,
    file: String,
    api: String,
    campaign: String,
}

fn flags() -> Result<Flags, lexopt::Error> {
    let mut flags = Flags::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(command) => flags.command = command.string()?,
            Long("port") => flags.port = parser.value()?.parse()?,
            Long("show") => flags.show = true,
            Long("save") => flags.save = Some(parser.value()?.string()?),
            Long("url") => flags.url = parser.value()?.string()?,
            Long("connections") => flags.connections = parser.value()?.parse()?,
            Long("api") => flags.api = parser.value()?.string()?,
            Long("campaign") => flags.campaign = parser.value()?.string()?,
            Long("file") => flags.file = parser.value()?.string()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(flags)
}

fn main() {
    match flags() {
        Ok(flags) if flags.command == "listen" => listen(&flags),
        Ok(flags) if flags.command == "post" => post(&flags),
        Ok(flags) if flags.command == "copy" => copy::run(&flags),
        Ok(flags) if flags.command == "count" => count(&flags),
        Ok(_) => eprintln!("receiver: listen, count, post or copy is expected"),
        Err(error) => eprintln!("receiver: {error}"),
    }
}

/// Requests since they were last asked for.
#[derive(Default)]
struct Count {
    requests: u32,
    first_and_last: Option<(Instant, Instant)>,
}

impl Count {
    fn add(&mut self, now: Instant) {
        self.requests += 1;
        self.first_and_last.get_or_insert((now, now)).1 = now;
    }

    /// Requests, and requests per second.
    fn text(&self) -> String {
        let seconds = self
            .first_and_last
            .map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        let speed = f64::from(self.requests.saturating_sub(1)) / seconds.max(1e-9);
        format!("requests={}\nper_second={speed:.0}\n", self.requests)
    }
}

fn count(flags: &Flags) {
    let mut response = agent(1).get(&flags.url).call().unwrap();
    print!("{}", response.body_mut().read_to_string().unwrap());
}

fn listen(flags: &Flags) {
    let listener = TcpListener::bind(("127.0.0.1", flags.port)).expect("the port is free");
    println!("url=http://{}/", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    let saved = flags
        .save
        .as_ref()
        .map(|path| BufWriter::new(File::create(path).unwrap()));
    let (saved, show) = (Arc::new(Mutex::new(saved)), flags.show);
    let count = Arc::new(Mutex::new(Count::default()));
    for socket in listener.incoming() {
        let (saved, count) = (Arc::clone(&saved), Arc::clone(&count));
        std::thread::spawn(move || {
            let Ok(wire) = socket.and_then(|socket| Wire::new(socket, None)) else {
                return;
            };
            let mut stream = BufReader::new(wire);
            while let Ok(Some(request)) = read_request(&mut stream) {
                if request.method == "GET" {
                    let text = std::mem::take(&mut *count.lock().unwrap()).text();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
                    if stream
                        .get_mut()
                        .write_all((head + &text).as_bytes())
                        .is_err()
                    {
                        return;
                    }
                    continue;
                }
                count.lock().unwrap().add(Instant::now());
                if show {
                    show_request(&request.body);
                }
                if let Some(file) = saved.lock().unwrap().as_mut() {
                    let line: Vec<u8> = request
                        .body
                        .iter()
                        .map(|b| if *b == b'\n' { b' ' } else { *b })
                        .collect();
                    file.write_all(&line).unwrap();
                    file.write_all(b"\n").unwrap();
                    file.flush().unwrap();
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                if stream.get_mut().write_all(answer).is_err() {
                    return;
                }
            }
        });
    }
}

fn show_request(body: &[u8]) {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
        println!("a request that is no JSON");
        return;
    };
    let text = |part: &str, key: &str| body[part][key].as_str().unwrap_or("-").to_owned();
    println!(
        "  received  {:7}  contact {}  {}  {}  {}",
        body["state"].as_str().unwrap_or("-"),
        text("contact", "$id"),
        text("transaction", "fired"),
        text("transaction", "status"),
        text("transaction", "status_detail"),
    );
}

fn post(flags: &Flags) {
    let text = std::fs::read_to_string(&flags.file).unwrap();
    let bodies: Vec<&str> = text.lines().collect();
    let (agent, next) = (agent(flags.connections), AtomicUsize::new(0));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..flags.connections {
            scope.spawn(|| {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    post_one(&agent, &flags.url, body);
                }
            });
        }
    });
    print_speed(bodies.len(), begin);
}

fn agent(connections: usize) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .max_idle_connections_per_host(connections)
        .max_idle_connections(2 * connections)
        .build();
    ureq::Agent::new_with_config(config)
}

fn post_one(agent: &ureq::Agent, url: &str, body: &str) {
    let mut response = agent
        .post(url)
        .header("content-type", "application/json")
        .send(body)
        .unwrap();
    response.body_mut().read_to_string().unwrap();
}

fn print_speed(count: usize, begin: Instant) {
    println!("requests={count}");
    println!(
        "per_second={:.0}",
        count as f64 / begin.elapsed().as_secs_f64()
    );
}
