//! A log and a store in memory, and a feed over them: what the aggregator and the sink would make.
#![allow(dead_code)]

pub(crate) mod server;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::{CellKind, TableSpec};
use types::{BusinessCalendar, BusinessDay, Micros};
use web::{AggregationView, Batch, Beginning, Change, Feed, FeedError, Record};

/// The aggregation of DESIGN §4.
pub(crate) fn daily_totals() -> AggregationView {
    let column = |name: &str, kind| (name.to_owned(), kind);
    AggregationView {
        table: TableSpec {
            name: "daily_totals".to_owned(),
            columns: vec![
                column("account", CellKind::Text),
                column("currency", CellKind::Text),
                column("total", CellKind::Decimal),
                column("transactions", CellKind::Int),
            ],
        },
        keys: ["business_day", "account", "currency"]
            .map(str::to_owned)
            .to_vec(),
        sums: ["total", "transactions"].map(str::to_owned).to_vec(),
        calendar: BusinessCalendar::new("Europe/Zagreb", "00:00").expect("a zone"),
        ahead_max: 25 * 3_600_000_000,
        zone: "Europe/Zagreb".to_owned(),
    }
}

/// Hundredths as text.
pub(crate) fn cents(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

#[derive(Debug, Default)]
struct State {
    epoch: String,
    partitions: Vec<Vec<Change>>,
    /// First offset that is still there.
    first: Vec<i64>,
    /// Rows by key: cents, count.
    rows: HashMap<String, (i64, u64)>,
    stored: BTreeMap<String, Change>,
    progress: Vec<i64>,
    trouble: Option<String>,
    fail: bool,
    /// Records that `poll` may hand over; `None`: all.
    allowance: Option<usize>,
}

/// The log and the store. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct World(Arc<(Mutex<State>, Condvar)>);

impl World {
    /// A log of so many partitions.
    pub(crate) fn new(partitions: usize) -> Self {
        let world = Self::default();
        world.recreate("log1", partitions);
        world
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    /// A new, empty log, as if the data directory had been removed.
    pub(crate) fn recreate(&self, epoch: &str, partitions: usize) {
        self.change(|state| {
            *state = State {
                epoch: epoch.to_owned(),
                partitions: vec![Vec::new(); partitions],
                first: vec![0; partitions],
                progress: vec![0; partitions],
                ..State::default()
            }
        });
    }

    /// Books an amount, as the aggregator would publish it.
    pub(crate) fn book(
        &self,
        day: BusinessDay,
        account: &str,
        currency: &str,
        amount: i64,
        at: Micros,
    ) {
        self.change(|state| {
            let key = serde_json::json!([day.to_string(), account, currency]).to_string();
            let row = state.rows.entry(key.clone()).or_default();
            row.0 += amount;
            row.1 += 1;
            let (total, count) = *row;
            let value = serde_json::json!({"v": [1, count], "day": day.to_string(),
                "deleted": false, "at": [0, 0], "account": account, "currency": currency,
                "total": cents(total), "transactions": count});
            let hash = key.bytes().fold(7_usize, |hash, byte| {
                hash.wrapping_mul(31).wrapping_add(usize::from(byte))
            });
            let partition = hash % state.partitions.len();
            let offset = state.first[partition] as usize + state.partitions[partition].len();
            let value = value.to_string();
            let record = Record {
                partition: partition as i32,
                offset: offset as i64,
                key: key.as_bytes(),
                value: value.as_bytes(),
                received_at: Some(at),
            };
            let change = Change::from_record(&daily_totals().table, &record).expect("a row");
            state.partitions[partition].push(change);
        });
    }

    /// The sink writes everything there is.
    pub(crate) fn sink_all(&self) {
        self.change(|state| {
            for partition in 0..state.partitions.len() {
                let done = (state.progress[partition] - state.first[partition]) as usize;
                let new: Vec<Change> = state.partitions[partition][done..].to_vec();
                state.progress[partition] += new.len() as i64;
                for mut change in new {
                    change.received_at = None;
                    state.stored.insert(change.key.to_string(), change);
                }
            }
        });
    }

    /// Retention removes everything the log has.
    pub(crate) fn expire(&self) {
        self.change(|state| {
            for partition in 0..state.partitions.len() {
                state.first[partition] += state.partitions[partition].len() as i64;
                state.partitions[partition].clear();
            }
        });
    }

    /// What `poll` says is wrong.
    pub(crate) fn trouble(&self, trouble: Option<&str>) {
        self.change(|state| state.trouble = trouble.map(str::to_owned));
    }

    /// Lets the next `poll` fail, so that the hand-off begins again.
    pub(crate) fn fail(&self) {
        self.change(|state| state.fail = true);
    }

    /// How many records `poll` may hand over from now on.
    pub(crate) fn allow(&self, records: Option<usize>) {
        self.change(|state| state.allowance = records);
    }

    /// A feed over this log and store.
    pub(crate) fn feed(&self) -> Box<dyn Feed> {
        Box::new(WorldFeed {
            world: self.clone(),
            epoch: String::new(),
            next: Vec::new(),
        })
    }

    /// What every row of a day must be: account, currency, total, count; sorted.
    pub(crate) fn truth(&self, day: BusinessDay) -> Vec<(String, String, String, u64)> {
        let state = self.state();
        let rows = state.rows.iter().filter_map(|(key, (total, count))| {
            let [found, account, currency]: [String; 3] = serde_json::from_str(key).expect("a key");
            (found == day.to_string()).then(|| (account, currency, cents(*total), *count))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    }
}

struct WorldFeed {
    world: World,
    epoch: String,
    next: Vec<i64>,
}

impl Feed for WorldFeed {
    fn begin(
        &mut self,
        days: &[BusinessDay],
        each: &mut dyn FnMut(Change),
    ) -> Result<Beginning, FeedError> {
        let state = self.world.state();
        let stored = state.stored.values().filter(|row| days.contains(&row.day));
        stored.cloned().for_each(each);
        self.next = state.progress.clone();
        self.epoch = state.epoch.clone();
        let ends = state.first.iter().zip(&state.partitions);
        Ok(Beginning {
            epoch: state.epoch.clone(),
            offsets: self.next.clone(),
            ends: ends
                .map(|(first, records)| first + records.len() as i64)
                .collect(),
        })
    }

    fn poll(&mut self, wait: Duration, batch: &mut Batch) -> Result<(), FeedError> {
        let until = Instant::now() + wait;
        let mut state = self.world.state();
        loop {
            let gone = self.epoch != state.epoch || self.next.len() != state.first.len();
            let gone = gone
                || self
                    .next
                    .iter()
                    .zip(&state.first)
                    .any(|(next, first)| next < first);
            if std::mem::take(&mut state.fail) || gone {
                return Err(FeedError::OutOfRange {
                    topic: "daily_totals".to_owned(),
                    partition: 0,
                    offset: 0,
                });
            }
            let mut lag = 0;
            for partition in 0..self.next.len() {
                let done = (self.next[partition] - state.first[partition]) as usize;
                let mut new = state.partitions[partition][done..].to_vec();
                let allowed = state.allowance.unwrap_or(usize::MAX).min(new.len());
                lag += new.len() - allowed;
                new.truncate(allowed);
                if let Some(allowance) = &mut state.allowance {
                    *allowance -= allowed;
                }
                self.next[partition] += new.len() as i64;
                batch.changes.extend(new);
            }
            batch.at_end = lag == 0;
            batch.lag = Some(lag as i64);
            batch.trouble.clone_from(&state.trouble);
            batch.reached = self.next.iter().copied().enumerate().collect();
            if !batch.changes.is_empty() || Instant::now() >= until {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            let waited = self.world.0.1.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
