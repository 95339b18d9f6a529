//! The hand-off as a model: a topic with replays, a sink that lags, scans torn by its writes, two
//! replicas of the view that restart, and a client that moves between them. After quiet everybody
//! must have the truth; nothing may go backwards on the way.
//!
//! Thousands of seeded runs; a failure names its seed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use store::{CellKind, TableSpec};
use types::{BusinessDay, Version};
use web::{Asked, Cells, Change, Limit, Order, Schema, Shown, Value, View};

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

fn schema() -> Schema {
    let columns = [("name", CellKind::Text), ("total", CellKind::Decimal)];
    let table = TableSpec {
        name: "t".to_owned(),
        columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
    };
    Schema::new(&table, &["total".to_owned()])
}

fn empty_view() -> View {
    View::new(schema(), day(), day().plus_days(-1))
}

/// The amount of a version: few different ones, so that rows change places and stand equal.
fn amount(version: Version) -> i128 {
    i128::from(version.sequence * 7 % 5) * 100_000
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
        cells: match deleted {
            true => Cells::default(),
            false => Cells::new(vec![
                Value::Text(format!("k{key}").into()),
                Value::Number(amount(version)),
            ]),
        },
        day: day(),
        version,
        deleted,
        partition: partition as i32,
        offset: offset as i64,
        received_at: None,
    }
}

/// Windows of all kinds: part of the rows, the one end or the other, and pinned ones.
fn asked(seed: u64) -> Asked {
    let pairs: [&[(&str, &str)]; 6] = [
        &[],
        &[("count", "3")],
        &[("sort", "total"), ("count", "2"), ("from", "1")],
        &[("q", "K1"), ("pin", "[\"2026-11-23\",\"4\"]")],
        &[("where", "total:2"), ("sort", "-name")],
        &[
            ("sort", "name"),
            ("from", "4"),
            ("pin", "[\"2026-11-23\",\"0\"]"),
        ],
    ];
    let pairs = pairs[(seed % 6) as usize].iter();
    let pairs = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Asked::read(&schema(), &pairs.collect(), &Limit::default()).expect("a query")
}

/// What such a window must show, said in another way: keys in order.
fn expected(seed: u64, truth: &Rows) -> Vec<String> {
    let number = |key: &str| -> u64 {
        let [_, number]: [String; 2] = serde_json::from_str(key).expect("a key");
        number.parse().expect("a number")
    };
    let mut rows: Vec<(i128, &String)> = truth
        .iter()
        .map(|(key, (version, _))| (amount(*version) / 100_000, key))
        .collect();
    rows.sort_by_key(|(amount, key)| (-amount, *key));
    match seed % 6 {
        1 => rows.truncate(3),
        2 => {
            rows.sort_by_key(|(amount, key)| (*amount, *key));
            rows = rows.into_iter().skip(1).take(2).collect();
        }
        3 => rows.retain(|(_, key)| number(key) == 1),
        4 => {
            rows.retain(|(amount, _)| *amount == 2);
            rows.sort_by_key(|(_, key)| std::cmp::Reverse(number(key)));
        }
        5 => {
            rows.sort_by_key(|(_, key)| number(key));
            rows.drain(..rows.len().min(4));
        }
        _ => {}
    }
    rows.into_iter().map(|(_, key)| key.clone()).collect()
}

/// Rows somebody has, as `[generation, sequence]` and whether deleted, by key.
type Rows = BTreeMap<String, (Version, bool)>;

