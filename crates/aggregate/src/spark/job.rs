//! What Spark is told to do.

use std::collections::BTreeMap;
use std::time::Duration;

use spark::{Job, Place};

use super::notes::QueryNote;
use super::{Shape, SparkOptions};

/// Topics and kept days of a query.
#[derive(Debug)]
pub(crate) struct Between<'a> {
    pub(crate) bootstrap_servers: &'a str,
    pub(crate) counted: &'a str,
    pub(crate) rows: &'a str,
    /// Kept days, and those that transactions may be ahead.
    pub(crate) keep_days: Option<u32>,
}

/// Where the query of a note is.
pub(crate) fn place(options: &SparkOptions, note: &QueryNote) -> Place {
    Place {
        remote: note.remote.clone(),
        parameters: options.parameters.clone(),
        session: note.session.clone(),
        name: note.name.clone(),
    }
}

pub(crate) fn job(
    options: &SparkOptions,
    note: &QueryNote,
    shape: &Shape,
    between: &Between<'_>,
) -> Job {
    let mut settings = BTreeMap::from(
        [
            // Days come as text: no zone but this one reads them as they are.
            ("spark.sql.session.timeZone", "UTC"),
            ("spark.sql.ansi.enabled", "true"),
            (
                "spark.sql.streaming.stateStore.providerClass",
                "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let shuffle = options.shuffle_partitions.to_string();
    settings.insert("spark.sql.shuffle.partitions".to_owned(), shuffle);
    settings.extend(options.settings.iter().cloned());
    let servers = options
        .kafka
        .as_deref()
        .unwrap_or(between.bootstrap_servers);
    let mut source: BTreeMap<String, String> = options.kafka_options.iter().cloned().collect();
    source.insert("kafka.bootstrap.servers".to_owned(), servers.to_owned());
    let mut sink = source.clone();
    sink.insert("topic".to_owned(), between.rows.to_owned());
    for (name, value) in [
        ("subscribe", between.counted),
        ("startingOffsets", "earliest"),
        // What was forgotten before it was read is an error, not silence.
        ("failOnDataLoss", "true"),
        ("kafka.isolation.level", "read_committed"),
    ] {
        source.insert(name.to_owned(), value.to_owned());
    }
    if let Some(most) = options.batch_records_max {
        source.insert("maxOffsetsPerTrigger".to_owned(), most.to_string());
    }
    let forget_days = between
        .keep_days
        .map(|days| days + u32::from(options.watermark_days));
    let view = format!("{}_records", note.name.replace('-', "_"));
    Job {
        place: place(options, note),
        settings,
        source,
        sql: shape.query(&view, forget_days),
        view,
        sink,
        // A log that was made anew has other sessions: an old checkpoint is never taken for its own.
        checkpoint: format!(
            "{}/{}-{}",
            options.checkpoints.trim_end_matches('/'),
            note.name,
            note.checkpoint
        ),
        trigger: Duration::from_millis(options.trigger_ms),
    }
}
