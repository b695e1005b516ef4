//! A client as small as can be, to look at the simulator's answers without the program under test.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

use super::simulator::Simulator;

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Path of a call of the simulated campaign.
pub fn path(sim: &Simulator, call: &str) -> String {
    format!("/api/campaigns/{}/{call}", sim.campaign())
}

/// GET with the right token; the answer must be 200.
pub fn get(sim: &Simulator, call: &str) -> Reply {
    let reply = send(sim, "GET", &path(sim, call), &[], b"").unwrap();
    assert_eq!(reply.status, 200, "{call}: {}", reply.text());
    reply
}

/// POST contacts/ with the right token.
pub fn post(sim: &Simulator, ids: &[String]) -> Reply {
    let body = serde_json::to_vec(ids).unwrap();
    send(
        sim,
        "POST",
        &path(sim, "contacts/?include_md5=true"),
        &[],
        &body,
    )
    .unwrap()
}

/// Any request with the right token, over a connection of its own.
pub fn send(
    sim: &Simulator,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    let address = sim.url().trim_start_matches("http://").to_owned();
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    let mut all = vec![("Connection", "close".to_owned())];
    if !headers.iter().any(|(name, _)| *name == "Authorization") {
        all.push(("Authorization", format!("Bearer {}", sim.token())));
    }
    all.extend(headers.iter().map(|(n, v)| (*n, (*v).to_owned())));
    if !headers.iter().any(|(name, _)| *name == "Transfer-Encoding") {
        all.push(("Content-Length", body.len().to_string()));
    }
    write_request(stream.get_mut(), method, target, &all, body)?;
    read_reply(&mut stream)
}

/// Writes one request.
pub fn write_request(
    stream: &mut impl Write,
    method: &str,
    target: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: simulator\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

/// Reads one answer.
pub fn read_reply(stream: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut reply = Reply {
        status,
        headers,
        body: Vec::new(),
    };
    match reply
        .header("content-length")
        .map(|length| length.parse().unwrap())
    {
        Some(length) => {
            reply.body.resize(length, 0);
            stream.read_exact(&mut reply.body)?;
        }
        None => {
            stream.read_to_end(&mut reply.body)?;
        }
    }
    Ok(reply)
}

/// All results of a paged call, with the sizes of the pages.
pub fn pages(sim: &Simulator, call: &str) -> (Vec<serde_json::Value>, Vec<usize>) {
    let (mut results, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = get(sim, &format!("{call}{cursor}")).json();
        let entries = page["results"].as_array().unwrap();
        assert_eq!(page["count"], entries.len());
        sizes.push(entries.len());
        results.extend(entries.iter().cloned());
        match page["cursor"].as_str().filter(|c| !c.is_empty()) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (results, sizes),
        }
    }
}
