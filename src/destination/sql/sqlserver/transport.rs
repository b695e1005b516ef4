//! The stream between the driver and the server: adds the TLS that the driver is built without.
//!
//! The driver's own TLS would bring a second crypto library along. Built without it, the driver offers the server no
//! encryption and expects none. So the PRELOGIN message is exchanged here, before the driver begins: then TLS is set
//! up as [MS-TDS] says, with the handshake inside of PRELOGIN packets. What the driver sends as its own PRELOGIN is
//! swallowed, and answered with "no encryption"; everything after that goes through, one packet at a time: SQL Server
//! drops connections whose packets span TLS records.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::handshake::Wrapped;
use super::prelogin::{
    self, ANSWER, Disagreement, HEADER, LAST, LOGIN7, MAX_ANSWER, PRELOGIN, Scope,
};
use crate::destination::sql::url::Encryption;

/// Why no transport came about.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    /// The TLS handshake failed.
    Tls(io::Error),
    Disagreement(Disagreement),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Io(e)
    }
}

/// How to set up TLS.
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server: ServerName<'static>,
}

/// Bytes that a server may send until the log-in is complete: an ordinary one sends less than 1,000.
const MAX_LOGIN_ANSWER: usize = 64 * 1024;

/// How many bytes the server may still send. Whoever waits for an answer says how long it may be.
#[derive(Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// What the server may send until it has let us in.
    pub(super) fn for_login() -> Self {
        Budget(Arc::new(AtomicUsize::new(MAX_LOGIN_ANSWER)))
    }

    /// Allows an answer of so many bytes from now on.
    pub(super) fn allow(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let spent = |left: usize| left.checked_sub(bytes);
        match (self.0).fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the server's answer is longer than any that SQL Server gives",
            )),
        }
    }
}

/// A connection that the driver can log in through.
pub(super) struct Transport {
    stream: Stream,
    /// What the driver is still to read of the answer to its PRELOGIN.
    answer: Vec<u8>,
    budget: Budget,
    sending: Sending,
    /// The packet that the driver is writing, or that is on its way.
    packet: Packet,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Wrapped>>),
    /// TLS is being taken off; for a moment only.
    None,
}

/// What the driver sends now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Its PRELOGIN message, which goes nowhere.
    Prelogin {
        then: Scope,
    },
    /// Its log-in, after which TLS ends.
    Login,
    /// The log-in was sent; TLS ends as soon as it is flushed.
    LoginSent,
    Anything,
}

impl Transport {
    /// Agrees with the server on encryption. `tls` is there unless nothing is to be encrypted.
    pub(super) async fn negotiate(
        mut tcp: TcpStream,
        wanted: Encryption,
        tls: Option<Tls>,
        budget: Budget,
    ) -> Result<Self, Failure> {
        let mut then = Scope::Everything;
        let stream = match (wanted, tls) {
            (Encryption::Strict, Some(tls)) => {
                let mut stream = connect(Wrapped::new(tcp, false), tls).await?;
                exchange(&mut stream, wanted).await?;
                Stream::Tls(Box::new(stream))
            }
            (_, tls) => match (exchange(&mut tcp, wanted).await?, tls) {
                (Scope::Nothing, _) => Stream::Plain(tcp),
                (scope, Some(tls)) => {
                    let mut stream = connect(Wrapped::new(tcp, true), tls).await?;
                    stream.get_mut().0.wrapping = false;
                    then = scope;
                    Stream::Tls(Box::new(stream))
                }
                (_, None) => {
                    return Err(Failure::Disagreement(Disagreement::ServerInsists));
                }
            },
        };
        Ok(Transport {
            stream,
            answer: Vec::new(),
            budget,
            sending: Sending::Prelogin { then },
            packet: Packet::default(),
        })
    }

    /// What is encrypted, in words.
    pub(super) fn encryption(&self) -> &'static str {
        match (&self.stream, &self.sending) {
            (Stream::Tls(_), Sending::Prelogin { then: Scope::Login }) => {
                "only the log-in is encrypted"
            }
            (Stream::Tls(_), _) => "encrypted",
            _ => "not encrypted",
        }
    }

    /// Sends the packet once the driver has written all of it.
    fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.packet.is_whole() {
            return Poll::Ready(Ok(()));
        }
        let message = self.packet.ends_message();
        if let Sending::Prelogin { then } = self.sending {
            if message == Some(PRELOGIN) {
                self.answer = prelogin::packet(ANSWER, &prelogin::answer_to_driver());
                self.sending = match then {
                    Scope::Login => Sending::Login,
                    _ => Sending::Anything,
                };
            }
            self.packet.clear();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_end_of_tls(cx))?;
        while !self.packet.rest().is_empty() {
            let rest = self.packet.rest();
            let sent = ready!(match &mut self.stream {
                Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, rest),
                Stream::Tls(tls) => {
                    // TLS takes all of a packet, and puts it into one record, only where nothing waits before it.
                    ready!(Pin::new(&mut *tls).poll_flush(cx))?;
                    Pin::new(tls).poll_write(cx, rest)
                }
                Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            })?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.packet.sent += sent;
        }
        if self.sending == Sending::Login && message == Some(LOGIN7) {
            self.sending = Sending::LoginSent;
        }
        self.packet.clear();
        Poll::Ready(Ok(()))
    }

    /// Takes TLS off once the log-in has gone out.
    fn poll_end_of_tls(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Sending::LoginSent = self.sending {
            if let Stream::Tls(tls) = &mut self.stream {
                ready!(Pin::new(tls).poll_flush(cx))?;
            }
            self.stream = match std::mem::replace(&mut self.stream, Stream::None) {
                Stream::Tls(tls) => Stream::Plain(tls.into_inner().0.tcp),
                plain => plain,
            };
            self.sending = Sending::Anything;
        }
        Poll::Ready(Ok(()))
    }
}

