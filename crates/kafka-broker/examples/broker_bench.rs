//! Measures a Kafka, embedded or real, with librdkafka: produce, consume, transactions, latency, and what the broker spends.
//!
//!     cargo run --release -p kafka-broker --example broker_bench -- BOOTSTRAP BROKER_PID [RECORDS] [RATE] [SECONDS]
//!
//! One line of a table: records a second produced (acks=all, idempotent) and consumed, transactions of one record a
//! second one after the other, latency at RATE records a second in an open loop from when a record was due to when
//! a consumer has it, the broker's CPU a record over the whole run, its memory at the end. Records of 300 bytes, one
//! partition; what was produced is consumed and counted, or the run has failed.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_client::Cluster;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const RECORD_BYTES: usize = 300;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
const TRANSACTIONS: u32 = 300;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        let word = words.get(at).and_then(|word| word.parse().ok());
        word.unwrap_or(default)
    };
    let (Some(servers), Some(pid)) = (words.first(), words.get(1)) else {
        eprintln!("usage: broker_bench BOOTSTRAP BROKER_PID [RECORDS] [RATE] [SECONDS]");
        return ExitCode::from(2);
    };
    let bench = Bench {
        servers: servers.clone(),
        pid: pid.clone(),
        topic: format!("bench-{}", micros()),
    };
    match bench.run(number(2, 1_000_000), number(3, 10_000), number(4, 10)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker_bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

struct Bench {
    servers: String,
    pid: String,
    topic: String,
}

impl Bench {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.servers)
            .set("socket.nagle.disable", "true");
        config
    }

    fn producer(&self, settings: &[(&str, &str)]) -> Result<BaseProducer, KafkaError> {
        let mut config = self.config();
        config
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", "500000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config.create()
    }

    /// Reads the topic from an offset on.
    fn consumer(&self, from: i64) -> Result<BaseConsumer, KafkaError> {
        let mut config = self.config();
        config
            .set("group.id", &self.topic)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "100")
            .set("queued.max.messages.kbytes", "65536");
        let consumer: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(from))?;
        consumer.assign(&list)?;
        Ok(consumer)
    }

    /// CPU of the broker so far, in microseconds.
    fn cpu(&self) -> Result<u64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let behind_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        // utime and stime, in hundredths of a second.
        Ok((ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * 10_000)
    }

    fn memory_mib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok(kib.unwrap_or(0) / 1024)
    }

    fn run(&self, records: u64, rate: u64, seconds: u64) -> Result<(), Failure> {
        self.make_topic()?;
        // Warm: a JVM has compiled nothing yet.
        let warmed = records / 2;
        self.produce(warmed)?;
        self.consume(0, warmed)?;
        let cpu = self.cpu()?;
        let produced = self.produce(records)?;
        let consumed = self.consume(warmed as i64, records)?;
        let cpu_a_record = (self.cpu()? - cpu) as f64 / records as f64;
        let (transactions, of_a_transaction) = self.transactions()?;
        let latencies = self.latency(rate, seconds)?;
        let at = |share: f64| {
            let index = ((latencies.len() - 1) as f64 * share) as usize;
            latencies[index] as f64 / 1_000.0
        };
        println!(
            "produce {produced:>8.0}/s  consume {consumed:>8.0}/s  transactions {transactions:>5.0}/s (p99 {of_a_transaction:.1} ms)  \
             at {rate}/s p50 {:.1} p99 {:.1} max {:.1} ms  broker CPU {cpu_a_record:.2} us a record  RSS {} MiB",
            at(0.5),
            at(0.99),
            at(1.0),
            self.memory_mib()?
        );
        Ok(())
    }

    fn make_topic(&self) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(1));
        let made = futures::executor::block_on(admin.create_topics(
            [&topic],
            &AdminOptions::new().operation_timeout(Some(PATIENCE)),
        ))?;
        for one in made {
            one.map_err(|(_, code)| KafkaError::AdminOp(code))?;
        }
        Ok(())
    }

    /// Records a second, until all are acknowledged.
    fn produce(&self, records: u64) -> Result<f64, Failure> {
        let producer = self.producer(&[("linger.ms", "5"), ("batch.size", "1000000")])?;
        producer
            .client()
            .fetch_metadata(Some(&self.topic), PATIENCE)?;
        let body = [b'x'; RECORD_BYTES];
        let began = Instant::now();
        for _ in 0..records {
            let mut record = BaseRecord::<(), [u8]>::to(&self.topic).payload(&body[..]);
            while let Err((_, returned)) = producer.send(record) {
                producer.poll(Duration::from_millis(1));
                record = returned;
            }
        }
        producer.flush(PATIENCE)?;
        Ok(records as f64 / began.elapsed().as_secs_f64())
    }

    /// Records a second.
    fn consume(&self, from: i64, records: u64) -> Result<f64, Failure> {
        let consumer = self.consumer(from)?;
        let began = Instant::now();
        let mut expected = from;
        while expected < from + records as i64 {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) if message.offset() == expected => expected += 1,
                Some(Ok(message)) => {
                    return Err(format!("offset {} instead of {expected}", message.offset()).into());
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Err("nothing came".into()),
            }
        }
        Ok(records as f64 / began.elapsed().as_secs_f64())
    }

    /// Transactions of one record, one after the other: a second, and the 99th percentile of one in milliseconds.
    fn transactions(&self) -> Result<(f64, f64), Failure> {
        let cluster = Cluster::new(&self.servers);
        let producer = cluster.transactional_producer("bench", &self.topic)?;
        producer.init()?;
        let mut times = Vec::new();
        let began = Instant::now();
        for _ in 0..TRANSACTIONS {
            let one = Instant::now();
            producer.begin()?;
            producer.send(&self.topic, b"", Some(b"x"), None)?;
            producer.commit()?;
            times.push(one.elapsed().as_micros() as u64);
        }
        let a_second = f64::from(TRANSACTIONS) / began.elapsed().as_secs_f64();
        times.sort_unstable();
        Ok((a_second, times[times.len() * 99 / 100] as f64 / 1_000.0))
    }

    /// Microseconds from when each record was due to when it was read, sorted. The first second is not counted.
    fn latency(&self, rate: u64, seconds: u64) -> Result<Vec<u64>, Failure> {
        let producer = self.producer(&[("linger.ms", "0.2")])?;
        let (_, end) = producer
            .client()
            .fetch_watermarks(&self.topic, 0, PATIENCE)?;
        let consumer = self.consumer(end)?;
        let total = rate * seconds;
        let reading = std::thread::spawn(move || {
            let mut latencies = Vec::with_capacity(total as usize);
            while latencies.len() < total as usize {
                match consumer.poll(PATIENCE) {
                    Some(Ok(message)) => {
                        let due = message.payload().and_then(|body| body.first_chunk::<8>());
                        let due = due.map_or(0, |bytes| u64::from_le_bytes(*bytes));
                        latencies.push(micros().saturating_sub(due));
                    }
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("nothing came".to_owned()),
                }
            }
            Ok(latencies)
        });
        let (began, began_at) = (Instant::now(), micros());
        let mut number = 0;
        let mut body = [b'x'; RECORD_BYTES];
        while number < total {
            std::thread::sleep(Duration::from_millis(1));
            let due = (began.elapsed().as_micros() as u64 * rate / 1_000_000).min(total);
            while number < due {
                let due_at = began_at + number * 1_000_000 / rate;
                body[..8].copy_from_slice(&due_at.to_le_bytes());
                let record = BaseRecord::<(), [u8]>::to(&self.topic).payload(&body[..]);
                producer.send(record).map_err(|(error, _)| error)?;
                number += 1;
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(PATIENCE)?;
        let read = reading.join().map_err(|_| "the reader panicked")?;
        let mut latencies = read.map_err(Failure::from)?.split_off(rate as usize);
        latencies.sort_unstable();
        Ok(latencies)
    }
}
