//! Groups of the new protocol (KIP-848) through a client library: librdkafka with `group.protocol=consumer`.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Target;
use crate::support::{PATIENCE, attempt, blocking, send, with};

const POLL: Duration = Duration::from_millis(50);

fn member(target: &Target, group: &str, more: &[(&str, &str)]) -> StreamConsumer {
    let mut settings = vec![
        ("group.id", group),
        ("group.protocol", "consumer"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ];
    settings.extend(more);
    with(&target.client(), &settings)
}

fn partitions(member: &StreamConsumer) -> BTreeSet<(String, i32)> {
    let list = member.assignment().expect("an assignment");
    let elements = list.elements();
    let names = elements.iter();
    names
        .map(|one| (one.topic().to_owned(), one.partition()))
        .collect()
}

/// Polls all until they have so many partitions each. Returns what they have read meanwhile.
async fn settled(members: &[&StreamConsumer], counts: &[usize]) -> Vec<String> {
    let mut values = Vec::new();
    let wait = async {
        loop {
            for member in members {
                values.extend(poll(member).await);
            }
            let found = members.iter().map(|member| partitions(member).len());
            if found.eq(counts.iter().copied()) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("settled in time");
    values
}

async fn poll(member: &StreamConsumer) -> Option<String> {
    let message = tokio::time::timeout(POLL, member.recv()).await.ok()?;
    // Errors of a partition that is being taken away come too.
    let message = message.ok()?;
    Some(message.payload_view::<str>()?.expect("text").to_owned())
}

async fn read(member: &StreamConsumer, count: usize) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    let wait = async {
        while values.len() < count {
            values.extend(poll(member).await);
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("read in time");
    values
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_share_and_who_stays_goes_on_where_the_other_committed() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(4, &[]).await, target.group().await);
    let (a, b) = (member(&target, &group, &[]), member(&target, &group, &[]));
    for member in [&a, &b] {
        member.subscribe(&[&topic]).expect("subscribed");
    }
    settled(&[&a, &b], &[2, 2]).await;
    assert!(partitions(&a).is_disjoint(&partitions(&b)));
    let producer: FutureProducer = with(&target.client(), &[]);
    for partition in 0..4 {
        send(&producer, &topic, partition, &format!("old {partition}")).await;
    }
    let (first, second) = (read(&a, 2).await, read(&b, 2).await);
    assert!(first.is_disjoint(&second));
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions(&b) {
        list.add_partition_offset(&topic, partition, Offset::Offset(1))
            .expect("an offset");
    }
    b.commit(&list, CommitMode::Sync).expect("committed");
    drop(b);
    let again = settled(&[&a], &[4]).await;
    assert_eq!(again, [""; 0]);
    for partition in 0..4 {
        send(&producer, &topic, partition, &format!("new {partition}")).await;
    }
    let new: BTreeSet<String> = (0..4).map(|partition| format!("new {partition}")).collect();
    assert_eq!(read(&a, 4).await, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_of_the_library_comes_back_to_its_partitions() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(4, &[]).await, target.group().await);
    let make = |instance: &str| {
        let member = member(&target, &group, &[("group.instance.id", instance)]);
        member.subscribe(&[&topic]).expect("subscribed");
        member
    };
    let (a, b) = (make("a"), make("b"));
    settled(&[&a, &b], &[2, 2]).await;
    let (first, second) = (partitions(&a), partitions(&b));
    drop(b);
    let b = make("b");
    settled(&[&a, &b], &[2, 2]).await;
    assert_eq!((partitions(&a), partitions(&b)), (first, second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_of_the_library_finds_its_topics() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(2, &[]).await, target.group().await);
    let longer = format!("{topic}-more");
    assert_eq!(target.create(&longer, 3, &[]).await.error_code, 0);
    target.ready(&longer, 3).await;
    let a = member(&target, &group, &[]);
    a.subscribe(&[&format!("^{topic}.*")]).expect("subscribed");
    settled(&[&a], &[5]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_commits_in_a_transaction_and_one_that_has_left_does_not() {
    let target = Target::new().await;
    let (topic, group) = (target.topic(2, &[]).await, target.group().await);
    let id = target.transactional_id().await;
    let (a, b) = (member(&target, &group, &[]), member(&target, &group, &[]));
    for member in [&a, &b] {
        member.subscribe(&[&topic]).expect("subscribed");
    }
    settled(&[&a, &b], &[1, 1]).await;
    let producer: FutureProducer = with(&target.client(), &[("transactional.id", &id)]);
    let producer = blocking(producer, |producer| producer.init_transactions(PATIENCE)).await;
    let offsets = |offset| {
        let mut list = TopicPartitionList::new();
        for partition in 0..2 {
            list.add_partition_offset(&topic, partition, Offset::Offset(offset))
                .expect("an offset");
        }
        list
    };
    producer.begin_transaction().expect("begun");
    let (list, metadata) = (offsets(5), a.group_metadata().expect("metadata"));
    let producer = blocking(producer, move |producer| {
        producer.send_offsets_to_transaction(&list, &metadata, PATIENCE)
    })
    .await;
    let producer = blocking(producer, |producer| producer.commit_transaction(PATIENCE)).await;
    let zombie = b.group_metadata().expect("metadata");
    drop(b);
    settled(&[&a], &[2]).await;
    producer.begin_transaction().expect("begun");
    let list = offsets(9);
    let refused = attempt(producer.clone(), move |producer| {
        producer.send_offsets_to_transaction(&list, &zombie, PATIENCE)
    })
    .await;
    assert!(refused.is_err());
    let _same = blocking(producer, |producer| producer.abort_transaction(PATIENCE)).await;
    let committed = a.committed(PATIENCE).expect("offsets");
    let committed = committed.elements();
    let committed: Vec<_> = committed.iter().map(|one| one.offset()).collect();
    assert_eq!(committed, [Offset::Offset(5), Offset::Offset(5)]);
}