/// Takes JSON rows as a browser does; says so if one would have gone backwards.
fn take<'a>(rows: &mut Rows, json: impl Iterator<Item = &'a str>) {
    for text in json {
        let row: Json = serde_json::from_str(text).expect("JSON");
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
    /// What a client of a window looks at here.
    shown: Shown,
    /// A number of its own for each life.
    life: u64,
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

/// A client of a window: it has the rows it was given, and where they stand.
struct Looker {
    life: u64,
    window: u64,
    offsets: Vec<i64>,
    /// Versions that this life of this replica has given.
    given: Rows,
    rows: Rows,
    keys: Vec<String>,
    /// Pinned rows that the last window did not have, and nothing since.
    hidden: BTreeSet<String>,
}

struct World {
    random: Random,
    lives: u64,
    asked: Asked,
    looker: Looker,
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
            lives: 0,
            asked: asked(seed),
            looker: Looker {
                life: 0,
                window: 0,
                offsets: Vec::new(),
                given: Rows::new(),
                rows: Rows::new(),
                keys: Vec::new(),
                hidden: BTreeSet::new(),
            },
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
        let mut view = empty_view();
        view.begin("log", PARTITIONS);
        let mut keys: Vec<String> = (0..KEYS)
            .map(|key| format!("[\"2026-11-23\",\"{key}\"]"))
            .collect();
        for index in 0..keys.len() {
            let other = self.random.below(KEYS) as usize;
            keys.swap(index, other);
        }
        self.lives += 1;
        Replica {
            shown: Shown::new(day(), self.asked.clone()),
            life: self.lives,
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

    /// The window's client asks for what it lacks, of any replica that serves.
    fn step_looker(&mut self, arrange: bool) {
        let index = self.random.below(2) as usize;
        if !self.serves(index) {
            return;
        }
        let (replica, looker) = (&mut self.replicas[index], &mut self.looker);
        let view = &replica.view;
        if looker.life != replica.life {
            looker.life = replica.life;
            (looker.window, looker.given) = (0, Rows::new());
        }
        if arrange || replica.shown.number() == 0 {
            let order = Order::of(view, day(), &self.asked.select);
            replica.shown.arrange(&order);
        }
        if looker.window != replica.shown.number() {
            replica.shown.prune(view);
        }
        let shown = &replica.shown;
        let given: Vec<String> = if looker.window == shown.number() {
            let from = std::mem::take(&mut looker.offsets);
            looker.offsets = view.advanced(&from);
            let changed = shown.changed(view, &from);
            changed.map(str::to_owned).collect()
        } else {
            looker.window = shown.number();
            looker.offsets = view.position().to_vec();
            looker.keys.clear();
            looker.hidden = looker.rows.keys().cloned().collect();
            for row in shown.rows(view) {
                let row: Json = serde_json::from_str(row).expect("JSON");
                looker.keys.push(row["key"].to_string());
            }
            let rows = shown.rows(view).chain(shown.pinned(view));
            rows.map(str::to_owned).collect()
        };
        let mut now = Rows::new();
        take(&mut now, given.iter().map(String::as_str));
        for (key, (version, _)) in &now {
            let before = looker.given.get(key);
            assert!(
                before.is_none_or(|(before, _)| before <= version),
                "{key} was given older than before"
            );
        }
        for (key, (version, _)) in &now {
            let known = looker.rows.get(key);
            if known.is_none_or(|(known, _)| known <= version) {
                looker.hidden.remove(key);
            }
        }
        looker.given.extend(now);
        take(&mut looker.rows, given.iter().map(String::as_str));
    }

    fn step(&mut self) {
        if self.random.one_in(8) {
            let arrange = self.random.one_in(3);
            self.step_looker(arrange);
        }
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
        // The first may be another replica's frame, the second a window.
        world.step_looker(true);
        world.step_looker(true);
        let looker = &world.looker;
        assert_eq!(
            looker.keys,
            expected(seed, &truth),
            "the window in run {seed}"
        );
        for key in &looker.keys {
            let row = looker.rows.get(key);
            assert_eq!(row, truth.get(key), "{key} of the window in run {seed}");
        }
        let pins = [3, 5]
            .contains(&(seed % 6))
            .then_some(if seed % 6 == 3 { 4 } else { 0 });
        if let Some(pin) = pins {
            let key = format!("[\"2026-11-23\",\"{pin}\"]");
            let row = looker.rows.get(&key).filter(|(_, deleted)| !deleted);
            let row = row.filter(|_| !looker.hidden.contains(&key));
            assert_eq!(row, truth.get(&key), "the pinned row in run {seed}");
        }
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
    let mut view = empty_view();
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
    let mut view = empty_view();
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
