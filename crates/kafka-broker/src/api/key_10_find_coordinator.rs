//! FindCoordinator: it is always this broker.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::{Context, Reply};
use crate::shared::NODE_ID;

/// Groups and transactions; share groups (2) have no coordinator here.
const KEY_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

pub(super) fn handle(
    context: &Context<'_>,
    request: FindCoordinatorRequest,
) -> Reply<FindCoordinatorResponse> {
    let (host, port) = context.advertised();
    let legal = KEY_TYPES.contains(&request.key_type);
    let error_code = if legal {
        0
    } else {
        ResponseError::InvalidRequest.code()
    };
    let response = FindCoordinatorResponse::default();
    if context.version < 4 {
        return Reply::Now(
            response
                .with_error_code(error_code)
                .with_node_id(NODE_ID.into())
                .with_host(host)
                .with_port(port),
        );
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(error_code)
            .with_node_id(NODE_ID.into())
            .with_host(host.clone())
            .with_port(port)
    });
    Reply::Now(response.with_coordinators(coordinators.collect()))
}
