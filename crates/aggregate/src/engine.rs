//! The aggregation without I/O: records in, changes out.

use std::collections::{BTreeMap, HashMap};

use sql::{AggregationPlan, Folded, InputBatch, SqlError};
use types::{BusinessDay, Counts, Micros, report};

use crate::changelog::{self, Entry, Foreign};
use crate::classify::{Class, Classifier, Reason, Seen};
use crate::options::{AggregationOptions, definition_fingerprint, stream_columns};
use crate::record::{Parsed, parse};

mod render;

use render::write_key;

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
    /// For the changelog.
    pub changelog: Vec<Published>,
    /// For the quarantine topic: partition and offset of the record, and the reason.
    pub quarantined: Vec<(i32, i64, Reason)>,
    /// Records that were duplicates.
    pub duplicates: u64,
    /// Oldest `received_at` of the batch.
    pub received_at: Option<Micros>,
}

/// The state of one row of the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowState {
    pub(crate) day: BusinessDay,
    pub(crate) sequence: u64,
    /// Position of a record of the last batch that changed the row.
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) values: Vec<Folded>,
}

/// The engine cannot go on. The service restores from the log and tries again, except for
/// [`EngineError::Definition`].
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
    /// Kept results mean something else. Retrying does not help.
    #[error(
        "the definition of the aggregation {name} was changed (SQL, zone, cut_off, working_days, \
         holidays, zone_column, keep_days, late, text_columns, or with another version of this program \
         the time zone database, which is {} now); its kept results would be wrong. Give the changed \
         aggregation another name, or change it back",
        types::tzdata_version()
    )]
    Definition {
        /// Which aggregation.
        name: String,
    },
}

/// The state of one aggregation.
#[derive(Debug)]
pub struct Engine {
    options: AggregationOptions,
    plan: AggregationPlan,
    /// Where each column the SQL reads comes from.
    columns: Vec<Source>,
    classifier: Classifier,
    rows: HashMap<Box<[u8]>, RowState, foldhash::fast::RandomState>,
    counts: BTreeMap<BusinessDay, Counts>,
    generation: u32,
    /// Whether the changelog has the definition already.
    defined: bool,
    first_kept: Option<BusinessDay>,
    /// Which part of the key is the currency: it says how many digits amounts are shown with.
    currency_key: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Id,
    Origin,
    Account,
    Currency,
    Reverses,
    Amount,
    BookedAt,
    ReceivedAt,
    BusinessDay,
    Text(usize),
}

/// First offset of a batch, and the identities and contents that were new in it.
type NewIdentities = (i64, Vec<(u128, u64)>);

/// A record that is to be added.
struct Accepted<'a> {
    input: Input<'a>,
    day: BusinessDay,
    class: Class,
    parsed: Parsed<'a>,
}

impl Engine {
    /// An aggregation without any state yet.
    ///
    /// # Errors
    ///
    /// [`EngineError::Sql`].
    pub async fn new(options: AggregationOptions) -> Result<Self, EngineError> {
        let columns = stream_columns(&options.text_columns);
        let plan = AggregationPlan::compile(&options.sql, &columns).await;
        let plan = plan.map_err(|source| EngineError::Sql {
            name: options.name.clone(),
            source,
        })?;
        let source = |name: &str| match name {
            "id" => Source::Id,
            "source" => Source::Origin,
            "account" => Source::Account,
            "currency" => Source::Currency,
            "reverses" => Source::Reverses,
            "amount" => Source::Amount,
            "booked_at" => Source::BookedAt,
            "received_at" => Source::ReceivedAt,
            "business_day" => Source::BusinessDay,
            other => {
                let known = options
                    .text_columns
                    .iter()
                    .position(|column| column == other);
                Source::Text(known.unwrap_or(usize::MAX))
            }
        };
        let columns = plan
            .columns()
            .iter()
            .map(|column| source(&column.name))
            .collect();
        Ok(Self {
            currency_key: plan.keys().iter().position(|key| key == "currency"),
            classifier: Classifier::new(&options),
            rows: HashMap::default(),
            counts: BTreeMap::new(),
            generation: 1,
            defined: false,
            first_kept: None,
            options,
            plan,
            columns,
        })
    }

    /// The plan of its SQL.
    pub fn plan(&self) -> &AggregationPlan {
        &self.plan
    }

