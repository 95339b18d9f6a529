//! Asking another server over HTTP/1.1: an issuer of tokens.
//!
//! One connection a question; they are few. Every answer is bounded in bytes and time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes of an answer at most: keys and tokens take a few thousand.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// Time for a question and its answer.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Another server did not answer. Asking again may help.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No address of a web server.
    #[error("{0} is no address of a web server")]
    Address(String),
    /// It cannot be reached, or its certificate is not one that is trusted.
    #[error("{host} cannot be reached")]
    Connect {
        /// Which.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It did not speak HTTP to the end.
    #[error("{host} does not answer")]
    Http {
        /// Which.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It says too much.
    #[error("{0} answers with more than 512 KiB")]
    Long(String),
    /// It takes too long.
    #[error("{0} takes more than ten seconds")]
    Slow(String),
}

/// Who is asked over TLS must have a certificate from one of these.
///
/// # Errors
///
/// None that is known: that the provider has no version of TLS.
pub fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Those that the system trusts; what of them cannot be read is left out, as everywhere.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Whether nobody between can read or change what is asked there: `https`, or `http` on loopback.
pub fn is_safe(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let ip = host.parse::<std::net::IpAddr>();
    let here = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => here,
        _ => false,
    }
}

/// Asks, and reads the answer to its end, of at most 512 KiB within ten seconds. Cancel safe: the connection is closed.
///
/// # Errors
///
/// [`FetchError`].
pub async fn fetch(
    tls: &Arc<ClientConfig>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), FetchError> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    let asked = tokio::time::timeout(TIME_MAX, ask(tls, request));
    asked.await.unwrap_or(Err(FetchError::Slow(host)))
}

async fn ask(
    tls: &Arc<ClientConfig>,
    mut request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), FetchError> {
    let uri = std::mem::take(request.uri_mut());
    let wrong = || FetchError::Address(uri.to_string());
    let is_tls = uri.scheme_str() == Some("https");
    let host = uri.host().ok_or_else(wrong)?;
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let authority = uri.authority().ok_or_else(wrong)?.as_str();
    let value = HeaderValue::from_str(authority).map_err(|_| wrong())?;
    request.headers_mut().insert(HOST, value);
    *request.uri_mut() = uri
        .path_and_query()
        .map(|path| Uri::from(path.clone()))
        .unwrap_or_else(|| Uri::from_static("/"));
    let connect = |source| FetchError::Connect {
        host: host.to_owned(),
        source,
    };
    let plain = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((plain, port)).await.map_err(connect)?;
    if !is_tls {
        return exchange(host, stream, request).await;
    }
    let name = ServerName::try_from(plain.to_owned()).map_err(|_| wrong())?;
    let connector = TlsConnector::from(Arc::clone(tls));
    let stream = connector.connect(name, stream).await.map_err(connect)?;
    exchange(host, stream, request).await
}

async fn exchange<S>(
    host: &str,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let http = |source| FetchError::Http {
        host: host.to_owned(),
        source,
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| http(error.into()))?;
    // What goes wrong with the connection is said by the answer that does not come.
    let connection = tokio::spawn(connection);
    let answer = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| http(error.into()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|error| {
            match error.downcast_ref::<LengthLimitError>() {
                Some(_) => FetchError::Long(host.to_owned()),
                None => http(error),
            }
        })?;
        Ok((status, body.to_bytes()))
    }
    .await;
    connection.abort();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn answered(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut asked = vec![0; 1_000];
            let read = stream.read(&mut asked).await.expect("reads");
            let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
            assert!(asked.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
            let _ = stream.write_all(&answer).await;
        });
        let request = Request::get(format!("http://{address}/a?b=c"));
        let request = request.body(Full::default()).expect("a request");
        let tls = trusting(RootCertStore::empty()).expect("usable");
        match fetch(&tls, request).await {
            Ok((status, body)) => format!("{status} {} bytes", body.len()),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn an_answer_has_a_most() {
        let with = |bytes: usize| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
            [head.into_bytes(), vec![b' '; bytes]].concat()
        };
        let fits = format!("200 OK {ANSWER_BYTES_MAX} bytes");
        assert_eq!(answered(with(ANSWER_BYTES_MAX)).await, fits);
        let long = "127.0.0.1 answers with more than 512 KiB";
        assert_eq!(answered(with(ANSWER_BYTES_MAX + 1)).await, long);
        assert_eq!(
            answered(b"nothing\r\n\r\n".to_vec()).await,
            "127.0.0.1 does not answer"
        );
        assert_eq!(answered(Vec::new()).await, "127.0.0.1 does not answer");
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_told() {
        let tls = trusting(RootCertStore::empty()).expect("usable");
        for (address, expected) in [
            ("/nowhere", "/nowhere is no address of a web server"),
            ("http://127.0.0.1:1/", "127.0.0.1 cannot be reached"),
        ] {
            let request = Request::get(address).body(Full::default());
            let error = fetch(&tls, request.expect("a request")).await;
            assert_eq!(error.expect_err("refused").to_string(), expected);
        }
    }
}
