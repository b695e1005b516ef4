//! A way to a server that a test can cut or make silent, for servers that it can't stop.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Passes connections to a port of 127.0.0.1 on to a server.
pub struct Proxy {
    server: (String, u16),
    port: u16,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    /// That of the connections which are made from now on.
    silent: Arc<Mutex<Arc<AtomicBool>>>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Proxy {
    pub fn start(host: &str, port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut proxy = Proxy {
            server: (host.to_owned(), port),
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            silent: Arc::default(),
            running: None,
        };
        proxy.listen(listener);
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections and takes no more.
    pub fn stop(&mut self) {
        let Some((stopping, listener)) = self.running.take() else {
            return;
        };
        stopping.store(true, Ordering::SeqCst);
        // The listener looks at the flag when somebody connects.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        listener.join().unwrap();
        for connection in self.connections.lock().unwrap().drain(..) {
            // The other side may have gone first.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// The connections that exist stay open, but nothing passes any more; later ones are as before.
    pub fn silence(&self) {
        let mut silent = self.silent.lock().unwrap();
        silent.store(true, Ordering::SeqCst);
        *silent = Arc::default();
    }

    pub fn start_again(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        self.listen(listener);
    }

    fn listen(&mut self, listener: TcpListener) {
        let stopping = Arc::new(AtomicBool::new(false));
        let (flag, server) = (Arc::clone(&stopping), self.server.clone());
        let connections = Arc::clone(&self.connections);
        let silent = Arc::clone(&self.silent);
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) =
                    (client, TcpStream::connect((server.0.as_str(), server.1)))
                else {
                    continue;
                };
                let silent = Arc::clone(&silent.lock().unwrap());
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    connections.lock().unwrap().push(to.try_clone().unwrap());
                    let silent = Arc::clone(&silent);
                    thread::spawn(move || pass(from, to, &silent));
                }
            }
        });
        self.running = Some((stopping, thread));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Copies until either side ends; that ends both. What comes while it is silent gets lost.
fn pass(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !silent.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    for end in [from, to] {
        let _ = end.shutdown(Shutdown::Both);
    }
}
