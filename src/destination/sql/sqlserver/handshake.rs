//! The TLS handshake inside of TDS: each flight in PRELOGIN packets, as [MS-TDS] 2.2.6.5 wants it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::prelogin::{self, ANSWER, HEADER, PRELOGIN};

/// Bytes of TLS handshake per packet; packets of any server may be this long.
const HANDSHAKE_PACKET: usize = 4096 - HEADER;

/// The TCP connection below TLS; during the handshake each flight is sent as a PRELOGIN packet.
pub(super) struct Wrapped {
    pub(super) tcp: TcpStream,
    /// Whether the handshake goes on.
    pub(super) wrapping: bool,
    /// What TLS has written since the last flush.
    outgoing: Vec<u8>,
    /// Packets on their way.
    packets: Vec<u8>,
    header: Vec<u8>,
    /// Bytes left of the incoming packet.
    incoming: usize,
}

impl Wrapped {
    pub(super) fn new(tcp: TcpStream, wrapping: bool) -> Self {
        Wrapped {
            tcp,
            wrapping,
            outgoing: Vec::new(),
            packets: Vec::new(),
            header: Vec::new(),
            incoming: 0,
        }
    }

    /// Reads the header of the next packet.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.header.len() < HEADER {
            let mut bytes = [0; HEADER];
            let missing = HEADER - self.header.len();
            let mut buffer = ReadBuf::new(bytes.get_mut(..missing).unwrap_or_default());
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.header.extend_from_slice(buffer.filled());
        }
        let length = match self.header.as_slice() {
            [PRELOGIN | ANSWER, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        self.header.clear();
        self.incoming = length.checked_sub(HEADER).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the server's answer is not a TLS handshake",
            )
        })?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.wrapping {
            return Pin::new(&mut this.tcp).poll_read(cx, buffer);
        }
        while this.incoming == 0 {
            ready!(this.poll_header(cx))?;
        }
        let mut bytes = [0; HANDSHAKE_PACKET];
        let most = this.incoming.min(buffer.remaining()).min(bytes.len());
        let mut part = ReadBuf::new(bytes.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        let length = part.filled().len();
        this.incoming -= length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.wrapping {
            return Pin::new(&mut this.tcp).poll_write(cx, bytes);
        }
        this.outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outgoing = std::mem::take(&mut this.outgoing);
        let parts = outgoing.chunks(HANDSHAKE_PACKET);
        let count = parts.len();
        for (at, part) in parts.enumerate() {
            let mut packet = prelogin::packet(PRELOGIN, part);
            if at + 1 < count
                && let Some(status) = packet.get_mut(1)
            {
                *status = 0;
            }
            this.packets.append(&mut packet);
        }
        while !this.packets.is_empty() {
            let sent = ready!(Pin::new(&mut this.tcp).poll_write(cx, &this.packets))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.packets.drain(..sent);
        }
        Pin::new(&mut this.tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
