//! The server: one thread per connection, and what faults do to an answer.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::ServerConfig;

use super::api;
use super::control;
use super::counters::{Endpoint, SeenRequest};
use super::faults::Fault;
use super::http::{self, Answer, Request};
use super::instant::{Instant, SECOND, http_date};
use super::wire::{Wire, tls};
use super::world::World;

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    world: Arc<World>,
    sockets: Arc<Mutex<Vec<(u64, TcpStream)>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on 127.0.0.1.
    pub fn start(world: Arc<World>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", world.campaign.config.port))?;
        let address = listener.local_addr()?;
        let tls = world.campaign.config.tls.as_ref().map(tls);
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let acceptor = {
            let (world, sockets) = (Arc::clone(&world), Arc::clone(&sockets));
            thread::spawn(move || accept(&listener, &world, &sockets, tls.as_ref()))
        };
        Ok(Server {
            address,
            world,
            sockets,
            acceptor: Some(acceptor),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.world.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let woken = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken.is_ok()) {
            acceptor.join().unwrap();
        }
        for (_, socket) in self.sockets.lock().unwrap().drain(..) {
            // Already closed by the client is just as well.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn accept(
    listener: &TcpListener,
    world: &Arc<World>,
    sockets: &Arc<Mutex<Vec<(u64, TcpStream)>>>,
    tls: Option<&Arc<ServerConfig>>,
) {
    for (number, socket) in (0u64..).zip(listener.incoming()) {
        if world.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(copy) = socket.try_clone() else {
            continue;
        };
        sockets.lock().unwrap().push((number, copy));
        let (world, sockets, tls) = (Arc::clone(world), Arc::clone(sockets), tls.cloned());
        thread::spawn(move || {
            {
                let mut counters = world.counters.lock().unwrap();
                counters.connections += 1;
                counters.most_connections = counters.most_connections.max(counters.connections);
            }
            if let Ok(wire) = Wire::new(socket, tls.as_ref()) {
                // A connection that breaks is the client's business.
                let _ = serve(&world, wire);
            }
            world.counters.lock().unwrap().connections -= 1;
            sockets.lock().unwrap().retain(|(n, _)| *n != number);
        });
    }
}

/// What follows an answer.
enum Next {
    KeepAlive,
    Close,
    Reset,
}

fn serve(world: &World, wire: Wire) -> io::Result<()> {
    let mut stream = BufReader::new(wire);
    loop {
        let Some(request) = http::read_request(&mut stream)? else {
            return Ok(());
        };
        let next = if request.target.starts_with("/control/") {
            control::respond(world, &request, stream.get_mut())?;
            Next::Close
        } else {
            respond(world, &request, stream.get_mut())?
        };
        let close = request
            .header("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"));
        match next {
            Next::KeepAlive if !close => {}
            Next::Reset => {
                stream.into_inner().reset();
                return Ok(());
            }
            Next::KeepAlive | Next::Close => return Ok(()),
        }
    }
}

fn respond(world: &World, request: &Request, wire: &mut Wire) -> io::Result<Next> {
    let now = world.clock.now();
    let endpoint = api::endpoint(world, request);
    note(world, request, endpoint, now);
    let (outage, deny, ahead, fault) = {
        let mut plan = world.faults.lock().unwrap();
        let (outage, deny, ahead) = (plan.outage, plan.deny, plan.date_ahead);
        let fault = if outage || deny {
            None
        } else {
            plan.next(endpoint)
        };
        (outage, deny, ahead, fault)
    };
    if outage {
        return Ok(Next::Reset);
    }
    let date = http_date(now + ahead * SECOND);
    let gzip = world.campaign.config.gzip
        && request
            .header("accept-encoding")
            .is_some_and(|v| v.contains("gzip"));
    let send = |wire: &mut Wire, answer: &Answer| -> io::Result<Next> {
        put(world, wire, &answer.bytes(&date, gzip))?;
        Ok(Next::KeepAlive)
    };
    if deny {
        return send(wire, &api::forbidden());
    }
    let right = || api::answer(world, endpoint, request, now);
    let send_right = |wire: &mut Wire| -> io::Result<Next> {
        if !world.campaign.config.keep_answers || endpoint != Endpoint::Contacts {
            return send(wire, &right());
        }
        let question = (request.body.clone(), gzip);
        let kept = world.answers.lock().unwrap().get(now, &question);
        let bytes = kept.unwrap_or_else(|| {
            let bytes = Arc::new(right().bytes(&date, gzip));
            world.counters.lock().unwrap().answers_made += 1;
            let mut answers = world.answers.lock().unwrap();
            answers.keep(now, question, Arc::clone(&bytes));
            bytes
        });
        put(world, wire, &bytes)?;
        Ok(Next::KeepAlive)
    };
    let Some(fault) = fault else {
        return send_right(wire);
    };
    world.counters.lock().unwrap().faults += 1;
    match fault {
        Fault::ResetBefore => Ok(Next::Reset),
        Fault::ResetWithin => {
            send_half(world, wire, &right(), &date)?;
            Ok(Next::Reset)
        }
        Fault::ShortBody => {
            send_half(world, wire, &right(), &date)?;
            Ok(Next::Close)
        }
        Fault::SlowDrip => drip(world, wire, &right().bytes(&date, false)),
        Fault::Endless => endless(world, wire, &right(), &date),
        Fault::Delay(milliseconds) => {
            thread::sleep(Duration::from_millis(u64::from(milliseconds)));
            send_right(wire)
        }
        Fault::ExpiredCursor if request.parameter("cursor").is_none() => send(wire, &right()),
        _ => send(wire, &wrong(world, fault, right)),
    }
}

/// The answer that a fault puts in the place of the right one.
fn wrong(world: &World, fault: Fault, right: impl Fn() -> Answer) -> Answer {
    match fault {
        Fault::Error404 => Answer::plain(404, "not found"),
        Fault::NoneThere => Answer::json(b"[]".to_vec()),
        Fault::Error502 => Answer::html(502, "502 Bad Gateway"),
        Fault::TooMany(wait) => {
            let mut answer = Answer::plain(429, "Too Many Requests");
            answer
                .headers
                .extend(wait.map(|s| ("Retry-After", s.to_string())));
            answer
        }
        Fault::TruncatedJson => {
            let mut answer = right();
            answer.body.truncate(answer.body.len() / 2);
            answer
        }
        Fault::WrongType => match right().body.first() {
            Some(b'[') => Answer::json(b"{\"message\":\"unexpected\"}".to_vec()),
            _ => Answer::json(b"[1,2,3]".to_vec()),
        },
        Fault::Html => Answer::html(200, "Maintenance"),
        Fault::Empty => Answer::plain(200, ""),
        Fault::ExpiredCursor => Answer::plain(
            world.campaign.config.readings.cursor_life.status,
            "cursor expired",
        ),
        _ => Answer::plain(500, "internal error"),
    }
}

/// Sends bytes and counts them.
fn put(world: &World, wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    world.counters.lock().unwrap().sent_bytes += bytes.len() as u64;
    wire.write_all(bytes)?;
    wire.flush()
}

fn send_half(world: &World, wire: &mut Wire, answer: &Answer, date: &str) -> io::Result<()> {
    put(
        world,
        wire,
        &answer.head(date, Some(answer.body.len()), false),
    )?;
    put(world, wire, &answer.body[..answer.body.len() / 2])
}

fn drip(world: &World, wire: &mut Wire, bytes: &[u8]) -> io::Result<Next> {
    for byte in bytes {
        if world.stopping.load(Ordering::SeqCst) {
            return Ok(Next::Close);
        }
        put(world, wire, std::slice::from_ref(byte))?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(Next::KeepAlive)
}

/// The first half of the right answer, then blanks until the client hangs up.
fn endless(world: &World, wire: &mut Wire, answer: &Answer, date: &str) -> io::Result<Next> {
    put(world, wire, &answer.head(date, None, false))?;
    put(world, wire, &answer.body[..answer.body.len() / 2])?;
    while !world.stopping.load(Ordering::SeqCst) {
        put(world, wire, &[b' '; 64 * 1024])?;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(Next::Close)
}

fn note(world: &World, request: &Request, endpoint: Endpoint, now: Instant) {
    let posted = match endpoint {
        Endpoint::Contacts => api::posted_ids(request).unwrap_or_default(),
        _ => Vec::new(),
    };
    let header = |name: &str| request.header(name).map(str::to_owned);
    let seen = SeenRequest {
        at: now,
        endpoint,
        method: request.method.clone(),
        target: request.target.clone(),
        user_agent: header("user-agent"),
        authorized: request.header("authorization").is_some(),
        accept_encoding: header("accept-encoding"),
        ids: posted.len(),
    };
    let mut counters = world.counters.lock().unwrap();
    counters.note(seen);
    if world.campaign.config.record_ids {
        counters.fetched.extend(posted);
    }
}
