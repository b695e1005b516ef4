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
    /// How many TLS records with data the client has sent.
    pub records: u64,
}

impl Transport {
    pub fn new(tcp: TcpStream) -> Self {
        Transport {
            tcp,
            tls: None,
            records: 0,
        }
    }

    /// Whether the client opens with TLS instead of a packet, as TDS 8.0 ("strict") does.
    pub fn begins_with_tls(&self) -> io::Result<bool> {
        let mut first = [0];
        Ok(self.tcp.peek(&mut first)? == 1 && first[0] == 0x16)
    }

    /// TDS 8.0: TLS at once, without packets around the handshake.
    pub fn accept_strict(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        loop {
            while tls.wants_write() {
                tls.write_tls(&mut self.tcp)?;
            }
            if !tls.is_handshaking() {
                break;
            }
            self.read_record(&mut tls)?;
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

    /// Reads one TLS record, so that it shows which packets are in it. Whether the client has not gone.
    fn read_record(&mut self, tls: &mut ServerConnection) -> io::Result<bool> {
        let mut record = vec![0; 5];
        match self.tcp.read_exact(&mut record) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(5 + length, 0);
        self.tcp.read_exact(&mut record[5..])?;
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            tls.read_tls(&mut rest)?;
        }
        match tls.process_new_packets() {
            Ok(state) => self.records += u64::from(state.plaintext_bytes_to_read() > 0),
            Err(error) => {
                // The client is told why, in an alert.
                while tls.wants_write() {
                    tls.write_tls(&mut self.tcp)?;
                }
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        Ok(true)
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
        let Some(mut tls) = self.tls.take() else {
            return self.tcp.read(buffer);
        };
        let read = loop {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => match self.read_record(&mut tls) {
                    Ok(true) => {}
                    Ok(false) => break Ok(0),
                    Err(e) => break Err(e),
                },
                read => break read,
            }
        };
        self.tls = Some(tls);
        read
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
