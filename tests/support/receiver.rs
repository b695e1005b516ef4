//! A web service that takes webhook requests: notes each of them, and answers as it is told.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::simulator::TlsFiles;
use super::simulator::http::{Request, read_request};
use super::simulator::random::{Dice, pair};
use super::simulator::wire::{Wire, tls};
use rustls::ServerConfig;

/// What the service does with a request after it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This status, with these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// The connection is reset.
    Reset,
    /// 200, and the connection ends.
    OkThenClose,
    /// Nothing for this time, then the connection ends.
    Silence(Duration),
    /// An answer that comes byte by byte and never gets to its status.
    DrippingHead,
    /// 200, and a body that comes byte by byte.
    DrippingBody,
    /// 200, and a body without end.
    Endless,
}

impl Reply {
    pub fn ok() -> Reply {
        Reply::Status(200, Vec::new())
    }

    pub fn status(status: u16) -> Reply {
        Reply::Status(status, Vec::new())
    }

    fn is_success(&self) -> bool {
        matches!(
            self,
            Reply::Status(200..=299, _) | Reply::OkThenClose | Reply::DrippingBody | Reply::Endless
        )
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at: Instant,
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came; empty where only transactions are kept, as is `contact`.
    pub body: Arc<str>,
    /// The parts of the body, as they stand in it.
    pub contact: Arc<str>,
    pub transaction: Arc<str>,
    pub state: String,
    pub contact_id: String,
    pub fired: String,
    pub sequence: String,
    /// Whether it was answered with success.
    pub accepted: bool,
}

impl Arrival {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id").unwrap()
    }

    /// What identifies the transaction: contact, `fired` as the document has it, sequence number.
    pub fn key(&self) -> (String, String, String) {
        (
            self.contact_id.clone(),
            self.fired.clone(),
            self.sequence.clone(),
        )
    }

    fn read(request: Request, keeps_all: bool) -> Arrival {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            contact: &'a RawValue,
            #[serde(borrow)]
            transaction: &'a RawValue,
            state: String,
        }
        let body = String::from_utf8(request.body).expect("the body is UTF-8");
        let parts: Body<'_> = serde_json::from_str(&body).expect("the body is as documented");
        let text = |json: &str, key: &str| -> String {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            match &value[key] {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            }
        };
        let kept = |text: &str| Arc::from(if keeps_all { text } else { "" });
        Arrival {
            at: Instant::now(),
            method: request.method,
            target: request.target,
            headers: request.headers,
            contact_id: text(parts.contact.get(), "$id"),
            fired: text(parts.transaction.get(), "fired"),
            sequence: text(parts.transaction.get(), "sequence_nr"),
            contact: kept(parts.contact.get()),
            transaction: parts.transaction.get().into(),
            state: parts.state,
            body: kept(&body),
            accepted: false,
        }
    }
}

type Behaviour = Box<dyn FnMut(&Arrival) -> Reply + Send>;

struct World {
    arrivals: Mutex<Vec<Arrival>>,
    behaviour: Mutex<Behaviour>,
    /// Whether bodies are kept as a whole.
    keeps_all: AtomicBool,
    stopping: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
    /// How many there were, and those that are open.
    connections: Mutex<(usize, Vec<(usize, TcpStream)>)>,
}

