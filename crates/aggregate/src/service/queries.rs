//! Queries in Spark: who has the first partition of the input starts and watches the one of this generation, and ends older ones.
//!
//! # Invariants
//!
//! - **Whoever comes second finds the query.** Session and name are in the log before it is started.
//! - **A generation is complete when its rows are there.** The marker for the second stage is written behind what Spark wrote of all
//!   that the first stage had told it when it was done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafka_client::{ClientError, LogConsumer};
use spark::{Place, Query, Snapshot, Stage};
use telemetry::{Meter, Telemetry};
use tracing::{debug, info, warn};
use types::names;
use uuid::Uuid;

use super::Life;
use crate::changelog;
use crate::error::ServiceError;
use crate::spark::SparkOptions;
use crate::spark::job::{Between, job, place};
use crate::spark::notes::{Notes, QueryNote, query_key};

/// How often the query is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A day in microseconds.
const DAY_MICROS: i64 = 24 * 3_600_000_000;

/// Those that this process has to do with.
#[derive(Debug, Default)]
pub(super) struct Queries {
    /// Whether older ones were looked for.
    has_ended_older: bool,
    own: Option<Own>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Own {
    query: Query,
    note: QueryNote,
    reader: LogReader,
    phase: Phase,
}

/// Reads the notes, and where topics end.
struct LogReader(LogConsumer);

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogReader")
    }
}

/// How far a new generation is.
#[derive(Debug)]
enum Phase {
    /// The partitions still tell Spark what was there when it began.
    Counting,
    /// Spark has all of it when it has reached these offsets.
    Adding(BTreeMap<i32, i64>),
    /// All rows are published, or nobody waits for them.
    Complete,
}

/// What is known of the query, as metrics.
pub(super) struct SparkLevels([Arc<Meter>; 9]);

impl SparkLevels {
    pub(super) fn new(telemetry: &Telemetry, label: &str) -> Self {
        let names = [
            "aggregation_spark_running",
            "aggregation_spark_batch",
            "aggregation_spark_batch_ms",
            "aggregation_spark_records_in_per_second",
            "aggregation_spark_records_done_per_second",
            "aggregation_spark_state_rows",
            "aggregation_spark_rows_dropped",
            "aggregation_spark_failures",
            "aggregation_spark_silent_seconds",
        ];
        Self(names.map(|name| telemetry.meter(name, label)))
    }

    fn set(&self, snapshot: &Snapshot) {
        let level = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let progress = snapshot.progress.clone().unwrap_or_default();
        let levels = [
            i64::from(snapshot.stage == Stage::Running),
            progress.batch,
            level(progress.took_ms),
            level(progress.records_in_per_second),
            level(progress.records_done_per_second),
            level(progress.state_rows),
            level(snapshot.dropped_rows),
            level(snapshot.failures),
            snapshot
                .heard
                .map_or(0, |heard| level(heard.elapsed().as_secs())),
        ];
        let meters = self.0.iter().zip(levels);
        meters.for_each(|(meter, level)| meter.set(level));
    }
}

impl Queries {
    /// Ends the own query in Spark: this process goes in good order. Another one starts it again from its checkpoint.
    pub(super) fn stop(&mut self) {
        if let Some(own) = self.own.take() {
            own.query.stop();
        }
    }
}

