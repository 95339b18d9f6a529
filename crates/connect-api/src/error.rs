//! Why an operation was not carried out, and the answer that says so.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::registry::RegistryError;

/// An operation was not carried out. Its text is the message of the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// There is no such connector, task, plugin or logger. 404.
    #[error("{message}")]
    NotFound {
        /// Names it.
        message: String,
    },
    /// There is one of this name. 409.
    #[error("Connector {name} already exists")]
    Exists {
        /// Of the connector.
        name: String,
    },
    /// The request makes no sense as it is. 400.
    #[error("{message}")]
    BadRequest {
        /// Why, and what to do.
        message: String,
    },
    /// The configuration cannot be honoured. 400, with Kafka Connect's words around the reasons.
    #[error(
        "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list of \
         errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
        errors.len(),
        errors.join("\n")
    )]
    Invalid {
        /// A key and why, each.
        errors: Vec<String>,
    },
    /// The body is no JSON, as its type says. 415.
    #[error("HTTP 415 Unsupported Media Type")]
    MediaType,
    /// The body is longer than is read. 413.
    #[error("the request's body is longer than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// It took too long; it goes on, and the status tells how it ends. 500, as Kafka Connect has it.
    #[error("Request timed out")]
    TimedOut,
    /// The registry cannot be written. 500; trying again helps when the disk has room again.
    #[error("the connectors' file cannot be written: {0}")]
    Registry(#[from] RegistryError),
    /// Something else went wrong. 500.
    #[error("{message}")]
    Internal {
        /// What.
        message: String,
    },
}

impl WorkerError {
    /// As Kafka Connect says it.
    pub(crate) fn no_connector(name: &str) -> Self {
        Self::NotFound {
            message: format!("Connector {name} not found"),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Exists { .. } => StatusCode::CONFLICT,
            Self::BadRequest { .. } | Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut | Self::Registry(_) | Self::Internal { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

#[derive(Serialize)]
struct ErrorMessage {
    error_code: u16,
    message: String,
}

/// `{"error_code":…,"message":…}`.
pub(crate) fn answer(status: StatusCode, message: String) -> Response {
    let body = ErrorMessage {
        error_code: status.as_u16(),
        message,
    };
    (status, Json(body)).into_response()
}

impl IntoResponse for WorkerError {
    fn into_response(self) -> Response {
        if self.status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(
                error = &self as &dyn std::error::Error,
                "a request of the Connect API failed"
            );
        }
        answer(self.status(), self.to_string())
    }
}
