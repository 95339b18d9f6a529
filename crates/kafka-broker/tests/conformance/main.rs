//! One conformance suite, two targets: the embedded broker, always, and a real Apache Kafka when `KAFKA_BOOTSTRAP`
//! names one (`host:port`). `scripts/kafka-conformance.sh` runs it against both and compares.
//!
//! Every check is written once and knows nothing of its target but an address. Topics, groups and transactional ids
//! have names of their own, so that checks run side by side and a cluster may be used again.

mod admin;
mod admin_configs;
mod cleanup;
mod client;
mod consumer_clients;
mod consumer_groups;
mod consumer_offsets;
mod consumer_shares;
mod describe;
mod fetch;
mod groups;
mod list_offsets;
mod offsets;
mod produce;
#[path = "../support/mod.rs"]
mod support;
mod transactions;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kafka_broker::{Broker, BrokerConfig};
use kafka_protocol::ResponseError as E;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, FindCoordinatorRequest, MetadataRequest};
use rdkafka::config::ClientConfig;
use support::raw::{Raw, name, text};
use support::until;

/// What the checks run against.
struct Target {
    address: SocketAddr,
    /// Dropped with the target; nothing for a cluster that somebody else runs.
    _embedded: Option<(Broker, tempfile::TempDir)>,
}

impl Target {
    async fn new() -> Self {
        let external = std::env::var("KAFKA_BOOTSTRAP").unwrap_or_default();
        if !external.is_empty() {
            let found = tokio::net::lookup_host(external).await;
            let address = found.expect("a host").next().expect("an address");
            return Self {
                address,
                _embedded: None,
            };
        }
        let dir = tempfile::tempdir().expect("a directory");
        let broker = Broker::start(settings(dir.path())).await.expect("starts");
        Self {
            address: broker.local_addr(),
            _embedded: Some((broker, dir)),
        }
    }

    async fn raw(&self) -> Raw {
        Raw::to(self.address).await
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address.to_string());
        config.set("socket.timeout.ms", "10000");
        config.set("topic.metadata.refresh.fast.interval.ms", "50");
        config
    }

    /// A new topic, ready to be written to.
    async fn topic(&self, partitions: i32, configs: &[(&str, &str)]) -> String {
        let topic = unique("topic");
        let created = self.create(&topic, partitions, configs).await;
        assert_eq!(created.error_code, 0, "{:?}", created.error_message);
        self.ready(&topic, partitions).await;
        topic
    }

    /// Waits until every partition has a leader: a cluster creates topics step by step.
    async fn ready(&self, topic: &str, partitions: i32) {
        let mut raw = self.raw().await;
        loop {
            let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
            let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
            let found = raw.call(12, request).await.topics.remove(0);
            let led = found.partitions.iter().filter(|p| p.leader_id.0 >= 0);
            if found.error_code == 0 && led.count() == partitions as usize {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for partition in 0..partitions {
            // It may know that it leads, but not be ready to.
            while list_offsets::offset_at(&mut raw, topic, partition, -1)
                .await
                .0
                != 0
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn create(
        &self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> CreatableTopicResult {
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        });
        let wanted = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![wanted]);
        let mut answer = self.raw().await.call(7, request).await;
        answer.topics.remove(0)
    }

    /// A new group whose coordinator is ready.
    async fn group(&self) -> String {
        self.coordinated("group", 0).await
    }

    /// A new transactional id whose coordinator is ready.
    async fn transactional_id(&self) -> String {
        self.coordinated("tx", 1).await
    }

    async fn coordinated(&self, what: &str, key_type: i8) -> String {
        let key = unique(what);
        let mut raw = self.raw().await;
        loop {
            let request = FindCoordinatorRequest::default()
                .with_key_type(key_type)
                .with_coordinator_keys(vec![text(&key)]);
            let answer = raw.call(4, request).await;
            match answer.coordinators[0].error_code {
                0 => return key,
                code => assert_eq!(code, E::CoordinatorNotAvailable.code()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The settings that a real Kafka gets from `scripts/kafka-conformance.sh`, in ours.
fn settings(dir: &std::path::Path) -> BrokerConfig {
    let mut config = support::config(dir);
    config.auto_create_topics = false;
    config.group_initial_rebalance_delay = Duration::ZERO;
    config.cleanup_interval = Duration::from_millis(200);
    config.consumer_heartbeat_interval = Duration::from_millis(200);
    config.consumer_session_timeout = Duration::from_secs(5);
    config
}

fn unique(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4().simple())
}

/// A batch with a key a record.
fn keyed(records: &[(Option<&str>, Option<&str>)]) -> Bytes {
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| (*key, *value, 1_000))
        .collect();
    support::raw::records(&records)
}

/// Repeats a look until it answers something.
async fn eventually<T, F: Future<Output = Option<T>>>(look: impl FnMut() -> F) -> T {
    until(look).await
}
