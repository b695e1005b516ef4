//! Which certificates of servers are let pass where whoever answers is to be trusted: against OpenSSL.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbsync2::destination::sql::tls::{certificate_problem, client_config};
use dbsync2::destination::sql::url::TlsMode;
use dbsync2::net::tls::Roots;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConnection, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

/// A certificate of version 1 with a key of 2,048 bits: the path of its files without `.pem` and `.key`.
pub fn version_1() -> String {
    certificate("version-1", 2048, false)
}

/// Makes a certificate and its key with OpenSSL.
fn certificate(name: &str, bits: u32, version_3: bool) -> String {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let directory: PathBuf = std::env::temp_dir().join(format!(
        "dbsync2-certificates-{}-{number}",
        std::process::id()
    ));
    std::fs::create_dir_all(&directory).unwrap();
    let stem = directory.join(name).display().to_string();
    let (key, request, pem) = (
        format!("{stem}.key"),
        format!("{stem}.csr"),
        format!("{stem}.pem"),
    );
    let key_type = format!("rsa:{bits}");
    let common = [
        "-newkey",
        &key_type,
        "-nodes",
        "-keyout",
        &key,
        "-subj",
        "/CN=SSL_Self_Signed_Fallback",
    ];
    if version_3 {
        openssl(&[&["req", "-x509", "-days", "3", "-out", &pem], &common[..]].concat());
    } else {
        openssl(&[&["req", "-new", "-out", &request], &common[..]].concat());
        let signing = [
            "x509", "-req", "-days", "3", "-in", &request, "-signkey", &key, "-out", &pem,
        ];
        openssl(&signing);
    }
    stem
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A server of TLS with this certificate.
struct OpenSsl {
    process: Child,
    port: u16,
}

impl OpenSsl {
    fn start(stem: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-www",
                "-accept",
                &format!("127.0.0.1:{port}"),
            ])
            .args([
                "-cert",
                &format!("{stem}.pem"),
                "-key",
                &format!("{stem}.key"),
            ])
            .args(["-cipher", "DEFAULT:@SECLEVEL=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "OpenSSL does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        OpenSsl { process, port }
    }

    /// Asks for a page; the error if the handshake fails.
    fn page(
        &self,
        mode: TlsMode,
        version: &'static SupportedProtocolVersion,
    ) -> Result<String, rustls::Error> {
        let mut stream = handshake(self.port, mode, version)?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut page = vec![0; 64];
        let length = stream.read(&mut page).unwrap();
        Ok(String::from_utf8_lossy(&page[..length]).into_owned())
    }
}

fn handshake(
    port: u16,
    mode: TlsMode,
    version: &'static SupportedProtocolVersion,
) -> Result<StreamOwned<ClientConnection, TcpStream>, rustls::Error> {
    let roots = Roots::load(None).unwrap();
    let config = client_config(mode, &roots, &[version]).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|e| {
            let inner = e.into_inner().expect("an error of TLS");
            *inner.downcast::<rustls::Error>().expect("of rustls")
        })?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn whoever_answers_is_trusted_whatever_the_certificate() {
    for (name, bits, version_3, problem) in [
        ("version-1", 2048, false, "version 1"),
        ("short", 1024, true, "authority"),
        ("short-version-1", 1024, false, "version 1"),
        ("ordinary", 2048, true, "authority"),
    ] {
        let server = OpenSsl::start(&certificate(name, bits, version_3));
        for version in [&TLS12, &TLS13] {
            for mode in [TlsMode::Prefer, TlsMode::Require] {
                let page = server.page(mode, version);
                assert!(
                    page.as_ref()
                        .is_ok_and(|page| page.starts_with("HTTP/1.0 200")),
                    "{name} {version:?} {mode:?}: {page:?}"
                );
            }
            match server.page(TlsMode::VerifyFull, version) {
                Err(rustls::Error::InvalidCertificate(e)) => {
                    let said = certificate_problem(&e);
                    assert!(
                        said.to_lowercase().contains(problem),
                        "{name}: {said} {e:?}"
                    );
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

/// Who shows the certificate of another server lacks its key.
#[test]
fn a_certificate_without_its_key_is_not_let_pass() {
    let provider = rustls::crypto::ring::default_provider();
    for (name, version_3) in [("ordinary", true), ("version-1", false)] {
        let (real, mine) = (
            certificate(name, 2048, version_3),
            certificate(name, 2048, version_3),
        );
        let shown = CertificateDer::from_pem_file(format!("{real}.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{mine}.key")).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let stolen = SingleCertAndKey::from(CertifiedKey::new(vec![shown], key));
        let server = ServerConfig::builder_with_provider(Arc::new(provider.clone()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(stolen));
        let server = Arc::new(server);
        for version in [&TLS12, &TLS13] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = Arc::clone(&server);
            let serving = std::thread::spawn(move || {
                let (mut tcp, _) = listener.accept().unwrap();
                let mut tls = ServerConnection::new(server).unwrap();
                while tls.is_handshaking() && tls.complete_io(&mut tcp).is_ok() {}
            });
            let error = handshake(port, TlsMode::Require, version).err();
            assert!(
                matches!(error, Some(rustls::Error::InvalidCertificate(_))),
                "{name} {version:?}: {error:?}"
            );
            serving.join().unwrap();
        }
    }
}
