//! The byte stream under the packets: TCP, with TLS over it for as long as was agreed upon.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::message::{HEADER, PRELOGIN, header};

/// A connection to one client.
pub struct Transport {
    tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Transport {
    pub fn new(tcp: TcpStream) -> Self {
        Transport { tcp, tls: None }
    }

    /// Whether the client opens with TLS instead of a packet, as TDS 8.0 ("strict") does.
    pub fn begins_with_tls(&self) -> io::Result<bool> {
        let mut first = [0];
        Ok(self.tcp.peek(&mut first)? == 1 && first[0] == 0x16)
    }

    /// TDS 8.0: TLS at once, without packets around the handshake.
    pub fn accept_strict(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut self.tcp)?;
        }
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// TDS 7: the handshake travels inside PRELOGIN packets, everything after it does not.
    pub fn accept_in_packets(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        let mut received = Vec::new();
        loop {
            let mut answer = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut answer)?;
            }
            if !answer.is_empty() {
                let mut packet = header(PRELOGIN, true, answer.len(), 0).to_vec();
                packet.append(&mut answer);
                self.tcp.write_all(&packet)?;
            }
            if !tls.is_handshaking() {
                break;
            }
            if received.is_empty() {
                received = self.read_handshake_packet()?;
            }
            let taken = tls.read_tls(&mut received.as_slice())?;
            received.drain(..taken);
            if let Err(error) = tls.process_new_packets() {
                // The client is told why, in an alert.
                let mut alert = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut alert)?;
                }
                let mut packet = header(PRELOGIN, true, alert.len(), 0).to_vec();
                packet.append(&mut alert);
                self.tcp.write_all(&packet)?;
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    fn read_handshake_packet(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; HEADER];
        self.tcp.read_exact(&mut head)?;
        if head[0] != PRELOGIN {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the TLS handshake must travel in PRELOGIN packets",
            ));
        }
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let mut body = vec![0; length.saturating_sub(HEADER)];
        self.tcp.read_exact(&mut body)?;
        Ok(body)
    }

    /// Goes on without TLS: the end of "encrypt the log-in only".
    pub fn drop_tls(&mut self) {
        self.tls = None;
    }

    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the client has sent something, or has gone, while it ought to wait for an answer.
    pub fn is_interrupted(&self) -> bool {
        let mut byte = [0];
        if self.tcp.set_nonblocking(true).is_err() {
            return true;
        }
        let peeked = self.tcp.peek(&mut byte);
        let back = self.tcp.set_nonblocking(false);
        back.is_err() || !matches!(peeked, Err(e) if e.kind() == ErrorKind::WouldBlock)
    }

    pub fn close(&self) {
        // It may be closed already.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.tcp).read(buffer),
            None => self.tcp.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.tcp).write(bytes),
            None => self.tcp.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.tcp).flush(),
            None => self.tcp.flush(),
        }
    }
}
