//! What rows and days were: curves, movers, sparklines, and all about one row.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use types::BusinessDay;

use super::{App, Failure, Parameters, Shared, blocking, json, must_see, sees, served};
use crate::api;
use crate::cell::Schema;
use crate::hub::Hub;
use crate::limit::Limit;
use crate::order::Looked;
use crate::row::Change;
use crate::select::{keys, number, one};
use crate::series::{Minute, Series, millis_of};
use crate::stored;
use crate::view::View;

/// Most rows that changed.
pub(crate) const MOVERS_MAX: usize = 100;
const MOVERS_DEFAULT: usize = 10;
/// Times over which changes are asked for, in minutes.
const MOVER_MINUTES: [Minute; 3] = [1, 5, 15];
/// Most rows whose courses are asked for at a time.
pub(crate) const SPARKS_MAX: usize = 100;
/// Most rows of another aggregation.
const OTHERS_MAX: usize = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/{aggregation}/curve", get(curve))
        .route("/api/v1/{aggregation}/movers", get(movers))
        .route("/api/v1/{aggregation}/sparks", get(sparks))
        .route("/api/v1/{aggregation}/key", get(key))
}

/// What a day came to, minute by minute.
#[utoipa::path(get, path = "/api/v1/{aggregation}/curve", tag = "history",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
    ),
    responses(
        (status = 200, description = "The curve, the same on all replicas.", body = api::Curve),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn curve(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs, &limit)?;
    Ok(json(&hub.curve(day)))
}

/// Rows that changed most.
#[utoipa::path(get, path = "/api/v1/{aggregation}/movers", tag = "history",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("minutes" = Option<u32>, Query, description = "Over 1, 5 or 15 minutes; 1 if not given"),
        ("count" = Option<u32>, Query, description = "Rows, 10 if not given, 100 at most"),
    ),
    responses(
        (status = 200, description = "Largest change first.", body = api::Movers),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn movers(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs, &limit)?;
    let count = number(&pairs, "count", (1, MOVERS_DEFAULT, MOVERS_MAX))?;
    let minutes = match one(&pairs, "minutes") {
        None => MOVER_MINUTES[0],
        Some(text) => text
            .parse()
            .ok()
            .filter(|minutes| MOVER_MINUTES.contains(minutes))
            .ok_or_else(|| Failure::BadQuery("minutes must be 1, 5 or 15".to_owned()))?,
    };
    let look = Arc::clone(&hub);
    // Every row is looked at: not on a thread for sockets.
    let moved = tokio::task::spawn_blocking(move || look.movers(day, minutes, count)).await;
    let moved = moved.map_err(|error| Failure::Store(error.to_string()))?;
    let view = hub.view();
    let rows = moved.iter().filter_map(|mover| {
        let text = |units| number_text(&view, day, &mover.key, units);
        Some(api::Mover {
            key: serde_json::from_str(&mover.key).ok()?,
            now: text(mover.now),
            before: mover.before.and_then(text),
            change: text(mover.change)?,
        })
    });
    let rows = rows.collect();
    drop(view);
    Ok(json(&api::Movers {
        minutes,
        column: column(&hub),
        since: since(&hub),
        rows,
    }))
}

/// The name of the column that history is about.
fn column(hub: &Hub) -> String {
    let schema = Schema::of(&hub.spec);
    let place = schema.main_sum();
    let name = place.map(|place| schema.columns[place].0.clone());
    name.unwrap_or_default()
}

fn since(hub: &Hub) -> Option<i64> {
    hub.history(|history| history.since()).map(millis_of)
}

/// With the digits of the row's currency.
fn number_text(view: &View, day: BusinessDay, key: &str, units: i128) -> Option<String> {
    let schema = view.schema();
    let row = view.row(key, day);
    let group = row.zip(schema.group);
    let group = group.and_then(|(row, place)| row.cells.text(place));
    schema.text(schema.main_sum()?, units, group)
}

fn points(view: &View, day: BusinessDay, key: &str, series: &Series) -> Vec<api::SeriesPoint> {
    let text = |(minute, units)| {
        Some(api::SeriesPoint(
            millis_of(minute),
            number_text(view, day, key, units)?,
        ))
    };
    series.points().filter_map(text).collect()
}

fn points_of(hub: &Hub, day: BusinessDay, key: &str) -> Option<Vec<api::SeriesPoint>> {
    let series = hub.history(|history| history.series(day, key).cloned())?;
    Some(points(&hub.view(), day, key, &series))
}

