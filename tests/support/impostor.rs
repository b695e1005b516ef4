//! A way to a server on which a test answers some statement in the server's place.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// What is sent to the client instead of the server's answer.
type Answer = dyn Fn(&mut TcpStream) -> io::Result<()> + Send + Sync;

/// A port of 127.0.0.1; it lives as long as the process.
pub struct Impostor {
    port: u16,
    answered: Arc<AtomicUsize>,
}

impl Impostor {
    /// Passes connections on to a server of this computer. A client that sends these bytes gets the other answer, and
    /// then the end of its connection.
    pub fn start(
        server: u16,
        statement: Vec<u8>,
        answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answered = Arc::new(AtomicUsize::new(0));
        let (count, statement) = (Arc::clone(&answered), Arc::new(statement));
        let answer: Arc<Answer> = Arc::new(answer);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (statement, answer) = (Arc::clone(&statement), Arc::clone(&answer));
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
                    if let Some(mut client) = pass(client?, server, &statement)? {
                        // A client that has enough of it ends the connection.
                        let _ = answer(&mut client);
                        count.fetch_add(1, Ordering::SeqCst);
                        client.shutdown(Shutdown::Both)?;
                    }
                    io::Result::Ok(())
                });
            }
        });
        Impostor { port, answered }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections have got the other answer, as far as they wanted it.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

/// Copies both ways until either side ends; gives the client back once it has sent the statement.
fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    statement: &[u8],
) -> io::Result<Option<TcpStream>> {
    let replaced = Arc::new(AtomicBool::new(false));
    let back = {
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        let replaced = Arc::clone(&replaced);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            if !replaced.load(Ordering::SeqCst) {
                let _ = to.shutdown(Shutdown::Both);
            }
        })
    };
    let mut sent = Vec::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        sent.extend_from_slice(&buffer[..length]);
        if (sent.windows(statement.len())).any(|part| part == statement) {
            replaced.store(true, Ordering::SeqCst);
            server.shutdown(Shutdown::Both)?;
            back.join().unwrap();
            return Ok(Some(client));
        }
        // What may be the beginning of it.
        sent.drain(..sent.len().saturating_sub(statement.len()));
        if server.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    for end in [client, server] {
        let _ = end.shutdown(Shutdown::Both);
    }
    Ok(None)
}
