//! From the queue to the log, exactly once, whoever is killed: eight readers in four processes, a queue manager and
//! a log, each of which dies by `kill -9` again and again. Forty seconds in `make test`, ten minutes and a
//! million messages with `TRIALS=full`.
#![allow(missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Daybook, Dice, Place};
use kafka_client::Cluster;
use mq_client::{ClientOptions, Host, MessageDescriptor, Session, connect_any, open};
use rdkafka::message::Message as _;
use types::names;

const PROCESSES: u16 = 4;
const READERS: usize = 2;
/// Messages that are put together or not at all.
const UNIT: u64 = 50;
/// From one kill to the next.
const KILL_EVERY: Duration = Duration::from_secs(2);

struct Trial {
    lasts: Duration,
    messages: u64,
}

fn trial() -> Trial {
    match std::env::var("TRIALS").is_ok_and(|wanted| wanted == "full") {
        true => Trial {
            lasts: Duration::from_secs(600),
            messages: 1_000_000,
        },
        false => Trial {
            lasts: Duration::from_secs(40),
            messages: 60_000,
        },
    }
}

/// What was put: which units for certain, and which perhaps.
#[derive(Debug, Default)]
struct Put {
    certain: BTreeSet<u64>,
    perhaps: BTreeSet<u64>,
}

