//! Single transactions, and what was refused. Somebody else answers: see [`Backstage`].

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use tracing::warn;
use types::BusinessDay;

use super::{App, Failure, Parameters, json, must_see};
use crate::access::{Identity, Role};
use crate::api;
use crate::backstage::{
    Backstage, BackstageError, Done, Quarantine, QuarantineAsked, Quarantined, Transactions,
};
use crate::limit::Limit;
use crate::select::one;

/// Longest word list, in bytes.
const WORDS_BYTES_MAX: usize = 1_024;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/{aggregation}/transactions", get(transactions))
        .route("/api/v1/trace", get(trace))
        .route("/api/v1/quarantine", get(quarantine))
        .route("/api/v1/quarantine/{id}", get(quarantined))
        .route("/api/v1/quarantine/{id}/replay", post(replay))
        .route("/api/v1/quarantine/{id}/discard", post(discard))
}

impl From<BackstageError> for Failure {
    fn from(error: BackstageError) -> Self {
        let text = error.to_string();
        match error {
            BackstageError::NotFound(_) => Self::NotFound(text),
            BackstageError::Refused(_) => Self::BadQuery(text),
            BackstageError::Busy(_) => Self::TooMany(text),
            BackstageError::Unavailable(_) => Self::Elsewhere(text),
        }
    }
}

fn backstage(app: &App) -> Result<&dyn Backstage, Failure> {
    let found = app.options.backstage.as_deref();
    found.ok_or_else(|| Failure::NotFound("this server shows totals alone".to_owned()))
}

/// Operators only.
fn operator(who: Option<Extension<Identity>>) -> Result<String, Failure> {
    match who {
        Some(Extension(identity)) if identity.role == Role::Operator => Ok(identity
            .name
            .unwrap_or_else(|| "anybody on this machine".to_owned())),
        who => {
            let name = who.and_then(|Extension(identity)| identity.name);
            warn!(target: "audit", who = name, "refused: no operator");
            Err(Failure::Forbidden("only operators may do this"))
        }
    }
}

/// The newest transactions of a row.
#[utoipa::path(get, path = "/api/v1/{aggregation}/transactions", tag = "records",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("key" = String, Query, description = "The row's key, a JSON array"),
        ("before" = Option<String>, Query, description = "Where to look on: `before` of the last answer"),
    ),
    responses(
        (status = 200, description = "Newest first. The log is looked through backwards, 50 found or half a million records at a time.", body = Transactions),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 429, description = "The log is being looked through for others.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log does not answer.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn transactions(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let hub = app.hub(&name, &limit)?;
    let day = match one(&pairs, "day") {
        None => hub.view().today(),
        Some(text) => text
            .parse::<BusinessDay>()
            .map_err(|error| Failure::BadQuery(types::report(&error)))?,
    };
    let key = one(&pairs, "key").ok_or_else(|| Failure::BadQuery("key is missing".to_owned()))?;
    must_see(hub, key, &limit)?;
    let before = one(&pairs, "before");
    let found = backstage(&app)?
        .transactions(&name, day, key, before)
        .await?;
    Ok(json(&found))
}

/// The way of a transaction: what `daybook trace --json` says.
#[utoipa::path(get, path = "/api/v1/trace", tag = "records",
    params(("id" = String, Query, description = "Its id"),
        ("source" = Option<String>, Query, description = "Its source; every one if not given"),
    ),
    responses(
        (status = 200, description = "One for each record that carries it. The log is counted again for it.", body = Vec<serde_json::Value>),
        (status = 400, description = "A parameter is missing, or the log is too long for a page.", body = api::Problem, content_type = "application/problem+json"),
        (status = 429, description = "The log is being looked through for others.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log does not answer.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn trace(
    State(app): State<Arc<App>>,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let id = one(&pairs, "id").ok_or_else(|| Failure::BadQuery("id is missing".to_owned()))?;
    let found = backstage(&app)?.trace(id, one(&pairs, "source")).await?;
    Ok(json(&found))
}

/// What was refused and waits.
#[utoipa::path(get, path = "/api/v1/quarantine", tag = "records",
    params(("q" = Option<String>, Query, description = "Words that it has"),
        ("source" = Option<String>, Query, description = "From this source"),
        ("reason" = Option<String>, Query, description = "Refused for this reason"),
        ("before" = Option<String>, Query, description = "Where to look on: `before` of the last answer"),
    ),
    responses(
        (status = 200, description = "Newest first, 100 at a time.", body = Quarantine),
        (status = 503, description = "The log or the queue manager does not answer.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn quarantine(
    State(app): State<Arc<App>>,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let words = one(&pairs, "q").unwrap_or_default();
    if words.len() > WORDS_BYTES_MAX {
        return Err(Failure::BadQuery("q has more than 1,024 bytes".to_owned()));
    }
    let text = |name| {
        one(&pairs, name)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let asked = QuarantineAsked {
        words: words.split_whitespace().map(str::to_owned).collect(),
        source: text("source"),
        reason: text("reason"),
        before: text("before"),
    };
    Ok(json(&backstage(&app)?.quarantine(&asked).await?))
}

/// One refused record, whole, and what operators did to it.
#[utoipa::path(get, path = "/api/v1/quarantine/{id}", tag = "records",
    params(("id" = String, Path, description = "As it is listed")),
    responses(
        (status = 200, description = "With what was sent.", body = Quarantined),
        (status = 404, description = "It is not there any more.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn quarantined(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    Ok(json(&backstage(&app)?.quarantined(&id).await?))
}

/// Sends it through the gateway again.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/replay", tag = "records",
    params(("id" = String, Path, description = "As it is listed")),
    responses(
        (status = 200, description = "What came of it. Done twice it is a duplicate.", body = Done),
        (status = 403, description = "Only operators may.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "It is not there any more.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn replay(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    who: Option<Extension<Identity>>,
) -> Result<Response, Failure> {
    let who = operator(who)?;
    Ok(json(&backstage(&app)?.replay(&id, &who).await?))
}

/// Takes it out of the quarantine for good.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/discard", tag = "records",
    params(("id" = String, Path, description = "As it is listed")),
    responses(
        (status = 200, description = "It is gone.", body = Done),
        (status = 403, description = "Only operators may.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "It is not there any more.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn discard(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    who: Option<Extension<Identity>>,
) -> Result<Response, Failure> {
    let who = operator(who)?;
    Ok(json(&backstage(&app)?.discard(&id, &who).await?))
}