    /// Its definition.
    pub fn options(&self) -> &AggregationOptions {
        &self.options
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Identities remembered.
    pub fn identities(&self) -> usize {
        self.classifier.seen.len()
    }

    /// Which definition of the aggregation the rows belong to.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What became of the records, by day, oldest first.
    pub fn counts(&self) -> impl Iterator<Item = (BusinessDay, Counts)> {
        self.counts.iter().map(|(day, counts)| (*day, *counts))
    }

    /// Applies one record of the changelog; call for all of them, in order, before the first batch.
    ///
    /// # Errors
    ///
    /// [`EngineError::Changelog`] or [`EngineError::Definition`].
    pub fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), EngineError> {
        let name = || self.options.name.clone();
        let entry = changelog::decode(key, value);
        match entry.map_err(|source| EngineError::Changelog {
            name: name(),
            source,
        })? {
            Entry::Row(key, row) => drop(self.rows.insert(key, row)),
            Entry::RowGone(key) => drop(self.rows.remove(&key)),
            Entry::Seen(seen) => self.classifier.seen.extend(seen),
            Entry::Counts(day, counts) => drop(self.counts.insert(day, counts)),
            Entry::Clock(partition, clock) => drop(self.classifier.clocks.insert(partition, clock)),
            Entry::Definition(fingerprint, generation) => {
                if fingerprint != definition_fingerprint(&self.options) {
                    return Err(EngineError::Definition { name: name() });
                }
                self.generation = generation;
                self.defined = true;
            }
            Entry::Nothing => {}
        }
        Ok(())
    }

    /// Ends restoring: forgets what is no longer kept.
    pub fn restored(&mut self) {
        self.first_kept = self.classifier.first_kept_day();
        if let Some(first) = self.first_kept {
            self.classifier.forget_before(first);
            self.rows.retain(|_, row| row.day >= first);
        }
    }

    /// Adds a batch. Offsets must be the next ones of their partitions.
    ///
    /// The changes are already part of the state: if they cannot be committed, the engine must be
    /// dropped and restored. Cost: about 1 µs a record.
    ///
    /// # Errors
    ///
    /// [`EngineError::Sql`] when the SQL fails for a reason that no single record explains.
    pub async fn process(&mut self, batch: &[Input<'_>]) -> Result<Changes, EngineError> {
        let mut changes = Changes::default();
        if !self.defined {
            changes.changelog.push(Published {
                key: changelog::definition_key(),
                value: Some(changelog::encode_definition(
                    &definition_fingerprint(&self.options),
                    self.generation,
                )),
            });
            self.defined = true;
        }
        let clocks_before = self.classifier.clocks.clone();
        let mut touched = BTreeMap::new();
        let accepted = self.judge_all(batch, &mut changes, &mut touched);
        let updated = match self.fold(&accepted).await {
            Ok(updated) => updated,
            // Some record of the batch is at fault: find it, set it aside, add the others.
            Err(_) if !accepted.is_empty() => {
                self.fold_one_by_one(&accepted, &mut changes, &mut touched)
                    .await?
            }
            Err(error) => return Err(error),
        };
        self.publish_rows(updated, &mut changes);
        for (day, ()) in touched {
            let counts = self.counts.get(&day).copied().unwrap_or_default();
            changes.changelog.push(Published {
                key: changelog::counts_key(day),
                value: Some(changelog::encode_counts(&counts)),
            });
        }
        for (partition, clock) in &self.classifier.clocks {
            if clocks_before.get(partition) != Some(clock) {
                changes.changelog.push(Published {
                    key: changelog::clock_key(*partition),
                    value: Some(changelog::encode_clock(*clock)),
                });
            }
        }
        self.evict(&mut changes);
        Ok(changes)
    }

    /// Parses and judges every record; counts it; returns those that are to be added.
    fn judge_all<'a>(
        &mut self,
        batch: &[Input<'a>],
        changes: &mut Changes,
        touched: &mut BTreeMap<BusinessDay, ()>,
    ) -> Vec<Accepted<'a>> {
        let mut accepted = Vec::with_capacity(batch.len());
        let mut new: BTreeMap<(i32, i32), NewIdentities> = BTreeMap::new();
        for input in batch {
            let (day, class) = match parse(input.value, &self.options.text_columns) {
                Err(error) => {
                    let reason = Reason::Unreadable(report(&error));
                    (
                        self.classifier.day_of(input.appended_at),
                        Class::Quarantined(reason),
                    )
                }
                Ok(parsed) => {
                    let received = parsed.received_at.unwrap_or(input.appended_at);
                    let oldest = changes.received_at.get_or_insert(received);
                    *oldest = received.min(*oldest);
                    let (day, class, identity) =
                        self.classifier
                            .judge(input.partition, input.appended_at, &parsed);
                    if let Some((
                        identity,
                        Seen {
                            content,
                            day: seen_day,
                        },
                    )) = identity
                    {
                        let place = (seen_day, input.partition);
                        let block = new
                            .entry(place)
                            .or_insert_with(|| (input.offset, Vec::new()));
                        block.1.push((identity, content));
                        accepted.push(Accepted {
                            input: *input,
                            day,
                            class: class.clone(),
                            parsed,
                        });
                    }
                    (day, class)
                }
            };
            touched.insert(day, ());
            let counts = self.counts.entry(day).or_default();
            *count_of(counts, &class) += 1;
            match class {
                Class::Duplicate => changes.duplicates += 1,
                Class::Quarantined(reason) => {
                    changes
                        .quarantined
                        .push((input.partition, input.offset, reason));
                }
                _ => {}
            }
        }
        for ((day, partition), (offset, identities)) in new {
            changes.changelog.push(Published {
                key: changelog::seen_key(day, partition, offset),
                value: Some(changelog::encode_seen(day, &identities)),
            });
        }
        accepted
    }

