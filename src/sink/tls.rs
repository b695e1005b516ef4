//! What TLS to a database needs beyond [`crate::tls`]: one rustls configuration per level of verification.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use super::url::TlsMode;
use crate::error::{Error, Result};
use crate::tls::Roots;

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
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
