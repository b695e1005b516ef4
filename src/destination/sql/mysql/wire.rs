//! Packets of MySQL's protocol on a socket: none waits longer, and none is larger, than its reader allows.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::failure::Failure;

/// Bytes of one packet; more are sent and read in several.
const MAX_PAYLOAD: usize = 0xff_ffff;

/// Bytes that are read from the socket at once.
const BUFFER: usize = 16 * 1024;

/// What no server says to a client that asked for nothing large.
pub(super) const MAX_SHORT_ANSWER: usize = 64 * 1024;

/// A connection to the server, not encrypted.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// How long the server may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// For everything until then.
    Until(Instant),
    /// For each packet that it takes, and for each answer as a whole.
    Each(Duration),
}

/// A socket whose reads and writes end at a deadline.
#[derive(Debug)]
struct Timed {
    socket: Socket,
    deadline: Instant,
}

enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
    /// TLS could not be agreed on.
    None,
}

/// Packets on a socket.
pub(super) struct Wire {
    stream: BufReader<Stream>,
    patience: Patience,
    sequence: u8,
    /// Bytes that the server may still send.
    budget: usize,
    out: Vec<u8>,
}

impl Wire {
    pub(super) fn new(socket: Socket, deadline: Instant) -> Self {
        Wire {
            stream: BufReader::with_capacity(BUFFER, Stream::Plain(Timed { socket, deadline })),
            patience: Patience::Until(deadline),
            sequence: 0,
            budget: MAX_SHORT_ANSWER,
            out: Vec::new(),
        }
    }

    /// Begins an exchange: a command, whose answer may have this many bytes.
    pub(super) fn begin(&mut self, budget: usize) {
        self.sequence = 0;
        self.budget = budget;
    }

    /// For what follows.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    pub(super) fn is_unix(&self) -> bool {
        match self.stream.get_ref() {
            #[cfg(unix)]
            Stream::Plain(Timed {
                socket: Socket::Unix(_),
                ..
            }) => true,
            _ => false,
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream.get_ref(), Stream::Tls(_))
    }

    pub(super) fn cipher(&self) -> Option<&'static str> {
        match self.stream.get_ref() {
            Stream::Tls(tls) => tls.conn.negotiated_cipher_suite()?.suite().as_str(),
            _ => None,
        }
    }

    /// Agrees on TLS. What the server sent before it in plain text would be taken for what it said under TLS.
    pub(super) fn encrypt(
        &mut self,
        config: Arc<ClientConfig>,
        server: ServerName<'static>,
    ) -> Result<(), Failure> {
        if !self.stream.buffer().is_empty() {
            return Err(Failure::Protocol("the server speaks before TLS begins"));
        }
        let Stream::Plain(mut timed) = std::mem::replace(self.stream.get_mut(), Stream::None)
        else {
            return Err(Failure::Protocol("TLS within TLS"));
        };
        let mut tls = ClientConnection::new(config, server).map_err(Failure::Tls)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut timed).map_err(tls_failure)?;
        }
        *self.stream.get_mut() = Stream::Tls(Box::new(StreamOwned::new(tls, timed)));
        Ok(())
    }

    /// Sends a payload, in several packets where it is too large for one.
    pub(super) fn send(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.arm();
        let mut rest = payload;
        loop {
            let (piece, behind) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            self.out.clear();
            self.header(piece.len());
            self.out.extend_from_slice(piece);
            self.flush()?;
            rest = behind;
            if piece.len() < MAX_PAYLOAD {
                break;
            }
        }
        // What has been sent, the server now works on.
        self.arm();
        Ok(())
    }

    /// Sends data in packets of at most `size` bytes, and doesn't expect an answer yet.
    pub(super) fn send_pieces(&mut self, data: &[u8], size: usize) -> Result<(), Failure> {
        self.arm();
        self.out.clear();
        for piece in data.chunks(size.clamp(1, MAX_PAYLOAD - 1)) {
            self.header(piece.len());
            self.out.extend_from_slice(piece);
        }
        self.flush()
    }

    /// The next packet's payload.
    pub(super) fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header)?;
            let [a, b, c, sequence] = header;
            let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            self.budget =
                self.budget
                    .checked_sub(length + header.len())
                    .ok_or(Failure::Protocol(
                        "the server's answer is larger than any that was asked for",
                    ))?;
            // A server that ends a connection says so out of turn.
            if sequence != self.sequence
                && !(length > 0
                    && payload.is_empty()
                    && self.stream.fill_buf()?.first() == Some(&0xff))
            {
                return Err(Failure::Protocol("the server's packets are out of order"));
            }
            self.sequence = sequence.wrapping_add(1);
            // Memory is taken as the bytes arrive, not as they are announced.
            let wanted = u64::try_from(length).unwrap_or(u64::MAX);
            let read = (&mut self.stream).take(wanted).read_to_end(&mut payload)?;
            if read < length {
                return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            if length < MAX_PAYLOAD {
                return Ok(payload);
            }
        }
    }

    /// Ends the connection, whatever the other side does.
    pub(super) fn close(&mut self) {
        let timed = match self.stream.get_mut() {
            Stream::Plain(timed) => timed,
            Stream::Tls(tls) => tls.get_mut(),
            Stream::None => return,
        };
        // It may have ended by itself.
        let _ = timed.socket.shutdown();
    }

    fn header(&mut self, length: usize) {
        let [a, b, c, ..] = length.to_le_bytes();
        self.out.extend_from_slice(&[a, b, c, self.sequence]);
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let stream = self.stream.get_mut();
        stream.write_all(&self.out)?;
        stream.flush()?;
        // One large statement must not cost its memory for ever.
        if self.out.capacity() > 4 << 20 {
            self.out = Vec::new();
        }
        Ok(())
    }

    fn arm(&mut self) {
        let deadline = match self.patience {
            Patience::Until(deadline) => deadline,
            Patience::Each(limit) => Instant::now() + limit,
        };
        match self.stream.get_mut() {
            Stream::Plain(timed) => timed.deadline = deadline,
            Stream::Tls(tls) => tls.get_mut().deadline = deadline,
            Stream::None => {}
        }
    }
}

