//! DeleteGroups: forgets the offsets of groups without members. Durable before the answer.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Context, Reply};
use crate::entry::Entry;
use crate::group::Groups;
use crate::security::Access;
use crate::shared::{Core, Shared};

pub(super) fn handle(
    context: &Context<'_>,
    request: DeleteGroupsRequest,
) -> Reply<DeleteGroupsResponse> {
    let shared = context.shared;
    let mut groups = shared.groups();
    let mut core = shared.core();
    let results = request.groups_names.into_iter().map(|group| {
        let allowed = context.grants.group(&group, Access::Admin);
        let result = allowed.and_then(|()| delete(shared, &mut core, &mut groups, &group));
        DeletableGroupResult::default()
            .with_group_id(group)
            .with_error_code(super::code(&result))
    });
    let response = DeleteGroupsResponse::default().with_results(results.collect());
    let position = shared.journal.end();
    drop(core);
    drop(groups);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let mut response = response;
        if let Err(error) = shared.durable(position).await {
            response
                .results
                .iter_mut()
                .for_each(|group| group.error_code = error.code());
        }
        response
    })
}

fn delete(
    shared: &Shared,
    core: &mut Core,
    groups: &mut Groups,
    group: &str,
) -> Result<(), ResponseError> {
    if !groups.is_empty(group) {
        return Err(ResponseError::NonEmptyGroup);
    }
    let Some(offsets) = core.state.groups.get(group) else {
        if !groups.is_known(group) {
            return Err(ResponseError::GroupIdNotFound);
        }
        groups.forget(group);
        return Ok(());
    };
    if !offsets.pending.is_empty() {
        return Err(ResponseError::NonEmptyGroup);
    }
    groups.forget(group);
    let group = group.to_owned();
    shared
        .submit(core, &Entry::DeleteGroup { group })
        .map(|_| ())
}
