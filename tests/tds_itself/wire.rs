//! The protocol where other people's clients can't be made to show it: a client of a few lines.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::ordinary;
use crate::support::servers::certificates;
use crate::support::tds::TdsServer;
use crate::support::tds::options::{DATABASE, Options, PASSWORD, USER};
use crate::support::tds::wire::prelogin::Encryption;

/// Sends batches and looks for errors in the answers.
pub struct Client {
    stream: Box<dyn Stream>,
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl Client {
    pub fn log_in(server: &TdsServer) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", server.port())).expect("the server runs");
        let mut client = Client {
            stream: Box::new(tcp),
        };
        client.prelogin(2);
        assert_eq!(client.login(), Ok(()));
        client
    }

    /// The server's encryption option.
    fn prelogin(&mut self, encryption: u8) -> u8 {
        self.send(
            18,
            &[
                0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 9, 0, 0, 0, 0, 0, encryption,
            ],
        );
        let answer = self.receive().expect("an answer to PRELOGIN");
        let entry = answer
            .chunks(5)
            .find(|entry| entry[0] == 1)
            .expect("an option");
        answer[usize::from(entry[2])]
    }

    fn login(&mut self) -> Result<(), Vec<i32>> {
        let mut fixed = vec![0; 94];
        fixed[4..8].copy_from_slice(&0x7400_0004_u32.to_le_bytes());
        fixed[8..12].copy_from_slice(&512_u32.to_le_bytes());
        let password: Vec<u8> = utf16(PASSWORD)
            .into_iter()
            .map(|b| b.rotate_left(4) ^ 0xa5)
            .collect();
        let mut rest: Vec<u8> = Vec::new();
        for (at, bytes) in [(40, utf16(USER)), (44, password), (68, utf16(DATABASE))] {
            let offset = u16::try_from(94 + rest.len()).unwrap();
            fixed[at..at + 2].copy_from_slice(&offset.to_le_bytes());
            fixed[at + 2..at + 4]
                .copy_from_slice(&u16::try_from(bytes.len() / 2).unwrap().to_le_bytes());
            rest.extend(bytes);
        }
        fixed.extend(rest);
        let length = u32::try_from(fixed.len()).unwrap();
        fixed[..4].copy_from_slice(&length.to_le_bytes());
        self.send(16, &fixed);
        self.answer()
    }

    /// Runs a batch: the numbers of its errors, none where the connection is lost.
    pub fn batch(&mut self, sql: &str) -> Result<(), Vec<i32>> {
        let mut body = vec![
            22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
        ];
        body.extend(utf16(sql));
        self.send(1, &body);
        self.answer()
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        let parts: Vec<&[u8]> = body.chunks(504).collect();
        for (at, part) in parts.iter().enumerate() {
            let [high, low] = u16::try_from(part.len() + 8).unwrap().to_be_bytes();
            let last = u8::from(at + 1 == parts.len());
            let mut packet = vec![kind, last, high, low, 0, 0, 1, 0];
            packet.extend_from_slice(part);
            // The server may have closed the connection: the answer shows it.
            let _ = self.stream.write_all(&packet);
        }
    }

    /// A message's bytes.
    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut header = [0; 8];
            self.stream.read_exact(&mut header)?;
            let length = usize::from(u16::from_be_bytes([header[2], header[3]])) - 8;
            assert!(length <= 4096 - 8);
            let start = body.len();
            body.resize(start + length, 0);
            self.stream.read_exact(&mut body[start..])?;
            if header[1] & 1 != 0 {
                return Ok(body);
            }
        }
    }

    fn answer(&mut self) -> Result<(), Vec<i32>> {
        let body = self.receive().map_err(|_| Vec::new())?;
        let errors = error_numbers(&body);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

/// The ERROR tokens among the tokens of an answer, up to its first result.
fn error_numbers(body: &[u8]) -> Vec<i32> {
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            0xaa => numbers.push(i32::from_le_bytes(body[at + 3..at + 7].try_into().unwrap())),
            0xab | 0xad | 0xe3 => {}
            0xfd..=0xff => {
                at += 13;
                continue;
            }
            0x79 => {
                at += 5;
                continue;
            }
            _ => return numbers,
        }
        at += 3 + usize::from(u16::from_le_bytes([body[at + 1], body[at + 2]]));
    }
    numbers
}

