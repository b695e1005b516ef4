//! Messages and the packets that they are cut into.

use std::io::{self, ErrorKind, Read, Write};

use super::transport::Transport;

/// Length of a packet's header.
pub const HEADER: usize = 8;

// The kinds of packets.
pub const SQL_BATCH: u8 = 1;
pub const RPC: u8 = 3;
const RESPONSE: u8 = 4;
pub const ATTENTION: u8 = 6;
pub const BULK_LOAD: u8 = 7;
pub const TRANSACTION_MANAGER: u8 = 14;
pub const LOGIN7: u8 = 16;
pub const PRELOGIN: u8 = 18;

const END_OF_MESSAGE: u8 = 1;
const IGNORE: u8 = 2;

pub fn header(kind: u8, last: bool, body: usize, number: u8) -> [u8; HEADER] {
    let [high, low] = u16::try_from(body + HEADER)
        .expect("packets are small")
        .to_be_bytes();
    [kind, u8::from(last), high, low, 0, 0, number, 0]
}

/// A message while it arrives: packets are read when their bytes are asked for.
pub struct Message<'a> {
    transport: &'a mut Transport,
    pub kind: u8,
    body: Vec<u8>,
    position: usize,
    last: bool,
    ignored: bool,
    packet_size: usize,
}

impl<'a> Message<'a> {
    /// Waits for the next message; `None` when the client has gone.
    pub fn receive(transport: &'a mut Transport, packet_size: usize) -> io::Result<Option<Self>> {
        let mut message = Message {
            transport,
            kind: 0,
            body: Vec::new(),
            position: 0,
            last: false,
            ignored: false,
            packet_size,
        };
        match message.next_packet() {
            Ok(()) => Ok(Some(message)),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn next_packet(&mut self) -> io::Result<()> {
        let mut head = [0; HEADER];
        let records = self.transport.records;
        self.transport.read_exact(&mut head)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if length < HEADER || length > self.packet_size {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!(
                    "a packet of {length} bytes where {} were agreed upon",
                    self.packet_size
                ),
            ));
        }
        if self.kind != 0 && head[0] != self.kind {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!(
                    "a packet of kind {} inside a message of kind {}",
                    head[0], self.kind
                ),
            ));
        }
        self.kind = head[0];
        self.last = head[1] & END_OF_MESSAGE != 0;
        self.ignored |= head[1] & IGNORE != 0;
        self.body.resize(length - HEADER, 0);
        self.position = 0;
        self.transport.read_exact(&mut self.body)?;
        if self.transport.records > records + 1 {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "a packet in more than one TLS record, on which a real server hangs up",
            ));
        }
        Ok(())
    }

    /// Whether there is anything left to read.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        while self.position == self.body.len() {
            if self.last {
                return Ok(true);
            }
            self.next_packet()?;
        }
        Ok(false)
    }

    pub fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub fn u8(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    pub fn u16(&mut self) -> io::Result<u16> {
        let mut bytes = [0; 2];
        self.read_exact(&mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    pub fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub fn u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A text whose length in characters is a byte.
    pub fn b_varchar(&mut self) -> io::Result<String> {
        let length = usize::from(self.u8()?);
        self.utf16(length)
    }

    pub fn utf16(&mut self, units: usize) -> io::Result<String> {
        Ok(utf16(&self.bytes(units * 2)?))
    }

    /// All that is left.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Reads to the end. Whether the client wants the message to count.
    pub fn finish(&mut self) -> io::Result<bool> {
        while !self.is_at_end()? {
            self.position = self.body.len();
        }
        Ok(!self.ignored)
    }

    /// Passes over the headers of a request (transaction descriptor and others).
    pub fn skip_headers(&mut self) -> io::Result<()> {
        let total = self.u32()?;
        let rest = usize::try_from(total)
            .expect("usize holds u32")
            .saturating_sub(4);
        self.bytes(rest).map(drop)
    }
}

impl Read for Message<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_at_end()? {
            return Ok(0);
        }
        let count = buffer.len().min(self.body.len() - self.position);
        buffer[..count].copy_from_slice(&self.body[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

/// Text out of little-endian UTF-16; what is no Unicode becomes U+FFFD.
pub fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]));
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// A response: sent packet by packet as it grows.
pub struct Response {
    packet_size: usize,
    buffer: Vec<u8>,
    number: u8,
}

impl Response {
    pub fn new(packet_size: usize) -> Self {
        Response {
            packet_size,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// Where tokens are put.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Sends the packets that are full.
    pub fn send_full_packets(&mut self, transport: &mut Transport) -> io::Result<()> {
        let body = self.packet_size - HEADER;
        let mut sent = 0;
        while self.buffer.len() - sent > body {
            self.send(transport, sent..sent + body, false)?;
            sent += body;
        }
        self.buffer.drain(..sent);
        Ok(())
    }

    /// Sends what is left, as the end of the message.
    pub fn finish(mut self, transport: &mut Transport) -> io::Result<()> {
        self.send_full_packets(transport)?;
        self.send(transport, 0..self.buffer.len(), true)?;
        transport.flush()
    }

    fn send(
        &mut self,
        transport: &mut Transport,
        part: std::ops::Range<usize>,
        last: bool,
    ) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        let mut packet = header(RESPONSE, last, part.len(), self.number).to_vec();
        packet.extend_from_slice(&self.buffer[part]);
        transport.write_all(&packet)
    }
}
