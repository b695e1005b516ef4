//! The stream between the driver and the server: adds the TLS that the driver is built without.
//!
//! The driver's own TLS would bring a second crypto library along. Built without it, the driver offers the server no
//! encryption and expects none. So the PRELOGIN message is exchanged here, before the driver begins: then TLS is set
//! up as [MS-TDS] says, with the handshake inside of PRELOGIN packets. What the driver sends as its own PRELOGIN is
//! swallowed, and answered with "no encryption"; everything after that goes through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::handshake::Wrapped;
use super::prelogin::{self, ANSWER, Disagreement, HEADER, LAST, LOGIN7, LONGEST, PRELOGIN, Scope};
use crate::sink::url::Encryption;

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

/// A connection that the driver can log in through.
pub(super) struct Transport {
    stream: Stream,
    /// What the driver is still to read of the answer to its PRELOGIN.
    answer: Vec<u8>,
    sending: Sending,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Wrapped>>),
    /// TLS is being taken off; for a moment only.
    None,
}

/// What the driver sends now.
enum Sending {
    /// Its PRELOGIN message, which goes nowhere.
    Prelogin(Packets),
    /// Its log-in, after which TLS ends.
    Login(Packets),
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
    ) -> Result<Self, Failure> {
        let mut sending = Packets::default();
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
                    sending.ends_tls = scope == Scope::Login;
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
            sending: Sending::Prelogin(sending),
        })
    }

    /// What is encrypted, in words.
    pub(super) fn encryption(&self) -> &'static str {
        match (&self.stream, &self.sending) {
            (Stream::Tls(_), Sending::Prelogin(Packets { ends_tls: true, .. })) => {
                "only the log-in is encrypted"
            }
            (Stream::Tls(_), _) => "encrypted",
            _ => "not encrypted",
        }
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
        if kind != ANSWER || length < HEADER || answer.len() + length > LONGEST {
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
        match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
            Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_end_of_tls(cx))?;
        if let Sending::Prelogin(packets) = &mut this.sending {
            let length = packets.within_packet(bytes);
            let sent = bytes.get(..length).unwrap_or_default();
            if packets.sent(sent) == Some(PRELOGIN) {
                this.answer = prelogin::packet(ANSWER, &prelogin::answer_to_driver());
                this.sending = match packets.ends_tls {
                    true => Sending::Login(Packets::default()),
                    false => Sending::Anything,
                };
            }
            return Poll::Ready(Ok(length));
        }
        let bytes = match &this.sending {
            Sending::Login(packets) => bytes
                .get(..packets.within_packet(bytes))
                .unwrap_or_default(),
            _ => bytes,
        };
        let written = ready!(match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        })?;
        if let Sending::Login(packets) = &mut this.sending
            && packets.sent(bytes.get(..written).unwrap_or_default()) == Some(LOGIN7)
        {
            this.sending = Sending::LoginSent;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
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

/// Where in a message of the driver its bytes are.
#[derive(Default)]
struct Packets {
    /// The header of the current packet as far as it came.
    header: Vec<u8>,
    /// Bytes of the packet behind the header that came.
    behind: usize,
    /// Whether TLS ends with the log-in that follows.
    ends_tls: bool,
}

impl Packets {
    fn length(&self) -> Option<usize> {
        match self.header.as_slice() {
            [_, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
            _ => None,
        }
    }

    /// How many of the bytes to come belong to the same packet, and to the same part of it.
    fn within_packet(&self, bytes: &[u8]) -> usize {
        let missing = if self.header.len() < HEADER {
            HEADER - self.header.len()
        } else {
            self.length()
                .unwrap_or_default()
                .saturating_sub(HEADER + self.behind)
        };
        missing.min(bytes.len())
    }

    /// Takes note of bytes that were sent; returns the type of the message that ended with them.
    fn sent(&mut self, bytes: &[u8]) -> Option<u8> {
        if self.header.len() < HEADER {
            self.header.extend_from_slice(bytes);
        } else {
            self.behind += bytes.len();
        }
        let (kind, status) = match self.header.as_slice() {
            [kind, status, ..] if self.header.len() >= HEADER => (*kind, *status),
            _ => return None,
        };
        if HEADER + self.behind < self.length()? {
            return None;
        }
        self.header.clear();
        self.behind = 0;
        (status & LAST != 0).then_some(kind)
    }
}