async fn connect(stream: Wrapped, tls: Tls) -> Result<TlsStream<Wrapped>, Failure> {
    TlsConnector::from(tls.config)
        .connect(tls.server, stream)
        .await
        .map_err(Failure::Tls)
}

/// Sends our PRELOGIN message and decides by the answer.
async fn exchange<S>(stream: &mut S, wanted: Encryption) -> Result<Scope, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = prelogin::packet(PRELOGIN, &prelogin::request(wanted));
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).await?;
        let [kind, status, high, low, ..] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != ANSWER || length < HEADER || answer.len() + length > MAX_ANSWER {
            return Err(Failure::Disagreement(Disagreement::NotSqlServer));
        }
        let mut payload = vec![0; length - HEADER];
        stream.read_exact(&mut payload).await?;
        answer.extend_from_slice(&payload);
        if status & LAST != 0 {
            return prelogin::decide(wanted, &answer).map_err(Failure::Disagreement);
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.answer.is_empty() {
            let length = this.answer.len().min(buffer.remaining());
            let rest = this.answer.split_off(length);
            buffer.put_slice(&this.answer);
            this.answer = rest;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
            Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        })?;
        Poll::Ready(this.budget.spend(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_packet(cx))?;
        let taken = this.packet.take(bytes);
        // Where the packet can't go out now, the next call or the flush sends it.
        match this.poll_packet(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_packet(cx))?;
        ready!(this.poll_end_of_tls(cx))?;
        match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Stream::None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Stream::None => Poll::Ready(Ok(())),
        }
    }
}

/// A packet of the driver as far as it is written.
#[derive(Default)]
struct Packet {
    bytes: Vec<u8>,
    /// How many of them have gone out.
    sent: usize,
}

impl Packet {
    /// The bytes that the packet has as a whole, or at least.
    fn length(&self) -> usize {
        match self.bytes.as_slice() {
            [_, _, high, low, ..] if self.bytes.len() >= HEADER => {
                usize::from(u16::from_be_bytes([*high, *low])).max(HEADER)
            }
            _ => HEADER,
        }
    }

    /// Takes what belongs to this packet; returns how much that is.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while !self.is_whole() && taken < bytes.len() {
            let rest = bytes.get(taken..).unwrap_or_default();
            let missing = (self.length() - self.bytes.len()).min(rest.len());
            (self.bytes).extend_from_slice(rest.get(..missing).unwrap_or_default());
            taken += missing;
        }
        taken
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() >= HEADER && self.bytes.len() == self.length()
    }

    /// What has yet to go out.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// The kind of the message that this packet is the last of.
    fn ends_message(&self) -> Option<u8> {
        match self.bytes.as_slice() {
            [kind, status, ..] if status & LAST != 0 => Some(*kind),
            _ => None,
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_packet_is_taken_as_a_whole_however_it_is_written() {
        let message = prelogin::packet(LOGIN7, &[7; 1000]);
        for step in [1, 7, HEADER, 999, 5000] {
            let mut packet = Packet::default();
            let bytes = [message.as_slice(), &message].concat();
            let mut taken = 0;
            while !packet.is_whole() {
                let end = (taken + step).min(bytes.len());
                taken += packet.take(bytes.get(taken..end).unwrap());
            }
            assert_eq!(packet.rest(), message, "in steps of {step}");
            assert_eq!(packet.ends_message(), Some(LOGIN7));
            assert_eq!(packet.take(&message), 0);
        }
    }

    #[test]
    fn not_one_byte_more_than_allowed() {
        let budget = Budget::for_login();
        budget.spend(MAX_LOGIN_ANSWER - 1).unwrap();
        budget.spend(1).unwrap();
        assert!(budget.spend(1).is_err());
        budget.allow(2);
        budget.spend(2).unwrap();
        assert!(budget.spend(1).is_err());
    }
}
