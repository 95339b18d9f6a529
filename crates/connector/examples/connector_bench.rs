//! Measures the connector from a queue of this process into a Kafka, and beside it a bare loop of librdkafka's
//! transactions with the same records.
//!
//!     cargo run --release -p connector --example connector_bench -- BOOTSTRAP \
//!         [--readers N] [--rate MESSAGES_A_SECOND] [--seconds N] [--messages N] [--bytes N] [--bare 1]
//!
//! With `--rate` it is an open loop: messages are put when they are due, whatever became of the others, and latency
//! counts from when they were due to when a consumer of committed records has them. Without, the queue is filled
//! first and then drained. At the end each message must have come once. 0 readers: the bare loop.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use connector::{Connector, ConnectorOptions, QueueSource};
use hdrhistogram::Histogram;
use kafka_client::{Cluster, TopicSpec};
use queue_manager::{NewMessage, QueueDefinition, QueueManager, QueueManagerOptions};
use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use telemetry::{Telemetry, now_micros};
use tokio_util::sync::CancellationToken;
use types::names;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages are made due in steps of this.
const TICK: Duration = Duration::from_millis(1);
/// Most records of one transaction of the bare loop, as the connector's.
const BATCH_MAX: usize = 10_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Arguments {
    servers: String,
    numbers: HashMap<String, u64>,
}

impl Arguments {
    fn read() -> Option<Self> {
        let mut words = std::env::args().skip(1);
        let servers = words.next()?;
        let mut numbers = HashMap::new();
        while let Some(name) = words.next() {
            numbers.insert(name, words.next()?.parse().ok()?);
        }
        Some(Self { servers, numbers })
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.numbers.get(name).copied().unwrap_or(default)
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read() else {
        eprintln!(
            "usage: connector_bench BOOTSTRAP [--readers N] [--rate N] [--seconds N] [--messages N] [--bytes N]"
        );
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("connector_bench: {}", types::report(&*error));
            ExitCode::FAILURE
        }
    }
}

/// A body: when it is due, its number, padding.
fn body(due: i64, number: u64, bytes: usize) -> Bytes {
    let mut body = vec![b'x'; bytes.max(16)];
    body[..8].copy_from_slice(&due.to_le_bytes());
    body[8..16].copy_from_slice(&number.to_le_bytes());
    body.into()
}

struct Load {
    rate: u64,
    messages: u64,
    bytes: usize,
}

impl Load {
    /// Hands over what is due, tick by tick; all at once without a rate.
    fn give(&self, mut put: impl FnMut(Vec<Bytes>) -> Result<(), Failure>) -> Result<(), Failure> {
        let began = Instant::now();
        let began_micros = now_micros();
        let mut number = 0;
        while number < self.messages {
            let due = match self.rate {
                0 => (number + 5_000).min(self.messages),
                rate => {
                    std::thread::sleep(TICK);
                    let micros = began.elapsed().as_micros() as u64;
                    (micros * rate / 1_000_000).min(self.messages)
                }
            };
            let due_at = |number: u64| match self.rate {
                0 => now_micros(),
                rate => began_micros + (number * 1_000_000 / rate) as i64,
            };
            let batch: Vec<Bytes> = (number..due)
                .map(|number| body(due_at(number), number, self.bytes))
                .collect();
            if !batch.is_empty() {
                put(batch)?;
            }
            number = due;
        }
        Ok(())
    }
}

async fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let readers = arguments.number("--readers", 1) as usize;
    let rate = arguments.number("--rate", 0);
    let seconds = arguments.number("--seconds", 10);
    let messages = match rate {
        0 => arguments.number("--messages", 1_000_000),
        rate => rate * seconds,
    };
    let bytes = arguments.number("--bytes", 300) as usize;
    let load = Load {
        rate,
        messages,
        bytes,
    };
    let cluster = Cluster::new(&arguments.servers);
    let topic = format!("bench-{}", now_micros());
    let id_log = format!("{topic}-ids");
    let spec = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        config: vec![("cleanup.policy", "delete".to_owned())],
    };
    cluster
        .ensure_topics(&[spec(&topic), spec(&id_log), spec(names::TOPIC_DISCARDED)])
        .await?;
    let reading = {
        let (cluster, topic) = (cluster.clone(), topic.clone());
        let began = Arc::new(AtomicBool::new(false));
        let ready = Arc::clone(&began);
        let task =
            tokio::task::spawn_blocking(move || consume(&cluster, &topic, messages, rate, &ready));
        while !began.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        task
    };
    let cpu_before = cpu();
    let began = match readers {
        0 => bare(&cluster, &topic, load)?,
        _ => connect(&cluster, &topic, &id_log, readers, load).await?,
    };
    let (sum, mut latency, ended) = reading.await??;
    let took = ended.saturating_duration_since(began);
    let cpu = cpu() - cpu_before;
    let same = sum == (0..messages).map(mix).fold(0, u64::wrapping_add);
    let per_second = messages as f64 / took.as_secs_f64();
    let what = match readers {
        0 => "bare loop".to_owned(),
        readers => format!("connector, {readers} reader(s)"),
    };
    latency.auto(true);
    let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1_000.0;
    let latencies = match rate {
        0 => String::new(),
        _ => format!(
            "; due to consumed p50 {:.1} ms p99 {:.1} ms max {:.1} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        ),
    };
    println!(
        "{what}: {messages} messages of {bytes} bytes, {per_second:.0}/s{latencies}; {:.2} µs of CPU a message with queue and consumer; {}",
        cpu.as_secs_f64() * 1e6 / messages as f64,
        if same { "each once" } else { "NOT EACH ONCE" }
    );
    Ok(same)
}

