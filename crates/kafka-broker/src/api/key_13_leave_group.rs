//! LeaveGroup: members go, and the rest rebalances.

use std::time::Instant;

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{Context, Reply, code};
use crate::security::Access;

pub(super) fn handle(
    context: &Context<'_>,
    request: LeaveGroupRequest,
) -> Reply<LeaveGroupResponse> {
    if let Err(error) = context.grants.group(&request.group_id, Access::Read) {
        return Reply::Now(LeaveGroupResponse::default().with_error_code(error.code()));
    }
    let now = Instant::now();
    let mut groups = context.shared.groups();
    let response = LeaveGroupResponse::default();
    let response = if context.version < 3 {
        let result = groups.leave(&request.group_id, &request.member_id, None, now);
        response.with_error_code(code(&result))
    } else {
        let answers = request.members.into_iter().map(|member| {
            let instance = member.group_instance_id.as_deref();
            let result = groups.leave(&request.group_id, &member.member_id, instance, now);
            MemberResponse::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_error_code(code(&result))
        });
        response.with_members(answers.collect())
    };
    drop(groups);
    context.shared.groups_changed.notify_one();
    Reply::Now(response)
}
