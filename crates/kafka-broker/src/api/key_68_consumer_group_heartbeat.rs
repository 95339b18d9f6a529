//! ConsumerGroupHeartbeat: a member of the new protocol joins, lives on or leaves, and learns what it is to read.
//!
//! No epoch is told before the journal has it that such epochs are given out, so that none is given out again after a
//! restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as Answered, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use segment_log::Position;
use uuid::Uuid;

use super::{Context, Reply, text};
use crate::entry::{Entry, PartitionId};
use crate::group::consumer::assign::Assignment;
use crate::group::consumer::subscription::Catalog;
use crate::group::consumer::{Beat, Beaten, JOINS, Refusal};
use crate::security::{Access, Grants};
use crate::shared::{Core, Shared};
use crate::state::State;

/// So many epochs are written down at once: a restart leaves out no more.
const EPOCHS_RESERVED: i32 = 1_000;

/// The topics that there are, for one who may not know of all of them.
struct Topics<'a> {
    state: &'a State,
    grants: &'a Grants,
}

impl Catalog for Topics<'_> {
    fn version(&self) -> u64 {
        self.state.topics_version
    }

    fn find(&self, name: &str) -> Option<(Uuid, i32)> {
        let id = self.state.topic_id(name)?;
        let partitions = self.state.topics.get(&id)?.partitions.len();
        Some((id, i32::try_from(partitions).unwrap_or(i32::MAX)))
    }

    fn each_visible(&self, look: &mut dyn FnMut(&str)) {
        let names = self.state.names().map(|(name, _)| name);
        names
            .filter(|name| self.grants.sees_topic(name))
            .for_each(|name| look(name));
    }
}

pub(super) fn handle(
    context: &Context<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> Reply<ConsumerGroupHeartbeatResponse> {
    let shared = context.shared;
    let grants = &context.grants;
    let allowed = grants
        .group(&request.group_id, Access::Read)
        .and_then(|()| {
            let mut names = request.subscribed_topic_names.iter().flatten();
            names.try_for_each(|name| grants.look_at_topic(name))
        });
    if let Err(error) = allowed {
        return Reply::Now(refused(error, None));
    }
    let beat = beat(context, request);
    let joins = beat.epoch == JOINS;
    let mut groups = shared.groups();
    let mut core = shared.core();
    let known = core.state.groups.contains_key(&beat.group);
    let topics = Topics {
        state: &core.state,
        grants,
    };
    let beaten = groups.consumer_heartbeat(beat, known, &topics, Instant::now());
    let beaten = match beaten {
        Ok(beaten) => beaten,
        Err(Refusal { error, reason }) => return Reply::Now(refused(error, Some(reason))),
    };
    let reserved = match reserve(shared, &mut core, beaten.epoch) {
        Ok(position) => position,
        Err(error) => return Reply::Now(refused(error, None)),
    };
    drop(core);
    drop(groups);
    if joins || beaten.assignment.is_some() {
        // There may be a time-out that is nearer than the ones before.
        shared.groups_changed.notify_one();
    }
    let interval = shared.config.consumer_heartbeat_interval;
    let response = answer(beaten).with_heartbeat_interval_ms(interval.as_millis() as i32);
    if reserved <= shared.journal.durable_position() {
        return Reply::Now(response);
    }
    let shared = Arc::clone(shared);
    Reply::later(async move {
        match shared.durable(reserved).await {
            Ok(()) => response,
            Err(error) => refused(error, None),
        }
    })
}

fn beat(context: &Context<'_>, request: ConsumerGroupHeartbeatRequest) -> Beat {
    let topics = request.subscribed_topic_names;
    let owned = request.topic_partitions.map(|topics| {
        let ids = topics.into_iter().flat_map(|topic| {
            let partitions = topic.partitions.into_iter();
            partitions.map(move |partition| PartitionId {
                topic: topic.topic_id,
                partition,
            })
        });
        ids.collect::<Assignment>()
    });
    Beat {
        group: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        epoch: request.member_epoch,
        instance_id: request.instance_id.map(|id| id.to_string()),
        rack_id: request.rack_id.map(|id| id.to_string()),
        client_id: context.client_id.clone(),
        client_host: context.client_host(),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: topics.map(|topics| topics.iter().map(|topic| topic.to_string()).collect()),
        regex: request
            .subscribed_topic_regex
            .map(|regex| regex.to_string()),
        assignor: request.server_assignor.map(|name| name.to_string()),
        owned,
        gives_id: context.version == 0,
    }
}

/// Writes down that epochs up to `epoch`, and some more, are given out. Returns where in the journal that is.
fn reserve(shared: &Shared, core: &mut Core, epoch: i32) -> Result<Position, ResponseError> {
    if epoch > core.state.group_epochs {
        let epoch = epoch.saturating_add(EPOCHS_RESERVED);
        let position = shared.submit(core, &Entry::ReserveEpochs { epoch })?;
        shared.epochs_reserved.store(position.0, Ordering::Release);
    }
    Ok(Position(shared.epochs_reserved.load(Ordering::Acquire)))
}

fn refused(error: ResponseError, reason: Option<&str>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(reason.map(text))
}

fn answer(beaten: Beaten) -> ConsumerGroupHeartbeatResponse {
    let assignment = beaten.assignment.map(|assignment| {
        let mut topics: Vec<TopicPartitions> = Vec::new();
        for id in assignment {
            match topics.last_mut() {
                Some(last) if last.topic_id == id.topic => last.partitions.push(id.partition),
                _ => topics.push(
                    TopicPartitions::default()
                        .with_topic_id(id.topic)
                        .with_partitions(vec![id.partition]),
                ),
            }
        }
        Answered::default().with_topic_partitions(topics)
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(&beaten.member_id)))
        .with_member_epoch(beaten.epoch)
        .with_assignment(assignment)
}
