//! How far connections are encrypted, and certificates verified.

use super::*;

#[test]
fn tls_is_verified_as_far_as_asked_for() {
    let db = Database::new("tls");
    let ca = certificates().join("ca.pem");
    let right = Roots::load(Some(&ca)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let file = std::env::temp_dir().join(format!("dbsync2-mysql-ca-{}.pem", std::process::id()));
    std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    let wrong = Roots::load(Some(&file)).unwrap();
    let none = Roots::load(None).unwrap();
    let open = |tls, roots: &Roots| {
        MysqlSink::open(&MysqlUrl { tls, ..db.url() }, roots).map(|mut sink| {
            let lines = sink.check(&schema(&[])).unwrap();
            lines.iter().any(|line| {
                line.outcome
                    .as_ref()
                    .is_ok_and(|text| text.starts_with("encrypted"))
            })
        })
    };
    assert_eq!(open(TlsMode::Disable, &none), Ok(false));
    assert_eq!(open(TlsMode::Prefer, &wrong), Ok(true));
    assert_eq!(open(TlsMode::Require, &wrong), Ok(true));
    assert_eq!(open(TlsMode::VerifyCa, &right), Ok(true));
    assert_eq!(open(TlsMode::VerifyFull, &right), Ok(true));
    for (tls, roots) in [
        (TlsMode::VerifyCa, &wrong),
        (TlsMode::VerifyFull, &wrong),
        (TlsMode::VerifyFull, &none),
    ] {
        let error = open(tls, roots).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup, "{error}");
        assert!(
            error.to_string().contains("certificate") && error.to_string().contains("--ca-file"),
            "{error}"
        );
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn the_name_in_the_certificate_counts_only_with_verify_full() {
    let db = Database::new("name");
    let ca = certificates().join("ca.pem");
    let roots = Roots::load(Some(&ca)).unwrap();
    // All of 127.0.0.0/8 is this machine, but the certificate names 127.0.0.1 only.
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = host();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = std::net::TcpStream::connect((server.name.as_str(), server.port)).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    let servers = Servers::Tcp(vec![Host {
        name: "127.0.0.2".to_owned(),
        port,
    }]);
    let open = |tls| {
        MysqlSink::open(
            &MysqlUrl {
                tls,
                servers: servers.clone(),
                ..db.url()
            },
            &roots,
        )
        .map(drop)
    };
    assert_eq!(open(TlsMode::VerifyCa), Ok(()));
    let error = open(TlsMode::VerifyFull).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(error.to_string().contains("not valid for"), "{error}");
}
