//! Heartbeat: a member is alive, and learns of a rebalance.

use std::time::Instant;

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{Context, Reply, code};
use crate::group::Speaker;
use crate::security::Access;

pub(super) fn handle(context: &Context<'_>, request: HeartbeatRequest) -> Reply<HeartbeatResponse> {
    let speaker = Speaker {
        generation: request.generation_id,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let allowed = context.grants.group(&request.group_id, Access::Read);
    let result = allowed.and_then(|()| {
        let mut groups = context.shared.groups();
        groups.heartbeat(&request.group_id, speaker, Instant::now())
    });
    Reply::Now(HeartbeatResponse::default().with_error_code(code(&result)))
}
