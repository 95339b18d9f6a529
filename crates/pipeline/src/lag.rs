//! How far the aggregations and the sink are behind the log.
//!
//! With a client of its own: a question on a consumer's connection is answered only after that
//! consumer's waiting fetch, and would hold up the records.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aggregate::consumer_group;
use kafka_client::{ClientError, Cluster};
use store::{StoreError, StoreTarget};
use telemetry::Telemetry;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How often the log is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) cluster: Cluster,
    /// Names, and the topics that they count.
    pub(crate) aggregations: Vec<(String, String)>,
    pub(crate) store: StoreTarget,
    /// What the store said last, by aggregation: while it does not answer the lag grows from there.
    pub(crate) known: Arc<Mutex<HashMap<String, Progress>>>,
}

/// Partitions, and their next offsets.
type Progress = Vec<(i32, i64)>;

/// Writes the lags into the metrics, over and over.
pub(crate) async fn watch(watched: Watched, telemetry: Arc<Telemetry>, stop: CancellationToken) {
    while tokio::time::timeout(INTERVAL, stop.cancelled())
        .await
        .is_err()
    {
        let (watched, telemetry) = (watched.clone(), Arc::clone(&telemetry));
        let measured = tokio::task::spawn_blocking(move || measure(&watched, &telemetry)).await;
        if let Ok(Err(error)) = measured {
            debug!(error = types::report(&error), "the lag is not known");
        }
    }
}

fn measure(watched: &Watched, telemetry: &Telemetry) -> Result<(), ClientError> {
    let cluster = &watched.cluster;
    let (mut behind_input, mut behind_results) = (0, 0);
    for (aggregation, input) in &watched.aggregations {
        let consumer = cluster.consumer("daybook-lag", &consumer_group(aggregation), true)?;
        let ends = cluster.offsets(&consumer, input)?;
        let partitions = i32::try_from(ends.len()).unwrap_or(i32::MAX);
        let committed = cluster.committed(&consumer, input, partitions)?;
        for ((first, end), committed) in ends.iter().zip(committed) {
            behind_input += behind(*first, *end, committed);
        }
        let progress = watched.progress(aggregation);
        for (partition, (first, end)) in (0..).zip(cluster.offsets(&consumer, aggregation)?) {
            let next = progress
                .iter()
                .find(|(known, _)| *known == partition)
                .map(|(_, next)| *next);
            behind_results += behind(first, end, next);
        }
    }
    telemetry.hop("aggregator").set_lag(behind_input);
    telemetry.hop("sink").set_lag(behind_results);
    Ok(())
}

/// The last offset of a partition is its transaction's marker, which no reader gets.
fn behind(first: i64, end: i64, next: Option<i64>) -> i64 {
    (end - next.unwrap_or(first) - 1).max(0)
}

impl Watched {
    /// The store's progress, or the last that was known.
    fn progress(&self, aggregation: &str) -> Progress {
        let read = || -> Result<Progress, StoreError> {
            let store = self.store.open_read_only()?;
            store.map_or(Ok(Progress::new()), |store| store.progress(aggregation))
        };
        let progress = read();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Ok(progress) => drop(known.insert(aggregation.to_owned(), progress)),
            Err(error) => debug!(
                error = types::report(&error),
                "how far the sink is is not known"
            ),
        }
        known.get(aggregation).cloned().unwrap_or_default()
    }
}
