//! FindCoordinator: it is always this broker.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::{Context, Reply};
use crate::shared::NODE_ID;

/// What a coordinator is for. Share groups (2) have none here.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) fn handle(
    context: &Context<'_>,
    request: FindCoordinatorRequest,
) -> Reply<FindCoordinatorResponse> {
    let (host, port) = context.advertised();
    let grants = &context.grants;
    let error_code = |key: &str| {
        let error = match request.key_type {
            GROUP if !grants.sees_group(key) => Some(ResponseError::GroupAuthorizationFailed),
            TRANSACTION if !grants.sees_transactional_id(key) => {
                Some(ResponseError::TransactionalIdAuthorizationFailed)
            }
            GROUP | TRANSACTION => None,
            _ => Some(ResponseError::InvalidRequest),
        };
        error.map_or(0, |error| error.code())
    };
    let response = FindCoordinatorResponse::default();
    if context.version < 4 {
        return Reply::Now(
            response
                .with_error_code(error_code(&request.key))
                .with_node_id(NODE_ID.into())
                .with_host(host)
                .with_port(port),
        );
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_error_code(error_code(&key))
            .with_key(key)
            .with_node_id(NODE_ID.into())
            .with_host(host.clone())
            .with_port(port)
    });
    Reply::Now(response.with_coordinators(coordinators.collect()))
}
