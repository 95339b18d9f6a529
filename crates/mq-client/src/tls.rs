//! TLS 1.2 and 1.3 towards a queue manager.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use pem::PemError;
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

/// Where the certificates are, in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// Roots that the queue manager's certificate must come from.
    pub ca: PathBuf,
    /// Our certificate and its key, where the channel wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The files cannot be used. Retrying helps when they were changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The certificates cannot be used.
    #[error("the certificates of {path} cannot be used")]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Ready to speak TLS.
#[derive(Clone)]
pub struct ClientTls(pub(crate) TlsConnector);

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// Reads roots, certificate and key.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file.
    pub fn load(files: &ClientTlsFiles) -> Result<Self, TlsError> {
        let unusable = |path: &PathBuf| {
            let path = path.clone();
            move |source| TlsError::Certificate { path, source }
        };
        let roots = pem::roots(&files.ca)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable(&files.ca))?
            .with_root_certificates(roots);
        let config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(pem::certificates(certificate)?, pem::key(key)?)
                .map_err(unusable(certificate))?,
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}
