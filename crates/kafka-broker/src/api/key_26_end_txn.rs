//! EndTxn: commits or aborts. Markers and offsets are in place and durable before the answer.

use std::sync::Arc;

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::key_22_init_producer_id::fenced;
use super::{Context, Reply, code};
use crate::transaction::{self, Identity};

/// Since this version clients know PRODUCER_FENCED.
const FENCED_SINCE: i16 = 2;

pub(super) fn handle(context: &Context<'_>, request: EndTxnRequest) -> Reply<EndTxnResponse> {
    let shared = context.shared;
    let identity = Identity {
        transactional_id: &request.transactional_id,
        producer_id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let mut core = shared.core();
    let allowed = context.grants.transactional_id(identity.transactional_id);
    let result =
        allowed.and_then(|()| transaction::end(shared, &mut core, identity, request.committed));
    // Also when it had ended before: that end may not be durable yet.
    let position = shared.journal.end();
    drop(core);
    let version = context.version;
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let result = match result {
            Ok(()) => shared.durable(position).await,
            Err(error) => Err(fenced(error, version, FENCED_SINCE)),
        };
        EndTxnResponse::default().with_error_code(code(&result))
    })
}