/// What a handshake failed for: TLS itself, or the connection.
fn tls_failure(e: io::Error) -> Failure {
    let tls = e
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => Failure::Tls(tls.clone()),
        None => Failure::Io(e),
    }
}

impl Socket {
    fn shutdown(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(tcp) => tcp.shutdown(Shutdown::Both),
            #[cfg(unix)]
            Socket::Unix(unix) => unix.shutdown(Shutdown::Both),
        }
    }
}

impl Timed {
    /// The time that is left; zero would mean no limit.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left.max(Duration::from_millis(1)))),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.socket {
            Socket::Tcp(tcp) => {
                tcp.set_read_timeout(left)?;
                tcp.read(buffer)
            }
            #[cfg(unix)]
            Socket::Unix(unix) => {
                unix.set_read_timeout(left)?;
                unix.read(buffer)
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.socket {
            Socket::Tcp(tcp) => {
                tcp.set_write_timeout(left)?;
                tcp.write(data)
            }
            #[cfg(unix)]
            Socket::Unix(unix) => {
                unix.set_write_timeout(left)?;
                unix.write(data)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(timed) => timed.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
            Stream::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(timed) => timed.write(data),
            Stream::Tls(tls) => tls.write(data),
            Stream::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(timed) => timed.flush(),
            Stream::Tls(tls) => tls.flush(),
            Stream::None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const TOO_LARGE: &str = "the server's answer is larger than any that was asked for";

    /// A fresh connection to a server that sends these bytes and then nothing.
    fn connected_to(bytes: Vec<u8>) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            // Who refuses an answer closes the connection before all of it is sent.
            let _ = client.write_all(&bytes);
            let _ = client.read_to_end(&mut Vec::new());
        });
        let socket = Socket::Tcp(TcpStream::connect(address).unwrap());
        Wire::new(socket, Instant::now() + Duration::from_secs(60))
    }

    fn packet(sequence: u8, length: usize) -> Vec<u8> {
        let mut packet = announced(sequence, length);
        packet.resize(packet.len() + length, b'x');
        packet
    }

    /// The header of a packet alone.
    fn announced(sequence: u8, length: usize) -> Vec<u8> {
        let [a, b, c, ..] = length.to_le_bytes();
        vec![a, b, c, sequence]
    }

    fn refused(wire: &mut Wire) -> String {
        wire.receive().map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn before_the_log_in_one_byte_more_than_a_short_answer_is_refused() {
        let most = MAX_SHORT_ANSWER - 4;
        let mut wire = connected_to(packet(0, most));
        assert_eq!(wire.receive().unwrap().len(), most);

        // It is refused by its header: nothing else of it is there.
        let mut wire = connected_to(announced(0, most + 1));
        assert_eq!(refused(&mut wire), TOO_LARGE);

        // All packets of a log-in together.
        let whole = [packet(0, 1000), packet(1, most - 1004)].concat();
        let mut wire = connected_to(whole);
        assert_eq!(wire.receive().unwrap().len(), 1000);
        assert_eq!(wire.receive().unwrap().len(), most - 1004);
        let mut wire = connected_to([packet(0, 1000), announced(1, most - 1003)].concat());
        wire.receive().unwrap();
        assert_eq!(refused(&mut wire), TOO_LARGE);
    }

    #[test]
    fn after_the_log_in_one_byte_more_than_was_asked_for_is_refused() {
        for budget in [5, 5000, MAX_SHORT_ANSWER + 5000] {
            let mut wire = connected_to([packet(0, 100), packet(0, budget - 4)].concat());
            wire.receive().unwrap();
            wire.begin(budget);
            assert_eq!(wire.receive().unwrap().len(), budget - 4);

            let mut wire = connected_to([packet(0, 100), announced(0, budget - 3)].concat());
            wire.receive().unwrap();
            wire.begin(budget);
            assert_eq!(refused(&mut wire), TOO_LARGE);
        }
    }

    /// What one answer has left over is nothing that the next one may take.
    #[test]
    fn each_answer_has_its_own_limit() {
        let mut wire = connected_to([packet(0, 10), announced(0, 997)].concat());
        wire.begin(1000);
        wire.receive().unwrap();
        wire.begin(1000);
        assert_eq!(refused(&mut wire), TOO_LARGE);
    }

    #[test]
    fn a_payload_in_several_packets_counts_as_a_whole() {
        let large = packet(0, MAX_PAYLOAD);
        let budget = MAX_PAYLOAD + 4 + 4 + 10;
        let mut wire = connected_to([large.clone(), packet(1, 10)].concat());
        wire.begin(budget);
        assert_eq!(wire.receive().unwrap().len(), MAX_PAYLOAD + 10);

        let mut wire = connected_to([large, announced(1, 11)].concat());
        wire.begin(budget);
        assert_eq!(refused(&mut wire), TOO_LARGE);
    }
}
