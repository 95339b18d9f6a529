//! SaslAuthenticate: one message of the mechanism, and the answer to it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use tracing::warn;

use super::{Context, Reply, text};

/// How long a refusal takes, so that guessing takes long. Kafka's default.
const REFUSAL_DELAY: Duration = Duration::from_millis(100);

pub(super) fn handle(
    context: &Context<'_>,
    request: SaslAuthenticateRequest,
) -> Reply<SaslAuthenticateResponse> {
    let mut session = context.connection.session();
    if session.grants().is_some() {
        let code = ResponseError::IllegalSaslState.code();
        return Reply::Now(SaslAuthenticateResponse::default().with_error_code(code));
    }
    match session.step(&request.auth_bytes) {
        Ok(answer) => {
            let bytes = Bytes::from(answer);
            Reply::Now(SaslAuthenticateResponse::default().with_auth_bytes(bytes))
        }
        Err(error) => {
            let counters = &context.shared.counters;
            counters
                .authentications_refused
                .fetch_add(1, Ordering::Relaxed);
            warn!(peer = %context.connection.peer, %error, "client could not be recognised");
            let response = SaslAuthenticateResponse::default()
                .with_error_code(ResponseError::SaslAuthenticationFailed.code())
                .with_error_message(Some(text(&format!("authentication failed: {error}"))));
            Reply::later(async move {
                tokio::time::sleep(REFUSAL_DELAY).await;
                response
            })
        }
    }
}
