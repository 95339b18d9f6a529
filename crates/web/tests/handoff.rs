//! The hand-off as a model: a topic with replays, a sink that lags, scans torn by its writes, two
//! replicas of the view that restart, and a client that moves between them. After quiet everybody
//! must have the truth; nothing may go backwards on the way.
//!
//! Thousands of seeded runs; a failure names its seed.

use std::collections::BTreeMap;

use serde_json::Value;
use types::{BusinessDay, Version};
use web::{Change, View};

const PARTITIONS: usize = 3;
const KEYS: u64 = 6;
const RUNS: u64 = 4_000;
const STEPS: usize = 160;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

fn day() -> BusinessDay {
    "2026-11-23".parse().expect("a day")
}

fn change(key: u64, version: Version, deleted: bool, partition: usize, offset: usize) -> Change {
    let Version {
        generation,
        sequence,
    } = version;
    let rest = match deleted {
        true => "\"deleted\":true".to_owned(),
        false => format!("\"c\":[\"{generation}.{sequence}\"]"),
    };
    let name = format!("[\"2026-11-23\",\"{key}\"]");
    Change {
        json: format!("{{\"key\":{name},\"v\":[{generation},{sequence}],{rest}}}").into(),
        key: name.into(),
        day: day(),
        version,
        deleted,
        partition: partition as i32,
        offset: offset as i64,
        received_at: None,
    }
}

/// Rows somebody has, as `[generation, sequence]` and whether deleted, by key.
type Rows = BTreeMap<String, (Version, bool)>;

/// Takes JSON rows as a browser does; says so if one would have gone backwards.
fn take<'a>(rows: &mut Rows, json: impl Iterator<Item = &'a str>) {
    for text in json {
        let row: Value = serde_json::from_str(text).expect("JSON");
        let number = |index: usize| row["v"][index].as_u64().expect("a version");
        let version = Version {
            generation: number(0) as u32,
            sequence: number(1),
        };
        let deleted = row["deleted"].as_bool().unwrap_or(false);
        let entry = rows.entry(row["key"].to_string()).or_default();
        if version > entry.0 {
            *entry = (version, deleted);
        }
    }
}

fn shown(rows: &Rows) -> Rows {
    let rows = rows.iter().filter(|(_, (_, deleted))| !deleted);
    rows.map(|(key, row)| (key.clone(), *row)).collect()
}

/// What a replica is doing.
enum Phase {
    /// Progress was read; these keys are still to be scanned.
    Scanning {
        progress: Vec<usize>,
        keys: Vec<String>,
        ends: Vec<usize>,
    },
    Following {
        ends: Vec<usize>,
    },
}

struct Replica {
    view: View,
    phase: Phase,
    next: Vec<usize>,
    versions: Rows,
}

#[derive(Default)]
struct Client {
    rows: Rows,
    offsets: Vec<i64>,
}

