//! The aggregation without I/O: records in, changes out.

use std::collections::{BTreeMap, BTreeSet};

use sql::{AggregationPlan, FoldError, Folded, InputBatch, InputColumn, InputKind, SqlError};
use types::{BusinessDay, Counts, Micros, report};

use crate::changelog::{self, Entry, Foreign, Rewind};
use crate::classify::Reason;
use crate::options::{AggregationOptions, Definition, EngineKind};
use crate::spark::{Counted, Position};
use crate::spill::{ScratchError, Spill};

mod held;
mod judge;
mod render;
mod rows;
mod task;
mod totals;

pub use held::StateSize;
use held::{settle, size_of_state};
use judge::{Accepted, Judged, count_of, push};
pub(crate) use render::write_key;
pub(crate) use task::Task;
pub use task::{Old, Restored};
pub(crate) use totals::TotalsTask;
pub use totals::{PartInput, Totals};

/// Records of a batch, by partition.
type ByPartition<'a> = BTreeMap<i32, Vec<Input<'a>>>;

/// Rows that a rebuild publishes at a time.
const ROWS_AT_A_TIME: usize = 10_000;

/// A record of the input topic.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset; grows strictly within a partition.
    pub offset: i64,
    /// When the log appended it, microseconds since 1970.
    pub appended_at: Micros,
    /// The record's value.
    pub value: &'a [u8],
}

/// A record to produce; `value` is null to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's value.
    pub value: Option<Vec<u8>>,
}

/// What one batch changed. Committed as a whole or not at all.
#[derive(Debug, Default)]
pub struct Changes {
    /// For the results topic: each changed row once.
    pub results: Vec<Published>,
    /// For the changelog, each with its partition: that of the input.
    pub changelog: Vec<(i32, Published)>,
    /// For the topic of parts, in place of results, where rows are folded by [`Totals`](crate::Totals).
    pub parts: Vec<Published>,
    /// For the topic that Spark reads, each with its partition: that of the input. In place of results, where Spark adds up.
    pub counted: Vec<(i32, Vec<u8>)>,
    /// For the quarantine topic: partition and offset of the record, and the reason.
    pub quarantined: Vec<(i32, i64, Reason)>,
    /// Partitions whose rows of this generation are all published with these changes.
    pub completes: Vec<i32>,
    /// Records that were duplicates.
    pub duplicates: u64,
    /// Oldest `received_at` of the batch.
    pub received_at: Option<Micros>,
    /// Values of the SELECT list and of HAVING that could not be computed: they are null.
    pub failures: u64,
    /// Why the first of them could not.
    pub failure: Option<String>,
}

impl Changes {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
            && self.changelog.is_empty()
            && self.parts.is_empty()
            && self.counted.is_empty()
            && self.completes.is_empty()
    }
}

/// The state of one row of the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowState {
    pub(crate) day: BusinessDay,
    pub(crate) sequence: u64,
    /// Position of a record of the last batch that changed the row.
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Whether it is among the results: whether HAVING was satisfied when it was last published.
    pub(crate) visible: bool,
    /// Whether a batch has changed it since rows moved out of memory last.
    pub(crate) recent: bool,
    pub(crate) values: Vec<Folded>,
}

/// The engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The SQL was refused, or failed for a reason that is not a record's.
    #[error("the SQL of the aggregation {name}")]
    Sql {
        /// Which aggregation.
        name: String,
        /// With the place in the text.
        #[source]
        source: SqlError,
    },
    /// The changelog holds what this program did not write. Retrying does not help.
    #[error("the changelog of the aggregation {name} is damaged or of a newer program")]
    Changelog {
        /// Which aggregation.
        name: String,
        /// Which record.
        #[source]
        source: Foreign,
    },
    /// The state is of a newer definition than the one of this process. Retrying does not help.
    #[error(
        "the aggregation {name} has generation {theirs} in the log, but this process was started with generation {ours}: \
         another process runs a newer definition. Start this one again with that configuration"
    )]
    Newer {
        /// Which aggregation.
        name: String,
        /// Generation of this process.
        ours: u32,
        /// Generation of the state.
        theirs: u32,
    },
    /// State that had moved out of memory cannot be had, or none can move out. Beginning again from the changelog helps when the
    /// disk does.
    #[error(
        "the aggregation {name} has more state than it may hold in memory, and the disk for the rest failed"
    )]
    Scratch {
        /// Which aggregation.
        name: String,
        /// What failed.
        #[source]
        source: ScratchError,
    },
}

