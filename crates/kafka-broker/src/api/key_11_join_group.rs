//! JoinGroup: become a member, or take part in a rebalance. Answered when the rebalance completes.

use std::time::Instant;

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::{Context, Reply, text};
use crate::group::{Join, Joined};
use crate::security::Access;

pub(super) fn handle(context: &Context<'_>, request: JoinGroupRequest) -> Reply<JoinGroupResponse> {
    let shared = context.shared;
    let version = context.version;
    if let Err(error) = context.grants.group(&request.group_id, Access::Read) {
        return Reply::Now(JoinGroupResponse::default().with_error_code(error.code()));
    }
    let protocols = request.protocols.iter();
    let join = Join {
        group: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        client_id: context.client_id.clone(),
        client_host: context.client_host(),
        session_timeout_ms: request.session_timeout_ms,
        // Before version 1 the session time-out was both.
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols
            .map(|p| (p.name.to_string(), copy(&p.metadata)))
            .collect(),
        member_id_required: version >= 4,
    };
    let joined = shared.groups().join(join, Instant::now());
    shared.groups_changed.notify_one();
    Reply::later(async move {
        // The sender is dropped without an answer only if the member is removed or the broker stops.
        match joined.await {
            Ok(joined) => answer(version, joined),
            Err(_) => JoinGroupResponse::default()
                .with_error_code(kafka_protocol::ResponseError::UnknownMemberId.code()),
        }
    })
}

/// Members outlive their requests: do not keep a whole request's buffer for a few bytes.
fn copy(bytes: &bytes::Bytes) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes)
}

fn answer(version: i16, joined: Joined) -> JoinGroupResponse {
    let named = |name: &str| {
        if name.is_empty() && version >= 7 {
            None
        } else {
            Some(text(name))
        }
    };
    let members = joined.members.iter().map(|(id, instance, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(instance.as_deref().map(text))
            .with_metadata(metadata.clone())
    });
    JoinGroupResponse::default()
        .with_error_code(joined.error.map_or(0, |error| error.code()))
        .with_generation_id(joined.generation)
        .with_protocol_type(named(&joined.protocol_type))
        .with_protocol_name(named(&joined.protocol))
        .with_leader(text(&joined.leader))
        .with_member_id(text(&joined.member_id))
        .with_members(members.collect())
}
