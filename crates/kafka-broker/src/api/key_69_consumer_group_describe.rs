//! ConsumerGroupDescribe: a group of the new protocol, its members, and what they have and are to have.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as Answered, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};

use super::{Context, NO_OPERATIONS, Reply, text};
use crate::group::consumer::assign::Assignment;
use crate::group::consumer::{ConsumerDescription, ConsumerMember};
use crate::state::State;

/// A member of the new protocol; there are no others in its groups. Since version 1.
const MEMBER_TYPE: i8 = 1;

pub(super) fn handle(
    context: &Context<'_>,
    request: ConsumerGroupDescribeRequest,
) -> Reply<ConsumerGroupDescribeResponse> {
    let groups = context.shared.groups();
    let core = context.shared.core();
    let answers = request.group_ids.into_iter().map(|id| {
        let failed = |error: ResponseError, reason: &str| {
            DescribedGroup::default()
                .with_authorized_operations(NO_OPERATIONS)
                .with_error_code(error.code())
                .with_error_message(Some(text(reason)))
        };
        let answer = if !context.grants.sees_group(&id) {
            failed(ResponseError::GroupAuthorizationFailed, "Not authorized.")
        } else if id.is_empty() {
            failed(ResponseError::InvalidGroupId, "GroupId can't be empty.")
        } else {
            match groups.describe_consumer(&id) {
                None => failed(ResponseError::GroupIdNotFound, "Not a consumer group."),
                Some(group) if !sees_all(context, &core.state, &group) => failed(
                    ResponseError::TopicAuthorizationFailed,
                    "The group has topics that the client may not know of.",
                ),
                Some(group) => described(context.version, &core.state, group),
            }
        };
        answer.with_group_id(id)
    });
    Reply::Now(ConsumerGroupDescribeResponse::default().with_groups(answers.collect()))
}

/// May the client know of all topics that somebody has or is to have?
fn sees_all(context: &Context<'_>, state: &State, group: &ConsumerDescription) -> bool {
    let held = group.members.iter().map(ConsumerMember::held);
    let all = held.chain(group.members.iter().map(|member| member.target.clone()));
    let mut topics = all.flatten().filter_map(|id| state.topics.get(&id.topic));
    topics.all(|topic| context.grants.sees_topic(&topic.name))
}

fn described(version: i16, state: &State, group: ConsumerDescription) -> DescribedGroup {
    let members = group.members.into_iter();
    DescribedGroup::default()
        .with_authorized_operations(NO_OPERATIONS)
        .with_group_state(text(group.state))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.target_epoch)
        .with_assignor_name(text(group.assignor))
        .with_members(members.map(|one| member(version, state, one)).collect())
}

fn member(version: i16, state: &State, one: ConsumerMember) -> Member {
    let (held, target) = (one.held(), &one.target);
    let (assignment, target) = (topics(state, &held), topics(state, target));
    let member = one.member;
    let names = member.topics.iter();
    Member::default()
        .with_member_id(text(&one.id))
        .with_instance_id(member.instance_id.as_deref().map(text))
        .with_rack_id(member.rack_id.as_deref().map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_subscribed_topic_names(names.map(|name| text(name).into()).collect())
        .with_subscribed_topic_regex(Some(text(member.regex.as_deref().unwrap_or(""))))
        .with_assignment(assignment)
        .with_target_assignment(target)
        .with_member_type(if version >= 1 { MEMBER_TYPE } else { -1 })
}

/// Without topics that are gone.
fn topics(state: &State, assignment: &Assignment) -> Answered {
    let mut topics: Vec<TopicPartitions> = Vec::new();
    for id in assignment {
        let Some(topic) = state.topics.get(&id.topic) else {
            continue;
        };
        match topics.last_mut() {
            Some(last) if last.topic_id == id.topic => last.partitions.push(id.partition),
            _ => topics.push(
                TopicPartitions::default()
                    .with_topic_id(id.topic)
                    .with_topic_name(text(&topic.name).into())
                    .with_partitions(vec![id.partition]),
            ),
        }
    }
    Answered::default().with_topic_partitions(topics)
}
