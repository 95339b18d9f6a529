//! CreatePartitions: more partitions for a topic. Durable before the answer.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::{Context, Reply};
use crate::entry::Entry;
use crate::security::Access;
use crate::shared::{Core, Shared};
use crate::topics;

pub(super) fn handle(
    context: &Context<'_>,
    request: CreatePartitionsRequest,
) -> Reply<CreatePartitionsResponse> {
    let shared = context.shared;
    let mut core = shared.core();
    let results = request.topics.iter().map(|topic| {
        let allowed = context.grants.topic(&topic.name, Access::Admin);
        let result = allowed.and_then(|()| grow(shared, &mut core, topic, request.validate_only));
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(super::code(&result))
    });
    let response = CreatePartitionsResponse::default().with_results(results.collect());
    let position = shared.journal.end();
    drop(core);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let mut response = response;
        if let Err(error) = shared.durable(position).await {
            response
                .results
                .iter_mut()
                .for_each(|topic| topic.error_code = error.code());
        }
        response
    })
}

fn grow(
    shared: &Shared,
    core: &mut Core,
    wish: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), ResponseError> {
    let id = core
        .state
        .topic_id(&wish.name)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let known = core
        .state
        .topics
        .get(&id)
        .map_or(0, |topic| topic.partitions.len());
    let known = i32::try_from(known).unwrap_or(i32::MAX);
    topics::check_partitions(shared, core, wish.count.saturating_sub(known))?;
    if validate_only {
        return Ok(());
    }
    shared
        .submit(
            core,
            &Entry::AddPartitions {
                id,
                partitions: wish.count,
            },
        )
        .map(|_| ())
}
