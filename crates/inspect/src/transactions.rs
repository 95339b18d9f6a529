//! The transactions behind a row: its newest ones, looked for in the log from its end backwards.
//!
//! No index is kept: that would cost every transaction what few people ask for. Instead records are counted in ranges; a range that does
//! not touch the row is passed over whole, one that does is halved until the records are found (about 0.5 µs a record that is passed over,
//! and ten small counts for one that is found).

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use aggregate::{AggregationOptions, Changes, Input, input};
use kafka_client::{Cluster, LogConsumer};
use serde_json::{Map, Value};

use crate::error::InspectError;
use crate::replay::Replay;

/// Transactions after which it looks no further.
pub const PAGE_TRANSACTIONS: usize = 50;
/// Most records that one look reads.
pub const LOOK_RECORDS_MAX: u64 = 500_000;
/// Longest time of one look, but for the range under way.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);
/// Records of a partition in the first range; each range has twice as many as the one before.
const RANGE_RECORDS_MIN: i64 = 200;
const RANGE_RECORDS_MAX: i64 = 20_000;

/// A record behind a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When the log appended it, microseconds since 1970.
    pub appended_at: i64,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// What one look has found.
#[derive(Debug)]
pub struct Looked {
    /// Newest first.
    pub transactions: Vec<Logged>,
    /// Records that were read.
    pub records: u64,
    /// When the oldest of them was appended, microseconds since 1970; `None` if there were none.
    pub back_to: Option<i64>,
    /// Where to look on, an offset for each partition; `None` when everything was seen.
    pub before: Option<Vec<i64>>,
}

/// Looks for transactions of the row `key` (as in the results topic), which cannot have been appended before `since`, in milliseconds since
/// 1970. Ends with [`PAGE_TRANSACTIONS`] or more, or at the limits; the next look goes on where it ended. Blocks the task while it reads.
///
/// # Errors
///
/// [`InspectError`].
pub async fn transactions(
    cluster: &Cluster,
    options: &AggregationOptions,
    key: &str,
    since: i64,
    before: Option<&[i64]>,
) -> Result<Looked, InspectError> {
    let topic = &options.input.topic;
    let consumer = cluster.reader("daybook-look")?;
    let bounds = cluster.offsets(&consumer, topic)?;
    let mut left = Vec::new();
    for (partition, (first, next)) in (0..).zip(bounds) {
        let since = cluster.offset_at(&consumer, topic, partition, since)?;
        // Nothing was appended since: nothing is to be read.
        let first = since.map_or(next, |since| since.max(first));
        let asked = before.and_then(|before| before.get(usize::try_from(partition).ok()?));
        left.push((first, asked.copied().unwrap_or(next).clamp(first, next)));
    }
    let partitions = i32::try_from(left.len()).unwrap_or(i32::MAX);
    let mut search = Search {
        replay: Replay::new(options, partitions, 1).await?,
        key,
        found: Vec::new(),
    };
    let begun = Instant::now();
    let (mut records, mut back_to) = (0, None);
    let mut range = RANGE_RECORDS_MIN;
    while left.iter().any(|(first, next)| next > first)
        && search.found.len() < PAGE_TRANSACTIONS
        && records < LOOK_RECORDS_MAX
        && begun.elapsed() < LOOK_TIME_MAX
    {
        for (partition, (first, next)) in (0..).zip(&mut left) {
            let from = (*next - range).max(*first);
            if from < *next {
                let read = read(cluster, &consumer, (topic, partition), (from, *next))?;
                records += read.len() as u64;
                back_to = read
                    .iter()
                    .map(|record| record.appended_at)
                    .chain(back_to)
                    .min();
                search.look(&read).await?;
            }
            *next = from;
        }
        range = (range * 2).min(RANGE_RECORDS_MAX);
    }
    let mut transactions = search.found;
    transactions.sort_by_key(|one| Reverse((one.appended_at, one.partition, one.offset)));
    let is_more = left.iter().any(|(first, next)| next > first);
    Ok(Looked {
        transactions,
        records,
        back_to,
        before: is_more.then(|| left.into_iter().map(|(_, next)| next).collect()),
    })
}

/// A record that was read.
struct Record {
    partition: i32,
    offset: i64,
    appended_at: i64,
    value: Vec<u8>,
}

impl Record {
    fn input(&self) -> Input<'_> {
        Input {
            partition: self.partition,
            offset: self.offset,
            appended_at: self.appended_at,
            value: &self.value,
        }
    }
}

fn read(
    cluster: &Cluster,
    consumer: &LogConsumer,
    of: (&str, i32),
    between: (i64, i64),
) -> Result<Vec<Record>, InspectError> {
    let mut records = Vec::new();
    cluster.read_between(consumer, of, between, |message| {
        let read = input(message);
        records.push(Record {
            partition: read.partition,
            offset: read.offset,
            appended_at: read.appended_at,
            value: read.value.to_vec(),
        });
    })?;
    Ok(records)
}

struct Search<'k> {
    replay: Replay,
    key: &'k str,
    found: Vec<Logged>,
}

impl Search<'_> {
    async fn look(&mut self, records: &[Record]) -> Result<(), InspectError> {
        let mut ranges = vec![records];
        while let Some(range) = ranges.pop() {
            let inputs: Vec<Input<'_>> = range.iter().map(Record::input).collect();
            self.replay.forget();
            let (changes, _) = self.replay.add(&inputs).await?;
            match range {
                _ if !touches(&changes, self.key) => {}
                [] => {}
                [record] => self.found.push(Logged {
                    partition: record.partition,
                    offset: record.offset,
                    appended_at: record.appended_at,
                    fields: serde_json::from_slice(&record.value).unwrap_or_default(),
                }),
                range => {
                    let (older, newer) = range.split_at(range.len() / 2);
                    ranges.extend([older, newer]);
                }
            }
        }
        Ok(())
    }
}

/// Whether the row is among those that changed: published or not, as HAVING may not be satisfied by a few records.
fn touches(changes: &Changes, key: &str) -> bool {
    let key = key.as_bytes();
    let is_row = |entry: &[u8]| entry.split_first() == Some((&b'r', key));
    changes.results.iter().any(|result| result.key == key)
        || changes.parts.iter().any(|part| part.key == key)
        || changes
            .changelog
            .iter()
            .any(|(_, entry)| is_row(&entry.key))
}
