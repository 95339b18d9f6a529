//! Why a request is not answered as asked, as RFC 9457 says it; and answers in JSON.

use axum::http::header;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use crate::api;
use crate::select::SelectError;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(crate) enum Failure {
    NotFound(String),
    BadQuery(String),
    Method,
    Forbidden(&'static str),
    Unauthorized(&'static str),
    TooMany(String),
    Elsewhere(String),
    NotReady { detail: String },
    Store(String),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title, detail) = match self {
            Self::NotFound(detail) => (StatusCode::NOT_FOUND, "Not found", detail),
            Self::BadQuery(detail) => (StatusCode::BAD_REQUEST, "Bad request", detail),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "this is not done here: nearly everything is read with GET".to_owned(),
            ),
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, "Forbidden", detail.to_owned()),
            Self::Unauthorized(detail) => (StatusCode::UNAUTHORIZED, "Sign in", detail.to_owned()),
            Self::TooMany(detail) => (StatusCode::TOO_MANY_REQUESTS, "Too many", detail),
            Self::Elsewhere(detail) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Another part does not answer",
                detail,
            ),
            Self::NotReady { detail } => (StatusCode::SERVICE_UNAVAILABLE, "Not ready", detail),
            Self::Store(detail) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be read",
                detail,
            ),
        };
        let problem = api::Problem {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
        };
        let mut response = json(&problem);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status)
        {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

pub(crate) fn json(value: &impl Serialize) -> Response {
    // These are plain structs with text keys: serialising them cannot fail.
    json_bytes(serde_json::to_vec(value).unwrap_or_default().into())
}

pub(crate) fn json_bytes(body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        Self::BadQuery(error.to_string())
    }
}