#[test]
fn strict_encryption_begins_with_tls() {
    let server = TdsServer::start(Options {
        encryption: Encryption::Required,
        ..Options::default()
    });
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificates().join("ca.pem")).unwrap())
        .unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    config.alpn_protocols = vec![b"tds/8.0".to_vec()];
    let tls =
        rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap())
            .unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut client = Client {
        stream: Box::new(rustls::StreamOwned::new(tls, tcp)),
    };
    client.prelogin(2);
    assert_eq!(client.login(), Ok(()));
    assert_eq!(client.batch("SELECT 1"), Ok(()));
    assert!(server.logins()[0].2);
}

#[test]
fn a_server_that_requires_encryption_ends_a_client_without() {
    let server = TdsServer::start(Options {
        encryption: Encryption::Required,
        ..Options::default()
    });
    let tcp = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut client = Client {
        stream: Box::new(tcp),
    };
    assert_eq!(client.prelogin(2), 3);
    assert_eq!(client.login(), Err(vec![]));
    assert!(server.logins().is_empty());
}

#[test]
fn encryption_is_agreed_upon_as_the_specification_says() {
    for (encryption, answers) in [
        (Encryption::Offered, [0, 1, 2]),
        (Encryption::Required, [3, 1, 3]),
        (Encryption::Unsupported, [2, 2, 2]),
    ] {
        let server = TdsServer::start(Options {
            encryption,
            ..Options::default()
        });
        for (wish, expected) in (0_u8..).zip(answers) {
            let tcp = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            let mut client = Client {
                stream: Box::new(tcp),
            };
            assert_eq!(client.prelogin(wish), expected, "{encryption:?}, {wish}");
        }
    }
}

#[test]
fn a_broken_bulk_load_stores_nothing() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int NOT NULL)");
    let mut rows = vec![0x81, 1, 0, 0, 0, 0, 0, 8, 0, 0x38, 2, b'i', 0, b'd', 0];
    for n in 0_u32..1000 {
        rows.push(0xd1);
        rows.extend(n.to_le_bytes());
    }
    rows.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let load = || {
        let mut client = Client::log_in(&server);
        client
            .batch("INSERT BULK t ([id] int)")
            .expect("the table is there");
        client.send(7, &rows);
        client.answer()
    };
    server.controls().break_bulk_load_at(500);
    assert_eq!(load(), Err(vec![]));
    assert_eq!(
        super::value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("0")
    );
    assert_eq!(load(), Ok(()));
    assert_eq!(
        super::value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("1000")
    );
}

#[test]
fn a_bulk_load_of_another_type_is_refused() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id bigint NOT NULL)");
    let mut client = Client::log_in(&server);
    client
        .batch("INSERT BULK t ([id] int)")
        .expect("the table is there");
    client.send(
        7,
        &[
            0x81, 1, 0, 0, 0, 0, 0, 8, 0, 0x38, 2, b'i', 0, b'd', 0, 0xd1, 1, 0, 0, 0,
        ],
    );
    assert_eq!(client.answer(), Err(vec![4816]));
    assert_eq!(
        client.batch("INSERT BULK t ([nothing] int)"),
        Err(vec![207])
    );
}

#[test]
fn the_browser_knows_the_instance_and_no_other() {
    let server = TdsServer::start(Options {
        instance: Some("DIALER".to_owned()),
        ..Options::default()
    });
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let browser = ("127.0.0.1", server.browser_port());
    // The first one is answered by silence, the second one by the only answer that comes.
    socket.send_to(b"\x04NOBODY\0", browser).unwrap();
    socket.send_to(b"\x04dialer\0", browser).unwrap();
    let mut answer = [0; 512];
    let (length, _) = socket.recv_from(&mut answer).unwrap();
    assert_eq!(answer[0], 5);
    assert_eq!(
        usize::from(u16::from_le_bytes([answer[1], answer[2]])),
        length - 3
    );
    let text = str::from_utf8(&answer[3..length]).unwrap();
    assert!(
        text.contains(&format!(
            ";InstanceName;DIALER;IsClustered;No;Version;15.0.2000.5;tcp;{};;",
            server.port()
        )),
        "{text}"
    );
}
