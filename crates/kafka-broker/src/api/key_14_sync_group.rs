//! SyncGroup: the leader hands in the assignments, and everybody gets the own one.

use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::{Context, Reply, text};
use crate::group::Speaker;
use crate::security::Access;

pub(super) fn handle(context: &Context<'_>, request: SyncGroupRequest) -> Reply<SyncGroupResponse> {
    if let Err(error) = context.grants.group(&request.group_id, Access::Read) {
        return Reply::Now(SyncGroupResponse::default().with_error_code(error.code()));
    }
    let speaker = Speaker {
        generation: request.generation_id,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
    };
    let assignments = request.assignments.iter();
    let assignments = assignments
        .map(|one| {
            (
                one.member_id.to_string(),
                Bytes::copy_from_slice(&one.assignment),
            )
        })
        .collect();
    let synced =
        context
            .shared
            .groups()
            .sync(&request.group_id, speaker, assignments, Instant::now());
    context.shared.groups_changed.notify_one();
    Reply::later(async move {
        let response = SyncGroupResponse::default();
        match synced.await.unwrap_or(Err(ResponseError::UnknownMemberId)) {
            Ok(synced) => response
                .with_protocol_type(Some(text(&synced.protocol_type)))
                .with_protocol_name(Some(text(&synced.protocol)))
                .with_assignment(synced.assignment),
            Err(error) => response.with_error_code(error.code()),
        }
    })
}