/// A running service; ends when dropped.
pub struct Receiver {
    world: Arc<World>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl Receiver {
    /// One that accepts everything.
    pub fn start() -> Receiver {
        Receiver::listen(None)
    }

    /// One with HTTPS, with `server.pem` and `server.key` of a directory.
    pub fn start_with_tls(directory: &Path) -> Receiver {
        Receiver::listen(Some(tls(&TlsFiles {
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
        })))
    }

    fn listen(tls: Option<Arc<ServerConfig>>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let world = Arc::new(World {
            arrivals: Mutex::default(),
            behaviour: Mutex::new(Box::new(|_| Reply::ok())),
            keeps_all: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            tls,
            connections: Mutex::default(),
        });
        let address = listener.local_addr().unwrap();
        Receiver {
            acceptor: Some(accept(listener, &world)),
            world,
            address,
        }
    }

    /// Of what arrives from now on, only the transactions are kept, for large tests.
    pub fn keep_transactions_only(&self) {
        self.world.keeps_all.store(false, Ordering::SeqCst);
    }

    pub fn url(&self) -> String {
        match self.world.tls {
            None => format!("http://{}/in?from=dialfire", self.address),
            Some(_) => format!("https://localhost:{}/in", self.address.port()),
        }
    }

    /// Answers as this function says from now on. It is asked for one request at a time.
    pub fn behave(&self, behaviour: impl FnMut(&Arrival) -> Reply + Send + 'static) {
        *self.world.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    /// Accepts everything from now on.
    pub fn mend(&self) {
        self.behave(|_| Reply::ok());
    }

    /// So large a share of the requests fails from now on, in these ways.
    pub fn fail_at_rate(&self, seed: u64, share: f64, ways: Vec<Reply>) {
        let mut count = 0;
        self.behave(move |_| {
            count += 1;
            let mut dice = Dice::new(pair(seed, count));
            if dice.chance(share) {
                ways[dice.below(ways.len() as u64) as usize].clone()
            } else {
                Reply::ok()
            }
        });
    }

    /// Stops listening and breaks all connections: whoever connects is refused.
    pub fn go_down(&mut self) {
        self.world.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let woken = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken.is_ok()) {
            acceptor.join().unwrap();
        }
        for (_, socket) in self.world.connections.lock().unwrap().1.drain(..) {
            // Already closed by the client is just as well.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Listens again, at the same port.
    pub fn come_back(&mut self) {
        self.world.stopping.store(false, Ordering::SeqCst);
        let begin = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(begin.elapsed() < Duration::from_secs(10), "{error}"),
            }
            thread::sleep(Duration::from_millis(10));
        };
        self.acceptor = Some(accept(listener, &self.world));
    }

    /// All that arrived so far, in the order of its arrival.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.world.arrivals.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.world.arrivals.lock().unwrap().len()
    }

    /// Connections that were made so far.
    pub fn connections(&self) -> usize {
        self.world.connections.lock().unwrap().0
    }

    /// Waits until so much has arrived; fails after a minute.
    pub fn wait_for(&self, count: usize) {
        let begin = Instant::now();
        while self.count() < count {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{} of {count} requests arrived",
                self.count()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.go_down();
    }
}

fn accept(listener: TcpListener, world: &Arc<World>) -> JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || {
        for socket in listener.incoming() {
            if world.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(socket) = socket else { continue };
            let number = {
                let mut connections = world.connections.lock().unwrap();
                connections.0 += 1;
                let number = connections.0;
                connections
                    .1
                    .extend(socket.try_clone().map(|copy| (number, copy)));
                number
            };
            let world = Arc::clone(&world);
            thread::spawn(move || {
                if let Ok(wire) = Wire::new(socket, world.tls.as_ref()) {
                    // A connection that breaks is the client's business.
                    let _ = serve(&world, wire);
                }
                let mut connections = world.connections.lock().unwrap();
                connections.1.retain(|(known, _)| *known != number);
            });
        }
    })
}

fn serve(world: &World, wire: Wire) -> io::Result<()> {
    let mut stream = BufReader::new(wire);
    loop {
        let Some(request) = read_request(&mut stream)? else {
            return Ok(());
        };
        if world.stopping.load(Ordering::SeqCst) {
            return Ok(());
        }
        let reply = if request.method == "POST" {
            let (place, arrival) = {
                let mut arrivals = world.arrivals.lock().unwrap();
                let arrival = Arrival::read(request, world.keeps_all.load(Ordering::SeqCst));
                arrivals.push(arrival.clone());
                (arrivals.len() - 1, arrival)
            };
            let reply = (world.behaviour.lock().unwrap())(&arrival);
            world.arrivals.lock().unwrap()[place].accepted = reply.is_success();
            reply
        } else {
            Reply::status(405)
        };
        match reply {
            Reply::Status(status, headers) => {
                let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Length: 4\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                stream
                    .get_mut()
                    .write_all(format!("{head}\r\nsaid").as_bytes())?;
                stream.get_mut().flush()?;
            }
            Reply::Reset => {
                stream.into_inner().reset();
                return Ok(());
            }
            Reply::OkThenClose => {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
                stream.get_mut().flush()?;
                return Ok(());
            }
            Reply::Silence(time) => {
                thread::sleep(time);
                return Ok(());
            }
            Reply::DrippingHead => return drip(stream.get_mut(), b"HTTP/1.1 200 O"),
            Reply::DrippingBody => {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
                return drip(stream.get_mut(), &[b'x'; 999]);
            }
            Reply::Endless => {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let chunk = [b"10000\r\n", [b'x'; 0x1_0000].as_slice(), b"\r\n"].concat();
                loop {
                    stream.get_mut().write_all(&chunk)?;
                }
            }
        }
    }
}

/// Writes byte by byte until the other side has had enough.
fn drip(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        wire.write_all(&[*byte])?;
        wire.flush()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
