//! The curves in the log: what other replicas and earlier lives wrote is read, what is new is written.
//!
//! Without the topic, or without the right to write to it, the curves are those of this process: history then
//! begins when it started.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use kafka_client::{ClientError, Cluster, LogConsumer, PlainProducer};
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use types::names::TOPIC_CURVE;

use crate::curve::Point;
use crate::hub::Hub;

/// Points that wait to be written; further ones are left out: the next of the same day says as much.
const WAITING_MAX: usize = 1_024;
/// How often what others wrote is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(10);
/// Wait before another point is tried to be written: perhaps we may not.
const WRITE_RETRY: Duration = Duration::from_secs(300);

/// Takes points that are to be written.
pub(crate) type Points = SyncSender<Point>;

/// The thread's side of [`channel`].
#[derive(Debug)]
pub(crate) struct CurveLog {
    cluster: Cluster,
    points: Receiver<Point>,
}

/// A way to the topic of this cluster.
pub(crate) fn channel(cluster: Cluster) -> (Points, CurveLog) {
    let (sender, points) = sync_channel(WAITING_MAX);
    (sender, CurveLog { cluster, points })
}

impl CurveLog {
    /// Reads and writes until shutdown. Blocks.
    pub(crate) fn run(&self, hubs: &[Arc<Hub>], stop: &CancellationToken) {
        let mut told = false;
        while !stop.is_cancelled() {
            if let Err(error) = self.follow(hubs, stop)
                && !std::mem::replace(&mut told, true)
            {
                let error = types::report(&error);
                info!(
                    error,
                    "the curves of the days are those since this server began"
                );
            }
            for _ in 0..RETRY.as_millis() / LOOK.as_millis() {
                if stop.is_cancelled() {
                    return;
                }
                std::thread::sleep(LOOK);
            }
        }
    }

    fn follow(&self, hubs: &[Arc<Hub>], stop: &CancellationToken) -> Result<(), ClientError> {
        let consumer = self
            .cluster
            .consumer("daybook-web-curve", "daybook-web-curve", true)?;
        for partition in 0..self.cluster.partitions(&consumer, TOPIC_CURVE)? {
            // One is what it is made with.
            self.assign(&consumer, partition)?;
        }
        let producer = self.cluster.plain_producer("daybook-web-curve")?;
        let mut writes_from = Instant::now();
        while !stop.is_cancelled() {
            self.read(&consumer, hubs)?;
            match self.points.recv_timeout(LOOK) {
                Ok(point) if Instant::now() >= writes_from => {
                    if !write(&producer, &point) {
                        writes_from = Instant::now() + WRITE_RETRY;
                    }
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    fn assign(&self, consumer: &LogConsumer, partition: i32) -> Result<(), ClientError> {
        let refused = |source| self.cluster.error("assign partitions", source);
        let mut assignment = TopicPartitionList::new();
        let added = assignment.add_partition_offset(TOPIC_CURVE, partition, Offset::Beginning);
        added.map_err(refused)?;
        consumer.incremental_assign(&assignment).map_err(refused)
    }

    fn read(&self, consumer: &LogConsumer, hubs: &[Arc<Hub>]) -> Result<(), ClientError> {
        let what = "read the curves of the days";
        self.cluster
            .take(consumer, what, Duration::ZERO, |message| {
                let (key, value) = (message.key(), message.payload());
                let point = Point::parse(key.unwrap_or_default(), value.unwrap_or_default());
                let hub = point.as_ref().and_then(|point| {
                    let mut hubs = hubs.iter();
                    hubs.find(|hub| hub.name() == point.aggregation)
                });
                if let (Some(hub), Some(point)) = (hub, &point) {
                    hub.put_curve(point);
                }
                std::ops::ControlFlow::Continue(())
            })
    }
}

/// Says whether it was written.
fn write(producer: &PlainProducer, point: &Point) -> bool {
    let (key, value) = (point.key(), point.value());
    let sent = producer.send(TOPIC_CURVE, key.as_bytes(), value.as_bytes());
    sent.inspect_err(
        |error| warn!(%error, "the curves of the days cannot be written at the moment"),
    )
    .is_ok()
}
