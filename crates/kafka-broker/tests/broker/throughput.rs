//! Not a test of right or wrong: prints how fast it goes. `cargo test --release -p kafka-broker --test broker throughput -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use crate::support::raw::{NOBODY, Raw, batch};
use crate::support::{PATIENCE, blocking, client, initialised, send, with};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, FutureProducer, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const RECORDS: usize = 1_000_000;
const PARTITIONS: i32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = crate::support::config(dir.path());
    config.journal_segment_bytes = 128 << 20;
    let broker = kafka_broker::Broker::start(config).await.expect("starts");
    broker
        .create_topic("t", PARTITIONS, &[])
        .await
        .expect("created");
    let settings = [
        ("linger.ms", "5"),
        ("queue.buffering.max.messages", "500000"),
        ("batch.size", "262144"),
    ];
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> =
        with(&client(&broker), &settings);
    let begun = Instant::now();
    let produce = move || {
        let payload = [b'x'; 250];
        for number in 0..RECORDS {
            let mut record = BaseRecord::<(), [u8]>::to("t")
                .partition(number as i32 % PARTITIONS)
                .payload(&payload);
            while let Err((_, back)) = producer.send(record) {
                std::thread::sleep(Duration::from_millis(1));
                record = back;
            }
        }
        producer.flush(Duration::from_secs(60)).expect("flushed");
    };
    tokio::task::spawn_blocking(produce)
        .await
        .expect("no panic");
    let rate = |count: usize, begun: Instant| count as f64 / begun.elapsed().as_secs_f64();
    eprintln!("produce {:.0} records/s", rate(RECORDS, begun));
    let consumer: BaseConsumer = with(&client(&broker), &[("group.id", "g")]);
    let begun = Instant::now();
    let consume = move || {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset("t", partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("assigned");
        let mut read = 0;
        while read < RECORDS {
            if let Some(message) = consumer.poll(PATIENCE) {
                message.expect("a record");
                read += 1;
            }
        }
    };
    tokio::task::spawn_blocking(consume)
        .await
        .expect("no panic");
    eprintln!("consume {:.0} records/s", rate(RECORDS, begun));
    let mut raw = Raw::connect(&broker).await;
    let mut micros = Vec::new();
    for _ in 0..500 {
        let begun = Instant::now();
        assert_eq!(
            raw.produce(None, "t", 0, batch(NOBODY, 0, false, &["x"]))
                .await
                .0,
            0
        );
        micros.push(begun.elapsed().as_micros());
    }
    micros.sort_unstable();
    eprintln!(
        "one produce at a time: p50 {} us, p99 {} us",
        micros[250], micros[495]
    );
    transactions(&broker).await;
    broker.shutdown().await;
}

async fn transactions(broker: &kafka_broker::Broker) {
    let mut producer: FutureProducer = initialised(broker, "tx").await;
    let begun = Instant::now();
    const TRANSACTIONS: usize = 200;
    for _ in 0..TRANSACTIONS {
        producer.begin_transaction().expect("begun");
        send(&producer, "t", 0, "x").await;
        producer = blocking(producer, |p| p.commit_transaction(PATIENCE)).await;
    }
    eprintln!(
        "{:.0} transactions/s",
        TRANSACTIONS as f64 / begun.elapsed().as_secs_f64()
    );
}
