//! Metadata: the one broker, the topics and their partitions. Creates topics if that is allowed.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use uuid::Uuid;

use super::{Context, NO_OPERATIONS, Reply, text};
use crate::batch::LEADER_EPOCH;
use crate::security::Access;
use crate::shared::{Core, NODE_ID};
use crate::topics::{self, NewTopic};

pub(super) fn handle(context: &Context<'_>, request: MetadataRequest) -> Reply<MetadataResponse> {
    let shared = context.shared;
    let create = shared.config.auto_create_topics
        && (context.version < 4 || request.allow_auto_topic_creation);
    // Version 0 has no null: there an empty list asks for all.
    let wanted = request
        .topics
        .filter(|topics| context.version > 0 || !topics.is_empty());
    let mut core = shared.core();
    let before = shared.journal.end();
    let answers = match wanted {
        None => {
            let all = core.state.names();
            let all = all.filter(|(name, _)| context.grants.sees_topic(name));
            let all: Vec<Uuid> = all.map(|(_, id)| id).collect();
            all.into_iter().map(|id| describe(&core, id)).collect()
        }
        Some(topics) => topics
            .iter()
            .map(|topic| look_up(context, &mut core, topic, create))
            .collect(),
    };
    let cluster = StrCluster(core.state.cluster).text();
    let position = shared.journal.end();
    drop(core);
    let (host, port) = context.advertised();
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE_ID.into())
        .with_host(host)
        .with_port(port);
    let response = MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(cluster))
        .with_controller_id(NODE_ID.into())
        .with_cluster_authorized_operations(NO_OPERATIONS)
        .with_topics(answers);
    if position == before {
        return Reply::Now(response);
    }
    let shared = Arc::clone(shared);
    Reply::later(async move {
        let mut response = response;
        if let Err(error) = shared.durable(position).await {
            for topic in &mut response.topics {
                topic.error_code = error.code();
            }
        }
        response
    })
}

/// The cluster id as clients are shown it.
pub(super) struct StrCluster(pub(super) Uuid);

impl StrCluster {
    pub(super) fn text(&self) -> kafka_protocol::protocol::StrBytes {
        text(&self.0.simple().to_string())
    }
}

fn look_up(
    context: &Context<'_>,
    core: &mut Core,
    wish: &MetadataRequestTopic,
    create: bool,
) -> MetadataResponseTopic {
    let Some(name) = &wish.name else {
        let known = core.state.topics.get(&wish.topic_id);
        if known.is_some_and(|topic| context.grants.sees_topic(&topic.name)) {
            return describe(core, wish.topic_id);
        }
        let answer = MetadataResponseTopic::default().with_topic_id(wish.topic_id);
        return answer.with_error_code(ResponseError::UnknownTopicId.code());
    };
    let found = match core.state.topic_id(name) {
        _ if !context.grants.sees_topic(name) => Err(ResponseError::TopicAuthorizationFailed),
        Some(id) => Ok(id),
        None if !topics::is_valid_name(name) => Err(ResponseError::InvalidTopicException),
        None if create && context.grants.topic(name, Access::Admin).is_ok() => {
            let new = NewTopic {
                name: name.to_string(),
                partitions: -1,
                configs: Vec::new(),
            };
            topics::create(context.shared, core, &new).map(|(id, _)| id)
        }
        None => Err(ResponseError::UnknownTopicOrPartition),
    };
    match found {
        Ok(id) => describe(core, id),
        Err(error) => MetadataResponseTopic::default()
            .with_name(Some(name.clone()))
            .with_topic_authorized_operations(NO_OPERATIONS)
            .with_error_code(error.code()),
    }
}

fn describe(core: &Core, id: Uuid) -> MetadataResponseTopic {
    let answer = MetadataResponseTopic::default().with_topic_id(id);
    let Some(topic) = core.state.topics.get(&id) else {
        return answer.with_error_code(ResponseError::UnknownTopicId.code());
    };
    let partitions = (0..topic.partitions.len()).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(NODE_ID.into())
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID.into()])
            .with_isr_nodes(vec![NODE_ID.into()])
    });
    answer
        .with_name(Some(TopicName(text(&topic.name))))
        .with_is_internal(false)
        .with_topic_authorized_operations(NO_OPERATIONS)
        .with_partitions(partitions.collect())
}
