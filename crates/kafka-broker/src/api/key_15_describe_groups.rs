//! DescribeGroups: state and members of a group of the classic protocol.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use super::{Context, NO_OPERATIONS, Reply, text};
use crate::group::MemberDescription;

/// Since this version a group that is not there is an error, before only dead.
const NOT_FOUND_SINCE: i16 = 6;

pub(super) fn handle(
    context: &Context<'_>,
    request: DescribeGroupsRequest,
) -> Reply<DescribeGroupsResponse> {
    let groups = context.shared.groups();
    let core = context.shared.core();
    let answers = request.groups.into_iter().map(|id| {
        let answer = DescribedGroup::default().with_authorized_operations(NO_OPERATIONS);
        if !context.grants.sees_group(&id) {
            let code = ResponseError::GroupAuthorizationFailed.code();
            return answer.with_group_id(id).with_error_code(code);
        }
        let answer = match groups.describe(&id) {
            Some(group) => answer
                .with_group_state(text(group.state))
                .with_protocol_type(text(&group.protocol_type))
                .with_protocol_data(text(&group.protocol))
                .with_members(group.members.into_iter().map(describe).collect()),
            None if core.state.groups.contains_key(id.as_str())
                && groups.consumer_state(&id).is_none() =>
            {
                answer.with_group_state(text("Empty"))
            }
            None if context.version >= NOT_FOUND_SINCE => answer
                .with_group_state(text("Dead"))
                .with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(text("Not a classic group."))),
            None => answer.with_group_state(text("Dead")),
        };
        answer.with_group_id(id)
    });
    Reply::Now(DescribeGroupsResponse::default().with_groups(answers.collect()))
}

fn describe(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(text(&member.member_id))
        .with_group_instance_id(member.instance_id.as_deref().map(text))
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}
