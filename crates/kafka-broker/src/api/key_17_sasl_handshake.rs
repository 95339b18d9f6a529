//! SaslHandshake: the client chooses how to say who it is.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::{Context, Reply, text};

pub(super) fn handle(
    context: &Context<'_>,
    request: SaslHandshakeRequest,
) -> Reply<SaslHandshakeResponse> {
    let mut session = context.connection.session();
    let mechanisms = session.mechanisms().map(text).collect();
    let response = SaslHandshakeResponse::default().with_mechanisms(mechanisms);
    // Who is known already stays who they are.
    let error = if session.grants().is_some() {
        Some(ResponseError::IllegalSaslState)
    } else if session.choose(&request.mechanism) {
        None
    } else {
        Some(ResponseError::UnsupportedSaslMechanism)
    };
    Reply::Now(response.with_error_code(error.map_or(0, |error| error.code())))
}
