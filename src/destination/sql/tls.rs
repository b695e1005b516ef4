//! What TLS to a database needs beyond [`crate::net::tls`]: one rustls configuration per level of verification.
//!
//! Where whoever answers is to be trusted, what webpki can't read or ring can't calculate with counts as well: X.509
//! certificates of version 1, and RSA keys of fewer than 2,048 bits, as servers make them for themselves. The
//! handshake's signature is verified all the same where that is possible: it ties the connection to the certificate,
//! which PostgreSQL's channel binding relies on.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, alg_id};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use super::url::TlsMode;
use crate::error::{Error, Result};
use crate::net::tls::Roots;

/// A rustls configuration for these versions of TLS that verifies the server's certificate as far as `mode` asks for.
///
/// # Errors
/// [`Setup`](crate::error::ErrorKind::Setup) if rustls can't use the roots.
pub fn client_config(
    mode: TlsMode,
    roots: &Roots,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match mode {
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Check::Nothing,
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let mut store = RootCertStore::empty();
            let own = roots.own_certificates();
            match own {
                Some(certificates) => {
                    store.add_parsable_certificates(certificates.iter().cloned());
                }
                None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            }
            let chain =
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                    .build()
                    .map_err(|e| Error::setup(format!("cannot set up TLS: {e}")))?;
            Check::Chain {
                chain,
                trusted: own.unwrap_or_default().to_vec(),
                name: mode == TlsMode::VerifyFull,
            }
        }
    };
    let verifier = Verifier {
        provider: Arc::clone(&provider),
        check,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|e| Error::setup(format!("cannot set up TLS: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    check: Check,
}

#[derive(Debug)]
enum Check {
    Nothing,
    Chain {
        chain: Arc<WebPkiServerVerifier>,
        trusted: Vec<CertificateDer<'static>>,
        name: bool,
    },
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Check::Chain {
            chain,
            trusted,
            name,
        } = &self.check
        else {
            return Ok(ServerCertVerified::assertion());
        };
        // The self-signed certificate that the manuals of databases tell to make is its own authority, which
        // webpki does not accept. Whoever names exactly this certificate as trusted means it.
        if trusted.iter().any(|known| known == end_entity) {
            if *name {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let verified = rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms);
        self.or_by_bare_key(verified, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let verified = rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms);
        self.or_by_bare_key(verified, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl Verifier {
    /// Where anybody is to be trusted: verifies a signature that webpki refuses with the certificate's key alone.
    fn or_by_bare_key(
        &self,
        verified: std::result::Result<HandshakeSignatureValid, rustls::Error>,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let (Check::Nothing, Err(_)) = (&self.check, &verified) else {
            return verified;
        };
        let Some(key) = PublicKey::of(cert) else {
            return verified;
        };
        let algorithms = self.provider.signature_verification_algorithms.mapping;
        let valid = algorithms
            .iter()
            .filter(|(scheme, _)| *scheme == dss.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm)
            .any(|algorithm| {
                algorithm
                    .verify_signature(key.bits, message, dss.signature())
                    .is_ok()
            });
        // A key so short can be broken: its signature would prove little, and ring calculates with none.
        if valid || key.is_short_rsa() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verified
    }
}

/// A certificate's key, as far as this is needed to verify with it.
struct PublicKey<'a> {
    /// The content of its AlgorithmIdentifier.
    algorithm: &'a [u8],
    bits: &'a [u8],
}

/// Bytes of the shortest RSA modulus that ring calculates with.
const MIN_RSA_MODULUS: usize = 2048 / 8;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate, which one of version 1 lacks.
const VERSION: u8 = 0xa0;

impl<'a> PublicKey<'a> {
    /// Reads as far into the certificate as its key is: [RFC 5280] 4.1.
    fn of(cert: &'a CertificateDer<'_>) -> Option<Self> {
        let (certificate, _) = element(cert.as_ref(), SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        if let Some((_, behind)) = element(rest, VERSION) {
            rest = behind;
        }
        // Serial number, algorithm of the signature, issuer, validity, subject.
        for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
            (_, rest) = element(rest, tag)?;
        }
        let (info, _) = element(rest, SEQUENCE)?;
        let (algorithm, behind) = element(info, SEQUENCE)?;
        let (bits, _) = element(behind, BIT_STRING)?;
        let (0, bits) = bits.split_first()? else {
            return None;
        };
        Some(PublicKey { algorithm, bits })
    }

    fn is_short_rsa(&self) -> bool {
        if self.algorithm != alg_id::RSA_ENCRYPTION.as_ref() {
            return false;
        }
        let modulus = element(self.bits, SEQUENCE).and_then(|(key, _)| element(key, INTEGER));
        modulus.is_some_and(|(modulus, _)| {
            modulus.iter().skip_while(|byte| **byte == 0).count() < MIN_RSA_MODULUS
        })
    }
}

/// The content of the first element, which must have this tag, and what is behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else {
        return None;
    };
    if *found != tag {
        return None;
    }
    let (length, rest) = match (*first, rest) {
        (short @ ..=0x7f, rest) => (usize::from(short), rest),
        (0x81, [a, rest @ ..]) => (usize::from(*a), rest),
        (0x82, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Why TLS failed, for the admin.
pub fn problem(e: &rustls::Error) -> String {
    match e {
        rustls::Error::InvalidCertificate(why) => {
            format!(
                "the server's certificate can't be verified: {}",
                certificate_problem(why)
            )
        }
        other => other.to_string(),
    }
}

/// What is wrong with a certificate, for the admin.
pub fn certificate_problem(e: &CertificateError) -> String {
    let words = e.to_string();
    if words.contains("UnsupportedCertVersion") {
        return "it is an X.509 certificate of version 1, which nothing can be verified of: a new one must be of version 3"
            .to_owned();
    }
    if words.contains("CaUsedAsEndEntity") {
        return "it says of itself that it is an authority's and no server's (CA:TRUE), and is not among the trusted ones"
            .to_owned();
    }
    match e {
        CertificateError::BadSignature => {
            "its signature is wrong, or its key is RSA with fewer than 2048 bits: a new one must have 2048 or more"
                .to_owned()
        }
        _ => words,
    }
}
