//! ListGroups: groups with members, and groups with committed offsets.

use std::collections::BTreeSet;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

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
        let known = groups.describe(name);
        let state = known.as_ref().map_or("Empty", |group| group.state);
        let filter = &request.states_filter;
        let wanted = filter.is_empty() || filter.iter().any(|wish| wish.as_str() == state);
        wanted.then(|| {
            ListedGroup::default()
                .with_group_id(text(name).into())
                .with_protocol_type(text(
                    known.as_ref().map_or("", |group| &group.protocol_type),
                ))
                .with_group_state(text(state))
        })
    });
    Reply::Now(ListGroupsResponse::default().with_groups(listed.collect()))
}
