//! DeleteTopics. Durable before the answer; the space is freed by the next checkpoint.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};

use super::{Context, Reply, text};
use crate::entry::Entry;
use crate::security::Access;
use crate::shared::Core;

pub(super) fn handle(
    context: &Context<'_>,
    request: DeleteTopicsRequest,
) -> Reply<DeleteTopicsResponse> {
    let shared = context.shared;
    let mut core = shared.core();
    let named = |name| DeleteTopicState::default().with_name(Some(name));
    let wishes = request
        .topics
        .into_iter()
        .chain(request.topic_names.into_iter().map(named));
    let results = wishes.map(|wish| {
        let result = delete(context, &mut core, &wish);
        let name = result
            .as_ref()
            .ok()
            .map(|name| TopicName(text(name)))
            .or(wish.name);
        DeletableTopicResult::default()
            .with_name(name)
            .with_topic_id(wish.topic_id)
            .with_error_code(super::code(&result))
    });
    let response = DeleteTopicsResponse::default().with_responses(results.collect());
    let position = shared.journal.end();
    drop(core);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let mut response = response;
        if let Err(error) = shared.durable(position).await {
            response
                .responses
                .iter_mut()
                .for_each(|topic| topic.error_code = error.code());
        }
        response
    })
}

/// The name of the topic that is gone.
fn delete(
    context: &Context<'_>,
    core: &mut Core,
    wish: &DeleteTopicState,
) -> Result<String, ResponseError> {
    let id = match &wish.name {
        Some(name) => {
            context.grants.topic(name, Access::Admin)?;
            let id = core.state.topic_id(name);
            id.ok_or(ResponseError::UnknownTopicOrPartition)?
        }
        None => wish.topic_id,
    };
    let topic = core
        .state
        .topics
        .get(&id)
        .ok_or(ResponseError::UnknownTopicId)?;
    let name = topic.name.clone();
    context.grants.topic(&name, Access::Admin)?;
    context.shared.submit(core, &Entry::DeleteTopic { id })?;
    Ok(name)
}