/// Puts units of messages at an even pace, and again after every failure; a unit whose commit was not answered is
/// not put again.
async fn feed(options: Arc<ClientOptions>, trial: Trial) -> Put {
    let mut put = Put::default();
    let units = trial.messages / UNIT;
    let began = Instant::now();
    let mut session = None;
    let mut unit = 0;
    while unit < units {
        let due = trial.lasts.mul_f64(unit as f64 / units as f64);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        let (mut open, queue) = match session.take() {
            Some(open) => open,
            None => match begin(&options).await {
                Some(open) => open,
                None => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let mut puts = Ok(());
        for number in unit * UNIT..(unit + 1) * UNIT {
            let body = format!("{{\"account\":\"a{}\",\"n\":{number}}}", number % 7);
            let descriptor = MessageDescriptor {
                persistence: 1,
                ..MessageDescriptor::initial()
            };
            puts = puts.and_then(|()| open.put_unanswered(&queue, descriptor, Bytes::from(body)));
        }
        // Nothing is committed before: the same unit again.
        if puts.is_err() || open.check_puts().await.is_err() {
            continue;
        }
        match open.commit().await {
            Ok(()) => {
                put.certain.insert(unit);
                session = Some((open, queue));
            }
            Err(error) if error.outcome_is_unknown() => drop(put.perhaps.insert(unit)),
            Err(_) => continue,
        }
        unit += 1;
    }
    put
}

async fn begin(options: &Arc<ClientOptions>) -> Option<(Session, mq_client::Queue)> {
    let (_, mut session) = connect_any(options).await.ok()?;
    let queue = session.open(names::QUEUE_TRANSACTIONS, open::OUTPUT).await;
    Some((session, queue.ok()?))
}

/// How often each number came, in committed records.
fn delivered(cluster: &Cluster) -> BTreeMap<u64, u32> {
    let consumer = cluster.reader("trial").expect("a consumer");
    let mut found = BTreeMap::new();
    let read = cluster.read_all(&consumer, names::TOPIC_TRANSACTIONS, |record| {
        let body: serde_json::Value =
            serde_json::from_slice(record.payload().expect("a body")).expect("JSON");
        *found
            .entry(body["n"].as_u64().expect("a number"))
            .or_default() += 1;
    });
    read.expect("reads");
    found
}

/// A Kafka that runs already and is not killed here, if there is one: `KAFKA=host:port,...`. Its topics must not exist.
fn kafka() -> Option<String> {
    std::env::var("KAFKA").ok()
}

fn part_of(place: &Place, number: u16, readers: usize) -> Place {
    let part = place.part(number);
    let file = part.config.as_ref().expect("a part has one");
    let mut config = std::fs::read_to_string(file).expect("reads");
    let mut change = |from: &str, to: &str| {
        assert!(config.contains(from), "the default is another one");
        config = config.replace(from, to);
    };
    change("\nreaders = 1 ", &format!("\nreaders = {readers} "));
    if let Some(servers) = kafka() {
        let brokers = servers.split(',').count();
        change(
            "\nreplicas = 1 ",
            &format!("\nreplicas = {} ", brokers.min(3)),
        );
        let in_sync = if brokers >= 3 { 2 } else { 1 };
        change(
            "\nin_sync_replicas_min = 1 ",
            &format!("\nin_sync_replicas_min = {in_sync} "),
        );
        change(
            "[log]\nuse = \"embedded\" ",
            &format!("[log]\nbootstrap_servers = \"{servers}\"\nuse = \"external\" "),
        );
    }
    std::fs::write(file, config).expect("writes");
    part
}

/// A queue manager, a log and connectors, each a process of its own.
struct Stage {
    log: Place,
    queue: Place,
    connectors: Vec<Place>,
    log_process: Option<Daybook>,
    queue_process: Option<Daybook>,
    readers: Vec<Option<Daybook>>,
    cluster: Cluster,
    options: Arc<ClientOptions>,
    _place: Place,
}

impl Stage {
    fn new(processes: u16, readers: usize) -> Self {
        let place = Place::new();
        let (log, queue) = (place.part(0), place.part(5));
        let connectors: Vec<Place> = (1..=processes)
            .map(|at| part_of(&place, at, readers))
            .collect();
        let host = Host {
            name: "127.0.0.1".to_owned(),
            port: place.port(names::port::MQ),
        };
        let embedded = format!("127.0.0.1:{}", place.port(names::port::KAFKA));
        let log_process = match kafka() {
            None => Some(log.start(&["up", "--only", "log"])),
            Some(_) => None,
        };
        Self {
            log_process,
            queue_process: Some(queue.start(&["queue"])),
            readers: connectors
                .iter()
                .map(|place| Some(place.start(&["connect"])))
                .collect(),
            cluster: Cluster::new(&kafka().unwrap_or(embedded)),
            options: Arc::new(ClientOptions {
                call_seconds: 20,
                ..ClientOptions::new(host, names::QUEUE_CHANNEL)
            }),
            log,
            queue,
            connectors,
            _place: place,
        }
    }

    fn kill_log(&mut self) {
        self.log_process.take().expect("runs").kill();
        self.log_process = Some(self.log.start(&["up", "--only", "log"]));
    }

    fn kill_queue(&mut self) {
        self.queue_process.take().expect("runs").kill();
        self.queue_process = Some(self.queue.start(&["queue"]));
    }

    fn kill_reader(&mut self, at: usize) {
        self.readers[at].take().expect("runs").kill();
        self.readers[at] = Some(self.connectors[at].start(&["connect"]));
    }

    fn depth(&self) -> u64 {
        let list = [
            "queue",
            "list",
            names::QUEUE_TRANSACTIONS,
            "--format",
            "json",
        ];
        let listed: serde_json::Value =
            serde_json::from_str(&self.queue.stdout(&list)).expect("JSON");
        listed["depth"].as_u64().expect("a depth")
    }

    /// Quiet: what is on the queue is delivered, and what is in doubt comes again. Then each message is there once.
    fn check(&self, put: &Put) {
        let drained = Instant::now();
        while self.depth() > 0 {
            assert!(
                drained.elapsed() < common::PATIENCE,
                "the queue is not drained"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        let found = delivered(&self.cluster);
        let numbers = |unit: u64| unit * UNIT..(unit + 1) * UNIT;
        let certain = put.certain.iter().flat_map(|unit| numbers(*unit));
        let missing: Vec<u64> = certain
            .filter(|number| !found.contains_key(number))
            .collect();
        let twice: Vec<(&u64, &u32)> = found.iter().filter(|(_, times)| **times > 1).collect();
        let is_torn = |unit: &&u64| {
            let there = numbers(**unit).filter(|number| found.contains_key(number));
            !matches!(there.count() as u64, 0 | UNIT)
        };
        let torn: Vec<u64> = put.perhaps.iter().filter(is_torn).copied().collect();
        eprintln!(
            "{} units for certain, {} perhaps, {} messages delivered; drained {:?} after the last put; \
             {} missing, {} more than once, {} units torn",
            put.certain.len(),
            put.perhaps.len(),
            found.len(),
            drained.elapsed(),
            missing.len(),
            twice.len(),
            torn.len()
        );
        assert!(
            missing.is_empty(),
            "missing: {:?}",
            &missing[..missing.len().min(20)]
        );
        assert!(
            twice.is_empty(),
            "more than once: {:?}",
            &twice[..twice.len().min(20)]
        );
        assert!(torn.is_empty(), "torn: {torn:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_readers_deliver_each_message_once_whoever_is_killed() {
    let given = std::env::var("SEED").ok();
    let given = given.and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| jiff::Timestamp::now().as_nanosecond() as u64) | 1;
    eprintln!("SEED={seed}");
    let mut dice = Dice(seed);
    let trial = trial();
    let lasts = trial.lasts;
    let mut stage = Stage::new(PROCESSES, READERS);
    let feeding = tokio::spawn(feed(Arc::clone(&stage.options), trial));
    let began = Instant::now();
    let mut kills = BTreeMap::<&str, u32>::new();
    while began.elapsed() < lasts {
        tokio::time::sleep(KILL_EVERY).await;
        tokio::task::block_in_place(|| match dice.below(4) {
            0 if stage.log_process.is_some() => {
                stage.kill_log();
                *kills.entry("log").or_default() += 1;
            }
            1 => {
                stage.kill_queue();
                *kills.entry("queue").or_default() += 1;
            }
            _ => {
                stage.kill_reader(dice.below(u64::from(PROCESSES)) as usize);
                *kills.entry("connector").or_default() += 1;
            }
        });
    }
    let put = feeding.await.expect("no panic");
    eprintln!("killed: {kills:?}");
    tokio::task::block_in_place(|| stage.check(&put));
    assert!(
        kills.values().sum::<u32>() > 5,
        "too few were killed: {kills:?}"
    );
}

/// The leader of the partitions does not answer for longer than a transaction may be open, and is killed then; so is a connector
/// that waits for it. IBM's connector stalls a partition there, or delivers twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_does_not_answer_and_is_killed_then_makes_no_message_come_twice() {
    if kafka().is_some() {
        eprintln!("skipped: the log is not this test's to stop");
        return;
    }
    let silent = match std::env::var("TRIALS").is_ok_and(|wanted| wanted == "full") {
        true => Duration::from_secs(90),
        // Transactions are ended after 15 s.
        false => Duration::from_secs(20),
    };
    let lead = Duration::from_secs(3);
    let trial = Trial {
        lasts: lead * 2 + silent,
        messages: (lead * 2 + silent).as_secs() * 1_000,
    };
    let mut stage = Stage::new(2, READERS);
    let feeding = tokio::spawn(feed(Arc::clone(&stage.options), trial));
    tokio::time::sleep(lead).await;
    let signal = |stage: &Stage, signal: &str| {
        let id = stage.log_process.as_ref().expect("runs").id().to_string();
        let sent = std::process::Command::new("kill")
            .args([signal, &id])
            .status();
        assert!(sent.expect("runs kill").success());
    };
    signal(&stage, "-STOP");
    tokio::time::sleep(silent / 2).await;
    tokio::task::block_in_place(|| {
        stage.readers[0].take().expect("runs").kill();
    });
    tokio::time::sleep(silent / 2).await;
    tokio::task::block_in_place(|| {
        stage.kill_log();
        stage.readers[0] = Some(stage.connectors[0].start(&["connect"]));
    });
    let put = feeding.await.expect("no panic");
    tokio::task::block_in_place(|| stage.check(&put));
    assert!(put.certain.len() > 100, "{} units", put.certain.len());
}