async fn connect(
    cluster: &Cluster,
    topic: &str,
    id_log: &str,
    readers: usize,
    load: Load,
) -> Result<Instant, Failure> {
    let dir = tempfile::tempdir()?;
    let mut options = QueueManagerOptions::new("DAYBOOK", dir.path().to_owned());
    options.queues = vec![QueueDefinition {
        depth_max: 10_000_000,
        bytes_max: 8 << 30,
        ..QueueDefinition::new(names::QUEUE_TRANSACTIONS)
    }];
    let queue = QueueManager::start(options)?;
    let options = ConnectorOptions {
        topic: topic.to_owned(),
        id_log: id_log.to_owned(),
        readers,
        instance: topic.to_owned(),
        ..ConnectorOptions::new()
    };
    let stop = CancellationToken::new();
    let begin = || {
        let source = Box::new(QueueSource::new(queue.clone()));
        let telemetry = Telemetry::default();
        Connector::start(
            options.clone(),
            source,
            cluster.clone(),
            &telemetry,
            stop.clone(),
        )
    };
    let drains = load.rate == 0;
    let mut connector = None;
    if !drains {
        let started = connector.insert(begin()?);
        started.ready().await;
    }
    let mut began = Instant::now();
    let putting = queue.clone();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        load.give(|bodies| {
            let mut unit = putting.begin();
            let messages = bodies.into_iter().map(|body| NewMessage {
                body,
                ..NewMessage::default()
            });
            unit.put_all(names::QUEUE_TRANSACTIONS, messages.collect())?;
            let commit = unit.commit();
            // The next ones are due whether these are on disk or not.
            match drains {
                true => runtime.block_on(commit)?,
                false => drop(runtime.spawn(commit)),
            }
            Ok(())
        })
    })
    .await??;
    if drains {
        began = Instant::now();
        let started = connector.insert(begin()?);
        started.ready().await;
    }
    while queue.depth(names::QUEUE_TRANSACTIONS)? > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    if let Some(connector) = connector {
        tokio::task::block_in_place(|| connector.join());
    }
    queue.stop().await?;
    Ok(began)
}

/// What librdkafka alone can do: a transaction of what is there, one after the other.
fn bare(cluster: &Cluster, topic: &str, load: Load) -> Result<Instant, Failure> {
    let producer = cluster.transactional_producer("bare", topic)?;
    producer.init()?;
    let (sender, receiver) = mpsc::channel::<Vec<Bytes>>();
    let giving =
        std::thread::spawn(move || load.give(|bodies| sender.send(bodies).map_err(Failure::from)));
    let began = Instant::now();
    while let Ok(first) = receiver.recv() {
        let mut batch = first;
        while batch.len() < BATCH_MAX
            && let Ok(mut more) = receiver.try_recv()
        {
            batch.append(&mut more);
        }
        producer.begin()?;
        for body in &batch {
            producer.send(topic, &[], Some(body), None)?;
        }
        producer.commit()?;
    }
    giving.join().map_err(|_| "the load's thread panicked")??;
    Ok(began)
}

/// Reads until all are there: the sum of their numbers' mixes, how long each took, and when the last came.
fn consume(
    cluster: &Cluster,
    topic: &str,
    messages: u64,
    warm_up: u64,
    ready: &AtomicBool,
) -> Result<(u64, Histogram<u64>, Instant), Failure> {
    let consumer = cluster.consumer("bench", "bench", true)?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    ready.store(true, Ordering::Release);
    let mut latency = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    let (sum, count) = (AtomicU64::new(0), AtomicU64::new(0));
    while count.load(Ordering::Relaxed) < messages {
        let Some(record) = consumer.poll(Duration::from_secs(60)) else {
            return Err("nothing came for 60 s".into());
        };
        let record = record?;
        let payload = record.payload().unwrap_or_default();
        let part = |range| {
            let bytes: Option<[u8; 8]> = payload.get(range).and_then(|b: &[u8]| b.try_into().ok());
            bytes.unwrap_or_default()
        };
        let due = i64::from_le_bytes(part(0..8));
        let number = u64::from_le_bytes(part(8..16));
        let micros = now_micros().saturating_sub(due);
        // In the first second clients are still getting to know each other.
        if number >= warm_up {
            latency.saturating_record(u64::try_from(micros).unwrap_or(1).max(1));
        }
        sum.fetch_add(mix(number), Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok((sum.into_inner(), latency, Instant::now()))
}

/// Processor time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// splitmix64: so that a lost and a doubled number do not cancel out in the sum.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
