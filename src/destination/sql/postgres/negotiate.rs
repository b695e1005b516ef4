//! What comes before the log-in: whether the connection is encrypted, and how long the server may be silent on it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::guard::{Breach, Guard, Seen};
use super::patience::{IdleTimeout, Patience};
use crate::destination::sql::peer::{self, MAX_GREETING};
use crate::destination::sql::url::{AuthMethods, TlsMode};
use crate::text;

/// `SSLRequest`: its length and the number that stands for it (PostgreSQL's documentation, 54.7 Message Formats).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Bytes of an error in place of the answer to `SSLRequest` that are read.
const MAX_REFUSAL: u64 = 4096;

type Rustls = MakeRustlsConnect;
type Wire = IdleTimeout<Socket>;

/// Asks for encryption in the driver's place. The driver hands over its socket for that only where it is told that
/// encryption begins at once (`SslNegotiation::Direct`); it is the one point at which a stream of ours can be put
/// under it, and it has no limit of its own for the time that a statement may take.
#[derive(Clone)]
pub(super) struct Negotiate {
    pub(super) rustls: MakeRustlsConnect,
    pub(super) tls: TlsMode,
    pub(super) patience: Patience,
    /// How the server may have us log in, where the address says so.
    pub(super) require_auth: Option<AuthMethods>,
    /// The server is on this computer.
    pub(super) local: bool,
    pub(super) seen: Seen,
}

impl MakeTlsConnect<Socket> for Negotiate {
    type Stream = Link;
    type TlsConnect = Negotiation;
    type Error = <Rustls as MakeTlsConnect<Wire>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Negotiation, Self::Error> {
        Ok(Negotiation {
            rustls: MakeTlsConnect::<Wire>::make_tls_connect(&mut self.rustls, host)?,
            terms: self.clone(),
        })
    }
}

/// The negotiation with one host.
pub(super) struct Negotiation {
    rustls: <Rustls as MakeTlsConnect<Wire>>::TlsConnect,
    terms: Negotiate,
}

impl Negotiation {
    fn link(terms: &Negotiate, stream: Stream) -> Link {
        let encrypted = matches!(stream, Stream::Encrypted(_));
        terms.seen.set_encrypted(encrypted);
        let verified = encrypted && matches!(terms.tls, TlsMode::VerifyCa | TlsMode::VerifyFull);
        let methods = terms
            .require_auth
            .unwrap_or_else(|| AuthMethods::by_default(terms.local || verified, encrypted));
        Link {
            stream,
            guard: Guard::new(methods, terms.seen.clone()),
        }
    }
}

impl TlsConnect<Socket> for Negotiation {
    type Stream = Link;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Link, Self::Error>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let Negotiation { rustls, terms } = self;
            let mut wire = IdleTimeout::new(socket, terms.patience.clone());
            if terms.tls == TlsMode::Disable {
                return Ok(Self::link(&terms, Stream::Plain(wire)));
            }
            let encrypts = ask(&mut wire).await.map_err(NoAnswer)?;
            let stream = match (encrypts, terms.tls) {
                (true, _) => Stream::Encrypted(Box::new(rustls.connect(wire).await?)),
                (false, TlsMode::Prefer) => Stream::Plain(wire),
                (false, _) => return Err(NO_TLS.into()),
            };
            Ok(Self::link(&terms, stream))
        })
    }
}

/// Asks whether the server encrypts. It answers with one byte: whoever sends more is another one, or puts words into
/// its mouth.
async fn ask(wire: &mut Wire) -> io::Result<bool> {
    wire.write_all(&SSL_REQUEST).await?;
    let mut greeting = [0; MAX_GREETING];
    let length = wire.read(&mut greeting).await?;
    let answer = greeting.get(..length).unwrap_or_default();
    match answer {
        [] => Err(io::ErrorKind::UnexpectedEof.into()),
        b"S" => Ok(true),
        b"N" => Ok(false),
        [b'E', ..] if answer.len() < 6 || peer::kind_of(answer) == Some(peer::POSTGRES) => {
            let mut message = answer.to_vec();
            // It closes the connection then.
            let _ = wire.take(MAX_REFUSAL).read_to_end(&mut message).await;
            Err(refusal(&message))
        }
        _ => Err(Breach::OtherProtocol(peer::kind_of(answer)).into()),
    }
}

/// The error of a server that could not even say whether it encrypts: type and length, then fields that end with a NUL.
fn refusal(message: &[u8]) -> io::Error {
    let fields = message
        .get(5..)
        .unwrap_or_default()
        .split(|byte| *byte == 0);
    let text = fields
        .filter_map(|field| field.strip_prefix(b"M"))
        .map(|text| text::foreign(&String::from_utf8_lossy(text)))
        .next();
    io::Error::other(text.unwrap_or_else(|| "the server refuses the connection".to_owned()))
}

/// The server encrypts nothing.
pub(super) const NO_TLS: &str = "server does not support TLS";

/// The connection broke, or the server was silent, before it said whether it encrypts.
#[derive(Debug)]
pub(super) struct NoAnswer(io::Error);

impl NoAnswer {
    pub(super) fn cause(&self) -> &io::Error {
        &self.0
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NoAnswer {}

/// The stream under the driver.
pub(super) struct Link {
    stream: Stream,
    guard: Guard,
}

enum Stream {
    Plain(Wire),
    Encrypted(Box<<Rustls as MakeTlsConnect<Wire>>::Stream>),
}

impl TlsStream for Link {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.stream {
            Stream::Plain(_) => ChannelBinding::none(),
            Stream::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Encrypted(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        ready!(read)?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        let seen = self.guard.look(new);
        if seen.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(seen.map_err(io::Error::from))
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
