//! Exactly once, whatever step the process ends after: each life goes on from the disk as the last one left it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};
use std::time::SystemTime;

use bytes::Bytes;
use kafka_broker::{Broker, BrokerConfig};
use kafka_client::TopicSpec;
use mq_client::{ClientOptions, Host};
use mq_server::{Channel, Server, ServerOptions};
use queue_manager::{NewMessage, Properties, QueueDefinition, QueueManager, QueueManagerOptions};
use rdkafka::message::Message as _;

use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::*;
use crate::idlog::{Claim, Entry};
use crate::source::{MqSource, QueueSource};

const STEPS: [Step; 6] = [
    Step::Got,
    Step::Produced,
    Step::ReadBack,
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
        let topics = [
            names::TOPIC_TRANSACTIONS,
            names::TOPIC_DELIVERED,
            names::TOPIC_DISCARDED,
        ];
        let topics = topics.map(|name| TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            config: Vec::new(),
        });
        cluster.ensure_topics(&topics).await.expect("topics");
        let mut options = QueueManagerOptions::new("DAYBOOK", dir.join("queue"));
        options
            .queues
            .extend([names::QUEUE_TRANSACTIONS, names::QUEUE_BACKOUT].map(QueueDefinition::new));
        let queue = QueueManager::start(options).expect("the queue manager starts");
        let mut listener = None;
        if over_the_wire {
            listener = Some(serve(&queue).await);
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
            Some(listener) => over(listener),
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
        options.batch.messages_max = 5;
        Runner {
            hop: telemetry.hop("connector"),
            status: Status::new(READERS_MAX),
            runtime: tokio::runtime::Handle::current(),
            options,
            source: self.source(),
            cluster: self.cluster.clone(),
            shutdown: shutdown.clone(),
            dones: Arc::default(),
            after: Box::new(after),
        }
    }

    fn delivered(&self) -> Vec<u32> {
        self.delivered_to(names::TOPIC_TRANSACTIONS)
    }

    fn delivered_to(&self, topic: &str) -> Vec<u32> {
        let consumer = self.cluster.reader("test").expect("a consumer");
        let mut bodies = Vec::new();
        let read = self.cluster.read_all(&consumer, topic, |message| {
            let body = std::str::from_utf8(message.payload().expect("a body")).expect("text");
            bodies.push(body.parse().expect("a number"));
        });
        read.expect("reads");
        bodies
    }
}

async fn serve(queue: &QueueManager) -> Server {
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
    server.expect("listens")
}

fn over(listener: &Server) -> Box<dyn Source> {
    let host = Host {
        name: "127.0.0.1".to_owned(),
        port: listener.address().port(),
    };
    let options = ClientOptions::new(host, names::QUEUE_CHANNEL);
    Box::new(MqSource::new(Arc::new(options)))
}

/// One life, on a thread on which librdkafka may block.
async fn live(runner: Runner) -> Result<(), ConnectorError> {
    let life = tokio::task::spawn_blocking(move || runner.life(&|| (), false));
    life.await.expect("no panic")
}

/// Files with their sizes and times.
fn listing(dir: &Path, into: &mut BTreeMap<PathBuf, (u64, SystemTime)>) {
    for entry in fs::read_dir(dir).expect("lists") {
        let entry = entry.expect("an entry");
        let about = entry.metadata().expect("is there");
        match about.is_dir() {
            true => listing(&entry.path(), into),
            false => {
                let modified = about.modified().expect("a time");
                into.insert(entry.path(), (about.len(), modified));
            }
        }
    }
}

