//! InitProducerId: an id and an epoch for a producer. Durable before the answer.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Context, Reply, code};
use crate::transaction::{self, Identity};

/// Since this version clients know PRODUCER_FENCED.
const FENCED_SINCE: i16 = 4;

pub(super) fn handle(
    context: &Context<'_>,
    request: InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
    let shared = context.shared;
    let id = request.transactional_id.as_ref();
    if id.is_some_and(|id| id.is_empty()) {
        let code = ResponseError::InvalidRequest.code();
        return Reply::Now(InitProducerIdResponse::default().with_error_code(code));
    }
    let identity = Identity {
        transactional_id: id.map_or("", |id| id.as_str()),
        producer_id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let allowed = match id {
        Some(id) => context.grants.transactional_id(id),
        None => context.grants.idempotent_write(),
    };
    let mut core = shared.core();
    let timeout_ms = request.transaction_timeout_ms;
    let result = allowed
        .and_then(|()| transaction::init_producer_id(shared, &mut core, identity, timeout_ms));
    let position = shared.journal.end();
    drop(core);
    let version = context.version;
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let result = match result {
            Ok(given) => shared.durable(position).await.map(|()| given),
            Err(error) => Err(fenced(error, version, FENCED_SINCE)),
        };
        let (producer_id, epoch) = *result.as_ref().unwrap_or(&(-1, -1));
        InitProducerIdResponse::default()
            .with_error_code(code(&result))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
    })
}

/// Older clients know an old epoch by another name.
pub(super) fn fenced(error: ResponseError, version: i16, since: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}
