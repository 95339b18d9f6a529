//! TLS 1.2 and 1.3 in front of page and API.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use pem::PemError;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

/// Where the certificate is, in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The files cannot be used. Retrying helps when they were changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Certificate and key do not go together, or are not supported.
    #[error("the certificate of {path} and its key cannot be used")]
    Certificate {
        /// Of the certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Ready to speak TLS.
#[derive(Clone)]
pub(crate) struct Tls(pub(crate) TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads certificate and key.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let certificate = |source| TlsError::Certificate {
            path: files.certificate.clone(),
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(certificate)?
            .with_no_client_auth()
            .with_single_cert(
                pem::certificates(&files.certificate)?,
                pem::key(&files.key)?,
            )
            .map_err(certificate)?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}
