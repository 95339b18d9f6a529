//! ListGroups: groups with members, and groups with committed offsets.

use std::collections::BTreeSet;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Context, Reply, text};

pub(super) fn handle(
    context: &Context<'_>,
    request: ListGroupsRequest,
) -> Reply<ListGroupsResponse> {
    let groups = context.shared.groups();
    let core = context.shared.core();
    let names = groups.names().chain(core.state.groups.keys());
    let names: BTreeSet<&String> = names
        .filter(|name| context.grants.sees_group(name))
        .collect();
    let listed = names.into_iter().filter_map(|name| {
        let consumers = groups.consumer_state(name);
        let known = groups.describe(name);
        let (state, protocol_type, group_type) = match (consumers, &known) {
            (Some(state), _) => (state, "consumer", "consumer"),
            (None, Some(group)) => (group.state, group.protocol_type.as_str(), "classic"),
            (None, None) => ("Empty", "", "classic"),
        };
        let listed = is_wanted(&request.states_filter, state)
            && is_wanted(&request.types_filter, group_type);
        listed.then(|| {
            ListedGroup::default()
                .with_group_id(text(name).into())
                .with_protocol_type(text(protocol_type))
                .with_group_state(text(state))
                .with_group_type(text(group_type))
        })
    });
    Reply::Now(ListGroupsResponse::default().with_groups(listed.collect()))
}

/// No filter lets everything through. Upper and lower case are the same.
fn is_wanted(filter: &[StrBytes], value: &str) -> bool {
    let mut wishes = filter.iter();
    filter.is_empty() || wishes.any(|wish| wish.trim().eq_ignore_ascii_case(value))
}