struct World {
    random: Random,
    topic: Vec<Vec<Change>>,
    /// Newest version of each key.
    newest: Vec<Version>,
    stored: BTreeMap<String, Change>,
    sunk: Vec<usize>,
    progress: Vec<usize>,
    replicas: Vec<Replica>,
    client: Option<Client>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            topic: vec![Vec::new(); PARTITIONS],
            newest: vec![Version::default(); KEYS as usize],
            stored: BTreeMap::new(),
            sunk: vec![0; PARTITIONS],
            progress: vec![0; PARTITIONS],
            replicas: Vec::new(),
            client: None,
        };
        world.replicas = (0..2).map(|_| world.begin()).collect();
        world
    }

    fn produce(&mut self) {
        let key = self.random.below(KEYS);
        let partition = (key as usize) % PARTITIONS;
        let offset = self.topic[partition].len();
        let newest = &mut self.newest[key as usize];
        let replayed = self.topic[partition]
            .iter()
            .filter(|change| change.version.generation == newest.generation)
            .count();
        if replayed > 0 && self.random.one_in(6) {
            // A zombie's or a replay's record: old content at a new offset.
            let index = self.random.below(offset as u64) as usize;
            let mut old = self.topic[partition][index].clone();
            old.offset = offset as i64;
            self.topic[partition].push(old);
            return;
        }
        newest.generation = newest.generation.max(1);
        if self.random.one_in(25) {
            newest.generation += 1;
            newest.sequence = 0;
        }
        newest.sequence += 1 + self.random.below(3);
        let deleted = self.random.one_in(8);
        let change = change(key, *newest, deleted, partition, offset);
        self.topic[partition].push(change);
    }

    /// The sink: rows first, progress later, each as far as it likes.
    fn sink(&mut self) {
        let partition = self.random.below(PARTITIONS as u64) as usize;
        if self.random.one_in(3) {
            let sunk = self.sunk[partition];
            let room = (sunk - self.progress[partition]) as u64;
            self.progress[partition] += self.random.below(room + 1) as usize;
        } else if let Some(change) = self.topic[partition].get(self.sunk[partition]) {
            let stored = self.stored.get(&*change.key);
            if stored.is_none_or(|stored| stored.version < change.version) {
                self.stored.insert(change.key.to_string(), change.clone());
            }
            self.sunk[partition] += 1;
        }
    }

    fn begin(&mut self) -> Replica {
        let mut view = View::new(day(), day().plus_days(-1));
        view.begin("log", PARTITIONS);
        let mut keys: Vec<String> = (0..KEYS)
            .map(|key| format!("[\"2026-11-23\",\"{key}\"]"))
            .collect();
        for index in 0..keys.len() {
            let other = self.random.below(KEYS) as usize;
            keys.swap(index, other);
        }
        Replica {
            view,
            phase: Phase::Scanning {
                progress: self.progress.clone(),
                keys,
                ends: self.topic.iter().map(Vec::len).collect(),
            },
            next: vec![0; PARTITIONS],
            versions: Rows::new(),
        }
    }

    fn step_replica(&mut self, index: usize) {
        let partition = self.random.below(PARTITIONS as u64) as usize;
        let replica = &mut self.replicas[index];
        match &mut replica.phase {
            Phase::Scanning {
                progress,
                keys,
                ends,
            } => match keys.pop() {
                // Each row is read at another moment: the scan is torn.
                Some(key) => {
                    if let Some(row) = self.stored.get(&key) {
                        replica.view.apply(row.clone());
                    }
                }
                None => {
                    let offsets = progress.iter().map(|offset| *offset as i64);
                    replica.view.reach(offsets.enumerate());
                    replica.next = progress.clone();
                    replica.phase = Phase::Following {
                        ends: std::mem::take(ends),
                    };
                }
            },
            Phase::Following { .. } => {
                if let Some(change) = self.topic[partition].get(replica.next[partition]) {
                    replica.view.apply(change.clone());
                    replica.next[partition] += 1;
                    replica
                        .view
                        .reach([(partition, replica.next[partition] as i64)]);
                }
            }
        }
        let mut now = Rows::new();
        take(&mut now, replica.view.rows(day()));
        for (key, (version, _)) in &now {
            let before = replica.versions.get(key);
            assert!(
                before.is_none_or(|(before, _)| before <= version),
                "{key} went backwards"
            );
        }
        replica.versions.extend(now);
    }

    fn serves(&self, index: usize) -> bool {
        match &self.replicas[index].phase {
            Phase::Scanning { .. } => false,
            Phase::Following { ends } => ends
                .iter()
                .zip(&self.replicas[index].next)
                .all(|(end, next)| next >= end),
        }
    }

    fn step_client(&mut self) {
        let index = self.random.below(2) as usize;
        if !self.serves(index) {
            return;
        }
        let view = &self.replicas[index].view;
        match &mut self.client {
            None => {
                let mut client = Client::default();
                take(&mut client.rows, view.rows(day()));
                client.offsets = view.position().to_vec();
                self.client = Some(client);
            }
            Some(client) => {
                take(&mut client.rows, view.rows_since(&client.offsets, day()));
                client.offsets = view.advanced(&client.offsets);
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..3 => self.produce(),
            3..6 => self.sink(),
            6..10 => {
                let index = self.random.below(2) as usize;
                self.step_replica(index);
            }
            10 => self.step_client(),
            _ if self.random.one_in(6) => {
                let index = self.random.below(2) as usize;
                self.replicas[index] = self.begin();
            }
            _ if self.random.one_in(10) => self.client = None,
            _ => {}
        }
    }

    fn truth(&self) -> Rows {
        let mut rows = Rows::new();
        for change in self.topic.iter().flatten() {
            take(&mut rows, std::iter::once(&*change.json));
        }
        shown(&rows)
    }
}

#[test]
fn after_quiet_every_replica_and_every_browser_has_the_truth() {
    for seed in 1..=RUNS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        for index in 0..2 {
            while !world.serves(index)
                || world.replicas[index]
                    .next
                    .iter()
                    .zip(&world.topic)
                    .any(|(next, log)| *next < log.len())
            {
                world.step_replica(index);
            }
        }
        let truth = world.truth();
        // Twice, as the first may be the snapshot.
        world.step_client();
        world.step_client();
        for replica in &world.replicas {
            let mut rows = Rows::new();
            take(&mut rows, replica.view.rows(day()));
            assert_eq!(rows, truth, "a replica in run {seed}");
        }
        let client = world.client.expect("there is a client");
        assert_eq!(shown(&client.rows), truth, "the browser in run {seed}");
    }
}

#[test]
fn a_new_day_takes_the_oldest_out_of_view() {
    let mut view = View::new(day(), day().plus_days(-1));
    view.begin("log", 1);
    let version = Version {
        generation: 1,
        sequence: 1,
    };
    let mut row = change(1, version, false, 0, 0);
    view.apply(row.clone());
    row.key = "[\"2026-11-24\",\"1\"]".into();
    row.day = day().plus_days(1);
    row.offset = 1;
    assert!(view.apply(row.clone()), "tomorrow's rows are kept as well");
    let next = day().plus_days(1);
    assert!(view.set_today(next, day()) && !view.set_today(next, day()));
    assert_eq!(view.len(), 2, "yesterday is in view");
    view.set_today(day().plus_days(2), next);
    assert_eq!(view.len(), 1);
    assert_eq!(view.rows_since(&[0], day()).count(), 0);
    assert_eq!(view.rows_since(&[0], day().plus_days(1)).count(), 1);
    row.day = day();
    assert!(
        !view.apply(row),
        "rows of a day out of view are passed over"
    );
}

#[test]
fn rows_of_another_log_are_forgotten() {
    let mut view = View::new(day(), day().plus_days(-1));
    assert!(view.begin("one", 1));
    view.apply(change(
        1,
        Version {
            generation: 1,
            sequence: 9,
        },
        false,
        0,
        4,
    ));
    view.reach([(0, 5)]);
    assert!(!view.begin("one", 1), "the same log: what is known stays");
    assert_eq!((view.len(), view.position()), (1, &[5][..]));
    assert!(view.begin("two", 1));
    assert_eq!((view.len(), view.position()), (0, &[0][..]));
}
