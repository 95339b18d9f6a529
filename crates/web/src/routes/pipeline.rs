//! The hops, and what became of the records of each day.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;

use super::{App, Failure, Shared, blocking, json, json_bytes};
use crate::hub::Hub;
use crate::limit::Limit;
use crate::{api, figures, stored};

/// Longest age of counts that are handed out again: every open page asks once a second.
const COUNTS_AGE_MAX: Duration = Duration::from_millis(500);

/// The hop that knows late transactions.
const COUNTING_HOP: &str = "aggregator";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/pipeline", get(pipeline))
        .route("/api/v1/pipeline/{hop}", get(hop))
        .route("/api/v1/{aggregation}/counts", get(counts))
}

/// The hops of the way.
#[utoipa::path(get, path = "/api/v1/pipeline", tag = "pipeline", responses(
    (status = 200, description = "In path order.", body = api::Pipeline),
))]
pub(crate) async fn pipeline(State(app): Shared) -> Response {
    let mut pipeline = app.sampler.latest();
    // The counts are the store's, and this answer waits for no store: what was known last is said.
    let known = |hub: &Arc<Hub>| app.known_counts(hub.name());
    let known: Vec<Option<Counted>> = app.hubs.iter().map(known).collect();
    let late = known.iter().flatten().map(|counts| counts.late).sum();
    let fresh = |counts: &Option<Counted>| counts.as_ref().is_some_and(Counted::is_fresh);
    if !known.iter().all(fresh) && !app.counting.swap(true, Relaxed) {
        tokio::spawn(count_again(Arc::clone(&app)));
    }
    let mut hops = pipeline.hops.iter_mut();
    if let Some(hop) = hops.find(|hop| hop.name == COUNTING_HOP) {
        hop.late = late;
    }
    json(&pipeline)
}

async fn count_again(app: Arc<App>) {
    for hub in &app.hubs {
        // Without the store nothing is known of late ones; all else is.
        let _ = counts_of(&app, hub.name()).await;
    }
    app.counting.store(false, Relaxed);
}

/// All figures of a hop.
#[utoipa::path(get, path = "/api/v1/pipeline/{hop}", tag = "pipeline",
    params(("hop" = String, Path, description = "A hop, or log, store or postgres")),
    responses(
        (status = 200, description = "As in the metrics.", body = api::HopDetail),
        (status = 404, description = "There is no such hop.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn hop(State(app): Shared, Path(name): Path<String>) -> Result<Response, Failure> {
    let detail = figures::of_hop(app.sampler.telemetry(), &name);
    let missing = || Failure::NotFound(format!("there is no hop {name:?}"));
    detail.map(|detail| json(&detail)).ok_or_else(missing)
}

/// The counts of an aggregation's days, a moment old at most.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    made: Instant,
    late: u64,
    body: Bytes,
}

impl Counted {
    fn is_fresh(&self) -> bool {
        self.made.elapsed() < COUNTS_AGE_MAX
    }
}

impl App {
    fn known_counts(&self, aggregation: &str) -> Option<Counted> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(aggregation).cloned()
    }
}

/// What became of the records of each day.
#[utoipa::path(get, path = "/api/v1/{aggregation}/counts", tag = "pipeline",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
    ),
    responses(
        (status = 200, description = "Oldest day first.", body = api::CountsOfDays),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn counts(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
) -> Result<Response, Failure> {
    app.hub(&name, &limit)?;
    Ok(json_bytes(counts_of(&app, &name).await?.body))
}

async fn counts_of(app: &App, name: &str) -> Result<Counted, Failure> {
    if let Some(known) = app.known_counts(name).filter(Counted::is_fresh) {
        return Ok(known);
    }
    let (store, aggregation) = (app.options.store.clone(), name.to_owned());
    let days = blocking(move || stored::counts(&store, &aggregation)).await?;
    let days = days.into_iter().map(|(day, counts)| api::CountsOfDay {
        day: day.to_string(),
        counted: counts.counted,
        reversing: counts.reversing,
        duplicate: counts.duplicate,
        late_corrected: counts.late_corrected,
        quarantined: counts.quarantined,
        total: counts.total(),
    });
    let counts = api::CountsOfDays {
        days: days.collect(),
    };
    let counted = Counted {
        made: Instant::now(),
        late: counts.days.iter().map(|day| day.late_corrected).sum(),
        // Plain structs: serialising them cannot fail.
        body: serde_json::to_vec(&counts).unwrap_or_default().into(),
    };
    let mut known = app.counts.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(name.to_owned(), counted.clone());
    Ok(counted)
}
