//! TLS 1.2 and 1.3 in front of a listener, with the client's certificate where one is asked for.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use pem::PemError;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// `tls`: PEM files. With it TLS is spoken, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// Certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates that clients' must come from; without it none is asked for.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
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

impl Tls {
    /// Reads certificates and key. `protocols`: what is offered by ALPN, in the order of preference.
    pub(crate) fn load(options: &TlsOptions, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = |source| TlsError::Certificate {
            path: options.certificate.clone(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(certificate)?;
        let builder = match &options.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(pem::roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                // Who comes with a key of ours needs no certificate; one that is shown must be good.
                let verifier = verifier.allow_unauthenticated().build();
                builder.with_client_cert_verifier(verifier.map_err(|source| {
                    let path = path.clone();
                    TlsError::ClientRoots { path, source }
                })?)
            }
        };
        let mut config = builder
            .with_single_cert(
                pem::certificates(&options.certificate)?,
                pem::key(&options.key)?,
            )
            .map_err(certificate)?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands; also gives the subject of the client's certificate.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Option<Box<str>>)> {
        let stream = self.0.accept(stream).await?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let subject = certificate.and_then(|certificate| {
            let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
            Some(parsed.subject().to_string().into())
        });
        Ok((stream, subject))
    }
}
