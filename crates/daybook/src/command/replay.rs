//! Counts the log again from its beginning, for questions about the past: `totals --at` and `trace`.
//!
//! By the aggregation's own engine, which judges by the stream's clock alone: what it says of a moment is what was published
//! then. (`prove` recomputes with code of its own instead; that is another question.)

use std::collections::HashMap;
use std::io::IsTerminal as _;

use aggregate::{
    AggregationOptions, Changes, Definition, Engine, EngineKind, Input, PartInput, Totals,
    fingerprint, input,
};
use anyhow::Context as _;
use kafka_client::{CALL_TIME_MAX, Cluster};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Most records counted at a time.
const BATCH_RECORDS_MAX: usize = 50_000;

/// Results by key.
pub(super) type Rows = HashMap<Vec<u8>, Vec<u8>>;

/// The state of one aggregation as the log is counted.
pub(super) struct Replay {
    engine: Engine,
    totals: Totals,
    /// The newest result of each key.
    pub(super) rows: Rows,
    parts: i64,
}

impl Replay {
    pub(super) async fn new(
        options: &AggregationOptions,
        partitions: i32,
        generation: u32,
    ) -> anyhow::Result<Self> {
        let definition = Definition {
            generation,
            fingerprint: fingerprint(options),
        };
        // Whoever adds up, the rows are the same.
        let options = AggregationOptions {
            engine: EngineKind::Native,
            ..options.clone()
        };
        let mut totals = Totals::new(&options);
        let mut engine = Engine::of_partitions(options, definition, partitions).await?;
        for partition in 0..partitions {
            engine.begin_restore(partition);
        }
        totals.begin_restore(0);
        Ok(Self {
            engine,
            totals,
            rows: Rows::new(),
            parts: 0,
        })
    }

    /// Names of the columns of its results, in the order of the SELECT list.
    pub(super) fn columns(&self) -> Vec<String> {
        let outputs = self.engine.plan().outputs().iter();
        outputs.map(|output| output.name.clone()).collect()
    }

    /// Those of them that may be added up over rows of one currency.
    pub(super) fn sums(&self) -> Vec<String> {
        pipeline::sums_of(self.engine.plan())
    }

    /// Adds records; gives what they changed, and the rows of before that they replaced.
    pub(super) async fn add(&mut self, records: &[Input<'_>]) -> anyhow::Result<(Changes, Rows)> {
        let mut changes = self.engine.process(records).await?;
        let parts = std::mem::take(&mut changes.parts);
        if !parts.is_empty() {
            let inputs: Vec<PartInput<'_>> = parts
                .iter()
                .map(|part| {
                    self.parts += 1;
                    PartInput {
                        partition: 0,
                        offset: self.parts,
                        key: &part.key,
                        value: part.value.as_deref().unwrap_or_default(),
                    }
                })
                .collect();
            let second = self.totals.process(&self.engine, &inputs)?;
            changes.results.extend(second.results);
        }
        let mut replaced = Rows::new();
        for result in &changes.results {
            if let Some(value) = &result.value
                && let Some(before) = self.rows.insert(result.key.clone(), value.clone())
            {
                replaced.insert(result.key.clone(), before);
            }
        }
        Ok((changes, replaced))
    }
}

/// Reads all of the topic that these count and counts it. `alone` says which records are counted on their own; what they changed is
/// handed to `changed` with the rows of before. Records appended behind `until` (microseconds) are left out.
pub(super) async fn replay(
    cluster: &Cluster,
    replays: &mut [Replay],
    until: Option<i64>,
    alone: impl Fn(&Input<'_>) -> bool,
    mut changed: impl FnMut(usize, &Input<'_>, &Changes, &Rows),
) -> anyhow::Result<u64> {
    let Some(first) = replays.first() else {
        return Ok(0);
    };
    let topic = first.engine.options().input.topic.clone();
    let consumer = cluster.reader("daybook-replay")?;
    let bounds = cluster
        .offsets(&consumer, &topic)
        .context("is `daybook up` running?")?;
    let mut assignment = TopicPartitionList::new();
    let mut open = 0;
    for (partition, (first, next)) in (0..).zip(&bounds) {
        if next > first {
            assignment.add_partition_offset(&topic, partition, Offset::Beginning)?;
            open += 1;
        }
    }
    consumer.assign(&assignment)?;
    let all: i64 = bounds.iter().map(|(first, next)| next - first).sum();
    let bar = progress(all);
    let mut records = 0_u64;
    let mut messages: Vec<BorrowedMessage<'_>> = Vec::new();
    while open > 0 {
        match consumer.poll(CALL_TIME_MAX) {
            Some(Ok(message)) => messages.push(message),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error).with_context(|| format!("cannot read {topic}")),
            None => anyhow::bail!("the log does not answer"),
        }
        if messages.len() < BATCH_RECORDS_MAX && open > 0 {
            continue;
        }
        records += messages.len() as u64;
        count(&messages, replays, until, &alone, &mut changed).await?;
        bar.set_position(records);
        messages.clear();
    }
    bar.finish_and_clear();
    Ok(records)
}

async fn count(
    messages: &[BorrowedMessage<'_>],
    replays: &mut [Replay],
    until: Option<i64>,
    alone: &impl Fn(&Input<'_>) -> bool,
    changed: &mut impl FnMut(usize, &Input<'_>, &Changes, &Rows),
) -> anyhow::Result<()> {
    let mut batch: Vec<Input<'_>> = Vec::new();
    for message in messages {
        let record = input(message);
        if until.is_some_and(|until| record.appended_at > until) {
            continue;
        }
        if !alone(&record) {
            batch.push(record);
            continue;
        }
        for (index, replay) in replays.iter_mut().enumerate() {
            replay.add(&batch).await?;
            let (changes, before) = replay.add(&[record]).await?;
            changed(index, &record, &changes, &before);
        }
        batch.clear();
    }
    for replay in replays {
        replay.add(&batch).await?;
    }
    Ok(())
}

fn progress(records: i64) -> indicatif::ProgressBar {
    let records = records.max(0).cast_unsigned();
    match std::io::stderr().is_terminal() && records > 200_000 {
        true => indicatif::ProgressBar::new(records),
        false => indicatif::ProgressBar::hidden(),
    }
}
