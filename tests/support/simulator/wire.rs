//! One connection of a client, plain or TLS.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::config::TlsFiles;
use super::http::AsWriter;

/// The bytes of a connection.
pub enum Wire {
    /// HTTP
    Plain(TcpStream),
    /// HTTPS
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    /// A connection that was just accepted.
    pub fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(match tls {
            None => Wire::Plain(socket),
            Some(config) => {
                let connection =
                    ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Wire::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        })
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// Ends the connection with a reset instead of a regular end.
    pub fn reset(self) {
        let linger = socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
        // Without linger the connection just ends, which is no reset; better to hear of it.
        linger.unwrap();
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

impl AsWriter for BufReader<Wire> {
    fn writer(&mut self) -> &mut dyn Write {
        self.get_mut()
    }
}

/// The TLS side of the server.
pub fn tls(files: &TlsFiles) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .expect("the certificate file can be read")
        .map(|certificate| certificate.expect("the certificate file is PEM"))
        .collect();
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("the key file can be read");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("certificate and key belong together");
    Arc::new(config)
}
