//! Looking inside: log directories, epochs, producers and transactions.

use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    DescribeLogDirsRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    ListTransactionsRequest, OffsetForLeaderEpochRequest,
};

use crate::support::raw::{NOBODY, batch, name, text};
use crate::{Target, unique};

#[tokio::test]
async fn log_directories_tell_the_size_of_partitions() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let mut raw = target.raw().await;
    let one = batch(NOBODY, 0, false, &["a"]);
    raw.produce(None, &topic, 0, one.clone()).await;
    let wanted = |topic: &str, partitions: &[i32]| {
        let wanted = DescribableLogDirTopic::default()
            .with_topic(name(topic))
            .with_partitions(partitions.to_vec());
        DescribeLogDirsRequest::default().with_topics(Some(vec![wanted]))
    };
    let found = raw.call(4, wanted(&topic, &[0, 1])).await;
    assert_eq!((found.error_code, found.results.len()), (0, 1));
    let dir = &found.results[0];
    assert_eq!(dir.error_code, 0);
    assert!(dir.total_bytes > 0 && dir.usable_bytes > 0);
    let mut sizes: Vec<_> = dir.topics[0]
        .partitions
        .iter()
        .map(|p| {
            (
                p.partition_index,
                p.partition_size,
                p.offset_lag,
                p.is_future_key,
            )
        })
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [(0, one.len() as i64, 0, false), (1, 0, 0, false)]);
    let found = raw.call(4, wanted(&unique("none"), &[0])).await;
    assert!(found.results[0].topics.is_empty());
}

#[tokio::test]
async fn an_epoch_ends_where_the_log_ends() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let mut raw = target.raw().await;
    raw.produce(None, &topic, 0, batch(NOBODY, 0, false, &["a", "b"]))
        .await;
    let request = |topic: &str, current, epoch| {
        let partition = OffsetForLeaderPartition::default()
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition]);
        OffsetForLeaderEpochRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic])
    };
    for (topic, current, epoch, expected) in [
        (topic.as_str(), -1, 0, (0, 0, 2)),
        (&topic, 0, 0, (0, 0, 2)),
        (&topic, -1, 1, (0, -1, -1)),
        (&topic, 1, 0, (E::UnknownLeaderEpoch.code(), -1, -1)),
        (
            "no-such",
            -1,
            0,
            (E::UnknownTopicOrPartition.code(), -1, -1),
        ),
    ] {
        let found = raw.call(4, request(topic, current, epoch)).await;
        let found = &found.topics[0].partitions[0];
        let found = (found.error_code, found.leader_epoch, found.end_offset);
        assert_eq!(found, expected, "{topic} {current} {epoch}");
    }
}

#[tokio::test]
async fn producers_of_a_partition_are_described() {
    let target = Target::new().await;
    let topic = target.topic(1, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let (plain, pid) = (raw.init("", 1_000).await, raw.init(&id, 60_000).await);
    raw.produce(None, &topic, 0, batch(plain, 0, false, &["a", "b"]))
        .await;
    assert_eq!(raw.add(&id, pid, &topic, &[0]).await, 0);
    assert_eq!(
        raw.produce(Some(&id), &topic, 0, batch(pid, 0, true, &["c"]))
            .await,
        (0, 2)
    );
    let wanted = |topic: &str, partition| {
        let wanted = TopicRequest::default()
            .with_name(name(topic))
            .with_partition_indexes(vec![partition]);
        DescribeProducersRequest::default().with_topics(vec![wanted])
    };
    let found = raw.call(0, wanted(&topic, 0)).await;
    let found = &found.topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    let mut producers: Vec<_> = found
        .active_producers
        .iter()
        .map(|p| {
            (
                p.producer_id.0,
                p.producer_epoch,
                p.last_sequence,
                p.current_txn_start_offset,
            )
        })
        .collect();
    producers.sort_unstable();
    let mut expected = vec![(plain.id, 0, 1, -1), (pid.id, i32::from(pid.epoch), 0, 2)];
    expected.sort_unstable();
    assert_eq!(producers, expected);
    let unknown = raw.call(0, wanted(&topic, 4)).await.topics[0].partitions[0].error_code;
    assert_eq!(unknown, E::UnknownTopicOrPartition.code());
    assert_eq!(raw.end(&id, pid, true).await, 0);
}

#[tokio::test]
async fn transactions_are_listed_and_described() {
    let target = Target::new().await;
    let topic = target.topic(2, &[]).await;
    let id = target.transactional_id().await;
    let mut raw = target.raw().await;
    let pid = raw.init(&id, 54_321).await;
    let describe = |id: &str| {
        DescribeTransactionsRequest::default().with_transactional_ids(vec![text(id).into()])
    };
    let found = raw
        .call(0, describe(&id))
        .await
        .transaction_states
        .remove(0);
    assert_eq!(
        (found.error_code, found.transaction_state.as_str()),
        (0, "Empty")
    );
    assert_eq!(raw.add(&id, pid, &topic, &[0, 1]).await, 0);
    let found = raw
        .call(0, describe(&id))
        .await
        .transaction_states
        .remove(0);
    assert_eq!(
        (found.error_code, found.transaction_state.as_str()),
        (0, "Ongoing")
    );
    assert_eq!(
        (found.producer_id.0, found.producer_epoch),
        (pid.id, pid.epoch)
    );
    assert_eq!(found.transaction_timeout_ms, 54_321);
    assert!(found.transaction_start_time_ms > 1_600_000_000_000);
    assert_eq!(found.topics[0].topic, name(&topic));
    let mut partitions = found.topics[0].partitions.clone();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1]);
    let unknown = raw.call(0, describe(&unique("never"))).await;
    let code = unknown.transaction_states[0].error_code;
    assert_eq!(code, E::TransactionalIdNotFound.code());

    let mine = async |raw: &mut crate::support::raw::Raw, request: ListTransactionsRequest| {
        let answer = raw.call(1, request).await;
        assert_eq!(answer.error_code, 0);
        let unknown: Vec<String> = answer
            .unknown_state_filters
            .iter()
            .map(ToString::to_string)
            .collect();
        let states = answer.transaction_states.iter();
        let mine = states.filter(|state| state.transactional_id.as_str() == id);
        let mine: Vec<String> = mine
            .map(|state| state.transaction_state.to_string())
            .collect();
        (mine, unknown)
    };
    let all = ListTransactionsRequest::default().with_duration_filter(-1);
    let none: Vec<String> = Vec::new();
    assert_eq!(
        mine(&mut raw, all.clone()).await,
        (vec!["Ongoing".to_owned()], none.clone())
    );
    let ongoing = all
        .clone()
        .with_state_filters(vec![text("Ongoing"), text("Nonsense")]);
    let expected = (vec!["Ongoing".to_owned()], vec!["Nonsense".to_owned()]);
    assert_eq!(mine(&mut raw, ongoing).await, expected);
    let empty = all.clone().with_state_filters(vec![text("Empty")]);
    assert_eq!(mine(&mut raw, empty).await, (none.clone(), none.clone()));
    let others = all
        .clone()
        .with_producer_id_filters(vec![(pid.id + 1_000_000).into()]);
    assert_eq!(mine(&mut raw, others).await, (none.clone(), none.clone()));
    let long = all.with_duration_filter(3_600_000);
    assert_eq!(mine(&mut raw, long).await, (none.clone(), none));
    assert_eq!(raw.end(&id, pid, true).await, 0);
}
