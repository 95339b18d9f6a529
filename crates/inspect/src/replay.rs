//! Counts the log again from its beginning, for questions about the past: `totals --at` and `trace`.
//!
//! By the aggregation's own engine, which judges by the stream's clock alone: what it says of a moment is what was published
//! then. (`prove` recomputes with code of its own instead; that is another question.)

use std::collections::HashMap;

use aggregate::{
    AggregationOptions, Changes, Definition, Engine, EngineKind, Input, PartInput, Totals,
    fingerprint, input,
};
use kafka_client::{CALL_TIME_MAX, Cluster};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sql::{AggregationPlan, FoldKind, OutputSource};

use crate::error::InspectError;

/// Most records counted at a time.
const BATCH_RECORDS_MAX: usize = 50_000;

/// Results by key.
pub type Rows = HashMap<Vec<u8>, Vec<u8>>;

/// The state of one aggregation as the log is counted.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    totals: Totals,
    /// The newest result of each key.
    pub rows: Rows,
    parts: i64,
    partitions: i32,
}

impl Replay {
    /// Begins with nothing counted. Costs the planning of the SQL, some milliseconds.
    ///
    /// # Errors
    ///
    /// [`InspectError::Engine`]: the SQL cannot be planned.
    pub async fn new(
        options: &AggregationOptions,
        partitions: i32,
        generation: u32,
    ) -> Result<Self, InspectError> {
        let definition = Definition {
            generation,
            fingerprint: fingerprint(options),
        };
        // Whoever adds up, the rows are the same.
        let options = AggregationOptions {
            engine: EngineKind::Native,
            ..options.clone()
        };
        let totals = Totals::new(&options);
        let engine = Engine::of_partitions(options, definition, partitions).await?;
        let mut replay = Self {
            engine,
            totals,
            rows: Rows::new(),
            parts: 0,
            partitions,
        };
        replay.forget();
        Ok(replay)
    }

    /// As if nothing had been counted.
    pub fn forget(&mut self) {
        for partition in 0..self.partitions {
            self.engine.begin_restore(partition);
        }
        self.totals.begin_restore(0);
        self.rows.clear();
    }

    /// Names of the columns of its results, in the order of the SELECT list.
    pub fn columns(&self) -> Vec<String> {
        let outputs = self.engine.plan().outputs().iter();
        outputs.map(|output| output.name.clone()).collect()
    }

    /// Those of them that may be added up over rows of one currency.
    pub fn sums(&self) -> Vec<String> {
        sums_of(self.engine.plan())
    }

    /// Adds records; gives what they changed, and the rows of before that they replaced.
    ///
    /// # Errors
    ///
    /// [`InspectError::Engine`].
    pub async fn add(&mut self, records: &[Input<'_>]) -> Result<(Changes, Rows), InspectError> {
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
/// handed to `changed` with the rows of before. Records appended behind `until` (microseconds) are left out. `progress` is told how many
/// records were counted, and how many there are. Gives how many were counted.
///
/// # Errors
///
/// [`InspectError`].
pub async fn replay(
    cluster: &Cluster,
    replays: &mut [Replay],
    until: Option<i64>,
    alone: impl Fn(&Input<'_>) -> bool,
    mut changed: impl FnMut(usize, &Input<'_>, &Changes, &Rows),
    mut progress: impl FnMut(u64, u64),
) -> Result<u64, InspectError> {
    let Some(first) = replays.first() else {
        return Ok(0);
    };
    let topic = first.engine.options().input.topic.clone();
    let consumer = cluster.reader("daybook-replay")?;
    let bounds = cluster.offsets(&consumer, &topic)?;
    let assign = |source| cluster.error("assign partitions", source);
    let mut assignment = TopicPartitionList::new();
    let mut open = 0;
    for (partition, (first, next)) in (0..).zip(&bounds) {
        if next > first {
            assignment
                .add_partition_offset(&topic, partition, Offset::Beginning)
                .map_err(assign)?;
            open += 1;
        }
    }
    consumer.assign(&assignment).map_err(assign)?;
    let all: i64 = bounds.iter().map(|(first, next)| next - first).sum();
    let all = all.max(0).cast_unsigned();
    progress(0, all);
    let mut records = 0_u64;
    let mut messages: Vec<BorrowedMessage<'_>> = Vec::new();
    while open > 0 {
        match consumer.poll(CALL_TIME_MAX) {
            Some(Ok(message)) => messages.push(message),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(source)) => return Err(InspectError::Read { topic, source }),
            None => return Err(InspectError::Silent),
        }
        if messages.len() < BATCH_RECORDS_MAX && open > 0 {
            continue;
        }
        records += messages.len() as u64;
        count(&messages, replays, until, &alone, &mut changed).await?;
        progress(records, all);
        messages.clear();
    }
    Ok(records)
}

async fn count(
    messages: &[BorrowedMessage<'_>],
    replays: &mut [Replay],
    until: Option<i64>,
    alone: &impl Fn(&Input<'_>) -> bool,
    changed: &mut impl FnMut(usize, &Input<'_>, &Changes, &Rows),
) -> Result<(), InspectError> {
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

/// Columns of the results that may be added up over rows of one currency: sums and counts, and no averages or largest values.
pub fn sums_of(plan: &AggregationPlan) -> Vec<String> {
    let additive = |source| match source {
        OutputSource::Value(index) => matches!(
            plan.folds().get(index),
            Some(FoldKind::Count | FoldKind::Sum | FoldKind::SumInt)
        ),
        OutputSource::Key(_) | OutputSource::Computed(_) => false,
    };
    let outputs = plan
        .outputs()
        .iter()
        .filter(|output| additive(output.source));
    outputs.map(|output| output.name.clone()).collect()
}