    /// Runs the SQL over the records and folds its groups; the state is changed only on success.
    async fn fold(&mut self, accepted: &[Accepted<'_>]) -> Result<Vec<Box<[u8]>>, EngineError> {
        let Some(last) = accepted.last() else {
            return Ok(Vec::new());
        };
        let mut batch = self.plan.new_batch();
        for record in accepted {
            push(&self.columns, &mut batch, record);
        }
        let mut folded: Vec<(Box<[u8]>, RowState)> = Vec::new();
        let mut overflow = false;
        let mut key = Vec::new();
        let rows = &self.rows;
        let run = self.plan.run(&mut batch, |group| {
            write_key(&mut key, group.key);
            let before = rows.get(key.as_slice());
            let values: Option<Vec<Folded>> = match before {
                None => Some(group.values.to_vec()),
                Some(row) => {
                    let pairs = row.values.iter().zip(group.values);
                    pairs.map(|(old, new)| old.checked_fold(new)).collect()
                }
            };
            let day = BusinessDay::from_epoch_days(group.day).unwrap_or(BusinessDay::EPOCH);
            match values {
                None => overflow = true,
                Some(values) => folded.push((
                    key.as_slice().into(),
                    RowState {
                        day,
                        sequence: before.map_or(0, |row| row.sequence) + group.rows,
                        partition: last.input.partition,
                        offset: last.input.offset,
                        values,
                    },
                )),
            }
        });
        let result = run.await;
        let result = if overflow && result.is_ok() {
            Err(SqlError {
                message: "a sum leaves DECIMAL(33,5)".to_owned(),
                place: None,
                source: None,
            })
        } else {
            result
        };
        result.map_err(|source| EngineError::Sql {
            name: self.options.name.clone(),
            source,
        })?;
        let keys = folded.iter().map(|(key, _)| key.clone()).collect();
        self.rows.extend(folded);
        Ok(keys)
    }

    async fn fold_one_by_one(
        &mut self,
        accepted: &[Accepted<'_>],
        changes: &mut Changes,
        touched: &mut BTreeMap<BusinessDay, ()>,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let mut updated = Vec::new();
        for record in accepted {
            match self.fold(std::slice::from_ref(record)).await {
                Ok(keys) => updated.extend(keys),
                Err(error) => {
                    touched.insert(record.day, ());
                    let counts = self.counts.entry(record.day).or_default();
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

    fn publish_rows(&self, updated: Vec<Box<[u8]>>, changes: &mut Changes) {
        for key in updated {
            let Some(row) = self.rows.get(&key) else {
                continue;
            };
            changes.changelog.push(Published {
                key: changelog::row_key(&key),
                value: Some(changelog::encode_row(row)),
            });
            changes.results.push(Published {
                value: Some(self.result_value(&key, row)),
                key: key.into_vec(),
            });
        }
    }

    /// Forgets days that are no longer kept. Results stay in their topic and in the store.
    fn evict(&mut self, changes: &mut Changes) {
        let first = self.classifier.first_kept_day();
        let Some(first_day) = first.filter(|_| first > self.first_kept) else {
            return;
        };
        self.first_kept = first;
        self.classifier.forget_before(first_day);
        let gone = self.rows.extract_if(|_, row| row.day < first_day);
        changes.changelog.extend(gone.map(|(key, _)| Published {
            key: changelog::row_key(&key),
            value: None,
        }));
    }
}

fn count_of<'a>(counts: &'a mut Counts, class: &Class) -> &'a mut u64 {
    match class {
        Class::Counted => &mut counts.counted,
        Class::Reversing => &mut counts.reversing,
        Class::Duplicate => &mut counts.duplicate,
        Class::LateCorrected => &mut counts.late_corrected,
        Class::Quarantined(_) => &mut counts.quarantined,
    }
}

fn push(columns: &[Source], batch: &mut InputBatch, record: &Accepted<'_>) {
    let parsed = &record.parsed;
    for (index, source) in columns.iter().enumerate() {
        match source {
            Source::Id => batch.push_text(index, Some(&parsed.id)),
            Source::Origin => batch.push_text(index, Some(&parsed.source)),
            Source::Account => batch.push_text(index, Some(&parsed.account)),
            Source::Currency => batch.push_text(index, Some(&parsed.currency)),
            Source::Reverses => batch.push_text(index, parsed.reverses.as_deref()),
            Source::Amount => batch.push_amount(index, parsed.amount),
            Source::BookedAt => batch.push_timestamp(index, parsed.booked_at),
            Source::ReceivedAt => {
                let received = parsed.received_at.unwrap_or(record.input.appended_at);
                batch.push_timestamp(index, received);
            }
            Source::BusinessDay => batch.push_date(index, record.day.epoch_days()),
            Source::Text(text) => {
                let value = parsed.texts.get(*text).and_then(Option::as_deref);
                batch.push_text(index, value);
            }
        }
    }
    batch.end_record();
}

#[cfg(test)]
mod tests;