impl Life<'_> {
    /// Does what is due about queries.
    pub(super) fn look_at_queries(&mut self) -> Result<(), ServiceError> {
        let options = &self.runner.options;
        let Some(spark) = options.spark.clone() else {
            return Ok(());
        };
        let now = Instant::now();
        if self.queries.looked.is_some_and(|at| now - at < LOOK) {
            return Ok(());
        }
        self.queries.looked = Some(now);
        if !self.own.contains(&(options.input.topic.clone(), 0)) {
            if self.queries.own.take().is_some() {
                info!(
                    name = options.name,
                    "another process watches the query in Spark from here on"
                );
            }
            return Ok(());
        }
        let is_new = self.engine.counted().is_some() && self.queries.own.is_none();
        if is_new || !self.queries.has_ended_older {
            self.begin_queries(&spark)?;
        }
        let Some(own) = &mut self.queries.own else {
            return Ok(());
        };
        let snapshot = own.query.snapshot();
        if let Some(levels) = &self.runner.spark {
            levels.set(&snapshot);
        }
        if snapshot
            .error
            .as_ref()
            .is_some_and(spark::SparkError::is_session_lost)
        {
            // The checkpoint stays: the query goes on where it was.
            let note = QueryNote {
                session: Uuid::new_v4().to_string(),
                ..own.note.clone()
            };
            warn!(
                name = self.runner.options.name,
                "Spark has closed the query's session; it is started in a new one"
            );
            let reader = self.queries.own.take().map(|own| own.reader);
            return match reader {
                Some(reader) => self.start_query(&spark, note, reader),
                None => Ok(()),
            };
        }
        self.complete(&snapshot)
    }

    fn begin_queries(&mut self, spark: &SparkOptions) -> Result<(), ServiceError> {
        let (cluster, options) = (&self.runner.cluster, &self.runner.options);
        let generation = self.engine.generation();
        let reader = cluster.reader("daybook-control")?;
        let mut notes = Notes::read(cluster, &reader, &options.name)?;
        let current = notes.queries.remove(&generation);
        if !std::mem::replace(&mut self.queries.has_ended_older, true) && spark::IS_BUILT {
            notes.queries.retain(|of, _| *of < generation);
            // The newest first: the others have most likely been ended before.
            let older = notes.queries.values().rev();
            end_older(older.map(|note| place(spark, note)).collect());
        }
        if self.engine.counted().is_none() {
            return Ok(());
        }
        let mut note = current.unwrap_or_else(|| QueryNote {
            remote: spark.remote.clone(),
            session: Uuid::new_v4().to_string(),
            name: format!("daybook-{}-{generation}", options.name),
            checkpoint: Uuid::new_v4().to_string(),
        });
        note.remote.clone_from(&spark.remote);
        self.start_query(spark, note, LogReader(reader))
    }

    /// Writes down where the query will be, then starts it.
    fn start_query(
        &mut self,
        spark: &SparkOptions,
        note: QueryNote,
        reader: LogReader,
    ) -> Result<(), ServiceError> {
        let (cluster, options) = (&self.runner.cluster, &self.runner.options);
        let Some(counted) = self.engine.counted() else {
            return Ok(());
        };
        let generation = self.engine.generation();
        let key = query_key(&options.name, generation);
        // Text alone: that cannot fail.
        let value = serde_json::to_vec(&note).unwrap_or_default();
        let wrap = |source| -> ClientError { cluster.error("note the query in Spark", source) };
        self.producer.begin().map_err(wrap)?;
        let sent = self
            .producer
            .send(names::TOPIC_CONTROL, key.as_bytes(), Some(&value), None);
        sent.map_err(wrap)?;
        self.producer.commit().map_err(wrap)?;
        let ahead_days = options.ahead_max_micros() / DAY_MICROS + 1;
        let between = Between {
            bootstrap_servers: &cluster.bootstrap_servers,
            counted: &self.topics.counted,
            rows: &self.topics.parts,
            keep_days: options
                .keep_days
                .map(|days| u32::from(days) + u32::try_from(ahead_days).unwrap_or(u32::MAX)),
        };
        let job = job(spark, &note, &counted.shape, &between);
        info!(
            name = options.name,
            query = job.place.name,
            remote = job.place.remote,
            "Spark adds up"
        );
        debug!(sql = job.sql, "what Spark is told");
        let query = Query::start(job).map_err(|source| ServiceError::Spark {
            name: options.name.clone(),
            source,
        })?;
        self.queries.own = Some(Own {
            query,
            note,
            reader,
            phase: match generation {
                1 => Phase::Complete,
                _ => Phase::Counting,
            },
        });
        Ok(())
    }

    /// Tells the second stage when everything of a new generation is there.
    fn complete(&mut self, snapshot: &Snapshot) -> Result<(), ServiceError> {
        let (cluster, name) = (&self.runner.cluster, &self.runner.options.name);
        let generation = self.engine.generation();
        let Some(own) = &mut self.queries.own else {
            return Ok(());
        };
        if matches!(own.phase, Phase::Counting) {
            let notes = Notes::read(cluster, &own.reader.0, name)?;
            let told = |partition| notes.counted.contains(&(generation, partition));
            if !(0..self.partitions).all(told) {
                return Ok(());
            }
            let mut ends = BTreeMap::new();
            for partition in 0..self.partitions {
                let (_, end) = cluster.bounds(&own.reader.0, &self.topics.counted, partition)?;
                ends.insert(partition, end);
            }
            own.phase = Phase::Adding(ends);
        }
        let Phase::Adding(ends) = &own.phase else {
            return Ok(());
        };
        let progress = snapshot.progress.as_ref();
        let is_empty = ends.values().all(|end| *end == 0);
        if !is_empty && !progress.is_some_and(|progress| progress.has_reached(ends)) {
            return Ok(());
        }
        let wrap = |source| -> ClientError { cluster.error("end a generation", source) };
        self.producer.begin().map_err(wrap)?;
        for writer in 0..self.partitions {
            let value = changelog::encode_complete(writer, self.partitions);
            for to in 0..self.partitions {
                let sent = self
                    .producer
                    .send_to(&self.topics.parts, to, b"", Some(&value));
                sent.map_err(wrap)?;
            }
        }
        self.producer.commit().map_err(wrap)?;
        info!(
            name,
            generation, "Spark has added up everything that was there"
        );
        own.phase = Phase::Complete;
        Ok(())
    }
}

/// Ends queries of older generations, on a thread: nobody waits for it. They harm nobody, but take what they run on.
fn end_older(older: Vec<Place>) {
    if older.is_empty() {
        return;
    }
    let thread = thread::Builder::new().name("spark-end".to_owned());
    let started = thread.spawn(move || {
        for place in &older {
            let query = &place.name;
            match Query::end(place) {
                Ok(true) => info!(query, "ended a query of an older definition in Spark"),
                Ok(false) => {}
                Err(error) => {
                    warn!(query, %error, "a query of an older definition may still run in Spark");
                }
            }
        }
    });
    if let Err(error) = started {
        warn!(%error, "queries of older definitions may still run in Spark");
    }
}