/// How rows went, in few points.
#[utoipa::path(get, path = "/api/v1/{aggregation}/sparks", tag = "history",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("key" = Vec<String>, Query, description = "Keys of rows: JSON arrays; up to 100 times"),
    ),
    responses(
        (status = 200, description = "As far as this server remembers.", body = api::Sparks),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn sparks(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs, &limit)?;
    let mut keys = keys(&pairs, "key", SPARKS_MAX)?;
    keys.retain(|key| sees(&hub, key, &limit));
    let sparks = keys.iter().filter_map(|key| {
        Some(api::Spark {
            points: points_of(&hub, day, key)?,
            key: serde_json::from_str(key).ok()?,
        })
    });
    Ok(json(&api::Sparks {
        column: column(&hub),
        since: since(&hub),
        sparks: sparks.collect(),
    }))
}

/// All about one row.
#[utoipa::path(get, path = "/api/v1/{aggregation}/key", tag = "history",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("key" = String, Query, description = "Key of the row: a JSON array"),
    ),
    responses(
        (status = 200, description = "The row, what it was, and its like.", body = api::KeyDetail),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn key(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs, &limit)?;
    let asked = keys(&pairs, "key", 1)?.pop();
    let asked = asked.ok_or_else(|| Failure::BadQuery("key is missing".to_owned()))?;
    must_see(&hub, &asked, &limit)?;
    // It has just been read as that.
    let parts: Vec<Option<String>> = serde_json::from_str(&asked).unwrap_or_default();
    let previous_day = hub.spec.calendar.previous(day).unwrap_or(day);
    let row = row_of(&app, &hub, day, &asked).await?;
    let mut before = parts.clone();
    if let Some(first) = before.first_mut() {
        *first = Some(previous_day.to_string());
    }
    let before = serde_json::to_string(&before).unwrap_or_default();
    let previous = row_of(&app, &hub, previous_day, &before).await?;
    let (others, own, shared) = (app.hubs.clone(), Arc::clone(&hub), parts.clone());
    let others = tokio::task::spawn_blocking(move || {
        let others = others
            .iter()
            .filter(|other| other.name() != own.name() && limit.shows(&other.spec.keys));
        let rows = others.filter_map(|other| other_rows(other, &own, (day, &shared), &limit));
        rows.collect::<Vec<_>>()
    });
    let others = others
        .await
        .map_err(|error| Failure::Store(error.to_string()))?;
    Ok(json(&api::KeyDetail {
        row,
        previous_day: previous_day.to_string(),
        previous,
        column: column(&hub),
        since: since(&hub),
        points: points_of(&hub, day, &asked).unwrap_or_default(),
        others,
        key: parts,
    }))
}

/// A row in view, or the store's.
async fn row_of(
    app: &App,
    hub: &Arc<Hub>,
    day: BusinessDay,
    key: &str,
) -> Result<Option<api::Row>, Failure> {
    // What was made here is JSON.
    let read = |json: &str| serde_json::from_str(json).ok();
    if hub.view().holds(day) {
        return Ok(hub.look(|view| read(&view.row(key, day)?.json)));
    }
    let (store, table, key) = (
        app.options.store.clone(),
        hub.spec.table.clone(),
        key.to_owned(),
    );
    let found = blocking(move || stored::find(&store, &table, day, &key)).await?;
    let found = found.filter(|change: &Change| !change.deleted);
    Ok(found.and_then(|change| read(&change.json)))
}

/// Rows of another aggregation that have the same values in the key columns of both; `None`: they have none in
/// common but the day, or the other one has nothing to show.
fn other_rows(
    other: &Hub,
    own: &Hub,
    (day, parts): (BusinessDay, &[Option<String>]),
    limit: &Limit,
) -> Option<api::OtherRows> {
    let wanted = other.spec.keys.iter().enumerate().filter_map(|(at, name)| {
        let ours = own.spec.keys.iter().position(|known| known == name)?;
        Some((at, parts.get(ours)?))
    });
    let wanted: Vec<(usize, &Option<String>)> = wanted.collect();
    let shares_more = wanted.iter().any(|(at, _)| *at > 0);
    if !shares_more || !other.serves() {
        return None;
    }
    let view = other.view();
    let same = |key: &str| {
        let key: Vec<Option<String>> = serde_json::from_str(key).unwrap_or_default();
        let same = wanted.iter().all(|(at, part)| key.get(*at) == Some(*part));
        same && limit.takes(&other.spec.keys, &key)
    };
    let found = view.present(day).filter(|(key, _)| same(key));
    let mut found: Vec<_> = found.collect();
    found.sort_unstable_by_key(|(key, _)| Arc::clone(key));
    let rows = found.iter().take(OTHERS_MAX);
    let rows = rows.filter_map(|(_, row)| serde_json::from_str(&row.json).ok());
    Some(api::OtherRows {
        aggregation: other.name().to_owned(),
        rows: rows.collect(),
    })
}
