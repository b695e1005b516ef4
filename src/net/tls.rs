//! One rustls set-up for everything that speaks TLS: which roots are trusted, and ring as the only provider.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};
use crate::files::input;

/// Bytes of a file with root certificates: those of operating systems have some hundred thousand.
const MAX_CA_FILE: usize = 16 << 20;

/// The root certificates that servers are checked against: those of `--ca-file`, else the compiled-in web roots.
///
/// Cheap to clone: the certificates are shared.
#[derive(Clone)]
pub struct Roots {
    certificates: Arc<Vec<CertificateDer<'static>>>,
    client_config: Arc<ClientConfig>,
    file: Option<PathBuf>,
}

impl Roots {
    /// Loads the certificates of a PEM file, or the compiled-in web roots if there is none.
    ///
    /// A certificate of the file that rustls can't use (such as an old one of version 1) is left out with a warning,
    /// since bundles of operating systems hold such; at least one must be usable.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage), naming the file, if it can't be read or holds no usable certificate.
    pub fn load(ca_file: Option<&Path>) -> Result<Roots> {
        let Some(path) = ca_file else {
            let store: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
            return Roots::trusting(Vec::new(), store, None);
        };
        let pem = input::read_all(path, MAX_CA_FILE).map_err(|e| {
            Error::usage(format!(
                "cannot read the root certificates {}: {e} (check --ca-file)",
                path.display()
            ))
        })?;
        let mut certificates = Vec::new();
        let mut store = RootCertStore::empty();
        let mut refused = String::from("it holds no certificate in PEM form");
        for section in CertificateDer::pem_slice_iter(&pem) {
            let problem = match section {
                Ok(certificate) => match store.add(certificate.clone()) {
                    Ok(()) => {
                        certificates.push(certificate);
                        continue;
                    }
                    Err(e) => e.to_string(),
                },
                Err(e) => e.to_string(),
            };
            log::warn!(
                "a root certificate of {} is left out: {problem}",
                path.display()
            );
            refused = problem;
        }
        if certificates.is_empty() {
            return Err(Error::usage(format!(
                "cannot use the root certificates {}: {refused} (check --ca-file)",
                path.display()
            )));
        }
        Roots::trusting(certificates, store, Some(path.to_owned()))
    }

    fn trusting(
        certificates: Vec<CertificateDer<'static>>,
        store: RootCertStore,
        file: Option<PathBuf>,
    ) -> Result<Roots> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client_config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::setup(format!("cannot set up TLS: {e}")))?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Roots {
            certificates: Arc::new(certificates),
            client_config: Arc::new(client_config),
            file,
        })
    }

    /// The certificates of `--ca-file`, at least one; `None` if the compiled-in web roots are used.
    ///
    /// For libraries that build their own configuration and know the web roots themselves.
    pub fn own_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        (!self.certificates.is_empty()).then_some(self.certificates.as_slice())
    }

    /// The file of `--ca-file`; for the mysql crate, which takes nothing else.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// A client configuration (TLS 1.2 and 1.3) that trusts these roots; no client certificate, no ALPN.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client_config)
    }
}

/// Makes ring the provider of the process, for libraries that take it from there. Further calls do nothing.
pub fn install_provider() {
    // An error means that a provider is installed already, and ring is the only one compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use std::path::PathBuf;

    use super::*;
    use crate::error::ErrorKind;

    fn file(name: &str, content: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("dbsync2-tls-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        path
    }

    fn root_pem() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    fn usage_error(path: &Path) -> String {
        let error = Roots::load(Some(path)).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Usage);
        let text = error.to_string();
        assert!(
            text.contains(&path.display().to_string()) && text.contains("--ca-file"),
            "{text}"
        );
        text
    }

    #[test]
    fn without_a_file_the_web_roots_are_trusted() {
        let roots = Roots::load(None).unwrap();
        assert!(roots.own_certificates().is_none());
        assert!(Arc::ptr_eq(
            &roots.client_config(),
            &roots.clone().client_config()
        ));
    }

    #[test]
    fn all_certificates_of_a_file_are_loaded() {
        let path = file(
            "two.pem",
            &format!("# our roots\n{}\n{}", root_pem(), root_pem()),
        );
        let roots = Roots::load(Some(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let certificates = roots.own_certificates().unwrap();
        assert_eq!(roots.file(), Some(path.as_path()));
        assert_eq!(certificates.len(), 2);
        assert_ne!(certificates[0], certificates[1]);
    }

    #[test]
    fn an_unusable_certificate_is_left_out() {
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let path = file("mixed.pem", &format!("{broken}{}", root_pem()));
        let roots = Roots::load(Some(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(roots.own_certificates().unwrap().len(), 1);
    }

    #[test]
    fn a_file_without_a_certificate_is_a_usage_error_that_names_it() {
        let missing = usage_error(Path::new("/nonexistent/roots.pem"));
        assert!(
            missing.starts_with("cannot read the root certificates /nonexistent/roots.pem: "),
            "{missing}"
        );

        for (name, content, reason) in [
            ("empty.pem", "", "it holds no certificate in PEM form"),
            ("text.pem", "hello", "it holds no certificate in PEM form"),
            (
                "broken.pem",
                "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
                "invalid peer certificate",
            ),
        ] {
            let path = file(name, content);
            let text = usage_error(&path);
            std::fs::remove_file(&path).unwrap();
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn the_provider_can_be_installed_twice() {
        install_provider();
        install_provider();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
