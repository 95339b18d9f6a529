//! The hops, and what became of the records of each day.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;

use super::{App, Failure, Shared, blocking, json, json_bytes};
use crate::{api, stored};

/// Longest age of counts that are handed out again: every open page asks once a second.
const COUNTS_AGE_MAX: Duration = Duration::from_millis(500);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/pipeline", get(pipeline))
        .route("/api/v1/{aggregation}/counts", get(counts))
}

async fn pipeline(State(app): Shared) -> Response {
    json(&app.sampler.latest())
}

async fn counts(State(app): Shared, Path(name): Path<String>) -> Result<Response, Failure> {
    app.hub(&name)?;
    let cache = || app.counts.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made, body)) = cache().get(&name)
        && made.elapsed() < COUNTS_AGE_MAX
    {
        return Ok(json_bytes(body.clone()));
    }
    let (store, aggregation) = (app.options.store.clone(), name.clone());
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
    let body = serde_json::to_vec(&api::CountsOfDays {
        days: days.collect(),
    });
    let body = Bytes::from(body.unwrap_or_default());
    cache().insert(name, (Instant::now(), body.clone()));
    Ok(json_bytes(body))
}
