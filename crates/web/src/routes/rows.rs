//! Rows: all of them, a window on them, their stream, and as files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use types::BusinessDay;

use super::guard::{Client, PART_ONLY};
use super::{App, Failure, Parameters, Shared, json_bytes, must_serve, sees, served, table};
use crate::api;
use crate::export::{self, Format};
use crate::hub::Hub;
use crate::limit::Limit;
use crate::order::Looked;
use crate::position::Position;
use crate::select::{self, Asked, Pairs, Select, Sort, number, one};
use crate::stream::{self, Rows, StreamRequest};
use crate::table::Table;
use crate::window::{position_of, window_once};

/// Frames a second that a client may ask for, and gets if it does not.
const HZ_MAX: usize = 100;
const HZ_DEFAULT: usize = 10;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/{aggregation}/snapshot", get(snapshot))
        .route("/api/v1/{aggregation}/window", get(window))
        .route("/api/v1/{aggregation}/stream", get(follow))
        .route("/api/v1/{aggregation}/export.csv", get(export_csv))
        .route("/api/v1/{aggregation}/export.ndjson", get(export_ndjson))
}

/// All rows of a day.
#[utoipa::path(get, path = "/api/v1/{aggregation}/snapshot", tag = "rows",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
    ),
    responses(
        (status = 200, description = "The rows, and where a stream goes on from there.", body = api::Snapshot),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn snapshot(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs, &limit)?;
    must_see_all(&limit)?;
    let rows = table(&app, &hub, day).await?;
    // A hundred thousand rows take tens of milliseconds to encode: not on a thread for sockets.
    let encode = move || match rows {
        Table::Live(hub) => hub.snapshot(day),
        Table::Stored(_) => Some(rows.look(|view| hub.stored_snapshot(day, view.rows(day)))),
    };
    match tokio::task::spawn_blocking(encode).await.ok().flatten() {
        Some(body) => Ok(json_bytes(body)),
        // The day left the view this very moment.
        None => Err(Failure::NotReady {
            detail: "a new day has begun; ask again".to_owned(),
        }),
    }
}

