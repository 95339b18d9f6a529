//! One document, read or posted once: what tools ask of Daybook's endpoints.

use std::time::Duration;

use crate::http::Connection;
use crate::post::{detail, is_source};
use crate::target::Target;

/// Longest time for the answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// Nobody answered. Retrying helps once the other side runs.
    #[error("no answer from {target}")]
    NoAnswer {
        /// Who was asked.
        target: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is no document.
    #[error("{target}{path} answered {status}: {detail}")]
    Status {
        /// Who was asked.
        target: String,
        /// What for.
        path: String,
        /// HTTP status.
        status: u16,
        /// The beginning of what it said.
        detail: String,
    },
}

/// Reads `path`, which begins with `/`, once.
///
/// # Errors
///
/// [`GetError`]: nobody answers within 30 s, or not with `200`.
pub async fn get(target: &Target, path: &str) -> Result<Vec<u8>, GetError> {
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        target.path(path),
        target.authority()
    );
    let exchange = async {
        let mut connection = Connection::open(target).await?;
        connection
            .request(head.as_bytes(), b"", ANSWER_TIME_MAX)
            .await
    };
    let (answer, _) = exchange.await.map_err(|error| GetError::NoAnswer {
        target: target.to_string(),
        source: error.into(),
    })?;
    if answer.status != 200 {
        return Err(GetError::Status {
            target: target.to_string(),
            path: path.to_owned(),
            status: answer.status,
            detail: detail(&answer),
        });
    }
    Ok(answer.body)
}

/// Posts `body` to the gateway's source once, as whatever its format is. Gives the status and what was answered.
///
/// # Errors
///
/// [`GetError::NoAnswer`]: nobody answers within 30 s. Whether it was accepted is then unknown; a repetition would be a duplicate. A name
/// that no source can have is answered like an unknown one.
pub async fn post(target: &Target, source: &str, body: &[u8]) -> Result<(u16, Vec<u8>), GetError> {
    if !is_source(source) {
        return Ok((404, format!("there is no source {source:?}").into_bytes()));
    }
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        target.path(&format!("/v1/transactions/{source}")),
        target.authority(),
        body.len()
    );
    let exchange = async {
        let mut connection = Connection::open(target).await?;
        connection
            .request(head.as_bytes(), body, ANSWER_TIME_MAX)
            .await
    };
    let (answer, _) = exchange.await.map_err(|error| GetError::NoAnswer {
        target: target.to_string(),
        source: error.into(),
    })?;
    Ok((answer.status, answer.body))
}
