//! Address, certificates and proxy.

use super::*;

#[test]
fn addresses_and_tokens_that_can_not_be_used_are_usage_errors() {
    for url in [
        "",
        "api.dialfire.com",
        "ftp://api.dialfire.com",
        "https://",
        "https://a b",
        "https://host/?q=1",
    ] {
        let error = Client::new(setup(url).options).err().expect("refused");
        let text = text(&error, ErrorKind::Usage);
        assert!(
            text.contains("is not a web address") && text.ends_with("(check --api-url)"),
            "{text}"
        );
    }
    let mut wrong = setup("https://api.dialfire.com");
    wrong.options.token = Secret::new("SECRET\n");
    let error = Client::new(wrong.options).err().expect("refused");
    assert_eq!(
        text(&error, ErrorKind::Usage),
        "the token holds characters that no token has (check --ct)"
    );
}

/// A root certificate in a file, and a server configuration for 127.0.0.1 that it vouches for.
fn private_root() -> (PathBuf, Arc<rustls::ServerConfig>) {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root =
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &root)
        .unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![leaf.der().clone()], key.into())
    .unwrap();
    let path = std::env::temp_dir().join(format!("dbsync2-root-{}.pem", std::process::id()));
    std::fs::write(&path, root.pem()).unwrap();
    (path, Arc::new(config))
}

#[test]
fn a_private_root_is_trusted_through_the_ca_file_only() {
    let (path, config) = private_root();
    let roots = Roots::load(Some(&path)).unwrap();
    std::fs::remove_file(&path).unwrap();

    let server = Server::start_tls(Arc::clone(&config), vec![ok(ONE)]);
    let url = format!("https://127.0.0.1:{}", server.port());
    let trusting = {
        let mut setup = setup(&url);
        setup.options.roots = roots;
        setup.client()
    };
    // First a client that doesn't know the root: its handshake fails, and the server still waits for a request.
    let stranger = setup(&url);
    let waits = Arc::clone(&stranger.waits);
    let error = stranger.client().fields().unwrap_err();
    assert_eq!(
        text(&error, ErrorKind::Setup),
        "GET fields/list: the certificate of the server is not trusted: UnknownIssuer \
         (check --ca-file, --api-url and the clock of this computer)"
    );
    assert!(waits.lock().unwrap().is_empty());
    assert_eq!(server.requests(), [""; 0]);
    assert_eq!(ids(&trusting), ["C1"]);
}

#[test]
fn a_proxy_is_asked_to_connect_and_does_not_get_the_token() {
    let proxy = Server::start(vec![
        Step::SendAndKeep(b"HTTP/1.1 200 Connected\r\n\r\n".to_vec()),
        ok(ONE),
    ]);
    let mut setup = setup("http://api.example:8123");
    setup.options.proxy =
        Some(ureq::Proxy::new(&format!("http://me:pw@127.0.0.1:{}", proxy.port())).unwrap());
    assert_eq!(ids(&setup.client()), ["C1"]);
    let requests = proxy.requests();
    assert!(
        requests[0].starts_with("CONNECT api.example:8123 HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    // me:pw in base64
    assert!(
        requests[0].contains("\r\nProxy-Authorization: Basic bWU6cHc=\r\n"),
        "{}",
        requests[0]
    );
    assert!(!requests[0].contains("SECRET"), "{}", requests[0]);
    assert!(
        requests[1].starts_with(&format!("GET {LISTING} HTTP/1.1\r\n")),
        "{}",
        requests[1]
    );
}
