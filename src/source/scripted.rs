//! A server for tests that plays a script: one step per request, each on its own connection unless it says otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the server does with a request.
pub enum Step {
    /// Sends these bytes and closes the connection.
    Send(Vec<u8>),
    /// Sends these bytes and plays the next step on the same connection.
    SendAndKeep(Vec<u8>),
    /// Sends these bytes and then the piece again and again, with a pause after each, until the client hangs up.
    Repeat {
        head: Vec<u8>,
        piece: Vec<u8>,
        pause: Duration,
    },
    /// Resets the connection instead of answering.
    Reset,
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server on a free port. After the last step it is gone: further connections are refused.
    pub fn start(steps: Vec<Step>) -> Server {
        Server::start_with(steps, |stream| Box::new(stream))
    }

    /// The same with TLS.
    pub fn start_tls(config: Arc<rustls::ServerConfig>, steps: Vec<Step>) -> Server {
        Server::start_with(steps, move |stream| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(rustls::StreamOwned::new(connection, stream))
        })
    }

    fn start_with(
        steps: Vec<Step>,
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            let mut steps = steps.into_iter().peekable();
            while steps.peek().is_some() {
                let (stream, _) = listener.accept().unwrap();
                if let Some(Step::Reset) = steps.peek() {
                    steps.next();
                    // Closing with unread bytes makes the system send a reset.
                    stream.peek(&mut [0]).unwrap();
                    continue;
                }
                play(wrap(stream).as_mut(), &mut steps, &seen);
            }
        });
        Server { address, requests }
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests so far, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The first lines of the requests so far, without the HTTP version.
    pub fn lines(&self) -> Vec<String> {
        let line = |request: &String| {
            request
                .lines()
                .next()
                .unwrap()
                .trim_end_matches(" HTTP/1.1")
                .to_owned()
        };
        self.requests().iter().map(line).collect()
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

fn play(stream: &mut dyn Stream, steps: &mut dyn Iterator<Item = Step>, seen: &Mutex<Vec<String>>) {
    while let Some(request) = read_request(stream) {
        seen.lock().unwrap().push(request);
        match steps
            .next()
            .expect("a request more than the script has steps")
        {
            Step::Send(bytes) => {
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                return;
            }
            Step::SendAndKeep(bytes) => stream
                .write_all(&bytes)
                .and_then(|()| stream.flush())
                .unwrap(),
            Step::Repeat { head, piece, pause } => {
                stream.write_all(&head).unwrap();
                while stream
                    .write_all(&piece)
                    .and_then(|()| stream.flush())
                    .is_ok()
                {
                    thread::sleep(pause);
                }
                return;
            }
            Step::Reset => panic!("a reset needs a connection of its own"),
        }
    }
}

/// Reads a request with its body; `None` if the client hung up or its TLS handshake failed.
fn read_request(stream: &mut dyn Stream) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).unwrap();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")
                .map(|n| n.parse().unwrap())
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// An answer with a `Date` and the length of its body.
pub fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let date = if headers.contains("Date:") {
        ""
    } else {
        "Date: Tue, 05 Mar 2024 09:15:42 GMT\r\n"
    };
    let head = format!(
        "HTTP/1.1 {status} Something\r\n{date}{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Status 200 with this body, and the end of the connection.
pub fn ok(body: &str) -> Step {
    Step::Send(answer(200, "Connection: close\r\n", body))
}

/// This status with this body, and the end of the connection.
pub fn status(status: u16, body: &str) -> Step {
    Step::Send(answer(status, "Connection: close\r\n", body))
}
