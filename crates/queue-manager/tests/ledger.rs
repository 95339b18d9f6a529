//! The ledger against a model, over restarts and while log space is reclaimed under it.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use queue_manager::{
    NewMessage, Properties, QueueDefinition, QueueManager, QueueManagerOptions, StartError,
};
use types::{Amount, Tally, names};

const QUEUE: &str = "DAYBOOK.TEST";
const MINUTE: i64 = 60_000_000;
const SOURCES: [&str; 3] = ["csv", "json", "pain.001"];

/// Declared, put and got by source and minute.
type Lines = BTreeMap<(String, i64), (Tally, Tally, Tally)>;

/// Numbers from a seed (xorshift64*).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }
}

#[derive(Debug, Default)]
struct Model {
    lines: Mutex<Lines>,
    next_id: Mutex<u64>,
}

impl Model {
    fn change(&self, source: &str, minute: i64, change: impl FnOnce(&mut (Tally, Tally, Tally))) {
        let mut lines = self.lines.lock().expect("no panic under it");
        change(lines.entry((source.to_owned(), minute)).or_default());
    }
}

async fn start(dir: &Path) -> QueueManager {
    let mut options = QueueManagerOptions::new("DAYBOOK", dir.to_owned());
    options.queues.push(QueueDefinition::new(QUEUE));
    // Reclaims all the time.
    options.log_bytes_target = 1 << 20;
    options.uncommitted_bytes_max = 1 << 20;
    loop {
        match QueueManager::start(options.clone()) {
            Ok(manager) => return manager,
            // The flush thread of the last life still holds the lock for a moment.
            Err(StartError::Log(segment_log::OpenError::InUse { .. })) => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// One request of a gateway: a few messages of one source and minute, declared.
async fn put(manager: &QueueManager, model: &Model, random: &mut Random) {
    let source = SOURCES[random.below(3) as usize];
    let received_at = random.below(5) as i64 * MINUTE + random.below(60) as i64;
    let shared = Arc::new(vec![
        (names::HEADER_SOURCE.to_owned(), source.to_owned()),
        (
            names::HEADER_RECEIVED_AT.to_owned(),
            received_at.to_string(),
        ),
    ]);
    let (mut declared, mut put) = (Tally::default(), Tally::default());
    let mut unit = manager.begin();
    for _ in 0..=random.below(4) {
        let id = {
            let mut next = model.next_id.lock().expect("no panic under it");
            *next += 1;
            format!("t{next}")
        };
        declared.add(id.as_bytes(), Amount::from_units(-7));
        put.add(id.as_bytes(), None);
        let message = NewMessage {
            properties: Properties {
                shared: Arc::clone(&shared),
                id: id.into(),
                key: Bytes::new(),
            },
            body: vec![b'x'; random.below(64 << 10) as usize].into(),
            ..NewMessage::default()
        };
        unit.put(QUEUE, message).expect("puts");
    }
    unit.declare(QUEUE, source, received_at, declared);
    if random.below(8) == 0 {
        unit.back_out();
        return;
    }
    unit.commit().await.expect("commits");
    model.change(source, received_at / MINUTE, |line| {
        line.0.merge(&declared);
        line.1.merge(&put);
    });
}

async fn get(manager: &QueueManager, model: &Model, random: &mut Random) {
    let mut unit = manager.begin();
    let count_max = 1 + random.below(8) as usize;
    let got = unit.get_batch(QUEUE, Duration::ZERO, count_max, usize::MAX);
    let got = got.await.expect("gets");
    if random.below(4) == 0 {
        return;
    }
    unit.commit().await.expect("commits");
    for message in got {
        let property = |name| message.properties.get(name).expect("put with it");
        let received: i64 = property(names::HEADER_RECEIVED_AT)
            .parse()
            .expect("a number");
        model.change(property(names::HEADER_SOURCE), received / MINUTE, |line| {
            line.2.add(&message.properties.id, None);
        });
    }
}

fn ledger(manager: &QueueManager) -> Lines {
    let lines = manager.ledger().lines.into_iter().map(|line| {
        let minute = line.minute.expect("few minutes");
        (
            (line.source.to_string(), minute),
            (line.declared, line.put, line.got),
        )
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_ledger_is_right_whatever_was_freed_and_however_often_it_starts() {
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let dir = tempfile::tempdir().expect("a directory");
    let model = Arc::new(Model::default());
    let mut bytes_freed = false;
    for life in 0..6 {
        let manager = start(dir.path()).await;
        assert_eq!(
            ledger(&manager),
            *model.lines.lock().expect("no panic under it"),
            "at the start of life {life}"
        );
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..4 {
            let (manager, model) = (manager.clone(), Arc::clone(&model));
            let mut random = Random(seed * 31 + life * 4 + worker + 1);
            workers.spawn(async move {
                for _ in 0..150 {
                    match random.below(5) {
                        0..3 => put(&manager, &model, &mut random).await,
                        _ => get(&manager, &model, &mut random).await,
                    }
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.expect("no panic");
        }
        // The backlog stays small, so that there is something to free.
        let mut random = Random(seed + life + 1);
        while manager.depth(QUEUE).expect("known") > 20 {
            get(&manager, &model, &mut random).await;
        }
        let lines = ledger(&manager);
        assert_eq!(lines, *model.lines.lock().expect("no panic under it"));
        let waiting: u64 = lines
            .values()
            .map(|(_, put, got)| put.count - got.count)
            .sum();
        assert_eq!(waiting, manager.depth(QUEUE).expect("known") as u64);
        bytes_freed |= !dir.path().join(format!("{:020}.log", 0)).exists();
        if life % 2 == 0 {
            manager.stop().await.expect("stops");
        }
    }
    assert!(bytes_freed, "nothing was freed, the test says little");
}
