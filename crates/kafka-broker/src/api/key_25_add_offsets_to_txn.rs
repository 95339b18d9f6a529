//! AddOffsetsToTxn: the transaction will commit offsets of this group. Why it may be answered before it is durable:
//! see [`crate::transaction`].

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::key_22_init_producer_id::fenced;
use super::{Context, Reply, code};
use crate::security::Access;
use crate::transaction::{self, Identity};

/// Since this version clients know PRODUCER_FENCED.
const FENCED_SINCE: i16 = 2;

pub(super) fn handle(
    context: &Context<'_>,
    request: AddOffsetsToTxnRequest,
) -> Reply<AddOffsetsToTxnResponse> {
    let shared = context.shared;
    let identity = Identity {
        transactional_id: &request.transactional_id,
        producer_id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let grants = &context.grants;
    let allowed = grants
        .transactional_id(identity.transactional_id)
        .and_then(|()| grants.group(&request.group_id, Access::Read));
    let result = if let Err(error) = allowed {
        Err(error)
    } else if request.group_id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        let mut core = shared.core();
        let groups = vec![request.group_id.to_string()];
        transaction::add(shared, &mut core, identity, Vec::new(), groups)
            .map_err(|error| fenced(error, context.version, FENCED_SINCE))
    };
    Reply::Now(AddOffsetsToTxnResponse::default().with_error_code(code(&result)))
}