/// A copy of a moment: what else writes (the id log is taken care of) may do so before or behind it.
fn snapshot(from: &Path, to: &Path) {
    loop {
        let (mut before, mut behind) = (BTreeMap::new(), BTreeMap::new());
        listing(from, &mut before);
        copy(from, to);
        listing(from, &mut behind);
        if before == behind {
            return;
        }
        fs::remove_dir_all(to).expect("removes");
    }
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
    let seed = given.unwrap_or_else(|| telemetry::now_micros().cast_unsigned());
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
    let mut came_again = 0;
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
            snapshot(&here, &next);
            Err(ConnectorError::Thread(std::io::Error::other("killed")))
        });
        let end = live(runner).await.expect_err("ends after the step");
        assert!(matches!(end, ConnectorError::Thread(_)), "{end:?}");
        let again = telemetry.hop("connector").snapshot().duplicates;
        let before = life.checked_sub(1).map(|life| STEPS[life % STEPS.len()]);
        let expected = before == Some(Step::KafkaCommitted);
        // A life that ends early may not have got as far.
        assert!(
            again == 0 || expected,
            "life {life}: {again} messages came again after {before:?}"
        );
        came_again += again;
        place.broker.shutdown().await;
        fs::remove_dir_all(place_of(life)).expect("removes");
    }
    let place = Place::open(&place_of(lives), over_the_wire).await;
    // The last life may have left nothing.
    place.put(put..put + 5).await;
    put += 5;
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
    assert!(came_again > 0, "nothing was ever discarded");
}

/// Records that the topic does not take go to the backout queue, alone, and nothing else waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_kafka_refuses_are_put_aside_and_the_others_delivered() {
    for over_the_wire in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::open(dir.path(), over_the_wire).await;
        let limit = ("max.message.bytes".to_owned(), "2000".to_owned());
        let made = place.broker.create_topic("narrow", 1, &[limit]).await;
        assert!(made.expect("creates"));
        place.put(0..9).await;
        let mut unit = place.queue.begin();
        for digits in [3_000, 2_500] {
            let message = NewMessage {
                body: Bytes::from("1".repeat(digits)),
                ..NewMessage::default()
            };
            unit.put(names::QUEUE_TRANSACTIONS, message).expect("puts");
        }
        unit.commit().await.expect("commits");
        place.put(9..20).await;
        let shutdown = CancellationToken::new();
        let telemetry = Telemetry::default();
        let (queue, done) = (place.queue.clone(), shutdown.clone());
        let mut runner = place.runner(&telemetry, &shutdown, move |step| {
            let depth = queue.depth(names::QUEUE_TRANSACTIONS);
            if step == Step::QueueCommitted && depth.map_err(SourceError::from)? == 0 {
                done.cancel();
            }
            Ok(())
        });
        runner.options.topic = "narrow".to_owned();
        runner.options.batch.messages_max = 8;
        live(runner).await.expect("drains the queue");
        let numbers = tokio::task::block_in_place(|| place.delivered_to("narrow"));
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        assert_eq!(place.queue.depth(names::QUEUE_BACKOUT).expect("a queue"), 2);
        assert_eq!(telemetry.hop("connector").snapshot().quarantined, 2);
        place.broker.shutdown().await;
    }
}

/// Without a queue for them they stand in the way, and say why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_kafka_refuses_stands_in_the_way_where_nothing_says_where_it_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::open(dir.path(), false).await;
    let limit = ("max.message.bytes".to_owned(), "60".to_owned());
    let made = place.broker.create_topic("narrow", 1, &[limit]).await;
    assert!(made.expect("creates"));
    place.put(0..1).await;
    let telemetry = Telemetry::default();
    let mut runner = place.runner(&telemetry, &CancellationToken::new(), |_| Ok(()));
    runner.options.topic = "narrow".to_owned();
    runner.options.refused_queue = None;
    let end = live(runner).await.expect_err("it cannot be delivered");
    assert!(matches!(end, ConnectorError::Refused(_)), "{end:?}");
    assert_eq!(
        place
            .queue
            .depth(names::QUEUE_TRANSACTIONS)
            .expect("a queue"),
        1
    );
    place.broker.shutdown().await;
}

/// Two processes of one queue, of which one loses its connection at a step and acts on later.
struct Rivals {
    place: Place,
    /// The zombie's way to the queue, which will be cut.
    other_way: Option<Server>,
    _dir: tempfile::TempDir,
}

impl Rivals {
    async fn new(messages: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::open(dir.path(), true).await;
        place.put(0..messages).await;
        let other_way = Some(serve(&place.queue).await);
        Self {
            place,
            other_way,
            _dir: dir,
        }
    }

