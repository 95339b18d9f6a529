//! Puts records straight into the topic of transactions, past gateway and queue.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use types::names;

use super::PATIENCE;

/// A producer that orders records by account as Daybook's connector does.
pub struct Transactions(BaseProducer);

impl Transactions {
    pub fn to(servers: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "1000000")
            .set("linger.ms", "5")
            .create();
        Self(producer.expect("a producer"))
    }

    /// One record; waits while the client has no room.
    pub fn send(&self, account: &str, json: &str) {
        let mut record = BaseRecord::to(names::TOPIC_TRANSACTIONS)
            .key(account)
            .payload(json);
        while let Err((_, returned)) = self.0.send(record) {
            self.0.poll(Duration::from_millis(5));
            record = returned;
        }
    }

    /// Lets the client work for so long.
    pub fn poll(&self, time: Duration) {
        self.0.poll(time);
    }

    /// Waits until everything is there.
    pub fn flush(&self) {
        self.0.flush(PATIENCE).expect("everything arrives");
    }
}
