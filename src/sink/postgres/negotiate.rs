//! What comes before the log-in: whether the connection is encrypted, and how long the server may be silent on it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::patience::{Patience, Patient};
use crate::sink::url::TlsMode;

/// `SSLRequest`: its length and the number that stands for it (PostgreSQL's documentation, 54.7 Message Formats).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

type Rustls = MakeRustlsConnect;
type Wire = Patient<Socket>;

/// Asks for encryption in the driver's place. The driver hands over its socket for that only where it is told that
/// encryption begins at once (`SslNegotiation::Direct`); it is the one point at which a stream of ours can be put
/// under it, and it has no limit of its own for the time that a statement may take.
#[derive(Clone)]
pub(super) struct Negotiate {
    pub(super) rustls: MakeRustlsConnect,
    pub(super) tls: TlsMode,
    pub(super) patience: Patience,
}

impl MakeTlsConnect<Socket> for Negotiate {
    type Stream = Link;
    type TlsConnect = Negotiation;
    type Error = <Rustls as MakeTlsConnect<Wire>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Negotiation, Self::Error> {
        Ok(Negotiation {
            rustls: MakeTlsConnect::<Wire>::make_tls_connect(&mut self.rustls, host)?,
            tls: self.tls,
            patience: self.patience.clone(),
        })
    }
}

/// The negotiation with one host.
pub(super) struct Negotiation {
    rustls: <Rustls as MakeTlsConnect<Wire>>::TlsConnect,
    tls: TlsMode,
    patience: Patience,
}

impl TlsConnect<Socket> for Negotiation {
    type Stream = Link;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Link, Self::Error>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let mut wire = Patient::new(socket, self.patience);
            if self.tls == TlsMode::Disable {
                return Ok(Link::Plain(wire));
            }
            let answer = async {
                wire.write_all(&SSL_REQUEST).await?;
                wire.read_u8().await
            };
            match (answer.await.map_err(NoAnswer)?, self.tls) {
                (b'S', _) => Ok(Link::Encrypted(Box::new(self.rustls.connect(wire).await?))),
                (_, TlsMode::Prefer) => Ok(Link::Plain(wire)),
                _ => Err(NO_TLS.into()),
            }
        })
    }
}

/// The server encrypts nothing.
pub(super) const NO_TLS: &str = "server does not support TLS";

/// The connection broke, or the server was silent, before it said whether it encrypts.
#[derive(Debug)]
pub(super) struct NoAnswer(io::Error);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NoAnswer {}

/// The stream under the driver.
pub(super) enum Link {
    Plain(Wire),
    Encrypted(Box<<Rustls as MakeTlsConnect<Wire>>::Stream>),
}

impl TlsStream for Link {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Link::Plain(_) => ChannelBinding::none(),
            Link::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Link::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Link::Encrypted(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Link::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Link::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Link::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Link::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Link::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Link::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
