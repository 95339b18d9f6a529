//! The aggregation where Apache Spark adds up.
//!
//! ```text
//! `transactions` ──▶ Engine ──▶ `__daybook_counted_…` ──▶ Spark ──▶ `__daybook_spark_…` ──▶ Totals ──▶ results topic
//!                    judges, computes keys       adds up          drops what is not newer,
//!                    and arguments                                computes HAVING and the SELECT list
//! ```
//!
//! # Invariants
//!
//! - **What counts is decided here**, once, by the same code as of the native engine: Spark has sums, counts, smallest and largest of
//!   columns alone, so that no expression can mean something else in its dialect, or fail there.
//! - **Spark may say a row again, or an older one.** A row's version is the number of its records; [`Totals`](crate::Totals) takes what
//!   is newer alone, and its offsets are committed with what it publishes.
//! - **A generation has a query of its own**, with its own topics and checkpoint.

use sql::{AggregationPlan, Contributions, FoldKind, InputBatch, Scalar, SqlError, ValueKind};
use types::Micros;

pub(crate) mod job;
pub(crate) mod notes;
pub(crate) mod row;
mod text;

/// How Spark is reached, and what it is told of its work.
#[derive(Debug, Clone)]
pub struct SparkOptions {
    /// Address of its Connect server: `sc://host:port`.
    pub remote: String,
    /// Further parameters of the connection. May be secret.
    pub parameters: Vec<(String, String)>,
    /// Directory of the checkpoints, as Spark's executors and driver see it: a path, or a URL of a file system that they share.
    pub checkpoints: String,
    /// Address of Kafka as Spark sees it; `None`: as this program does.
    pub kafka: Option<String>,
    /// Further options of Spark's Kafka source and sink (`kafka.security.protocol`, …). May be secret.
    pub kafka_options: Vec<(String, String)>,
    /// Further settings of the session.
    pub settings: Vec<(String, String)>,
    /// Least time from the beginning of one batch to that of the next, in milliseconds.
    pub trigger_ms: u64,
    /// Most records in one batch; `None`: all that are there.
    pub batch_records_max: Option<u64>,
    /// Parts that Spark divides its state into. A generation keeps the number that it began with.
    pub shuffle_partitions: u32,
    /// Days behind the newest after which Spark forgets a day, beside those that are kept.
    pub watermark_days: u16,
}

/// Where in the input a batch ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// The stream clock of the partition.
    pub(crate) clock: Micros,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) received_at: Micros,
}

/// A column of what Spark reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedColumn {
    /// Safe in SQL and JSON as it is.
    pub(crate) name: String,
    pub(crate) kind: ValueKind,
}

/// What Spark reads and adds up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Parts of the key, `business_day` first; they are text.
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<NamedColumn>,
    /// Each fold, and the place of its argument; `None` counts records.
    pub(crate) folds: Vec<(FoldKind, Option<usize>)>,
}

impl Shape {
    fn of(plan: &AggregationPlan, contributions: &Contributions) -> Self {
        // Names of the program's own begin with `_`.
        let is_safe = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_lowercase())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let mut keys = Vec::<String>::new();
        for (place, key) in plan.keys().iter().enumerate() {
            keys.push(match is_safe(key) && !keys.contains(key) {
                true => key.clone(),
                false => format!("_key{place}"),
            });
        }
        let mut arguments = Vec::<NamedColumn>::new();
        for (place, argument) in contributions.arguments().iter().enumerate() {
            let is_taken = keys.contains(&argument.name)
                || arguments.iter().any(|other| other.name == argument.name);
            arguments.push(NamedColumn {
                name: match is_safe(&argument.name) && !is_taken {
                    true => argument.name.clone(),
                    false => format!("_value{place}"),
                },
                kind: argument.kind,
            });
        }
        let folds = plan.folds().iter().copied();
        Self {
            keys,
            arguments,
            folds: folds
                .zip(contributions.of_folds().iter().copied())
                .collect(),
        }
    }

    /// The query: columns `key`, `value` and `headers`. `forget_days`: after how many days a day leaves Spark's state.
    pub(crate) fn query(&self, view: &str, forget_days: Option<u32>) -> String {
        text::query(self, view, forget_days)
    }
}

/// Computes what records bring to their rows, and writes it down for Spark.
#[derive(Debug)]
pub(crate) struct Counted {
    contributions: Contributions,
    pub(crate) shape: Shape,
    written: Vec<Vec<u8>>,
}

impl Counted {
    pub(crate) async fn plan(plan: &AggregationPlan) -> Result<Self, SqlError> {
        let contributions = plan.contributions().await?;
        Ok(Self {
            shape: Shape::of(plan, &contributions),
            contributions,
            written: Vec::new(),
        })
    }

    /// Adds the records of a batch; nothing when one of them fails.
    pub(crate) async fn add(
        &mut self,
        columns: &mut InputBatch,
        at: Position,
    ) -> Result<(), SqlError> {
        let (shape, written) = (&self.shape, &mut self.written);
        let run = self.contributions.run(columns, |contribution| {
            let mut json = String::with_capacity(200);
            json.push('{');
            for (name, part) in shape.keys.iter().zip(contribution.key) {
                // What is not there is null.
                if let Some(part) = part {
                    row::write_field(&mut json, name, &Scalar::Text((*part).into()));
                }
            }
            for (column, value) in shape.arguments.iter().zip(contribution.values) {
                if let Some(value) = value {
                    row::write_field(&mut json, &column.name, value);
                }
            }
            for (name, number) in [
                ("_clock", at.clock),
                ("_partition", i64::from(at.partition)),
                ("_offset", at.offset),
                ("_received_at", at.received_at),
            ] {
                row::write_field(&mut json, name, &Scalar::Int(number));
            }
            json.push('}');
            written.push(json.into_bytes());
        });
        run.await
    }

    /// What has been written since.
    pub(crate) fn take(&mut self) -> std::vec::Drain<'_, Vec<u8>> {
        self.written.drain(..)
    }
}

#[cfg(test)]
mod tests;