/// A stretch of the day's rows in order, and what the selected rows add up to.
#[utoipa::path(get, path = "/api/v1/{aggregation}/window", tag = "rows",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("q" = Option<String>, Query, description = "Words that must all be found in the row's texts, in any case"),
        ("where" = Option<Vec<String>>, Query, description = "column:value, exactly; up to 8 times"),
        ("sort" = Option<String>, Query, description = "A column; -column: descending. If not given: the first decimal sum, descending"),
        ("from" = Option<u64>, Query, description = "Place of the first row, from 0"),
        ("count" = Option<u64>, Query, description = "Rows, 50 if not given, 500 at most"),
        ("pin" = Option<Vec<String>>, Query, description = "Keys of rows that are given wherever they stand: JSON arrays; up to 50 times"),
    ),
    responses(
        (status = 200, description = "The window.", body = api::Window),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn window(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    let (hub, day) = served(&app, &name, &pairs, &limit)?;
    let asked = asked(&hub, &pairs, &limit)?;
    let rows = table(&app, &hub, day).await?;
    Ok(json_bytes(
        window_text(&hub, &rows, day, &asked).await.into(),
    ))
}

/// What is asked for, as far as he may see it.
fn asked(hub: &Hub, pairs: &Pairs, limit: &Limit) -> Result<Asked, Failure> {
    let mut asked = Asked::read(hub.view().schema(), pairs, limit)?;
    // Pinned rows are given wherever they stand, so they are in no order that leaves them out.
    asked.pins.retain(|pin| sees(hub, pin, limit));
    Ok(asked)
}

fn must_see_all(limit: &Limit) -> Result<(), Failure> {
    match limit.is_limited() {
        true => Err(Failure::Forbidden(PART_ONLY)),
        false => Ok(()),
    }
}

async fn window_text(hub: &Arc<Hub>, rows: &Table, day: BusinessDay, asked: &Asked) -> String {
    let order = rows.orders().get(day, &asked.select, rows).await;
    let now = (hub.clock)();
    let live = rows.is_live();
    // The store has no position; who goes on from here goes on where this server is.
    let position = (!live).then(|| position_of(&hub.view(), day));
    rows.look(|view| {
        let position = position.unwrap_or_else(|| position_of(view, day));
        let both = (view, &*order);
        window_once(hub.name(), both, (day, live), &position, now, asked)
    })
}

/// What changes, as Server-Sent Events.
#[utoipa::path(get, path = "/api/v1/{aggregation}/stream", tag = "rows",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("q" = Option<String>, Query, description = "Words that must all be found in the row's texts, in any case"),
        ("where" = Option<Vec<String>>, Query, description = "column:value, exactly; up to 8 times"),
        ("sort" = Option<String>, Query, description = "A column; -column: descending. If not given: the first decimal sum, descending"),
        ("count" = Option<u64>, Query, description = "Rows, 50 if not given, 500 at most"),
        ("pin" = Option<Vec<String>>, Query, description = "Keys of rows that are given wherever they stand: JSON arrays; up to 50 times"),
        ("hz" = Option<u32>, Query, description = "Frames a second at most: 10 if not given, 1 to 100. More than 10 only while the aggregation has few streams: they share 1,000"),
        ("rows" = Option<String>, Query, description = "window, or all: the whole table, without q, where, sort, count and pin"),
        ("from" = Option<String>, Query, description = "Place of the first row, from 0. With rows=all: the position to go on from; the header Last-Event-ID says it too"),
    ),
    responses(
        (status = 200, description = "Events `window` (Window), without a name (Frame), `summary` (Summary), `heartbeat` (Heartbeat, at least every 5 s), `day` (DayChange) and `reset` (Reset); see docs/specs/page.md.", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 429, description = "This client has too many streams, or asks too often.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn follow(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    client: Option<Extension<Client>>,
    Query(pairs): Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hub = Arc::clone(app.hub(&name, &limit)?);
    let asked_day = select::day(&pairs)?;
    let day = asked_day.unwrap_or_else(|| hub.view().today());
    let hz = number(&pairs, "hz", (1, HZ_DEFAULT, HZ_MAX))?;
    let rows = match one(&pairs, "rows") {
        None | Some("window") => {
            let asked = asked(&hub, &pairs, &limit)?;
            match asked_day.filter(|day| !hub.view().holds(*day)) {
                None => Rows::Window(asked),
                Some(day) => stored_window(&app, &hub, day, &asked).await?,
            }
        }
        Some("all") => {
            must_see_all(&limit)?;
            Rows::All(position(&pairs, &headers)?)
        }
        Some(_) => {
            let detail = "rows must be window or all".to_owned();
            return Err(Failure::BadQuery(detail));
        }
    };
    let client = client.as_ref().map(|Extension(Client(name))| name.as_str());
    let permit = app.rates.stream(client, Instant::now());
    let permit = permit.ok_or_else(|| {
        Failure::TooMany("you have as many streams open as one client may".to_owned())
    })?;
    let request = StreamRequest {
        follows: asked_day.is_none(),
        day,
        rows,
        interval: Duration::from_secs(1) / u32::try_from(hz).unwrap_or(1),
        heartbeat: app.options.heartbeat,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = stream::body(hub, request, permit, app.stop.clone());
    Ok((headers, body).into_response())
}

async fn stored_window(
    app: &App,
    hub: &Arc<Hub>,
    day: BusinessDay,
    asked: &Asked,
) -> Result<Rows, Failure> {
    must_serve(hub)?;
    let rows = table(app, hub, day).await?;
    let window = window_text(hub, &rows, day, asked).await;
    Ok(Rows::Stored(format!("event: window\ndata: {window}\n\n")))
}

/// Where the client stands: what the browser saw last is newer than what the page knew when it opened the stream.
fn position(pairs: &Pairs, headers: &HeaderMap) -> Result<Option<Position>, Failure> {
    let last = headers.get("last-event-id");
    let last = last
        .and_then(|last| last.to_str().ok())
        .filter(|last| !last.is_empty());
    let Some(text) = last.or_else(|| one(pairs, "from")) else {
        return Ok(None);
    };
    let position = Position::parse(text);
    let wrong = || Failure::BadQuery("from is no position: take one from a snapshot".to_owned());
    position.map(Some).ok_or_else(wrong)
}

/// The selected rows as CSV (RFC 4180).
#[utoipa::path(get, path = "/api/v1/{aggregation}/export.csv", tag = "rows",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("q" = Option<String>, Query, description = "Words that must all be found in the row's texts, in any case"),
        ("where" = Option<Vec<String>>, Query, description = "column:value, exactly; up to 8 times"),
        ("sort" = Option<String>, Query, description = "A column; -column: descending. If not given: by key"),
    ),
    responses(
        (status = 200, description = "A header line and a line a row, as they were at one moment.", body = String, content_type = "text/csv"),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn export_csv(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    export(&app, &name, (&pairs, &limit), Format::Csv).await
}

/// The selected rows, a JSON object a line.
#[utoipa::path(get, path = "/api/v1/{aggregation}/export.ndjson", tag = "rows",
    params(("aggregation" = String, Path, description = "Name of the aggregation"),
        ("day" = Option<String>, Query, description = "A business day, 2026-11-23; today if not given"),
        ("q" = Option<String>, Query, description = "Words that must all be found in the row's texts, in any case"),
        ("where" = Option<Vec<String>>, Query, description = "column:value, exactly; up to 8 times"),
        ("sort" = Option<String>, Query, description = "A column; -column: descending. If not given: by key"),
    ),
    responses(
        (status = 200, description = "A line a row, as they were at one moment.", body = String, content_type = "application/x-ndjson"),
        (status = 400, description = "A parameter is not understood.", body = api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such aggregation.", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not ready yet, or the store cannot be read.", body = api::Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn export_ndjson(
    State(app): Shared,
    Path(name): Path<String>,
    limit: Limit,
    Query(pairs): Parameters,
) -> Result<Response, Failure> {
    export(&app, &name, (&pairs, &limit), Format::Ndjson).await
}

/// The selected rows as they are at one moment; by their keys unless asked otherwise, so that two exports compare.
async fn export(
    app: &App,
    name: &str,
    (pairs, limit): (&Pairs, &Limit),
    format: Format,
) -> Result<Response, Failure> {
    let (hub, day) = served(app, name, pairs, limit)?;
    let mut select = hub.look(|view| Select::read(view.schema(), pairs, limit))?;
    if one(pairs, "sort").is_none() {
        select.sort = Sort::Key;
    }
    let rows = table(app, &hub, day).await?;
    let order = rows.orders().get(day, &select, &rows).await;
    // Only counted up, not copied: the view waits for no encoding, and what is sent is of one moment.
    let taken: Vec<Arc<str>> = rows.look(|view| {
        let rows = order.keys.iter().filter_map(|key| view.row(key, day));
        rows.map(|row| Arc::clone(&row.json)).collect()
    });
    let chunks = export::chunks(hub.spec.table.clone(), format, taken);
    let safe = |c: char| match c.is_ascii_alphanumeric() || c == '_' {
        true => c,
        false => '-',
    };
    let file: String = name.chars().map(safe).collect();
    let extension = format.extension();
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file}-{day}.{extension}\""),
        ),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}
