//! TLS 1.2 and 1.3, with certificates of clients where they are wanted.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use pem::PemError;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::TlsFiles;

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
    /// The roots for clients cannot be used.
    #[error("the certificates of {path} cannot verify clients")]
    ClientRoots {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// Ready to speak TLS.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Reads certificates and key. `optional`: a client may come without a certificate, because it can be a user.
pub(crate) fn load(files: &TlsFiles, optional: bool) -> Result<Tls, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = |source| TlsError::Certificate {
        path: files.certificate.clone(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(certificate)?;
    let builder = match &files.client_roots {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(pem::roots(path)?);
            let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            if optional {
                verifier = verifier.allow_unauthenticated();
            }
            let verifier = verifier.build().map_err(|source| {
                let path = path.clone();
                TlsError::ClientRoots { path, source }
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = pem::certificates(&files.certificate)?;
    let config = builder
        .with_single_cert(chain, pem::key(&files.key)?)
        .map_err(certificate)?;
    Ok(Tls(TlsAcceptor::from(Arc::new(config))))
}

impl Tls {
    /// Shakes hands; also gives the subject of the client's certificate.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Option<String>)> {
        let stream = self.0.accept(stream).await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let subject = certificate.and_then(|certificate| {
            let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
            Some(parsed.subject().to_string())
        });
        Ok((stream, subject))
    }
}