/// One aggregation over the partitions of its input that are this process's. Each partition has a state of its own, which no
/// other one's records change: it moves to another process as a whole.
#[derive(Debug)]
pub struct Engine {
    options: AggregationOptions,
    definition: Definition,
    plan: AggregationPlan,
    /// Where each column the SQL reads comes from.
    columns: Vec<Source>,
    tasks: BTreeMap<i32, Task>,
    /// What records bring to a row is published, and folded elsewhere: because they may be in several partitions, or because
    /// Spark adds them up.
    in_parts: bool,
    /// Of an aggregation that Spark adds up.
    counted: Option<Box<Counted>>,
    /// Which part of the key is the currency: it says how many digits amounts are shown with.
    currency_key: Option<usize>,
    /// Where state goes that is too much for memory.
    spill: Option<Spill>,
}

/// Where a column that the SQL reads comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    BusinessDay,
    /// A column of the input, and its kind in the SQL.
    Column(usize, InputKind),
}

impl Engine {
    /// An aggregation without any partition yet.
    ///
    /// # Errors
    ///
    /// [`EngineError::Sql`].
    pub async fn new(
        options: AggregationOptions,
        definition: Definition,
    ) -> Result<Self, EngineError> {
        Self::of_partitions(options, definition, 1).await
    }

    /// As [`Engine::new`], over an input of so many partitions. When a row may have records in several of them, because GROUP BY
    /// lacks the stream's key, changes have parts in place of results.
    ///
    /// # Errors
    ///
    /// [`EngineError::Sql`].
    pub async fn of_partitions(
        options: AggregationOptions,
        definition: Definition,
        partitions: i32,
    ) -> Result<Self, EngineError> {
        let columns = options.input.stream_columns();
        let refuse = |source| EngineError::Sql {
            name: options.name.clone(),
            source,
        };
        let plan = AggregationPlan::compile(&options.sql, &columns).await;
        let plan = plan.map_err(refuse)?;
        if let Some(source) = plan.irreversible().filter(|_| options.reversals) {
            return Err(refuse(source));
        }
        let source = |column: &InputColumn| match options.input.column(&column.name) {
            Some(place) => Source::Column(place, column.kind),
            None => Source::BusinessDay,
        };
        let columns = plan.columns().iter().map(source).collect();
        let key = options.input.key_name();
        let is_by_key = key.is_some_and(|key| plan.groups_by(key));
        let counted = match options.engine {
            EngineKind::Native => None,
            EngineKind::Spark => Some(Box::new(Counted::plan(&plan).await.map_err(refuse)?)),
        };
        Ok(Self {
            currency_key: plan.keys().iter().position(|key| key == "currency"),
            tasks: BTreeMap::new(),
            in_parts: counted.is_some() || (partitions > 1 && !is_by_key),
            counted,
            options,
            definition,
            plan,
            columns,
            spill: None,
        })
    }

    /// From now on it holds no more state in memory, at the end of a batch, than this allows.
    pub fn spill_to(&mut self, spill: Spill) {
        self.spill = Some(spill);
    }

    /// The plan of its SQL.
    pub fn plan(&self) -> &AggregationPlan {
        &self.plan
    }

    /// What Spark is to do; `None` where this program adds up.
    pub(crate) fn counted(&self) -> Option<&Counted> {
        self.counted.as_deref()
    }

