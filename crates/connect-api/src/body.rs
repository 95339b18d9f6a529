//! Bodies of requests: JSON, up to a limit.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::error::WorkerError;

/// Reads a body that must be there and be `T`. What it is called when it is not is Jersey's and ours.
pub(crate) async fn json<T: DeserializeOwned>(
    request: Request,
    bytes_max: usize,
) -> Result<T, WorkerError> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(WorkerError::MediaType);
    }
    let body = bytes_of(request, bytes_max).await?;
    serde_json::from_slice(&body).map_err(|error| WorkerError::BadRequest {
        message: format!("the request's body cannot be read: {error}"),
    })
}

async fn bytes_of(request: Request, bytes_max: usize) -> Result<Bytes, WorkerError> {
    to_bytes(request.into_body(), bytes_max)
        .await
        .map_err(|error| {
            // axum says it in the cause only.
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                if error.to_string().contains("length limit exceeded") {
                    return WorkerError::TooLarge { bytes_max };
                }
                cause = error.source();
            }
            WorkerError::BadRequest {
                message: format!("the request's body cannot be read: {error}"),
            }
        })
}
