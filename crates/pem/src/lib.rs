//! Certificates and keys from PEM files, for whoever speaks TLS.
//!
//! # Where this sits
//!
//! ```text
//! mq-server, mq-client ──▶ pem (you are here) ──▶ files
//! ```
//!
//! Invariant: an error names the file and what it should hold; a file that holds nothing of it is an
//! error, never an empty list that trusts nobody.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file cannot be used. Retrying helps when it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// It cannot be read, or holds something else.
    #[error("cannot read {what} from {path}")]
    Read {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is none in it.
    #[error("there is no certificate in {path}")]
    Nothing {
        /// Which.
        path: PathBuf,
    },
    /// A root certificate is not supported.
    #[error("a root certificate of {path} cannot be used")]
    Root {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// A certificate and those between it and the root, in the order of the file.
///
/// # Errors
///
/// [`PemError`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(read("certificates", path))?;
    match found.is_empty() {
        true => Err(PemError::Nothing {
            path: path.to_owned(),
        }),
        false => Ok(found),
    }
}

/// A private key.
///
/// # Errors
///
/// [`PemError::Read`].
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_file(path).map_err(read("a private key", path))
}

/// Certificates that others' must come from.
///
/// # Errors
///
/// [`PemError`].
pub fn roots(path: &Path) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path)? {
        roots.add(root).map_err(|source| PemError::Root {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(roots)
}

fn read(what: &'static str, path: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> PemError {
    let path = path.to_owned();
    move |source| PemError::Read { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("mq.pem");
        let shown = |error: PemError| {
            let text = error.to_string();
            text.replace(&file.display().to_string(), "FILE")
        };
        assert_eq!(
            shown(certificates(&file).expect_err("none")),
            "cannot read certificates from FILE"
        );
        std::fs::write(&file, "nothing of the kind\n").expect("writes");
        assert_eq!(
            shown(roots(&file).expect_err("empty")),
            "there is no certificate in FILE"
        );
        assert_eq!(
            shown(key(&file).expect_err("empty")),
            "cannot read a private key from FILE"
        );
        std::fs::write(
            &file,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .expect("writes");
        assert_eq!(
            shown(roots(&file).expect_err("no certificate")),
            "a root certificate of FILE cannot be used"
        );
    }
}