    fn runner(
        &self,
        telemetry: &Telemetry,
        instance: &str,
        source: Box<dyn Source>,
        shutdown: &CancellationToken,
        after: impl Fn(Step) -> Result<(), ConnectorError> + Send + Sync + 'static,
    ) -> Runner {
        let mut runner = self.place.runner(telemetry, shutdown, after);
        runner.options.instance = instance.to_owned();
        runner.source = source;
        runner
    }

    async fn until_empty(&self) {
        while self
            .place
            .queue
            .depth(names::QUEUE_TRANSACTIONS)
            .expect("is there")
            > 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The zombie stops at `step`, its connection goes, the other one delivers everything (or waits for it), and then
/// the zombie goes on. How many messages each of them discarded.
async fn zombie(step: Step) -> (u64, u64) {
    const MESSAGES: u32 = 5;
    let mut rivals = Rivals::new(MESSAGES).await;
    let (stopped, has_stopped) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let gates = Mutex::new(Some((stopped, may_go_on)));
    let zombie_telemetry = Telemetry::default();
    let other_way = rivals.other_way.take().expect("not cut yet");
    let zombie = rivals.runner(
        &zombie_telemetry,
        "zombie",
        over(&other_way),
        &CancellationToken::new(),
        move |at| {
            if at == step
                && let Some((stopped, may_go_on)) = gates.lock().expect("one thread").take()
            {
                stopped.send(()).expect("somebody waits");
                may_go_on.recv().expect("is let go");
            }
            Ok(())
        },
    );
    let zombie = tokio::spawn(live(zombie));
    tokio::task::block_in_place(|| has_stopped.recv().expect("gets there"));
    // Its messages go back to the queue; it does not know.
    other_way.stop().await;
    let telemetry = Telemetry::default();
    let shutdown = CancellationToken::new();
    let living = rivals.runner(
        &telemetry,
        "living",
        rivals.place.source(),
        &shutdown,
        |_| Ok(()),
    );
    let living = tokio::spawn(live(living));
    rivals.until_empty().await;
    go_on.send(()).expect("it waits");
    // Its connection is gone, so it cannot end well, whatever it did.
    let end = zombie.await.expect("no panic");
    assert!(end.is_err(), "{step:?}");
    shutdown.cancel();
    living.await.expect("no panic").expect("ends well");
    let delivered = tokio::task::block_in_place(|| rivals.place.delivered());
    assert_eq!(delivered, (0..MESSAGES).collect::<Vec<_>>(), "{step:?}");
    let discarded = |telemetry: &Telemetry| telemetry.hop("connector").snapshot().duplicates;
    (discarded(&zombie_telemetry), discarded(&telemetry))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_that_has_claimed_nothing_yet_gives_way() {
    let (zombie, living) = zombie(Step::Got).await;
    assert_eq!((zombie, living), (5, 0));
}

/// Its claim is in the log and open: the other one waits for it, then ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_with_an_open_claim_is_fenced_and_then_gives_way() {
    for step in [Step::Produced, Step::ReadBack] {
        let (zombie, living) = zombie(step).await;
        assert_eq!(living, 0, "{step:?}");
        // Fenced before it sent the end: the batch is given up. Behind it: judged again, and all is taken.
        assert!(zombie == 0 || zombie == 5, "{step:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_zombie_has_committed_is_discarded_by_the_other_one() {
    let (zombie, living) = zombie(Step::KafkaCommitted).await;
    assert_eq!((zombie, living), (0, 5));
}

/// Many readers in two processes; each loses its connection again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_that_lose_their_connections_deliver_each_message_once() {
    let mut dice = Dice(seed());
    let messages = 2_000;
    let rivals = Rivals::new(messages).await;
    let mut lives = Vec::new();
    let telemetry = Telemetry::default();
    let shutdown = CancellationToken::new();
    for (number, instance) in ["one", "two"].into_iter().enumerate() {
        let failures = Mutex::new(Dice(u64::from(dice.below(1 << 30)) << 1 | 1));
        let queue = rivals.place.queue.clone();
        let mut runner = rivals.runner(
            &telemetry,
            instance,
            // One in this process, one over the wire: both know the same messages.
            match number {
                0 => Box::new(QueueSource::new(queue)),
                _ => rivals.place.source(),
            },
            &shutdown,
            move |step| {
                let roll = failures.lock().expect("no panic").below(60);
                match (step, roll) {
                    (Step::IdLogCut, _) | (_, 1..) => Ok(()),
                    _ => Err(ConnectorError::Thread(std::io::Error::other("cut off"))),
                }
            },
        );
        runner.options.readers = 3;
        lives.push(tokio::task::spawn_blocking(move || {
            runner.life(&|| (), true)
        }));
    }
    rivals.until_empty().await;
    shutdown.cancel();
    for life in lives {
        life.await.expect("no panic").expect("ends well");
    }
    let mut delivered = tokio::task::block_in_place(|| rivals.place.delivered());
    delivered.sort_unstable();
    let twice: Vec<_> = delivered
        .windows(2)
        .filter(|two| two[0] == two[1])
        .map(|two| two[0])
        .collect();
    assert!(twice.is_empty(), "twice: {twice:?}");
    assert_eq!(delivered.len(), messages as usize);
    let discarded = telemetry.hop("connector").snapshot().duplicates;
    assert!(discarded > 0, "no message ever came again");
}

/// Applications may give all their messages one identifier, and put the same text twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_look_the_same_are_all_delivered() {
    let rivals = Rivals::new(0).await;
    let mut unit = rivals.place.queue.begin();
    for _ in 0..20 {
        let message = NewMessage {
            msg_id: Some(queue_manager::MsgId([7; 24])),
            put_time: Some(1_700_000_000_000_000),
            body: Bytes::from_static(b"1"),
            ..NewMessage::default()
        };
        unit.put(names::QUEUE_TRANSACTIONS, message).expect("puts");
    }
    unit.commit().await.expect("commits");
    let shutdown = CancellationToken::new();
    let telemetry = Telemetry::default();
    let runner = rivals.runner(&telemetry, "one", rivals.place.source(), &shutdown, |_| {
        Ok(())
    });
    let life = tokio::spawn(live(runner));
    rivals.until_empty().await;
    shutdown.cancel();
    life.await.expect("no panic").expect("ends well");
    let delivered = tokio::task::block_in_place(|| rivals.place.delivered());
    assert_eq!(delivered, vec![1; 20]);
}

/// One process knows that a claim was aborted and cuts the log; another one, which does not, is not stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_a_claim_below_the_cut_ended_is_known_to_be_an_abort() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::open(dir.path(), false).await;
    let cluster = place.cluster.clone();
    tokio::task::block_in_place(|| {
        let producer = cluster.transactional_producer("test", "other-0");
        let producer = producer.expect("a producer");
        producer.init().expect("begins");
        producer.begin().expect("begins");
        let claim = Claim {
            batch: 1,
            owner: "other-0".into(),
            at_ms: 1,
            identities: vec![crate::Identity { print: 1, token: 1 }],
        };
        let done = Vec::new();
        let entry = Entry::Claim { claim, done }.encode();
        let sent = producer.send(names::TOPIC_DELIVERED, &[], Some(&entry), None);
        sent.expect("is sent");
        let tail = Tail::new(&cluster, names::TOPIC_DELIVERED);
        let consumer = tail.begin().expect("begins");
        tail.wait_while(&consumer, |tail| tail.first_undecided(0).is_none());
        producer.abort().expect("aborts");
        let plain = cluster.plain_producer("test").expect("a producer");
        let nothing = Entry::Done(Vec::new()).encode();
        for _ in 0..5 {
            let sent = plain.send(names::TOPIC_DELIVERED, &[], &nothing);
            sent.expect("is sent");
        }
        let admin = cluster.admin().expect("an admin client");
        let mut cut = TopicPartitionList::new();
        let added = cut.add_partition_offset(names::TOPIC_DELIVERED, 0, Offset::Offset(4));
        added.expect("adds");
        let options = AdminOptions::new();
        let deleted =
            tokio::runtime::Handle::current().block_on(admin.delete_records(&cut, &options));
        deleted.expect("cuts");
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| tail.follow(&consumer, || ended.load(Ordering::Relaxed)));
            let learned = tail.learn_outcomes(0);
            ended.store(true, Ordering::Relaxed);
            learned.expect("learns");
        });
        assert!(tail.first_undecided(0).is_none());
    });
}
