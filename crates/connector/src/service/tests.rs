//! Exactly once, whatever step the process ends after: each life goes on from the disk as the last one left it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use kafka_broker::{Broker, BrokerConfig};
use kafka_client::TopicSpec;
use mq_client::{ClientOptions, Host};
use mq_server::{Channel, Server, ServerOptions};
use queue_manager::{NewMessage, Properties, QueueDefinition, QueueManager, QueueManagerOptions};
use rdkafka::message::Message as _;

use super::*;
use crate::source::{MqSource, QueueSource};

const STEPS: [Step; 5] = [
    Step::Got,
    Step::Produced,
    Step::KafkaCommitted,
    Step::QueueCommitted,
    Step::IdLogCut,
];

/// What one life of the process has.
struct Place {
    broker: Broker,
    queue: QueueManager,
    /// The connector reads through it, if it does not read in process.
    listener: Option<Server>,
    cluster: Cluster,
}

impl Place {
    async fn open(dir: &Path, over_the_wire: bool) -> Self {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut config = BrokerConfig::new(listen, dir.join("log"));
        config.journal_segment_bytes = 4 << 20;
        config.batch_bytes_max = 1 << 20;
        let broker = Broker::start(config).await.expect("the broker starts");
        let cluster = Cluster::new(&broker.local_addr().to_string());
        let topics = [names::TOPIC_TRANSACTIONS, names::TOPIC_DELIVERED].map(|name| TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            config: Vec::new(),
        });
        cluster.ensure_topics(&topics).await.expect("topics");
        let mut options = QueueManagerOptions::new("DAYBOOK", dir.join("queue"));
        options
            .queues
            .push(QueueDefinition::new(names::QUEUE_TRANSACTIONS));
        let queue = QueueManager::start(options).expect("the queue manager starts");
        let mut listener = None;
        if over_the_wire {
            let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await;
            let options = ServerOptions {
                channels: vec![Channel {
                    name: names::QUEUE_CHANNEL.to_owned(),
                    conversations_max: 10,
                    message_bytes_max: 4 << 20,
                    heartbeat_seconds: 300,
                }],
                ..ServerOptions::default()
            };
            let server = Server::start(queue.clone(), socket.expect("a port"), options);
            listener = Some(server.expect("listens"));
        }
        Self {
            broker,
            queue,
            listener,
            cluster,
        }
    }

    fn source(&self) -> Box<dyn Source> {
        match &self.listener {
            None => Box::new(QueueSource::new(self.queue.clone())),
            Some(listener) => {
                let host = Host {
                    name: "127.0.0.1".to_owned(),
                    port: listener.address().port(),
                };
                let options = ClientOptions::new(host, names::QUEUE_CHANNEL);
                Box::new(MqSource::new(Arc::new(options)))
            }
        }
    }

    async fn put(&self, numbers: std::ops::Range<u32>) {
        let mut unit = self.queue.begin();
        for number in numbers {
            let message = NewMessage {
                priority: 0,
                properties: Properties::default(),
                body: Bytes::from(number.to_string()),
                ..NewMessage::default()
            };
            unit.put(names::QUEUE_TRANSACTIONS, message).expect("puts");
        }
        unit.commit().await.expect("commits");
    }

    fn runner(
        &self,
        telemetry: &Telemetry,
        shutdown: &CancellationToken,
        after: impl Fn(Step) -> Result<(), ConnectorError> + Send + Sync + 'static,
    ) -> Runner {
        let mut options = ConnectorOptions::new();
        options.batch_messages_max = 5;
        Runner {
            hop: telemetry.hop("connector"),
            runtime: tokio::runtime::Handle::current(),
            options,
            source: self.source(),
            cluster: self.cluster.clone(),
            shutdown: shutdown.clone(),
            after: Box::new(after),
        }
    }

    fn delivered(&self) -> Vec<u32> {
        let consumer = self.cluster.reader("test").expect("a consumer");
        let mut bodies = Vec::new();
        let read = self
            .cluster
            .read_all(&consumer, names::TOPIC_TRANSACTIONS, |message| {
                let body = std::str::from_utf8(message.payload().expect("a body")).expect("text");
                bodies.push(body.parse().expect("a number"));
            });
        read.expect("reads");
        bodies
    }
}

/// One life, on a thread on which librdkafka may block.
async fn live(runner: Runner) -> Result<(), ConnectorError> {
    let life = tokio::task::spawn_blocking(move || Life::begin(&runner)?.live());
    life.await.expect("no panic")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copies")),
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| now_micros().cast_unsigned());
    eprintln!("SEED={seed}");
    seed | 1
}

/// xorshift64*: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % u64::from(bound)) as u32
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_delivered_once_and_in_order_whatever_step_the_process_ends_after() {
    every_message_is_delivered_once(false).await;
}

/// The same with a queue manager elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_wire_too_every_message_is_delivered_once_and_in_order() {
    every_message_is_delivered_once(true).await;
}

async fn every_message_is_delivered_once(over_the_wire: bool) {
    let mut dice = Dice(seed());
    let dir = tempfile::tempdir().expect("a directory");
    let place_of = |life: usize| -> PathBuf { dir.path().join(life.to_string()) };
    let mut put = 0;
    let lives = 3 * STEPS.len();
    for life in 0..lives {
        let place = Place::open(&place_of(life), over_the_wire).await;
        // Enough for the id log to be cut, and for something to be left.
        let more = 30 + dice.below(20);
        place.put(put..put + more).await;
        put += more;
        let last_step = STEPS[life % STEPS.len()];
        let (here, next) = (place_of(life), place_of(life + 1));
        let passes = Mutex::new(dice.below(2));
        let telemetry = Telemetry::default();
        let runner = place.runner(&telemetry, &CancellationToken::new(), move |step| {
            if step != last_step {
                return Ok(());
            }
            let mut passes = passes.lock().expect("one thread");
            if *passes > 0 {
                *passes -= 1;
                return Ok(());
            }
            // The disk as a kill at this moment would leave it.
            copy(&here, &next);
            Err(ConnectorError::Thread(std::io::Error::other("killed")))
        });
        let end = live(runner).await.expect_err("ends after the step");
        assert!(matches!(end, ConnectorError::Thread(_)), "{end:?}");
        let again = telemetry.hop("connector").snapshot().duplicates;
        let before = life.checked_sub(1).map(|life| STEPS[life % STEPS.len()]);
        let expected = before == Some(Step::KafkaCommitted);
        assert_eq!(
            again > 0,
            expected,
            "life {life}: {again} messages came again after {before:?}"
        );
        place.broker.shutdown().await;
        fs::remove_dir_all(place_of(life)).expect("removes");
    }
    let place = Place::open(&place_of(lives), over_the_wire).await;
    let shutdown = CancellationToken::new();
    let telemetry = Telemetry::default();
    let (queue, done) = (place.queue.clone(), shutdown.clone());
    let runner = place.runner(&telemetry, &shutdown, move |step| {
        if step == Step::QueueCommitted
            && queue
                .depth(names::QUEUE_TRANSACTIONS)
                .map_err(SourceError::from)?
                == 0
        {
            done.cancel();
        }
        Ok(())
    });
    live(runner).await.expect("drains the queue");
    let delivered = tokio::task::block_in_place(|| place.delivered());
    assert_eq!(delivered, (0..put).collect::<Vec<_>>());
}