    /// Whether changes have parts in place of results.
    pub fn is_in_parts(&self) -> bool {
        self.in_parts
    }

    /// Its definition.
    pub fn options(&self) -> &AggregationOptions {
        &self.options
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.tasks.values().map(|task| task.rows.len()).sum()
    }

    /// Identities remembered.
    pub fn identities(&self) -> usize {
        let tasks = self.tasks.values();
        tasks.map(|task| task.classifier.seen.len()).sum()
    }

    /// How much state there is.
    pub fn size(&self) -> StateSize {
        let mut size = StateSize::default();
        for task in self.tasks.values() {
            size += size_of_state(&task.rows, &task.classifier.seen);
        }
        size
    }

    /// Which definition of the aggregation the rows belong to.
    pub fn generation(&self) -> u32 {
        self.definition.generation
    }

    /// What became of the records, by partition and day.
    pub fn counts(&self) -> impl Iterator<Item = ((i32, BusinessDay), Counts)> {
        self.tasks.iter().flat_map(|(partition, task)| {
            let days = task.counts.iter();
            days.map(|(day, counts)| ((*partition, *day), *counts))
        })
    }

    /// Partitions that it has the state of.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        self.tasks.keys().copied()
    }

    /// Begins to restore a partition; what it had of it is forgotten.
    pub fn begin_restore(&mut self, partition: i32) {
        self.tasks.insert(partition, Task::new(&self.options));
    }

    /// Begins to restore a partition from what was read of its changelog already.
    pub(crate) fn adopt(&mut self, partition: i32, task: Task) {
        self.tasks.insert(partition, task);
    }

    /// Forgets a partition: it is another process's.
    pub fn give_up(&mut self, partition: i32) {
        self.tasks.remove(&partition);
    }

    /// Applies one record of a partition's changelog; call for all of them, in order, after [`Engine::begin_restore`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Changelog`], [`EngineError::Scratch`].
    pub fn restore(
        &mut self,
        partition: i32,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), EngineError> {
        let entry = entry_of(&self.options, key, value)?;
        if let Some(task) = self.tasks.get_mut(&partition) {
            let applied = task.apply(entry);
            applied.map_err(|source| scratch_failed(&self.options, source))?;
        }
        self.settle(None)
    }

    /// Moves state out if it is more than it may be; with that of a partition which is not among the others now.
    fn settle(&mut self, beside: Option<&mut Task>) -> Result<(), EngineError> {
        let Some(spill) = &self.spill else {
            return Ok(());
        };
        let tasks = self.tasks.values().chain(beside.as_deref());
        // Looked at for each record of a restore, and nearly always little enough.
        if spill.excess(tasks.map(Task::bytes).sum()) == 0 {
            return Ok(());
        }
        let tasks = self.tasks.values_mut().chain(beside);
        let settled = settle(&mut tasks.map(Task::held).collect::<Vec<_>>(), spill);
        settled.map_err(|source| scratch_failed(&self.options, source))
    }

    /// Ends restoring a partition.
    ///
    /// # Errors
    ///
    /// [`EngineError::Newer`], [`EngineError::Scratch`].
    pub fn end_restore(&mut self, partition: i32) -> Result<Restored, EngineError> {
        let Some(task) = self.tasks.get_mut(&partition) else {
            return Ok(Restored::Current);
        };
        let restored = task.end_restore(&self.definition);
        let restored = restored.map_err(|source| scratch_failed(&self.options, source))?;
        restored.map_err(|theirs| EngineError::Newer {
            name: self.options.name.clone(),
            ours: self.definition.generation,
            theirs,
        })
    }

    /// First instant of the first day that a partition keeps, in microseconds since 1970; `None` while all are kept.
    pub fn first_kept_start(&mut self, partition: i32) -> Option<Micros> {
        let first = self.first_kept_day(partition)?;
        self.options.calendar.start(first)
    }

    /// Takes the state of an older definition away, and begins with an empty one.
    ///
    /// # Errors
    ///
    /// [`EngineError::Scratch`].
    pub fn begin_rebuild(&mut self, partition: i32) -> Result<Old, EngineError> {
        let task = self.tasks.insert(partition, Task::new(&self.options));
        let old = task.map(Old::new).transpose();
        let old = old.map_err(|source| scratch_failed(&self.options, source))?;
        Ok(old.unwrap_or_default())
    }

    /// Adds a batch of a rebuild: what came before the state's own position. Nothing is published.
    ///
    /// # Errors
    ///
    /// As [`Engine::process`].
    pub async fn replay(&mut self, batch: &[Input<'_>]) -> Result<(), EngineError> {
        self.add(batch, true).await.map(drop)
    }

    /// In place of replaying where Spark adds up: the state is empty, and the input is to be read again from `from`, which must be
    /// committed with these changes. Up to `until` it was read before: nothing of that is set aside again, and days before
    /// `first_day` keep their counts.
    ///
    /// # Errors
    ///
    /// [`EngineError::Scratch`].
    pub(crate) fn rewind(
        &mut self,
        partition: i32,
        old: &Old,
        (from, until): (i64, i64),
        first_day: Option<BusinessDay>,
    ) -> Result<Changes, EngineError> {
        let Some(task) = self.tasks.get_mut(&partition) else {
            return Ok(Changes::default());
        };
        let rewind = Rewind {
            until,
            first_day: first_day.map_or(i32::MIN, BusinessDay::epoch_days),
        };
        let mut entries = vec![task.begin_rewind(old, rewind)];
        let ended = task.end_rewind(from);
        let is_complete = ended.is_some();
        entries.extend(ended);
        let mut changes = self.end_rebuild(partition, old)?;
        if !is_complete {
            changes.completes.clear();
        }
        // Before the definition, which is last.
        let place = changes.changelog.len().saturating_sub(1);
        let entries = entries.into_iter().map(|entry| (partition, entry));
        changes.changelog.splice(place..place, entries);
        Ok(changes)
    }

    /// Day of [`Engine::first_kept_start`].
    pub(crate) fn first_kept_day(&mut self, partition: i32) -> Option<BusinessDay> {
        let task = self.tasks.get_mut(&partition)?;
        task.classifier.first_kept_day()
    }

    /// Everything that the state of a partition has, as changes, and what takes the old one away.
    ///
    /// # Errors
    ///
    /// [`EngineError::Scratch`].
    pub fn end_rebuild(&mut self, partition: i32, old: &Old) -> Result<Changes, EngineError> {
        let Some(mut task) = self.tasks.remove(&partition) else {
            return Ok(Changes::default());
        };
        let mut changes = Changes::default();
        task.keep_counts_of(old);
        let failed = |source| scratch_failed(&self.options, source);
        changes.changelog = task.whole(partition, old).map_err(failed)?;
        if self.in_parts {
            let published = self.publish_parts(&mut task, partition, &mut changes);
            published.map_err(failed)?;
        } else {
            self.publish_rebuilt(&mut task, partition, old, &mut changes)?;
        }
        let gone = old.rows_gone(&mut task);
        for (key, day, sequence) in gone.map_err(|source| scratch_failed(&self.options, source))? {
            // Rows of parts begin at 1 elsewhere: one that has the same key is newer.
            let sequence = if self.in_parts { 0 } else { sequence };
            let value = self.deleted_value(&key, day, sequence, None);
            changes.results.push(Published {
                key: key.into_vec(),
                value: Some(value),
            });
        }
        // Last: a rebuild that did not get here is done again.
        let definition = task.define(&self.definition);
        changes
            .changelog
            .extend(definition.map(|entry| (partition, entry)));
        changes.completes.push(partition);
        self.tasks.insert(partition, task);
        Ok(changes)
    }

    /// Publishes all rows, some at a time: those that moved out come into memory for it.
    fn publish_rebuilt(
        &mut self,
        task: &mut Task,
        partition: i32,
        old: &Old,
        changes: &mut Changes,
    ) -> Result<(), EngineError> {
        for shown in old.shown().chunks(ROWS_AT_A_TIME) {
            for (key, day, _) in shown {
                let fetched = task.rows.fetch(key, *day);
                fetched.map_err(|source| scratch_failed(&self.options, source))?;
                // Where the new definition hides it, it is taken away.
                if let Some(row) = task.rows.get_mut(key) {
                    row.visible = true;
                }
            }
            self.settle(Some(task))?;
        }
        let keys = task.rows.keys();
        let keys = keys.map_err(|source| scratch_failed(&self.options, source))?;
        let mut values = Vec::new();
        for keys in keys.chunks(ROWS_AT_A_TIME) {
            for (key, day) in keys {
                let row = task.rows.fetch(key, *day);
                let row = row.map_err(|source| scratch_failed(&self.options, source))?;
                if let Some(row) = row {
                    rows::note_values(key, row, &mut values);
                }
            }
            let keys: Vec<&[u8]> = keys.iter().map(|(key, _)| key.as_ref()).collect();
            self.publish(partition, &mut task.rows, &keys, &mut values, changes);
            self.settle(Some(task))?;
        }
        Ok(())
    }

    /// Adds a batch. Offsets must be the next ones of their partitions, and the partitions must be there.
    ///
    /// The changes are already part of the state: if they cannot be committed, the engine must be
    /// dropped and restored. Cost: about 1 µs a record.
    ///
    /// # Errors
    ///
    /// [`EngineError::Sql`] when the SQL fails for a reason that no single record explains; [`EngineError::Scratch`].
    pub async fn process(&mut self, batch: &[Input<'_>]) -> Result<Changes, EngineError> {
        self.add(batch, false).await
    }

    /// The record that says what a partition's state is of, if its changelog does not say it yet. It must be there before
    /// anything depends on it.
    pub fn define(&mut self, partition: i32) -> Option<(i32, Published)> {
        let task = self.tasks.get_mut(&partition)?;
        let entry = task.define(&self.definition)?;
        Some((partition, entry))
    }

    async fn add(&mut self, batch: &[Input<'_>], quiet: bool) -> Result<Changes, EngineError> {
        let mut by_partition = ByPartition::new();
        for input in batch {
            by_partition
                .entry(input.partition)
                .or_default()
                .push(*input);
        }
        let mut changes = Changes::default();
        let beyond = self.split_at_rewinds(&mut by_partition);
        self.add_all(by_partition, quiet, &mut changes).await?;
        if !beyond.is_empty() {
            self.add_all(beyond, quiet, &mut changes).await?;
        }
        self.settle(None)?;
        Ok(changes)
    }

    async fn add_all(
        &mut self,
        by_partition: ByPartition<'_>,
        quiet: bool,
        changes: &mut Changes,
    ) -> Result<(), EngineError> {
        let parts = by_partition.into_iter().filter_map(|(partition, inputs)| {
            let task = self.tasks.remove(&partition)?;
            Some((partition, task, inputs))
        });
        let parts = parts.collect();
        for judged in self.judge_all(parts) {
            self.add_judged(judged, quiet, changes).await?;
        }
        Ok(())
    }

    /// Takes out what comes behind the records that a partition reads again: only there they count as new.
    fn split_at_rewinds<'a>(&self, by_partition: &mut ByPartition<'a>) -> ByPartition<'a> {
        let mut beyond = ByPartition::new();
        for (partition, inputs) in by_partition.iter_mut() {
            let rewind = self.tasks.get(partition).and_then(|task| task.rewind);
            let Some(rewind) = rewind else {
                continue;
            };
            let place = inputs.partition_point(|input| input.offset < rewind.until);
            if place < inputs.len() {
                beyond.insert(*partition, inputs.split_off(place));
            }
        }
        beyond
    }

    /// Adds what was judged of a partition to its state.
    async fn add_judged(
        &mut self,
        judged: Judged<'_>,
        quiet: bool,
        changes: &mut Changes,
    ) -> Result<(), EngineError> {
        let Judged {
            partition,
            mut task,
            clock_before,
            mut columns,
            accepted,
            mut touched,
            identities,
            quarantined,
            duplicates,
            received_at,
            last,
            failed,
        } = judged;
        if let Some(source) = failed {
            return Err(scratch_failed(&self.options, source));
        }
        let next = last.map_or(0, |offset| offset + 1);
        // What is read again was set aside before.
        if task.rewind.is_none() {
            changes.quarantined.extend(quarantined);
        }
        changes.duplicates += duplicates;
        changes.received_at = changes.received_at.into_iter().chain(received_at).min();
        let received = received_at.unwrap_or_default();
        let folded = self.fold(&mut task, &accepted, &mut columns, received);
        let updated = match folded.await {
            Ok(updated) => Ok(updated),
            Err(error @ EngineError::Scratch { .. }) => return Err(error),
            // Some record of the batch is at fault: find it, set it aside, add the others.
            Err(_) if !accepted.is_empty() => {
                self.fold_one_by_one(&mut task, &accepted, received, changes, &mut touched)
                    .await
            }
            Err(error) => Err(error),
        };
        if let Some(counted) = &mut self.counted {
            changes
                .counted
                .extend(counted.take().map(|value| (partition, value)));
        } else if let (false, Ok(updated)) = (quiet, &updated) {
            match self.in_parts {
                true => {
                    let published = self.publish_parts(&mut task, partition, changes);
                    published.map_err(|source| scratch_failed(&self.options, source))?;
                }
                false => {
                    self.publish(partition, &mut task.rows, updated, &mut task.added, changes);
                }
            }
        }
        task.added.clear();
        if !quiet {
            let clock = task
                .clock(partition)
                .filter(|clock| Some(*clock) != clock_before);
            let entries = task.changed(partition, identities, touched.into_iter(), clock);
            changes
                .changelog
                .extend(entries.into_iter().map(|entry| (partition, entry)));
        }
        // Behind its results: what a batch added to a day that it also ended is published.
        let evicted = task.evict(partition);
        let evicted = evicted.map_err(|source| scratch_failed(&self.options, source))?;
        if !quiet {
            changes
                .changelog
                .extend(evicted.into_iter().map(|entry| (partition, entry)));
        }
        if let Some(entry) = task.end_rewind(next) {
            changes.changelog.push((partition, entry));
            changes.completes.push(partition);
        }
        self.tasks.insert(partition, task);
        updated.map(drop)
    }

    /// Runs the SQL over the records and folds its groups; the state is changed only on success.
    async fn fold(
        &mut self,
        task: &mut Task,
        accepted: &[Accepted<'_>],
        columns: &mut InputBatch,
        received_at: Micros,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let Some(last) = accepted.last() else {
            return Ok(Vec::new());
        };
        if let Some(counted) = &mut self.counted {
            let (partition, offset) = (last.input.partition, last.input.offset);
            let at = Position {
                clock: task.clock(partition).unwrap_or_default(),
                partition,
                offset,
                received_at,
            };
            let run = counted.add(columns, at).await;
            return match run {
                Ok(()) => Ok(Vec::new()),
                Err(source) => Err(EngineError::Sql {
                    name: self.options.name.clone(),
                    source,
                }),
            };
        }
        let mut folded: Vec<(Box<[u8]>, RowState)> = Vec::new();
        let (mut refused, mut failed) = (None, None);
        let mut key = Vec::new();
        let rows = &mut task.rows;
        let run = self.plan.run(columns, |group| {
            write_key(&mut key, group.key);
            let day = BusinessDay::from_epoch_days(group.day).unwrap_or(BusinessDay::EPOCH);
            let before = match rows.fetch(&key, day) {
                Ok(before) => before,
                Err(error) => {
                    failed.get_or_insert(error);
                    return;
                }
            };
            let values: Result<Vec<Folded>, FoldError> = match before {
                None => Ok(group.values.to_vec()),
                Some(row) => {
                    let pairs = row.values.iter().zip(group.values);
                    pairs.map(|(old, new)| old.checked_fold(new)).collect()
                }
            };
            match values {
                Err(error) => refused = Some(error),
                Ok(values) => folded.push((
                    key.as_slice().into(),
                    RowState {
                        day,
                        sequence: before.map_or(0, |row| row.sequence) + group.rows,
                        partition: last.input.partition,
                        offset: last.input.offset,
                        visible: before.is_some_and(|row| row.visible),
                        recent: true,
                        values,
                    },
                )),
            }
        });
        let result = run.await.and_then(|()| match refused {
            None => Ok(()),
            Some(error) => Err(error.into()),
        });
        result.map_err(|source| EngineError::Sql {
            name: self.options.name.clone(),
            source,
        })?;
        if let Some(source) = failed {
            return Err(scratch_failed(&self.options, source));
        }
        let keys = folded.iter().map(|(key, _)| key.clone()).collect();
        for (key, row) in folded {
            task.rows.take(key, row, &mut task.added);
        }
        Ok(keys)
    }

    async fn fold_one_by_one(
        &mut self,
        task: &mut Task,
        accepted: &[Accepted<'_>],
        received_at: Micros,
        changes: &mut Changes,
        touched: &mut BTreeSet<BusinessDay>,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let mut updated = Vec::new();
        for record in accepted {
            let mut columns = self.plan.new_batch();
            // It was read before, when it was judged.
            if let Ok(parsed) = self.options.input.read(record.input.value) {
                push(
                    &self.columns,
                    &mut columns,
                    &parsed,
                    &record.input,
                    record.day,
                );
            }
            let record_alone = std::slice::from_ref(record);
            let folded = self.fold(task, record_alone, &mut columns, received_at);
            match folded.await {
                Ok(keys) => updated.extend(keys),
                // No fault of the record.
                Err(error @ EngineError::Scratch { .. }) => return Err(error),
                Err(error) => {
                    touched.insert(record.day);
                    let counts = task.counts.entry(record.day).or_default();
                    *count_of(counts, &record.class) -= 1;
                    counts.quarantined += 1;
                    let reason = Reason::NotComputable(report(&error));
                    let (partition, offset) = (record.input.partition, record.input.offset);
                    changes.quarantined.push((partition, offset, reason));
                }
            }
        }
        updated.sort_unstable();
        updated.dedup();
        Ok(updated)
    }

    /// What a batch adds to its rows. Nothing of it stays here.
    fn publish_parts(
        &self,
        task: &mut Task,
        partition: i32,
        changes: &mut Changes,
    ) -> Result<(), ScratchError> {
        let clock = task.clock(partition).unwrap_or_default();
        task.rows.drain(|key, row| {
            changes.parts.push(Published {
                value: Some(changelog::encode_part(clock, &row)),
                key: key.into_vec(),
            });
        })
    }
}

fn scratch_failed(options: &AggregationOptions, source: ScratchError) -> EngineError {
    EngineError::Scratch {
        name: options.name.clone(),
        source,
    }
}

/// A record of a changelog, understood.
fn entry_of(
    options: &AggregationOptions,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<Entry, EngineError> {
    changelog::decode(key, value).map_err(|source| EngineError::Changelog {
        name: options.name.clone(),
        source,
    })
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod spill_tests;
#[cfg(test)]
mod sql_tests;
#[cfg(test)]
pub(crate) mod tests;
