//! The other side of a connection, which says what the input says and nothing else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A listener on this computer.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    says: Arc<Mutex<Arc<Vec<u8>>>>,
}

impl Peer {
    /// Starts it; it lives as long as the process.
    pub fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let says: Arc<Mutex<Arc<Vec<u8>>>> = Arc::default();
        let bytes = Arc::clone(&says);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bytes = Arc::clone(&bytes.lock().unwrap_or_else(PoisonError::into_inner));
                serve(stream, &bytes);
            }
        });
        Peer { address, says }
    }

    /// What it says from now on to whoever connects.
    pub fn says(&self, data: &[u8]) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(data.to_vec());
    }
}

/// Says everything at once and hangs up, as far as speaking goes; whatever it is told it ignores.
fn serve(mut stream: TcpStream, bytes: &[u8]) {
    let _ = stream.set_write_timeout(Some(Duration::from_secs(2)));
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).is_ok_and(|count| count > 0) {}
}
