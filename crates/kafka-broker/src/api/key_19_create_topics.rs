//! CreateTopics. Durable before the answer.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use uuid::Uuid;

use super::{Context, Reply, text};
use crate::security::Access;
use crate::shared::{Core, Shared};
use crate::topics::{self, NewTopic};

/// The setting that came with a topic is not one of ours to report one by one.
const CONFIGS_NOT_SHOWN: Option<
    Vec<kafka_protocol::messages::create_topics_response::CreatableTopicConfigs>,
> = Some(Vec::new());

pub(super) fn handle(
    context: &Context<'_>,
    request: CreateTopicsRequest,
) -> Reply<CreateTopicsResponse> {
    let shared = context.shared;
    let mut core = shared.core();
    let results = request.topics.iter().map(|topic| {
        let result = context
            .grants
            .topic(&topic.name, Access::Admin)
            .and_then(|()| create(shared, &mut core, topic, request.validate_only));
        let (id, partitions) = *result.as_ref().unwrap_or(&(Uuid::nil(), -1));
        let reason = result
            .as_ref()
            .err()
            .map(|error| text(&reason(topic, *error)));
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_topic_id(id)
            .with_error_code(super::code(&result))
            .with_error_message(reason)
            .with_num_partitions(partitions)
            .with_replication_factor(if result.is_ok() { 1 } else { -1 })
            .with_configs(CONFIGS_NOT_SHOWN)
    });
    let response = CreateTopicsResponse::default().with_topics(results.collect());
    let position = shared.journal.end();
    drop(core);
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let mut response = response;
        if let Err(error) = shared.durable(position).await {
            response
                .topics
                .iter_mut()
                .for_each(|topic| topic.error_code = error.code());
        }
        response
    })
}

fn create(
    shared: &Shared,
    core: &mut Core,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<(Uuid, i32), ResponseError> {
    let assigned = i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX);
    if assigned == 0 && !matches!(topic.replication_factor, -1 | 1) {
        return Err(ResponseError::InvalidReplicationFactor);
    }
    let configs = topic.configs.iter().filter_map(|config| {
        config
            .value
            .as_ref()
            .map(|value| (config.name.to_string(), value.to_string()))
    });
    let partitions = if assigned > 0 {
        assigned
    } else {
        topic.num_partitions
    };
    let new = NewTopic {
        name: topic.name.to_string(),
        partitions,
        configs: configs.collect(),
    };
    if validate_only {
        return topics::check(shared, core, &new).map(|partitions| (Uuid::nil(), partitions));
    }
    topics::create(shared, core, &new)
}

fn reason(topic: &CreatableTopic, error: ResponseError) -> String {
    format!(
        "topic `{}`, {} partitions: {error}",
        topic.name.as_str(),
        topic.num_partitions
    )
}
