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

fn part_of(place: &Place, number: u16) -> Place {
    let part = place.part(number);
    let file = part.config.as_ref().expect("a part has one");
    let config = std::fs::read_to_string(file).expect("reads");
    let line = "\nreaders = 1 ";
    assert!(config.contains(line), "the default is another one");
    let config = config.replace(line, &format!("\nreaders = {READERS} "));
    std::fs::write(file, config).expect("writes");
    part
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
    let place = Place::new();
    let (log, queue) = (place.part(0), place.part(5));
    let connectors: Vec<Place> = (1..=PROCESSES).map(|at| part_of(&place, at)).collect();
    let host = Host {
        name: "127.0.0.1".to_owned(),
        port: place.port(names::port::MQ),
    };
    let cluster = Cluster::new(&format!("127.0.0.1:{}", place.port(names::port::KAFKA)));
    let start_log = || log.start(&["up", "--only", "log"]);
    let start_queue = || queue.start(&["queue"]);
    let mut log_process = Some(start_log());
    let mut queue_process = Some(start_queue());
    let mut readers: Vec<Option<Daybook>> = connectors
        .iter()
        .map(|place| Some(place.start(&["connect"])))
        .collect();
    let options = Arc::new(ClientOptions {
        call_seconds: 20,
        ..ClientOptions::new(host, names::QUEUE_CHANNEL)
    });
    let feeding = tokio::spawn(feed(options, trial));
    let began = Instant::now();
    let mut kills = BTreeMap::<&str, u32>::new();
    while began.elapsed() < lasts {
        tokio::time::sleep(KILL_EVERY).await;
        tokio::task::block_in_place(|| match dice.below(4) {
            0 => {
                log_process.take().expect("runs").kill();
                log_process = Some(start_log());
                *kills.entry("log").or_default() += 1;
            }
            1 => {
                queue_process.take().expect("runs").kill();
                queue_process = Some(start_queue());
                *kills.entry("queue").or_default() += 1;
            }
            _ => {
                let at = dice.below(u64::from(PROCESSES)) as usize;
                readers[at].take().expect("runs").kill();
                readers[at] = Some(connectors[at].start(&["connect"]));
                *kills.entry("connector").or_default() += 1;
            }
        });
    }
    let put = feeding.await.expect("no panic");
    // Quiet: what is on the queue is delivered, and what is in doubt comes again.
    let depth = || {
        let listed = queue.stdout(&[
            "queue",
            "list",
            names::QUEUE_TRANSACTIONS,
            "--format",
            "json",
        ]);
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        listed["depth"].as_u64().expect("a depth")
    };
    let drained = Instant::now();
    while tokio::task::block_in_place(depth) > 0 {
        assert!(
            drained.elapsed() < common::PATIENCE,
            "the queue is not drained"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let found = tokio::task::block_in_place(|| delivered(&cluster));
    let numbers = |unit: u64| unit * UNIT..(unit + 1) * UNIT;
    let missing: Vec<u64> = put
        .certain
        .iter()
        .flat_map(|unit| numbers(*unit))
        .filter(|number| !found.contains_key(number))
        .collect();
    let twice: Vec<(&u64, &u32)> = found.iter().filter(|(_, times)| **times > 1).collect();
    let torn: Vec<u64> = put
        .perhaps
        .iter()
        .filter(|unit| {
            let there = numbers(**unit).filter(|number| found.contains_key(number));
            !matches!(there.count() as u64, 0 | UNIT)
        })
        .copied()
        .collect();
    eprintln!(
        "{} units for certain, {} perhaps, {} messages delivered; killed: {kills:?}; drained {:?} after the last put; \
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
    assert!(
        kills.values().sum::<u32>() > 5,
        "too few were killed: {kills:?}"
    );
}
