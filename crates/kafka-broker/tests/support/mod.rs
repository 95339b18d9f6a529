//! What the tests share: a broker in a temporary directory, and librdkafka clients with short time-outs.
#![allow(dead_code, unused_must_use, missing_docs, unreachable_pub)]

pub mod raw;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kafka_broker::{Broker, BrokerConfig};
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Longest wait for anything. Reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn config(dir: &Path) -> BrokerConfig {
    let mut config = BrokerConfig::new("127.0.0.1:0".parse().expect("an address"), dir);
    config.journal_segment_bytes = 16 << 20;
    config.batch_bytes_max = 4 << 20;
    config
}

pub async fn start(dir: &Path) -> Broker {
    Broker::start(config(dir)).await.expect("broker starts")
}

pub fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.local_addr().to_string());
    config.set("socket.timeout.ms", "10000");
    // Topics that were just created are looked for again at once.
    config.set("topic.metadata.refresh.fast.interval.ms", "50");
    config
}

pub fn with<T: FromClientConfig>(base: &ClientConfig, settings: &[(&str, &str)]) -> T {
    let mut config = base.clone();
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().expect("a client")
}

pub fn transactional(broker: &Broker, id: &str) -> FutureProducer {
    with(
        &client(broker),
        &[("transactional.id", id), ("linger.ms", "0")],
    )
}

/// A producer with its transactions initialised.
pub async fn initialised(broker: &Broker, id: &str) -> FutureProducer {
    let producer = transactional(broker, id);
    blocking(producer, |producer| producer.init_transactions(PATIENCE)).await
}

/// Runs a blocking call of librdkafka off the runtime, and gives the client back.
pub async fn blocking<C: Clone + Send + 'static>(
    client: C,
    call: impl FnOnce(&C) -> rdkafka::error::KafkaResult<()> + Send + 'static,
) -> C {
    let result = attempt(client, call).await;
    result.expect("the call succeeds")
}

pub async fn attempt<C: Clone + Send + 'static>(
    client: C,
    call: impl FnOnce(&C) -> rdkafka::error::KafkaResult<()> + Send + 'static,
) -> rdkafka::error::KafkaResult<C> {
    tokio::task::spawn_blocking(move || call(&client).map(|()| client))
        .await
        .expect("no panic")
}

pub async fn send(producer: &FutureProducer, topic: &str, partition: i32, value: &str) -> i64 {
    let record = FutureRecord::<str, str>::to(topic)
        .partition(partition)
        .payload(value);
    let sent = producer.send(record, PATIENCE).await;
    sent.expect("the record is acknowledged").offset
}

/// Everything in `partitions` from the start to the end that `isolation` shows, by partition.
pub async fn read_all(
    broker: &Broker,
    topic: &str,
    partitions: i32,
    isolation: &str,
) -> BTreeMap<i32, Vec<String>> {
    let settings = [
        ("group.id", "read-all"),
        ("isolation.level", isolation),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
    ];
    let consumer: StreamConsumer = with(&client(broker), &settings);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&list).expect("assigned");
    let mut found: BTreeMap<i32, Vec<String>> = (0..partitions).map(|p| (p, Vec::new())).collect();
    let mut open = partitions;
    while open > 0 {
        match tokio::time::timeout(PATIENCE, consumer.recv())
            .await
            .expect("a record in time")
        {
            Ok(message) => {
                let value = message
                    .payload_view::<str>()
                    .expect("a value")
                    .expect("text");
                found
                    .get_mut(&message.partition())
                    .expect("asked for")
                    .push(value.to_owned());
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    found
}

/// The committed offset of one partition; `None` when there is none.
pub async fn committed(broker: &Broker, group: &str, topic: &str, partition: i32) -> Option<i64> {
    let consumer: BaseConsumer = with(&client(broker), &[("group.id", group)]);
    let topic = topic.to_owned();
    let look = move || {
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        let list = consumer.committed_offsets(list, PATIENCE).expect("offsets");
        match list
            .find_partition(&topic, partition)
            .expect("the partition")
            .offset()
        {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    };
    tokio::task::spawn_blocking(look).await.expect("no panic")
}

/// Polls until `look` answers something.
pub async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the state comes in time")
}

/// A copy of a data directory, as a crash would leave it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
